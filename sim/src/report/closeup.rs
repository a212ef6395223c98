//! The window of a failing run, drawn large: a lane for each place, numbered steps, and a table
//! that tells them.

use std::ops::Range;

use maud::{Markup, html};
use timebase::Time;

use super::axis::{LEFT, RIGHT, TimeAxis, WIDTH};
use super::course::px;
use super::window::{Bar, Dot, Lane, Step, Window};
use crate::summary::units::{count, time};

/// Height of a lane.
const LANE: f64 = 62.0;
/// Top of the first lane: above it stands what was found.
const TOP: f64 = 26.0;
/// Room for the labels of the time axis.
const FOOT: f64 = 26.0;
/// Steps of a lane closer than this share a mark.
const REACH: f64 = 19.0;
/// Other events of a lane closer than this share a mark.
const DOT_REACH: f64 = 3.0;
/// About the width of a character.
const CHARACTER: f64 = 6.0;
/// Most lines of text shown for events that share a mark.
const MAX_TEXTS: usize = 8;

/// The section about `window`.
pub(super) fn section(window: &Window<'_>) -> Markup {
    let about = match window.subject {
        Some(request) => format!("request {request}, from its dispatch on"),
        None => "the events around the violation".to_owned(),
    };
    let (from, to) = (window.time.start, window.time.end);
    html! {
        section class="closeup" {
            h2 { "Where it went wrong" }
            p class="lead" {
                "Enlarged: " (about) ". " (time(to - from)) " from " (exact(from)) " on, "
                "marked in the course of the whole run below."
            }
            div class="scroll" { (drawing(window)) }
            (table(window))
        }
    }
}

fn drawing(window: &Window<'_>) -> Markup {
    let axis = TimeAxis::between(window.time.clone());
    let bottom = TOP + LANE * Lane::ALL.len() as f64;
    let height = bottom + FOOT;
    let marks = marks(&window.steps, &axis);
    let found = axis.x(window.found_at());
    html! {
        svg class="large" viewBox=(format!("0 0 {WIDTH} {height}")) role="img"
            aria-label="the time around the violation" {
            @for (at, (_, name)) in Lane::ALL.iter().enumerate() {
                @let top = TOP + LANE * at as f64;
                rect class=(if at % 2 == 0 { "lane even" } else { "lane" }) x="0" y=(px(top))
                    width=(px(WIDTH)) height=(px(LANE)) {}
                text class="name" x="10" y=(px(top + LANE / 2.0 + 4.0)) { (name) }
            }
            @for tick in axis.ticks() {
                line class="grid" x1=(px(tick.at)) x2=(px(tick.at)) y1=(px(TOP))
                    y2=(px(bottom + 4.0)) {}
                text class="tick" x=(px(tick.at)) y=(px(height - 7.0)) text-anchor="middle" {
                    (tick.label)
                }
            }
            @for bar in window.bars.iter().filter(|bar| !bar.is_subject) { (draw_bar(bar, &axis)) }
            @for (lane, _) in Lane::ALL { (dots(&window.dots, lane, &axis)) }
            @for bar in window.bars.iter().filter(|bar| bar.is_subject) { (draw_bar(bar, &axis)) }
            @if window.subject.is_some() { path class="way" d=(way(&window.steps, &axis)) {} }
            line class="found" x1=(px(found)) x2=(px(found)) y1=(px(TOP - 4.0)) y2=(px(bottom)) {}
            (found_label(window, found))
            @for mark in &marks { (draw_mark(mark)) }
        }
    }
}

/// Which check found it, to the side on which there is room.
fn found_label(window: &Window<'_>, x: f64) -> Markup {
    let is_left = x > (LEFT + RIGHT) / 2.0;
    let (x, anchor) = if is_left {
        (x + 4.0, "end")
    } else {
        (x - 4.0, "start")
    };
    html! {
        text class="verdict-at" x=(px(x)) y=(px(TOP - 9.0)) text-anchor=(anchor) {
            "found by " (window.violation.check) ", " (exact(window.found_at()))
        }
    }
}

fn middle(lane: Lane) -> f64 {
    TOP + LANE * (lane as usize as f64 + 0.5)
}

/// A line from step to step.
fn way(steps: &[Step], axis: &TimeAxis) -> String {
    let points = steps
        .iter()
        .map(|step| format!("{} {}", px(axis.x(step.at)), px(middle(step.lane))));
    let points: Vec<String> = points.collect();
    format!("M{}", points.join("L"))
}

fn draw_bar(bar: &Bar, axis: &TimeAxis) -> Markup {
    let Range { start, end } = bar.time;
    let (from, to) = (axis.x(start), axis.x(end));
    let y = middle(bar.lane) - 5.0;
    html! {
        rect class=(if bar.is_subject { "bar mine" } else { "bar" }) x=(px(from)) y=(px(y))
            width=(px((to - from).max(1.0))) height="10" rx="2" {
            title { (exact(start)) " to " (exact(end)) ": " (bar.text) }
        }
    }
}

