//! Requests on their way to a driver: `crypto_dispatch`, and the queue of a driver that is blocked.
//!
//! A request goes straight to its driver if nothing waits there; otherwise to the tail of the
//! driver's queue, so that nothing overtakes. A refused request goes back to the head. Blocking is
//! a level ([`CryptoDriver::unblock_generation`](crate::CryptoDriver::unblock_generation)), never
//! an edge.

use std::collections::VecDeque;

use exhibit::{Exhibit, on};
use timebase::{Span, Time};

use crate::event::FrameworkEvent;
use crate::framework::Framework;
use crate::registry::{DriverSlot, DriverState};
use crate::table::{Hot, Lookup, Phase};
use crate::{
    Blocked, CryptoDriver, DriverFlags, DriverSession, Hint, MigrationPolicy, Request,
    RequestError, RequestFlags, RequestId, RequestInvalid,
};

/// Refusals in one drain after which a driver that claims to have room is left alone for a while.
const REFUSALS_MAX: u32 = 8;
/// How long.
const REFUSAL_PAUSE: Span = Span::from_ns(1_000);
/// Places for sessions from which on a cache does not hold all that are in use.
const MANY: usize = 4096;

/// Dispatch hands the request back, untouched; no callback follows.
#[derive(Debug, thiserror::Error)]
#[error("request handed back: {reason}")]
pub struct Rejected {
    /// The request.
    pub request: Box<Request>,
    /// Which rule it breaks.
    pub reason: RequestInvalid,
}

impl<D: CryptoDriver + ?Sized> Framework<D> {
    /// Accepts a request or hands it back; `crypto_dispatch` of crypto_request(9). An accepted
    /// request comes out of [`take_finished`](Self::take_finished) exactly once, perhaps as soon as
    /// this returns.
    ///
    /// A request under a name from before a move is accepted and ends with
    /// [`RequestError::Moved`]. With [`RequestFlags::BATCH`] it waits for neighbours, at the latest
    /// until the framework's [`deadline`](Self::deadline), which is then `now`; with
    /// [`RequestFlags::ASYNC`] a driver that would do it here gets it then
    /// (`crypto_dispatch_async`).
    ///
    /// # Errors
    /// [`Rejected`] with the request if it breaks a rule of crypto_request(9) or the queue is full.
    pub fn dispatch(&mut self, now: Time, request: Box<Request>) -> Result<RequestId, Rejected> {
        let index = self.table.place(request.session);
        let hot = self.table.hot.get(index);
        let Some(hot) = hot.filter(|hot| hot.is_ready(request.session)) else {
            return self.dispatch_waiting(now, request);
        };
        if let Err(reason) = hot.rules.check(&request) {
            return Err(self.reject(request, reason));
        }
        let driver = usize::from(hot.driver);
        let Some(slot) = self.registry.get_mut(driver) else {
            return self.dispatch_waiting(now, request);
        };
        let queues = request.flags.intersects(QUEUING) && slot.queues(request.flags);
        let is_free = slot.queue.is_empty() && slot.refused_at.is_none();
        if (is_free || on(Exhibit::NewestFirst)) && !queues {
            return Ok(self.dispatch_direct(now, driver, request));
        }
        self.dispatch_behind(now, driver, request)
    }

    /// Accepts requests from the front of `requests`, in order, and hands them over in runs: each
    /// driver learns through [`Hint::More`] that more follows, and is flushed at the end.
    /// `crypto_dispatch_batch`. Flags count as in [`dispatch`](Self::dispatch), except that nothing
    /// waits for further neighbours.
    ///
    /// Returns the number of requests accepted.
    ///
    /// # Errors
    /// [`Rejected`] with the first request that is handed back. Those before it were accepted,
    /// those behind it are still in `requests`.
    pub fn dispatch_batch(
        &mut self,
        now: Time,
        requests: &mut VecDeque<Box<Request>>,
    ) -> Result<usize, Rejected> {
        let offered = requests.len();
        let mut outcome = Ok(());
        while !requests.is_empty() {
            if self.hand_over_run(now, requests) {
                continue;
            }
            let Some(request) = requests.pop_front() else {
                break;
            };
            if let Err(rejected) = self.dispatch_queued(now, request) {
                outcome = Err(rejected);
                break;
            }
        }
        self.run_kicked(now);
        outcome.map(|()| offered)
    }

