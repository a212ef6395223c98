//! The main job: rings fill, a card is pulled out and put in again, and nothing is lost.

use sim::input::Input;
use sim::outcome::{MarkKind, Outcome, Summary};
use sim::scenario::{Scenario, builtins};
use sim::world::{self, RunOptions};

fn run(scenario: &Scenario, seed: u64) -> Outcome {
    let options = RunOptions::new(seed, Input::project());
    world::run(scenario, &options, &mut |_| {}).expect("a run that begins")
}

fn builtin(name: &str) -> Scenario {
    Scenario::builtin(name).expect("a built-in scenario")
}

#[test]
fn every_scenario_passes_for_many_seeds() {
    for scenario in builtins() {
        let mut short = scenario.clone();
        short.cut(short.workload.pieces.unwrap_or(800).min(800));
        for seed in 1..=25 {
            let outcome = run(&short, seed);
            let name = &scenario.name;
            assert!(
                outcome.passed(),
                "{name} seed {seed}: {:#?}",
                outcome.violations
            );
            assert!(
                outcome.summary.requests > 0,
                "{name} seed {seed} did nothing"
            );
            for check in &outcome.summary.checks {
                assert!(
                    check.looked > 0,
                    "{name} seed {seed}: {} never looked",
                    check.name
                );
            }
        }
    }
}

#[test]
fn every_scenario_shows_what_it_promises() {
    for scenario in builtins() {
        let outcome = run(&scenario, 1);
        assert!(
            outcome.passed(),
            "{}: {:#?}",
            scenario.name,
            outcome.violations
        );
        assert!(
            !scenario.expect.is_empty(),
            "{} promises nothing",
            scenario.name
        );
    }
}

#[test]
fn both_policies_move_sessions_and_the_card_comes_back_to_work() {
    let scenario = builtin("failover");
    // What is in flight when the card goes is chance; over a few seeds each kind turns up.
    let outcomes = [1, 2, 3].map(|seed| run(&scenario, seed));
    let total = |count: fn(&Summary) -> u64| -> u64 {
        outcomes.iter().map(|outcome| count(&outcome.summary)).sum()
    };
    assert!(total(|sum| sum.moved) > 0, "consumers were told new names");
    let resubmitted = total(|sum| sum.resubmitted);
    assert!(resubmitted > 0, "the framework resubmitted by itself");
    let outcome = &outcomes[0];
    let summary = &outcome.summary;
    assert_eq!((summary.unplugs, summary.plugs), (1, 1));
    assert!(summary.tampered_caught > 0, "false digests were found out");

    // The card that was put in again serves requests afterwards.
    let plugged = outcome
        .marks
        .iter()
        .find(|mark| mark.kind == MarkKind::Plug)
        .expect("a plug");
    let series = outcome
        .series
        .iter()
        .find(|series| series.name == plugged.driver)
        .unwrap();
    let step = (plugged.at.as_ps() / series.step.as_ps()) as usize;
    let after: u64 = series.samples[step..]
        .iter()
        .map(|sample| sample.requests)
        .sum();
    assert!(after > 0, "{} took nothing back", plugged.driver);
}

#[test]
fn a_ring_that_fills_hands_back_and_is_offered_again() {
    let outcome = run(&builtin("backpressure"), 3);
    let summary = &outcome.summary;
    assert!(summary.refusals > 100, "{summary:?}");
    assert_eq!(summary.blocks, summary.unblocks, "every block ended");
}

#[test]
fn the_card_can_be_pulled_out_at_any_moment() {
    use sim::scenario::{Action, FaultSpec, Trigger};
    use timebase::{Span, Time};
    let mut scenario = builtin("failover");
    scenario.workload.pieces = Some(60);
    scenario.expect.clear();
    // Every nanosecond matters somewhere in here; a step that is coprime to the cycle finds them.
    for step in 0..400 {
        let at = Time::ZERO + Span::from_ps(step * 211_733);
        scenario.faults = vec![
            FaultSpec::new(Trigger::At(at), Action::Unplug { card: 0 }),
            FaultSpec::new(
                Trigger::AfterPrevious(Span::from_us(3)),
                Action::Plug { card: 0 },
            ),
            FaultSpec::new(
                Trigger::AfterPrevious(Span::from_us(step % 7)),
                Action::Unplug { card: 1 },
            ),
        ];
        let outcome = run(&scenario, step);
        assert!(
            outcome.passed(),
            "pulled at {at}: {:#?}",
            outcome.violations
        );
        assert_eq!(outcome.summary.pieces, 60, "pulled at {at}");
    }
}
