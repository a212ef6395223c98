//! D17: the pages say one thing and the code does another.
//!
//! The manual promised that sessions go round among equal drivers; the code took the driver with
//! the fewest. Prototypes named arguments that were not there, and in another order. Here the pages
//! and the code are compared by tests: this one holds what is said of the choice of a driver, and
//! `tests/second_driver.rs` every example of the guide for authors of drivers.

use framework::{DriverChoice, MigrationPolicy};

use crate::hand::{Bench, NOW};

/// Drivers that get sessions in turn, as the old page had it.
fn said(sessions: usize, drivers: usize) -> Vec<usize> {
    (0..sessions).map(|session| session % drivers).collect()
}

/// The driver with the fewest, as the old code had it; the first driver's are freed at once.
fn done(sessions: usize, drivers: usize) -> Vec<usize> {
    let mut counts = vec![0; drivers];
    (0..sessions)
        .map(|_| {
            let least = (0..drivers).min_by_key(|&place| counts[place]).unwrap_or(0);
            counts[least] += usize::from(least != 0);
            least
        })
        .collect()
}

#[test]
fn what_was_said_and_what_was_done_differ() {
    assert_eq!(said(4, 2), [0, 1, 0, 1]);
    assert_eq!(done(4, 2), [0, 0, 0, 0]);
}

#[test]
fn the_choice_is_the_one_that_is_documented() {
    // "Largest probe score, then fewest sessions, then lowest id": `DriverChoice`.
    let guide = include_str!("../../docs/drivers.md");
    assert!(guide.contains("then the driver with fewer sessions"));
    let mut bench = Bench::new();
    let (first, _) = bench.hand("card0", 9);
    let (second, _) = bench.hand("card1", 9);
    let mut open = || bench.open(DriverChoice::any(), MigrationPolicy::Report);
    let sessions = [open(), open(), open()];
    let driver = |bench: &Bench, session| bench.0.session_driver(session);
    assert_eq!(driver(&bench, sessions[0]), Some(first));
    assert_eq!(driver(&bench, sessions[1]), Some(second));
    assert_eq!(driver(&bench, sessions[2]), Some(first));
    for session in [sessions[0], sessions[2]] {
        bench.0.close_session(NOW, session).expect("a session");
    }
    for _ in 0..1 {
        let next = bench.open(DriverChoice::any(), MigrationPolicy::Report);
        assert_eq!(
            driver(&bench, next),
            Some(first),
            "the fewest, not the next in turn"
        );
    }
}
