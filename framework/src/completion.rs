//! Requests on their way back: what a driver reports, the order of callbacks, requests that a card
//! dropped.
//!
//! Nothing here calls anybody back: results queue as data until
//! [`take_finished`](Framework::take_finished).

use std::collections::VecDeque;

use exhibit::{Exhibit, on};
use timebase::Time;

use crate::event::FrameworkEvent;
use crate::framework::Framework;
use crate::registry::{DriverId, DriverSlot};
use crate::table::{Passing, Phase, SessionTable};
use crate::undo::UndoPool;
use crate::{
    Completed, CryptoDriver, DriverError, MigrationPolicy, Request, RequestError, RequestFlags,
};

/// Submissions of one request on one driver after which a driver that keeps dropping it is believed
/// to be broken.
const ATTEMPTS_MAX: u8 = 8;

/// What an assertion says of a driver that breaks its promise.
const NOT_HAD: &str = "a driver returned a request it did not have";

/// A request that is done; the callback's view.
#[derive(Debug)]
pub struct Finished {
    /// The request, with its buffers. It may be used again.
    pub request: Box<Request>,
    /// How it ended.
    pub result: Result<(), RequestError>,
}

/// Who is to call a request back; the callback kinds of crypto_request(9).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// Whoever called the framework, before doing anything else.
    Immediate,
    /// A worker, in its own time.
    Worker,
}

impl Finished {
    /// Who is to call the request back: what it asked for, except that ordered requests and those
    /// that were kept from the caller's time always go through a worker.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        let flags = self.request.flags;
        let was_sync = self.request.was_sync;
        let is_deferred = flags.contains(RequestFlags::ASYNC) && was_sync;
        let asks = flags.contains(RequestFlags::CALLBACK_IMMEDIATE)
            || (flags.contains(RequestFlags::CALLBACK_IF_SYNC) && was_sync);
        if asks && !is_deferred && !flags.contains(RequestFlags::ORDERED) {
            Delivery::Immediate
        } else {
            Delivery::Worker
        }
    }
}

/// Flags of requests that need more than to be counted when they are back.
const SLOW_BACK: RequestFlags = RequestFlags::ORDERED
    .union(RequestFlags::CALLBACK_IF_SYNC)
    .union(RequestFlags::ASYNC);

/// Requests that are done, in the order of their callbacks.
#[derive(Debug, Default)]
pub(crate) struct FinishedQueue {
    /// What a driver returned at once, all of it well; the last comes first, and before `rest`.
    returned: Vec<Completed>,
    rest: VecDeque<Finished>,
}

impl FinishedQueue {
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Finished> {
        let mut finished = match self.returned.pop() {
            Some(completed) => well(completed.request),
            None => self.rest.pop_front()?,
        };
        finished.request.is_done = true;
        Some(finished)
    }

    pub(crate) fn len(&self) -> usize {
        self.returned.len() + self.rest.len()
    }

    fn is_empty(&self) -> bool {
        self.returned.is_empty() && self.rest.is_empty()
    }

    fn push(&mut self, finished: Finished) {
        self.rest.push_back(finished);
    }

    /// Fills the queue, which is empty, with requests that ended well, without moving them one by
    /// one. Leaves memory for the next ones in `returned`.
    #[inline]
    fn fill(&mut self, returned: &mut Vec<Completed>) {
        returned.reverse();
        std::mem::swap(&mut self.returned, returned);
    }
}

#[inline]
fn well(request: Box<Request>) -> Finished {
    let result = Ok(());
    Finished { request, result }
}

/// Takes one request off its session's count, unless more is to be done about it.
#[inline]
fn take_back(table: &mut SessionTable, completed: &Completed) -> bool {
    let request = &completed.request;
    let place = table.place(request.session);
    let hot = &mut table.hot[place];
    let plain = completed.result.is_ok()
        && request.undo.is_none()
        && !request.flags.intersects(SLOW_BACK)
        && hot.phase == Phase::Ready
        && hot.in_flight > 0;
    if plain {
        hot.in_flight -= 1;
    }
    plain
}

