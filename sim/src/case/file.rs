//! Replay files: a case, what was found in it, and the digest of the run up to there.

use std::path::{Path, PathBuf};

use exhibit::Exhibit;

use super::{Case, Data, Signature};
use crate::outcome::{Outcome, Violation};
use crate::scenario::diagnostic::Source;
use crate::scenario::reader::{Item, Section, read_document};
use crate::scenario::{Scenario, ScenarioError, parse, quoted, read_text};

/// Version of the format. A file of another version is refused.
pub const VERSION: u32 = 1;

const KEYS: [&str; 8] = [
    "version", "seed", "data", "exhibit", "digest", "events", "check", "message",
];
const DATA_KEYS: [&str; 3] = ["noise", "project", "path"];
/// Most bytes of noise.
const MAX_NOISE: u32 = 1 << 24;
/// Largest number that TOML has.
const MAX_INTEGER: u64 = i64::MAX as u64;
/// Digits of a digest.
const DIGEST_LEN: usize = 16;

/// A case that failed, as a replay file keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// What to run.
    pub case: Case,
    /// Digest of every event up to the violation, 16 hexadecimal digits.
    pub digest: String,
    /// Events up to the violation.
    pub events: u64,
    /// The check that found something.
    pub check: String,
    /// What it found.
    pub message: String,
}

impl Replay {
    /// What a reader has to follow: pieces of work that consumers begin, and faults. What a
    /// scenario does not bound counts as much as can be.
    #[must_use]
    pub fn steps(&self) -> u64 {
        let scenario = &self.case.scenario;
        let pieces = scenario.workload.pieces.unwrap_or(u64::MAX);
        pieces.saturating_add(scenario.faults.len() as u64)
    }

    /// The replay of `case`, which ended with `outcome`; `None` if nothing was found.
    #[must_use]
    pub fn new(case: Case, outcome: &Outcome) -> Option<Self> {
        let violation = outcome.violations.first()?;
        Some(Self {
            case,
            digest: outcome.summary.digest.clone(),
            events: outcome.summary.events,
            check: violation.check.clone(),
            message: violation.message.clone(),
        })
    }

    /// Whether `outcome` is the run that was kept, to the bit.
    #[must_use]
    pub fn is_same(&self, outcome: &Outcome) -> bool {
        let summary = &outcome.summary;
        (&summary.digest, summary.events) == (&self.digest, self.events)
    }

    /// The signature of what was found.
    #[must_use]
    pub fn signature(&self) -> Signature {
        Signature::of(&Violation {
            check: self.check.clone(),
            at_ps: 0,
            message: self.message.clone(),
        })
    }

    /// The replay in the file at `path`.
    ///
    /// # Errors
    /// [`ScenarioError`] if the file cannot be read, is of another version, or is no replay.
    pub fn from_file(path: &Path) -> Result<Self, ScenarioError> {
        let text = read_text(path)?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// The replay that `text` describes; `origin` names it in complaints.
    ///
    /// # Errors
    /// [`ScenarioError`] with place, line, what was found and what was expected.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, ScenarioError> {
        let base = Path::new(origin).parent().unwrap_or(Path::new(""));
        read_document(Source { text, origin }, &parse::REPLAY_KEYS, |top| {
            // First of all, because what another version says means something else.
            let table = top.require("replay")?.section(&KEYS)?;
            let version = table.require("version")?;
            if version.count(0..=u32::MAX)? != VERSION {
                return Err(version.error(format!("version {VERSION}, the only one known here")));
            }
            let scenario = parse::read_scenario(top, base)?;
            read_replay(&table, scenario)
        })
    }

    /// The text of the file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let data = match &self.case.data {
            Data::Noise(len) => format!("{{ noise = {len} }}"),
            Data::Project => "{ project = true }".to_owned(),
            Data::Path(path) => format!("{{ path = {} }}", quoted(&path.display().to_string())),
        };
        let seed = match self.case.seed {
            seed @ ..=MAX_INTEGER => seed.to_string(),
            seed => quoted(&seed.to_string()).to_string(),
        };
        let exhibit = match self.case.exhibit {
            Some(exhibit) => format!("exhibit = {}\n", quoted(exhibit.name())),
            None => String::new(),
        };
        format!(
            "# ringside replay FILE\n{}\n[replay]\nversion = {VERSION}\nseed = {seed}\n\
             data = {data}\n{exhibit}digest = {}\nevents = {}\ncheck = {}\nmessage = {}\n",
            self.case.scenario.to_toml(),
            quoted(&self.digest),
            self.events,
            quoted(&self.check),
            quoted(&self.message),
        )
    }
}

fn read_replay(table: &Section<'_>, scenario: Scenario) -> Result<Replay, ScenarioError> {
    let seed = table.require("seed")?;
    // TOML has no numbers above half of the seeds; those are texts.
    let text = seed.text().ok().and_then(|text| text.parse().ok());
    let seed = text.map_or_else(|| seed.integer(0..=MAX_INTEGER), Ok)?;
    let digest = table.require("digest")?;
    let is_digest =
        |text: &str| text.len() == DIGEST_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_digest(digest.text()?) {
        return Err(digest.error(format!("{DIGEST_LEN} hexadecimal digits")));
    }
    Ok(Replay {
        case: Case {
            scenario,
            seed,
            data: read_data(&table.require("data")?)?,
            exhibit: table
                .get("exhibit")
                .as_ref()
                .map(read_exhibit)
                .transpose()?,
        },
        digest: digest.text()?.to_owned(),
        events: table.require("events")?.integer(0..=MAX_INTEGER)?,
        check: table.require("check")?.text()?.to_owned(),
        message: table.require("message")?.text()?.to_owned(),
    })
}

