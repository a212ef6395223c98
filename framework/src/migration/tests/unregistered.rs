//! Drivers that leave in good order.

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
