//! Work-arounds: what the driver does about each erratum, and that it does so for no other card.

use framework::{Buffer, CryptoDriver, DriverError};
use regs::{CommandFlags, Errata, Status};
use timebase::Span;

use super::fake::FakeCard;
use super::{Bench, WATCHDOG, cbc_params, config, null_params, request_on};
use crate::{DriverConfig, DriverState};

/// A driver that is not up yet, on a card with `errata`.
fn cold(errata: Errata) -> Bench {
    let mut card = FakeCard::new();
    card.errata = errata;
    Bench::on(card, config(8))
}

fn running(errata: Errata) -> Bench {
    let mut bench = cold(errata);
    bench.bring_up();
    bench
}

#[test]
fn a_card_that_loses_interrupts_is_looked_at_every_fifty_microseconds() {
    for (errata, found_after) in [
        (Errata::INTERRUPT_SATURATION, Span::from_us(50)),
        (Errata::empty(), WATCHDOG),
    ] {
        let mut bench = running(errata);
        let session = bench.open(&null_params());
        bench.card().sends_interrupts = false;
        let request = bench.request(1);
        bench.process(session, request).unwrap();
        let start = bench.now;
        bench.card().serve();
        bench.advance();
        assert_eq!(bench.completed(), [(1, Ok(()))]);
        assert_eq!(bench.now, start + found_after);
        let is_late = errata.is_empty();
        assert_eq!(bench.stats().watchdog_firings, u64::from(is_late));
    }
}

#[test]
fn an_entry_that_is_not_whole_is_looked_at_again() {
    let mut bench = running(Errata::EARLY_STATUS);
    let session = bench.open(&null_params());
    // Over the end of the ring, so that the phase is stepped back too.
    for id in 0..20 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
        bench.card().fetch(1);
        let command = bench.card().ring(1).pending.remove(0);
        let torn = bench.card().tear_completion(1, Status::Success as u16);
        bench.service();
        assert!(bench.completed().is_empty(), "{id}");
        bench.card().mend_completion(torn, command.cookie);
        bench.advance();
        assert_eq!(bench.completed(), [(id, Ok(()))]);
    }
    assert_eq!(bench.stats().strange_completions, 0);
    assert_eq!(bench.stats().watchdog_firings, 0);
}

#[test]
fn a_card_is_ready_when_its_heart_beats() {
    let mut bench = cold(Errata::EARLY_READY);
    bench.card().reset_looks = Some(0);
    bench.card().still_beats = 5;
    for _ in 0..6 {
        assert_eq!(bench.driver.state(), DriverState::Resetting);
        bench.advance();
    }
    assert_eq!(bench.driver.state(), DriverState::Resetting);
    bench.bring_up();
    assert_eq!(bench.stats().reset_timeouts, 0);
}

#[test]
fn a_card_whose_reset_must_not_be_looked_at_is_left_alone_longer_each_time() {
    let mut card = FakeCard::new();
    card.errata = Errata::POLLED_RESET;
    let config = DriverConfig {
        reset_timeout: Span::from_ms(100),
        ..config(8)
    };
    let mut bench = Bench::on(card, config);
    let (start, reads) = (bench.now, bench.card().reads);
    bench.service();
    bench.now += Span::from_us(999);
    bench.service();
    assert_eq!(bench.card().reads, reads, "whoever calls");
    // The fake says three times that it is not ready: after 1, 2 and 4 ms.
    bench.bring_up();
    assert_eq!(bench.now, start + Span::from_ms(1 + 2 + 4 + 8));
}

#[test]
fn vectors_are_programmed_anew_after_each_reset_of_a_card_that_forgets_them() {
    for (errata, restored) in [(Errata::RESET_CLEARS_VECTORS, 1), (Errata::empty(), 0)] {
        assert_eq!(running(errata).card().restored, restored);
    }
}

#[test]
fn every_pair_is_off_when_a_card_that_needs_it_is_reset() {
    for (errata, enabled) in [(Errata::RESET_WHILE_ENABLED, 0), (Errata::empty(), 2)] {
        let mut bench = running(errata);
        let session = bench.open(&null_params());
        let request = bench.request(1);
        bench.process(session, request).unwrap();
        while bench.stats().resets == 0 {
            bench.advance();
        }
        assert_eq!(bench.card().enabled_at_reset, enabled);
        bench.bring_up();
        let ended = [(1, Err(DriverError::Lost { untouched: true }))];
        assert_eq!(bench.completed(), ended);
    }
}

#[test]
fn a_doorbell_that_was_not_heard_is_rung_again_at_once() {
    let mut bench = running(Errata::DOORBELL_COLLISION);
    let session = bench.open(&null_params());
    bench.card().doorbells_to_lose = 1;
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    assert_eq!(bench.stats().rerung, 1);
    bench.serve();
    assert_eq!(bench.completed(), [(1, Ok(()))]);
    // A card that hears nothing is not asked for ever.
    bench.card().loses_doorbells = true;
    let request = bench.request(2);
    bench.process(session, request).unwrap();
    assert_eq!(bench.stats().rerung, 5);
}

/// A chain whose last part has `last` bytes, filled with `id`.
fn chain(bench: &mut Bench, id: u64, last: usize) -> Box<framework::Request> {
    let parts = [16, last].map(|len| bench.pooled(&vec![id as u8; len]));
    request_on(id, Buffer::Chain(parts.into()), 16 + last)
}

