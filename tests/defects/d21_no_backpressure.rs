//! D21: a driver under load fails requests for want of memory.
//!
//! Work requests shared a queue with the network side of the device. When that was full the driver
//! answered ENOMEM, with a note that it ought to say when there was room; consumers lost packets.

use crate::card::{finish, open, rig, seal};

fn old_lost(burst: usize, room: usize) -> usize {
    burst.saturating_sub(room)
}

#[test]
fn the_old_driver_loses_what_exceeds_its_queue() {
    assert_eq!(old_lost(500, 63), 437);
}

#[test]
fn a_burst_of_any_size_waits_and_is_done_in_order() {
    let mut rig = rig(64);
    let session = open(&mut rig);
    for number in 0..500 {
        let (mut request, now) = (seal(&rig, session, number, 8), rig.now());
        request.flags = framework::RequestFlags::ORDERED;
        rig.framework
            .dispatch(now, request)
            .expect("room in the queue");
    }
    let expected: Vec<_> = (0..500).map(|number| (number, Ok(()))).collect();
    assert_eq!(finish(&mut rig, 500), expected);
    let stats = rig.framework.stats();
    assert!(stats.blocks > 0 && stats.errors == 0);
}
