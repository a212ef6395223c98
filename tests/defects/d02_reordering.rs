//! D2: a request that was refused is overtaken by a newer one.
//!
//! On the direct way from dispatch to driver, the old framework put a refused request to the tail
//! of the queue and left the driver unmarked until its own thread had tried again. A dispatch that
//! came before that went straight to the driver.

use framework::{DriverChoice, MigrationPolicy};

use crate::hand::Bench;

#[derive(Default)]
struct Old {
    blocked: bool,
    queue: Vec<u32>,
    room: usize,
    taken: Vec<u32>,
}

impl Old {
    fn dispatch(&mut self, request: u32) {
        if self.blocked {
            self.queue.push(request);
        } else if self.room > 0 {
            self.room -= 1;
            self.taken.push(request);
        } else {
            self.queue.push(request);
        }
    }
}

#[test]
fn an_unmarked_driver_takes_the_newer_request_first() {
    let mut old = Old::default();
    old.dispatch(1);
    old.room = 1;
    old.dispatch(2);
    assert_eq!((old.taken, old.queue), (vec![2], vec![1]));
}

#[test]
fn nothing_overtakes_a_request_that_was_refused() {
    let mut bench = Bench::new();
    let (_, hand) = bench.hand("card0", 0);
    let session = bench.open(DriverChoice::any(), MigrationPolicy::Report);
    bench.dispatch(session, 1);
    // Room, of which the driver has not told anybody yet.
    hand.borrow_mut().room = 1;
    bench.dispatch(session, 2);
    assert_eq!(hand.borrow().taken(), [0; 0]);
    // A wake-up for nothing: the oldest is refused once more, with others behind it.
    hand.borrow_mut().room = 0;
    hand.borrow_mut().generation += 1;
    bench.dispatch(session, 3);
    for _ in 0..3 {
        hand.borrow_mut().generation += 1;
        hand.borrow_mut().room = 1;
        bench.service();
    }
    assert_eq!(hand.borrow().taken(), [1, 2, 3]);
}