#[test]
fn a_chain_with_a_short_end_is_packed_and_its_result_unpacked() {
    let mut bench = running(Errata::SHORT_LAST_SEGMENT);
    let session = bench.open(&null_params());
    for (last, is_packed) in [(7, true), (8, false)] {
        let bounces = bench.stats().bounces;
        let request = chain(&mut bench, last, last as usize);
        bench.process(session, request).unwrap();
        assert_eq!(bench.stats().bounces, bounces + 2 * u64::from(is_packed));
        bench.card().fetch(1);
        let command = bench.card().ring(1).pending[0];
        let lists = CommandFlags::SOURCE_SEGMENTS | CommandFlags::DESTINATION_SEGMENTS;
        assert_eq!(command.flags.intersects(lists), !is_packed);
        if is_packed {
            let source = bench.card().dma_read(command.source, 23);
            assert_eq!(source, [7; 23]);
            let result: Vec<u8> = (100..123).collect();
            bench.card().dma_write(command.destination, &result);
        }
        bench.serve();
        let done = bench.output.completed.pop().expect("one");
        assert_eq!(done.result, Ok(()));
        if is_packed {
            let mut result = [0; 23];
            done.request.buffer.copy_out(0, &mut result);
            assert!(result.into_iter().eq(100..123));
        }
    }
    assert_eq!(bench.card().open_windows(), 0);
}

#[test]
fn a_packed_request_that_fails_is_untouched() {
    let mut bench = running(Errata::SHORT_LAST_SEGMENT);
    let session = bench.open(&null_params());
    for _ in 0..2 {
        let request = chain(&mut bench, 3, 3);
        bench.process(session, request).unwrap();
    }
    bench.card().fetch(1);
    let command = bench.card().complete(1, 0, Status::WriteFault);
    bench.card().dma_write(command.destination, &[9; 19]);
    bench.service();
    let done = bench.output.completed.pop().expect("one");
    assert_eq!(done.result, Err(DriverError::Device));
    let mut left = [0; 19];
    done.request.buffer.copy_out(0, &mut left);
    assert_eq!(left, [3; 19]);
    bench.card().is_alive = false;
    while !bench.output.lost {
        bench.advance();
    }
    let lost = Err(DriverError::Lost { untouched: true });
    assert_eq!(bench.completed(), [(3, lost)]);
    assert_eq!(bench.card().open_mappings(), 0);
}

/// Lets the card serve admin commands until the driver has no more.
fn settle_admin(bench: &mut Bench) {
    for _ in 0..4 {
        bench.card().serve_admin();
        bench.service();
    }
}

#[test]
fn a_session_is_open_when_it_has_its_keys_a_second_time() {
    let mut bench = running(Errata::STALE_CONTEXT);
    let opening = bench.driver.open_session(bench.now, &cbc_params()).unwrap();
    bench.card().serve_admin();
    bench.service();
    assert!(bench.output.opened.is_empty(), "created only");
    settle_admin(&mut bench);
    let opened = std::mem::take(&mut bench.output.opened);
    assert_eq!(opened, [(opening, Ok(()))]);
    assert_eq!(bench.stats().admin_posted, 2);
}

#[test]
fn a_session_closed_before_its_second_keys_is_destroyed() {
    let mut bench = running(Errata::STALE_CONTEXT);
    for steps in 0..4 {
        let opening = bench.driver.open_session(bench.now, &cbc_params()).unwrap();
        for step in 0..steps {
            match step % 2 {
                0 => bench.card().serve_admin(),
                _ => bench.service(),
            }
        }
        bench.driver.close_session(bench.now, opening);
        settle_admin(&mut bench);
        assert!(bench.card().sessions.is_empty(), "{steps} steps");
        bench.output.opened.clear();
    }
}

#[test]
fn a_reset_between_first_and_second_keys_opens_the_session_all_the_same() {
    let mut bench = running(Errata::STALE_CONTEXT);
    let opening = bench.driver.open_session(bench.now, &cbc_params()).unwrap();
    bench.card().serve_admin();
    bench.service();
    while bench.stats().resets == 0 {
        bench.advance();
    }
    bench.bring_up();
    settle_admin(&mut bench);
    let opened = std::mem::take(&mut bench.output.opened);
    assert_eq!(opened, [(opening, Ok(()))]);
    assert_eq!(bench.card().sessions.len(), 1);
}

#[test]
fn a_driver_that_ignores_every_erratum_does_as_with_a_good_card() {
    let course = |errata| {
        let config = DriverConfig {
            ignore_errata: Errata::all(),
            ..config(8)
        };
        let mut card = FakeCard::new();
        card.errata = errata;
        let mut bench = Bench::on(card, config);
        bench.bring_up();
        let session = bench.open(&null_params());
        let request = chain(&mut bench, 3, 3);
        bench.process(session, request).unwrap();
        bench.serve();
        assert_eq!(bench.completed(), [(3, Ok(()))]);
        let (reads, doorbells) = (bench.card().reads, bench.card().doorbells);
        (bench.stats(), bench.now, reads, doorbells)
    };
    assert_eq!(course(Errata::all()), course(Errata::empty()));
}
