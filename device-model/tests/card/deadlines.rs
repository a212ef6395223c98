//! Time: what the card says it will do next is what it does, in whatever steps it is asked.

use regs::{COMPLETION_LEN, CardSession, CommandFlags, RingRegister, Status, Vector};
use timebase::{Span, Time};

use crate::bench::{Bench, DATA, encrypt, eta_block, profile};

/// A mixed load on two rings: sizes, fences, quiet commands, count and timer.
fn loaded() -> Bench {
    let mut bench = Bench::with_null_session(16);
    bench.open(2, 8);
    for ring in [1, 2] {
        bench.write_ring(ring, RingRegister::CoalesceCount, 4);
        bench.write_ring(ring, RingRegister::CoalesceTimer, 3_000);
    }
    for round in 0..15u32 {
        let addr = DATA + u64::from(round) * 0x1000;
        let mut command = encrypt(addr, 64 * (1 + round * 7 % 60));
        command.flags.set(CommandFlags::FENCE, round % 5 == 3);
        command
            .flags
            .set(CommandFlags::NO_INTERRUPT, round % 4 == 2);
        bench.post(1, command);
        if round < 7 {
            bench.post(2, encrypt(addr + 0x2_0000, 128));
        }
    }
    bench.publish(1);
    bench.publish(2);
    bench.machine.log.clear();
    bench
}

/// A small ring whose results wait for room, and one that stops at its fourth completion, beside an
/// engine that works on payloads of many sizes.
fn crowded() -> Bench {
    let mut bench = Bench::with_null_session(4);
    bench.create(1, &eta_block());
    bench.open(2, 32);
    bench.open(3, 32);
    let fourth = Bench::completion_base(3) + 3 * COMPLETION_LEN as u64;
    bench.machine.no_write = fourth..fourth + 1;
    for round in 0..20u32 {
        let addr = DATA + u64::from(round) * 0x1000;
        bench.post(2, encrypt(addr, 32 * (1 + round * 5 % 17)));
        let mut sealed = encrypt(addr, 480 + 16 * (round % 3));
        sealed.session = CardSession(1);
        sealed.destination_len += u32::from(eta_block().digest_len);
        bench.post(3, sealed);
    }
    for ring in [2, 3] {
        bench.publish(ring);
    }
    // The driver of the small ring publishes without acknowledging.
    for lap in 0..2 {
        for _ in 0..3 - lap {
            bench.post(1, encrypt(DATA, 512));
        }
        bench.publish(1);
        bench.wait(Span::from_ns(900));
    }
    bench
}

/// Brings a bench to `end` in one step, event by event, and in steps of no meaning; gives what was
/// the same for all.
fn in_any_steps(start: impl Fn() -> Bench, end: Time) -> Bench {
    let mut big = start();
    big.card.advance(end, &mut big.machine);

    let mut exact = start();
    while exact.card.next_internal() <= end {
        exact.now = exact.card.next_internal();
        exact.card.advance(exact.now, &mut exact.machine);
    }
    let mut tiny = start();
    while tiny.now < end {
        tiny.now += Span::from_ps(7_919);
        tiny.card.advance(tiny.now, &mut tiny.machine);
    }
    for other in [&exact, &tiny] {
        assert_eq!(big.machine.log, other.machine.log);
        assert_eq!(big.machine.interrupts, other.machine.interrupts);
        assert!(big.machine.memory == other.machine.memory);
    }
    big
}

#[test]
fn one_big_step_and_many_small_ones_do_the_same() {
    let bench = in_any_steps(loaded, Time::from_ps(200_000_000));
    assert_eq!(bench.card.stats().completions, 1 + 15 + 7);
}

#[test]
fn steps_of_any_size_do_the_same_when_results_wait_and_a_ring_stops() {
    let mut bench = in_any_steps(crowded, Time::from_ps(200_000_000));
    let occupancy: Vec<_> = bench.card.rings().collect();
    assert!(!occupancy[3].is_running && occupancy[3].unreaped == 3);
    assert_eq!((occupancy[1].held, occupancy[1].unreaped), (2, 3));
    assert_eq!(bench.reap(2).len(), 20);
}

#[test]
fn nothing_happens_before_the_next_internal_event() {
    let mut bench = loaded();
    while bench.card.next_internal() != Time::NEVER {
        let next = bench.card.next_internal();
        let events = bench.machine.log.len();
        bench.now = Time::from_ps(next.as_ps() - 1);
        bench.card.advance(bench.now, &mut bench.machine);
        assert_eq!(bench.machine.log.len(), events);
        assert_eq!(bench.card.next_internal(), next);
        bench.now = next;
        bench.card.advance(bench.now, &mut bench.machine);
        assert!(bench.card.next_internal() > next);
    }
}

