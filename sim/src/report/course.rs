//! Plots of the drivers' course over virtual time: throughput, latency, ring occupancy.

use std::ops::Range;

use maud::{Markup, html};
use timebase::{Span, Time};

use super::axis::{LEFT, Linear, Log, RIGHT, Tick, TimeAxis, WIDTH};
use super::marks::{Guide, absences};
use crate::outcome::{Outcome, Sample, Series};
use crate::scenario::Scenario;
use crate::summary::units::{scaled, time};

/// Top of the plot inside a drawing.
const TOP: f64 = 10.0;
/// Room for the labels of the time axis.
const FOOT: f64 = 24.0;

/// Width of the mark of an enlarged time at least.
const MIN_WINDOW: f64 = 7.0;

/// Name of the driver without a card.
pub(super) const SOFTWARE: &str = "software";

/// What the plots draw.
pub(super) struct Course<'a> {
    /// What was to run.
    pub(super) scenario: &'a Scenario,
    /// The run.
    pub(super) outcome: &'a Outcome,
    /// The shared time axis.
    pub(super) axis: TimeAxis,
    /// Lines across all plots.
    pub(super) guides: Vec<Guide>,
    /// The time that is drawn large elsewhere.
    pub(super) window: Option<Range<Time>>,
}

impl Course<'_> {
    /// Payload over time, drivers on top of each other.
    pub(super) fn throughput(&self) -> Markup {
        let (height, bottom) = (230.0, 230.0 - FOOT);
        let series = &self.outcome.series;
        let steps = steps(series);
        let mut stacked = vec![0.0; steps];
        let mut layers = Vec::new();
        for driver in series {
            let below = stacked.clone();
            for (at, sum) in stacked.iter_mut().enumerate() {
                *sum += throughput_of(driver, at);
            }
            layers.push((below, stacked.clone()));
        }
        let largest = stacked.iter().copied().fold(0.0, f64::max);
        let y = Linear::new(TOP, bottom, largest);
        let body = html! {
            @for (number, (below, above)) in layers.iter().enumerate() {
                @let edge = below.iter().zip(above).map(|(below, above)| {
                    (above > below).then(|| y.y(*above))
                });
                g class=(hue(number, &series[number].name)) {
                    path class="fill" d=(self.area(&y, below, above)) {}
                    path class="edge" d=(self.line(edge)) {}
                }
            }
        };
        let ticks = y.ticks(|value| scaled(value, "B/s"));
        self.plot(
            ["Throughput", "payload finished, drivers stacked"],
            height,
            &ticks,
            &body,
        )
    }

    /// Median and 99th percentile over time, on a logarithmic axis.
    pub(super) fn latency(&self) -> Markup {
        let (height, bottom) = (250.0, 250.0 - FOOT);
        let series = &self.outcome.series;
        let known = || {
            let samples = series.iter().flat_map(|driver| &driver.samples);
            samples.filter(|sample| sample.requests > 0)
        };
        let positive = |span: Span| span.as_ps().max(1) as f64;
        let smallest = known()
            .map(|sample| positive(sample.latency_p50))
            .fold(f64::MAX, f64::min);
        let largest = known()
            .map(|sample| positive(sample.latency_p99))
            .fold(1.0, f64::max);
        let y = Log::new(TOP, bottom, smallest.min(largest), largest);
        let line = |driver: &Series, of: fn(&Sample) -> Span| {
            self.line(
                driver
                    .samples
                    .iter()
                    .map(|sample| (sample.requests > 0).then(|| y.y(positive(of(sample))))),
            )
        };
        let body = html! {
            @for (number, driver) in series.iter().enumerate() {
                g class=(hue(number, &driver.name)) {
                    path class="p99" d=(line(driver, |sample| sample.latency_p99)) {}
                    path class="p50" d=(line(driver, |sample| sample.latency_p50)) {}
                }
            }
        };
        let ticks = y.ticks(|value| time(Span::from_ps(value as u64)));
        let about = "dispatch to callback, strong line p50, fine line p99, logarithmic";
        self.plot(["Latency", about], height, &ticks, &body)
    }

    /// Slots in use over time, a strip for each card.
    pub(super) fn occupancy(&self) -> Markup {
        const STRIP: f64 = 62.0;
        const GAP: f64 = 20.0;
        let rings = self
            .outcome
            .series
            .iter()
            .enumerate()
            .filter(|(_, of)| of.ring_slots > 0);
        let rings: Vec<(usize, &Series)> = rings.collect();
        let mut ticks = Vec::new();
        let body = html! {
            @for (strip, &(number, driver)) in rings.iter().enumerate() {
                @let top = TOP + strip as f64 * (STRIP + GAP);
                @let bottom = top + STRIP;
                @let full = f64::from(driver.ring_slots);
                @let y = |used: f64| bottom - (used / full).min(1.0) * STRIP;
                @let used = driver.samples.iter().map(|of| y(f64::from(of.occupancy_max)));
                @let used: Vec<f64> = used.collect();
                ({
                    ticks.push(Tick { at: top, label: driver.ring_slots.to_string() });
                    ticks.push(Tick { at: bottom, label: "0".to_owned() });
                    html! {}
                })
                @for absence in absences(self, &driver.name) {
                    @let x = self.axis.x(absence.start);
                    rect class="absent" x=(px(x)) y=(px(top)) height=(px(STRIP))
                        width=(px(self.axis.x(absence.end) - x)) {
                        title { (driver.name) " is out of its slot or out of service" }
                    }
                }
                g class=(hue(number, &driver.name)) {
                    path class="fill" d=(self.steps_down_to(&used, bottom)) {}
                }
                text class="strip" x="0" y=(px(top + STRIP / 2.0 + 4.0)) { (driver.name) }
            }
        };
        let height = TOP + rings.len() as f64 * (STRIP + GAP) - GAP + FOOT;
        let about =
            "most ring slots in use at once, of all the card's data rings; hatched: no card";
        self.plot(["Ring occupancy", about], height.max(60.0), &ticks, &body)
    }

    /// One drawing with its heading, grid, time axis and guides.
    pub(super) fn plot(
        &self,
        [title, about]: [&str; 2],
        height: f64,
        ticks: &[Tick],
        body: &Markup,
    ) -> Markup {
        let bottom = height - FOOT;
        html! {
            figure {
                figcaption { b { (title) } " " span { (about) } }
                div class="scroll" {
                    svg class="plot" viewBox=(format!("0 0 {WIDTH} {height}")) role="img"
                        aria-label=(title) {
                        @for tick in ticks {
                            line class="grid" x1=(px(LEFT)) x2=(px(RIGHT)) y1=(px(tick.at))
                                y2=(px(tick.at)) {}
                            text class="tick" x=(px(LEFT - 8.0)) y=(px(tick.at + 4.0))
                                text-anchor="end" { (tick.label) }
                        }
                        @for tick in self.axis.ticks() {
                            line class="grid" x1=(px(tick.at)) x2=(px(tick.at)) y1=(px(TOP))
                                y2=(px(bottom + 4.0)) {}
                            text class="tick" x=(px(tick.at)) y=(px(height - 6.0))
                                text-anchor="middle" { (tick.label) }
                        }
                        (self.enlarged(bottom))
                        (body)
                        @for guide in &self.guides {
                            line class=(format!("guide {}", guide.class)) x1=(px(guide.x))
                                x2=(px(guide.x)) y1=(px(TOP)) y2=(px(bottom)) {
                                title { (guide.text) }
                            }
                        }
                        line class="cursor" y1=(px(TOP)) y2=(px(bottom)) {}
                    }
                }
            }
        }
    }

    /// The time that is drawn large elsewhere, wide enough to be seen.
    fn enlarged(&self, bottom: f64) -> Markup {
        let Some(window) = &self.window else {
            return html! {};
        };
        let (from, to) = (self.axis.x(window.start), self.axis.x(window.end));
        let spare = (MIN_WINDOW - (to - from)).max(0.0) / 2.0;
        html! {
            rect class="window" x=(px(from - spare)) y=(px(TOP - 6.0))
                width=(px(to - from + 2.0 * spare)) height=(px(bottom - TOP + 10.0)) rx="2" {
                title { "enlarged above: " (window.start) " to " (window.end) }
            }
        }
    }

    /// Middle of step `at` on the page.
    fn middle(&self, at: usize) -> f64 {
        let step = self
            .outcome
            .series
            .first()
            .map_or(Span::ZERO, |driver| driver.step);
        self.axis.x(Time::ZERO + step * at as u64 + step / 2)
    }

    /// A line through the middles of the steps, with a gap where there is nothing.
    fn line(&self, ys: impl Iterator<Item = Option<f64>>) -> String {
        let mut path = String::new();
        let mut is_down = false;
        for (at, y) in ys.enumerate() {
            if let Some(y) = y {
                let pen = if is_down { 'L' } else { 'M' };
                path += &format!("{pen}{} {}", px(self.middle(at)), px(y));
                if !is_down {
                    // A lone point would be a line without length, which is not drawn.
                    path += "h0.01";
                }
            }
            is_down = y.is_some();
        }
        path
    }

    /// The area between two lines.
    fn area(&self, y: &Linear, below: &[f64], above: &[f64]) -> String {
        let point =
            |(at, &value): (usize, &f64)| format!("{} {}", px(self.middle(at)), px(y.y(value)));
        let there = above.iter().enumerate().map(point);
        let back = below.iter().enumerate().map(point).rev();
        let points: Vec<String> = there.chain(back).collect();
        if points.is_empty() {
            String::new()
        } else {
            format!("M{}Z", points.join("L"))
        }
    }

    /// The area below a staircase.
    fn steps_down_to(&self, ys: &[f64], bottom: f64) -> String {
        let Some(step) = self.outcome.series.first().map(|driver| driver.step) else {
            return String::new();
        };
        let mut path = format!("M{} {}", px(LEFT), px(bottom));
        for (at, &y) in ys.iter().enumerate() {
            let end = self.axis.x(Time::ZERO + step * (at as u64 + 1));
            path += &format!("V{}H{}", px(y), px(end));
        }
        path + &format!("V{}Z", px(bottom))
    }
}

/// Classes of what belongs to a driver: its number for the script, its colour for the style.
pub(super) fn hue(number: usize, name: &str) -> String {
    const HUES: usize = 7;
    if name == SOFTWARE {
        format!("d{number} soft")
    } else {
        format!("d{number} h{}", number % HUES)
    }
}

/// Steps of the longest series.
pub(super) fn steps(series: &[Series]) -> usize {
    series
        .iter()
        .map(|driver| driver.samples.len())
        .max()
        .unwrap_or(0)
}

/// Bytes per second of `driver` in step `at`.
pub(super) fn throughput_of(driver: &Series, at: usize) -> f64 {
    let bytes = driver.samples.get(at).map_or(0, |sample| sample.bytes);
    let seconds = driver.step.as_secs_f64();
    if seconds > 0.0 {
        bytes as f64 / seconds
    } else {
        0.0
    }
}

/// A place on the page, to a tenth.
pub(super) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
