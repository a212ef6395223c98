//! Drivers that are lost: what becomes of their sessions and requests.

use super::*;

#[test]
fn a_lost_driver_gives_every_request_the_same_new_name() {
    let (mut bench, old, [one, two]) = loaded(REPORT);
    one.1.die(true);
    bench.framework.service(NOW, one.0);
    let new = bench.framework.session_current(old).unwrap();
    assert_ne!(new, old);
    let moved = Err(RequestError::Moved(new));
    assert_eq!(bench.finished(), [1, 2, 3, 4, 5].map(|id| (id, moved)));
    assert_eq!(bench.framework.session_driver(new), Some(two.0));
    bench.framework.service(NOW, two.0);
    bench.dispatch(new);
    assert_eq!(two.1.taken(), [6]);
    let driver = bench.framework.driver(one.0);
    assert!(driver.is_none(), "the driver is forgotten");
}

#[test]
fn a_name_from_before_the_move_answers_moved_and_a_freed_one_is_rejected() {
    let (mut bench, old, [one, two]) = loaded(REPORT);
    one.1.die(true);
    bench.framework.service(NOW, one.0);
    bench.finished();
    bench.dispatch(old);
    let new = bench.framework.session_current(old).unwrap();
    assert_eq!(bench.finished(), [(6, Err(RequestError::Moved(new)))]);
    bench.framework.service(NOW, two.0);
    bench.dispatch(old);
    assert_eq!(bench.finished(), [(7, Err(RequestError::Moved(new)))]);
    bench.framework.close_session(NOW, new).unwrap();
    for name in [old, new] {
        let rejected = bench.framework.dispatch(NOW, request(name)).unwrap_err();
        assert_eq!(rejected.reason, RequestInvalid::NoSession);
    }
}

#[test]
fn a_half_written_request_is_interrupted_not_moved() {
    let (mut bench, old, [one, _]) = loaded(REPORT);
    one.1.die(false);
    bench.framework.service(NOW, one.0);
    let new = bench.framework.session_current(old).unwrap();
    let interrupted = Err(RequestError::Interrupted(new));
    let moved = Err(RequestError::Moved(new));
    let expected = [
        (1, interrupted),
        (2, interrupted),
        (3, interrupted),
        (4, moved),
        (5, moved),
    ];
    assert_eq!(bench.finished(), expected);
}

#[test]
fn a_transparent_session_goes_on_in_order_with_its_data_restored() {
    let mut bench = Bench::new();
    let one = bench.card("one");
    let two = bench.card("two");
    let session = bench.session(TRANSPARENT);
    one.1
        .set(|script| (script.room, script.scribbles) = (3, true));
    for _ in 0..5 {
        bench.dispatch_flagged(session, RequestFlags::ORDERED);
    }
    one.1.die(false);
    bench.framework.service(NOW, one.0);
    bench.dispatch_flagged(session, RequestFlags::ORDERED);
    assert_eq!(bench.finished(), []);
    bench.framework.service(NOW, two.0);
    assert_eq!(two.1.taken(), [1, 2, 3, 4, 5, 6]);
    while two.1.held() > 0 {
        two.1.complete_nth(two.1.held() - 1, Ok(()));
    }
    bench.framework.service(NOW, two.0);
    for id in 1..=6 {
        let finished = bench.framework.take_finished().unwrap();
        assert_eq!((finished.request.id.0, finished.result), (id, Ok(())));
        let mut bytes = [0; 64];
        finished.request.buffer.copy_out(0, &mut bytes);
        assert!(bytes.iter().copied().eq(0..64), "request {id} as it was");
    }
    assert_eq!(bench.framework.session_current(session), Some(session));
    assert_eq!(bench.framework.stats().resubmitted, 3);
}

#[test]
fn undo_copies_are_kept_only_where_a_card_writes_under_the_transparent_policy() {
    let mut bench = Bench::new();
    bench.card("card");
    bench.driver("soft", DriverFlags::SOFTWARE);
    let told = bench.session(REPORT);
    let software = bench.session_with(DriverChoice::software_only(), TRANSPARENT);
    bench.dispatch(told);
    bench.dispatch(software);
    assert_eq!(bench.framework.stats().undo_copies, 0);
    let kept = bench.session(TRANSPARENT);
    bench.dispatch(kept);
    let stats = bench.framework.stats();
    assert_eq!((stats.undo_copies, stats.undo_bytes), (1, 64));
}

