//! Faults of all seeds together.

use super::Sweep;
use crate::scenario::Scenario;
use crate::summary::faults::story;

/// One fault of the scenario in all seeds of a sweep.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FaultTotal {
    /// When it happens and what it does, in words.
    pub fault: String,
    /// Seeds in which it was armed.
    pub armed: u64,
    /// Seeds in which it struck.
    pub fired: u64,
    /// Seeds in which somebody outside of the link noticed it.
    pub observed: u64,
}

/// Each fault of the scenario of `sweep`, in how many of its seeds it was armed, struck and was
/// noticed. Seeds whose lines have no faults, as older programs wrote them, do not count.
#[must_use]
pub fn fault_totals(sweep: &Sweep) -> Vec<FaultTotal> {
    // What a header holds was written by a scenario; one that was edited has numbers for names.
    let scenario = Scenario::from_toml(&sweep.header.scenario, "the sweep").ok();
    let most = sweep.results.iter().map(|result| result.faults.len()).max();
    let known = scenario.as_ref().map_or(0, |it| it.faults.len());
    let mut totals = vec![FaultTotal::default(); most.unwrap_or(0).min(known)];
    for (index, total) in totals.iter_mut().enumerate() {
        let fault = scenario.as_ref().map(|it| story(it, &it.faults[index]));
        total.fault = fault.unwrap_or_default();
        for counts in sweep.results.iter().filter_map(|it| it.faults.get(index)) {
            let [armed, fired, observed] = counts.map(|count| u64::from(count > 0));
            total.armed += armed;
            total.fired += fired;
            total.observed += observed;
        }
    }
    totals
}
