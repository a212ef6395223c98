//! Sessions that go to another driver: because theirs was lost or unregistered, or on request.
//!
//! A session moves once, as a whole, and all its requests learn the same new name. A request that a
//! driver still has finishes there or comes back as dropped; until then the session waits, so that
//! a request submitted again is never overtaken by a newer one.

use std::collections::VecDeque;

use exhibit::{Exhibit, on};
use timebase::{Span, Time};

use crate::choice::MigrationPolicy;
use crate::error::NoSuchDriver;
use crate::event::{FrameworkEvent, MoveReason};
use crate::framework::Framework;
use crate::registry::{DriverId, DriverState};
use crate::table::{Draining, Passing, Phase};
use crate::{CryptoDriver, Request, RequestError, SessionError, SessionId};

/// Places of the table that are looked at for each session that may move in one turn.
const VISITS_PER_MOVE: usize = 32;
/// How long after a turn the next one is: requests have most of the time.
const MOVE_PAUSE: Span = Span::from_us(50);

/// Which sessions [`Framework::rebalance`] moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rebalance {
    /// To where the [placement](crate::Placement) says that they are better off. With the one that
    /// a framework begins with: to better drivers (a larger probe score) and, among equals, from
    /// the most to the least loaded, until numbers of sessions differ by at most one.
    Even,
    /// The same, but only onto this driver: a card that was plugged in again takes its share.
    Onto(DriverId),
}

impl<D: CryptoDriver + ?Sized> Framework<D> {
    /// Takes a driver out in an orderly way; `crypto_unregister_all`. Returns at once. It gets no
    /// new session, and those it has move to other drivers: at once where requests wait, the rest
    /// [in turns](crate::Limits::move_len), idle ones too; until then it serves them. Requests that
    /// it has finish there, and each session is closed there when it has left. After the last one
    /// the driver is told to [detach](crate::CryptoDriver::detach), serviced as before, and
    /// forgotten when it says that it is quiet.
    ///
    /// # Errors
    /// [`NoSuchDriver`] if no such driver is registered, or it is leaving already.
    pub fn unregister(&mut self, now: Time, id: DriverId) -> Result<(), NoSuchDriver> {
        let driver = self.registry.index_of(id).ok_or(NoSuchDriver(id))?;
        let slot = self.registry.slot_mut(driver);
        if slot.state != DriverState::Active {
            return Err(NoSuchDriver(id));
        }
        slot.state = DriverState::Leaving;
        if !on(Exhibit::IdleSessionsStay) {
            self.registry.begin_visits(driver, VecDeque::new());
        }
        for place in 0..self.registry.slot(driver).queue.len() {
            let session = self.registry.slot(driver).queue[place].session;
            self.move_from(now, self.table.place(session), driver);
        }
        self.take_turn(now, driver);
        self.evict_keys(driver);
        self.kick_if_left(driver);
        self.run_kicked(now);
        Ok(())
    }

    /// Tells a driver, in which nothing is left, that it may go.
    #[cold]
    pub(crate) fn detach(&mut self, now: Time, driver: usize) {
        let slot = self.registry.slot_mut(driver);
        assert!(
            slot.queue.is_empty() && slot.key.queue.is_empty(),
            "what waited for a driver that detaches went elsewhere"
        );
        (slot.state, slot.kicked) = (DriverState::Detached, false);
        slot.driver.detach(now);
        self.collect(now, driver);
    }

    /// Moves a session to another driver. It drains where it is and goes on there; what follows for
    /// its requests is up to its policy. The driver must be one that its choice accepts.
    ///
    /// # Errors
    /// [`SessionError::NoSession`] for an unknown session, [`SessionError::Busy`] if it is opening
    /// or moving, [`SessionError::NoDriver`] if `target` is unknown or may not or cannot serve it,
    /// and [`SessionError::Open`] if `target` refuses; the session stays as it is.
    pub fn move_session(
        &mut self,
        now: Time,
        id: SessionId,
        target: DriverId,
    ) -> Result<(), SessionError> {
        let index = self.find(id).ok_or(SessionError::NoSession)?;
        let driver = self.registry.index_of(target);
        let driver = driver.ok_or(SessionError::NoDriver)?;
        self.move_to(now, index, driver)?;
        self.run_kicked(now);
        Ok(())
    }

