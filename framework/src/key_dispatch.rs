//! Key operations on their way to a driver and back; `crypto_kdispatch`, `crypto_kdone`.
//!
//! A driver has a queue and a blocked state of its own for them (`cc_kqblocked`): a full symmetric
//! path does not hold up keys, nor the other way round. Because inputs are never written, an
//! operation that a card dropped simply goes to another driver.

use std::collections::VecDeque;

use timebase::{Span, Time};

use crate::choice::DriverChoice;
use crate::event::FrameworkEvent;
use crate::framework::Framework;
use crate::registry::{DriverSlot, DriverState};
use crate::{
    CryptoDriver, DriverFlags, KeyBlocked, KeyCompleted, KeyDriverError, KeyError, KeyFinished,
    KeyInvalid, KeyOp, KeyOps, KeyRejected, KeyRequest, RequestId,
};

/// Refusals in one drain after which a driver that claims to have room is left alone for a while.
const REFUSALS_MAX: u32 = 8;
/// How long.
const REFUSAL_PAUSE: Span = Span::from_ns(1_000);
/// Submissions of one operation after which drivers that keep dropping it are believed.
const ATTEMPTS_MAX: u8 = 8;

/// A driver's key operations.
#[derive(Debug, Default)]
pub(crate) struct KeySlot {
    /// What it has not taken, oldest first.
    pub(crate) queue: VecDeque<Box<KeyRequest>>,
    /// The generation of a refusal that still stands.
    refused_at: Option<u64>,
    pub(crate) in_flight: usize,
}

impl<D: CryptoDriver + ?Sized> DriverSlot<D> {
    fn is_key_blocked(&self) -> bool {
        let refused_at = self.key.refused_at;
        refused_at.is_some_and(|generation| self.driver.key_unblock_generation() == generation)
    }

    /// Whether key operations wait that the driver would take.
    pub(crate) fn keys_can_go(&self) -> bool {
        !self.key.queue.is_empty() && !self.is_key_blocked()
    }
}

impl<D: CryptoDriver + ?Sized> Framework<D> {
    /// Accepts a key operation or hands it back; `crypto_kdispatch`. An accepted one comes out of
    /// [`take_finished_key`](Self::take_finished_key) exactly once, with [`KeyError::NoDriver`] if
    /// no driver of its choice offers it.
    ///
    /// Hardware is preferred, then the driver with the fewest key operations, then the lowest id.
    ///
    /// # Errors
    /// [`KeyRejected`] with the request if its parameters break a rule or the queue is full.
    pub fn dispatch_key(
        &mut self,
        now: Time,
        mut request: Box<KeyRequest>,
    ) -> Result<RequestId, KeyRejected> {
        if let Err(reason) = request.check() {
            return Err(self.reject_key(request, reason));
        }
        let chosen = self.choose_for_key(request.op, request.choice);
        let waiting = chosen.map_or(0, |driver| self.registry.slot(driver).key.queue.len());
        if waiting >= self.limits.queue_len {
            return Err(self.reject_key(request, KeyInvalid::QueueFull));
        }
        request.id = self.next_id();
        request.attempts = 0;
        self.stats.key_ops += 1;
        let id = request.id;
        self.submit_key(chosen, request);
        self.run_kicked(now);
        Ok(id)
    }

    /// The next key operation that is done.
    pub fn take_finished_key(&mut self) -> Option<KeyFinished> {
        self.finished_keys.pop_front()
    }

    /// The key operations that some driver of `choice` offers; `crypto_getfeat`.
    #[must_use]
    pub fn key_operations(&self, choice: DriverChoice) -> KeyOps {
        let offers = |op: &KeyOp| self.choose_for_key(*op, choice).is_some();
        KeyOp::ALL
            .into_iter()
            .filter(offers)
            .map(KeyOps::from)
            .collect()
    }

    fn reject_key(&mut self, request: Box<KeyRequest>, reason: KeyInvalid) -> KeyRejected {
        self.stats.rejected += 1;
        if reason == KeyInvalid::QueueFull {
            self.stats.queue_full += 1;
        }
        KeyRejected { request, reason }
    }

