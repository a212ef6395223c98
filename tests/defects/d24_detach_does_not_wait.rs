//! D24: a driver is detached with operations in its device.
//!
//! Waiting for active operations, and suspend and resume, were comments. A chip reset left memory
//! mapped. And a driver that had been full asked for more at the first free slot, only to be full
//! again: one block and one unblock for each request.

use crate::card::{finish, open, rig, seal};

/// Blocks while `requests` go through a ring of `slots` that unblocks when `low` are free.
fn blocks(requests: usize, slots: usize, low: usize) -> usize {
    let (mut waiting, mut used, mut blocks) = (requests, 0, 0);
    while waiting > 0 {
        let taken = waiting.min(slots - used);
        (waiting, used) = (waiting - taken, used + taken);
        if waiting > 0 {
            blocks += 1;
            used -= low;
        }
    }
    blocks
}

/// Requests that never come back if a device with so many in it is forgotten.
fn old_detach(in_device: usize) -> usize {
    in_device
}

#[test]
fn the_old_way_loses_what_is_inside_and_blocks_for_each_slot() {
    assert_eq!(old_detach(7), 7);
    assert_eq!((blocks(1000, 64, 1), blocks(1000, 64, 16)), (936, 59));
}

#[test]
fn a_driver_leaves_when_everything_is_home_and_closes_its_windows() {
    for steps in [0, 1, 5, 20, 50] {
        let mut rig = rig(16);
        let session = open(&mut rig);
        for number in 0..40 {
            let (request, now) = (seal(&rig, session, number, 4), rig.now());
            rig.framework
                .dispatch(now, request)
                .expect("a valid request");
        }
        for _ in 0..steps {
            rig.step();
        }
        let (id, now) = (rig.driver, rig.now());
        rig.framework
            .unregister(now, id)
            .expect("a driver that is there");
        finish(&mut rig, 40);
        for _ in 0..10_000 {
            if rig.framework.driver(id).is_none() || !rig.step() {
                break;
            }
        }
        assert!(rig.framework.driver(id).is_none(), "after {steps} steps");
        assert_eq!(rig.port.borrow().windows().live(), 0, "after {steps} steps");
    }
}

#[test]
fn a_full_ring_says_that_there_is_room_when_it_is_worth_it() {
    let mut rig = rig(65);
    let session = open(&mut rig);
    for number in 0..1000 {
        let (request, now) = (seal(&rig, session, number, 1), rig.now());
        rig.framework
            .dispatch(now, request)
            .expect("room in the queue");
    }
    finish(&mut rig, 1000);
    let blocks = rig.framework.stats().blocks;
    assert!(
        (1..=100).contains(&blocks),
        "{blocks} blocks for 1000 requests"
    );
}
