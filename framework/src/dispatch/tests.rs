use std::collections::VecDeque;

use timebase::Time;

use crate::testing::{Bench, NOW, request};
use crate::{
    DriverChoice, DriverFlags, FrameworkEvent, Hint, Limits, MigrationPolicy, RequestFlags,
    RequestInvalid,
};

const REPORT: MigrationPolicy = MigrationPolicy::Report;

#[test]
fn a_request_goes_straight_to_an_idle_driver_and_comes_back_once() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    let request = bench.dispatch(session);
    assert_eq!(card.taken(), [request]);
    assert_eq!(card.hints(), [Hint::Last]);
    assert_eq!(bench.framework.finished_len(), 0);
    card.complete_all();
    bench.framework.service(NOW, id);
    assert_eq!(bench.finished(), [(request, Ok(()))]);
    assert_eq!(bench.finished(), []);
}

#[test]
fn a_refused_request_is_not_overtaken() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    card.set(|script| script.room = 1);
    for _ in 0..4 {
        bench.dispatch(session);
    }
    assert_eq!(card.taken(), [1]);
    card.complete_all();
    bench.framework.service(NOW, id);
    card.set(|script| script.room = 9);
    card.set(|script| script.generation += 1);
    bench.framework.service(NOW, id);
    assert_eq!(card.taken(), [1, 2, 3, 4]);
}

#[test]
fn a_dispatch_after_room_came_does_not_overtake_the_queue() {
    let mut bench = Bench::new();
    let (_, card) = bench.card("card");
    let session = bench.session(REPORT);
    card.set(|script| script.room = 0);
    bench.dispatch(session);
    bench.dispatch(session);
    card.set(|script| (script.room, script.generation) = (9, 1));
    bench.dispatch(session);
    assert_eq!(card.taken(), [1, 2, 3]);
}

#[test]
fn room_that_comes_during_the_refusal_is_not_missed() {
    let mut bench = Bench::new();
    let (_, card) = bench.card("card");
    let session = bench.session(REPORT);
    card.set(|script| (script.room, script.room_after_refusing) = (0, 1));
    card.set(|script| script.unblocks_while_refusing = true);
    let request = bench.dispatch(session);
    assert_eq!(card.taken(), [request], "nobody has to wake the queue");
    let events = bench.events();
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, FrameworkEvent::Blocked { .. }))
    );
}

#[test]
fn a_driver_that_always_refuses_and_always_claims_room_does_not_hang_the_framework() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    card.set(|script| (script.room, script.unblocks_while_refusing) = (0, true));
    let request = bench.dispatch(session);
    let later = bench.framework.driver_deadline(id);
    assert!(later > NOW && later < Time::NEVER, "asked again, but later");
    card.set(|script| script.room = 1);
    bench.framework.service(later, id);
    assert_eq!(card.taken(), [request]);
}

#[test]
fn a_blocked_driver_does_not_stop_another() {
    let mut bench = Bench::new();
    let (first, one) = bench.card("one");
    let (second, two) = bench.card("two");
    let on_one = bench.session_with(DriverChoice::driver(first), REPORT);
    let on_two = bench.session_with(DriverChoice::driver(second), REPORT);
    one.set(|script| script.room = 0);
    bench.dispatch(on_one);
    bench.dispatch(on_two);
    assert_eq!(one.taken(), [0; 0]);
    assert_eq!(two.taken(), [2]);
}

#[test]
fn the_hint_is_true_and_the_flush_comes_last() {
    let mut bench = Bench::new();
    let (first, one) = bench.card("one");
    let (second, two) = bench.card("two");
    let on_one = bench.session_with(DriverChoice::driver(first), REPORT);
    let on_two = bench.session_with(DriverChoice::driver(second), REPORT);
    let mut batch: VecDeque<_> = [on_one, on_two, on_one, on_two, on_one].map(request).into();
    assert_eq!(bench.framework.dispatch_batch(NOW, &mut batch).unwrap(), 5);
    assert_eq!(one.taken(), [1, 3, 5]);
    assert_eq!(one.hints(), [Hint::More, Hint::More, Hint::Last]);
    assert_eq!(two.taken(), [2, 4]);
    assert_eq!(two.hints(), [Hint::More, Hint::Last]);
    for card in [one, two] {
        assert_eq!(card.0.borrow().flushes, 1);
    }
}

