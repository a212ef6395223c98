//! Sessions that move on request: one by one, or to where they are better off.

use super::*;

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
