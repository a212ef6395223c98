use timebase::{Span, Time};

use crate::testing::{Bench, NOW, request};
use crate::{
    CancelError, Delivery, DriverFlags, MigrationPolicy, RequestError, RequestFlags, RequestId,
    SessionId,
};

const LATER: Time = Time::from_ps(5_000);

fn dispatch_expiring(bench: &mut Bench, session: SessionId, expires: Time) -> u64 {
    let mut request = request(session);
    request.expires = expires;
    bench.framework.dispatch(NOW, request).unwrap().0
}

fn dispatch_urgent(bench: &mut Bench, session: SessionId, priority: u8) -> u64 {
    let mut request = request(session);
    request.priority = priority;
    bench.framework.dispatch(NOW, request).unwrap().0
}

#[test]
fn a_request_that_waits_can_be_cancelled_and_one_in_flight_cannot() {
    let mut bench = Bench::new();
    let (_, card) = bench.card("card");
    let session = bench.session(MigrationPolicy::Report);
    let other = bench.session(MigrationPolicy::Report);
    card.set(|script| script.room = 1);
    let [taken, queued, behind] = [(); 3].map(|()| bench.dispatch(session));
    let cancel = |bench: &mut Bench, session, id| bench.framework.cancel(session, RequestId(id));
    assert_eq!(
        cancel(&mut bench, session, taken),
        Err(CancelError::NotWaiting)
    );
    assert_eq!(
        cancel(&mut bench, other, queued),
        Err(CancelError::NotWaiting)
    );
    assert_eq!(cancel(&mut bench, session, queued), Ok(()));
    assert_eq!(
        cancel(&mut bench, session, queued),
        Err(CancelError::NotWaiting)
    );
    assert_eq!(bench.finished(), [(queued, Err(RequestError::Cancelled))]);
    card.complete_all();
    bench.service_all();
    card.complete_all();
    bench.service_all();
    assert_eq!(bench.finished(), [(taken, Ok(())), (behind, Ok(()))]);
    assert_eq!(bench.framework.stats().cancelled, 1);
    bench.framework.close_session(NOW, session).unwrap();
    assert_eq!(
        cancel(&mut bench, session, queued),
        Err(CancelError::NoSession)
    );
}

#[test]
fn a_request_of_a_session_that_opens_can_be_cancelled() {
    let mut bench = Bench::new();
    let (_, card) = bench.card("card");
    card.set(|script| script.opens_late = true);
    let session = bench.session(MigrationPolicy::Report);
    let id = bench.dispatch(session);
    assert_eq!(bench.framework.cancel(session, RequestId(id)), Ok(()));
    assert_eq!(bench.finished(), [(id, Err(RequestError::Cancelled))]);
}

#[test]
fn what_waits_too_long_ends_at_its_time_and_not_before() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(MigrationPolicy::Report);
    card.set(|script| script.room = 1);
    let in_flight = dispatch_expiring(&mut bench, session, LATER);
    let late = dispatch_expiring(&mut bench, session, LATER + Span::from_ns(1));
    let early = dispatch_expiring(&mut bench, session, LATER);
    let patient = bench.dispatch(session);
    assert_eq!(bench.framework.driver_deadline(id), LATER);
    bench.framework.service(NOW + Span::from_ps(1), id);
    assert_eq!(bench.finished(), []);
    bench.framework.service(LATER, id);
    assert_eq!(bench.finished(), [(early, Err(RequestError::TimedOut))]);
    assert_eq!(
        bench.framework.driver_deadline(id),
        LATER + Span::from_ns(1)
    );
    // Found too late while the queue is handed over, instead of by the clock.
    card.complete_all();
    bench.framework.service(LATER + Span::from_ns(2), id);
    let expected = [(late, Err(RequestError::TimedOut)), (in_flight, Ok(()))];
    assert_eq!(bench.finished(), expected);
    assert_eq!(card.held_ids(), [patient]);
    assert_eq!(bench.framework.stats().timed_out, 2);
    assert_eq!(bench.framework.driver_deadline(id), Time::NEVER);
}

#[test]
fn what_waits_for_a_session_to_open_expires_too() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    card.set(|script| script.opens_late = true);
    let session = bench.session(MigrationPolicy::Report);
    let request = dispatch_expiring(&mut bench, session, LATER);
    assert_eq!(bench.framework.driver_deadline(id), LATER);
    bench.framework.service(LATER, id);
    assert_eq!(bench.finished(), [(request, Err(RequestError::TimedOut))]);
    card.open_now();
    bench.service_all();
    assert_eq!(card.held(), 0);
}

#[test]
fn an_expiry_moves_with_its_session() {
    let mut bench = Bench::new();
    let (_, first) = bench.card("first");
    let session = bench.session(MigrationPolicy::Transparent);
    first.set(|script| script.room = 0);
    let (second_id, second) = bench.card("second");
    second.set(|script| script.opens_late = true);
    let request = dispatch_expiring(&mut bench, session, LATER);
    first.die(true);
    bench.service_all();
    assert_eq!(bench.framework.driver_deadline(second_id), LATER);
    bench.framework.service(LATER, second_id);
    assert_eq!(bench.finished(), [(request, Err(RequestError::TimedOut))]);
}

#[test]
fn the_most_urgent_of_what_waits_goes_first_and_equals_in_order() {
    let mut bench = Bench::new();
    let (_, card) = bench.card("card");
    let session = bench.session(MigrationPolicy::Report);
    card.set(|script| script.room = 1);
    let first = bench.dispatch(session);
    let ids = [0, 5, 0, 9, 5].map(|priority| dispatch_urgent(&mut bench, session, priority));
    card.set(|script| (script.room, script.generation) = (10, 1));
    bench.service_all();
    assert_eq!(
        card.taken(),
        [first, ids[3], ids[1], ids[4], ids[0], ids[2]]
    );
}

#[test]
fn asynchronous_means_nothing_to_a_card() {
    let mut bench = Bench::new();
    let (_, card) = bench.card("card");
    let session = bench.session(MigrationPolicy::Report);
    bench.dispatch_flagged(session, RequestFlags::ASYNC);
    assert_eq!(card.held(), 1);
}

#[test]
fn callbacks_are_delivered_as_the_request_and_its_driver_say() {
    use Delivery::{Immediate, Worker};
    let immediate = RequestFlags::CALLBACK_IMMEDIATE;
    let if_sync = RequestFlags::CALLBACK_IF_SYNC;
    for (flags, by_card, by_software) in [
        (RequestFlags::empty(), Worker, Worker),
        (immediate, Immediate, Immediate),
        (if_sync, Worker, Immediate),
        (immediate | RequestFlags::ORDERED, Worker, Worker),
        (if_sync | RequestFlags::ORDERED, Worker, Worker),
        (immediate | RequestFlags::ASYNC, Immediate, Worker),
    ] {
        for (kind, expected) in [
            (DriverFlags::HARDWARE, by_card),
            (DriverFlags::SOFTWARE | DriverFlags::SYNC, by_software),
        ] {
            let mut bench = Bench::new();
            let (_, handle) = bench.driver("any", kind);
            let session = bench.session(MigrationPolicy::Report);
            bench.dispatch_flagged(session, flags);
            bench.service_all();
            handle.complete_all();
            bench.service_all();
            let finished = bench.framework.take_finished().unwrap();
            assert_eq!(finished.delivery(), expected, "{flags:?} by {kind:?}");
            assert!(finished.request.duplicate(session).is_err(), "called back");
        }
    }
}
