use super::*;
use crate::case::{Case, Data};

/// A run in which a card flips a bit in the output of one command, with its log.
pub(crate) fn run(fault: &str) -> (Scenario, Outcome) {
    let scenario = Scenario::builtin("single").expect("built in").to_toml();
    let case = Case {
        scenario: Scenario::from_toml(&(scenario + fault), "test").expect("a scenario"),
        seed: 3,
        data: Data::Noise(1 << 16),
        exhibit: None,
    };
    let input = case.data.read().expect("noise");
    let outcome = case.run(&input, true).expect("a run that begins");
    (case.scenario, outcome)
}

/// The fault of [`run`].
pub(crate) const FLIPS: &str = "[[fault]]\nat_us = 5\n\
    latch = { card = \"card0\", kind = \"corrupt-output\", nth = 30 }\n";
#[test]
fn a_request_that_came_back_wrong_is_followed_from_its_dispatch_to_its_callback() {
    let (scenario, outcome) = run(FLIPS);
    let window = of(&scenario, &outcome).expect("a window");
    assert_eq!(window.violation.check, "data right");
    let subject = window.subject.expect("a request");
    let steps: Vec<(Lane, &str)> = window
        .steps
        .iter()
        .map(|step| (step.lane, step.what.split(' ').next().expect("a word")))
        .collect();
    let way = [
        (Lane::Consumer, "dispatch"),
        (Lane::Driver, "posted"),
        (Lane::Link, "doorbell"),
        (Lane::Engine, "started"),
        (Lane::Ring, "completed:"),
        (Lane::Driver, "reaped"),
        (Lane::Consumer, "callback"),
    ];
    let without_interrupts: Vec<_> = steps
        .iter()
        .copied()
        .filter(|(lane, _)| *lane != Lane::Interrupt)
        .collect();
    assert_eq!(without_interrupts, way, "{:#?}", window.steps);
    let times: Vec<Time> = window.steps.iter().map(|step| step.at).collect();
    assert!(times.is_sorted());
    assert!(times.iter().all(|at| window.time.contains(at)));
    assert_eq!(window.found_at(), *times.last().expect("a callback"));
    // Every event of the window is a step or a dot, but doorbells are told once.
    let posted = format!("request={subject}");
    assert!(window.dots.iter().all(|dot| !dot.text.contains(&posted)));
    assert!(window.dots.iter().all(|dot| window.time.contains(&dot.at)));
    // Its bars begin and end at its steps.
    let mine = window.bars.iter().filter(|bar| bar.is_subject);
    let lanes: Vec<Lane> = mine.map(|bar| bar.lane).collect();
    for lane in [Lane::Consumer, Lane::Ring, Lane::Engine] {
        assert!(lanes.contains(&lane), "{lane:?}: {lanes:?}");
    }
}

#[test]
fn a_violation_without_a_request_shows_the_events_around_it() {
    let (scenario, mut outcome) = run(FLIPS);
    outcome.violations[0].message = "slot 3 is not whose it should be".to_owned();
    outcome.violations[0].at_ps -= 1;
    let window = of(&scenario, &outcome).expect("a window");
    assert_eq!(window.subject, None);
    assert_eq!(window.steps.len(), STEPS);
    let found_at = window.found_at();
    assert!(window.steps.iter().all(|step| step.at <= found_at));
    assert!(window.time.contains(&found_at));
    // Doorbells are told once, as writes that arrive.
    let before = window.dots.iter().filter(|dot| dot.at <= found_at).count();
    assert!(before + STEPS > AROUND[0] / 2, "{before} before");
}

#[test]
fn a_request_that_fails_without_a_number_is_the_one_that_called_back_then() {
    let (scenario, mut outcome) = run(FLIPS);
    let subject = of(&scenario, &outcome).and_then(|window| window.subject);
    let at_ps = outcome.violations[0].at_ps;
    for record in &mut outcome.log {
        if let Event::Callback {
            outcome, request, ..
        } = &mut record.event
            && record.at.as_ps() == at_ps
            && Some(*request) == subject
        {
            *outcome = 5;
        }
    }
    outcome.violations[0].message = "a request of consumer 0 failed".to_owned();
    let window = of(&scenario, &outcome).expect("a window");
    assert!(subject.is_some());
    assert_eq!(window.subject, subject);
}

#[test]
fn what_has_no_moment_or_no_events_has_no_window() {
    let (scenario, mut outcome) = run(FLIPS);
    let log = std::mem::take(&mut outcome.log);
    assert!(of(&scenario, &outcome).is_none(), "no events");
    outcome.log = log;
    for check in OF_WHOLE_RUNS {
        outcome.violations[0].check = check.to_owned();
        assert!(of(&scenario, &outcome).is_none(), "{check}");
    }
    outcome.violations.clear();
    assert!(of(&scenario, &outcome).is_none(), "passed");
}