#[test]
fn a_new_driver_that_fails_to_open_is_followed_by_the_next_under_both_policies() {
    for policy in [REPORT, TRANSPARENT] {
        let (mut bench, old, [one, two]) = loaded(policy);
        let three = bench.card("three");
        two.1
            .set(|script| script.open_result = Some(OpenError::NoRoom));
        one.1.die(true);
        bench.framework.service(NOW, one.0);
        let new = bench.framework.session_current(old).unwrap();
        bench.dispatch(new);
        bench.service_all();
        bench.service_all();
        assert_eq!(bench.framework.session_current(old), Some(new));
        assert_eq!(bench.framework.session_driver(new), Some(three.0));
        let expected: &[u64] = match policy {
            MigrationPolicy::Report => &[6],
            MigrationPolicy::Transparent => &[1, 2, 3, 4, 5, 6],
        };
        assert_eq!(three.1.taken(), expected);
        three.1.complete_all();
        bench.service_all();
        assert_eq!(bench.finished().len(), 6, "each request ends once");
    }
}

#[test]
fn without_a_driver_requests_end_and_the_session_waits_for_a_new_card() {
    for policy in [REPORT, TRANSPARENT] {
        let mut bench = Bench::new();
        let one = bench.card("one");
        let session = bench.session(policy);
        bench.dispatch(session);
        one.1.set(|script| script.room = 0);
        bench.dispatch(session);
        one.1.die(true);
        bench.framework.service(NOW, one.0);
        bench.dispatch(session);
        let no_driver = Err(RequestError::NoDriver);
        assert_eq!(bench.finished(), [1, 2, 3].map(|id| (id, no_driver)));
        assert_eq!(bench.framework.session_driver(session), None);
        let again = bench.card("again");
        bench.dispatch(session);
        bench.framework.service(NOW, again.0);
        assert_eq!(again.1.taken(), [4]);
    }
}

#[test]
fn the_choice_outlives_the_driver() {
    let mut bench = Bench::new();
    let one = bench.card("one");
    let soft = bench.driver("soft", DriverFlags::SOFTWARE);
    let hardware = bench.session_with(DriverChoice::hardware_only(), TRANSPARENT);
    let any = bench.session_with(DriverChoice::any(), TRANSPARENT);
    let named = bench.session_with(DriverChoice::driver(one.0), TRANSPARENT);
    let only = DriverChoice::driver(one.0).falling_back_to(DriverFlags::empty());
    let only = bench.session_with(only, TRANSPARENT);
    one.1.die(true);
    bench.framework.service(NOW, one.0);
    let drivers = [hardware, any, named, only].map(|id| bench.framework.session_driver(id));
    assert_eq!(drivers, [None, Some(soft.0), Some(soft.0), None]);
}

#[test]
fn a_synchronous_driver_takes_over_within_the_call() {
    let mut bench = Bench::new();
    let one = bench.card("one");
    bench.driver("soft", DriverFlags::SOFTWARE | DriverFlags::SYNC);
    let session = bench.session(TRANSPARENT);
    bench.dispatch(session);
    one.1.die(false);
    bench.framework.service(NOW, one.0);
    assert_eq!(bench.finished(), [(1, Ok(()))]);
}

#[test]
fn a_session_closed_on_a_dying_card_ends_its_requests() {
    for untouched in [true, false] {
        let (mut bench, old, [one, _]) = loaded(REPORT);
        bench.framework.close_session(NOW, old).unwrap();
        bench.finished();
        one.1.die(untouched);
        bench.framework.service(NOW, one.0);
        let error = if untouched {
            RequestError::Cancelled
        } else {
            RequestError::Device
        };
        assert_eq!(bench.finished(), [1, 2, 3].map(|id| (id, Err(error))));
        assert_eq!(bench.framework.stats().sessions, 0);
    }
}

#[test]
fn an_opening_session_follows_when_its_card_dies() {
    let mut bench = Bench::new();
    let one = bench.card("one");
    one.1.set(|script| script.opens_late = true);
    let session = bench
        .framework
        .open_session(NOW, null_params(), DriverChoice::any(), TRANSPARENT)
        .unwrap();
    bench.dispatch(session);
    let two = bench.card("two");
    one.1.die(true);
    bench.framework.service(NOW, one.0);
    bench.framework.service(NOW, two.0);
    assert_eq!(two.1.taken(), [1]);
}
