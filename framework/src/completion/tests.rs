use crate::testing::{Bench, NOW};
use crate::{
    DriverError, FrameworkEvent, MigrationPolicy, RequestError, RequestFlags, SessionError,
};

const REPORT: MigrationPolicy = MigrationPolicy::Report;
const TRANSPARENT: MigrationPolicy = MigrationPolicy::Transparent;
const ORDERED: RequestFlags = RequestFlags::ORDERED;

#[test]
fn ordered_requests_call_back_in_dispatch_order_whatever_the_driver_does() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    for _ in 0..4 {
        bench.dispatch_flagged(session, ORDERED);
    }
    for nth in [3, 2, 1] {
        card.complete_nth(nth, Ok(()));
        bench.framework.service(NOW, id);
        assert_eq!(bench.finished(), []);
    }
    card.complete_nth(0, Err(DriverError::DigestMismatch));
    bench.framework.service(NOW, id);
    let mismatch = Err(RequestError::DigestMismatch);
    let expected = [(1, mismatch), (2, Ok(())), (3, Ok(())), (4, Ok(()))];
    assert_eq!(bench.finished(), expected);
}

#[test]
fn order_binds_neither_other_requests_nor_other_sessions() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let slow = bench.session(REPORT);
    let quick = bench.session(REPORT);
    bench.dispatch_flagged(slow, ORDERED);
    bench.dispatch(slow);
    bench.dispatch_flagged(quick, ORDERED);
    card.complete_nth(2, Ok(()));
    card.complete_nth(1, Ok(()));
    bench.framework.service(NOW, id);
    assert_eq!(bench.finished(), [(3, Ok(())), (2, Ok(()))]);
}

#[test]
fn errors_of_the_driver_reach_the_callback() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    let pairs = [
        (DriverError::DigestMismatch, RequestError::DigestMismatch),
        (DriverError::TooBig, RequestError::TooBig),
        (DriverError::Device, RequestError::Device),
    ];
    for (given, expected) in pairs {
        bench.dispatch(session);
        card.complete_nth(0, Err(given));
        bench.framework.service(NOW, id);
        assert_eq!(bench.finished()[0].1, Err(expected));
    }
    assert_eq!(bench.framework.stats().errors, 3);
}

#[test]
fn an_untouched_request_of_a_card_that_was_reset_goes_in_again_before_newer_ones() {
    for policy in [REPORT, TRANSPARENT] {
        let mut bench = Bench::new();
        let (id, card) = bench.card("card");
        let session = bench.session(policy);
        card.set(|script| script.room = 3);
        for _ in 0..5 {
            bench.dispatch(session);
        }
        // The reset returns what was in flight, newest first.
        for nth in [2, 1, 0] {
            card.complete_nth(nth, Err(DriverError::Lost { untouched: true }));
        }
        card.set(|script| script.room = 9);
        bench.framework.service(NOW, id);
        assert_eq!(card.taken(), [1, 2, 3, 1, 2, 3, 4, 5]);
        card.complete_all();
        bench.framework.service(NOW, id);
        assert_eq!(bench.finished().len(), 5);
    }
}

#[test]
fn a_half_written_request_of_a_card_that_was_reset_is_reported_or_undone() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    card.set(|script| script.scribbles = true);
    let told = bench.session(REPORT);
    let untold = bench.session(TRANSPARENT);
    bench.dispatch(told);
    bench.dispatch(untold);
    for _ in 0..2 {
        card.complete_nth(0, Err(DriverError::Lost { untouched: false }));
    }
    card.set(|script| script.scribbles = false);
    bench.framework.service(NOW, id);
    let interrupted = Err(RequestError::Interrupted(told));
    assert_eq!(bench.finished(), [(1, interrupted)]);
    card.complete_all();
    bench.framework.service(NOW, id);
    let finished = bench.framework.take_finished().unwrap();
    let mut bytes = [0; 64];
    finished.request.buffer.copy_out(0, &mut bytes);
    assert!(bytes.iter().copied().eq(0..64), "the data is as it was");
    assert_eq!(bench.framework.stats().undo_restores, 1);
}

#[test]
fn a_driver_that_drops_a_request_again_and_again_is_not_asked_for_ever() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    bench.dispatch(session);
    for _ in 0..100 {
        if card.held() == 0 {
            break;
        }
        card.complete_nth(0, Err(DriverError::Lost { untouched: true }));
        bench.framework.service(NOW, id);
    }
    assert_eq!(bench.finished(), [(1, Err(RequestError::Device))]);
}

#[test]
fn closing_cancels_what_is_queued_and_lets_the_rest_finish() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    let other = bench.session(REPORT);
    card.set(|script| script.room = 2);
    bench.dispatch(session);
    bench.dispatch(other);
    bench.dispatch(session);
    bench.dispatch(other);
    bench.framework.close_session(NOW, session).unwrap();
    assert_eq!(bench.finished(), [(3, Err(RequestError::Cancelled))]);
    assert_eq!(card.0.borrow().closed, 0, "a request is in flight");
    let again = bench.framework.close_session(NOW, session);
    assert_eq!(again, Err(SessionError::NoSession));
    card.complete_all();
    bench.framework.service(NOW, id);
    assert_eq!(card.0.borrow().closed, 1);
    assert_eq!(bench.finished(), [(1, Ok(())), (2, Ok(()))]);
    assert_eq!(card.held_ids(), [4]);
    assert_eq!(bench.framework.stats().sessions, 1);
}

#[test]
fn closing_keeps_the_order_of_callbacks() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    card.set(|script| script.room = 1);
    bench.dispatch_flagged(session, ORDERED);
    bench.dispatch_flagged(session, ORDERED);
    bench.framework.close_session(NOW, session).unwrap();
    assert_eq!(bench.finished(), []);
    card.complete_all();
    bench.framework.service(NOW, id);
    let cancelled = Err(RequestError::Cancelled);
    assert_eq!(bench.finished(), [(1, Ok(())), (2, cancelled)]);
}

#[test]
fn refusals_and_blocks_are_on_record() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    card.set(|script| script.room = 1);
    bench.dispatch(session);
    bench.dispatch(session);
    card.complete_all();
    bench.framework.service(NOW, id);
    let events = bench.events();
    let driver = id;
    for expected in [
        FrameworkEvent::DriverRegistered { driver },
        FrameworkEvent::SessionOpened { session, driver },
        FrameworkEvent::Blocked { driver },
        FrameworkEvent::Unblocked { driver },
    ] {
        assert!(events.contains(&expected), "{expected:?} in {events:?}");
    }
    let stats = bench.framework.stats();
    assert_eq!((stats.blocks, stats.refusals, stats.ops), (1, 1, 2));
    let stats = bench.framework.driver_stats(id).unwrap();
    assert_eq!((stats.blocks, stats.ops, stats.in_flight), (1, 2, 1));
}