    /// Hands requests from the front of `requests` straight to a driver, while they are valid and
    /// for that same driver, and it takes them. Each is held until the next one is known, so that
    /// [`Hint::More`] is true; one that may have followers behind a neighbour's request waits for
    /// them in the driver's queue. Returns whether any was accepted.
    #[inline(never)]
    fn hand_over_run(&mut self, now: Time, requests: &mut VecDeque<Box<Request>>) -> bool {
        let Some(place) = requests.front().and_then(|first| self.free_driver(first)) else {
            return false;
        };
        let driver = usize::from(place);
        let slot = self.registry.slot_mut(driver);
        let table = &mut self.table;
        let run = match table.hot.len() {
            0..MANY => requests.len(),
            // A pass of its own: what the cache lacks of many sessions is fetched at one time.
            _ => {
                let is_ready = |request: &Request| {
                    let hot = table.hot.get(table.place(request.session));
                    hot.is_some_and(|hot| hot.is_ready(request.session))
                };
                let run = requests.iter().take_while(|request| is_ready(request));
                run.count()
            }
        };
        let mut held: Option<Held> = None;
        let (mut last_id, mut bytes, mut refused) = (self.last_id, 0, None);
        for _ in 0..run {
            let Some(mut request) = requests.pop_front() else {
                break;
            };
            let at = table.place(request.session);
            let hot = table.hot.get_mut(at);
            let hot = hot.filter(|hot| hot.is_ready(request.session) && hot.driver == place);
            let Some(hot) = hot.filter(|hot| hot.rules.allow(&request)) else {
                requests.push_front(request);
                break;
            };
            if let Some(Held(session, previous)) = held.take()
                && let Err(blocked) = slot.driver.process(now, session, previous, Hint::More)
            {
                requests.push_front(request);
                refused = Some(blocked);
                break;
            }
            last_id += 1;
            stamp(&mut request, hot, RequestId(last_id));
            if needs_undo(&request, hot, slot.flags) {
                self.undo.keep(&mut request, hot.rules, &mut self.stats);
            }
            hot.in_flight += 1;
            bytes += request.payload.len as u64;
            held = Some(Held(hot.driver_session, request));
        }
        let ops = (last_id - self.last_id) as usize;
        self.last_id = last_id;
        self.stats.accepted(ops, bytes);
        slot.taken(ops, bytes);
        slot.held_back |= ops > 1 || refused.is_some();
        if let Some(Held(session, last)) = held {
            if !requests.is_empty() {
                self.withdraw(driver, &last);
                self.queue_up(driver, last);
                self.kick(driver);
            } else if let Err(blocked) = slot.driver.process(now, session, last, Hint::Last) {
                refused = Some(blocked);
            }
        }
        if let Some(blocked) = refused {
            self.withdraw(driver, &blocked.request);
            self.refused(driver, blocked);
            self.kick(driver);
        }
        self.end_run(now, driver);
        ops > 0
    }

    /// Flushes a driver after a run, at once or when its queue is drained.
    fn end_run(&mut self, now: Time, driver: usize) {
        let slot = self.registry.slot_mut(driver);
        if slot.is_sync() {
            self.kick(driver);
        } else if slot.held_back && !slot.kicked {
            slot.held_back = false;
            slot.driver.flush(now);
        }
    }

    /// Place of the driver that would take a request at once.
    #[inline]
    fn free_driver(&self, request: &Request) -> Option<u16> {
        let hot = self.table.hot.get(self.table.place(request.session))?;
        let slot = hot
            .is_ready(request.session)
            .then(|| self.registry.get(usize::from(hot.driver)))??;
        (slot.queue.is_empty() && slot.refused_at.is_none()).then_some(hot.driver)
    }

