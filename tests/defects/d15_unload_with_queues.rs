//! D15: what waits when everything is taken down is forgotten.
//!
//! Unloading the old framework freed its tables and left two questions in comments: whether to
//! flush the queues, and whether to refuse while there were sessions. Requests that waited never
//! called back.

use framework::{DriverChoice, MigrationPolicy, RequestError};

use crate::hand::{Bench, NOW};

fn old_unload(queue: Vec<u32>) -> Vec<u32> {
    drop(queue);
    Vec::new()
}

#[test]
fn the_old_queue_goes_without_a_word() {
    assert!(
        old_unload(vec![1, 2, 3]).is_empty(),
        "three callbacks never run"
    );
}

#[test]
fn the_last_driver_leaves_and_everything_that_waits_is_told() {
    let mut bench = Bench::new();
    let (id, hand) = bench.hand("card0", 1);
    let session = bench.open(DriverChoice::any(), MigrationPolicy::Report);
    for number in 0..4 {
        bench.dispatch(session, number);
    }
    bench.0.unregister(NOW, id).expect("a driver that is there");
    let none = Err(RequestError::NoDriver);
    assert_eq!(bench.ended(), [(1, none), (2, none), (3, none)]);
    hand.borrow_mut().work();
    assert_eq!(bench.ended(), [(0, Ok(()))]);
    bench
        .0
        .close_session(NOW, session)
        .expect("sessions outlive drivers");
    let stats = bench.0.stats();
    assert_eq!((stats.in_flight, stats.sessions), (0, 0));
}
