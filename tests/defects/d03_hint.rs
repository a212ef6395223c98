//! D3: the hint that more follows is never given, or is not true.
//!
//! One generation of the queue's thread left its loop as soon as it had found a request, so that
//! the branch which looks for a follower never ran. Another dispatched batches with the hint set
//! for every request but the last, whatever driver the next one was for.

use std::collections::VecDeque;

use framework::{DriverChoice, Hint, MigrationPolicy};

use crate::hand::{Bench, Call, NOW, block};

/// Hints of the old queue thread for requests that wait for one driver.
fn old_thread(waiting: &[u32]) -> Vec<bool> {
    let mut queue: VecDeque<u32> = waiting.iter().copied().collect();
    let mut hints = Vec::new();
    while !queue.is_empty() {
        let (mut submit, mut more) = (None, false);
        for request in queue.clone() {
            let was_found = submit.replace(request).is_some();
            if !was_found {
                // The loop is left here, and the next line never runs.
                break;
            }
            more = true;
        }
        queue.pop_front();
        hints.push(more);
    }
    hints
}

/// Hints of the old batch dispatch, with the driver each went to.
fn old_batch(drivers: &[u32]) -> Vec<(u32, bool)> {
    let last = drivers.len() - 1;
    drivers
        .iter()
        .enumerate()
        .map(|(at, &driver)| (driver, at < last))
        .collect()
}

#[test]
fn the_old_thread_never_says_more_and_the_old_batch_says_it_to_the_wrong_driver() {
    assert_eq!(old_thread(&[1, 2, 3]), [false; 3]);
    let hints = old_batch(&[0, 1, 1]);
    assert_eq!(
        hints[0],
        (0, true),
        "driver 0 waits for a follower that is not its own"
    );
}

#[test]
fn more_always_comes_true_for_the_driver_that_was_told() {
    let mut bench = Bench::new();
    let (first, one) = bench.hand("card0", 100);
    let (second, two) = bench.hand("card1", 100);
    let sessions =
        [first, second].map(|id| bench.open(DriverChoice::driver(id), MigrationPolicy::Report));
    // Every pattern of six requests for two drivers.
    for pattern in 0..64_u64 {
        let of = |bit: u64| sessions[usize::from(pattern >> bit & 1 == 1)];
        let mut batch: VecDeque<_> = (0..6).map(|bit| block(of(bit), bit)).collect();
        bench
            .0
            .dispatch_batch(NOW, &mut batch)
            .expect("valid requests");
        for hand in [&one, &two] {
            let mut hand = hand.borrow_mut();
            let open = hand.calls.iter().fold(false, |open, call| match call {
                Call::Process(_, hint) => *hint == Hint::More,
                Call::Flush => false,
                Call::Close | Call::Detach => open,
            });
            assert!(!open, "pattern {pattern:06b}: {:?}", hand.calls);
            let mores = hand.calls.iter();
            let mores = mores
                .filter(|call| matches!(call, Call::Process(_, Hint::More)))
                .count();
            let taken = hand.taken().len();
            assert!(mores >= taken / 2, "neighbours are told of each other");
            hand.calls.clear();
            while !hand.held.is_empty() {
                hand.work();
            }
        }
        assert_eq!(bench.ended().len(), 6);
    }
}
