//! Sessions that a lost driver left behind: they move in turns, or when they are used.

use super::*;

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
