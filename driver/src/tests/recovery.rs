//! When the card hangs, lies or leaves: everything comes back exactly once.

use framework::{CryptoDriver, DriverError, Hint};
use regs::Status;
use timebase::Time;

use super::{Bench, WATCHDOG, cbc_params, null_params};
use crate::{AdminError, DriverEvent, DriverState};

fn lost(untouched: bool) -> Result<(), DriverError> {
    Err(DriverError::Lost { untouched })
}

#[test]
fn the_watchdog_finds_what_a_lost_interrupt_hid() {
    let (mut bench, session) = Bench::running(8);
    bench.card().sends_interrupts = false;
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    bench.card().serve();
    bench.advance();
    assert_eq!(bench.completed(), [(1, Ok(()))]);
    assert_eq!(bench.stats().polled_completions, 1);
    assert_eq!(bench.stats().watchdog_firings, 1);
    assert_eq!(bench.stats().resets, 0);
}

#[test]
fn a_lost_doorbell_is_rung_again_once() {
    let (mut bench, session) = Bench::running(8);
    bench.card().loses_doorbells = true;
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    bench.card().loses_doorbells = false;
    bench.advance();
    assert_eq!(bench.stats().rerung, 1);
    bench.serve();
    assert_eq!(bench.completed(), [(1, Ok(()))]);
    assert_eq!(bench.stats().resets, 0);
}

#[test]
fn a_hang_is_reset_and_sessions_come_back_unseen() {
    let (mut bench, session) = Bench::running(8);
    let other = bench.open(&cbc_params());
    for id in 1..=3 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
    }
    bench.card().fetch(1);
    let touched = bench.card().ring(1).pending[1];
    bench.card().dma_write(touched.destination, &[9; 8]);
    let start = bench.now;
    while bench.stats().resets == 0 {
        bench.advance();
    }
    assert_eq!(bench.now, start + WATCHDOG * 2);
    assert!(bench.completed().is_empty(), "the card may still write");
    assert_eq!(bench.card().open_windows(), 3);

    let request = bench.request(4);
    let blocked = bench.process(session, request).unwrap_err();
    bench.bring_up();
    let ended = [(1, lost(true)), (2, lost(false)), (3, lost(true))];
    assert_eq!(bench.completed(), ended, "in the order of posting");
    assert!(bench.output.opened.is_empty());
    assert_eq!(bench.card().sessions.len(), 2);
    bench.service();
    assert!(bench.driver.unblock_generation() > blocked.generation);
    for session in [session, other] {
        let mut request = bench.request(5);
        request.iv = Some([0; 64]);
        bench.process(session, request).unwrap();
    }
    bench.serve();
    assert_eq!(bench.completed(), [(5, Ok(())), (5, Ok(()))]);
}

#[test]
fn a_session_closed_during_a_reset_stays_closed() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    while bench.stats().resets == 0 {
        bench.advance();
    }
    bench.driver.close_session(bench.now, session);
    bench.bring_up();
    bench.serve();
    assert!(bench.card().sessions.is_empty());
    assert_eq!(bench.open(&null_params()), session, "its slot is free");
}

#[test]
fn a_session_that_cannot_be_restored_fails_its_requests() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    while bench.stats().resets == 0 {
        bench.advance();
    }
    bench.card().admin_status = Status::EngineError;
    bench.bring_up();
    bench.completed();
    let request = bench.request(2);
    bench.process(session, request).unwrap();
    bench.service();
    assert_eq!(bench.completed(), [(2, Err(DriverError::Device))]);
    bench.driver.close_session(bench.now, session);
    bench.card().admin_status = Status::Success;
    assert_eq!(bench.open(&null_params()), session);
}

#[test]
fn completions_written_before_the_reset_took_hold_are_good() {
    let (mut bench, session) = Bench::running(8);
    for id in 1..=2 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
    }
    bench.card().fetch(1);
    bench.advance();
    bench.now = bench.driver.deadline();
    let mut late = bench.card().rings.clone();
    bench.service();
    assert_eq!(bench.driver.state(), DriverState::Resetting);
    std::mem::swap(&mut bench.card().rings, &mut late);
    bench.card().complete(1, 0, Status::Success);
    std::mem::swap(&mut bench.card().rings, &mut late);
    bench.bring_up();
    assert_eq!(bench.completed(), [(1, Ok(())), (2, lost(true))]);
}

