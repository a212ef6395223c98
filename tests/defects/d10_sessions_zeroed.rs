//! D10: to register one more algorithm sets the driver's count of sessions to zero.
//!
//! The count chooses among drivers and says when one may leave. A driver that registered late
//! looked idle, was given everything, and left while it had sessions.

use crate::card::{classic_toy, open_classic};

#[derive(Default)]
struct Old {
    algorithms: Vec<u32>,
    sessions: usize,
}

impl Old {
    fn register(&mut self, algorithm: u32) {
        self.algorithms.push(algorithm);
        self.sessions = 0;
    }
}

#[test]
fn the_old_driver_with_most_sessions_looks_idle() {
    let mut old = [Old::default(), Old::default()];
    (old[0].sessions, old[1].sessions) = (10, 1);
    old[0].register(7);
    let chosen = old
        .iter()
        .enumerate()
        .min_by_key(|(_, driver)| driver.sessions);
    assert_eq!(chosen.map(|(place, _)| place), Some(0));
}

#[test]
fn registering_changes_no_count() {
    let (mut classic, hid) = classic_toy();
    for _ in 0..3 {
        open_classic(&mut classic);
    }
    let count = |classic: &mut framework::front::classic::Classic| {
        let driver = classic.framework_mut().drivers().next();
        driver.map(|driver| driver.stats.sessions)
    };
    assert_eq!(count(&mut classic), Some(3));
    classic
        .crypto_register(hid, 2, 0, None)
        .expect("a known algorithm");
    assert_eq!(count(&mut classic), Some(3));
}