/// A replay with a bug is for a program that has it.
fn read_exhibit(item: &Item<'_>) -> Result<Exhibit, ScenarioError> {
    let names: Vec<&str> = Exhibit::ALL.iter().map(|it| it.name()).collect();
    let exhibit = Exhibit::ALL[item.one_of("exhibit of the museum", &names)?];
    match exhibit.show() {
        Ok(_) => Ok(exhibit),
        Err(closed) => Err(item.complain(closed.to_string(), "no `exhibit`")),
    }
}

fn read_data(item: &Item<'_>) -> Result<Data, ScenarioError> {
    let data = item
        .section(&DATA_KEYS)?
        .exactly_one(&DATA_KEYS, "kind of data")?;
    match data.name() {
        "noise" => Ok(Data::Noise(data.count(1..=MAX_NOISE)?)),
        "path" => Ok(Data::Path(PathBuf::from(data.text()?))),
        _ if data.boolean()? => Ok(Data::Project),
        _ => Err(data.error("`true`, or other data")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Replay {
        Replay {
            case: Case {
                scenario: Scenario::builtin("failover").expect("built in"),
                seed: 7,
                data: Data::Noise(4_096),
                exhibit: None,
            },
            digest: "00ff00ff00ff00ff".to_owned(),
            events: 12,
            check: "order".to_owned(),
            message: "a \"strange\" request".to_owned(),
        }
    }

    fn complaint(old: &str, new: &str) -> String {
        let text = sample().to_toml();
        assert!(text.contains(old), "{text}");
        match Replay::from_toml(&text.replacen(old, new, 1), "x.toml") {
            Ok(_) => panic!("accepted: {new}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_replay_reads_back_as_it_was() {
        for data in [
            Data::Noise(1),
            Data::Project,
            Data::Path("a \"b\".bin".into()),
        ] {
            let mut replay = sample();
            replay.case.data = data;
            replay.case.seed = u64::MAX - u64::from(replay.case.data == Data::Project) * u64::MAX;
            let text = replay.to_toml();
            let read = Replay::from_toml(&text, "x.toml");
            assert_eq!(read.map_err(|error| error.to_string()), Ok(replay));
        }
    }

    #[test]
    fn another_version_is_refused_before_anything_else_is_read() {
        let message = complaint("version = 1\nseed = 7", "version = 2\nseed = \"later\"");
        assert!(message.contains("expected version 1"), "{message}");
        assert!(message.contains("| version = 2"), "{message}");
    }

    #[test]
    fn what_a_replay_cannot_mean_is_pointed_at() {
        for (old, new, expected) in [
            ("noise = 4096", "noise = 0", "from 1 to"),
            ("{ noise = 4096 }", "{ project = false }", "`true`"),
            (
                "{ noise = 4096 }",
                "{ noise = 1, project = true }",
                "kind of data",
            ),
            ("00ff00ff00ff00ff", "00ff", "16 hexadecimal digits"),
            ("seed = 7", "seed = -7", "a whole number"),
            ("check = \"order\"\n", "", "no `check`"),
            ("[replay]", "[reply]", "unknown key `reply`"),
        ] {
            let message = complaint(old, new);
            assert!(message.contains(expected), "{new}: {message}");
        }
    }

    #[test]
    fn a_replay_with_a_bug_is_for_a_program_that_has_it() {
        let mut replay = sample();
        replay.case.exhibit = Some(Exhibit::ALL[0]);
        let text = replay.to_toml();
        let read = Replay::from_toml(&text, "x.toml").map_err(|error| error.to_string());
        match Exhibit::ALL[0].show() {
            Ok(_) => assert_eq!(read, Ok(replay)),
            Err(_) => {
                let message = read.expect_err("a program without bugs");
                assert!(message.contains("--features museum"), "{message}");
                assert!(message.contains("| exhibit = "), "{message}");
            }
        }
    }

    #[test]
    fn a_scenario_file_is_no_replay_and_a_replay_no_scenario() {
        let text = sample().case.scenario.to_toml();
        let error = Replay::from_toml(&text, "x.toml").expect_err("no replay");
        assert!(error.to_string().contains("no `replay`"), "{error}");
        let error = Scenario::from_toml(&sample().to_toml(), "x.toml").expect_err("a replay");
        assert!(error.to_string().contains("ringside replay"), "{error}");
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_refused_or_read_but_never_panics(
            at in 0_usize..4_000,
            bytes in proptest::collection::vec(any::<u8>(), 0..6),
            cut in any::<bool>(),
        ) {
            let mut text = sample().to_toml().into_bytes();
            let at = at.min(text.len());
            let end = if cut { text.len() } else { (at + bytes.len()).min(text.len()) };
            text.splice(at..end, bytes);
            let _ = Replay::from_toml(&String::from_utf8_lossy(&text), "x.toml");
        }
    }
}
