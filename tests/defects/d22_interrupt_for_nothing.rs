//! D22: an interrupt with nothing to show for it leads the handler into a list nobody made.
//!
//! The handler jumped to its end if there were no completions, past the line that initialises the
//! list of what is done, and then walked that list. An error of the ring was acknowledged, and
//! nothing was done about it.

use device_model::Latch;

use crate::card::{finish, latch, open, rig, seal};

/// What the old handler's list is when it is walked: nothing at all, if there was no completion.
fn old_list(completions: usize) -> Option<Vec<usize>> {
    (completions > 0).then(|| (0..completions).collect())
}

#[test]
fn the_old_handler_walks_a_list_that_is_not_there() {
    assert_eq!(old_list(2), Some(vec![0, 1]));
    assert_eq!(old_list(0), None);
}

#[test]
fn service_for_nothing_does_nothing_at_any_time() {
    let mut rig = rig(16);
    let session = open(&mut rig);
    let mut done = 0;
    for number in 0..20 {
        let (request, now) = (seal(&rig, session, number, 1), rig.now());
        rig.framework
            .dispatch(now, request)
            .expect("a valid request");
        loop {
            for _ in 0..3 {
                let now = rig.now();
                rig.framework.service(now, rig.driver);
            }
            if let Some(finished) = rig.framework.take_finished() {
                assert_eq!((finished.request.opaque, finished.result), (number, Ok(())));
                done += 1;
                break;
            }
            assert!(rig.step(), "the request is under way");
        }
    }
    assert_eq!(done, 20);
}

#[test]
fn a_ring_that_stands_still_is_set_going_again() {
    for hang in [
        Latch::HangScheduler,
        Latch::HangEngines,
        Latch::DropCompletion { nth: 0 },
    ] {
        let mut rig = rig(16);
        let session = open(&mut rig);
        latch(&rig, hang);
        for number in 0..4 {
            let (request, now) = (seal(&rig, session, number, 1), rig.now());
            rig.framework
                .dispatch(now, request)
                .expect("a valid request");
        }
        finish(&mut rig, 4);
        let (request, now) = (seal(&rig, session, 9, 1), rig.now());
        rig.framework
            .dispatch(now, request)
            .expect("a valid request");
        assert_eq!(
            finish(&mut rig, 1),
            [(9, Ok(()))],
            "{hang:?}: the card works again"
        );
    }
}