    /// Undoes the counting of a request that was to go straight to a driver.
    #[cold]
    fn withdraw(&mut self, driver: usize, request: &Request) {
        let index = self.table.place(request.session);
        self.table.hot[index].in_flight -= 1;
        let slot = self.registry.slot_mut(driver);
        slot.in_flight -= 1;
        slot.stats.ops -= 1;
        slot.stats.bytes -= request.payload.len as u64;
    }

    /// Dispatch to a driver that has a queue or gets one.
    #[inline(never)]
    fn dispatch_behind(
        &mut self,
        now: Time,
        driver: usize,
        request: Box<Request>,
    ) -> Result<RequestId, Rejected> {
        let flags = request.flags;
        let outcome = self.enqueue(now, driver, request);
        let slot = self.registry.slot_mut(driver);
        let is_deferred = flags.contains(RequestFlags::ASYNC) && slot.is_sync();
        let has_room = slot.queue.len() < self.limits.batch_len;
        if is_deferred || (flags.contains(RequestFlags::BATCH) && has_room) {
            slot.runnable_at = slot.runnable_at.min(now);
        } else {
            self.kick(driver);
        }
        self.run_kicked(now);
        outcome
    }

    /// Like dispatch, but only as far as the queue.
    fn dispatch_queued(&mut self, now: Time, request: Box<Request>) -> Result<(), Rejected> {
        let hot = self.table.hot.get(self.table.place(request.session));
        let Some(hot) = hot.filter(|hot| hot.is_ready(request.session)) else {
            return self.dispatch_waiting(now, request).map(drop);
        };
        if let Err(reason) = hot.rules.check(&request) {
            return Err(self.reject(request, reason));
        }
        let driver = usize::from(hot.driver);
        if self.registry.get(driver).is_none() {
            return self.dispatch_waiting(now, request).map(drop);
        }
        self.kick(driver);
        self.enqueue(now, driver, request).map(drop)
    }

    fn dispatch_direct(
        &mut self,
        now: Time,
        driver: usize,
        mut request: Box<Request>,
    ) -> RequestId {
        let id = self.accept(&mut request);
        let taken = self.hand_over(now, driver, request, Hint::Last);
        let slot = self.registry.slot(driver);
        if slot.is_sync() {
            self.collect(now, driver);
        } else if !taken {
            self.kick(driver);
        }
        self.run_kicked(now);
        id
    }

    /// Puts a valid request at the tail of its driver's queue.
    fn enqueue(
        &mut self,
        now: Time,
        driver: usize,
        mut request: Box<Request>,
    ) -> Result<RequestId, Rejected> {
        if self.registry.slot(driver).queue.len() >= self.limits.queue_len {
            // The driver may have room that nobody used yet. What it completes is collected when
            // the caller runs the kicked drivers.
            self.drain(now, driver);
            self.kick(driver);
        }
        if self.registry.slot(driver).queue.len() >= self.limits.queue_len {
            return Err(self.reject(request, RequestInvalid::QueueFull));
        }
        let id = self.accept(&mut request);
        self.queue_up(driver, request);
        Ok(id)
    }

    /// Puts an accepted request at the tail of its driver's queue.
    fn queue_up(&mut self, driver: usize, request: Box<Request>) {
        let (id, slot) = (request.id, self.registry.slot_mut(driver));
        slot.note_expiry(request.expires);
        slot.insert(request);
        self.stats.queued += 1;
        self.stats.queued_max = self.stats.queued_max.max(slot.queue.len());
        self.events.push(FrameworkEvent::Queued { request: id });
    }

