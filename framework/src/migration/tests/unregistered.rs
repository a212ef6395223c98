//! Drivers that leave in good order: their sessions move in turns, and are served until then.

use super::*;

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

/// Five sessions on the first of two cards, of which one moves in a turn.
fn crowded(policy: MigrationPolicy) -> (Bench, [SessionId; 5], [(DriverId, Handle); 2]) {
    let mut bench = Bench::with_limits(Limits {
        move_len: 1,
        ..Limits::default()
    });
    let one = bench.card("one");
    let sessions = [(); 5].map(|()| bench.session(policy));
    let two = bench.card("two");
    (bench, sessions, [one, two])
}

/// Lets so many turns pass, or fewer if nothing is left to move.
fn take_turns(bench: &mut Bench, turns: usize) {
    for _ in 0..turns {
        let ids: Vec<_> = bench.framework.drivers().map(|driver| driver.id).collect();
        let deadlines = ids.iter().map(|id| bench.framework.driver_deadline(*id));
        let next = deadlines.min().unwrap_or(Time::NEVER);
        for id in ids.into_iter().filter(|_| next != Time::NEVER) {
            bench.framework.service(next, id);
        }
    }
}

fn driver_of(bench: &Bench, session: SessionId) -> Option<DriverId> {
    bench.framework.session_driver(session)
}

/// What ended, with what was told to move dispatched again under its new name until nothing is.
fn obeyed(bench: &mut Bench, cards: &[&Handle]) -> Vec<Result<(), RequestError>> {
    let mut ended = Vec::new();
    loop {
        // What moved waits for its session to open before it reaches a card.
        for _ in 0..3 {
            cards.iter().for_each(|card| card.complete_all());
            bench.service_all();
        }
        let Some(Finished {
            mut request,
            result,
        }) = bench.framework.take_finished()
        else {
            return ended;
        };
        if let Err(RequestError::Moved(name)) = result {
            assert_ne!(name, request.session, "a move has a new name");
            request.session = name;
            bench.framework.dispatch(NOW, request).unwrap();
        } else {
            ended.push(result);
        }
    }
}

#[test]
fn a_driver_that_leaves_serves_each_session_until_its_turn() {
    for policy in [REPORT, TRANSPARENT] {
        let (mut bench, sessions, [one, two]) = crowded(policy);
        bench.framework.unregister(NOW, one.0).unwrap();
        assert_eq!(bench.framework.stats().migrations, 1);
        assert_eq!(driver_of(&bench, sessions[0]), Some(two.0));
        for session in &sessions[1..] {
            assert_eq!(driver_of(&bench, *session), Some(one.0));
        }
        let state = |bench: &Bench| {
            let found = bench.framework.drivers().find(|driver| driver.id == one.0);
            found.map(|driver| driver.state)
        };
        bench.dispatch(sessions[4]);
        bench.dispatch(sessions[4]);
        assert_eq!(one.1.taken(), [1, 2]);
        take_turns(&mut bench, 4);
        assert_eq!(bench.framework.stats().migrations, 5);
        one.1.complete_nth(0, Ok(()));
        bench.framework.service(NOW, one.0);
        assert_eq!(one.1.0.borrow().closed, 4, "the fifth has a request there");
        assert_eq!(state(&bench), Some(DriverState::Leaving));
        assert!(!one.1.0.borrow().detached);
        one.1.complete_all();
        bench.framework.service(NOW, one.0);
        assert_eq!(one.1.0.borrow().closed, 5, "keys leave the card first");
        assert!(one.1.0.borrow().detached);
        assert_eq!(state(&bench), None);
        assert_eq!(bench.finished(), [(1, Ok(())), (2, Ok(()))]);
        for old in sessions {
            let new = bench.framework.session_current(old).unwrap();
            assert_eq!((new == old), policy == TRANSPARENT);
            assert_eq!(driver_of(&bench, old), Some(two.0));
        }
    }
}

