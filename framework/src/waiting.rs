//! Requests that wait for a driver, and stop waiting: cancelled, or because their time is over.
//!
//! A request waits in its driver's queue, or with its session while that opens or moves. What a
//! driver has is the driver's: nothing here touches it.

use std::collections::VecDeque;

use timebase::Time;

use crate::framework::Framework;
use crate::table::Phase;
use crate::{CancelError, CryptoDriver, Request, RequestError, RequestId, SessionId};

impl<D: CryptoDriver + ?Sized> Framework<D> {
    /// Ends a request that still waits with [`RequestError::Cancelled`]; its data is untouched.
    ///
    /// # Errors
    /// [`CancelError::NoSession`] for an unknown session, [`CancelError::NotWaiting`] if a driver
    /// has the request or it ended: its callback comes as if nobody had asked.
    pub fn cancel(&mut self, session: SessionId, id: RequestId) -> Result<(), CancelError> {
        let index = self.find(session).ok_or(CancelError::NoSession)?;
        let hot = &self.table.hot[index];
        let queue = match hot.phase {
            Phase::Ready => match self.registry.get_mut(usize::from(hot.driver)) {
                Some(slot) => &mut slot.queue,
                None => return Err(CancelError::NotWaiting),
            },
            Phase::Vacant | Phase::Waiting | Phase::Homeless | Phase::Closing => {
                &mut self.table.cold[index].passing_or_new().waiting
            }
        };
        // Numbers are unique: a request of another session has another.
        let place = queue
            .iter()
            .position(|it| it.id == id && it.session.index == session.index);
        let request = place.and_then(|place| queue.remove(place));
        let request = request.ok_or(CancelError::NotWaiting)?;
        self.stats.cancelled += 1;
        self.fail(request, RequestError::Cancelled);
        Ok(())
    }

    /// Notes when a request expires that waits with the session at `index`.
    pub(crate) fn note_expiry(&mut self, index: usize, expires: Time) {
        let hot = &self.table.hot[index];
        if hot.bound && expires != Time::NEVER {
            let slot = self.registry.get_mut(usize::from(hot.driver));
            slot.into_iter().for_each(|slot| slot.note_expiry(expires));
        }
    }

    /// Ends a request whose time is over.
    #[cold]
    pub(crate) fn time_out(&mut self, request: Box<Request>) {
        self.stats.timed_out += 1;
        self.fail(request, RequestError::TimedOut);
    }

    /// Ends what waits for a driver and expired, in order of its number, and notes when the next
    /// one does.
    #[cold]
    pub(crate) fn expire(&mut self, now: Time, driver: usize) {
        let mut expired = VecDeque::new();
        let slot = self.registry.slot_mut(driver);
        let mut next = take_expired(now, &mut slot.queue, &mut expired);
        for (hot, cold) in self.table.hot.iter().zip(&mut self.table.cold) {
            let is_here = hot.bound && usize::from(hot.driver) == driver;
            if is_here
                && hot.phase == Phase::Waiting
                && let Some(passing) = cold.passing_mut()
            {
                next = next.min(take_expired(now, &mut passing.waiting, &mut expired));
            }
        }
        (slot.expires_at, slot.runnable_at) = (next, next);
        expired.make_contiguous().sort_by_key(|request| request.id);
        for request in expired {
            self.time_out(request);
        }
    }
}

/// Moves what expired from `queue` to `expired`, and tells when the next of the rest does.
fn take_expired(
    now: Time,
    queue: &mut VecDeque<Box<Request>>,
    expired: &mut VecDeque<Box<Request>>,
) -> Time {
    let mut next = Time::NEVER;
    for _ in 0..queue.len() {
        let request = queue.pop_front().expect("as many requests as counted");
        if request.expires <= now {
            expired.push_back(request);
        } else {
            next = next.min(request.expires);
            queue.push_back(request);
        }
    }
    next
}

#[cfg(test)]
mod tests;
