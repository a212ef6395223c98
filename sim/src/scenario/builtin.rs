//! Scenarios that come with the program, and finding one by name or path.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::diagnostic::nearest;
use super::{Scenario, ScenarioError};

/// Longest scenario or profile file that is read, in bytes.
const MAX_FILE_LEN: u64 = 1 << 20;

/// Built-in scenarios: name and text. The first is the one to show a newcomer.
const BUILTINS: [(&str, &str); 8] = [
    ("failover", include_str!("../../scenarios/failover.toml")),
    (
        "failover-brief",
        include_str!("../../scenarios/failover-brief.toml"),
    ),
    (
        "backpressure",
        include_str!("../../scenarios/backpressure.toml"),
    ),
    ("single", include_str!("../../scenarios/single.toml")),
    (
        "migrate-under-load",
        include_str!("../../scenarios/migrate-under-load.toml"),
    ),
    (
        "unplug-storm",
        include_str!("../../scenarios/unplug-storm.toml"),
    ),
    ("errata", include_str!("../../scenarios/errata.toml")),
    ("swarm", include_str!("../../scenarios/swarm.toml")),
];

/// Every built-in scenario.
///
/// # Panics
/// Never: the texts are part of the program and its tests read each.
#[must_use]
pub fn builtins() -> Vec<Scenario> {
    BUILTINS
        .iter()
        .map(|&(name, text)| parse_builtin(name, text))
        .collect()
}

impl Scenario {
    /// The built-in scenario called `name`.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        let &(name, text) = BUILTINS.iter().find(|(builtin, _)| *builtin == name)?;
        Some(parse_builtin(name, text))
    }

    /// The built-in scenario called `name`, or else the scenario in the file of that name.
    ///
    /// # Errors
    /// [`ScenarioError`] if there is neither, or the file is no scenario.
    pub fn find(name: &str) -> Result<Self, ScenarioError> {
        if let Some(scenario) = Self::builtin(name) {
            return Ok(scenario);
        }
        let path = Path::new(name);
        let is_bare = path.extension().is_none() && path.components().count() <= 1;
        if is_bare && !path.exists() {
            let known = BUILTINS.map(|(name, _)| name);
            return Err(ScenarioError::Unknown {
                name: name.to_owned(),
                nearest: nearest(name, &known).first().map(|&name| name.to_owned()),
            });
        }
        Self::from_file(path)
    }

    /// The scenario in the file at `path`.
    ///
    /// # Errors
    /// [`ScenarioError`] if the file cannot be read or is no scenario.
    pub fn from_file(path: &Path) -> Result<Self, ScenarioError> {
        Self::from_toml(&read_text(path)?, &path.display().to_string())
    }
}

/// The text of the scenario or replay in the file at `path`.
pub(crate) fn read_text(path: &Path) -> Result<String, ScenarioError> {
    read_bounded(path).map_err(|source| ScenarioError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn parse_builtin(name: &str, text: &str) -> Scenario {
    match Scenario::from_toml(text, &format!("{name}.toml")) {
        Ok(scenario) => scenario,
        Err(error) => panic!("built-in scenario {name}: {error}"),
    }
}

/// The text of a small file.
pub(crate) fn read_bounded(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut text = String::new();
    file.take(MAX_FILE_LEN + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_LEN {
        let reason = format!("longer than {MAX_FILE_LEN} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_reads_and_is_called_what_its_file_is_called() {
        for (scenario, (name, _)) in builtins().iter().zip(BUILTINS) {
            assert_eq!(scenario.name, name);
            assert!(!scenario.description.is_empty());
        }
    }

    #[test]
    fn failover_is_what_a_newcomer_should_see() {
        let failover = Scenario::builtin("failover").expect("built in");
        assert_eq!(failover.cards.len(), 2);
        assert!(failover.software);
        assert!(failover.workload.suites.len() >= 8);
        assert!(failover.cards.iter().all(|card| card.ring_entries <= 16));
    }

    #[test]
    fn an_unknown_name_finds_the_nearest_scenario() {
        let error = Scenario::find("failovr").expect_err("no such scenario");
        let message = error.to_string();
        assert!(message.contains("did you mean `failover`?"), "{message}");
    }

    #[test]
    fn what_cannot_be_read_is_said_to_be_unreadable() {
        for path in ["no/such/file.toml", "/", "Cargo.toml/x.toml"] {
            let error = Scenario::find(path).expect_err("not a file");
            assert!(
                matches!(error, ScenarioError::Unreadable { .. }),
                "{path}: {error}"
            );
        }
    }
}
