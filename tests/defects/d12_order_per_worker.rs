//! D12: a slow session holds up the callbacks of others.
//!
//! Ordered callbacks went through a few workers, and the order was the worker's: each request got
//! its number there. Two sessions that fell on one worker waited for each other.

use std::collections::BTreeMap;

use framework::{DriverChoice, MigrationPolicy, RequestFlags};

use crate::hand::{Bench, NOW, block};

/// Callbacks that one worker may run, of requests that are done, by session and done or not.
fn old_worker(requests: &[(u32, bool)], workers: u32) -> Vec<u32> {
    let mut stopped: BTreeMap<u32, bool> = BTreeMap::new();
    let mut called = Vec::new();
    for &(session, done) in requests {
        let stopped = stopped.entry(session % workers).or_default();
        *stopped |= !done;
        if !*stopped {
            called.push(session);
        }
    }
    called
}

#[test]
fn sessions_of_one_old_worker_wait_for_each_other() {
    let requests = [(1, false), (3, true), (2, true)];
    assert_eq!(old_worker(&requests, 2), [2], "3 is done and waits for 1");
}

#[test]
fn order_is_a_matter_of_one_session() {
    let mut bench = Bench::new();
    let (first, slow) = bench.hand("card0", 9);
    let (second, fast) = bench.hand("card1", 9);
    let sessions =
        [first, second].map(|id| bench.open(DriverChoice::driver(id), MigrationPolicy::Report));
    for (number, session) in (0..).zip([0, 1, 1]) {
        let mut request = block(sessions[session], number);
        request.flags = RequestFlags::ORDERED;
        bench.0.dispatch(NOW, request).expect("a valid request");
    }
    fast.borrow_mut().work();
    fast.borrow_mut().work();
    assert_eq!(bench.ended(), [(1, Ok(())), (2, Ok(()))]);
    slow.borrow_mut().work();
    assert_eq!(bench.ended(), [(0, Ok(()))]);
}