    /// Moves sessions that are open to drivers where they are better off, within their choice.
    /// Returns the number of sessions that began to move.
    pub fn rebalance(&mut self, now: Time, onto: Rebalance) -> usize {
        let only = match onto {
            Rebalance::Even => None,
            Rebalance::Onto(id) => match self.registry.index_of(id) {
                Some(driver) => Some(driver),
                None => return 0,
            },
        };
        let mut moved = 0;
        for index in 0..self.table.hot.len() {
            let Some(driver) = self.better_driver(index, only) else {
                continue;
            };
            let hot = &self.table.hot[index];
            let (from, load) = (usize::from(hot.driver), hot.in_flight as isize);
            if self.move_to(now, index, driver).is_ok() {
                // The one it left may be gone.
                if let Some(slot) = self.registry.get_mut(from) {
                    slot.moving -= load;
                }
                self.registry.slot_mut(driver).moving += load;
                moved += 1;
            }
        }
        for slot in self.registry.iter_mut() {
            slot.moving = 0;
        }
        self.run_kicked(now);
        moved
    }

    /// A driver where the session would be better off.
    fn better_driver(&self, index: usize, only: Option<usize>) -> Option<usize> {
        let (hot, cold) = (&self.table.hot[index], &self.table.cold[index]);
        if hot.phase != Phase::Ready {
            return None;
        }
        let params = &cold.params();
        let current = usize::from(hot.driver);
        let target = match only {
            Some(driver) => driver,
            None => {
                let placement = &*self.placement;
                self.registry.choose(placement, params, cold.choice, &[])?
            }
        };
        if target == current {
            return None;
        }
        let to = self.registry.candidate(target, params, cold.choice)?;
        // Where the session's choice does not accept its driver any more, anything else is better.
        let from = self.registry.candidate(current, params, cold.choice);
        let load = hot.in_flight as usize;
        let better = from.is_none_or(|from| self.placement.moves(params, load, &from, &to));
        better.then_some(target)
    }

    fn move_to(&mut self, now: Time, index: usize, driver: usize) -> Result<(), SessionError> {
        let (hot, cold) = (&self.table.hot[index], &self.table.cold[index]);
        if hot.phase != Phase::Ready {
            return Err(SessionError::Busy);
        }
        let from = usize::from(hot.driver);
        if from == driver {
            return Ok(());
        }
        let score = self.registry.score(driver, &cold.params(), cold.choice);
        if score.is_none() {
            return Err(SessionError::NoDriver);
        }
        let session = self
            .open_on(now, index, driver)
            .map_err(SessionError::Open)?;
        let from_id = self.leave(now, index);
        self.adopt(index, driver, session);
        self.stats.moves += 1;
        self.renamed(now, index, (from_id, MoveReason::Asked));
        self.evict(now, from);
        Ok(())
    }

    /// A driver is gone. What it had comes with the news. Sessions with requests there move at
    /// once, the others when they are next used or when [`move_in_turn`](Self::move_in_turn) gets
    /// to them: requests do not wait until a million idle sessions have moved.
    #[cold]
    pub(crate) fn lose_driver(&mut self, now: Time, driver: usize) {
        let mut output = std::mem::take(&mut self.output);
        output.lost = false;
        output.opened.clear();
        let slot = self.registry.slot_mut(driver);
        (slot.state, slot.is_lost) = (DriverState::Detached, true);
        let opening = std::mem::take(&mut slot.opening);
        self.registry.begin_visits(driver, opening);
        self.visit(now, driver);
        for completed in output.completed.drain(..) {
            self.move_if_left(now, self.table.place(completed.request.session));
            self.complete(now, driver, completed);
        }
        self.output = output;
        self.evict(now, driver);
        self.complete_keys(driver);
        self.evict_keys(driver);
        let slot = self.registry.slot(driver);
        assert!(
            slot.in_flight + slot.key.in_flight == 0 && slot.queue.is_empty(),
            "a lost driver returned everything"
        );
        let id = slot.id;
        self.registry.remove(driver);
        if self.registry.iter().next().is_none() {
            self.end_openings(now);
        }
        self.plan_turn(now);
        self.events.push(FrameworkEvent::DriverLost { driver: id });
    }

