//! Completions: in any order, at every ring size, once each, whatever the card writes.

use std::collections::BTreeSet;

use framework::{CryptoDriver, DriverError};
use regs::Status;

use super::Bench;
use crate::{DriverEvent, Transport as _};

#[test]
fn rings_of_every_size_wrap_in_every_order() {
    for entries in (2..=17).chain([64, 100]) {
        let (mut bench, session) = Bench::running(entries);
        let mut offered = 0;
        let mut ended = BTreeSet::new();
        while ended.len() < 5 * entries as usize {
            for _ in 0..entries {
                let request = bench.request(offered);
                if bench.process(session, request).is_err() {
                    break;
                }
                offered += 1;
            }
            bench.card().fetch(1);
            // Every other one, from the end.
            let mut index = bench.card().ring(1).pending.len();
            while index > 0 {
                index = index.saturating_sub(1 + index % 2);
                bench.card().complete(1, index, Status::Success);
            }
            bench.service();
            for id in bench.completed_ids() {
                assert!(ended.insert(id), "{id} completed twice at {entries}");
            }
        }
        assert_eq!(bench.stats().strange_completions, 0, "{entries}");
    }
}

#[test]
fn the_smallest_and_the_largest_ring_work() {
    for entries in [2, regs::MAX_RING_ENTRIES] {
        let (mut bench, session) = Bench::running(entries);
        for id in 0..3 {
            let request = bench.request(id);
            bench.process(session, request).unwrap();
            bench.serve();
            assert_eq!(bench.completed_ids(), [id]);
        }
    }
}

#[test]
fn a_completion_belongs_to_its_cookie_not_to_its_place() {
    let (mut bench, session) = Bench::running(8);
    for id in 0..3 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
    }
    bench.card().fetch(1);
    bench.card().complete(1, 2, Status::EngineError);
    bench.card().complete(1, 0, Status::Success);
    bench.service();
    let device = Err(DriverError::Device);
    assert_eq!(bench.completed(), [(2, device), (0, Ok(()))]);
}

#[test]
fn a_duplicate_counts_and_completes_nothing() {
    let (mut bench, session) = Bench::running(8);
    for id in 0..2 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
    }
    bench.card().fetch(1);
    let command = bench.card().complete(1, 0, Status::Success);
    bench.card().write_completion(1, command.cookie, 0);
    bench.service();
    assert_eq!(bench.completed_ids(), [0]);
    assert_eq!(bench.stats().strange_completions, 1);
    let strange = DriverEvent::Strange {
        ring: regs::RingId(1),
        cookie: command.cookie,
    };
    assert!(bench.card().events.contains(&strange));
    bench.serve();
    assert_eq!(bench.completed_ids(), [1], "the ring goes on");
}

#[test]
fn the_cookie_of_an_earlier_use_of_the_same_record_is_strange() {
    let (mut bench, session) = Bench::running(2);
    let request = bench.request(0);
    bench.process(session, request).unwrap();
    bench.card().fetch(1);
    let first = bench.card().complete(1, 0, Status::Success);
    bench.service();
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    bench.card().fetch(1);
    bench.card().write_completion(1, first.cookie, 0);
    bench.service();
    assert_eq!(bench.completed_ids(), [0], "the second is still in flight");
    assert_eq!(bench.stats().strange_completions, 1);
    bench.serve();
    assert_eq!(bench.completed_ids(), [1]);
}

#[test]
fn cookies_that_never_were_are_strange() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(0);
    bench.process(session, request).unwrap();
    bench.card().fetch(1);
    let real = bench.card().ring(1).pending[0].cookie;
    let lies = [0, u64::MAX, real ^ 1 << 16, real ^ 1 << 32, real ^ 0xFFFF];
    for lie in lies {
        bench.card().write_completion(1, lie, 0);
        bench.service();
    }
    assert!(bench.completed_ids().is_empty());
    assert_eq!(bench.stats().strange_completions, lies.len() as u64);
}

#[test]
fn a_status_that_means_nothing_fails_the_request() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(0);
    bench.process(session, request).unwrap();
    bench.card().fetch(1);
    let command = bench.card().ring(1).pending.remove(0);
    bench.card().write_completion(1, command.cookie, 0x7777);
    bench.service();
    assert_eq!(bench.completed(), [(0, Err(DriverError::Device))]);
    assert_eq!(bench.stats().strange_completions, 1);
}

#[test]
fn each_status_is_its_error() {
    for &status in Status::ALL {
        let (mut bench, session) = Bench::running(8);
        let request = bench.request(0);
        bench.process(session, request).unwrap();
        bench.card().fetch(1);
        bench.card().complete(1, 0, status);
        bench.service();
        let expected = match status {
            Status::Success => Ok(()),
            Status::DigestMismatch => Err(DriverError::DigestMismatch),
            Status::Aborted => Err(DriverError::Lost { untouched: true }),
            _ => Err(DriverError::Device),
        };
        assert_eq!(bench.completed(), [(0, expected)]);
    }
}

#[test]
fn who_looks_all_the_time_is_sent_no_interrupt_and_rings_once_for_half_a_ring() {
    for entries in [2, 3, 8, 64] {
        let (mut bench, session) = Bench::running(entries);
        bench.driver.set_interrupts(false);
        let before = bench.stats().completion_doorbells;
        let rounds = 6 * u64::from(entries);
        for id in 0..rounds {
            let request = bench.request(id);
            bench.process(session, request).unwrap();
            bench.card().serve();
            // The first one was armed before.
            let fired = bench.card().take_interrupts();
            assert!(fired == 0 || id == 0, "{id} of {entries}");
            bench.service();
            assert_eq!(bench.completed_ids(), [id]);
        }
        let rung = bench.stats().completion_doorbells - before;
        assert_eq!(rung, rounds / u64::from((entries / 2).max(1)), "{entries}");
        // Something ends between the last look and sleep.
        let request = bench.request(0);
        bench.process(session, request).unwrap();
        bench.card().serve();
        assert_eq!(bench.card().take_interrupts(), 0);
        bench.driver.set_interrupts(true);
        assert_eq!(bench.card().take_interrupts(), 0b10);
        bench.service();
        assert_eq!(bench.completed_ids(), [0]);
        let request = bench.request(1);
        bench.process(session, request).unwrap();
        bench.card().serve();
        assert_eq!(bench.card().take_interrupts(), 0b10);
    }
}

#[test]
fn a_spurious_interrupt_leaves_the_ring_armed() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(0);
    bench.process(session, request).unwrap();
    bench.card().ring(1).is_armed = false;
    bench.card().interrupts = 1 << 1;
    bench.service();
    assert!(bench.card().ring(1).is_armed);
    bench.serve();
    assert_eq!(bench.driver.deadline(), timebase::Time::NEVER);
}
