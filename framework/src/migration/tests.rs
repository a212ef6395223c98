use std::collections::VecDeque;

use timebase::Time;

use crate::testing::{Bench, Handle, NOW, null_params, request};
use crate::{
    CancelError, Candidate, DriverChoice, DriverFlags, DriverId, FrameworkEvent, LeastLoaded,
    Limits, MigrationPolicy, MoveReason, NoSuchDriver, OpenError, Placement, Rebalance,
    RequestError, RequestFlags, RequestId, RequestInvalid, SessionError, SessionId, SessionParams,
};

const REPORT: MigrationPolicy = MigrationPolicy::Report;
const TRANSPARENT: MigrationPolicy = MigrationPolicy::Transparent;

/// Two cards, a session on the first with three requests in flight and two queued.
fn loaded(policy: MigrationPolicy) -> (Bench, SessionId, [(DriverId, Handle); 2]) {
    let mut bench = Bench::new();
    let one = bench.card("one");
    let two = bench.card("two");
    let session = bench.session(policy);
    one.1.set(|script| script.room = 3);
    for _ in 0..5 {
        bench.dispatch(session);
    }
    (bench, session, [one, two])
}

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
fn unregistering_moves_idle_sessions_and_does_not_hang() {
    let mut bench = Bench::new();
    let one = bench.card("one");
    let two = bench.card("two");
    let idle = bench.session_with(DriverChoice::driver(one.0), REPORT);
    bench.framework.unregister(NOW, one.0).unwrap();
    assert_eq!(one.1.0.borrow().closed, 1, "keys leave the card first");
    assert!(bench.framework.driver(one.0).is_none());
    assert_eq!(bench.framework.session_driver(idle), Some(two.0));
    let again = bench.framework.unregister(NOW, one.0);
    assert_eq!(again, Err(NoSuchDriver(one.0)));
    let third = bench.card("third");
    assert_ne!(third.0, one.0, "an id is not used again");
    bench.framework.service(NOW, one.0);
}

#[test]
fn unregistering_lets_requests_in_flight_finish() {
    for policy in [REPORT, TRANSPARENT] {
        let (mut bench, old, [one, two]) = loaded(policy);
        one.1.set(|script| script.detaches_late = true);
        bench.framework.unregister(NOW, one.0).unwrap();
        let new = bench.framework.session_current(old).unwrap();
        bench.dispatch(new);
        bench.framework.service(NOW, two.0);
        assert_eq!(two.1.taken(), [0; 0], "nothing overtakes what is in flight");
        one.1.complete_all();
        one.1.set(|script| script.detaches_late = false);
        bench.framework.service(NOW, one.0);
        two.1.complete_all();
        bench.framework.service(NOW, two.0);
        let moved = Err(RequestError::Moved(new));
        let mut finished = bench.finished();
        finished.sort_by_key(|(id, _)| *id);
        let queued = if policy == REPORT { moved } else { Ok(()) };
        let results = [Ok(()), Ok(()), Ok(()), queued, queued, Ok(())];
        let expected: Vec<_> = (1..).zip(results).collect();
        assert_eq!(finished, expected);
        assert!(bench.framework.driver(one.0).is_none());
    }
}

#[test]
fn a_session_moves_on_request_after_it_drained() {
    for policy in [REPORT, TRANSPARENT] {
        let (mut bench, old, [one, two]) = loaded(policy);
        bench.framework.move_session(NOW, old, two.0).unwrap();
        let busy = bench.framework.move_session(NOW, old, one.0);
        assert_eq!(busy, Err(SessionError::Busy));
        bench.framework.service(NOW, two.0);
        let new = bench.framework.session_current(old).unwrap();
        assert_eq!(new != old, policy == REPORT);
        bench.dispatch(new);
        assert_eq!(two.1.taken(), [0; 0]);
        assert_eq!(one.1.0.borrow().closed, 0);
        one.1.complete_all();
        bench.framework.service(NOW, one.0);
        assert_eq!(one.1.0.borrow().closed, 1);
        let expected: &[u64] = match policy {
            MigrationPolicy::Report => &[6],
            MigrationPolicy::Transparent => &[4, 5, 6],
        };
        assert_eq!(two.1.taken(), expected);
        let reason = MoveReason::Asked;
        let event = FrameworkEvent::SessionMoved {
            from: old,
            to: new,
            from_driver: one.0,
            to_driver: two.0,
            reason,
        };
        assert!(bench.events().contains(&event));
    }
}

