//! Searches the parameters of a profile by simulating, and says how well sizes that a search did
//! not see are predicted.

use super::edit::with_numbers;
use super::search::least;
use super::validate::{Point, ValidateError, simulate};
use super::{Device, EditError, Errors, Parameter, Use};
use crate::scenario::ScenarioError;

/// Share of the largest error in what is to be least; the mean has the rest.
const LARGEST: f64 = 0.3;
/// Simulations of all points in one search.
const CALLS: usize = 250;
/// Factors by which a first simplex extends, and by which starts differ.
const STEP: f64 = 1.15;
const STARTS: [f64; 3] = [1.0, 0.7, 1.4];
/// A simplex with edges below this part of a parameter has found its place.
const TOLERANCE: f64 = 2e-4;

/// What a search found.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The profile with the parameters found.
    pub device: Device,
    /// Errors of the points that were fitted.
    pub fitted: Errors,
    /// Errors of the points of each size, with parameters fitted to the other sizes alone; empty
    /// if it was not asked for, or there are too few sizes.
    pub left_out: Vec<(u32, Errors)>,
    /// Errors of all points when their size was left out.
    pub left_out_all: Errors,
}

/// Why nothing was fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The profile names no parameters, or no measurements to fit them to.
    #[error("profile {0} has nothing to fit")]
    Nothing(String),
    /// A point could not be simulated.
    #[error(transparent)]
    Validate(#[from] ValidateError),
}

impl From<EditError> for FitError {
    fn from(error: EditError) -> Self {
        Self::Validate(error.into())
    }
}

impl From<ScenarioError> for FitError {
    fn from(error: ScenarioError) -> Self {
        Self::Validate(Box::new(error).into())
    }
}

/// Fits the parameters of `device` to its measurements; with `leaves_out` also without each size.
///
/// # Errors
/// [`FitError`] if there is nothing to fit or a point cannot be simulated.
pub fn fit(device: &Device, leaves_out: bool) -> Result<Fit, FitError> {
    let fitted = fitted_only(device, |_| true);
    if device.parameters.is_empty() || fitted.series.is_empty() {
        return Err(FitError::Nothing(device.profile.name.clone()));
    }
    let best = search(&fitted, &STARTS)?;
    let found = changed(device, &best)?;
    let errors = Errors::of(&points(&fitted_only(&found, |_| true))?);
    let mut left_out = Vec::new();
    let mut all = Vec::new();
    let sizes = sizes(&fitted);
    if leaves_out && sizes.len() > 2 {
        for size in sizes {
            let others = fitted_only(&found, |bytes| bytes != size);
            let without = changed(&found, &search(&others, &STARTS[..1])?)?;
            let of_size = points(&fitted_only(&without, |bytes| bytes == size))?;
            left_out.push((size, Errors::of(&of_size)));
            all.extend(of_size);
        }
    }
    Ok(Fit {
        device: found,
        fitted: errors,
        left_out,
        left_out_all: Errors::of(&all),
    })
}

/// The device with other numbers, but the same measurements.
fn changed(device: &Device, edits: &[(String, u64)]) -> Result<Device, FitError> {
    let text = with_numbers(&device.text, edits)?;
    let mut changed = Device::from_toml(&text, &device.origin)?;
    changed.series.clone_from(&device.series);
    Ok(changed)
}

/// The device with the points to be fitted of the sizes that `takes`, and no others.
fn fitted_only(device: &Device, takes: impl Fn(u32) -> bool) -> Device {
    let mut device = device.clone();
    device.series.retain_mut(|series| {
        series.points.retain(|point| takes(point.bytes));
        series.purpose == Use::Fit && !series.points.is_empty()
    });
    device
}

fn sizes(device: &Device) -> Vec<u32> {
    let points = device.series.iter().flat_map(|series| &series.points);
    let mut sizes: Vec<u32> = points.map(|point| point.bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn points(device: &Device) -> Result<Vec<Point>, ValidateError> {
    let mut points = Vec::new();
    for series in &device.series {
        points.extend(simulate(device, series)?);
    }
    Ok(points)
}

/// The best of one search from each of `starts`, as numbers for the profile's text. Parameters are
/// searched by their logarithms: a step is a factor.
fn search(device: &Device, starts: &[f64]) -> Result<Vec<(String, u64)>, FitError> {
    let mut best: Option<super::search::Vertex> = None;
    for (round, factor) in starts.iter().enumerate() {
        let start: Vec<f64> = device
            .parameters
            .iter()
            .enumerate()
            .map(|(index, parameter)| {
                // Neighbouring parameters start apart in opposite directions.
                let turned = (index + round).is_multiple_of(2);
                let factor = if turned { *factor } else { 1.0 / factor };
                (parameter.value.max(1) as f64 * factor).ln()
            })
            .collect();
        let call = |at: &[f64]| misfit(device, at);
        let found = least(call, &start, STEP.ln(), (CALLS, TOLERANCE))?;
        if best.as_ref().is_none_or(|best| found.value < best.value) {
            best = Some(found);
        }
    }
    // A simplex can shrink before it is there: another one begins where the best ended.
    let start = best.map_or_else(Vec::new, |vertex| vertex.at);
    let call = |at: &[f64]| misfit(device, at);
    let best = least(call, &start, STEP.ln() / 2.0, (CALLS, TOLERANCE))?.at;
    Ok(edits(&device.parameters, &best))
}

/// What is to be least: mean and largest error of the points.
fn misfit(device: &Device, at: &[f64]) -> Result<f64, FitError> {
    let changed = changed(device, &edits(&device.parameters, at))?;
    let errors = Errors::of(&points(&changed)?);
    Ok(errors.mean * (1.0 - LARGEST) + errors.max * LARGEST)
}

fn edits(parameters: &[Parameter], at: &[f64]) -> Vec<(String, u64)> {
    let mut edits = Vec::new();
    for (parameter, at) in parameters.iter().zip(at) {
        let (low, high) = parameter.range;
        let value = (at.exp().round() as u64).clamp(low, high);
        edits.extend(parameter.keys.iter().map(|key| (key.clone(), value)));
    }
    edits
}
