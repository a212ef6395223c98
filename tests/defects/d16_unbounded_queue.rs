//! D16: the one queue of all drivers grows without end.
//!
//! A driver that stays blocked lets requests pile up until memory is gone; nothing takes a request
//! back out; and because there is one queue, all of it is looked through for every request.

use framework::{DriverChoice, Framework, Limits, MigrationPolicy, RequestError, RequestInvalid};

use crate::hand::{Bench, NOW, block};

#[test]
fn the_old_queue_takes_whatever_comes() {
    let mut queue = Vec::new();
    for request in 0..100_000_u32 {
        queue.push(request);
    }
    // Looking for a request whose driver is not blocked, past all of one that is.
    let steps = queue
        .iter()
        .position(|request| *request == 99_999)
        .map(|place| place + 1);
    assert_eq!(steps, Some(100_000));
}

#[test]
fn a_full_queue_hands_back_holds_up_no_other_driver_and_can_be_emptied() {
    let mut bench = Bench(Framework::new(Limits {
        queue_len: 3,
        ..Limits::default()
    }));
    let (first, _) = bench.hand("card0", 0);
    let (second, fast) = bench.hand("card1", 1);
    let [stuck, free] =
        [first, second].map(|id| bench.open(DriverChoice::driver(id), MigrationPolicy::Report));
    for number in 0..3 {
        bench.dispatch(stuck, number);
    }
    let refused = bench
        .0
        .dispatch(NOW, block(stuck, 3))
        .expect_err("a full queue");
    assert_eq!(
        (refused.reason, refused.request.opaque),
        (RequestInvalid::QueueFull, 3)
    );
    bench.dispatch(free, 4);
    assert_eq!(
        fast.borrow().taken(),
        [4],
        "its driver has a queue of its own"
    );
    bench.0.close_session(NOW, stuck).expect("a session");
    let cancelled = Err(RequestError::Cancelled);
    assert_eq!(
        bench.ended(),
        [(0, cancelled), (1, cancelled), (2, cancelled)]
    );
}
