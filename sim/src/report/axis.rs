//! From numbers to places on a page: scales, round ticks, labels.

use std::ops::Range;

use timebase::{Span, Time};

use crate::summary::units::three_digits;

/// Width of every plot, in units of its drawing.
pub(super) const WIDTH: f64 = 1_080.0;
/// Where the time axis begins.
pub(super) const LEFT: f64 = 76.0;
/// Where the time axis ends.
pub(super) const RIGHT: f64 = WIDTH - 14.0;

/// A value and the label that stands at its tick.
pub(crate) struct Tick {
    /// Where on the page.
    pub(crate) at: f64,
    /// What stands there.
    pub(crate) label: String,
}

/// The time axis that all plots share, or that of a part of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeAxis {
    start: Time,
    end: Span,
}

impl TimeAxis {
    /// An axis from zero to `end`.
    pub(super) fn new(end: Span) -> Self {
        Self {
            start: Time::ZERO,
            end: end.max(Span::from_ps(1)),
        }
    }

    /// An axis from one time to another; its labels count from where it begins.
    pub(super) fn between(time: Range<Time>) -> Self {
        Self {
            start: time.start,
            ..Self::new(time.end.since(time.start))
        }
    }

    /// The length of the axis.
    pub(super) fn end(&self) -> Span {
        self.end
    }

    /// Where `time` stands.
    pub(super) fn x(&self, time: Time) -> f64 {
        let since = time.as_ps().saturating_sub(self.start.as_ps());
        let fraction = since as f64 / self.end.as_ps() as f64;
        LEFT + fraction.min(1.0) * (RIGHT - LEFT)
    }

    /// About ten round points of time.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let (scale, unit) = time_unit(self.end);
        let end = self.end.as_ps() as f64 / scale;
        round_steps(end, 10.0)
            .into_iter()
            .map(|value| Tick {
                at: self.x(self.start + Span::from_ps((value * scale) as u64)),
                label: match (value == 0.0, self.start == Time::ZERO) {
                    (true, _) => "0".to_owned(),
                    (false, true) => format!("{} {unit}", plain(value)),
                    (false, false) => format!("+{} {unit}", plain(value)),
                },
            })
            .collect()
    }
}

/// An axis that grows evenly from zero, upwards on the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear {
    top: f64,
    bottom: f64,
    end: f64,
}

impl Linear {
    /// From zero at `bottom` to a little over `largest` at `top`.
    pub(super) fn new(top: f64, bottom: f64, largest: f64) -> Self {
        let end = if largest > 0.0 { largest * 1.08 } else { 1.0 };
        Self { top, bottom, end }
    }

    /// Where `value` stands.
    pub(super) fn y(&self, value: f64) -> f64 {
        self.bottom - value / self.end * (self.bottom - self.top)
    }

    /// About four round values, with labels made by `label`.
    pub(super) fn ticks(&self, label: impl Fn(f64) -> String) -> Vec<Tick> {
        round_steps(self.end, 4.0)
            .into_iter()
            .map(|value| Tick {
                at: self.y(value),
                label: label(value),
            })
            .collect()
    }
}

/// An axis on which equal steps are equal factors, upwards on the page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    top: f64,
    bottom: f64,
    low: f64,
    high: f64,
}

impl Log {
    /// From a round value not above `smallest` to one not below `largest`; both are above zero.
    pub(crate) fn new(top: f64, bottom: f64, smallest: f64, largest: f64) -> Self {
        let low = ROUND_FACTORS
            .iter()
            .rev()
            .map(|factor| factor * decade(smallest))
            .find(|&value| value <= smallest * 1.000_001)
            .unwrap_or(decade(smallest));
        let high = ROUND_FACTORS
            .iter()
            .chain(&[10.0])
            .map(|factor| factor * decade(largest))
            .find(|&value| value >= largest * 0.999_999)
            .unwrap_or(10.0 * decade(largest));
        let high = high.max(low * 2.0);
        Self {
            top,
            bottom,
            low: low.ln(),
            high: high.ln(),
        }
    }

    /// Where `value` stands.
    pub(crate) fn y(&self, value: f64) -> f64 {
        let fraction = (value.ln() - self.low) / (self.high - self.low);
        self.bottom - fraction.clamp(0.0, 1.0) * (self.bottom - self.top)
    }

