//! D19: a full ring is reported as the request's error.
//!
//! The driver noticed that it had no room, wrote ERESTART into the request and completed it. The
//! consumer saw an error that no page tells it about. The mark that a wake-up is needed was set on
//! one ring and looked for on another.

use crate::card::{finish, open, rig, seal};

/// Ends of `count` requests in the old driver with `room`.
fn old(count: usize, room: usize) -> Vec<Result<(), &'static str>> {
    (0..count)
        .map(|at| if at < room { Ok(()) } else { Err("ERESTART") })
        .collect()
}

#[test]
fn the_old_consumer_sees_errors_as_soon_as_the_ring_is_full() {
    assert_eq!(old(5, 3)[3..], [Err("ERESTART"); 2]);
}

#[test]
fn every_size_of_ring_gets_all_requests_done() {
    for entries in 2..=9 {
        let mut rig = rig(entries);
        let session = open(&mut rig);
        for number in 0..50 {
            let request = seal(&rig, session, number, 4);
            let now = rig.now();
            rig.framework
                .dispatch(now, request)
                .expect("room in the queue");
        }
        let ended = finish(&mut rig, 50);
        assert!(ended.iter().all(|(_, result)| result.is_ok()), "{entries}");
        assert!(rig.framework.stats().refusals > 0, "{entries}");
    }
}