#[test]
fn what_waits_for_a_driver_that_leaves_does_not_wait_for_a_turn() {
    for policy in [REPORT, TRANSPARENT] {
        let (mut bench, sessions, [one, two]) = crowded(policy);
        one.1.set(|script| script.room = 1);
        for session in [sessions[3], sessions[4], sessions[3]] {
            bench.dispatch(session);
        }
        bench.framework.unregister(NOW, one.0).unwrap();
        assert_eq!(bench.framework.stats().migrations, 3, "two and the first");
        let names = [sessions[4], sessions[3]].map(|it| bench.framework.session_current(it));
        bench.framework.service(NOW, two.0);
        one.1.complete_all();
        bench.framework.service(NOW, one.0);
        two.1.complete_all();
        bench.framework.service(NOW, two.0);
        let expected = match policy {
            MigrationPolicy::Report => {
                let [four, three] = names.map(|name| Err(RequestError::Moved(name.unwrap())));
                [(2, four), (3, three), (1, Ok(()))]
            }
            MigrationPolicy::Transparent => [(1, Ok(())), (2, Ok(())), (3, Ok(()))],
        };
        assert_eq!(bench.finished(), expected);
        assert_eq!(one.1.taken(), [1], "no request was offered to it again");
    }
}

#[test]
fn nothing_opens_where_a_driver_leaves_and_what_is_open_closes_there() {
    let (mut bench, sessions, [one, two]) = crowded(TRANSPARENT);
    bench.framework.unregister(NOW, one.0).unwrap();
    let choice = DriverChoice::driver(one.0);
    let named = bench
        .framework
        .open_session(NOW, null_params(), choice, TRANSPARENT);
    assert_eq!(named, Err(SessionError::NoDriver));
    let back = bench.framework.move_session(NOW, sessions[0], one.0);
    assert_eq!(back, Err(SessionError::Busy), "it opens at the other");
    bench.framework.service(NOW, two.0);
    let back = bench.framework.move_session(NOW, sessions[0], one.0);
    assert_eq!(back, Err(SessionError::NoDriver));
    let later = bench.session(TRANSPARENT);
    assert_eq!(driver_of(&bench, later), Some(two.0));

    bench.dispatch(sessions[2]);
    bench
        .framework
        .move_session(NOW, sessions[3], two.0)
        .unwrap();
    for session in [sessions[1], sessions[2], sessions[4]] {
        bench.framework.close_session(NOW, session).unwrap();
    }
    assert_eq!(one.1.0.borrow().closed, 4, "one has a request in flight");
    take_turns(&mut bench, 5);
    assert!(!one.1.0.borrow().detached);
    one.1.complete_all();
    bench.framework.service(NOW, one.0);
    assert_eq!(one.1.0.borrow().closed, 5);
    assert!(bench.framework.driver(one.0).is_none());
    assert_eq!(bench.finished(), [(1, Ok(()))]);
    assert_eq!(bench.framework.stats().sessions, 3);
}

#[test]
fn the_last_session_to_close_lets_a_driver_go() {
    let (mut bench, sessions, [one, _]) = crowded(REPORT);
    bench.framework.unregister(NOW, one.0).unwrap();
    for session in sessions {
        assert!(bench.framework.driver(one.0).is_some());
        bench.framework.close_session(NOW, session).unwrap();
    }
    assert!(bench.framework.driver(one.0).is_none());
    assert_eq!(one.1.0.borrow().closed, 5);
    // Nobody leaves another driver in its place.
    let three = bench.card("three");
    let session = bench.session_with(DriverChoice::driver(three.0), REPORT);
    take_turns(&mut bench, 2);
    assert_eq!(driver_of(&bench, session), Some(three.0));
    assert_eq!(bench.framework.stats().migrations, 1);
}

#[test]
fn a_driver_that_leaves_without_sessions_leaves_nothing_to_do() {
    let mut bench = Bench::with_limits(Limits {
        move_len: 1,
        ..Limits::default()
    });
    let one = bench.card("one");
    for _ in 0..40 {
        bench.session(REPORT);
    }
    let two = bench.card("two");
    bench.framework.unregister(NOW, two.0).unwrap();
    assert!(bench.framework.driver(two.0).is_none());
    assert_eq!(bench.framework.driver_deadline(one.0), Time::NEVER);
}