/// The other events of a lane, those close together as one.
fn dots(dots: &[Dot], lane: Lane, axis: &TimeAxis) -> Markup {
    let mut clusters: Vec<(f64, u64, Vec<&str>)> = Vec::new();
    for dot in dots.iter().filter(|dot| dot.lane == lane) {
        let x = axis.x(dot.at);
        match clusters.last_mut() {
            Some((at, count, texts)) if x - *at < DOT_REACH => {
                *count += 1;
                if texts.len() < MAX_TEXTS {
                    texts.push(&dot.text);
                }
            }
            Some(_) | None => clusters.push((x, 1, vec![&dot.text])),
        }
    }
    let y = middle(lane);
    html! {
        @for (x, number, texts) in clusters {
            line class="dot" x1=(px(x)) x2=(px(x)) y1=(px(y - 8.0)) y2=(px(y + 8.0)) {
                title {
                    (texts.join("\n"))
                    @if number > texts.len() as u64 {
                        "\nand " (count(number - texts.len() as u64)) " more"
                    }
                }
            }
        }
    }
}

/// Steps of one lane that stand at one place.
struct Mark {
    x: f64,
    y: f64,
    numbers: Range<usize>,
    title: Vec<String>,
    label: String,
    /// Where the label stands, if there is room for it: its middle and its line.
    room: Option<(f64, f64)>,
}

impl Mark {
    fn number(&self) -> String {
        match self.numbers.len() {
            1 => self.numbers.start.to_string(),
            2 => format!("{}, {}", self.numbers.start, self.numbers.end - 1),
            _ => format!("{}–{}", self.numbers.start, self.numbers.end - 1),
        }
    }

    fn width(&self) -> f64 {
        10.0 + self.number().chars().count() as f64 * 6.5
    }
}

/// The marks of `steps`, lane by lane, and a place for as many labels as there is room for.
fn marks(steps: &[Step], axis: &TimeAxis) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    for (lane, _) in Lane::ALL {
        let first = marks.len();
        for (number, step) in (1..).zip(steps).filter(|(_, step)| step.lane == lane) {
            let x = axis.x(step.at);
            let title = format!(
                "{number}: {}, {}, {}",
                exact(step.at),
                step.place,
                step.what
            );
            match marks[first..].last_mut() {
                Some(last) if last.numbers.end == number && x - last.x < REACH => {
                    last.numbers.end = number + 1;
                    last.title.push(title);
                    last.label += &format!(", {}", step.what);
                }
                Some(_) | None => marks.push(Mark {
                    x,
                    y: middle(lane),
                    numbers: number..number + 1,
                    title: vec![title],
                    label: step.what.clone(),
                    room: None,
                }),
            }
        }
        find_room(&mut marks[first..]);
    }
    marks
}

/// Gives each label a place above or below its mark, as long as it meets no other.
fn find_room(marks: &mut [Mark]) {
    let mut taken = [f64::MIN; 2];
    for mark in marks {
        let half = mark.label.chars().count() as f64 * CHARACTER / 2.0;
        if 2.0 * half > RIGHT - LEFT {
            continue;
        }
        let middle = mark.x.clamp(LEFT + half, RIGHT - half);
        for (taken, y) in taken.iter_mut().zip([-16.0, 24.0]) {
            if middle - half > *taken {
                *taken = middle + half + 8.0;
                mark.room = Some((middle, mark.y + y));
                break;
            }
        }
    }
}

fn draw_mark(mark: &Mark) -> Markup {
    let width = mark.width().max(17.0);
    html! {
        g class="step" {
            title { (mark.title.join("\n")) }
            rect x=(px(mark.x - width / 2.0)) y=(px(mark.y - 8.5)) width=(px(width)) height="17"
                rx="8.5" {}
            text class="number" x=(px(mark.x)) y=(px(mark.y + 4.0)) text-anchor="middle" {
                (mark.number())
            }
            @if let Some((x, y)) = mark.room {
                text class="label" x=(px(x)) y=(px(y)) text-anchor="middle" { (mark.label) }
            }
        }
    }
}

/// Every step, and what was found.
fn table(window: &Window<'_>) -> Markup {
    let mut before: Option<Time> = None;
    let mut since = |at: Time| {
        let since = before.map(|before| format!("+{}", time(at.since(before))));
        before = Some(at);
        since.unwrap_or_default()
    };
    html! {
        div class="scroll" {
            table class="numbers steps" {
                thead { tr { th {} th { "time" } th { "after" } th { "place" } th { "what" } } }
                tbody {
                    @for (number, step) in (1..).zip(&window.steps) {
                        tr {
                            th { (number) }
                            td { (exact(step.at)) }
                            td { (since(step.at)) }
                            td { (step.place) }
                            td { (step.what) }
                        }
                    }
                    tr class="bad" {
                        th { "✗" }
                        td { (exact(window.found_at())) }
                        td {}
                        td { (window.violation.check) }
                        td { (window.violation.message) }
                    }
                }
            }
        }
    }
}

/// A time to the nanosecond, in microseconds.
fn exact(at: Time) -> String {
    let ns = at.as_ps() / 1_000;
    format!("{}.{:03} µs", count(ns / 1_000), ns % 1_000)
}
