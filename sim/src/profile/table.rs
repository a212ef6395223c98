//! What is known of profiles, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Device, Errors, Fit, Point, Series, Use, Validation};
use crate::summary::units::{counted, scaled};

/// Every profile of `devices` in a few words.
#[must_use]
pub fn render_list(devices: &[Device]) -> String {
    let mut text = String::new();
    for device in devices {
        let points: usize = device.series.iter().map(|series| series.points.len()).sum();
        let _ = writeln!(text, "{}", device.profile.name);
        if !device.about.is_empty() {
            let _ = writeln!(text, "    {}", device.about);
        }
        let errata: Vec<&str> = device.profile.errata.names().collect();
        if !errata.is_empty() {
            let _ = writeln!(text, "    errata: {}", errata.join(", "));
        }
        if points > 0 {
            let _ = writeln!(
                text,
                "    {} in {}, {}",
                counted(points as u64, "measured point"),
                counted(device.series.len() as u64, "series").replace("seriess", "series"),
                counted(device.parameters.len() as u64, "fitted parameter"),
            );
        }
    }
    text
}

/// A table of every point of `validations`, and what they come to.
#[must_use]
pub fn render_text(validations: &[Validation]) -> String {
    let mut text = String::new();
    for validation in validations {
        describe(&mut text, validation);
    }
    if validations.len() > 1 {
        let points = validations.iter().flat_map(|of| of.points.iter().flatten());
        let _ = writeln!(text, "all profiles: {}", errors(&Errors::of(points)));
        for purpose in Use::ALL {
            let points = validations.iter().flat_map(|of| points_of(of, purpose));
            let _ = writeln!(
                text,
                "  {}: {}",
                purpose.name(),
                errors(&Errors::of(points))
            );
        }
    }
    text
}

fn points_of(validation: &Validation, purpose: Use) -> impl Iterator<Item = &Point> {
    let of = validation.device.series.iter().zip(&validation.points);
    of.filter(move |(series, _)| series.purpose == purpose)
        .flat_map(|(_, points)| points)
}

fn describe(text: &mut String, validation: &Validation) {
    let device = &validation.device;
    let _ = writeln!(text, "{}: {}", device.profile.name, device.about);
    for (series, points) in device.series.iter().zip(&validation.points) {
        let _ = writeln!(
            text,
            "  {} of {}, {}, {}",
            series.name,
            series.data,
            series.load.suite,
            series.purpose.name()
        );
        for point in points {
            let [measured, simulated] = values(point);
            let _ = writeln!(
                text,
                "  {:>9} B {measured:>13} measured {simulated:>13} simulated {:>+7.1} %",
                point.measured.bytes,
                point.error() * 100.0,
            );
        }
        let _ = writeln!(text, "  {:>11} {}", "", errors(&Errors::of(points)));
    }
    for purpose in Use::ALL {
        let found = validation.errors(purpose);
        if found.count == 0 {
            continue;
        }
        let (mean, max) = device.goal.of(purpose);
        let bound = |bound: Option<f64>| {
            bound.map_or("any".to_owned(), |bound| format!("{:.1} %", bound * 100.0))
        };
        let goal = if mean.or(max).is_none() {
            "no goal".to_owned()
        } else {
            let verdict = if validation.holds_for(purpose) {
                "held"
            } else {
                "MISSED"
            };
            format!("goal {} / {} {verdict}", bound(mean), bound(max))
        };
        let _ = writeln!(text, "  {}: {}; {goal}", purpose.name(), errors(&found));
    }
    text.push('\n');
}

pub(super) fn errors(errors: &Errors) -> String {
    format!(
        "{}, mean error {:.1} %, largest {:.1} %",
        counted(errors.count as u64, "point"),
        errors.mean * 100.0,
        errors.max * 100.0
    )
}

/// What was measured and what was simulated, for people.
pub(super) fn values(point: &Point) -> [String; 2] {
    let (factor, unit) = point.measured.unit.parts();
    [point.measured.value, point.simulated].map(|value| scaled(value * factor, unit))
}

/// What a search found, and how much it is worth.
#[must_use]
pub fn render_fit(fit: &Fit) -> String {
    let mut text = format!("{}\n", fit.device.profile.name);
    for parameter in &fit.device.parameters {
        let _ = writeln!(
            text,
            "  {} = {}",
            parameter.keys.join(", "),
            parameter.value
        );
    }
    let _ = writeln!(text, "  fitted: {}", errors(&fit.fitted));
    for (size, found) in &fit.left_out {
        let _ = writeln!(text, "  {size} B left out: {}", errors(found));
    }
    if !fit.left_out.is_empty() {
        let all = errors(&fit.left_out_all);
        let _ = writeln!(text, "  each size left out in turn: {all}");
    }
    text
}

/// Everything as one JSON object.
#[must_use]
pub fn render_json(validations: &[Validation]) -> String {
    let profiles: Vec<Value> = validations.iter().map(profile_json).collect();
    let holds = validations.iter().all(Validation::holds);
    let all = json!({ "holds": holds, "profiles": profiles });
    serde_json::to_string_pretty(&all).expect("names and numbers") + "\n"
}

fn profile_json(validation: &Validation) -> Value {
    let device = &validation.device;
    let series: Vec<Value> = device
        .series
        .iter()
        .zip(&validation.points)
        .map(|(series, points)| series_json(series, points))
        .collect();
    let parameters: Vec<Value> = device
        .parameters
        .iter()
        .map(|of| json!({ "keys": of.keys, "value": of.value }))
        .collect();
    json!({
        "name": device.profile.name,
        "holds": validation.holds(),
        "fitted": errors_json(&validation.errors(Use::Fit)),
        "predicted": errors_json(&validation.errors(Use::Predict)),
        "compared": errors_json(&validation.errors(Use::Compare)),
        "parameters": parameters,
        "series": series,
    })
}

fn series_json(series: &Series, points: &[Point]) -> Value {
    let list: Vec<Value> = points
        .iter()
        .map(|point| {
            json!({
                "bytes": point.measured.bytes,
                "unit": point.measured.unit.name(),
                "measured": point.measured.value,
                "simulated": point.simulated,
                "error": point.error(),
            })
        })
        .collect();
    json!({
        "data": series.data,
        "name": series.name,
        "suite": series.load.suite.to_string(),
        "use": series.purpose.name(),
        "errors": errors_json(&Errors::of(points)),
        "points": list,
    })
}

fn errors_json(errors: &Errors) -> Value {
    json!({ "points": errors.count, "mean": errors.mean, "max": errors.max })
}
