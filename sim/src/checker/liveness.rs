//! Liveness: once nothing more goes wrong, everything that was dispatched drains.

use timebase::{Span, Time};

use super::Findings;

/// Watches progress.
#[derive(Debug)]
pub struct Liveness {
    /// What it saw.
    pub findings: Findings,
    last_progress: Time,
    /// The present instant and the steps taken at it.
    instant: (Time, u32),
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            findings: Findings::new("liveness"),
            last_progress: Time::ZERO,
            instant: (Time::ZERO, 0),
        }
    }
}

impl Liveness {
    /// Something moved: a dispatch, a callback or a fault.
    #[inline]
    pub fn progress(&mut self, at: Time) {
        self.last_progress = self.last_progress.max(at);
    }

    /// Whether `outstanding` requests have stood still for longer than `bound` at `now`; found
    /// once.
    pub fn is_stuck(&mut self, now: Time, outstanding: u64, bound: Span) -> bool {
        self.findings.look();
        let stuck = outstanding > 0 && now.since(self.last_progress) > bound;
        if stuck {
            let since = self.last_progress;
            self.findings.violation(now, || {
                format!("{outstanding} requests outstanding and no progress since {since}")
            });
        }
        stuck
    }

    /// Whether more than `bound` steps were taken at the instant `now`: time stands still.
    pub fn is_spinning(&mut self, now: Time, bound: u32) -> bool {
        let (instant, steps) = self.instant;
        self.instant = if instant == now {
            (now, steps + 1)
        } else {
            (now, 1)
        };
        let spinning = self.instant.1 > bound;
        if spinning {
            self.findings.violation(now, || {
                format!("{bound} steps at {now} and time stands still")
            });
        }
        spinning
    }

    /// Everything was closed and has settled at `now`: `open` sessions never will.
    pub fn sessions_left(&mut self, now: Time, open: u64) {
        self.findings.look();
        if open > 0 {
            self.findings
                .violation(now, || format!("{open} sessions do not close"));
        }
    }

    /// Every driver was asked to leave and had its time until `now`: `open` drivers never will.
    pub fn drivers_left(&mut self, now: Time, open: u64) {
        self.findings.look();
        if open > 0 {
            self.findings
                .violation(now, || format!("{open} drivers do not leave"));
        }
    }

    /// Nothing is left to happen at `now`: `outstanding` requests will never end.
    pub fn nothing_left(&mut self, now: Time, outstanding: u64) {
        self.findings.look();
        if outstanding > 0 {
            self.findings.violation(now, || {
                format!("{outstanding} requests outstanding and nothing left to happen")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_still_with_work_outstanding_is_found() {
        let mut check = Liveness::default();
        check.progress(Time::from_ps(100));
        assert!(!check.is_stuck(Time::from_ps(150), 3, Span::from_ps(50)));
        assert!(
            !check.is_stuck(Time::from_ps(900), 0, Span::from_ps(50)),
            "idle is not stuck"
        );
        assert!(check.is_stuck(Time::from_ps(151), 3, Span::from_ps(50)));
        check.nothing_left(Time::from_ps(200), 1);
        check.sessions_left(Time::from_ps(200), 1);
        check.sessions_left(Time::from_ps(200), 0);
        check.drivers_left(Time::from_ps(200), 1);
        check.drivers_left(Time::from_ps(200), 0);
        assert_eq!(check.findings.violations(), 4);
    }

    #[test]
    fn steps_without_time_are_found() {
        let mut check = Liveness::default();
        let now = Time::from_ps(7);
        assert!((0..10).all(|_| !check.is_spinning(now, 10)));
        assert!(check.is_spinning(now, 10));
        assert!(!check.is_spinning(Time::from_ps(8), 10), "time went on");
    }
}