#[test]
fn an_order_done_before_the_reset_took_hold_is_done() {
    let (mut bench, _) = Bench::running(8);
    let admin = bench.driver.admin_handle();
    let orders = [0, 1, 2].map(|kek| admin.destroy_kek(kek));
    bench.service();
    bench.card().fetch(0);
    bench.advance();
    bench.now = bench.driver.deadline();
    let mut late = bench.card().rings.clone();
    bench.service();
    assert_eq!(bench.driver.state(), DriverState::Resetting);
    std::mem::swap(&mut bench.card().rings, &mut late);
    bench.card().complete(0, 1, Status::Success);
    bench.card().complete(0, 1, Status::NoKek);
    std::mem::swap(&mut bench.card().rings, &mut late);
    bench.bring_up();
    let answers = orders.map(|order| order.take());
    let refused = Err(AdminError::Card(Status::NoKek));
    let expected = [Err(AdminError::Lost), Ok(()), refused].map(Some);
    assert_eq!(answers, expected);
}

#[test]
fn a_card_that_never_works_again_is_given_up() {
    let (mut bench, session) = Bench::running(8);
    for id in 0.. {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
        let resets = bench.stats().resets;
        while bench.stats().resets == resets {
            bench.advance();
        }
        if bench.driver.state() == DriverState::Lost {
            break;
        }
        bench.bring_up();
        assert!(id < 10, "reset for ever");
    }
    assert_eq!(bench.stats().resets, 4);
    assert!(bench.output.lost);
}

#[test]
fn a_ring_that_stops_on_an_error_is_reset_at_once() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    bench.card().fail_ring(1);
    bench.service();
    assert_eq!(bench.driver.state(), DriverState::Resetting);
    assert_eq!(bench.stats().card_errors, 1);
    assert_eq!(bench.card().causes, 0, "the cause is cleared");
    bench.bring_up();
    assert_eq!(bench.completed(), [(1, lost(true))]);
}

#[test]
fn an_error_is_not_hidden_by_completions_of_other_rings() {
    let (mut bench, session) = Bench::running(8);
    for id in 1..=2 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
    }
    bench.card().fetch(1);
    bench.card().complete(1, 0, Status::Success);
    bench.card().fail_ring(1);
    bench.service();
    assert_eq!(bench.completed(), [(1, Ok(()))]);
    assert_eq!(bench.driver.state(), DriverState::Resetting);
}

#[test]
fn a_fault_of_one_command_does_not_reset_the_card() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    bench.card().fetch(1);
    bench.card().complete(1, 0, Status::WriteFault);
    bench.card().causes = regs::INTERRUPT_LINK_ERROR;
    bench.card().interrupts |= 1;
    bench.service();
    assert_eq!(bench.completed(), [(1, Err(DriverError::Device))]);
    assert_eq!(bench.driver.state(), DriverState::Running);
    assert_eq!(bench.card().causes, 0, "so that the next one is told");
}

#[test]
fn all_ones_bring_everything_back_exactly_once() {
    let (mut bench, session) = Bench::running(8);
    let free = bench.card().pool.clone();
    for id in 1..=3 {
        let request = bench.request(id);
        bench.process(session, request).unwrap();
    }
    let request = bench.request(4);
    bench.offer(session, request, Hint::More).unwrap();
    let opening = bench
        .driver
        .open_session(bench.now, &null_params())
        .unwrap();
    let generation = bench.driver.unblock_generation();
    bench.card().fetch(1);
    bench.card().complete(1, 1, Status::Success);
    bench.card().is_alive = false;
    while !bench.output.lost {
        bench.advance();
    }
    let ended = [
        (2, Ok(())),
        (1, lost(true)),
        (3, lost(true)),
        (4, lost(true)),
    ];
    assert_eq!(bench.completed(), ended);
    let gone = (opening, Err(framework::OpenError::Device));
    assert_eq!(bench.output.opened, [gone]);
    assert!(bench.driver.unblock_generation() > generation);
    assert_eq!(bench.card().open_mappings(), 0);
    assert_eq!(bench.card().events.last(), Some(&DriverEvent::Lost));
    drop(free);

    bench.output.lost = false;
    bench.service();
    bench.driver.detach(bench.now);
    bench.driver.flush(bench.now);
    bench.driver.close_session(bench.now, session);
    bench.service();
    assert!(!bench.output.lost, "said once");
    assert_eq!(bench.driver.deadline(), Time::NEVER);
    let request = bench.request(5);
    bench.process(session, request).unwrap();
    bench.service();
    assert_eq!(bench.completed(), [(5, lost(true))]);
    assert!(bench.driver.probe_session(&null_params()).is_none());
    assert!(
        bench
            .driver
            .open_session(bench.now, &null_params())
            .is_err()
    );
}