    /// The driver for an operation: hardware before software, then the fewest operations.
    fn choose_for_key(&self, op: KeyOp, choice: DriverChoice) -> Option<usize> {
        let named = self.registry.is_named_active(choice);
        let accepted = self.registry.iter().filter(|slot| {
            let accepted = if named {
                choice.named == Some(slot.id)
            } else {
                choice.accept.intersects(slot.flags)
            };
            accepted
                && slot.state == DriverState::Active
                && slot.driver.key_operations().contains(op.into())
        });
        let best = accepted.min_by_key(|slot| {
            let load = slot.key.in_flight + slot.key.queue.len();
            (!slot.flags.contains(DriverFlags::HARDWARE), load)
        });
        best.map(|slot| usize::from(slot.id.index))
    }

    /// Puts an accepted operation at the tail of a driver's queue, which is drained before the
    /// framework returns; ends it if there is no driver.
    fn submit_key(&mut self, driver: Option<usize>, mut request: Box<KeyRequest>) {
        let Some(driver) = driver else {
            return self.finish_key(request, Err(KeyError::NoDriver));
        };
        let slot = self.registry.slot_mut(driver);
        request.driver = Some(slot.id);
        slot.key.queue.push_back(request);
        self.kick(driver);
    }

    /// Hands over the key operations that wait for a driver until it refuses.
    pub(crate) fn drain_keys(&mut self, now: Time, driver: usize) {
        let mut refusals = 0;
        let slot = self.registry.slot_mut(driver);
        while slot.keys_can_go() {
            slot.key.refused_at = None;
            if refusals == REFUSALS_MAX {
                slot.runnable_at = slot.runnable_at.min(now + REFUSAL_PAUSE);
                break;
            }
            let Some(request) = slot.key.queue.pop_front() else {
                break;
            };
            match slot.driver.process_key(now, request) {
                Ok(()) => slot.key.in_flight += 1,
                Err(KeyBlocked {
                    request,
                    generation,
                }) => {
                    let (driver, id) = (slot.id, request.id);
                    // At the head, as for other requests: nothing overtakes.
                    slot.key.queue.push_front(request);
                    slot.key.refused_at = Some(generation);
                    refusals += 1;
                    self.stats.key_blocks += u64::from(slot.is_key_blocked());
                    self.events.push(FrameworkEvent::Refused {
                        driver,
                        request: id,
                    });
                }
            }
        }
    }

    /// Takes key operations back from a driver.
    #[cold]
    pub(crate) fn complete_keys(&mut self, driver: usize) {
        let mut returned = std::mem::take(&mut self.output.keys);
        for KeyCompleted { request, result } in returned.drain(..) {
            let slot = self.registry.slot_mut(driver);
            assert!(
                slot.key.in_flight > 0,
                "a driver returned a key operation it did not have"
            );
            slot.key.in_flight -= 1;
            match result {
                Ok(()) => self.finish_key(request, Ok(())),
                Err(KeyDriverError::Lost) => self.resubmit_key(request),
                Err(error) => self.finish_key(request, Err(error_of(error))),
            }
        }
        self.output.keys = returned;
        if self.registry.slot(driver).keys_can_go() {
            self.kick(driver);
        }
    }

    /// A driver dropped an operation. Nothing was written: it goes to whoever is best now.
    fn resubmit_key(&mut self, mut request: Box<KeyRequest>) {
        request.attempts += 1;
        if request.attempts > ATTEMPTS_MAX {
            return self.finish_key(request, Err(KeyError::Device));
        }
        self.stats.resubmitted += 1;
        self.events.push(FrameworkEvent::Resubmitted {
            request: request.id,
        });
        let chosen = self.choose_for_key(request.op, request.choice);
        self.submit_key(chosen, request);
    }

    /// Finds other drivers for the key operations that wait for a driver which leaves.
    pub(crate) fn evict_keys(&mut self, driver: usize) {
        let queue = std::mem::take(&mut self.registry.slot_mut(driver).key.queue);
        for request in queue {
            let chosen = self.choose_for_key(request.op, request.choice);
            self.submit_key(chosen, request);
        }
    }

    fn finish_key(&mut self, request: Box<KeyRequest>, result: Result<(), KeyError>) {
        self.stats.key_errors += u64::from(result.is_err());
        self.finished_keys
            .push_back(KeyFinished { request, result });
    }
}

/// How an operation ends that failed in a driver which is still there.
fn error_of(error: KeyDriverError) -> KeyError {
    match error {
        KeyDriverError::Mismatch => KeyError::Mismatch,
        KeyDriverError::Undefined => KeyError::Undefined,
        KeyDriverError::NoRoom => KeyError::NoRoom,
        KeyDriverError::TooBig => KeyError::TooBig,
        KeyDriverError::Device | KeyDriverError::Lost => KeyError::Device,
    }
}

#[cfg(test)]
mod tests;