/// Every order of two drivers in a batch of six, cut short by a bad request at every place.
#[test]
fn the_hint_is_true_whoever_the_neighbours_in_a_batch_are() {
    for (order, good) in (0..64_usize).flat_map(|order| (0..=6).map(move |good| (order, good))) {
        let mut bench = Bench::new();
        let drivers = [bench.card("one"), bench.card("two")];
        let sessions = drivers
            .each_ref()
            .map(|(id, _)| bench.session_with(DriverChoice::driver(*id), REPORT));
        let goes_to = |place: usize| order >> place & 1;
        let mut batch: VecDeque<_> = (0..6)
            .map(|place| request(sessions[goes_to(place)]))
            .collect();
        if let Some(bad) = batch.get_mut(good) {
            bad.payload.len = 65;
        }
        let outcome = bench.framework.dispatch_batch(NOW, &mut batch);
        assert_eq!(outcome.is_ok(), good == 6);
        for (number, (_, card)) in drivers.iter().enumerate() {
            let places = (0..good).filter(|&place| goes_to(place) == number);
            let ids: Vec<_> = places.map(|place| place as u64 + 1).collect();
            assert_eq!(card.taken(), ids, "in order, {good} of {order:06b}");
            let mut hints = vec![Hint::More; ids.len()];
            if let Some(last) = hints.last_mut() {
                *last = Hint::Last;
            }
            assert_eq!(card.hints(), hints, "{good} of {order:06b}");
        }
    }
}

/// The same orders, with room for only some.
#[test]
fn a_doorbell_held_back_is_rung_whoever_the_neighbours_in_a_batch_are() {
    for (order, room) in (0..64_usize).flat_map(|order| (0..4).map(move |room| (order, room))) {
        let mut bench = Bench::new();
        let drivers = [bench.card("one"), bench.card("two")];
        let sessions = drivers
            .each_ref()
            .map(|(id, _)| bench.session_with(DriverChoice::driver(*id), REPORT));
        drivers[0].1.set(|script| script.room = room);
        let mut batch: VecDeque<_> = (0..6)
            .map(|place| request(sessions[order >> place & 1]))
            .collect();
        assert_eq!(bench.framework.dispatch_batch(NOW, &mut batch).unwrap(), 6);
        for (id, card) in &drivers {
            assert!(!card.0.borrow().holds_back, "{room} of {order:06b}");
            let stats = bench.framework.driver_stats(*id).unwrap();
            assert_eq!(stats.in_flight, card.held());
            assert_eq!(
                stats.ops,
                card.held() as u64,
                "what was not taken does not count"
            );
            assert_eq!(stats.bytes, 64 * stats.ops);
        }
    }
}

#[test]
fn a_refusal_in_the_middle_of_a_batch_still_flushes() {
    let mut bench = Bench::new();
    let (_, card) = bench.card("card");
    let session = bench.session(REPORT);
    card.set(|script| script.room = 2);
    let mut batch: VecDeque<_> = [session; 4].map(request).into();
    assert_eq!(bench.framework.dispatch_batch(NOW, &mut batch).unwrap(), 4);
    assert_eq!(card.hints(), [Hint::More, Hint::More]);
    assert!(!card.0.borrow().holds_back, "a doorbell held back is rung");
    assert!(card.0.borrow().flushes > 0);
}

#[test]
fn a_bad_request_in_a_batch_is_handed_back_and_the_others_go_on() {
    let mut bench = Bench::new();
    let (_, card) = bench.card("card");
    let session = bench.session(REPORT);
    let mut batch: VecDeque<_> = [session; 3].map(request).into();
    batch[1].payload.len = 65;
    let rejected = bench.framework.dispatch_batch(NOW, &mut batch).unwrap_err();
    assert_eq!(
        rejected.reason,
        RequestInvalid::Payload { start: 0, len: 65 }
    );
    assert_eq!((card.taken(), batch.len()), (vec![1], 1));
    assert_eq!(card.hints(), [Hint::Last]);
}