#[test]
fn an_empty_slot_is_noticed_without_a_read() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    let reads = bench.card().reads;
    bench.card().is_alive = false;
    bench.card().is_present = false;
    bench.service();
    assert_eq!(bench.card().reads, reads);
    assert!(bench.output.lost);
    assert_eq!(bench.completed(), [(1, lost(true))]);
}

#[test]
fn secrets_are_gone_when_the_card_is() {
    let (mut bench, _) = Bench::running(8);
    let mut params = cbc_params();
    params.cipher_key = Some(framework::Key::new(b"sixteen secrets!"));
    let session = bench.driver.open_session(bench.now, &params).unwrap();
    let _ = session;
    assert!(bench.card().pool.find(b"sixteen secrets!").is_some());
    bench.card().is_alive = false;
    while !bench.output.lost {
        bench.advance();
    }
    assert_eq!(bench.card().pool.find(b"sixteen secrets!"), None);
}

#[test]
fn detach_finishes_what_is_in_flight_and_leaves_a_quiet_card() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    bench.driver.detach(bench.now);
    assert_eq!(bench.driver.state(), DriverState::Detaching);
    let request = bench.request(2);
    bench.process(session, request).unwrap();
    bench.service();
    assert_eq!(bench.completed(), [(2, lost(true))], "no longer accepted");
    assert!(!bench.output.lost);
    bench.serve();
    assert_eq!(bench.completed(), [(1, Ok(()))]);
    assert!(!bench.output.lost, "sessions are still there");
    bench.serve();
    assert!(bench.output.lost);
    assert!(bench.card().sessions.is_empty());
    assert!(bench.card().rings.iter().all(|ring| !ring.is_enabled));
    assert_eq!(bench.card().open_mappings(), 0);
    assert!(
        !bench.card().events.contains(&DriverEvent::Lost),
        "no accident"
    );
}

#[test]
fn an_idle_driver_detaches_without_being_woken() {
    let (mut bench, session) = Bench::running(8);
    bench.driver.close_session(bench.now, session);
    bench.serve();
    bench.driver.detach(bench.now);
    assert_eq!(bench.driver.deadline(), bench.now);
    bench.advance();
    assert!(bench.output.lost);
}

#[test]
fn detach_from_a_hung_card_is_bounded() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    bench.driver.detach(bench.now);
    let start = bench.now;
    while !bench.output.lost {
        bench.advance();
    }
    assert!(bench.now <= start + WATCHDOG * 2 + super::RESET_TIMEOUT);
    assert_eq!(bench.completed(), [(1, lost(true))]);
    assert_eq!(bench.stats().resets, 1);
}

#[test]
fn detach_during_a_reset_hands_back_when_it_is_over() {
    let (mut bench, session) = Bench::running(8);
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    while bench.stats().resets == 0 {
        bench.advance();
    }
    bench.driver.detach(bench.now);
    assert_eq!(bench.driver.state(), DriverState::Detaching);
    while !bench.output.lost {
        bench.advance();
    }
    assert_eq!(bench.completed(), [(1, lost(true))]);
    assert_eq!(bench.card().open_mappings(), 0);
}

#[test]
fn the_stats_outlive_the_move_into_a_registry() {
    let (bench, _) = Bench::running(8);
    let handle = bench.driver.stats_handle();
    let mut boxed: Box<dyn CryptoDriver> = Box::new(bench.driver);
    boxed.detach(bench.now);
    assert_eq!(handle.get().unblocks, 1);
    assert!(handle.get().rows().contains(&("admin_posted", 1)));
}
