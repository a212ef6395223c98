//! One HTML page about a run, to look at without a network.
//!
//! Owns layout, plots and words; adds nothing to the numbers of an [`Outcome`]. Everything is in
//! the one file: style, drawings, and a few lines of script for the readout under the pointer.

pub(crate) mod axis;
mod closeup;
mod course;
mod marks;
mod tables;
mod window;

use std::ops::Range;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use timebase::{Span, Time};

use crate::outcome::{Outcome, Series, Summary};
use crate::scenario::Scenario;
use crate::summary::Replay;
use crate::summary::units::{bytes, count, counted, rate, scaled, share, time};
use axis::{LEFT, TimeAxis, WIDTH};
use course::{Course, hue, throughput_of};

/// Style of every page.
pub(crate) const STYLE: &str = include_str!("style.css");

/// The page about a run.
#[must_use]
pub fn render(scenario: &Scenario, outcome: &Outcome, replay: &Replay) -> String {
    let title = format!(
        "{}, seed {}",
        outcome.summary.scenario, outcome.summary.seed
    );
    let window = window::of(scenario, outcome);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Ringside: " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (headline(scenario, outcome, replay))
                (figures(outcome))
                (tables::violations(outcome))
                @if let Some(window) = &window { (closeup::section(window)) }
                (plots(scenario, outcome, window.as_ref().map(|it| it.time.clone())))
                (tables::drivers(outcome))
                (tables::checks(outcome))
                (tables::faults(outcome))
                (tables::set_up(scenario))
                (tables::how_to_replay(replay))
            }
        }
    };
    page.into_string()
}

fn headline(scenario: &Scenario, outcome: &Outcome, replay: &Replay) -> Markup {
    let summary = &outcome.summary;
    let (class, verdict) = if outcome.passed() {
        ("good", "Passed")
    } else {
        ("bad", "Failed")
    };
    html! {
        header {
            p class="brand" { "Ringside" }
            h1 { (summary.scenario) " " span class=(format!("verdict {class}")) { (verdict) } }
            p class="lead" { (scenario.description) }
            dl class="facts" {
                div { dt { "Seed" } dd { (summary.seed) } }
                div { dt { "Trace digest" } dd { code { (summary.digest) } } }
                div { dt { "Replay" } dd { code { (replay.to_string()) } } }
            }
        }
    }
}

fn figures(outcome: &Outcome) -> Markup {
    let tiles = load_tiles(&outcome.summary)
        .into_iter()
        .chain(event_tiles(&outcome.summary));
    html! {
        section class="tiles" {
            @for Tile { label, figure, about } in tiles {
                div { p { (label) } strong { (figure) } span { (about) } }
            }
        }
    }
}

/// A key figure.
struct Tile {
    label: &'static str,
    figure: String,
    about: String,
}

fn tile(label: &'static str, figure: String, about: String) -> Tile {
    Tile {
        label,
        figure,
        about,
    }
}

/// How much was done, and how fast.
fn load_tiles(summary: &Summary) -> [Tile; 4] {
    let elapsed = Span::from_ps(summary.elapsed_ps);
    let latency = summary.latency;
    let ns = |ns: u64| time(Span::from_ns(ns));
    let (p50, rest) = if summary.requests == 0 {
        ("–".to_owned(), "no request called back".to_owned())
    } else {
        (
            ns(latency.p50_ns),
            format!("p99 {}, max {}", ns(latency.p99_ns), ns(latency.max_ns)),
        )
    };
    let amount = format!(
        "{} in {} of virtual time",
        bytes(summary.bytes),
        time(elapsed)
    );
    let found = if summary.timing_only {
        "of input, none worked on: timing only"
    } else {
        "of input found right"
    };
    let right = format!("{} {found}", counted(summary.pieces, "piece"));
    let blocks = counted(summary.blocks, "block");
    let unblocks = counted(summary.unblocks, "unblock");
    [
        tile("Requests", count(summary.requests), right),
        tile("Throughput", rate(summary.bytes, elapsed), amount),
        tile("Latency p50", p50, rest),
        tile(
            "Refusals",
            count(summary.refusals),
            format!("{blocks}, {unblocks}"),
        ),
    ]
}

/// What happened on the way.
fn event_tiles(summary: &Summary) -> [Tile; 4] {
    let held = summary
        .checks
        .iter()
        .filter(|check| check.violations == 0)
        .count();
    let cards = format!("{} / {}", count(summary.unplugs), count(summary.plugs));
    let fate = format!(
        "{} resubmitted, {} told, {} made anew",
        count(summary.resubmitted),
        count(summary.moved),
        count(summary.interrupted)
    );
    let falsified = "put in on purpose and found out".to_owned();
    let watched = format!("{} watched", counted(summary.events, "event"));
    [
        tile("Migrations", count(summary.migrations), fate),
        tile(
            "Cards out and in",
            cards,
            "pulled out / put in under load".to_owned(),
        ),
        tile(
            "Falsified digests",
            count(summary.tampered_caught),
            falsified,
        ),
        tile(
            "Checks held",
            format!("{held} / {}", summary.checks.len()),
            watched,
        ),
    ]
}