    /// Moves some of the sessions of drivers that leave or are gone, and says when the next ones'
    /// turn is.
    #[cold]
    pub(crate) fn move_in_turn(&mut self, now: Time) {
        self.moves_at = Time::NEVER;
        if let Some(driver) = self.registry.next_to_visit() {
            self.take_turn(now, driver);
        }
    }

    /// Moves the next few sessions of a driver, and the requests that wait there for them.
    fn take_turn(&mut self, now: Time, driver: usize) {
        self.visit(now, driver);
        self.evict(now, driver);
        self.plan_turn(now);
    }

    fn plan_turn(&mut self, now: Time) {
        if self.registry.next_to_visit().is_some() {
            self.moves_at = self.moves_at.min(now + MOVE_PAUSE);
        }
    }

    /// Without a driver there is no next turn, and requests may wait in sessions that were opening.
    fn end_openings(&mut self, now: Time) {
        for place in 0..self.registry.end() {
            for (_, index) in self.registry.take_opening(place) {
                self.move_if_left(now, index);
            }
        }
    }

    /// Moves the next few sessions of a driver that leaves or is gone. What it had where nothing is
    /// left to visit has moved, or does so [when it is open](Self::move_if_opened), or is closing.
    fn visit(&mut self, now: Time, driver: usize) {
        let moves_max = self.limits.move_len.max(1);
        let mut moves = 0;
        for _ in 0..moves_max * VISITS_PER_MOVE {
            let Some(index) = self.registry.next_visit(driver, self.table.hot.len()) else {
                return;
            };
            moves += usize::from(self.move_from(now, index, driver));
            if moves == moves_max {
                return;
            }
        }
    }

    /// Moves a session away if it is on `driver`, which leaves or is gone, and can. Returns whether
    /// it did.
    fn move_from(&mut self, now: Time, index: usize, driver: usize) -> bool {
        let hot = &self.table.hot[index];
        if !hot.bound || usize::from(hot.driver) != driver {
            return false;
        }
        let (is_lost, is_opening) = (self.registry.is_lost(driver), hot.opening);
        if is_lost {
            self.move_away(now, index, MoveReason::Lost);
        } else if !is_opening {
            // A driver that is there closes what it has opened.
            self.move_away(now, index, MoveReason::Unregistered);
        }
        is_lost || !is_opening
    }

    /// Moves a session that its driver has opened, if that was asked to leave meanwhile.
    pub(crate) fn move_if_opened(&mut self, now: Time, index: usize) {
        let driver = usize::from(self.table.hot[index].driver);
        if self.registry.slot(driver).state == DriverState::Leaving {
            self.move_from(now, index, driver);
        }
    }

    /// Whether the session's driver is gone and the session has no other yet.
    pub(crate) fn is_left_behind(&self, index: usize) -> bool {
        let hot = &self.table.hot[index];
        hot.bound && self.registry.is_lost(usize::from(hot.driver))
    }

    /// Moves a session whose driver is gone.
    pub(crate) fn move_if_left(&mut self, now: Time, index: usize) {
        if self.is_left_behind(index) {
            self.move_away(now, index, MoveReason::Lost);
        }
    }

    fn move_away(&mut self, now: Time, index: usize, reason: MoveReason) {
        let closing = self.table.hot[index].phase == Phase::Closing;
        let from = self.leave(now, index);
        if !closing {
            self.rebind(now, index, (from, reason));
        }
        self.settle(now, index);
    }

