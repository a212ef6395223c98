//! A case: a scenario, a seed and an input, which together are a run, bit for bit.
//!
//! A case that failed is kept as a replay file: the scenario, and a table `[replay]` with the rest,
//! with what was found and with the digest of the run up to there. Who has the file and the same
//! commit has the same failure. `shrink` makes such a file short enough to read.

mod file;
pub mod shrink;
pub mod story;

use std::fmt;
use std::path::PathBuf;

use exhibit::{Exhibit, Shown};

use crate::input::{Input, InputError};
use crate::outcome::{Outcome, Violation};
use crate::scenario::Scenario;
use crate::world::{self, RunOptions, SetupError};

pub use file::{Replay, VERSION};

/// All that a run depends on, besides the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What is in the machine, what is asked of it, what goes wrong.
    pub scenario: Scenario,
    /// Where every choice comes from.
    pub seed: u64,
    /// What consumers process.
    pub data: Data,
    /// The bug that the code has, in a museum.
    pub exhibit: Option<Exhibit>,
}

/// Where the bytes that consumers process come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// This many bytes of noise, always the same.
    Noise(u32),
    /// The project's own files, which change with the project.
    Project,
    /// A file, a folder or a capture.
    Path(PathBuf),
}

impl Data {
    /// Reads the bytes.
    ///
    /// # Errors
    /// [`InputError`] if a path cannot be read.
    pub fn read(&self) -> Result<Input, InputError> {
        match self {
            Self::Noise(len) => Ok(Input::noise(*len as usize)),
            Self::Project => Ok(Input::project()),
            Self::Path(path) => Input::from_path(path),
        }
    }
}

impl Case {
    /// Runs the case up to the first violation, or to its end if there is none. With `keep_log` the
    /// outcome has every event.
    ///
    /// # Errors
    /// [`SetupError`] if the run cannot begin.
    pub fn run(&self, input: &Input, keep_log: bool) -> Result<Outcome, SetupError> {
        let options = RunOptions {
            keep_log,
            ..RunOptions::new(self.seed, input.clone())
        };
        self.run_as(&options)
    }

    /// Runs the case up to the first violation as `options` say; their seed is that of the case.
    ///
    /// # Errors
    /// [`SetupError`] if the run cannot begin.
    pub(crate) fn run_as(&self, options: &RunOptions) -> Result<Outcome, SetupError> {
        let _shown = self.show()?;
        let options = RunOptions {
            stop_at_first: true,
            seed: self.seed,
            ..options.clone()
        };
        world::run(&self.scenario, &options, &mut |_| {})
    }

    /// Switches the bug of the case on, if it has one, until the answer is dropped.
    ///
    /// # Errors
    /// [`SetupError::Closed`] if this program was built without the bugs.
    pub(crate) fn show(&self) -> Result<Option<Shown>, SetupError> {
        Ok(self.exhibit.map(Exhibit::show).transpose()?)
    }
}

/// What a violation is about, without its numbers: failures with one signature are taken for one
/// failure.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Signature {
    check: String,
    gist: String,
}

impl Signature {
    /// The signature of `violation`.
    #[must_use]
    pub fn of(violation: &Violation) -> Self {
        Self {
            check: violation.check.clone(),
            gist: gist(&violation.message),
        }
    }

    /// The signature of the first violation of `outcome`, if there is one.
    #[must_use]
    pub fn first(outcome: &Outcome) -> Option<Self> {
        outcome.violations.first().map(Self::of)
    }

    /// Whether `outcome` has a violation with this signature.
    #[must_use]
    pub fn is_in(&self, outcome: &Outcome) -> bool {
        outcome.violations.iter().any(|it| Self::of(it) == *self)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.gist)
    }
}

/// `message` without what differs from run to run: a `#` for every word with a digit in it, and
/// nothing for what is in parentheses, which says who and not what.
fn gist(message: &str) -> String {
    let mut depth = 0_u32;
    let mut plain = String::with_capacity(message.len());
    for char in message.chars() {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(char),
            _ => {}
        }
    }
    let plain = plain.replace(" :", ":");
    let words = plain.split_whitespace().map(|word| {
        let has_digit = word.contains(|char: char| char.is_ascii_digit());
        match (has_digit, word.ends_with(':')) {
            (true, true) => "#:",
            (true, false) => "#",
            (false, _) => word,
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_neither_numbers_nor_names() {
        let signature = |message: &str| {
            Signature::of(&Violation {
                check: "data-right".to_owned(),
                at_ps: 7,
                message: message.to_owned(),
            })
        };
        let one = signature("request 12 of consumer 0 (aes-128-gcm, Forward): byte 3 is 0x41");
        let two = signature("request 9 of consumer 11 (null, Back): byte 7 is 0x00");
        assert_eq!(one, two);
        assert_eq!(
            one.to_string(),
            "data-right: request # of consumer #: byte # is #"
        );
        assert_ne!(one, signature("request 9 of consumer 11 was rejected"));
    }
}
