//! Interrupts by count and by timer, arming, masking.

use regs::{CommandFlags, Register, RingRegister, Vector};
use timebase::{Span, Time};

use crate::bench::{Bench, DATA, encrypt, nop};

fn bench(count: u32, timer_ns: u32) -> Bench {
    let mut bench = Bench::with_null_session(32);
    bench.write_ring(1, RingRegister::CoalesceCount, count);
    bench.write_ring(1, RingRegister::CoalesceTimer, timer_ns);
    bench.machine.interrupts.clear();
    bench.machine.log.clear();
    bench
}

fn post(bench: &mut Bench, count: usize) {
    for _ in 0..count {
        bench.post(1, encrypt(DATA, 64));
    }
    bench.publish(1);
    bench.settle();
}

fn completions(bench: &Bench) -> Vec<Time> {
    let log = bench.machine.log.iter();
    log.filter_map(|(at, event)| match event {
        device_model::CardEvent::Completed { .. } => Some(*at),
        _ => None,
    })
    .collect()
}

#[test]
fn the_count_fires_with_the_last_of_its_completions() {
    let mut bench = bench(3, 0);
    post(&mut bench, 2);
    assert_eq!(bench.machine.interrupts, []);
    post(&mut bench, 4);
    let delay = bench.card.profile().interrupt_delay;
    let third = completions(&bench)[2];
    assert_eq!(bench.machine.interrupts, [(third + delay, Vector(1))]);
    assert_eq!(bench.read(Register::InterruptStatus.offset()) & 2, 2);
}

#[test]
fn one_arming_gives_one_interrupt() {
    let mut bench = bench(1, 0);
    post(&mut bench, 5);
    assert_eq!(bench.machine.interrupts.len(), 1);
    bench.reap(1);
    bench.acknowledge(1, true);
    bench.settle();
    assert_eq!(bench.machine.interrupts.len(), 1, "nothing is new");
    post(&mut bench, 1);
    assert_eq!(bench.machine.interrupts.len(), 2);
}

#[test]
fn completions_that_were_missed_count_when_the_ring_is_armed() {
    let mut bench = bench(2, 0);
    post(&mut bench, 2);
    bench.reap(1);
    post(&mut bench, 2);
    assert_eq!(bench.machine.interrupts.len(), 1);
    // The driver reaped two; the card has written four.
    bench.acknowledge(1, true);
    assert_eq!(bench.machine.interrupts.len(), 2, "at once");
    assert_eq!(
        bench.machine.interrupts[1].0,
        bench.now + bench.card.profile().interrupt_delay
    );
}

#[test]
fn the_timer_runs_from_the_first_completion() {
    let mut bench = bench(100, 5_000);
    post(&mut bench, 3);
    let first = completions(&bench)[0];
    let expected = first + Span::from_us(5) + bench.card.profile().interrupt_delay;
    assert_eq!(bench.machine.interrupts, [(expected, Vector(1))]);
    bench.settle();
    assert_eq!(bench.machine.interrupts.len(), 1);
}

#[test]
fn the_timer_runs_from_the_arming_for_what_waits_then() {
    let mut bench = bench(100, 5_000);
    post(&mut bench, 1);
    bench.wait(Span::from_us(100));
    post(&mut bench, 1);
    assert_eq!(bench.machine.interrupts.len(), 1, "not armed");
    bench.wait(Span::from_us(100));
    let armed = bench.now;
    bench.acknowledge(1, true);
    bench.settle();
    let expected = armed + Span::from_us(5) + bench.card.profile().interrupt_delay;
    assert_eq!(bench.machine.interrupts[1], (expected, Vector(1)));
}

#[test]
fn an_acknowledged_completion_needs_no_timer() {
    let mut bench = bench(100, 5_000);
    bench.submit(1, encrypt(DATA, 64));
    while bench.reap(1).is_empty() {
        bench.now = bench.card.next_internal();
        bench.card.advance(bench.now, &mut bench.machine);
    }
    bench.acknowledge(1, true);
    bench.settle();
    assert_eq!(bench.machine.interrupts, []);
}

#[test]
fn count_and_timer_change_while_the_ring_runs() {
    let mut bench = bench(10, 0);
    post(&mut bench, 3);
    assert_eq!(bench.machine.interrupts, []);
    bench.write_ring(1, RingRegister::CoalesceCount, 3);
    assert_eq!(bench.machine.interrupts.len(), 1, "three wait already");
    bench.reap(1);
    bench.acknowledge(1, true);
    bench.write_ring(1, RingRegister::CoalesceCount, 10);
    post(&mut bench, 1);
    let changed = bench.now;
    bench.write_ring(1, RingRegister::CoalesceTimer, 7_000);
    bench.settle();
    let expected = changed + Span::from_us(7) + bench.card.profile().interrupt_delay;
    assert_eq!(bench.machine.interrupts[1].0, expected);
}

#[test]
fn quiet_completions_do_not_count() {
    let mut bench = bench(2, 1_000);
    let mut quiet = encrypt(DATA, 64);
    quiet.flags |= CommandFlags::NO_INTERRUPT;
    for _ in 0..5 {
        bench.post(1, quiet);
    }
    bench.publish(1);
    bench.settle();
    assert_eq!(bench.machine.interrupts, []);
    bench.acknowledge(1, true);
    bench.settle();
    assert_eq!(bench.machine.interrupts, [], "still only quiet ones wait");
    bench.post(1, nop());
    bench.post(1, quiet);
    bench.post(1, nop());
    bench.publish(1);
    bench.settle();
    assert_eq!(bench.machine.interrupts.len(), 1);
}

#[test]
fn a_masked_cause_sends_its_message_when_the_mask_goes() {
    let mut bench = bench(1, 0);
    bench.write(Register::InterruptMask.offset(), 2);
    post(&mut bench, 1);
    assert_eq!(bench.machine.interrupts, []);
    assert_eq!(bench.read(Register::InterruptStatus.offset()) & 2, 2);
    bench.write(Register::InterruptMask.offset(), 0);
    assert_eq!(bench.machine.interrupts.len(), 1);
    bench.write(Register::InterruptStatus.offset(), 2);
    assert_eq!(bench.read(Register::InterruptStatus.offset()) & 2, 0);
    bench.write(Register::InterruptMask.offset(), 2);
    bench.write(Register::InterruptMask.offset(), 0);
    assert_eq!(bench.machine.interrupts.len(), 1, "nothing is latched");
}

#[test]
fn a_vector_the_card_lacks_is_silent() {
    let mut bench = bench(1, 0);
    bench.write_ring(1, RingRegister::RingVector, 5);
    post(&mut bench, 1);
    assert_eq!(bench.machine.interrupts, []);
    assert_eq!(bench.reap(1).len(), 1);
}
