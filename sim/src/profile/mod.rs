//! Device profiles that can be held against what was measured of the real device.
//!
//! A profile file describes a card (`crate::scenario::profile` reads that part), how its host
//! reaches it, which published measurements it is held against, how they were taken, and which of
//! its numbers were fitted to them. [`validate`] runs the simulated card under each measured load;
//! [`fit`] searches the numbers by doing that often.

mod data;
mod edit;
mod fit;
mod load;
mod page;
mod parse;
mod search;
mod table;
mod validate;

use device_model::Profile;
use timebase::Span;

pub use data::{DataError, Measurement, Unit, published};
pub use edit::EditError;
pub use fit::{Fit, FitError, fit};
pub use load::{Load, LoadError, Machine, Speed, run};
pub use page::render_page;
pub use table::{render_fit, render_json, render_list, render_text};
pub use validate::{Errors, Point, ValidateError, Validation, validate};

/// A profile file: a card, its host, and what is known of the real device.
#[derive(Clone, Debug)]
pub struct Device {
    /// The file's text.
    pub text: String,
    /// Where the text is from, for complaints.
    pub origin: String,
    /// What the device is, for people; empty if the file does not say.
    pub about: String,
    /// The card.
    pub profile: Profile,
    /// The host in which it was measured.
    pub host: Host,
    /// How near the simulation is to come.
    pub goal: Goal,
    /// What was measured.
    pub series: Vec<Series>,
    /// What was fitted.
    pub parameters: Vec<Parameter>,
}

/// What requests cost the host that makes them; not a part of the card. One thread does all of it,
/// one request after the other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Host {
    /// From the decision to make a request until its doorbell leaves: system call, mapping,
    /// descriptor.
    pub submit: Span,
    /// From the interrupt until the caller has the result: handler, wake-up, return.
    pub complete: Span,
    /// For each byte of payload, before the doorbell.
    pub copy_per_byte: Span,
    /// For a payload that goes back to memory and does not fill the host's last cache line.
    pub partial_line: Span,
    /// An end is noticed at a multiple of this after the doorbell only; zero: at once.
    pub notice_tick: Span,
}

/// How near the simulation is to come to the measurements; relative errors of throughput.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Goal {
    /// Mean error of the points that were fitted.
    pub fitted_mean: Option<f64>,
    /// Largest error of the points that were fitted.
    pub fitted_max: Option<f64>,
    /// Mean error of the points that are predicted.
    pub predicted_mean: Option<f64>,
    /// Largest error of the points that are predicted.
    pub predicted_max: Option<f64>,
}

/// What a series of measurements is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Use {
    /// The parameters were fitted to it.
    Fit,
    /// Held against the goal without having been fitted to.
    Predict,
    /// Compared, but not held against a goal: something else than the card set the pace.
    Compare,
}

impl Use {
    /// Every use.
    pub const ALL: [Self; 3] = [Self::Fit, Self::Predict, Self::Compare];

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fit => "fitted",
            Self::Predict => "predicted",
            Self::Compare => "compared",
        }
    }
}

/// A series of measurements of one algorithm under one load.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name of the data file.
    pub data: String,
    /// Name of the series there.
    pub name: String,
    /// What it is for.
    pub purpose: Use,
    /// The load, but for its size.
    pub load: Load,
    /// Numbers of the profile that differ for this series, by key.
    pub set: Vec<(String, u64)>,
    /// What was measured.
    pub points: Vec<Measurement>,
}

/// A number, or several that are equal, that may be fitted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter {
    /// Keys of the numbers, with dots between tables.
    pub keys: Vec<String>,
    /// Smallest and largest value to try.
    pub range: (u64, u64),
    /// Value in the file.
    pub value: u64,
}

impl Device {
    /// Every built-in profile.
    #[must_use]
    pub fn builtins() -> Vec<Self> {
        crate::scenario::builtin_profiles()
            .into_iter()
            .filter_map(Self::builtin)
            .collect()
    }
}

#[cfg(test)]
mod tests;