    /// One, two and five of each decade, fewer if there are many decades.
    pub(crate) fn ticks(&self, label: impl Fn(f64) -> String) -> Vec<Tick> {
        let decades = (self.high - self.low) / std::f64::consts::LN_10;
        let factors: &[f64] = if decades > 3.0 {
            &[1.0]
        } else {
            &ROUND_FACTORS
        };
        let mut ticks = Vec::new();
        let mut decade = decade(self.low.exp() * 1.000_001);
        while decade.ln() <= self.high {
            for factor in factors {
                let value = decade * factor;
                if (self.low - 1e-6..=self.high + 1e-6).contains(&value.ln()) {
                    ticks.push(Tick {
                        at: self.y(value),
                        label: label(value),
                    });
                }
            }
            decade *= 10.0;
        }
        ticks
    }
}

const ROUND_FACTORS: [f64; 3] = [1.0, 2.0, 5.0];

/// The power of ten not above `value`.
fn decade(value: f64) -> f64 {
    10_f64.powi(value.log10().floor() as i32)
}

/// Round values from zero to `end`, about as many as `wanted`.
fn round_steps(end: f64, wanted: f64) -> Vec<f64> {
    let raw = end / wanted;
    let base = decade(raw);
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * base)
        .find(|&step| step >= raw * 0.999_999)
        .unwrap_or(10.0 * base);
    let count = (end / step * 1.000_001).floor() as u32;
    (0..=count).map(|at| f64::from(at) * step).collect()
}

/// Picoseconds in the unit in which `span` is best read, and that unit.
fn time_unit(span: Span) -> (f64, &'static str) {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "s"),
        (1_000_000_000, "ms"),
        (1_000_000, "µs"),
        (1_000, "ns"),
    ];
    UNITS
        .into_iter()
        .find(|&(scale, _)| span.as_ps() >= scale)
        .map_or((1.0, "ps"), |(scale, unit)| (scale as f64, unit))
}

/// A number without needless zeros.
fn plain(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        three_digits(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn time_ticks_are_round_and_inside() {
        for ps in [
            1,
            7,
            999,
            12_345,
            3_456_789,
            12_402_000_000,
            9_000_000_000_000,
        ] {
            let axis = TimeAxis::new(Span::from_ps(ps));
            let ticks = axis.ticks();
            assert!((2..=14).contains(&ticks.len()), "{ps}: {}", ticks.len());
            assert!(
                ticks.iter().all(|tick| (LEFT..=RIGHT).contains(&tick.at)),
                "{ps}"
            );
        }
        let axis = TimeAxis::new(Span::from_us(12_402));
        assert_eq!(labels(&axis.ticks())[..3], ["0", "2 ms", "4 ms"]);
    }

    #[test]
    fn a_part_of_a_run_is_counted_from_where_it_begins() {
        let at = |us: u64| Time::ZERO + Span::from_us(us);
        let axis = TimeAxis::between(at(5_186)..at(5_196));
        assert_eq!(labels(&axis.ticks())[..3], ["0", "+1 µs", "+2 µs"]);
        assert!((axis.x(at(5_186)) - LEFT).abs() < 0.01);
        assert!((axis.x(at(5_196)) - RIGHT).abs() < 0.01);
        assert!((axis.x(at(5_191)) - (LEFT + RIGHT) / 2.0).abs() < 0.01);
        // What is outside stands at the edge.
        assert_eq!((axis.x(at(1)), axis.x(at(9_000))), (LEFT, RIGHT));
    }

    #[test]
    fn linear_axes_take_anything_from_nothing() {
        for largest in [0.0, 0.3, 1.0, 7.0, 4.2e9] {
            let axis = Linear::new(10.0, 110.0, largest);
            let ticks = axis.ticks(|value| value.to_string());
            assert!((2..=7).contains(&ticks.len()), "{largest}: {}", ticks.len());
            assert!(
                ticks.iter().all(|tick| (10.0..=110.0).contains(&tick.at)),
                "{largest}"
            );
        }
    }

    #[test]
    fn log_axes_hold_their_values_and_have_ticks() {
        for (low, high) in [(1.0, 1.0), (3.0, 4.0), (12.0, 88_000.0), (0.001, 1e9)] {
            let axis = Log::new(10.0, 110.0, low, high);
            assert!(axis.y(low) <= 110.0 && axis.y(high) >= 10.0);
            assert!(axis.y(low) >= axis.y(high));
            let ticks = axis.ticks(|value| value.to_string());
            assert!(
                (2..=13).contains(&ticks.len()),
                "{low} {high}: {}",
                ticks.len()
            );
        }
    }
}
