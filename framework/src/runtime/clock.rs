//! Where the threaded way gets its time from.

use std::time::Instant;

use timebase::{Span, Time};

/// The present time. It never falls.
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Time;
}

impl<F: Fn() -> Time + Send + Sync> Clock for F {
    fn now(&self) -> Time {
        self()
    }
}

/// The system's clock, from zero on when it is made.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place with a real clock")]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let ns = u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Time::ZERO + Span::from_ns(ns)
    }
}