    /// Dispatch for a session that is not ready under this name, or whose driver is gone.
    #[cold]
    fn dispatch_waiting(
        &mut self,
        now: Time,
        mut request: Box<Request>,
    ) -> Result<RequestId, Rejected> {
        if let Some(index) = self.find(request.session) {
            self.move_if_left(now, index);
        }
        let (index, stale) = match self.table.lookup(request.session) {
            Lookup::Current(index) => (index, false),
            Lookup::Stale(_) if on(Exhibit::OldNameForgotten) => {
                return Err(self.reject(request, RequestInvalid::NoSession));
            }
            Lookup::Stale(index) => (index, true),
            Lookup::Unknown => return Err(self.reject(request, RequestInvalid::NoSession)),
        };
        if let Err(reason) = self.table.hot[index].rules.check(&request) {
            return Err(self.reject(request, reason));
        }
        if self.table.hot[index].phase == Phase::Homeless {
            // A driver may have come since. If none has, the request ends below.
            let _ = self.bind(now, index);
        }
        let homeless = self.table.hot[index].phase == Phase::Homeless;
        let queue_full = self.table.cold[index].waiting_len() >= self.limits.queue_len;
        if !stale && !homeless && queue_full {
            return Err(self.reject(request, RequestInvalid::QueueFull));
        }
        let id = self.accept(&mut request);
        if homeless {
            self.fail(request, RequestError::NoDriver);
        } else if stale {
            let name = self.table.name(index);
            self.fail(request, RequestError::Moved(name));
        } else {
            self.note_expiry(index, request.expires);
            let passing = self.table.cold[index].passing_or_new();
            passing.waiting.push_back(request);
            self.stats.queued += 1;
            self.events.push(FrameworkEvent::Queued { request: id });
        }
        self.run_kicked(now);
        Ok(id)
    }

    #[cold]
    fn reject(&mut self, request: Box<Request>, reason: RequestInvalid) -> Rejected {
        self.stats.rejected += 1;
        if reason == RequestInvalid::QueueFull {
            self.stats.queue_full += 1;
        }
        Rejected { request, reason }
    }

    /// Makes a request the framework's: from here on it ends exactly once.
    fn accept(&mut self, request: &mut Request) -> RequestId {
        let id = self.next_id();
        let index = self.table.place(request.session);
        let hot = &mut self.table.hot[index];
        stamp(request, hot, id);
        self.stats.accepted(1, request.payload.len as u64);
        id
    }

    /// Offers a request to its driver. A refusal puts it at the head of the driver's queue. Returns
    /// whether the driver took it.
    pub(crate) fn hand_over(
        &mut self,
        now: Time,
        driver: usize,
        mut request: Box<Request>,
        hint: Hint,
    ) -> bool {
        let index = self.table.place(request.session);
        let hot = &mut self.table.hot[index];
        debug_assert!(hot.phase == Phase::Ready && usize::from(hot.driver) == driver);
        let slot = self.registry.slot_mut(driver);
        if needs_undo(&request, hot, slot.flags) {
            self.undo.keep(&mut request, hot.rules, &mut self.stats);
        }
        let bytes = request.payload.len as u64;
        match slot.driver.process(now, hot.driver_session, request, hint) {
            Ok(()) => {
                hot.in_flight += 1;
                slot.taken(1, bytes);
                true
            }
            Err(blocked) => {
                self.refused(driver, blocked);
                false
            }
        }
    }

    #[cold]
    fn refused(&mut self, driver: usize, blocked: Blocked) {
        if on(Exhibit::RefusalAsError) {
            return self.fail(blocked.request, RequestError::Device);
        }
        if on(Exhibit::BusyMeansMoved) {
            let error = RequestError::Moved(blocked.request.session);
            return self.fail(blocked.request, error);
        }
        if on(Exhibit::RefusedRequestFreed) {
            return;
        }
        let slot = self.registry.slot_mut(driver);
        let (id, request) = (slot.id, blocked.request.id);
        // At the head: putting it anywhere else lets later requests overtake it.
        slot.note_expiry(blocked.request.expires);
        match on(Exhibit::RequeueAtTail) {
            true => slot.queue.push_back(blocked.request),
            false => slot.queue.push_front(blocked.request),
        }
        slot.stats.refusals += 1;
        self.stats.refusals += 1;
        self.stats.queued_max = self.stats.queued_max.max(slot.queue.len());
        self.events.push(FrameworkEvent::Refused {
            driver: id,
            request,
        });
        slot.refused_at = Some(blocked.generation);
        if slot.is_blocked() {
            slot.stats.blocks += 1;
            self.stats.blocks += 1;
            self.events.push(FrameworkEvent::Blocked { driver: id });
        } else {
            // Room came while the driver refused: it is not blocked at all.
            slot.refused_at = None;
        }
    }

