//! From a cold card to one that serves, and the ways that this fails.

use dma::Pool;
use framework::{Compression, CryptoDriver, Hint, Mode, OpenError, SessionParams};
use regs::Status;
use timebase::Time;

use super::fake::{FakeCard, PAIRS};
use super::{Bench, RESET_TIMEOUT, cbc_params, config, null_params};
use crate::{BringUpError, CardDriver, DriverConfig, DriverState};

fn refused(card: FakeCard) -> BringUpError {
    let made = CardDriver::new(card, config(8));
    made.err().expect("no driver for such a card")
}

#[test]
fn a_ready_card_is_programmed_and_armed() {
    let mut bench = Bench::new(config(8));
    assert_eq!(bench.driver.state(), DriverState::Resetting);
    bench.bring_up();
    assert_eq!(bench.card().resets, 1);
    for ring in [0, 1] {
        assert!(bench.card().ring(ring).is_enabled);
        assert!(bench.card().ring(ring).is_armed);
    }
    assert!(
        !bench.card().ring(2).is_enabled,
        "only as many as configured"
    );
}

#[test]
fn a_card_with_fewer_rings_is_used_with_those_it_has() {
    let wide = DriverConfig {
        ring_pairs: 4,
        ..config(8)
    };
    let mut bench = Bench::new(wide);
    bench.bring_up();
    for id in 0..6 {
        let session = bench.open(&null_params());
        let request = bench.request(id);
        bench.process(session, request).unwrap();
    }
    bench.serve();
    assert_eq!(bench.completed_ids().len(), 6);
    assert!(bench.card().ring(PAIRS).is_enabled);
}

#[test]
fn who_is_no_card_is_refused() {
    let mut foreign = FakeCard::new();
    foreign.device_id = 0x1234_5678;
    assert!(matches!(
        refused(foreign),
        BringUpError::ForeignDevice { id: 0x1234_5678 }
    ));
    let mut gone = FakeCard::new();
    gone.is_alive = false;
    assert!(matches!(refused(gone), BringUpError::Gone));
    let mut mute = FakeCard::new();
    mute.vectors = 0;
    assert!(matches!(refused(mute), BringUpError::NoVectors));
}

#[test]
fn a_driver_without_memory_or_windows_is_not_made() {
    let mut poor = FakeCard::new();
    poor.pool = Pool::new(4096).unwrap();
    assert!(matches!(refused(poor), BringUpError::Memory(_)));
    let mut blind = FakeCard::new();
    blind.max_windows = 4;
    assert!(matches!(refused(blind), BringUpError::Map(_)));
    let nothing = DriverConfig {
        ring_entries: 1,
        ..config(8)
    };
    let made = CardDriver::new(FakeCard::new(), nothing);
    assert!(matches!(made, Err(BringUpError::Config(_))));
}

#[test]
fn a_reset_that_never_ends_is_given_up_in_time() {
    let mut card = FakeCard::new();
    card.reset_looks = None;
    let mut bench = Bench::on(card, config(8));
    while bench.driver.state() == DriverState::Resetting {
        bench.advance();
    }
    assert_eq!(bench.driver.state(), DriverState::Lost);
    assert!(bench.now <= Time::ZERO + RESET_TIMEOUT);
    assert!(bench.output.lost);
    assert_eq!(bench.stats().reset_timeouts, 1);
    assert_eq!(bench.driver.deadline(), Time::NEVER);
    assert_eq!(bench.card().open_mappings(), 0);
}

#[test]
fn a_card_that_vanishes_during_reset_is_lost() {
    let mut bench = Bench::new(config(8));
    let session = bench
        .driver
        .open_session(bench.now, &null_params())
        .unwrap();
    bench.card().is_alive = false;
    bench.advance();
    assert_eq!(bench.driver.state(), DriverState::Lost);
    assert_eq!(bench.output.opened, [(session, Err(OpenError::Device))]);
}

#[test]
fn sessions_asked_for_early_open_when_the_card_runs() {
    let mut bench = Bench::new(config(8));
    let early = bench
        .driver
        .open_session(bench.now, &null_params())
        .unwrap();
    bench.bring_up();
    bench.serve();
    assert_eq!(bench.output.opened, [(early, Ok(()))]);
}

#[test]
fn a_request_before_the_card_runs_waits_for_a_generation() {
    let mut bench = Bench::new(config(8));
    let early = bench
        .driver
        .open_session(bench.now, &null_params())
        .unwrap();
    let request = bench.request(1);
    let blocked = bench.process(early, request).unwrap_err();
    bench.bring_up();
    bench.serve();
    assert!(bench.driver.unblock_generation() > blocked.generation);
    bench.process(early, blocked.request).unwrap();
}

