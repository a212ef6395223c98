//! What happened inside the framework, for logs and checkers.
//!
//! Never needed to drive the framework. The log is bounded: see [`Limits`](crate::Limits).

use std::collections::VecDeque;

use crate::registry::DriverId;
use crate::{RequestId, SessionId};

/// Why a session left its driver.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MoveReason {
    /// The driver reported its device lost.
    Lost,
    /// The driver was unregistered.
    Unregistered,
    /// Somebody asked for it.
    Asked,
    /// The driver could not open the session after all.
    OpenFailed,
}

/// One entry of the framework's log, in the order things happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrameworkEvent {
    /// A driver joined.
    DriverRegistered {
        /// Its name here.
        driver: DriverId,
    },
    /// A driver is gone, lost or detached.
    DriverLost {
        /// Its name here, from now on unknown.
        driver: DriverId,
    },
    /// A driver refused a request (ERESTART).
    Refused {
        /// The driver.
        driver: DriverId,
        /// The request, now at the head of the driver's queue.
        request: RequestId,
    },
    /// A driver counts as blocked.
    Blocked {
        /// The driver.
        driver: DriverId,
    },
    /// A blocked driver has room again.
    Unblocked {
        /// The driver.
        driver: DriverId,
    },
    /// A request waits in its driver's queue or in its session.
    Queued {
        /// The request.
        request: RequestId,
    },
    /// A request goes to a driver a second time.
    Resubmitted {
        /// The request.
        request: RequestId,
    },
    /// A session can be used on its driver.
    SessionOpened {
        /// The session.
        session: SessionId,
        /// Its driver.
        driver: DriverId,
    },
    /// A session has another driver and, under the policy that reports moves, another name.
    SessionMoved {
        /// Name before.
        from: SessionId,
        /// Name from now on.
        to: SessionId,
        /// Driver before.
        from_driver: DriverId,
        /// Driver from now on.
        to_driver: DriverId,
        /// Why.
        reason: MoveReason,
    },
    /// No driver is left that may and can serve the session.
    SessionHomeless {
        /// The session.
        session: SessionId,
    },
    /// A session is gone and its keys are zeroed.
    SessionClosed {
        /// The name it was closed under.
        session: SessionId,
    },
}

/// The bounded log. A length of zero switches it off.
#[derive(Debug)]
pub(crate) struct EventLog {
    len: usize,
    entries: VecDeque<FrameworkEvent>,
    dropped: u64,
}

impl EventLog {
    pub(crate) fn new(len: usize) -> Self {
        Self {
            len,
            entries: VecDeque::new(),
            dropped: 0,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, event: FrameworkEvent) {
        if self.len == 0 {
            return;
        }
        if self.entries.len() == self.len {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back(event);
    }

    pub(crate) fn drain(&mut self) -> std::collections::vec_deque::Drain<'_, FrameworkEvent> {
        self.entries.drain(..)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}