#[test]
fn deadlines_move_on_and_no_interrupt_comes_late() {
    let mut bench = loaded();
    let delay = bench.card.profile().interrupt_delay;
    let mut steps = 0;
    while bench.card.deadline() != Time::NEVER {
        let deadline = bench.card.deadline();
        assert!(deadline > bench.now, "progress");
        let seen = bench.machine.interrupts.len();
        bench.now = deadline;
        bench.card.advance(bench.now, &mut bench.machine);
        for &(at, _) in &bench.machine.interrupts[seen..] {
            assert_eq!(at, deadline + delay, "found at its own time");
        }
        steps += 1;
        assert!(steps < 1_000, "no progress");
    }
    let vectors: Vec<Vector> = bench.machine.interrupts.iter().map(|&(_, v)| v).collect();
    assert!(vectors.contains(&Vector(1)) && vectors.contains(&Vector(2)));
}

#[test]
fn a_burst_needs_few_deadlines() {
    let mut bench = Bench::with_null_session(256);
    bench.write_ring(1, RingRegister::CoalesceCount, 32);
    let mut steps = 0;
    let mut done = 0;
    for _ in 0..8 {
        for _ in 0..32 {
            bench.post(1, encrypt(DATA, 64));
        }
        bench.publish(1);
        let seen = bench.machine.interrupts.len();
        while bench.machine.interrupts.len() == seen {
            bench.now = bench.card.deadline();
            bench.card.advance(bench.now, &mut bench.machine);
            steps += 1;
        }
        done += bench.reap(1).len();
        bench.acknowledge(1, true);
    }
    assert_eq!(done, 8 * 32);
    assert!(steps <= 8 * 5, "{steps} deadlines for {done} commands");
}

#[test]
fn a_polled_card_only_asks_for_fetches_and_the_end() {
    let mut bench = Bench::with_null_session(256);
    // The first interrupt takes the arming away.
    bench.run(1, encrypt(DATA, 64));
    for _ in 0..100 {
        bench.post(1, encrypt(DATA, 64));
    }
    bench.publish(1);
    let mut steps = 0;
    while bench.card.deadline() != Time::NEVER {
        bench.now = bench.card.deadline();
        bench.card.advance(bench.now, &mut bench.machine);
        steps += 1;
    }
    assert_eq!(bench.reap(1).len(), 100);
    assert!(steps <= 10, "{steps} deadlines for 100 commands");
}

#[test]
fn an_idle_card_costs_nothing() {
    let bench = Bench::with_null_session(8);
    assert_eq!(bench.card.deadline(), Time::NEVER);
    assert_eq!(bench.card.next_internal(), Time::NEVER);
}

#[test]
fn a_context_that_is_close_is_there_sooner() {
    let mut profile = profile();
    profile.context_cache_entries = 1;
    let mut bench = Bench::with(profile);
    bench.open(0, 8);
    bench.open(1, 8);
    for session in 0..2 {
        let block = crate::bench::null_block();
        assert_eq!(bench.create(session, &block), Status::Success);
    }
    let mut took = |session: u32| {
        let mut command = encrypt(DATA, 64);
        command.session = regs::CardSession(session);
        let began = bench.now;
        bench.run(1, command);
        bench.now - began
    };
    let (cold, warm, other, again) = (took(0), took(0), took(1), took(0));
    let profile = bench.card.profile();
    assert_eq!(cold - warm, profile.context_miss - profile.context_hit);
    assert_eq!(other, cold);
    assert_eq!(again, cold, "thrown out by the other");
    let stats = bench.card.stats();
    assert_eq!((stats.context_hits, stats.context_misses), (1, 3));
}

#[test]
fn one_command_takes_the_sum_of_its_parts() {
    let mut bench = Bench::with_null_session(8);
    bench.run(1, encrypt(DATA, 64));
    let began = bench.now;
    bench.run(1, encrypt(DATA, 64));
    let took = bench.now - began;
    let profile = bench.card.profile();
    let wire =
        |bytes: u64| Span::from_ps(bytes * 1_000_000_000_000 / profile.link.bytes_per_second);
    let cycles = Span::from_ps((60 + 64 / 2) * 1_000_000_000_000 / 800_000_000);
    // Read request and descriptor, decode and context, read request and payload, lane, write-back.
    let expected = wire(24)
        + wire(64 + 24)
        + profile.command_overhead
        + profile.context_hit
        + wire(24)
        + wire(64 + 24)
        + cycles
        + wire(64 + 24)
        + wire(32 + 24)
        + profile.link.latency * 5;
    let error = if took > expected {
        took - expected
    } else {
        expected - took
    };
    assert!(error < Span::from_ps(10), "{took} against {expected}");
}
