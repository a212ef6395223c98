//! Sessions from open to close; `crypto_newsession`, `crypto_freesession`.
//!
//! A driver opens a session in its own time; requests that come before that wait in the session and
//! then go to the driver in order. A session is freed when the last of its requests is back.

use exhibit::{Exhibit, on};
use timebase::Time;

use crate::choice::{DriverChoice, MigrationPolicy};
use crate::event::{FrameworkEvent, MoveReason};
use crate::framework::Framework;
use crate::registry::{DriverId, DriverState};
use crate::table::{Draining, Phase};
use crate::{
    CryptoDriver, DriverSession, OpenError, RequestError, SessionError, SessionId, SessionParams,
};

impl<D: CryptoDriver + ?Sized> Framework<D> {
    /// Opens a session on the best driver that `choice` accepts; `crypto_newsession` of
    /// crypto_session(9). It can be used at once: requests wait until the driver has opened it.
    ///
    /// If the driver turns out not to open it, the next best is asked; if none does, the requests
    /// end with [`RequestError::NoDriver`] and the session lives on: each later request asks for a
    /// driver again.
    ///
    /// # Errors
    /// [`SessionError::Params`] for invalid parameters, [`SessionError::NoDriver`] or
    /// [`SessionError::Open`] if no driver takes the session, [`SessionError::TooMany`] at the
    /// limit.
    pub fn open_session(
        &mut self,
        now: Time,
        params: SessionParams,
        choice: DriverChoice,
        policy: MigrationPolicy,
    ) -> Result<SessionId, SessionError> {
        params.validate().map_err(SessionError::Params)?;
        if self.table.len() >= self.limits.sessions {
            return Err(SessionError::TooMany(self.table.len()));
        }
        if choice.named.is_some() && !self.registry.is_named_active(choice) {
            return Err(SessionError::NoDriver);
        }
        let index = self.table.insert(params, choice, policy);
        let bound = self.bind(now, index);
        self.run_kicked(now);
        if let Err(error) = bound {
            return Err(self.abandon(index, error));
        }
        if self.table.hot[index].phase == Phase::Homeless {
            return Err(self.abandon(index, SessionError::NoDriver));
        }
        self.stats.sessions += 1;
        Ok(self.table.name(index))
    }

    /// Undoes an opening that no driver took.
    fn abandon(&mut self, index: usize, error: SessionError) -> SessionError {
        self.table.retire_names(index);
        self.table.remove(index);
        error
    }

    /// Frees a session; `crypto_freesession`. Its names mean nothing from now on. Queued requests
    /// end with [`RequestError::Cancelled`]; those in flight finish, and then the driver's session
    /// is closed and the keys are zeroed. A name from before a move frees the session too.
    ///
    /// # Errors
    /// [`SessionError::NoSession`] if the name means nothing.
    pub fn close_session(&mut self, now: Time, id: SessionId) -> Result<(), SessionError> {
        let index = self.find(id).ok_or(SessionError::NoSession)?;
        if self.is_left_behind(index) {
            self.leave(now, index);
            self.table.hot[index].phase = Phase::Homeless;
        }
        let name = self.table.name(index);
        let was_ready = self.table.hot[index].phase == Phase::Ready;
        self.table.hot[index].phase = Phase::Closing;
        self.table.retire_names(index);
        if was_ready {
            let driver = usize::from(self.table.hot[index].driver);
            self.evict(now, driver);
        }
        while let Some(request) = self.table.cold[index].pop_waiting() {
            self.fail(request, RequestError::Cancelled);
        }
        self.events
            .push(FrameworkEvent::SessionClosed { session: name });
        self.settle(now, index);
        self.run_kicked(now);
        Ok(())
    }

    /// Opens the session on the best driver that has not failed to open it. The session then waits
    /// for that driver; if there is none, it is homeless.
    pub(crate) fn bind(&mut self, now: Time, index: usize) -> Result<DriverId, SessionError> {
        let mut error = SessionError::NoDriver;
        loop {
            let cold = &self.table.cold[index];
            let Some(driver) =
                self.registry
                    .choose(&*self.placement, &cold.params(), cold.choice, cold.tried())
            else {
                self.table.cold[index].forget_tried();
                self.table.hot[index].phase = Phase::Homeless;
                return Err(error);
            };
            let id = self.registry.slot(driver).id;
            match self.open_on(now, index, driver) {
                Ok(session) => {
                    self.adopt(index, driver, session);
                    return Ok(id);
                }
                Err(failure) => {
                    error = SessionError::Open(failure);
                    self.table.cold[index].passing_or_new().tried.push(id);
                }
            }
        }
    }

    /// Has a driver open the session, which is not the driver's until [`adopt`](Self::adopt).
    pub(crate) fn open_on(
        &mut self,
        now: Time,
        index: usize,
        driver: usize,
    ) -> Result<DriverSession, OpenError> {
        let params = self.table.cold[index].params();
        let slot = self.registry.slot_mut(driver);
        slot.driver.open_session(now, &params)
    }

