//! Failures that look like one.

use std::collections::BTreeMap;

use super::SeedResult;

/// Seeds kept as examples of a group.
const EXAMPLES: usize = 5;

/// Failures with one signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group {
    /// What they have in common.
    pub signature: String,
    /// How many seeds.
    pub count: u64,
    /// The first of them.
    pub seeds: Vec<u64>,
    /// What the first one says.
    pub message: String,
}

/// The failures among `results` by signature, the most frequent first.
#[must_use]
pub fn groups<'a>(results: impl Iterator<Item = &'a SeedResult>) -> Vec<Group> {
    let mut found: BTreeMap<&str, Group> = BTreeMap::new();
    for result in results {
        let Some(finding) = &result.finding else {
            continue;
        };
        let group = found.entry(&finding.signature).or_insert_with(|| Group {
            signature: finding.signature.clone(),
            count: 0,
            seeds: Vec::new(),
            message: finding.message.clone(),
        });
        group.count += 1;
        if group.seeds.len() < EXAMPLES {
            group.seeds.push(result.seed);
        }
    }
    let mut groups: Vec<Group> = found.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}
