//! Marks on the time axis: a lane for each driver with its blocks, removals and moves.
//!
//! Marks that would stand on each other become one with a count, so that a page stays readable
//! however often a ring was full.

use std::ops::Range;

use maud::{Markup, html};
use timebase::{Span, Time};

use super::axis::{LEFT, RIGHT, Tick, TimeAxis};
use super::course::{Course, hue, px};
use crate::outcome::{Mark, MarkKind, Outcome};
use crate::summary::units::{count, counted, share, time};

/// Height of a lane.
const LANE: f64 = 42.0;
/// Top of the first lane.
const TOP: f64 = 10.0;
/// Room for the labels of the time axis.
const FOOT: f64 = 24.0;
/// Marks closer than this are drawn as one.
const REACH: f64 = 13.0;
/// Stretches of the axis for which blocked time is added up.
const COLUMNS: u64 = 240;
/// Most lines of text shown for marks drawn as one.
const MAX_TEXTS: usize = 8;

/// Kinds drawn as a symbol, with class and name.
const SYMBOLS: [(MarkKind, &str, &str); 5] = [
    (MarkKind::Unplug, "unplug", "card pulled out"),
    (MarkKind::Plug, "plug", "card put in"),
    (MarkKind::Migrate, "migrate", "sessions moved"),
    (MarkKind::Fault, "fault", "fault, or taken out of service"),
    (MarkKind::Violation, "violation", "check broken"),
];

/// A line across all plots.
pub(super) struct Guide {
    /// Where.
    pub(super) x: f64,
    /// Kind of mark.
    pub(super) class: &'static str,
    /// What happened there.
    pub(super) text: String,
}

/// Marks of one kind in one lane that are drawn as one.
struct Cluster {
    x: f64,
    count: u64,
    texts: Vec<String>,
}

/// A stretch of the axis and how much of it a driver was blocked.
struct Column {
    start: Time,
    width: Span,
    times: u64,
    blocked: Span,
}

