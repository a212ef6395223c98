//! D5: a driver that leaves waits for ever for a session that nobody uses.
//!
//! To unregister a driver the old framework slept until its last session was gone, and sessions
//! went only when a request of theirs came by. An idle one never did.

use framework::{DriverChoice, MigrationPolicy};

use crate::hand::{Bench, NOW};

/// Turns that unregistering sleeps, at most `patience`.
fn old_unregister(sessions: &mut Vec<u32>, requests: &[u32], patience: usize) -> usize {
    let mut requests = requests.iter();
    (0..patience)
        .take_while(|_| {
            if let Some(session) = requests.next() {
                sessions.retain(|other| other != session);
            }
            !sessions.is_empty()
        })
        .count()
}

#[test]
fn one_idle_session_keeps_the_old_driver_from_leaving() {
    assert!(old_unregister(&mut vec![1, 2], &[1, 2], 1000) < 1000);
    assert_eq!(old_unregister(&mut vec![1, 2], &[1], 1000), 1000);
}

#[test]
fn idle_sessions_are_moved_and_nobody_waits() {
    let mut bench = Bench::new();
    let (id, _) = bench.hand("card0", 9);
    let sessions: Vec<_> = (0..4)
        .map(|_| bench.open(DriverChoice::any(), MigrationPolicy::Transparent))
        .collect();
    let (other, hand) = bench.hand("card1", 9);
    bench.0.unregister(NOW, id).expect("a driver that is there");
    bench.service();
    assert!(
        bench.0.driver(id).is_none(),
        "gone, with no request having come by"
    );
    for session in sessions {
        assert_eq!(bench.0.session_driver(session), Some(other));
        bench.dispatch(session, 1);
        hand.borrow_mut().work();
    }
    assert!(bench.ended().iter().all(|(_, result)| result.is_ok()));
}