fn plots(scenario: &Scenario, outcome: &Outcome, window: Option<Range<Time>>) -> Markup {
    if course::steps(&outcome.series) == 0 || outcome.summary.requests == 0 {
        return html! {
            section { h2 { "Course" } p { "No request called back, so there is nothing to plot." } }
        };
    }
    let last_mark = outcome.marks.iter().map(|mark| mark.at - Time::ZERO).max();
    let last_step = outcome
        .series
        .iter()
        .map(|of| of.step * of.samples.len() as u64)
        .max();
    let end = last_mark.max(last_step).unwrap_or_default();
    let axis = TimeAxis::new(end);
    let course = Course {
        scenario,
        outcome,
        axis,
        guides: marks::guides(outcome, &axis),
        window,
    };
    html! {
        section class="course" {
            h2 { "Course over virtual time" }
            (readout(outcome, end))
            (hatching())
            (marks::lanes(&course))
            (course.throughput())
            (course.latency())
            (course.occupancy())
            script type="application/json" id="steps" { (PreEscaped(steps_json(outcome, &axis))) }
            script { (PreEscaped(include_str!("hover.js"))) }
        }
    }
}

/// Legend and readout in one: the whole run, or the step under the pointer.
fn readout(outcome: &Outcome, end: Span) -> Markup {
    html! {
        div class="readout" {
            table {
                thead {
                    tr {
                        th { output id="clock" { "whole run" } }
                        th { "throughput" }
                        th { "latency p50 / p99" }
                        th { "ring slots" }
                    }
                }
                tbody {
                    @for (number, driver) in outcome.series.iter().enumerate() {
                        tr {
                            th {
                                button type="button" data-toggle=(number) aria-pressed="true"
                                    title="show or hide" {
                                    i class=(format!("swatch {}", hue(number, &driver.name))) {}
                                    (driver.name)
                                }
                            }
                            @for (column, text) in whole_run(driver, end).iter().enumerate() {
                                td data-cell=(format!("{number},{column}")) { (text) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Throughput, latency and occupancy of a driver over the whole run.
fn whole_run(driver: &Series, end: Span) -> [String; 3] {
    let bytes: u64 = driver.samples.iter().map(|sample| sample.bytes).sum();
    let most = driver
        .samples
        .iter()
        .map(|sample| sample.occupancy_max)
        .max()
        .unwrap_or(0);
    [
        format!("{} mean", rate(bytes, end)),
        "–".to_owned(),
        slots(driver, most),
    ]
}

fn slots(driver: &Series, used: u32) -> String {
    if driver.ring_slots == 0 {
        return "–".to_owned();
    }
    let full = share(u64::from(used), u64::from(driver.ring_slots));
    format!("{used} of {} ({full})", driver.ring_slots)
}

/// The readout of every step, for the script: places on the page and finished words.
fn steps_json(outcome: &Outcome, axis: &TimeAxis) -> String {
    let step = outcome
        .series
        .first()
        .map_or(Span::ZERO, |driver| driver.step);
    let rows: Vec<serde_json::Value> = (0..course::steps(&outcome.series))
        .map(|at| {
            let cells: Vec<[String; 3]> = outcome
                .series
                .iter()
                .map(|driver| step_cells(driver, at))
                .collect();
            let from = Time::ZERO + step * at as u64;
            serde_json::json!({ "t": format!("at {from}"), "d": cells })
        })
        .collect();
    let pitch = axis.x(Time::ZERO + step) - LEFT;
    let json = serde_json::json!({ "width": WIDTH, "left": LEFT, "step": pitch, "rows": rows });
    // Nothing in here may end the script element.
    json.to_string().replace('<', "\\u003c")
}

fn step_cells(driver: &Series, at: usize) -> [String; 3] {
    let sample = driver.samples.get(at).copied().unwrap_or_default();
    let latency = if sample.requests == 0 {
        "–".to_owned()
    } else {
        format!(
            "{} / {}",
            time(sample.latency_p50),
            time(sample.latency_p99)
        )
    };
    [
        scaled(throughput_of(driver, at), "B/s"),
        latency,
        slots(driver, sample.occupancy_max),
    ]
}

/// The pattern of times without a card, for all plots.
fn hatching() -> Markup {
    html! {
        svg class="hidden" aria-hidden="true" {
            defs {
                pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"
                    patternTransform="rotate(45)" {
                    line class="hatch" x1="0" y1="0" x2="0" y2="6" {}
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
