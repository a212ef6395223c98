//! The card's own time: what happens next, and catching up.
//!
//! Four kinds of events, each in order of time: fetches that will arrive, commands that will
//! finish, results that will be visible, coalescing timers. Events are handled at their own time
//! and in one order (finish, result, fetch, timer among equals), however long the step that catches
//! up with them, so one big step and many small ones do the same.

use std::collections::VecDeque;

use exhibit::{Exhibit, on};
use timebase::{Span, Time};

use super::command::{Orders, Task, Work};
use super::context::ContextTable;
use super::fetch::MAX_FETCHES;
use super::queue::Queue;
use crate::card::Card;
use crate::host::Host;
use crate::snapshot::{Check, check};

/// The last point of time at which anything can happen.
const END_OF_TIME: Time = Time::from_ps(Time::NEVER.as_ps() - 1);

/// What a completion did to the queues.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Aftermath {
    /// Nothing but taking itself out.
    Quiet,
    /// Something may happen sooner now than before.
    Changed,
}

/// A descriptor fetch under way.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Fetch {
    pub(crate) at: Time,
    pub(crate) ring: u16,
    pub(crate) count: u32,
}

/// What a pair has on the card, for the check of a snapshot.
pub(crate) struct OnCard {
    pub(crate) queued: u32,
    pub(crate) results: u32,
    pub(crate) fetches: Vec<u32>,
}

/// The queues of a card.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Agenda {
    pub(crate) fetches: VecDeque<Fetch>,
    pub(crate) queue: Queue,
    pub(crate) orders: Orders,
    /// Earliest coalescing timer and its pair.
    timer: (Time, usize),
    pub(crate) last_fetch: Time,
    pub(crate) last_finish: Time,
}

impl Default for Agenda {
    fn default() -> Self {
        Self {
            fetches: VecDeque::new(),
            queue: Queue::default(),
            orders: Orders::default(),
            timer: (Time::NEVER, 0),
            last_fetch: Time::ZERO,
            last_finish: Time::ZERO,
        }
    }
}

impl Agenda {
    /// Forgets everything of `ring` but its timer.
    pub(crate) fn forget(&mut self, ring: usize, held: &VecDeque<Work>) {
        let orders = &mut self.orders;
        let mut forget = |work: &Work| {
            if let Task::Process(order) | Task::Service(order) = work.task {
                orders.remove(order);
            }
        };
        self.queue.retain(|work| {
            let stays = usize::from(work.ring) != ring;
            if !stays {
                forget(work);
            }
            stays
        });
        held.iter().for_each(&mut forget);
        self.fetches.retain(|fetch| usize::from(fetch.ring) != ring);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.fetches.clear();
        self.queue.clear();
        self.orders.clear();
        self.timer = (Time::NEVER, 0);
        self.last_fetch = Time::ZERO;
        self.last_finish = Time::ZERO;
    }

    /// Commands of `ring` in the queue, those of them that have a completion slot, and commands of
    /// fetches under way.
    pub(crate) fn on_card(&self, ring: usize) -> OnCard {
        let of_ring = |works: &[Work]| {
            let works = works.iter().filter(|work| usize::from(work.ring) == ring);
            works.count() as u32
        };
        let fetches = self.fetches.iter();
        let fetches = fetches.filter(|fetch| usize::from(fetch.ring) == ring);
        let results = of_ring(self.queue.results());
        OnCard {
            queued: results + of_ring(self.queue.at_work()),
            results,
            fetches: fetches.map(|fetch| fetch.count).collect(),
        }
    }

    /// Whether the agenda of a card with `rings` pairs can be in this state.
    pub(crate) fn check(&self, rings: usize) -> Check {
        self.queue.check()?;
        let in_range = |ring: u16| usize::from(ring) < rings;
        let fetches = self.fetches.iter().all(|fetch| in_range(fetch.ring));
        check(fetches, "pair of a fetch")?;
        check(self.fetches.len() <= MAX_FETCHES, "number of fetches")?;
        check(self.timer.1 < rings, "pair of the timer")?;
        check(
            self.queue.iter().all(|work| in_range(work.ring)),
            "pair of a command",
        )
    }

    /// Whether every command that needs an order has one of its own, the `held` ones too.
    pub(crate) fn check_orders<'a>(
        &'a self,
        held: impl Iterator<Item = &'a Work>,
        contexts: &ContextTable,
    ) -> Check {
        let works = self.queue.iter().chain(held);
        let orders = works.filter_map(|work| match work.task {
            Task::Process(order) => Some((order, false)),
            Task::Service(order) => Some((order, true)),
            Task::Settled(_) | Task::Identity(_) | Task::Timed(_) => None,
        });
        self.orders.check(orders, contexts)
    }

    #[inline]
    fn fetch_at(&self) -> Time {
        self.fetches.front().map_or(Time::NEVER, |fetch| fetch.at)
    }
}

impl Card {
    /// Does everything that is due up to and including `now`.
    #[inline]
    pub fn advance<H: Host>(&mut self, now: Time, host: &mut H) {
        // What happens never does not happen at the end of time either.
        let now = now.min(END_OF_TIME);
        loop {
            let fetch = self.agenda.fetch_at();
            let timer = self.agenda.timer.0;
            if self.work_until(now.min(fetch).min(timer), host) == Aftermath::Changed {
                continue;
            }
            if fetch.min(timer) > now {
                break;
            }
            if fetch <= timer {
                self.fetch_arrives(host);
            } else {
                self.timer_expires(host);
            }
        }
        if self.ready_at <= now {
            self.write_late(now, host);
            self.end_resets(now);
        }
    }

