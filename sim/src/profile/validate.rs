//! Runs the simulated cards under each load that was measured, and says how far off they are.

use super::edit::with_numbers;
use super::{Device, EditError, Goal, Load, LoadError, Measurement, Series, Use, run};
use crate::scenario::ScenarioError;

/// A measured point beside its simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// What was measured.
    pub measured: Measurement,
    /// What the simulation gave, in the same unit.
    pub simulated: f64,
}

/// Mean and largest of some relative errors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Errors {
    /// How many.
    pub count: usize,
    /// Mean of their amounts.
    pub mean: f64,
    /// Largest amount.
    pub max: f64,
}

/// A profile held against everything measured.
#[derive(Clone, Debug)]
pub struct Validation {
    /// The profile.
    pub device: Device,
    /// Points of each series, in the order of the profile's.
    pub points: Vec<Vec<Point>>,
}

/// Why a profile could not be held against its measurements.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// A number of the profile cannot be changed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The changed profile is none.
    #[error(transparent)]
    Profile(#[from] Box<ScenarioError>),
    /// A load did not run.
    #[error("{series}, {bytes} bytes")]
    Load {
        /// Name of the series.
        series: String,
        /// Payload of a request.
        bytes: u32,
        /// What went wrong.
        #[source]
        source: LoadError,
    },
}

impl Point {
    /// How far the simulation is off, relative to what was measured; positive if it is faster.
    #[must_use]
    pub fn error(&self) -> f64 {
        self.simulated / self.measured.value - 1.0
    }
}

impl Errors {
    /// Mean and largest of `points`.
    #[must_use]
    pub fn of<'a>(points: impl IntoIterator<Item = &'a Point>) -> Self {
        let mut errors = Self::default();
        let mut sum = 0.0;
        for point in points {
            let amount = point.error().abs();
            errors.count += 1;
            sum += amount;
            errors.max = errors.max.max(amount);
        }
        if errors.count > 0 {
            errors.mean = sum / errors.count as f64;
        }
        errors
    }
}

impl Goal {
    /// The bounds for points of `purpose`: mean, then largest.
    #[must_use]
    pub fn of(&self, purpose: Use) -> (Option<f64>, Option<f64>) {
        match purpose {
            Use::Fit => (self.fitted_mean, self.fitted_max),
            Use::Predict => (self.predicted_mean, self.predicted_max),
            Use::Compare => (None, None),
        }
    }
}

impl Validation {
    /// Errors of the points of `purpose`.
    #[must_use]
    pub fn errors(&self, purpose: Use) -> Errors {
        let of = self.device.series.iter().zip(&self.points);
        Errors::of(
            of.filter(|(series, _)| series.purpose == purpose)
                .flat_map(|(_, points)| points),
        )
    }

    /// Errors of all points.
    #[must_use]
    pub fn all_errors(&self) -> Errors {
        Errors::of(self.points.iter().flatten())
    }

    /// Whether the errors of `purpose` keep within the profile's goal.
    #[must_use]
    pub fn holds_for(&self, purpose: Use) -> bool {
        let errors = self.errors(purpose);
        let (mean, max) = self.device.goal.of(purpose);
        mean.is_none_or(|bound| errors.mean <= bound) && max.is_none_or(|bound| errors.max <= bound)
    }

    /// Whether the profile's goal is reached.
    #[must_use]
    pub fn holds(&self) -> bool {
        Use::ALL.into_iter().all(|purpose| self.holds_for(purpose))
    }
}

/// Holds `device` against everything that was measured of it.
///
/// # Errors
/// [`ValidateError`] if a load cannot be run.
pub fn validate(device: &Device) -> Result<Validation, ValidateError> {
    let points = device.series.iter().map(|series| simulate(device, series));
    Ok(Validation {
        device: device.clone(),
        points: points.collect::<Result<_, _>>()?,
    })
}

/// The points of `series`, with the profile's numbers as the series wants them.
pub(super) fn simulate(device: &Device, series: &Series) -> Result<Vec<Point>, ValidateError> {
    let changed;
    let mut device = device;
    if !series.set.is_empty() {
        let text = with_numbers(&device.text, &series.set)?;
        changed = Device::from_toml(&text, &device.origin).map_err(Box::new)?;
        device = &changed;
    }
    let point = |&measured: &Measurement| {
        let load = Load {
            bytes: measured.bytes,
            ..series.load
        };
        let speed =
            run(&device.profile, &device.host, &load).map_err(|source| ValidateError::Load {
                series: series.name.clone(),
                bytes: measured.bytes,
                source,
            })?;
        Ok(Point {
            measured,
            simulated: measured.unit.of(speed.per_second(), measured.bytes),
        })
    };
    series.points.iter().map(point).collect()
}
