//! D1: a wake-up is lost that comes between a refusal and the note of it.
//!
//! The old framework let go of its queue's lock while a driver looked at a request, and set the
//! driver's blocked mark after it had refused. If the driver's last completion, and with it the
//! call to unblock, came in between, the mark was cleared first and set second, and stayed.

use framework::{DriverChoice, MigrationPolicy};
use timebase::Time;

use crate::hand::{Bench, NOW};

/// The old way: a mark, which refusal sets and unblocking clears.
#[derive(Default)]
struct Old {
    blocked: bool,
    queue: Vec<u32>,
    taken: Vec<u32>,
}

impl Old {
    /// Offers the head of the queue to `driver`, which may call back meanwhile.
    fn invoke(&mut self, driver: impl FnOnce(&mut Self) -> bool) {
        if self.blocked || self.queue.is_empty() {
            return;
        }
        let request = self.queue.remove(0);
        if driver(self) {
            self.taken.push(request);
        } else {
            self.queue.insert(0, request);
            self.blocked = true;
        }
    }

    fn unblock(&mut self) {
        self.blocked = false;
    }
}

#[test]
fn a_mark_that_is_set_after_it_was_cleared_stays_for_ever() {
    let mut old = Old {
        queue: vec![1],
        ..Old::default()
    };
    old.invoke(|framework| {
        // It is full; but its last completion comes before it has said so.
        framework.unblock();
        false
    });
    for _ in 0..100 {
        old.invoke(|_| true);
    }
    assert!(old.taken.is_empty(), "an idle driver, and nobody asks it");
}

#[test]
fn room_that_comes_during_a_refusal_is_seen() {
    let mut bench = Bench::new();
    let (id, hand) = bench.hand("card0", 0);
    let session = bench.open(DriverChoice::any(), MigrationPolicy::Report);
    hand.borrow_mut().unblocks_while_refusing = true;
    bench.dispatch(session, 1);
    let again = bench.0.driver_deadline(id);
    if again < Time::NEVER {
        bench.0.service(again.max(NOW), id);
    }
    assert_eq!(hand.borrow().taken(), [1]);
}