/// Lines for what changes the machine; blocks are too many and moves follow from removals.
pub(super) fn guides(outcome: &Outcome, axis: &TimeAxis) -> Vec<Guide> {
    let kinds = [SYMBOLS[0], SYMBOLS[1], SYMBOLS[3], SYMBOLS[4]];
    let of_kind = |(kind, class, _): (MarkKind, &'static str, &str)| {
        let marks = outcome.marks.iter().filter(move |mark| mark.kind == kind);
        clusters(marks, axis, 2.0).into_iter().map(move |cluster| {
            let text = cluster.texts.join("\n");
            Guide {
                x: cluster.x,
                class,
                text,
            }
        })
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

/// The lanes as one plot.
pub(super) fn lanes(course: &Course<'_>) -> Markup {
    let outcome = course.outcome;
    let mut names: Vec<&str> = outcome
        .series
        .iter()
        .map(|driver| driver.name.as_str())
        .collect();
    if outcome
        .marks
        .iter()
        .any(|mark| !names.contains(&mark.driver.as_str()))
    {
        names.push("");
    }
    let middle = |lane: usize| TOP + LANE * (lane as f64 + 0.6);
    let label = |&name: &&str| {
        if name.is_empty() {
            "run".to_owned()
        } else {
            name.to_owned()
        }
    };
    let ticks: Vec<Tick> = names
        .iter()
        .enumerate()
        .map(|(lane, name)| Tick {
            at: middle(lane),
            label: label(name),
        })
        .collect();
    let body = html! {
        @for (number, &name) in names.iter().enumerate() {
            (lane(course, name, number, middle(number)))
        }
    };
    let height = TOP + LANE * names.len().max(1) as f64 + FOOT;
    let about = "bars: driver blocked, its rings full, the stronger the longer; dashes: no card";
    html! {
        (course.plot(["Events", about], height, &ticks, &body))
        (legend(outcome))
    }
}

fn lane(course: &Course<'_>, name: &str, number: usize, y: f64) -> Markup {
    let (outcome, axis) = (course.outcome, &course.axis);
    let known: Vec<&str> = outcome
        .series
        .iter()
        .map(|driver| driver.name.as_str())
        .collect();
    let is_here = |mark: &&Mark| {
        mark.driver == name || (name.is_empty() && !known.contains(&mark.driver.as_str()))
    };
    html! {
        @if !name.is_empty() {
            g class=(hue(number, name)) {
                line class="life" x1=(px(LEFT)) x2=(px(RIGHT)) y1=(px(y)) y2=(px(y)) {}
                @for out in absences(course, name) {
                    @let (from, to) = (px(axis.x(out.start)), px(axis.x(out.end)));
                    line class="erase" x1=(from) x2=(to) y1=(px(y)) y2=(px(y)) {}
                    line class="out" x1=(from) x2=(to) y1=(px(y)) y2=(px(y)) {}
                }
                @for column in blocked_columns(course, name) {
                    @let x = axis.x(column.start);
                    @let width = axis.x(column.start + column.width) - x;
                    rect class="blocked" x=(px(x)) y=(px(y - 7.0)) width=(px(width)) height="14"
                        fill-opacity=(column.opacity()) {
                        title { (column.story(name)) }
                    }
                }
            }
        }
        @for (kind, class, _) in SYMBOLS {
            @let marks = outcome.marks.iter().filter(is_here).filter(|mark| mark.kind == kind);
            @for cluster in clusters(marks, axis, REACH) {
                // Sessions move when a card goes or comes: the two stand above each other.
                @let y = if kind == MarkKind::Migrate { y - 13.0 } else { y };
                g class=(format!("mark {class}")) {
                    title { (cluster.story()) }
                    (symbol(kind, cluster.x, y))
                    @if cluster.count > 1 {
                        text x=(px(cluster.x + 8.0)) y=(px(y + 4.0)) { (count(cluster.count)) }
                    }
                }
            }
        }
    }
}

/// Times in which the card of `name` was out of its slot, or out of service.
pub(super) fn absences(course: &Course<'_>, name: &str) -> Vec<Range<Time>> {
    let card = course.scenario.cards.iter().find(|card| card.name == name);
    let mut since = card.filter(|card| !card.present).map(|_| Time::ZERO);
    // A card that is put in without having been pulled out was detached by the fault before.
    let mut fault = None;
    let mut absences = Vec::new();
    for mark in course
        .outcome
        .marks
        .iter()
        .filter(|mark| mark.driver == name)
    {
        match mark.kind {
            MarkKind::Unplug => since = since.or(Some(mark.at)),
            MarkKind::Fault => fault = Some(mark.at),
            MarkKind::Plug => {
                let from = since.take().or(fault.take());
                absences.extend(from.map(|from| from..mark.at));
                fault = None;
            }
            MarkKind::Block | MarkKind::Unblock | MarkKind::Migrate | MarkKind::Violation => {}
        }
    }
    absences.extend(since.map(|since| since..Time::ZERO + course.axis.end()));
    absences
}

/// Times from block to unblock, in order. A driver that goes while it is blocked is not unblocked.
fn blocked_times(course: &Course<'_>, name: &str) -> Vec<Range<Time>> {
    let mut times = Vec::new();
    let mut since: Option<Time> = None;
    let mut fault = Time::ZERO;
    for mark in course
        .outcome
        .marks
        .iter()
        .filter(|mark| mark.driver == name)
    {
        match mark.kind {
            MarkKind::Block => since = since.or(Some(mark.at)),
            MarkKind::Unblock | MarkKind::Unplug => {
                times.extend(since.take().map(|since| since..mark.at));
            }
            MarkKind::Fault => fault = mark.at,
            MarkKind::Plug => {
                let end = |since| if fault >= since { fault } else { mark.at };
                times.extend(since.take().map(|since| since..end(since)));
            }
            MarkKind::Migrate | MarkKind::Violation => {}
        }
    }
    times.extend(since.map(|since| since..Time::ZERO + course.axis.end()));
    times
}

/// How much of each column a driver was blocked; a ring that is full every few microseconds has far
/// more blocks than a page has columns.
fn blocked_columns(course: &Course<'_>, name: &str) -> Vec<Column> {
    let width = course.axis.end().as_ps().div_ceil(COLUMNS).max(1);
    let mut columns: Vec<Column> = (0..COLUMNS)
        .map(|at| {
            let start = Time::from_ps(width * at);
            Column {
                start,
                width: Span::from_ps(width),
                times: 0,
                blocked: Span::ZERO,
            }
        })
        .collect();
    for blocked in blocked_times(course, name) {
        let first = (blocked.start.as_ps() / width).min(COLUMNS - 1);
        let last = (blocked.end.as_ps() / width).min(COLUMNS - 1);
        columns[first as usize].times += 1;
        for column in &mut columns[first as usize..=last as usize] {
            let end = blocked.end.min(column.start + column.width);
            column.blocked += end - blocked.start.max(column.start);
        }
    }
    columns.retain(|column| column.times > 0 || column.blocked > Span::ZERO);
    columns
}

impl Column {
    fn opacity(&self) -> String {
        let share = self.blocked.as_ps() as f64 / self.width.as_ps() as f64;
        format!("{:.2}", 0.25 + 0.75 * share.min(1.0))
    }

    fn story(&self, name: &str) -> String {
        let times = counted(self.times, "time");
        let part = share(self.blocked.as_ps(), self.width.as_ps());
        format!(
            "{name} became blocked {times} from {}, and was so {part} of {}",
            self.start,
            time(self.width)
        )
    }
}

impl Cluster {
    fn story(&self) -> String {
        let mut text = self.texts.join("\n");
        let shown = self.texts.len() as u64;
        if self.count > shown {
            text += &format!("\nand {} more", count(self.count - shown));
        }
        text
    }
}

fn clusters<'a>(
    marks: impl Iterator<Item = &'a Mark>,
    axis: &TimeAxis,
    reach: f64,
) -> Vec<Cluster> {
    let mut marks: Vec<&Mark> = marks.collect();
    marks.sort_by_key(|mark| mark.at);
    let mut clusters: Vec<Cluster> = Vec::new();
    for mark in marks {
        let x = axis.x(mark.at);
        let text = format!("{}: {}", mark.at, mark.text);
        match clusters.last_mut() {
            Some(last) if x - last.x < reach => {
                last.count += 1;
                if last.texts.len() < MAX_TEXTS {
                    last.texts.push(text);
                }
            }
            Some(_) | None => clusters.push(Cluster {
                x,
                count: 1,
                texts: vec![text],
            }),
        }
    }
    clusters
}

fn symbol(kind: MarkKind, x: f64, y: f64) -> Markup {
    let shape = match kind {
        MarkKind::Unplug => "m-5 -5 l10 10 m-10 0 l10 -10",
        MarkKind::Plug => "m0 -6 l6 10 h-12 z",
        MarkKind::Migrate => "m0 -6 l5 6 l-5 6 l-5 -6 z",
        MarkKind::Fault | MarkKind::Block | MarkKind::Unblock => "m-4 -4 h8 v8 h-8 z",
        MarkKind::Violation => "m0 -7 l7 7 l-7 7 l-7 -7 z m0 3 v4 m0 3 v0.01",
    };
    html! { path d=(format!("M{} {}{shape}", px(x), px(y))) {} }
}

fn legend(outcome: &Outcome) -> Markup {
    let is_seen = |kind| outcome.marks.iter().any(|mark| mark.kind == kind);
    html! {
        p class="legend" {
            @for (kind, class, name) in SYMBOLS.into_iter().filter(|of| is_seen(of.0)) {
                span {
                    svg viewBox="0 0 20 20" aria-hidden="true" {
                        g class=(format!("mark {class}")) { (symbol(kind, 10.0, 10.0)) }
                    }
                    (name)
                }
            }
            @if is_seen(MarkKind::Block) {
                span {
                    svg viewBox="0 0 20 20" aria-hidden="true" {
                        rect class="blocked" x="2" y="4" width="16" height="12" {}
                    }
                    "driver blocked"
                }
            }
        }
    }
}
