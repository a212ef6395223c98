//! Results files: a line that says what was run, then one line a seed, all of them JSON.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

use super::{Plan, SeedResult};
use crate::case::Data;
use crate::coverage::Coverage;

/// Version of the format.
const VERSION: u32 = 1;
/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 4 << 20;

/// The first line: all that the results depend on, besides the program.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    ringside_sweep: u32,
    /// Version of the program.
    pub program: String,
    /// The scenario as text.
    pub scenario: String,
    /// What consumers process.
    pub data: String,
    /// First seed.
    pub first: u64,
    /// Seeds of all shards together.
    pub count: u64,
    /// Which shard, from 1.
    pub shard: u64,
    /// Number of shards.
    pub shards: u64,
    /// Whether results say in which states faults struck.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub coverage: bool,
}

impl Header {
    /// What `plan` will be known by.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self {
            ringside_sweep: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: plan.scenario.to_toml(),
            data: match &plan.data {
                Data::Noise(len) => format!("noise {len}"),
                Data::Project => "project".to_owned(),
                Data::Path(path) => format!("path {}", path.display()),
            },
            first: plan.first,
            count: plan.count,
            shard: plan.shard,
            shards: plan.shards,
            coverage: plan.coverage,
        }
    }

    /// The header as a line of a results file.
    ///
    /// # Panics
    /// Never: it has only texts and numbers.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers") + "\n"
    }

    /// Number of seeds of this shard.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.count
            .saturating_sub(self.shard - 1)
            .div_ceil(self.shards)
    }

    /// Whether the shard has no seed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The seed of this number among those of the shard, from zero; `None` if it has no such.
    #[must_use]
    pub const fn seed(&self, number: u64) -> Option<u64> {
        if number < self.len() {
            // No more than `first + count`, which is a number.
            Some(self.first + (self.shard - 1) + number * self.shards)
        } else {
            None
        }
    }

    /// Whether there can be such a sweep.
    const fn is_possible(&self) -> bool {
        0 < self.shard && self.shard <= self.shards && self.first.checked_add(self.count).is_some()
    }
}

impl SeedResult {
    /// The result as a line of a results file.
    ///
    /// # Panics
    /// Never: it has only texts and numbers.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers") + "\n"
    }
}

/// What a results file holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sweep {
    /// What was run.
    pub header: Header,
    /// Results, in order of seed and without a gap.
    pub results: Vec<SeedResult>,
    /// Bytes of the file up to the end of the last whole line; what follows was interrupted.
    pub whole: u64,
}

/// Why results cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line}: {found}, expected {expected}")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// Shards that do not belong together, or not all of them.
    #[error("{0}")]
    Merge(String),
}

impl Sweep {
    /// Reads a results file. A last line without an end was interrupted, and is left out.
    ///
    /// # Errors
    /// [`ReadError`] if it cannot be read, or is no results file of this version.
    pub fn read(file: impl BufRead) -> Result<Self, ReadError> {
        let mut lines = Lines {
            file,
            number: 0,
            whole: 0,
        };
        let text = lines.next()?.unwrap_or_default();
        let complain = |found: String, expected: &str, line| ReadError::Line {
            line,
            found,
            expected: expected.to_owned(),
        };
        let header: Header = serde_json::from_str(&text)
            .map_err(|error| complain(error.to_string(), "what a sweep began with", 1))?;
        if header.ringside_sweep != VERSION {
            let found = format!("version {}", header.ringside_sweep);
            return Err(complain(found, "version 1, the only one known here", 1));
        }
        if !header.is_possible() {
            let Header {
                shard,
                shards,
                first,
                count,
                ..
            } = header;
            let found = format!("shard {shard} of {shards}, {count} seeds from {first} on");
            return Err(complain(found, "a shard and seeds that there can be", 1));
        }
        let mut results = Vec::new();
        while let Some(text) = lines.next()? {
            let line = lines.number;
            let result: SeedResult = serde_json::from_str(&text)
                .map_err(|error| complain(error.to_string(), "the result of a seed", line))?;
            match header.seed(results.len() as u64) {
                Some(seed) if seed == result.seed => results.push(result),
                due => {
                    let due = due.map_or("no further seed".to_owned(), |it| format!("seed {it}"));
                    return Err(complain(format!("seed {}", result.seed), &due, line));
                }
            }
        }
        Ok(Self {
            header,
            results,
            whole: lines.whole,
        })
    }

    /// In which states faults struck in all seeds together; `None` if the sweep did not follow it.
    #[must_use]
    pub fn coverage(&self) -> Option<Coverage> {
        let mut sum = Coverage::default();
        for result in &self.results {
            sum.add(&result.coverage);
        }
        self.header.coverage.then_some(sum)
    }

    /// Number of results that are not there.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.header.len() - self.results.len() as u64
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> String {
        let results = self.results.iter().map(SeedResult::line);
        std::iter::once(self.header.line()).chain(results).collect()
    }
}

struct Lines<R> {
    file: R,
    number: u64,
    whole: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next whole line without its end.
    fn next(&mut self) -> Result<Option<String>, ReadError> {
        let mut bytes = Vec::new();
        let mut bounded = io::Read::take(&mut self.file, MAX_LINE);
        let len = bounded.read_until(b'\n', &mut bytes)?;
        self.number += 1;
        if bytes.pop() != Some(b'\n') {
            if len as u64 == MAX_LINE {
                return Err(ReadError::Line {
                    line: self.number,
                    found: format!("more than {MAX_LINE} bytes"),
                    expected: "a shorter line".to_owned(),
                });
            }
            return Ok(None);
        }
        self.whole += len as u64;
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|error| ReadError::Line {
                line: self.number,
                found: error.to_string(),
                expected: "text".to_owned(),
            })
    }
}

/// Puts shards together; the result is that of a sweep in one piece.
///
/// # Errors
/// [`ReadError::Merge`] if they do not belong together, or a shard or a seed is missing: it is
/// named.
pub fn merge(shards: Vec<Sweep>) -> Result<Sweep, ReadError> {
    let refuse = |message: String| Err(ReadError::Merge(message));
    let Some(first) = shards.first() else {
        return refuse("no shards".to_owned());
    };
    let whole = Header {
        shard: 1,
        shards: 1,
        ..first.header.clone()
    };
    let number = first.header.shards;
    let mut ordered = BTreeMap::new();
    for shard in shards {
        let Header {
            shard: at, shards, ..
        } = shard.header;
        let same = Header {
            shard: at,
            shards: number,
            ..whole.clone()
        };
        if shard.header != same {
            return refuse(format!("shard {at} of {shards} is of another sweep"));
        }
        if let Some(seed) = shard.header.seed(shard.results.len() as u64) {
            let more = shard.missing() - 1;
            return refuse(format!(
                "shard {at} of {shards} is not complete: seed {seed} is missing, and {more} more"
            ));
        }
        if ordered.insert(at, shard.results).is_some() {
            return refuse(format!("shard {at} of {shards} is there twice"));
        }
    }
    let missing = (1..=number).filter(|shard| !ordered.contains_key(shard));
    let missing: Vec<String> = missing.take(20).map(|shard| shard.to_string()).collect();
    if !missing.is_empty() {
        return refuse(format!("missing of {number}: shard {}", missing.join(", ")));
    }
    let mut results: Vec<SeedResult> = ordered.into_values().flatten().collect();
    results.sort_by_key(|result| result.seed);
    let mut merged = Sweep {
        header: whole,
        results,
        whole: 0,
    };
    merged.whole = merged.text().len() as u64;
    Ok(merged)
}
