//! The card's time while it serves: what its `now` is.

use std::time::Instant;

use timebase::{Span, Time};

/// How the card's time passes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pacing {
    /// As fast as this machine can: what is due later is done at once, and time jumps there.
    #[default]
    Free,
    /// As the profile says: nothing is done before it is due.
    Timed,
}

/// The card's time. It never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    pacing: Pacing,
    now: Time,
}

impl Clock {
    /// A clock that starts at zero.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "a card on a socket lives in real time; this is the one place that reads it"
    )]
    pub fn new(pacing: Pacing) -> Self {
        Self {
            start: Instant::now(),
            pacing,
            now: Time::ZERO,
        }
    }

    /// How time passes.
    #[must_use]
    pub const fn pacing(&self) -> Pacing {
        self.pacing
    }

    /// The present.
    pub fn now(&mut self) -> Time {
        let ns = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Two hundred days of picoseconds fit; a server that is older stands still.
        let passed = Time::from_ps(ns.saturating_mul(1000).min(Time::NEVER.as_ps() - 1));
        self.now = self.now.max(passed);
        self.now
    }

    /// Lets time jump to `at` if it passes freely; gives the present.
    pub fn reach(&mut self, at: Time) -> Time {
        let now = self.now();
        if self.pacing == Pacing::Free && at != Time::NEVER {
            self.now = now.max(at);
        }
        self.now
    }

    /// Lets time jump to `at`, however it passes otherwise.
    pub fn jump(&mut self, at: Time) {
        if at != Time::NEVER {
            self.now = self.now.max(at);
        }
    }

    /// How long until `at`; `None` if that is never.
    pub fn until(&mut self, at: Time) -> Option<Span> {
        let is_ever = at != Time::NEVER;
        is_ever.then(|| Span::from_ps(at.as_ps().saturating_sub(self.now().as_ps())))
    }
}
