//! What is seen with a single thread only, so that these tests are not run over both ways: requests
//! that wait until somebody services their driver, and assertions that fail in whoever does.

use timebase::Time;

use crate::testing::{Bench, NOW, null_params, request};
use crate::{
    Completed, DriverChoice, DriverFlags, Hint, Limits, MigrationPolicy, RequestFlags, RequestId,
};

const REPORT: MigrationPolicy = MigrationPolicy::Report;

#[test]
fn batch_requests_wait_for_each_other_but_not_longer_than_the_deadline() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    assert_eq!(bench.framework.deadline(), Time::NEVER);
    for _ in 0..3 {
        bench.dispatch_flagged(session, RequestFlags::BATCH);
    }
    assert_eq!(card.taken(), [0; 0]);
    assert_eq!(bench.framework.deadline(), NOW);
    assert_eq!(bench.framework.driver_deadline(id), NOW);
    bench.framework.service(NOW, id);
    assert_eq!(card.hints(), [Hint::More, Hint::More, Hint::Last]);
    assert_eq!(bench.framework.deadline(), Time::NEVER);
}

#[test]
fn a_full_batch_and_a_request_without_the_flag_both_end_the_waiting() {
    let limits = Limits {
        batch_len: 3,
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(limits);
    let (_, card) = bench.card("card");
    let session = bench.session(REPORT);
    for _ in 0..4 {
        bench.dispatch_flagged(session, RequestFlags::BATCH);
    }
    assert_eq!(card.taken(), [1, 2, 3]);
    bench.dispatch(session);
    assert_eq!(card.taken(), [1, 2, 3, 4, 5]);
}

#[test]
fn an_asynchronous_request_is_not_done_in_the_callers_time() {
    let mut bench = Bench::new();
    let (id, soft) = bench.driver("soft", DriverFlags::SOFTWARE | DriverFlags::SYNC);
    let session = bench.session(REPORT);
    let request = bench.dispatch_flagged(session, RequestFlags::ASYNC);
    assert!(soft.taken().is_empty());
    assert_eq!(bench.framework.driver_deadline(id), NOW);
    bench.framework.service(NOW, id);
    assert_eq!(bench.finished(), [(request, Ok(()))]);
    assert_eq!(bench.framework.driver_deadline(id), Time::NEVER);
}

#[test]
fn a_queue_that_was_cancelled_is_not_due_for_ever() {
    for flags in [RequestFlags::BATCH, RequestFlags::ASYNC] {
        let mut bench = Bench::new();
        let (id, _) = bench.driver("soft", DriverFlags::SOFTWARE | DriverFlags::SYNC);
        let session = bench.session(REPORT);
        let request = bench.dispatch_flagged(session, flags);
        assert_eq!(bench.framework.driver_deadline(id), NOW);
        bench.framework.cancel(session, RequestId(request)).unwrap();
        bench.framework.service(NOW, id);
        assert_eq!(
            bench.framework.driver_deadline(id),
            Time::NEVER,
            "{flags:?}"
        );
    }
}

#[test]
#[should_panic(expected = "a driver returned a request it did not have")]
fn a_request_returned_twice_is_noticed() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let session = bench.session(REPORT);
    bench.dispatch(session);
    card.complete_all();
    let result = Ok(());
    let request = request(session);
    card.set(|script| script.output.completed.push(Completed { request, result }));
    bench.framework.service(NOW, id);
}

/// Work is counted, not time: how many sessions moved before requests of a card that died were done
/// elsewhere, or those of one that leaves were done there.
#[test]
fn requests_of_a_card_that_goes_do_not_wait_for_a_million_idle_sessions() {
    const SESSIONS: usize = 1 << 20;
    for is_lost in [true, false] {
        let mut bench = Bench::with_limits(Limits {
            event_len: 0,
            ..Limits::default()
        });
        let (one, card) = bench.card("one");
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|_| {
                let (choice, policy) = (DriverChoice::any(), MigrationPolicy::Transparent);
                let opened = bench
                    .framework
                    .open_session(NOW, null_params(), choice, policy);
                opened.unwrap()
            })
            .collect();
        bench.framework.service(NOW, one);
        for &session in sessions.iter().step_by(SESSIONS / 8) {
            bench.dispatch(session);
        }
        bench.driver("soft", DriverFlags::SOFTWARE | DriverFlags::SYNC);
        if is_lost {
            card.die(true);
        } else {
            bench.framework.unregister(NOW, one).unwrap();
            card.complete_all();
        }
        bench.framework.service(NOW, one);
        let expected = [1, 2, 3, 4, 5, 6, 7, 8].map(|id| (id, Ok(())));
        assert_eq!(bench.finished(), expected);
        let moved = bench.framework.stats().migrations;
        assert!(moved <= 32 + 8, "{moved} sessions moved");
    }
}

#[test]
fn a_batch_that_gathers_at_a_driver_that_leaves_goes_elsewhere_at_once() {
    let mut bench = Bench::new();
    let (one, card) = bench.card("one");
    let session = bench.session(MigrationPolicy::Transparent);
    for _ in 0..3 {
        bench.dispatch_flagged(session, RequestFlags::BATCH);
    }
    let (two, other) = bench.card("two");
    bench.framework.unregister(NOW, one).unwrap();
    assert!(bench.framework.driver(one).is_none());
    bench.framework.service(NOW, two);
    assert_eq!((card.taken().len(), other.taken()), (0, vec![1, 2, 3]));
}
