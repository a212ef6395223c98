//! The bug museum: every bug of the catalogue is found, by checkers that know none of them.

use std::num::NonZero;
use std::ops::ControlFlow;

use exhibit::Exhibit;
use sim::museum::{self, Effort, Row, Summary};

/// Rows of `exhibits`, with a budget of events for each replay.
fn rows(exhibits: &[Exhibit], shrink: u64) -> Vec<Row> {
    let effort = Effort {
        seeds: 200,
        shrink,
        jobs: NonZero::new(2).expect("two"),
    };
    let mut rows = Vec::new();
    let visited = museum::visit(exhibits, effort, &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    visited.expect("a program with the bugs");
    rows
}

#[test]
fn every_bug_is_found_and_half_of_them_within_a_hundred_seeds() {
    let rows = rows(Exhibit::ALL, 0);
    let missing: Vec<&str> = rows
        .iter()
        .filter(|row| row.found.is_none())
        .map(|row| row.exhibit.name())
        .collect();
    assert!(missing.is_empty(), "not found: {}", missing.join(", "));
    let summary = Summary::of(&rows);
    assert!(summary.exhibits >= 40, "{}", summary.line());
    assert!(
        summary.median_seeds.is_some_and(|seeds| seeds <= 100),
        "{}",
        summary.line()
    );
}

#[test]
fn nothing_is_found_in_the_same_seeds_without_a_bug() {
    let found = museum::control(25 * museum::scenarios().len() as u64);
    let found = found.map(|case| (case.scenario.name, case.seed));
    assert_eq!(found, None);
}

#[test]
fn a_bug_shrinks_to_a_replay_that_names_it_and_fails_again() {
    let rows = rows(
        &[Exhibit::RequeueAtTail, Exhibit::WrongDirection],
        1_000_000,
    );
    for row in rows {
        let replay = row.found.expect("a bug that is found").replay;
        assert_eq!(replay.case.exhibit, Some(row.exhibit));
        let input = replay.case.data.read().expect("noise");
        let again = replay.case.run(&input, false).expect("a run");
        assert!(replay.is_same(&again), "{}", replay.to_toml());
        assert!(replay.events < 1_000, "{} events", replay.events);

        let mut sane = replay.case;
        sane.exhibit = None;
        let without = sane.run(&input, false).expect("a run");
        assert!(without.passed(), "{:?}", without.violations);
    }
}
