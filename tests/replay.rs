//! Same seed, same configuration, same commit: the same trace.

use sim::input::Input;
use sim::outcome::Outcome;
use sim::scenario::{Scenario, builtins};
use sim::world::{self, RunOptions};

/// A run short enough to be made many times.
fn short_run(mut scenario: Scenario, seed: u64, keep_log: bool) -> Outcome {
    scenario.workload.pieces = Some(scenario.workload.pieces.unwrap_or(600).min(600));
    scenario.expect.clear();
    let options = RunOptions {
        keep_log,
        ..RunOptions::new(seed, Input::project())
    };
    world::run(&scenario, &options, &mut |_| {}).expect("a run that begins")
}

#[test]
fn every_scenario_repeats_to_the_event() {
    for scenario in builtins() {
        for seed in 1..=3 {
            let one = short_run(scenario.clone(), seed, true);
            let two = short_run(scenario.clone(), seed, true);
            let diverged = one.log.iter().zip(&two.log).position(|(a, b)| a != b);
            if let Some(at) = diverged {
                panic!(
                    "{} seed {seed} diverges at event {at}: {:?} and {:?}",
                    scenario.name, one.log[at], two.log[at]
                );
            }
            assert_eq!(one.log.len(), two.log.len());
            assert_eq!(one.summary.digest, two.summary.digest);
        }
    }
}

#[test]
fn keeping_the_log_changes_nothing() {
    let scenario = Scenario::builtin("failover").unwrap();
    let kept = short_run(scenario.clone(), 5, true);
    let not_kept = short_run(scenario, 5, false);
    assert_eq!(kept.summary.digest, not_kept.summary.digest);
    assert_eq!(kept.log.len() as u64, kept.summary.events);
    assert!(not_kept.log.is_empty());
}

#[test]
fn another_seed_is_another_interleaving() {
    let scenario = Scenario::builtin("failover").unwrap();
    let mut digests: Vec<String> = (1..=8)
        .map(|seed| short_run(scenario.clone(), seed, false).summary.digest)
        .collect();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 8, "eight seeds, eight traces");
}

#[test]
fn another_card_is_another_trace() {
    let scenario = Scenario::builtin("failover").unwrap();
    let mut slower = scenario.clone();
    slower.cards[0].profile.context_miss = slower.cards[0].profile.context_miss * 2;
    let one = short_run(scenario, 1, false).summary.digest;
    assert_ne!(one, short_run(slower, 1, false).summary.digest);
}
