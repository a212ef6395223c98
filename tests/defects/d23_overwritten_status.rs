//! D23: a status is read and then overwritten before anybody looks at it.
//!
//! The handler worked out whether the device had been overrun, and assigned the next thing to the
//! same variable. Overruns were never restarted. When the device gave up altogether, requests ended
//! with ENOMEM.

use device_model::Latch;
use framework::RequestError;

use crate::card::{finish, latch, open, rig, seal};

/// Whether the old handler restarts, given the status register.
fn old_restarts(status: u32) -> bool {
    const OVERRUN: u32 = 1;
    const ABORT: u32 = 2;
    let mut restart = status & OVERRUN;
    assert!(restart <= OVERRUN);
    restart = status & ABORT;
    restart != 0
}

#[test]
fn an_overrun_alone_never_restarts_the_old_device() {
    assert!(old_restarts(2) && old_restarts(3));
    assert!(!old_restarts(1));
}

#[test]
fn nothing_a_card_forgets_to_say_stays_unnoticed() {
    for nth in 0..6 {
        let mut rig = rig(16);
        let session = open(&mut rig);
        latch(&rig, Latch::DropCompletion { nth });
        for number in 0..6 {
            let (request, now) = (seal(&rig, session, number, 2), rig.now());
            rig.framework
                .dispatch(now, request)
                .expect("a valid request");
        }
        let ended = finish(&mut rig, 6);
        let fine = |result: &Result<(), RequestError>| {
            matches!(result, Ok(()) | Err(RequestError::Interrupted(_)))
        };
        assert!(
            ended.iter().all(|(_, result)| fine(result)),
            "{nth}: {ended:?}"
        );
        let well = ended.iter().filter(|(_, result)| result.is_ok()).count();
        assert!(
            well >= usize::try_from(nth).expect("small"),
            "those before it were done"
        );
    }
}