    /// Takes a session off its driver: at once if the driver has no request of it, else when the
    /// last one is back.
    pub(crate) fn leave(&mut self, now: Time, index: usize) -> DriverId {
        let hot = &mut self.table.hot[index];
        let (session, in_flight) = (hot.driver_session, hot.in_flight > 0);
        // Nobody waits for the answer any more, and there is nobody to ask to close: only from a
        // driver that is gone a session is taken away that is opening.
        let was_opening = std::mem::take(&mut hot.opening);
        let id = self.unbind(index);
        if was_opening {
            return id;
        }
        let cold = &mut self.table.cold[index];
        let drains = |passing: &Passing| passing.draining.is_some();
        let in_flight = in_flight && !on(Exhibit::ClosedUnderRequests);
        if in_flight && !cold.passing().is_some_and(drains) {
            let driver = id;
            cold.passing_or_new().draining = Some(Draining { driver, session });
        } else if !on(Exhibit::OldSessionKept) {
            self.close_on(now, id, session);
        }
        id
    }

    /// Finds the session, which is on no driver, another one; `from` says which it left, and why.
    pub(crate) fn rebind(&mut self, now: Time, index: usize, from: (DriverId, MoveReason)) {
        if self.bind(now, index).is_ok() {
            self.stats.migrations += 1;
            self.renamed(now, index, from);
            return;
        }
        let session = self.table.name(index);
        self.events
            .push(FrameworkEvent::SessionHomeless { session });
        self.redirect_waiting(now, index);
    }

    /// The session has another driver: gives it another name if its policy says so, and tells the
    /// requests that wait in it.
    fn renamed(&mut self, now: Time, index: usize, (from_driver, reason): (DriverId, MoveReason)) {
        let from = self.table.name(index);
        let hot = &mut self.table.hot[index];
        let to_driver = self.registry.slot(usize::from(hot.driver)).id;
        // An opening that failed is no news to a consumer: nobody used the session there.
        let report = hot.policy == MigrationPolicy::Report && reason != MoveReason::OpenFailed;
        if report {
            hot.generation = hot.generation.wrapping_add(1);
        }
        let to = self.table.name(index);
        self.events.push(FrameworkEvent::SessionMoved {
            from,
            to,
            from_driver,
            to_driver,
            reason,
        });
        if report {
            self.redirect_waiting(now, index);
        }
    }

    /// Sends what waits in the session where it belongs after the session changed.
    fn redirect_waiting(&mut self, now: Time, index: usize) {
        for _ in 0..self.table.cold[index].waiting_len() {
            let request = self.table.cold[index].pop_waiting();
            self.redirect(now, request.expect("as many requests as counted"));
        }
    }

    /// Takes requests that a driver has not seen out of its queue, all of a lost one and else those
    /// of sessions that it does not serve any more, and sends them where they belong now.
    pub(crate) fn evict(&mut self, now: Time, driver: usize) {
        let waiting = self.registry.get(driver).map_or(0, |slot| slot.queue.len());
        for _ in 0..waiting {
            let slot = self.registry.slot_mut(driver);
            let request = slot.queue.pop_front().expect("as many requests as counted");
            let hot = &self.table.hot[self.table.place(request.session)];
            let is_served = hot.phase == Phase::Ready && usize::from(hot.driver) == driver;
            if is_served && !slot.is_lost {
                slot.queue.push_back(request);
            } else if !on(Exhibit::QueueLeftBehind) {
                self.redirect(now, request);
            }
        }
    }

    /// A request that no driver has seen, of a session that is not what it was: it ends, or waits.
    fn redirect(&mut self, now: Time, request: Box<Request>) {
        let index = self.table.place(request.session);
        self.move_if_left(now, index);
        let hot = &self.table.hot[index];
        let error = match hot.phase {
            Phase::Closing => RequestError::Cancelled,
            Phase::Homeless => RequestError::NoDriver,
            Phase::Waiting if hot.policy == MigrationPolicy::Report => {
                RequestError::Moved(self.table.name(index))
            }
            Phase::Waiting => return self.put_back(index, request),
            Phase::Ready | Phase::Vacant => unreachable!("only what left its driver is redirected"),
        };
        self.fail(request, error);
    }
}

#[cfg(test)]
mod tests;
