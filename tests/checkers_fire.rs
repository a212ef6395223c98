//! A checker that cannot fail proves nothing: a card that misbehaves is found out in a whole run.

use device_model::Latch;
use sim::input::Input;
use sim::outcome::Outcome;
use sim::rule::{Fate, Message, Rule};
use sim::scenario::{Action, FaultSpec, Scenario, Trigger};
use sim::world::{self, RunOptions};
use timebase::{Span, Time};

fn run_with(latch: Option<Latch>, change: impl Fn(&mut Scenario)) -> Outcome {
    let mut scenario = Scenario::builtin("single").expect("a built-in scenario");
    scenario.workload.pieces = Some(200);
    scenario.expect.clear();
    scenario.cards[0].watchdog = Span::from_us(500);
    let at = Trigger::At(Time::ZERO + Span::from_us(30));
    scenario.faults = latch
        .map(|latch| FaultSpec::new(at, Action::Latch { card: 0, latch }))
        .into_iter()
        .collect();
    change(&mut scenario);
    let options = RunOptions::new(1, Input::project());
    world::run(&scenario, &options, &mut |_| {}).expect("a run that begins")
}

fn names(outcome: &Outcome) -> Vec<&str> {
    let mut names: Vec<&str> = outcome
        .violations
        .iter()
        .map(|v| v.check.as_str())
        .collect();
    names.dedup();
    names
}

#[test]
fn a_good_card_passes() {
    let outcome = run_with(None, |_| {});
    assert!(outcome.passed(), "{:#?}", outcome.violations);
}

#[test]
fn a_flipped_bit_is_wrong_data() {
    let outcome = run_with(Some(Latch::CorruptOutput { nth: 5 }), |_| {});
    assert_eq!(names(&outcome), ["data right"], "{:#?}", outcome.violations);
}

#[test]
fn a_stray_write_is_outside_every_window() {
    let outcome = run_with(Some(Latch::WriteOutsideWindow { nth: 5 }), |_| {});
    assert!(
        names(&outcome).contains(&"DMA windows"),
        "{:#?}",
        outcome.violations
    );
}

#[test]
fn a_key_left_on_the_card_is_found_after_the_session_is_freed() {
    let outcome = run_with(Some(Latch::KeepKeysOnDestroy), |_| {});
    assert_eq!(
        names(&outcome),
        ["no key left behind"],
        "{:#?}",
        outcome.violations
    );
}

#[test]
fn a_card_that_hangs_for_ever_is_not_live() {
    // A watchdog that is slower than the bound on progress: nobody comes to the rescue in time.
    let outcome = run_with(Some(Latch::HangEngines), |scenario| {
        scenario.cards[0].watchdog = Span::from_ms(500);
        scenario.drain_within = Span::from_ms(100);
    });
    assert!(
        names(&outcome).contains(&"liveness"),
        "{:#?}",
        outcome.violations
    );
    assert!(
        names(&outcome).contains(&"exactly once"),
        "requests were left behind"
    );
}

#[test]
fn a_card_that_hangs_is_reset_and_nothing_is_lost() {
    let outcome = run_with(Some(Latch::HangEngines), |_| {});
    assert!(outcome.passed(), "{:#?}", outcome.violations);
}

#[test]
fn a_lost_completion_is_recovered_and_a_double_one_ignored() {
    for latch in [
        Latch::DropCompletion { nth: 7 },
        Latch::DuplicateCompletion { nth: 7 },
    ] {
        let outcome = run_with(Some(latch), |_| {});
        assert!(outcome.passed(), "{latch:?}: {:#?}", outcome.violations);
        assert_eq!(outcome.summary.pieces, 200, "{latch:?}");
    }
}

#[test]
fn an_expectation_that_is_not_met_fails_the_run() {
    use sim::scenario::{Count, Expectation};
    let outcome = run_with(None, |scenario| {
        scenario.expect = vec![Expectation {
            count: Count::Unplugs,
            at_least: 1,
            at_most: None,
        }];
    });
    assert_eq!(names(&outcome), ["expectations"]);
}

/// A run of `single` in which messages of one kind meet a fate.
fn run_with_rule(rule: Rule) -> Outcome {
    run_with(None, |scenario| {
        scenario.faults = vec![FaultSpec::new(
            Trigger::At(Time::ZERO + Span::from_us(5)),
            Action::Message { card: 0, rule },
        )];
    })
}

fn rule(message: Message, fate: Fate) -> Rule {
    Rule {
        skip: 3,
        count: 2,
        ..Rule::next(message, fate)
    }
}

#[test]
fn the_driver_survives_messages_that_are_lost_late_or_doubled() {
    let late = Fate::Delay(Span::from_us(40));
    for (message, fate) in [
        (Message::Doorbell, Fate::Lose),
        (Message::Doorbell, Fate::Double),
        (Message::Doorbell, late),
        (Message::Interrupt, Fate::Lose),
        (Message::Interrupt, Fate::Double),
        (Message::Interrupt, late),
    ] {
        let outcome = run_with_rule(rule(message, fate));
        let violations = &outcome.violations;
        assert!(outcome.passed(), "{message:?} {fate:?}: {violations:#?}");
    }
}

#[test]
fn a_bit_that_flips_on_the_way_to_memory_is_wrong_data() {
    // Completions cross too; enough writes hit data as well.
    let outcome = run_with_rule(Rule {
        count: 300,
        ..rule(Message::DmaWrite, Fate::Flip)
    });
    assert!(!outcome.passed());
}

#[test]
fn a_rule_that_strikes_nothing_fails_the_run() {
    let outcome = run_with_rule(Rule {
        skip: 1 << 30,
        ..rule(Message::Doorbell, Fate::Lose)
    });
    assert_eq!(names(&outcome), ["faults"], "{:#?}", outcome.violations);
    let message = &outcome.violations[0].message;
    assert!(message.contains("fault 1"), "{message}");
    assert!(message.contains("struck no doorbell of card0"), "{message}");
}

#[test]
fn every_checker_has_looked_in_a_whole_run() {
    let outcome = run_with(None, |_| {});
    for check in &outcome.summary.checks {
        assert!(check.looked > 0, "{}", check.name);
    }
    assert!(outcome.summary.checks.len() >= 10);
}

#[test]
fn the_driver_survives_a_link_that_loses_by_chance() {
    for message in [Message::Doorbell, Message::Interrupt] {
        let outcome = run_with_rule(Rule {
            count: 1 << 20,
            one_in: 4,
            ..rule(message, Fate::Lose)
        });
        assert!(outcome.passed(), "{message:?}: {:#?}", outcome.violations);
    }
}

#[test]
fn a_rule_about_one_register_leaves_the_others_alone() {
    // The doorbells of the last ring are lost, and its watchdog alone finds out.
    let ring = regs::RingId(4);
    let outcome = run_with_rule(Rule {
        first: ring.command_doorbell().into(),
        last: ring.command_doorbell().into(),
        skip: 0,
        ..rule(Message::Doorbell, Fate::Lose)
    });
    assert!(outcome.passed(), "{:#?}", outcome.violations);
    let nowhere = run_with_rule(Rule {
        first: 0x1F_FFF0,
        ..rule(Message::Doorbell, Fate::Lose)
    });
    assert_eq!(names(&nowhere), ["faults"]);
}