#[test]
fn early_sessions_beyond_the_card_are_refused_late() {
    let mut card = FakeCard::new();
    card.session_capacity = 2;
    let mut bench = Bench::on(card, config(8));
    let params = null_params();
    let early: Vec<_> = (0..3)
        .map(|_| bench.driver.open_session(Time::ZERO, &params).unwrap())
        .collect();
    bench.bring_up();
    bench.serve();
    assert_eq!(bench.output.opened.len(), 3);
    let refused = (early[2], Err(OpenError::NoRoom));
    assert!(bench.output.opened.contains(&refused));
    let late = bench.driver.open_session(bench.now, &params);
    assert_eq!(late, Err(OpenError::NoRoom));
}

#[test]
fn what_the_card_refuses_opens_with_an_error() {
    let mut bench = Bench::new(config(8));
    bench.bring_up();
    for (status, error) in [
        (Status::BadParameters, OpenError::Unsupported),
        (Status::EngineError, OpenError::Device),
    ] {
        bench.card().admin_status = status;
        let session = bench
            .driver
            .open_session(bench.now, &null_params())
            .unwrap();
        bench.serve();
        let opened = std::mem::take(&mut bench.output.opened);
        assert_eq!(opened, [(session, Err(error))]);
        let request = bench.request(1);
        bench.process(session, request).unwrap();
        bench.service();
        assert_eq!(bench.completed()[0].1, Err(framework::DriverError::Device));
    }
    assert_eq!(bench.stats().admin_failed, 2);
}

#[test]
fn a_slot_is_used_again_only_when_the_card_has_destroyed_it() {
    let one = DriverConfig {
        sessions: 1,
        ..config(8)
    };
    let (mut bench, session) = Bench::running_with(one, &null_params());
    bench.driver.close_session(bench.now, session);
    let params = null_params();
    let busy = bench.driver.open_session(bench.now, &params);
    assert_eq!(busy, Err(OpenError::NoRoom));
    assert_eq!(bench.stats().refused_sessions, 1);
    bench.serve();
    assert_eq!(bench.open(&params), session);
}

#[test]
fn a_session_closed_while_it_opens_is_destroyed_unseen() {
    let mut bench = Bench::new(config(8));
    bench.bring_up();
    let session = bench
        .driver
        .open_session(bench.now, &null_params())
        .unwrap();
    bench.driver.close_session(bench.now, session);
    bench.serve();
    bench.serve();
    assert!(bench.output.opened.is_empty());
    assert!(bench.card().sessions.is_empty());
}

#[test]
fn more_sessions_than_the_admin_ring_has_slots_open_all_the_same() {
    let mut bench = Bench::new(config(8));
    bench.bring_up();
    let params = null_params();
    for _ in 0..500 {
        bench.driver.open_session(bench.now, &params).unwrap();
    }
    for _ in 0..20 {
        bench.serve();
    }
    assert_eq!(bench.output.opened.len(), 500);
    assert!(bench.output.opened.iter().all(|(_, result)| result.is_ok()));
}

#[test]
fn keys_in_the_staging_area_are_zeroed_when_the_session_is_there() {
    let mut bench = Bench::new(config(8));
    bench.bring_up();
    let mut params = cbc_params();
    let key = *b"a secret of mine";
    params.cipher_key = Some(framework::Key::new(&key));
    let session = bench.driver.open_session(bench.now, &params).unwrap();
    assert!(
        bench.card().pool.find(&key).is_some(),
        "staged for the card"
    );
    bench.serve();
    assert_eq!(bench.card().pool.find(&key), None);
    bench.driver.close_session(bench.now, session);
}

#[test]
fn what_the_card_lacks_is_not_probed() {
    let bench = Bench::new(config(8));
    let probe = |change: fn(&mut SessionParams)| {
        let mut params = cbc_params();
        change(&mut params);
        bench.driver.probe_session(&params)
    };
    assert!(probe(|_| {}).is_some());
    let long_iv = |params: &mut SessionParams| {
        *params = null_params();
        params.iv_len = 17;
    };
    assert!(probe(long_iv).is_none());

    assert!(probe(|params| params.cipher_key_len = 65).is_none());
    assert!(probe(|params| params.auth_key_len = 129).is_none());
    let compression = |params: &mut SessionParams| {
        *params = null_params();
        (params.mode, params.cipher) = (Mode::Compress(Compression::Deflate), None);
    };
    assert!(probe(compression).is_some());
}

#[test]
fn interrupts_before_the_card_is_ready_are_ignored() {
    let mut bench = Bench::new(config(8));
    bench.card().interrupts = u128::MAX;
    bench.service();
    bench.bring_up();
    bench.card().interrupts = u128::MAX;
    bench.service();
    assert_eq!(bench.stats().strange_completions, 0);
    let session = bench.open(&null_params());
    let request = bench.request(1);
    bench.offer(session, request, Hint::Last).unwrap();
    bench.serve();
    assert_eq!(bench.completed_ids(), [1]);
}
