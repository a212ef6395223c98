//! Room: who is refused, what wakes them, and that hints strand nothing.

use framework::{CryptoDriver, DriverError, Hint};
use regs::Status;
use timebase::Time;

use super::{Bench, WATCHDOG, config, null_params};
use crate::DriverConfig;

#[test]
fn a_full_ring_hands_the_request_back() {
    let (mut bench, session) = Bench::running(4);
    for id in 1..=3 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
    }
    let doorbells = bench.card().doorbells;
    let request = bench.request(4);
    let blocked = bench.process(session, request).unwrap_err();
    assert_eq!(blocked.request.id.0, 4);
    assert_eq!(blocked.request.buffer.len(), 64, "with its buffer");
    assert_eq!(blocked.generation, bench.driver.unblock_generation());
    assert_eq!(bench.card().doorbells, doorbells, "a refusal rings no bell");
    assert_eq!(bench.stats().refused_ring_full, 1);

    bench.serve();
    assert!(bench.driver.unblock_generation() > blocked.generation);
    bench.process(session, blocked.request).unwrap();
    bench.serve();
    assert_eq!(bench.completed_ids(), [1, 2, 3, 4]);
}

#[test]
fn nobody_is_woken_below_the_low_watermark() {
    let (mut bench, session) = Bench::running(17);
    for id in 0..16 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
    }
    let request = bench.request(16);
    let blocked = bench.process(session, request).unwrap_err();
    bench.card().fetch(1);
    for done in 1..=4 {
        bench.card().complete(1, 0, Status::Success);
        bench.service();
        let is_awake = bench.driver.unblock_generation() > blocked.generation;
        assert_eq!(is_awake, done == 4, "a quarter of the ring, at {done}");
    }
    bench.service();
    assert_eq!(bench.stats().unblocks, 1, "once for each time of refusals");
}

#[test]
fn a_held_back_command_is_published_by_whatever_comes_next() {
    type Next = fn(&mut Bench, framework::DriverSession);
    let followers: [(&str, Next); 5] = [
        ("flush", |bench, _| bench.driver.flush(bench.now)),
        ("service", |bench, _| bench.service()),
        ("the last of the batch", |bench, session| {
            let request = bench.request(2);
            bench.offer(session, request, Hint::Last).unwrap();
        }),
        ("one that fails", |bench, session| {
            let mut request = bench.request(2);
            request.payload.len = usize::MAX >> 1;
            bench.offer(session, request, Hint::Last).unwrap();
        }),
        ("detach", |bench, _| bench.driver.detach(bench.now)),
    ];
    for (name, next) in followers {
        let (mut bench, session) = Bench::running(8);
        let request = bench.request(1);
        bench.offer(session, request, Hint::More).unwrap();
        assert_eq!(bench.card().ring(1).tail, 0, "held back");
        assert_eq!(bench.driver.deadline(), bench.now, "but not for long");
        next(&mut bench, session);
        assert_ne!(bench.card().ring(1).tail, 0, "{name}");
    }
}

#[test]
fn a_refusal_publishes_what_fills_the_ring() {
    let (mut bench, session) = Bench::running(4);
    for id in 1..=3 {
        let request = bench.request(id);
        bench.offer(session, request, Hint::More).unwrap();
    }
    let request = bench.request(4);
    let blocked = bench.offer(session, request, Hint::More).unwrap_err();
    assert_eq!(bench.card().ring(1).tail, 3);
    bench.serve();
    assert!(bench.driver.unblock_generation() > blocked.generation);
}

#[test]
fn the_last_of_a_batch_publishes_every_ring() {
    let pairs = DriverConfig {
        ring_pairs: 2,
        ..config(8)
    };
    let (mut bench, first) = Bench::running_with(pairs, &null_params());
    let second = bench.open(&null_params());
    let request = bench.request(1);
    bench.offer(first, request, Hint::More).unwrap();
    let request = bench.request(2);
    bench.offer(second, request, Hint::Last).unwrap();
    assert_eq!(bench.card().ring(1).tail, 1);
    assert_eq!(bench.card().ring(2).tail, 1);
}

#[test]
fn a_batch_rings_once_and_a_long_one_in_between() {
    let (mut bench, session) = Bench::running(256);
    let before = bench.stats().doorbells;
    for id in 0..10 {
        let request = bench.request(id);
        let hint = if id == 9 { Hint::Last } else { Hint::More };
        bench.offer(session, request, hint).unwrap();
    }
    assert_eq!(bench.stats().doorbells, before + 1);
    for id in 10..110 {
        let request = bench.request(id);
        bench.offer(session, request, Hint::More).unwrap();
    }
    assert_eq!(bench.stats().doorbells, before + 1 + 3);
}

#[test]
fn without_windows_a_request_waits_for_one_in_flight() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    bench.card().max_windows = 1;
    let request = bench.request(2);
    let blocked = bench.process(session, request).unwrap_err();
    bench.service();
    assert_eq!(
        bench.driver.unblock_generation(),
        blocked.generation,
        "nothing completed yet"
    );
    bench.serve();
    assert!(bench.driver.unblock_generation() > blocked.generation);
    bench.process(session, blocked.request).unwrap();
    bench.serve();
    assert_eq!(bench.completed_ids(), [1, 2]);
    assert_eq!(bench.stats().refused_no_window, 1);
}

#[test]
fn without_windows_and_without_hope_a_request_fails() {
    let (mut bench, session) = Bench::running(8);
    bench.card().max_windows = 0;
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    assert_eq!(bench.driver.deadline(), bench.now, "its end is to be told");
    bench.service();
    assert_eq!(bench.completed(), [(1, Err(DriverError::Device))]);
    assert_eq!(bench.stats().exhausted, 1);
}

#[test]
fn the_budget_bounds_one_look_and_the_next_follows_at_once() {
    let small = DriverConfig {
        reap_budget: 2,
        ..config(16)
    };
    let (mut bench, session) = Bench::running_with(small, &null_params());
    for id in 0..5 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
    }
    bench.serve();
    assert_eq!(bench.completed_ids(), [0, 1]);
    assert_eq!(bench.driver.deadline(), bench.now);
    bench.advance();
    assert_eq!(bench.completed_ids(), [2, 3]);
    bench.advance();
    assert_eq!(bench.completed_ids(), [4]);
    assert_eq!(bench.stats().budget_exhausted, 2);
    assert_eq!(bench.driver.deadline(), Time::NEVER);
    assert!(bench.card().ring(1).is_armed, "asleep only when armed");
}

#[test]
fn an_idle_driver_needs_no_timer_and_a_busy_one_has_the_watchdog() {
    let (mut bench, session) = Bench::running(8);
    assert_eq!(bench.driver.deadline(), Time::NEVER);
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    assert_eq!(bench.driver.deadline(), bench.now + WATCHDOG);
}

#[test]
fn no_register_is_read_on_the_way_of_a_request() {
    let (mut bench, session) = Bench::running(8);
    let reads = bench.card().reads;
    for id in 0..100 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
        bench.service();
        bench.serve();
    }
    assert_eq!(bench.card().reads, reads);
    assert_eq!(bench.stats().reaped, 100);
    assert_eq!(bench.stats().max_in_flight, 1);
}