#[test]
fn a_card_that_dies_while_a_session_drains_loses_nothing() {
    for policy in [REPORT, TRANSPARENT] {
        let (mut bench, old, [one, two]) = loaded(policy);
        bench.framework.move_session(NOW, old, two.0).unwrap();
        bench.framework.service(NOW, two.0);
        one.1.die(true);
        bench.framework.service(NOW, one.0);
        two.1.complete_all();
        bench.framework.service(NOW, two.0);
        let moved = Err(RequestError::Moved(
            bench.framework.session_current(old).unwrap(),
        ));
        let mut finished = bench.finished();
        finished.sort_by_key(|(id, _)| *id);
        let result = if policy == REPORT { moved } else { Ok(()) };
        assert_eq!(finished, [1, 2, 3, 4, 5].map(|id| (id, result)));
    }
}

#[test]
fn a_target_that_dies_while_a_session_drains_sends_it_back() {
    let (mut bench, old, [one, two]) = loaded(TRANSPARENT);
    bench.framework.move_session(NOW, old, two.0).unwrap();
    two.1.die(true);
    bench.framework.service(NOW, two.0);
    assert_eq!(bench.framework.session_driver(old), Some(one.0));
    bench.framework.service(NOW, one.0);
    one.1.complete_all();
    bench.framework.service(NOW, one.0);
    assert_eq!(one.1.taken(), [1, 2, 3, 4, 5]);
    one.1.complete_all();
    bench.framework.service(NOW, one.0);
    assert_eq!(bench.finished(), [1, 2, 3, 4, 5].map(|id| (id, Ok(()))));
}

#[test]
fn a_session_stays_where_it_is_if_the_target_refuses() {
    let mut bench = Bench::new();
    let one = bench.card("one");
    let soft = bench.driver("soft", DriverFlags::SOFTWARE);
    let session = bench.session_with(DriverChoice::hardware_only(), REPORT);
    let forbidden = bench.framework.move_session(NOW, session, soft.0);
    assert_eq!(forbidden, Err(SessionError::NoDriver));
    let two = bench.card("two");
    two.1
        .set(|script| script.open_now = Some(OpenError::NoRoom));
    let full = bench.framework.move_session(NOW, session, two.0);
    assert_eq!(full, Err(SessionError::Open(OpenError::NoRoom)));
    bench.dispatch(session);
    assert_eq!(one.1.taken(), [1]);
}

#[test]
fn a_placement_by_load_spreads_what_is_busy_and_leaves_what_is_idle() {
    let mut bench = Bench::new();
    let one = bench.card("one");
    let sessions: Vec<_> = (0..6).map(|_| bench.session(REPORT)).collect();
    // Two sessions do all the work.
    for session in [sessions[0], sessions[1]] {
        for _ in 0..3 {
            bench.dispatch(session);
        }
    }
    let two = bench.card("two");
    bench.framework.set_placement(Box::new(LeastLoaded));
    assert_eq!(bench.framework.rebalance(NOW, Rebalance::Even), 1);
    one.1.complete_all();
    bench.service_all();
    let counts: Vec<_> = bench
        .framework
        .drivers()
        .map(|driver| (driver.id, driver.stats.sessions))
        .collect();
    assert_eq!(counts, [(one.0, 5), (two.0, 1)]);
    let idle = bench.framework.rebalance(NOW, Rebalance::Even);
    assert_eq!(idle, 0, "nobody has anything to do");
}

/// Sends everything to the driver that was registered last.
#[derive(Clone, Debug)]
struct Newest;

impl Placement for Newest {
    fn prefers(&self, _: &SessionParams, _: &Candidate, _: &Candidate) -> bool {
        true
    }

    fn moves(&self, _: &SessionParams, _: usize, from: &Candidate, to: &Candidate) -> bool {
        from.driver != to.driver
    }
}

#[test]
fn a_placement_of_ones_own_says_where_sessions_open_and_move() {
    let mut bench = Bench::new();
    let (one, two) = (bench.card("one"), bench.card("two"));
    let first = bench.session(REPORT);
    assert_eq!(bench.framework.session_driver(first), Some(one.0));
    bench.framework.set_placement(Box::new(Newest));
    let second = bench.session(REPORT);
    assert_eq!(bench.framework.session_driver(second), Some(two.0));
    assert_eq!(bench.framework.rebalance(NOW, Rebalance::Even), 1);
    bench.service_all();
    let first = bench.framework.session_current(first).expect("a session");
    assert_eq!(bench.framework.session_driver(first), Some(two.0));
}

