//! A queue of things in order of time.
//!
//! A vector and the index of its first live entry: adding at the end, looking at any entry and
//! taking the first are plain slice accesses. What was taken is dropped in bulk.

use timebase::Time;

/// Something that happens to a command at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) at: Time,
    /// Index into the works.
    pub(crate) work: u32,
}

/// Entries taken before the rest moves to the front.
const SLACK: usize = 1024;

/// Commands in order of time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: Vec<Due>,
    first: usize,
}

impl Queue {
    /// What is in the queue, the next first.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[Due] {
        self.entries.get(self.first..).unwrap_or(&[])
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.first
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<Due> {
        self.entries.get(self.first).copied()
    }

    /// When the first entry is due.
    #[inline]
    pub(crate) fn at(&self) -> Time {
        self.entries
            .get(self.first)
            .map_or(Time::NEVER, |due| due.at)
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Due> {
        let due = self.first()?;
        self.first += 1;
        if self.first == self.entries.len() {
            self.entries.clear();
            self.first = 0;
        }
        Some(due)
    }

    /// Adds an entry behind those that are not later. Most are the last.
    #[inline]
    pub(crate) fn add(&mut self, due: Due) {
        let is_last = self.entries.last().is_none_or(|last| last.at <= due.at);
        if self.entries.len() == self.entries.capacity() {
            self.make_room();
        }
        self.entries.push(due);
        if !is_last {
            self.sort_last();
        }
    }

    #[cold]
    fn make_room(&mut self) {
        if self.first >= SLACK {
            self.entries.drain(..self.first);
            self.first = 0;
        }
    }

    /// Moves the last entry to its place; at worst it passes what the windows of all rings hold
    /// together.
    fn sort_last(&mut self) {
        let live = &mut self.entries[self.first..];
        let mut place = live.len() - 1;
        while place > 0 && live[place - 1].at > live[place].at {
            live.swap(place - 1, place);
            place -= 1;
        }
    }

    /// Keeps what `keep` says.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Due) -> bool) {
        self.entries.drain(..self.first);
        self.first = 0;
        self.entries.retain(keep);
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.first = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(at: u64, work: u32) -> Due {
        Due {
            at: Time::from_ps(at),
            work,
        }
    }

    #[test]
    fn equals_leave_in_the_order_they_came() {
        let mut queue = Queue::default();
        for (work, at) in [5, 3, 5, 1, 3, 9].into_iter().enumerate() {
            queue.add(due(at, work as u32));
        }
        let order: Vec<u32> = std::iter::from_fn(|| queue.pop().map(|due| due.work)).collect();
        assert_eq!(order, [3, 1, 4, 0, 2, 5]);
        assert_eq!(queue.at(), Time::NEVER);
    }

    #[test]
    fn a_queue_that_is_never_empty_does_not_grow() {
        let mut queue = Queue::default();
        queue.add(due(0, 0));
        for at in 1..100_000 {
            queue.add(due(at, 0));
            assert_eq!(queue.pop().unwrap().at.as_ps(), at - 1);
        }
        assert!(queue.entries.capacity() <= 4 * SLACK);
        assert_eq!(queue.len(), 1);
        queue.retain(|_| false);
        assert_eq!(queue.as_slice().len(), 0);
    }
}