    /// Hands over what waits for a driver until it refuses, and flushes what it held back.
    pub(crate) fn drain(&mut self, now: Time, driver: usize) {
        self.stats.drains += 1;
        let slot = self.registry.slot_mut(driver);
        slot.kicked = false;
        slot.runnable_at = slot.expires_at;
        if slot.state == DriverState::Detached {
            return;
        }
        if !slot.queue.is_empty() {
            self.hand_over_queue(now, driver);
        }
        if !self.registry.slot(driver).key.queue.is_empty() {
            self.drain_keys(now, driver);
        }
        let slot = self.registry.slot_mut(driver);
        if std::mem::take(&mut slot.held_back) {
            slot.driver.flush(now);
        }
    }

    /// Hands over what waits for a driver until it refuses.
    fn hand_over_queue(&mut self, now: Time, driver: usize) {
        let mut refusals = 0;
        loop {
            let slot = self.registry.slot_mut(driver);
            if slot.is_blocked() {
                break;
            }
            if slot.refused_at.take().is_some() {
                let id = slot.id;
                self.events.push(FrameworkEvent::Unblocked { driver: id });
            }
            if refusals == REFUSALS_MAX {
                slot.runnable_at = slot.runnable_at.min(now + REFUSAL_PAUSE);
                break;
            }
            let Some(request) = slot.queue.pop_front() else {
                break;
            };
            let hint = if slot.queue.is_empty() {
                Hint::Last
            } else {
                Hint::More
            };
            slot.held_back |= hint == Hint::More;
            if request.expires <= now {
                self.time_out(request);
                continue;
            }
            if !self.hand_over(now, driver, request, hint) {
                refusals += 1;
            }
        }
    }

    /// Has a driver's queue drained before the framework returns to its caller.
    pub(crate) fn kick(&mut self, driver: usize) {
        self.registry.slot_mut(driver).kicked = true;
        self.kicked = true;
    }

    /// Has a driver told to detach, before the framework returns, if it leaves and nothing is left
    /// in it.
    pub(crate) fn kick_if_left(&mut self, driver: usize) {
        if self.registry.get(driver).is_some_and(DriverSlot::is_left) {
            self.kick(driver);
        }
    }

    /// Drains every driver that was kicked, and what those kick in turn. Ends because each round
    /// either hands requests over or ends some.
    #[inline]
    pub(crate) fn run_kicked(&mut self, now: Time) {
        if self.kicked {
            self.run_each_kicked(now);
        }
    }

    #[inline(never)]
    fn run_each_kicked(&mut self, now: Time) {
        while std::mem::take(&mut self.kicked) {
            for driver in 0..self.registry.end() {
                let Some(slot) = self.registry.get(driver) else {
                    continue;
                };
                if !slot.kicked {
                    continue;
                }
                if slot.is_left() {
                    self.detach(now, driver);
                    continue;
                }
                let sync = slot.is_sync();
                self.drain(now, driver);
                if sync {
                    self.collect(now, driver);
                }
            }
        }
    }
}

/// Flags that may keep a request from going straight to its driver.
const QUEUING: RequestFlags = RequestFlags::BATCH.union(RequestFlags::ASYNC);

/// A request that is accepted and not handed over, with its session's number in the driver.
struct Held(DriverSession, Box<Request>);

/// Writes into a request what the framework has to say in it.
#[inline]
fn stamp(request: &mut Request, hot: &mut Hot, id: RequestId) {
    request.id = id;
    request.attempts = 0;
    request.is_done = false;
    if request.flags.contains(RequestFlags::ORDERED) {
        request.order = hot.next_order;
        hot.next_order += 1;
    }
}

/// Whether what the request overwrites must be copied before a driver of this kind has it.
#[inline]
fn needs_undo(request: &Request, hot: &Hot, kind: DriverFlags) -> bool {
    hot.policy == MigrationPolicy::Transparent
        && request.undo.is_none()
        && kind.contains(DriverFlags::HARDWARE)
}

#[cfg(test)]
mod tests;