impl<D: CryptoDriver + ?Sized> Framework<D> {
    /// Looks for what happened in a driver: after an interrupt, or when its
    /// [`deadline`](Self::driver_deadline) has come. Does nothing for an unknown driver.
    pub fn service(&mut self, now: Time, id: DriverId) {
        let Some(driver) = self.registry.index_of(id) else {
            return;
        };
        if self.registry.slot(driver).expires_at <= now {
            self.expire(now, driver);
        }
        self.collect(now, driver);
        let waits = |slot: &DriverSlot<D>| !slot.queue.is_empty() || !slot.key.queue.is_empty();
        if self.registry.get(driver).is_some_and(waits) {
            self.drain(now, driver);
            if self.registry.slot(driver).is_sync() {
                self.collect(now, driver);
            }
        } else if self.registry.get(driver).is_some() {
            // What made the queue due may have been cancelled.
            let slot = self.registry.slot_mut(driver);
            slot.runnable_at = slot.expires_at;
        }
        if self.moves_at <= now {
            self.move_in_turn(now);
        }
        self.run_kicked(now);
    }

    /// Takes over what a driver reports.
    pub(crate) fn collect(&mut self, now: Time, driver: usize) {
        let slot = self.registry.slot_mut(driver);
        slot.driver.service(now, &mut self.output);
        if self.output.lost {
            return self.lose_driver(now, driver);
        }
        if !self.output.opened.is_empty() {
            self.open_each(now, driver);
        }
        if !self.output.completed.is_empty() {
            self.complete_each(now, driver);
        }
        if !self.output.keys.is_empty() {
            self.complete_keys(driver);
        }
        let slot = self.registry.slot(driver);
        let may_go_on = slot.is_sync() && !slot.queue.is_empty() && !slot.is_blocked();
        if may_go_on || slot.is_left() {
            self.kick(driver);
        }
    }

    #[cold]
    fn open_each(&mut self, now: Time, driver: usize) {
        let mut opened = std::mem::take(&mut self.output.opened);
        for (session, result) in opened.drain(..) {
            self.session_opened(now, driver, session, result);
        }
        self.output.opened = opened;
    }

    /// Takes requests back from a driver. Those at the front that need nothing but their callback
    /// take a short way; most often these are all.
    fn complete_each(&mut self, now: Time, driver: usize) {
        self.stats.returns += 1;
        let (returned, table) = (&self.output.completed, &mut self.table);
        let len = returned.len();
        let other = returned.iter().position(|it| !take_back(table, it));
        let plain = other.unwrap_or(len);
        let slot = self.registry.slot_mut(driver);
        assert!(slot.in_flight >= plain, "{NOT_HAD}");
        slot.in_flight -= plain;
        self.stats.in_flight -= plain;
        if plain == len && self.finished.is_empty() {
            self.finished.fill(&mut self.output.completed);
        } else {
            self.complete_mixed(now, driver, plain);
        }
    }

    /// The same for all, of which the first `plain` are taken back already.
    #[cold]
    fn complete_mixed(&mut self, now: Time, driver: usize, plain: usize) {
        let mut returned = std::mem::take(&mut self.output.completed);
        for (place, completed) in returned.drain(..).enumerate() {
            if place < plain {
                self.finished.push(well(completed.request));
            } else {
                self.complete(now, driver, completed);
            }
        }
        self.output.completed = returned;
    }

    /// One request came back from the driver that had it.
    pub(crate) fn complete(&mut self, now: Time, driver: usize, completed: Completed) {
        let Completed {
            mut request,
            result,
        } = completed;
        let index = self.table.place(request.session);
        let slot = self.registry.slot_mut(driver);
        let hot = &mut self.table.hot[index];
        assert!(slot.in_flight > 0 && hot.in_flight > 0, "{NOT_HAD}");
        slot.in_flight -= 1;
        hot.in_flight -= 1;
        request.was_sync = slot.is_sync();
        let settle = hot.in_flight == 0 && hot.phase != Phase::Ready;
        match result {
            Ok(()) => self.finish_well(request),
            Err(error) => {
                slot.stats.errors += 1;
                self.complete_failed(driver, request, error);
            }
        }
        if settle {
            self.settle(now, index);
        }
    }

    #[cold]
    fn complete_failed(&mut self, driver: usize, request: Box<Request>, error: DriverError) {
        let error = match error {
            DriverError::DigestMismatch => RequestError::DigestMismatch,
            DriverError::TooBig => RequestError::TooBig,
            DriverError::BadData => RequestError::BadData,
            DriverError::BadState => RequestError::BeginAnew,
            DriverError::Device => RequestError::Device,
            DriverError::Lost { untouched } => {
                return self.complete_dropped(driver, request, untouched);
            }
        };
        self.fail(request, error);
    }