#[test]
fn a_synchronous_driver_is_collected_at_once() {
    let mut bench = Bench::new();
    let flags = DriverFlags::SOFTWARE | DriverFlags::SYNC;
    bench.driver("soft", flags);
    let session = bench
        .framework
        .open_session(
            NOW,
            crate::testing::null_params(),
            DriverChoice::any(),
            REPORT,
        )
        .unwrap();
    let direct = bench.dispatch(session);
    assert_eq!(bench.finished(), [(direct, Ok(()))]);
    let mut batch: VecDeque<_> = [session; 2].map(request).into();
    bench.framework.dispatch_batch(NOW, &mut batch).unwrap();
    assert_eq!(bench.finished(), [(2, Ok(())), (3, Ok(()))]);
}

#[test]
fn a_full_queue_hands_the_request_back() {
    let limits = Limits {
        queue_len: 2,
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(limits);
    let (_, card) = bench.card("card");
    let session = bench.session(REPORT);
    card.set(|script| script.room = 0);
    bench.dispatch(session);
    bench.dispatch(session);
    let rejected = bench.framework.dispatch(NOW, request(session)).unwrap_err();
    assert_eq!(rejected.reason, RequestInvalid::QueueFull);
    assert_eq!(bench.framework.stats().queue_full, 1);
    card.set(|script| (script.room, script.generation) = (9, 1));
    bench.framework.dispatch(NOW, rejected.request).unwrap();
    assert_eq!(card.taken(), [1, 2, 3], "room that nobody used counts");
}

#[test]
fn requests_wait_in_order_while_the_session_opens() {
    let mut bench = Bench::with_limits(Limits {
        queue_len: 3,
        ..Limits::default()
    });
    let (id, card) = bench.card("card");
    card.set(|script| script.opens_late = true);
    let session = bench.session(REPORT);
    for _ in 0..3 {
        bench.dispatch(session);
    }
    let rejected = bench.framework.dispatch(NOW, request(session)).unwrap_err();
    assert_eq!(rejected.reason, RequestInvalid::QueueFull);
    assert_eq!(card.taken(), [0; 0]);
    card.open_now();
    bench.framework.service(NOW, id);
    assert_eq!(card.taken(), [1, 2, 3]);
    assert_eq!(card.hints(), [Hint::More, Hint::More, Hint::Last]);
}

#[test]
fn only_a_driver_that_works_in_the_call_puts_off_an_asynchronous_request() {
    let mut bench = Bench::new();
    let (_, card) = bench.card("card");
    let session = bench.session(REPORT);
    card.set(|script| script.room = 0);
    bench.dispatch(session);
    card.set(|script| (script.room, script.generation) = (9, 1));
    bench.dispatch_flagged(session, RequestFlags::ASYNC);
    assert_eq!(card.taken(), [1, 2], "in the call that found room");
}

#[test]
fn what_is_accepted_refused_and_tried_again_is_counted() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    card.set(|script| script.opens_late = true);
    let opening = bench.session(REPORT);
    bench.dispatch(opening);
    assert_eq!(bench.framework.stats().queued, 1, "with its session");
    card.open_now();
    card.set(|script| (script.opens_late, script.room) = (false, 0));
    bench.framework.service(NOW, id);
    let session = bench.session(REPORT);
    bench.dispatch(session);
    let stats = bench.framework.stats();
    assert_eq!((stats.queued, stats.rejected), (2, 0), "with its driver");
    let mut wrong = request(session);
    wrong.payload.len = 65;
    bench.framework.dispatch(NOW, wrong).unwrap_err();
    assert_eq!(bench.framework.stats().rejected, 1);
    let drains = bench.framework.stats().drains;
    card.set(|script| (script.room, script.generation) = (9, 1));
    bench.framework.service(NOW, id);
    assert!(bench.framework.stats().drains > drains);
    assert_eq!(card.taken(), [1, 2]);
}
