//! One HTML page that shows simulated beside measured points, to look at without a network.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::table::{errors, values};
use super::{Errors, Goal, Point, Series, Use, Validation};
use crate::report::STYLE;
use crate::report::axis::{Log, Tick};
use crate::summary::units::scaled;

/// Size of a plot, in units of its drawing.
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 210.0;
/// Where its axes are.
const LEFT: f64 = 70.0;
const RIGHT: f64 = WIDTH - 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = HEIGHT - 26.0;

/// The page about `validations`.
#[must_use]
pub fn render_page(validations: &[Validation]) -> String {
    let holds = validations.iter().all(Validation::holds);
    let (class, verdict) = if holds {
        ("good", "Goals held")
    } else {
        ("bad", "Goal missed")
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Ringside: device profiles" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p class="brand" { "Ringside" }
                    h1 { "Device profiles " span class=(format!("verdict {class}")) { (verdict) } }
                    p class="lead" {
                        "Published throughput of real devices, and of their simulated twins under "
                        "the same load, over the bytes of a request. Both axes of each plot are "
                        "logarithmic; rings are measured, the line is simulated."
                    }
                }
                section { h2 { "Errors" } div class="scroll" { (summary(validations)) } }
                @for validation in validations { (section(validation)) }
            }
        }
    };
    page.into_string()
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

fn summary(validations: &[Validation]) -> Markup {
    let rows = validations.iter().flat_map(|validation| {
        Use::ALL
            .into_iter()
            .map(move |purpose| (validation, purpose, validation.errors(purpose)))
            .filter(|(_, _, errors)| errors.count > 0)
    });
    html! {
        table class="numbers" {
            thead {
                tr {
                    @for head in ["Profile", "Use", "Points", "Mean", "Largest", "Goal"] {
                        th { (head) }
                    }
                }
            }
            tbody {
                @for (validation, purpose, errors) in rows {
                    tr {
                        th { (validation.device.profile.name) }
                        td { (purpose.name()) }
                        td { (errors.count) }
                        td { (percent(errors.mean)) }
                        td { (percent(errors.max)) }
                        td { (goal(&validation.device.goal, purpose)) }
                    }
                }
            }
        }
    }
}

fn goal(goal: &Goal, purpose: Use) -> String {
    let bound = |bound: Option<f64>| bound.map_or("any".to_owned(), percent);
    match goal.of(purpose) {
        (None, None) => "none".to_owned(),
        (mean, max) => format!("{} / {}", bound(mean), bound(max)),
    }
}

fn section(validation: &Validation) -> Markup {
    let device = &validation.device;
    html! {
        section {
            h2 { (device.profile.name) }
            p class="lead" { (device.about) }
            div class="series" {
                @for (series, points) in device.series.iter().zip(&validation.points) {
                    (figure(series, points))
                }
            }
            @if !device.parameters.is_empty() {
                h3 { "Fitted numbers" }
                table {
                    @for parameter in &device.parameters {
                        tr { td { code { (parameter.keys.join(", ")) } } td { (parameter.value) } }
                    }
                }
            }
        }
    }
}

fn figure(series: &Series, points: &[Point]) -> Markup {
    let about = format!(
        "{}, {}, {}",
        series.load.suite,
        series.purpose.name(),
        errors(&Errors::of(points))
    );
    html! {
        figure {
            figcaption { (series.name) span { (about) } }
            (plot(points))
        }
    }
}

/// Measured points as rings, simulated ones as a line.
fn plot(points: &[Point]) -> Markup {
    let sizes = || points.iter().map(|point| f64::from(point.measured.bytes));
    let smallest = |all: &mut dyn Iterator<Item = f64>| all.fold(f64::MAX, f64::min);
    let largest = |all: &mut dyn Iterator<Item = f64>| all.fold(0.0, f64::max);
    let rates = || {
        points.iter().flat_map(|point| {
            let (factor, _) = point.measured.unit.parts();
            [point.measured.value * factor, point.simulated * factor]
        })
    };
    // An axis lies along the page as well as up it.
    let x = Log::new(RIGHT, LEFT, smallest(&mut sizes()), largest(&mut sizes()));
    let y = Log::new(TOP, BOTTOM, smallest(&mut rates()), largest(&mut rates()));
    let unit = points
        .first()
        .map_or("", |point| point.measured.unit.parts().1);
    let at = |point: &Point, value: f64| {
        let (factor, _) = point.measured.unit.parts();
        (x.y(f64::from(point.measured.bytes)), y.y(value * factor))
    };
    let line: String = points
        .iter()
        .zip(std::iter::once('M').chain(std::iter::repeat('L')))
        .map(|(point, step)| {
            let (x, y) = at(point, point.simulated);
            format!("{step}{x:.1} {y:.1}")
        })
        .collect();
    html! {
        svg class="plot" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" {
            @for Tick { at, label } in y.ticks(|value| scaled(value, unit)) {
                line class="grid" x1=(LEFT) x2=(RIGHT) y1=(format!("{at:.1}"))
                    y2=(format!("{at:.1}")) {}
                text x=(LEFT - 6.0) y=(format!("{:.1}", at + 4.0)) text-anchor="end" { (label) }
            }
            @for Tick { at, label } in size_ticks(points, &x) {
                line class="grid" x1=(format!("{at:.1}")) x2=(format!("{at:.1}")) y1=(TOP)
                    y2=(BOTTOM) {}
                text x=(format!("{at:.1}")) y=(BOTTOM + 16.0) text-anchor="middle" { (label) }
            }
            path class="simulated" d=(line) {}
            @for point in points {
                @let (x, y) = at(point, point.simulated);
                circle class="simulated-at" cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="2.6" {}
                @let (x, y) = at(point, point.measured.value);
                circle class="measured" cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="5" {
                    title { (words(point)) }
                }
            }
        }
    }
}

/// The points' own sizes, as many as have room for a label.
fn size_ticks(points: &[Point], x: &Log) -> Vec<Tick> {
    const ROOM: f64 = 28.0;
    let mut ticks: Vec<Tick> = Vec::new();
    for point in points {
        let size = point.measured.bytes;
        let at = x.y(f64::from(size));
        if ticks.last().is_none_or(|last| at - last.at >= ROOM) {
            let label = match size {
                _ if size.is_multiple_of(1 << 20) => format!("{} Mi", size >> 20),
                _ if size.is_multiple_of(1 << 10) => format!("{} Ki", size >> 10),
                _ => size.to_string(),
            };
            ticks.push(Tick { at, label });
        }
    }
    ticks
}

fn words(point: &Point) -> String {
    let [measured, simulated] = values(point);
    format!(
        "{} B: measured {measured}, simulated {simulated}, {:+.1} %",
        point.measured.bytes,
        point.error() * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Device, validate};
    use super::*;

    #[test]
    fn the_page_shows_every_point_and_needs_no_network() {
        let device = Device::builtin("qualcomm-qce").expect("built in");
        let validation = validate(&device).expect("points");
        let page = render_page(&[validation]);
        assert_eq!(page.matches("class=\"measured\"").count(), 14);
        assert!(page.contains("4096 B: measured"), "{page}");
        for outside in ["http://", "https://", "src=", "@import", "NaN", "inf"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
