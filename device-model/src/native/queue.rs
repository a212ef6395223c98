//! The commands on a card, in order of time.
//!
//! One vector with two marks: results on their way to memory first, each due when it is visible,
//! then commands at work, each due when it finishes. A result takes its turn on the link when its
//! command finishes, so results leave in the order in which commands finish, and a finish moves
//! nothing but the mark between the two. What left is dropped in bulk.

use timebase::Time;

use super::command::Work;
use crate::snapshot::{Check, check};

/// Entries that left before the rest moves to the front.
const SLACK: usize = 256;

/// Commands in order of time.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Queue {
    entries: Vec<Work>,
    /// The next result to be visible, unless it is the same as `working`.
    first: usize,
    /// The next command to finish.
    working: usize,
}

impl Queue {
    /// Results on their way to memory, the next first.
    #[inline]
    pub(crate) fn results(&self) -> &[Work] {
        self.entries.get(self.first..self.working).unwrap_or(&[])
    }

    /// Commands at work, the next to finish first.
    #[inline]
    pub(crate) fn at_work(&self) -> &[Work] {
        self.entries.get(self.working..).unwrap_or(&[])
    }

    /// When the next command finishes.
    #[inline]
    pub(crate) fn finish_at(&self) -> Time {
        let next = self.entries.get(self.working);
        next.map_or(Time::NEVER, |work| work.at)
    }

    /// When the next result is visible.
    #[inline]
    pub(crate) fn visible_at(&self) -> Time {
        self.result().map_or(Time::NEVER, |work| work.at)
    }

    /// The next command to finish.
    #[inline]
    pub(crate) fn finishing(&mut self) -> Option<&mut Work> {
        self.entries.get_mut(self.working)
    }

    /// The next command to finish did: it is a result now, due when it is visible.
    #[inline]
    pub(crate) fn finish(&mut self) {
        self.working += 1;
    }

    /// The next result to be visible.
    #[inline]
    pub(crate) fn result(&self) -> Option<&Work> {
        let is_result = self.first < self.working;
        self.entries.get(self.first).filter(|_| is_result)
    }

    /// Drops the next result.
    #[inline]
    pub(crate) fn drop_result(&mut self) {
        self.first += 1;
        if self.first == self.entries.len() {
            self.clear();
        }
    }

    /// Makes room for `count` more commands.
    #[inline]
    pub(crate) fn reserve(&mut self, count: usize) {
        if self.entries.capacity() - self.entries.len() < count {
            self.make_room(count);
        }
    }

    #[cold]
    fn make_room(&mut self, count: usize) {
        if self.first >= SLACK.max(self.entries.len() / 2) {
            self.drop_what_left();
        }
        self.entries.reserve(count);
    }

    /// Adds a command at work behind those that are not later. Most are the last.
    #[inline]
    pub(crate) fn add(&mut self, work: Work) {
        let is_last = self.at_work().last().is_none_or(|last| last.at <= work.at);
        self.entries.push(work);
        if !is_last {
            self.sort_last();
        }
    }

    #[inline(never)]
    fn sort_last(&mut self) {
        let at_work = &mut self.entries[self.working..];
        if let Some((last, others)) = at_work.split_last() {
            let place = others.partition_point(|other| other.at <= last.at);
            at_work[place..].rotate_right(1);
        }
    }

    fn drop_what_left(&mut self) {
        self.entries.drain(..self.first);
        self.working -= self.first;
        self.first = 0;
    }

    /// Takes the next command to finish out.
    pub(crate) fn take_finishing(&mut self) -> Option<Work> {
        self.drop_what_left();
        (self.working < self.entries.len()).then(|| self.entries.remove(self.working))
    }

    /// Takes the commands of `ring` that have not finished out, the next to finish first.
    pub(crate) fn take_at_work(&mut self, ring: usize) -> Vec<Work> {
        self.drop_what_left();
        let is_taken = |work: &mut Work| usize::from(work.ring) == ring;
        self.entries.extract_if(self.working.., is_taken).collect()
    }

    /// Adds a result behind those that are there; it is due when it is visible.
    pub(crate) fn add_result(&mut self, work: Work) {
        self.entries.insert(self.working, work);
        self.working += 1;
    }

    /// Keeps what `keep` says.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Work) -> bool) {
        self.drop_what_left();
        let mut results = self.working;
        let mut index = 0;
        self.entries.retain(|work| {
            let stays = keep(work);
            results -= usize::from(!stays && index < self.working);
            index += 1;
            stays
        });
        self.working = results;
    }

    /// Everything in the queue.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Work> {
        self.results().iter().chain(self.at_work())
    }

    /// Whether a queue can be in this state.
    pub(crate) fn check(&self) -> Check {
        let marks = self.first <= self.working && self.working <= self.entries.len();
        check(marks, "marks of the queue")?;
        let in_order = |works: &[Work]| works.is_sorted_by_key(|work| work.at);
        check(
            in_order(self.results()) && in_order(self.at_work()),
            "order of the queue",
        )
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.first = 0;
        self.working = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::Task;
    use super::*;
    use regs::Status;
    use timebase::Span;

    fn work(at: u64, cookie: u64) -> Work {
        Work {
            at: Time::from_ps(at),
            cookie,
            write_time: Span::ZERO,
            ring: 1,
            is_quiet: false,
            task: Task::Settled(Status::Success),
        }
    }

    fn cookies(works: &[Work]) -> Vec<u64> {
        works.iter().map(|work| work.cookie).collect()
    }

    #[test]
    fn equals_finish_in_the_order_they_came() {
        let mut queue = Queue::default();
        for (cookie, at) in [5, 3, 5, 1, 3, 9].into_iter().enumerate() {
            queue.add(work(at, cookie as u64));
        }
        assert_eq!(cookies(queue.at_work()), [3, 1, 4, 0, 2, 5]);
        assert_eq!(queue.finish_at(), Time::from_ps(1));
        assert_eq!(queue.visible_at(), Time::NEVER);
    }

    #[test]
    fn a_finish_makes_a_result_that_new_work_cannot_overtake() {
        let mut queue = Queue::default();
        for at in [10, 20] {
            queue.add(work(at, at));
        }
        queue.finishing().unwrap().at = Time::from_ps(100);
        queue.finish();
        queue.add(work(15, 15));
        assert_eq!(queue.visible_at(), Time::from_ps(100));
        assert_eq!(cookies(queue.results()), [10]);
        assert_eq!(cookies(queue.at_work()), [15, 20]);
        let held = queue.take_finishing().unwrap();
        assert_eq!(held.cookie, 15);
        queue.add_result(held);
        assert_eq!(cookies(queue.results()), [10, 15]);
        queue.retain(|work| work.cookie != 10);
        assert_eq!(cookies(queue.results()), [15]);
        assert_eq!(cookies(queue.at_work()), [20]);
        queue.drop_result();
        assert_eq!(queue.visible_at(), Time::NEVER);
        assert_eq!(queue.finish_at(), Time::from_ps(20));
    }

    #[test]
    fn a_queue_that_is_never_empty_does_not_grow() {
        let mut queue = Queue::default();
        queue.add(work(0, 0));
        for at in 1..100_000 {
            queue.reserve(1);
            queue.add(work(at, at));
            queue.finish();
            assert_eq!(queue.result().unwrap().cookie, at - 1);
            queue.drop_result();
        }
        assert!(queue.entries.capacity() <= 4 * SLACK);
        assert_eq!(queue.at_work().len(), 1);
        queue.retain(|_| false);
        assert_eq!(queue.finish_at(), Time::NEVER);
    }
}