    /// Makes `driver`, which is opening the session, the session's driver.
    pub(crate) fn adopt(&mut self, index: usize, driver: usize, session: DriverSession) {
        let hot = &mut self.table.hot[index];
        hot.driver = u16::try_from(driver).expect("an index below the limit");
        (hot.driver_session, hot.bound, hot.phase) = (session, true, Phase::Waiting);
        hot.opening = true;
        let slot = self.registry.slot_mut(driver);
        slot.sessions += 1;
        slot.opening.push_back((session, index));
        if let Some(passing) = self.table.cold[index].passing() {
            let waiting = passing.waiting.iter();
            waiting.for_each(|request| slot.note_expiry(request.expires));
        }
        if slot.is_sync() {
            self.kick(driver);
        }
    }

    /// A driver says how an opening ended.
    pub(crate) fn session_opened(
        &mut self,
        now: Time,
        driver: usize,
        session: DriverSession,
        result: Result<(), OpenError>,
    ) {
        let slot = self.registry.slot_mut(driver);
        let found = slot.opening.iter().position(|entry| entry.0 == session);
        let Some((_, index)) = found.and_then(|position| slot.opening.remove(position)) else {
            return;
        };
        let id = slot.id;
        self.table.hot[index].opening = false;
        if result.is_ok() {
            self.table.cold[index].forget_tried();
            if self.table.hot[index].phase != Phase::Closing {
                let session = self.table.name(index);
                self.events.push(FrameworkEvent::SessionOpened {
                    session,
                    driver: id,
                });
                self.move_if_opened(now, index);
            }
        } else {
            self.unbind(index);
            if self.table.hot[index].phase != Phase::Closing {
                self.table.cold[index].passing_or_new().tried.push(id);
                self.rebind(now, index, (id, MoveReason::OpenFailed));
            }
        }
        self.settle(now, index);
    }

    /// Takes the session from its driver's count; returns which driver that was. The driver's own
    /// session is the caller's to close.
    pub(crate) fn unbind(&mut self, index: usize) -> DriverId {
        let hot = &mut self.table.hot[index];
        assert!(hot.bound, "a session on a driver");
        hot.bound = false;
        let driver = usize::from(hot.driver);
        let id = self.registry.leave(driver);
        self.kick_if_left(driver);
        id
    }

    /// Closes a session in a driver, unless that is past being asked.
    pub(crate) fn close_on(&mut self, now: Time, driver: DriverId, session: DriverSession) {
        let Some(index) = self.registry.index_of(driver) else {
            return;
        };
        let slot = self.registry.slot_mut(index);
        if slot.state != DriverState::Detached {
            slot.driver.close_session(now, session);
        }
    }

    /// Lets a session that waits, closes or lost its driver take the next step it can take.
    pub(crate) fn settle(&mut self, now: Time, index: usize) {
        let hot = &self.table.hot[index];
        if hot.phase == Phase::Ready || hot.phase == Phase::Vacant || hot.in_flight > 0 {
            return;
        }
        let (phase, opening) = (hot.phase, hot.opening);
        let passing = self.table.cold[index].passing_mut();
        let draining = passing.and_then(|passing| passing.draining.take());
        if let Some(Draining { driver, session }) = draining
            && !on(Exhibit::OldSessionKept)
        {
            self.close_on(now, driver, session);
        }
        match phase {
            // The driver it waited to go to is gone too.
            Phase::Waiting if self.is_left_behind(index) => self.move_if_left(now, index),
            Phase::Waiting if !opening => self.make_ready(index),
            Phase::Closing if !opening => self.free(now, index),
            Phase::Waiting | Phase::Closing | Phase::Homeless | Phase::Ready | Phase::Vacant => {}
        }
    }

    /// Hands what waited in the session to its driver's queue.
    fn make_ready(&mut self, index: usize) {
        let hot = &mut self.table.hot[index];
        hot.phase = Phase::Ready;
        let driver = usize::from(hot.driver);
        let cold = &mut self.table.cold[index];
        if cold.waiting_len() == 0 {
            return cold.tidy();
        }
        let slot = self.registry.slot_mut(driver);
        while let Some(request) = cold.pop_waiting() {
            slot.insert(request);
        }
        cold.tidy();
        self.stats.queued_max = self.stats.queued_max.max(slot.queue.len());
        self.kick(driver);
    }

    fn free(&mut self, now: Time, index: usize) {
        let hot = &self.table.hot[index];
        if hot.bound {
            let session = hot.driver_session;
            let id = self.unbind(index);
            self.close_on(now, id, session);
        }
        self.table.remove(index);
        self.stats.sessions -= 1;
    }
}

#[cfg(test)]
mod tests;