#[test]
fn a_card_that_comes_back_takes_its_share() {
    let mut bench = Bench::new();
    let soft = bench.driver("soft", DriverFlags::SOFTWARE);
    let sessions: Vec<_> = (0..6).map(|_| bench.session(REPORT)).collect();
    let one = bench.card("one");
    assert_eq!(bench.framework.rebalance(NOW, Rebalance::Onto(soft.0)), 0);
    let moved = bench.framework.rebalance(NOW, Rebalance::Onto(one.0));
    assert_eq!(moved, 6, "hardware is better than software");
    bench.service_all();
    let two = bench.card("two");
    assert_eq!(bench.framework.rebalance(NOW, Rebalance::Even), 3);
    bench.service_all();
    assert_eq!(bench.framework.rebalance(NOW, Rebalance::Even), 0);
    let counts: Vec<_> = bench
        .framework
        .drivers()
        .map(|driver| (driver.id, driver.stats.sessions))
        .collect();
    assert_eq!(counts, [(soft.0, 0), (one.0, 3), (two.0, 3)]);
    for old in sessions {
        let new = bench.framework.session_current(old).unwrap();
        bench.dispatch(new);
    }
    assert_eq!(one.1.held() + two.1.held(), 6);
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
fn a_session_closed_while_moving_is_freed_on_both_drivers() {
    let (mut bench, old, [one, two]) = loaded(TRANSPARENT);
    two.1.set(|script| script.opens_late = true);
    bench.framework.move_session(NOW, old, two.0).unwrap();
    bench.framework.close_session(NOW, old).unwrap();
    let cancelled = Err(RequestError::Cancelled);
    assert_eq!(bench.finished(), [4, 5].map(|id| (id, cancelled)));
    one.1.complete_all();
    bench.framework.service(NOW, one.0);
    two.1.open_now();
    bench.framework.service(NOW, two.0);
    assert_eq!(bench.finished(), [1, 2, 3].map(|id| (id, Ok(()))));
    assert_eq!(bench.framework.stats().sessions, 0);
    let closed = [one.1, two.1].map(|card| card.0.borrow().closed);
    assert_eq!(closed, [1, 1]);
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

#[test]
fn a_request_dropped_after_its_session_was_homeless_is_not_told_of_a_move_to_the_same_name() {
    let mut bench = Bench::new();
    let one = bench.card("one");
    let session = bench.session(REPORT);
    bench.dispatch(session);
    one.1.set(|script| script.detaches_late = true);
    bench.framework.unregister(NOW, one.0).unwrap();
    let two = bench.card("two");
    bench.dispatch(session);
    bench.framework.service(NOW, two.0);
    one.1.die(true);
    bench.framework.service(NOW, one.0);
    assert_eq!(two.1.taken(), [1, 2]);
}

/// In turns, each of which is short, and in time that grows with their number, whether they are
/// idle or still opening: with its square, this test would take half a minute.
#[test]
fn a_lost_driver_with_very_many_sessions_is_left_by_all_of_them() {
    const SESSIONS: usize = 100_000;
    for opens_late in [false, true] {
        let mut bench = Bench::new();
        let (one, card) = bench.card("one");
        card.set(|script| script.opens_late = opens_late);
        for _ in 0..SESSIONS {
            bench
                .framework
                .open_session(NOW, null_params(), DriverChoice::any(), REPORT)
                .unwrap();
        }
        if !opens_late {
            bench.framework.service(NOW, one);
        }
        let (two, _) = bench.card("two");
        card.die(true);
        bench.framework.service(NOW, one);
        let mut moved = 0;
        loop {
            let migrations = bench.framework.stats().migrations;
            assert!(migrations - moved <= 32, "a turn is short");
            moved = migrations;
            let next = bench.framework.driver_deadline(two);
            if next == Time::NEVER {
                break;
            }
            bench.framework.service(next, two);
        }
        assert_eq!(moved, SESSIONS as u64);
        let stats = bench.framework.driver_stats(two).unwrap();
        assert_eq!(stats.sessions, SESSIONS);
        bench.framework.service(NOW, two);
        assert_eq!(bench.framework.rebalance(NOW, Rebalance::Even), 0);
    }
}

/// A card with five idle sessions is lost; one of them moves at once, the others have their turn
/// later.
fn left_behind(policy: MigrationPolicy) -> (Bench, [SessionId; 5], (DriverId, Handle)) {
    let mut bench = Bench::with_limits(Limits {
        move_len: 1,
        ..Limits::default()
    });
    let (one, card) = bench.card("one");
    let sessions = [(); 5].map(|()| bench.session(policy));
    let two = bench.card("two");
    card.die(true);
    bench.framework.service(NOW, one);
    assert_eq!(bench.framework.stats().migrations, 1);
    (bench, sessions, two)
}

#[test]
fn a_session_that_was_left_behind_moves_when_it_is_used() {
    for policy in [REPORT, TRANSPARENT] {
        let (mut bench, sessions, two) = left_behind(policy);
        let old = sessions[4];
        assert_eq!(bench.framework.session_driver(old), None);
        let first = bench.dispatch(old);
        let mut batch: VecDeque<_> = [sessions[2], old].map(request).into();
        bench.framework.dispatch_batch(NOW, &mut batch).unwrap();
        assert_eq!(bench.framework.stats().migrations, 3);
        let [new, other] =
            [old, sessions[2]].map(|session| bench.framework.session_current(session).unwrap());
        bench.framework.service(NOW, two.0);
        if policy == REPORT {
            let moved = |session| Err(RequestError::Moved(session));
            let expected = [(first, moved(new)), (2, moved(other)), (3, moved(new))];
            assert_eq!(bench.finished(), expected);
            bench.dispatch(new);
            assert_eq!(two.1.taken(), [4]);
        } else {
            assert_eq!(two.1.held_ids().len(), 3);
            assert_eq!(new, old);
        }
        assert_eq!(bench.framework.session_driver(new), Some(two.0));
    }
}

#[test]
fn a_session_that_was_left_behind_is_closed_or_moved_like_any_other() {
    let (mut bench, sessions, (two, card)) = left_behind(REPORT);
    let (three, _) = bench.card("three");
    let missing = bench.framework.cancel(sessions[1], RequestId(1));
    assert_eq!(missing, Err(CancelError::NotWaiting));
    bench.framework.close_session(NOW, sessions[1]).unwrap();
    bench
        .framework
        .move_session(NOW, sessions[2], three)
        .unwrap();
    assert_eq!(bench.framework.session_driver(sessions[2]), Some(three));
    assert_eq!(bench.framework.rebalance(NOW, Rebalance::Onto(three)), 2);
    assert_eq!(bench.framework.stats().sessions, 4);
    bench.service_all();
    let opened = [two, three].map(|id| bench.framework.driver_stats(id).unwrap().sessions);
    assert_eq!(opened, [1, 3]);
    assert_eq!(card.0.borrow().closed, 0);
    for session in [sessions[0], sessions[2], sessions[3], sessions[4]] {
        bench.framework.close_session(NOW, session).unwrap();
    }
    assert_eq!(bench.framework.stats().sessions, 0);
}

#[test]
fn the_place_of_a_driver_that_left_sessions_behind_is_not_used_again_before_they_moved() {
    let (mut bench, sessions, (two, _)) = left_behind(REPORT);
    let (three, _) = bench.card("three");
    assert_eq!(three.as_u32() & 0xFFFF, 2);
    for session in sessions {
        bench.dispatch(session);
    }
    let (four, _) = bench.card("four");
    assert_eq!(four.as_u32() & 0xFFFF, 0);
    assert_eq!(
        bench.framework.driver_deadline(four),
        bench.framework.driver_deadline(two)
    );
}

#[test]
fn a_request_that_waits_for_a_lost_card_to_open_its_session_goes_elsewhere_in_the_first_turn() {
    let mut bench = Bench::with_limits(Limits {
        move_len: 1,
        ..Limits::default()
    });
    let (one, card) = bench.card("one");
    for _ in 0..100 {
        bench.session(TRANSPARENT);
    }
    card.set(|script| script.opens_late = true);
    let opening = bench.session(TRANSPARENT);
    bench.dispatch(opening);
    let (two, other) = bench.card("two");
    card.die(true);
    bench.framework.service(NOW, one);
    let next = bench.framework.driver_deadline(two);
    bench.framework.service(next, two);
    bench.framework.service(next, two);
    assert_eq!(other.taken(), [1]);
}

#[test]
fn left_behind_without_another_driver_a_session_is_homeless_when_it_is_used() {
    let mut bench = Bench::with_limits(Limits {
        move_len: 1,
        ..Limits::default()
    });
    let (one, card) = bench.card("one");
    let sessions = [(); 3].map(|()| bench.session(TRANSPARENT));
    card.die(true);
    bench.framework.service(NOW, one);
    bench.dispatch(sessions[2]);
    assert_eq!(bench.finished(), [(1, Err(RequestError::NoDriver))]);
    let (two, other) = bench.card("two");
    bench.dispatch(sessions[1]);
    bench.dispatch(sessions[2]);
    bench.framework.service(NOW, two);
    assert_eq!(other.taken().len(), 2);
}