    /// Does what commands do up to `limit`, or up to a completion after which something else may
    /// come first.
    #[inline(never)]
    fn work_until<H: Host>(&mut self, limit: Time, host: &mut H) -> Aftermath {
        let mut finish = self.finish_at();
        let mut visible = self.agenda.queue.visible_at();
        loop {
            if finish.min(visible) > limit {
                return Aftermath::Quiet;
            }
            // Of two events at one time, the finish comes first.
            if finish <= visible {
                visible = visible.min(self.finish());
                finish = self.agenda.queue.finish_at();
            } else {
                if self.complete(host) == Aftermath::Changed {
                    return Aftermath::Changed;
                }
                visible = self.agenda.queue.visible_at();
            }
        }
    }

    /// The next instant at which something visible outside may happen: an interrupt by count or
    /// timer, the end of a reset, or the arrival of descriptors without which the card does not
    /// know more. [`Time::NEVER`] when idle.
    ///
    /// It may be early, never late, for interrupts of completions. Advancing to it always makes
    /// progress. An interrupt for an error is found when the card is advanced past it, at the
    /// latest when all work that is on the card is done; its time may then lie before `now`.
    #[must_use]
    pub fn deadline(&self) -> Time {
        let agenda = &self.agenda;
        let mut deadline = agenda.fetch_at().min(agenda.timer.0).min(self.ready_at);
        let finishing = if self.latches.engines_hang {
            0
        } else {
            agenda.queue.at_work().len()
        };
        let total = agenda.queue.results().len() + finishing;
        if total == 0 {
            return deadline;
        }
        let mut wait_for = total;
        let mut timer: Option<Span> = None;
        for ring in self.busy.iter() {
            let ring = &self.rings[ring];
            let coalescer = &ring.coalescer;
            let Some(missing) = coalescer.missing() else {
                continue;
            };
            // Commands behind a fence are not in the queues yet; any completion may let them go.
            let mut in_sight = if ring.fenced.is_empty() { missing } else { 1 };
            if ring.tells_when_dry() {
                in_sight = in_sight.min(ring.outstanding);
            }
            wait_for = wait_for.min(in_sight as usize);
            if let Some(span) = coalescer.timer()
                && !coalescer.has_pending()
            {
                timer = Some(timer.map_or(span, |timer| timer.min(span)));
            }
            if ring.published() != 0 && ring.fetching == 0 {
                // Room on the card comes with a completion; then a fetch takes a round trip.
                let fetched = self.visible_at(1) + self.link.round_trip();
                deadline = deadline.min(fetched);
            }
        }
        deadline = deadline.min(self.visible_at(wait_for));
        if let Some(timer) = timer {
            deadline = deadline.min(self.visible_at(1) + timer);
        }
        deadline
    }

    /// The next instant at which anything happens on the card: until then,
    /// [`advance`](Self::advance) does nothing.
    #[must_use]
    pub fn next_internal(&self) -> Time {
        let agenda = &self.agenda;
        let queued = self.finish_at().min(agenda.queue.visible_at());
        let waiting = agenda.fetch_at().min(agenda.timer.0).min(self.ready_at);
        queued.min(waiting)
    }

    #[inline]
    fn finish_at(&self) -> Time {
        if self.latches.engines_hang {
            Time::NEVER
        } else {
            self.agenda.queue.finish_at()
        }
    }

    /// The earliest time at which the `nth` completion from now (counted from one) can be visible.
    fn visible_at(&self, nth: usize) -> Time {
        let results = self.agenda.queue.results();
        let index = nth.saturating_sub(1);
        if let Some(work) = results.get(index) {
            return work.at;
        }
        match self.agenda.queue.at_work().get(index - results.len()) {
            Some(work) => work.at + self.link.write_at_least(work.write_time),
            None => Time::NEVER,
        }
    }

    /// The next command to finish does: its result goes to memory, or waits for room. Gives when it
    /// is visible.
    #[inline]
    fn finish(&mut self) -> Time {
        let queue = &mut self.agenda.queue;
        let Some(work) = queue.finishing() else {
            return Time::NEVER;
        };
        let ring = &mut self.rings[usize::from(work.ring)];
        if !ring.held.is_empty() || !ring.promise_room() {
            ring.held.extend(queue.take_finishing());
            return Time::NEVER;
        }
        let visible = self.link.write(work.at, work.write_time);
        work.at = visible;
        queue.finish();
        visible
    }

    /// Gives completion slots to results that waited for them.
    pub(crate) fn release_held(&mut self, now: Time, ring: usize) {
        let pair = &mut self.rings[ring];
        while !pair.held.is_empty()
            && pair.promise_room()
            && let Some(mut work) = pair.held.pop_front()
        {
            work.at = self.link.write(now, work.write_time);
            self.agenda.queue.add_result(work);
        }
    }

    /// The timer of `ring` is now set to its coalescer's expiry.
    #[inline]
    pub(crate) fn timer_changed(&mut self, ring: usize) {
        let expiry = self.rings[ring].coalescer.expiry();
        if expiry < self.agenda.timer.0 {
            self.agenda.timer = (expiry, ring);
        } else if self.agenda.timer.1 == ring {
            let timers = self.rings.iter().map(|ring| ring.coalescer.expiry());
            let (ring, expiry) = timers
                .enumerate()
                .min_by_key(|&(_, expiry)| expiry)
                .unwrap_or((0, Time::NEVER));
            self.agenda.timer = (expiry, ring);
        }
    }

    fn timer_expires<H: Host>(&mut self, host: &mut H) {
        let (at, ring) = self.agenda.timer;
        self.rings[ring].coalescer.expire();
        self.timer_changed(ring);
        if !on(Exhibit::TimerInterruptLost) {
            self.raise_ring(at, ring, host);
        }
    }
}