#[test]
fn a_turn_looks_at_few_places_of_the_table() {
    let mut bench = Bench::with_limits(Limits {
        move_len: 1,
        ..Limits::default()
    });
    let one = bench.card("one");
    for _ in 0..100 {
        bench.session(REPORT);
    }
    let two = bench.card("two");
    let session = bench.session_with(DriverChoice::driver(two.0), REPORT);
    bench.framework.unregister(NOW, two.0).unwrap();
    take_turns(&mut bench, 2);
    assert_eq!(driver_of(&bench, session), Some(two.0));
    take_turns(&mut bench, 1);
    assert_eq!(driver_of(&bench, session), Some(one.0));
}

#[test]
fn sessions_of_a_lost_driver_have_their_turn_before_those_of_one_that_leaves() {
    let (mut bench, sessions, [one, two]) = crowded(TRANSPARENT);
    let lost = [(); 3].map(|()| bench.session_with(DriverChoice::driver(two.0), TRANSPARENT));
    bench.card("three");
    bench.framework.unregister(NOW, one.0).unwrap();
    bench.service_all();
    two.1.die(true);
    bench.framework.service(NOW, two.0);
    take_turns(&mut bench, 2);
    assert!(lost.iter().all(|it| driver_of(&bench, *it).is_some()));
    assert_eq!(driver_of(&bench, sessions[1]), Some(one.0));
}

#[test]
fn a_card_that_is_pulled_out_while_it_leaves_loses_nothing() {
    for policy in [REPORT, TRANSPARENT] {
        for turns in 0..6 {
            let (mut bench, sessions, [one, two]) = crowded(policy);
            for session in sessions {
                bench.dispatch(session);
            }
            bench.framework.unregister(NOW, one.0).unwrap();
            take_turns(&mut bench, turns);
            for session in sessions {
                bench.dispatch(session);
            }
            one.1.die(true);
            bench.framework.service(NOW, one.0);
            assert!(bench.framework.driver(one.0).is_none());
            take_turns(&mut bench, 6);
            let ended = obeyed(&mut bench, &[&two.1]);
            assert_eq!(ended, [Ok(()); 10], "{policy:?}, after {turns} turns");
            for session in sessions {
                assert_eq!(driver_of(&bench, session), Some(two.0));
            }
        }
    }
}

#[test]
fn requests_go_on_while_a_driver_leaves() {
    for policy in [REPORT, TRANSPARENT] {
        let (mut bench, sessions, [one, two]) = crowded(policy);
        bench.framework.unregister(NOW, one.0).unwrap();
        for _ in 0..6 {
            for session in sessions {
                let current = bench.framework.session_current(session).unwrap();
                // Under the name it was opened with, and under the one it has now.
                bench.dispatch(session);
                bench.dispatch(current);
            }
            take_turns(&mut bench, 1);
            let ended = obeyed(&mut bench, &[&one.1, &two.1]);
            assert_eq!(ended, [Ok(()); 10]);
        }
        assert!(bench.framework.driver(one.0).is_none());
    }
}

#[test]
fn drivers_leave_at_once_or_one_after_the_other_while_another_is_lost_or_not() {
    for (turns, is_lost) in [(0, false), (1, false), (9, false), (0, true), (1, true)] {
        let (mut bench, sessions, [one, two]) = crowded(TRANSPARENT);
        let three = bench.card("three");
        for session in sessions {
            bench.dispatch(session);
        }
        bench.framework.unregister(NOW, one.0).unwrap();
        take_turns(&mut bench, turns);
        if is_lost {
            two.1.die(true);
            bench.framework.service(NOW, two.0);
        } else {
            bench.framework.unregister(NOW, two.0).unwrap();
        }
        take_turns(&mut bench, 12);
        let ended = obeyed(&mut bench, &[&one.1, &two.1, &three.1]);
        assert_eq!(ended, [Ok(()); 5]);
        for session in sessions {
            assert_eq!(driver_of(&bench, session), Some(three.0));
            bench.dispatch(session);
        }
        assert_eq!(three.1.taken(), [6, 7, 8, 9, 10]);
        assert_eq!(bench.framework.drivers().count(), 1);
        assert_eq!(one.1.0.borrow().closed, 5);
        assert!(two.1.0.borrow().open.is_empty() || is_lost);
    }
}

