//! How a dispatcher is told that there is something to do.
//!
//! A level, not an edge: what was rung while the dispatcher worked is found when it looks again.

use std::time::Duration;

use crate::sync::channel::{Receiver, Sender, bounded};
use crate::sync::{Arc, AtomicBool, Ordering, fence};

/// The dispatcher's end.
pub(crate) struct Doorstep(Receiver<()>);

impl Doorstep {
    /// Waits until somebody rang, or for `limit`.
    pub(crate) fn wait(&self, limit: Option<Duration>) {
        // The other end lives as long as the shard, and a ring is all that is ever sent.
        let _ = match limit {
            Some(limit) => self.0.recv_timeout(limit).is_ok(),
            None => self.0.recv().is_ok(),
        };
        // The other half of the one in `nudge`.
        fence(Ordering::SeqCst);
    }
}

/// Everybody else's end.
#[derive(Clone, Debug)]
pub(crate) struct Doorbell(Sender<()>);

impl Doorbell {
    pub(crate) fn new() -> (Self, Doorstep) {
        let (sender, receiver) = bounded(1);
        (Self(sender), Doorstep(receiver))
    }

    /// Has the dispatcher look. One ring that nobody answered yet is as good as many.
    pub(crate) fn ring(&self) {
        let _ = self.0.try_send(());
    }
}

/// How a driver says, from any thread, that something happened in it: completions are ready, it has
/// room again, its device is gone. Its [`service`](crate::CryptoDriver::service) is called soon
/// after, in another thread. Takes no lock of the runtime, so it may be called with locks of the
/// driver held.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    has_rung: AtomicBool,
    doorbell: Doorbell,
}

impl Waker {
    pub(crate) fn new(doorbell: Doorbell) -> Self {
        let has_rung = AtomicBool::new(false);
        Self(Arc::new(Bell { has_rung, doorbell }))
    }

    /// Has the driver serviced soon. What happened before this call is seen by that service.
    pub fn wake(&self) {
        // Whoever found it clear rings; until the dispatcher clears it again, it has yet to look.
        if !self.0.has_rung.swap(true, Ordering::AcqRel) {
            self.0.doorbell.ring();
        }
    }

    /// Has the dispatcher look at deadlines anew: at what was written before this call.
    pub(crate) fn nudge(&self) {
        // The bell may have rung already, and then this finds it full and writes nothing. Nothing
        // else would order what was written before against the dispatcher, which takes that ring
        // and reads. With both fences, either this finds the bell empty or the dispatcher reads
        // what is new.
        fence(Ordering::SeqCst);
        self.0.doorbell.ring();
    }

    /// Whether somebody woke since the last time. Whoever gets a yes must service.
    pub(crate) fn take(&self) -> bool {
        self.0.has_rung.swap(false, Ordering::AcqRel)
    }
}
