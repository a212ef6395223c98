//! Bounds: queues stay as short as they are said to be, and whoever leaves gives everything back.

use framework::{FrameworkStats, Limits};
use timebase::Time;

use super::Findings;

/// Looks at counts of the framework and of DMA windows.
#[derive(Debug)]
pub struct Bounds {
    /// What it saw.
    pub findings: Findings,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            findings: Findings::new("bounds"),
        }
    }
}

impl Bounds {
    /// Looks at the framework when everything was closed. `rings` is how many commands all rings
    /// together hold: what they had taken may come back to a queue beyond its limit.
    pub fn look_at_framework(
        &mut self,
        at: Time,
        (stats, limits): (&FrameworkStats, &Limits),
        rings: usize,
    ) {
        let longest = limits.queue_len + rings;
        let counts = [
            ("requests waited at most", stats.queued_max, longest),
            ("requests are still in flight", stats.in_flight, 0),
        ];
        for (what, count, most) in counts {
            self.findings.look();
            if count > most {
                self.findings
                    .violation(at, || format!("{count} {what}, and the bound is {most}"));
            }
        }
    }

    /// Looks at the windows of the machine slot `place`, whose driver is gone.
    pub fn look_at_windows(&mut self, at: Time, place: &str, open: usize) {
        self.findings.look();
        if open > 0 {
            self.findings.violation(at, || {
                format!("the driver of {place} left {open} DMA windows open")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_its_bound_or_stays_behind_is_found() {
        let limits = Limits::default();
        let mut stats = FrameworkStats {
            queued_max: limits.queue_len + 7,
            ..FrameworkStats::default()
        };
        let mut check = Bounds::default();
        check.look_at_framework(Time::ZERO, (&stats, &limits), 7);
        check.look_at_windows(Time::ZERO, "card0", 0);
        assert_eq!(check.findings.messages(), [""; 0]);
        stats.queued_max += 1;
        stats.in_flight = 1;
        check.look_at_framework(Time::ZERO, (&stats, &limits), 7);
        check.look_at_windows(Time::ZERO, "card0", 2);
        assert_eq!(check.findings.violations(), 3);
    }
}