#[test]
fn a_session_that_a_leaving_driver_is_opening_moves_when_it_is_open_or_has_failed() {
    for (result, closes) in [
        (None, false),
        (Some(OpenError::NoRoom), false),
        (None, true),
    ] {
        let mut bench = Bench::new();
        let one = bench.card("one");
        one.1.set(|script| script.opens_late = true);
        let choice = DriverChoice::any();
        let opened = bench
            .framework
            .open_session(NOW, null_params(), choice, REPORT);
        let session = opened.unwrap();
        bench.dispatch(session);
        let two = bench.card("two");
        bench.framework.unregister(NOW, one.0).unwrap();
        take_turns(&mut bench, 2);
        assert_eq!(driver_of(&bench, session), Some(one.0));
        assert!(!one.1.0.borrow().detached);
        if closes {
            bench.framework.close_session(NOW, session).unwrap();
        }
        one.1.set(|script| script.open_result = result);
        one.1.open_now();
        bench.framework.service(NOW, one.0);
        assert_eq!(
            one.1.0.borrow().closed,
            usize::from(result.is_none()),
            "what was opened is closed"
        );
        assert!(bench.framework.driver(one.0).is_none());
        if closes {
            assert_eq!(bench.finished(), [(1, Err(RequestError::Cancelled))]);
        } else {
            assert_eq!(obeyed(&mut bench, &[&two.1]), [Ok(())]);
        }
    }
}

#[test]
fn without_another_driver_the_only_one_serves_until_its_sessions_have_their_turn() {
    let mut bench = Bench::with_limits(Limits {
        move_len: 1,
        ..Limits::default()
    });
    let one = bench.card("one");
    let sessions = [(); 3].map(|()| bench.session(TRANSPARENT));
    bench.dispatch(sessions[0]);
    bench.framework.unregister(NOW, one.0).unwrap();
    bench.dispatch(sessions[0]);
    bench.dispatch(sessions[2]);
    take_turns(&mut bench, 1);
    bench.dispatch(sessions[1]);
    one.1.complete_all();
    take_turns(&mut bench, 2);
    let no_driver = Err(RequestError::NoDriver);
    let expected = [(2, no_driver), (4, no_driver), (1, Ok(())), (3, Ok(()))];
    assert_eq!(bench.finished(), expected);
    assert_eq!(bench.framework.drivers().count(), 0);
    let two = bench.card("two");
    for session in sessions {
        bench.dispatch(session);
    }
    bench.service_all();
    assert_eq!(two.1.taken(), [5, 6, 7]);
}

#[test]
fn a_synchronous_driver_leaves_for_a_card() {
    let mut bench = Bench::new();
    let soft = bench.driver("soft", DriverFlags::SOFTWARE | DriverFlags::SYNC);
    let session = bench.session(TRANSPARENT);
    let one = bench.card("one");
    bench.framework.unregister(NOW, soft.0).unwrap();
    assert!(bench.framework.driver(soft.0).is_none());
    bench.dispatch(session);
    bench.framework.service(NOW, one.0);
    assert_eq!(one.1.taken(), [1]);
}

/// Each turn is short, and all together take time that grows with the number of sessions.
#[test]
fn very_many_sessions_leave_a_driver_a_few_at_a_time() {
    const SESSIONS: usize = 100_000;
    let mut bench = Bench::new();
    let (one, card) = bench.card("one");
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|_| {
            let choice = DriverChoice::any();
            let opened = bench
                .framework
                .open_session(NOW, null_params(), choice, REPORT);
            opened.unwrap()
        })
        .collect();
    bench.framework.service(NOW, one);
    let (two, _) = bench.card("two");
    bench.framework.unregister(NOW, one).unwrap();
    bench.dispatch(sessions[SESSIONS - 1]);
    card.complete_all();
    bench.framework.service(NOW, one);
    assert_eq!(bench.finished(), [(1, Ok(()))], "served where it is");
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
    assert_eq!(card.0.borrow().closed, SESSIONS);
    assert!(bench.framework.driver(one).is_none());
}