    /// A driver dropped a request: its card died or was reset.
    fn complete_dropped(&mut self, driver: usize, mut request: Box<Request>, untouched: bool) {
        let index = self.table.place(request.session);
        let hot = &self.table.hot[index];
        let intact = untouched
            || on(Exhibit::ResubmitHalfDone)
            || UndoPool::restore(&mut request, hot.rules);
        if intact && !untouched {
            self.stats.undo_restores += 1;
        }
        let name = self.table.name(index);
        match hot.phase {
            Phase::Closing if intact => self.fail(request, RequestError::Cancelled),
            Phase::Closing => self.fail(request, RequestError::Device),
            Phase::Vacant => unreachable!("a freed session has no request in flight"),
            _ if !intact => self.fail(request, RequestError::Interrupted(name)),
            Phase::Homeless => self.fail(request, RequestError::NoDriver),
            // The driver lives and so does the session: only the card was reset. Whoever reports
            // moves has none to report, and the request goes in again.
            Phase::Ready => self.resubmit(driver, request),
            // The name is the same if the session was homeless between two drivers.
            Phase::Waiting if hot.policy == MigrationPolicy::Report && request.session != name => {
                self.fail(request, RequestError::Moved(name));
            }
            Phase::Waiting => {
                self.count_resubmission(&request);
                self.put_back(index, request);
            }
        }
    }

    /// Queues a dropped request again on the same driver, before anything newer of its session.
    fn resubmit(&mut self, driver: usize, mut request: Box<Request>) {
        request.attempts += 1;
        if request.attempts > ATTEMPTS_MAX {
            return self.fail(request, RequestError::Device);
        }
        self.count_resubmission(&request);
        let slot = self.registry.slot_mut(driver);
        let after = slot
            .queue
            .iter()
            .rposition(|other| other.session == request.session && other.id < request.id);
        slot.note_expiry(request.expires);
        slot.queue
            .insert(after.map_or(0, |position| position + 1), request);
        self.kick(driver);
    }

    fn count_resubmission(&mut self, request: &Request) {
        self.stats.resubmitted += 1;
        self.events.push(FrameworkEvent::Resubmitted {
            request: request.id,
        });
    }

    /// Has a dropped or queued request wait in its session, in dispatch order.
    pub(crate) fn put_back(&mut self, index: usize, request: Box<Request>) {
        self.note_expiry(index, request.expires);
        let waiting = &mut self.table.cold[index].passing_or_new().waiting;
        let position = waiting.partition_point(|other| other.id < request.id);
        waiting.insert(position, request);
    }

    /// Ends a request that succeeded. Apart from [`fail`](Self::fail): passing the result through
    /// memory costs a fifth of the framework's time for a small request.
    #[inline]
    fn finish_well(&mut self, mut request: Box<Request>) {
        self.undo.release(&mut request);
        if request.flags.contains(RequestFlags::ORDERED) {
            self.finish_in_order(well(request));
        } else {
            self.call_back(well(request));
        }
    }

    /// Ends a request that failed. With [`finish_well`](Self::finish_well) the only end there is.
    pub(crate) fn fail(&mut self, mut request: Box<Request>, error: RequestError) {
        self.undo.release(&mut request);
        let result = Err(error);
        self.stats.errors += 1;
        self.stats.moved += u64::from(matches!(error, RequestError::Moved(_)));
        if request.flags.contains(RequestFlags::ORDERED) {
            self.finish_in_order(Finished { request, result });
        } else {
            self.call_back(Finished { request, result });
        }
    }

    #[inline]
    fn call_back(&mut self, finished: Finished) {
        self.stats.in_flight -= 1;
        self.finished.push(finished);
    }

    /// Holds an ordered request until those before it are done. Per session: a slow session holds
    /// up nobody else.
    fn finish_in_order(&mut self, finished: Finished) {
        if on(Exhibit::OrderOfCompletion) {
            return self.call_back(finished);
        }
        let index = self.table.place(finished.request.session);
        let hot = &mut self.table.hot[index];
        let cold = &mut self.table.cold[index];
        let is_held = |passing: &Passing| !passing.held.is_empty();
        let ahead = finished.request.order - hot.next_release;
        if ahead == 0 && !cold.passing().is_some_and(is_held) {
            hot.next_release += 1;
            self.call_back(finished);
            return;
        }
        let held = &mut cold.passing_or_new().held;
        let place = usize::try_from(ahead).expect("a distance within the queues' bounds");
        while held.len() <= place {
            held.push_back(None);
        }
        held[place] = Some(finished);
        while let Some(next) = self.take_held(index) {
            self.call_back(next);
        }
    }

    /// The ordered request of a session that is next, if it is done.
    fn take_held(&mut self, index: usize) -> Option<Finished> {
        let held = &mut self.table.cold[index].passing_mut()?.held;
        let next = held.front_mut()?.take()?;
        held.pop_front();
        self.table.hot[index].next_release += 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests;
