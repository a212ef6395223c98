//! D18: work that was held back for a follower is never begun.
//!
//! Told that more follows, a driver put a request into its ring and did not ring the bell. If the
//! follower was refused, failed, or went to another ring, nobody rang it, and no interrupt ever
//! came.

use std::collections::VecDeque;

use framework::{Region, RequestInvalid};

use crate::card::{finish, open, rig, seal};

#[derive(Default)]
struct Old {
    parked: usize,
    begun: usize,
}

impl Old {
    /// Takes one request; `fails` if it turns out to be too big.
    fn process(&mut self, more: bool, fails: bool) {
        if fails {
            return;
        }
        self.parked += 1;
        if !more {
            self.begun += std::mem::take(&mut self.parked);
        }
    }
}

#[test]
fn a_follower_that_fails_leaves_the_old_request_in_the_ring() {
    let mut old = Old::default();
    old.process(true, false);
    old.process(false, true);
    assert_eq!((old.parked, old.begun), (1, 0));
}

#[test]
fn the_bell_is_rung_whatever_becomes_of_the_follower() {
    let mut rig = rig(64);
    let [first, second] = [open(&mut rig), open(&mut rig)];
    // The follower is refused by the framework.
    let mut bad = seal(&rig, first, 1, 1);
    bad.payload = Region { start: 0, len: 15 };
    let mut batch: VecDeque<_> = [seal(&rig, first, 0, 1), bad].into();
    let rejected = rig
        .framework
        .dispatch_batch(rig.now(), &mut batch)
        .unwrap_err();
    let reason = RequestInvalid::BlockMultiple { len: 15, block: 16 };
    assert_eq!(rejected.reason, reason);
    assert_eq!(finish(&mut rig, 1), [(0, Ok(()))]);
    // The follower is of another session, and the driver refuses in the middle.
    for count in [2, 100, 200] {
        let mut batch: VecDeque<_> = (0..count)
            .map(|number| seal(&rig, [first, second][number as usize % 2], number, 1))
            .collect();
        rig.framework
            .dispatch_batch(rig.now(), &mut batch)
            .expect("valid requests");
        let ended = finish(&mut rig, count as usize);
        assert!(ended.iter().all(|(_, result)| result.is_ok()));
    }
    assert!(rig.framework.stats().refusals > 0, "the ring has 63 places");
}
