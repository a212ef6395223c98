//! Slots, laps, room and order.

use regs::{CommandFlags, Doorbell, RingId, RingRegister, RingStatus, Slot, Status};
use timebase::Time;

use crate::bench::{Bench, DATA, encrypt, nop};

#[test]
fn every_ring_size_carries_many_laps() {
    for entries in [2, 3, 5, 8] {
        let mut bench = Bench::with_null_session(entries);
        for lap in 0..4 * entries {
            let completion = bench.run(1, encrypt(DATA, 64));
            assert_eq!(completion.status, Status::Success as u16);
            assert_eq!(completion.output_len, 64);
            assert_eq!(completion.phase, (lap / entries) % 2 == 0);
            assert_eq!(completion.command_head, Slot((lap + 1) % entries));
        }
    }
}

#[test]
fn a_full_ring_completes_in_order_on_one_lane() {
    for entries in [2, 3, 5, 8] {
        let mut bench = Bench::with_null_session(entries);
        for _ in 0..3 {
            let posted: Vec<u64> = (1..entries)
                .map(|_| bench.post(1, encrypt(DATA, 64)))
                .collect();
            bench.publish(1);
            bench.settle();
            let reaped: Vec<u64> = bench.reap(1).iter().map(|entry| entry.cookie).collect();
            assert_eq!(reaped, posted);
            bench.acknowledge(1, false);
        }
    }
}

#[test]
fn a_burst_is_one_fetch_and_splits_at_the_end_of_the_ring() {
    let mut bench = Bench::with_null_session(8);
    let fetches = |bench: &Bench| bench.card.stats().fetches;
    let before = fetches(&bench);
    for _ in 0..6 {
        bench.post(1, nop());
    }
    bench.publish(1);
    bench.settle();
    assert_eq!(fetches(&bench), before + 1);
    assert_eq!(bench.reap(1).len(), 6);
    bench.acknowledge(1, false);
    for _ in 0..6 {
        bench.post(1, nop());
    }
    bench.publish(1);
    bench.settle();
    assert_eq!(
        fetches(&bench),
        before + 3,
        "two before the end, four after"
    );
    assert_eq!(bench.reap(1).len(), 6);
}

#[test]
fn results_wait_until_the_completion_ring_has_room() {
    let mut bench = Bench::with_null_session(4);
    for _ in 0..3 {
        bench.post(1, encrypt(DATA, 64));
    }
    bench.publish(1);
    bench.settle();
    // Reaped, but the card is not told: three new results have no slot.
    assert_eq!(bench.reap(1).len(), 3);
    for _ in 0..3 {
        bench.post(1, encrypt(DATA, 64));
    }
    bench.publish(1);
    bench.settle();
    assert_eq!(bench.reap(1), []);
    let status = RingStatus::from_bits(bench.read_ring(1, RingRegister::RingStatus));
    assert!(status.completion_full() && status.running());
    assert_eq!(bench.card.rings().nth(1).unwrap().held, 3);
    assert_eq!(bench.card.deadline(), Time::NEVER, "only a doorbell helps");
    bench.acknowledge(1, false);
    let status = RingStatus::from_bits(bench.read_ring(1, RingRegister::RingStatus));
    assert!(!status.completion_full());
    bench.settle();
    assert_eq!(bench.reap(1).len(), 3);
}

#[test]
fn a_completion_is_not_in_memory_before_its_time() {
    let mut bench = Bench::with_null_session(8);
    bench.submit(1, encrypt(DATA, 64));
    while bench.card.next_internal() != Time::NEVER {
        let next = bench.card.next_internal();
        assert!(bench.reap(1).is_empty());
        bench.now = Time::from_ps(next.as_ps() - 1);
        bench.card.advance(bench.now, &mut bench.machine);
        assert!(bench.reap(1).is_empty(), "one picosecond early");
        bench.now = next;
        bench.card.advance(bench.now, &mut bench.machine);
    }
    assert_eq!(bench.reap(1).len(), 1);
}

#[test]
fn short_commands_overtake_long_ones_and_a_fence_keeps_the_order() {
    for fence in [false, true] {
        let mut bench = Bench::with_null_session(8);
        let long = bench.post(1, encrypt(DATA, 0x1_0000));
        let mut second = encrypt(DATA + 0x2_0000, 64);
        second.flags.set(CommandFlags::FENCE, fence);
        let short = bench.post(1, second);
        let last = bench.post(1, encrypt(DATA + 0x2_0000, 64));
        bench.publish(1);
        bench.settle();
        let order: Vec<u64> = bench.reap(1).iter().map(|entry| entry.cookie).collect();
        if fence {
            assert_eq!(order, [long, short, last]);
        } else {
            assert_eq!(order, [short, last, long]);
        }
    }
}

#[test]
fn every_command_may_be_a_fence() {
    let mut bench = Bench::with_null_session(8);
    for _ in 0..3 {
        let posted: Vec<u64> = (0..7)
            .map(|_| {
                let mut command = encrypt(DATA, 64);
                command.flags |= CommandFlags::FENCE;
                bench.post(1, command)
            })
            .collect();
        bench.publish(1);
        bench.settle();
        let order: Vec<u64> = bench.reap(1).iter().map(|entry| entry.cookie).collect();
        assert_eq!(order, posted);
        bench.acknowledge(1, false);
    }
}

#[test]
fn rings_take_turns_at_the_fetch_engine() {
    let mut bench = Bench::with_null_session(64);
    for ring in 2..=4 {
        bench.open(ring, 64);
    }
    for ring in 1..=4 {
        for _ in 0..63 {
            bench.post(ring, nop());
        }
    }
    bench.machine.log.clear();
    for ring in 1..=4 {
        bench.publish(ring);
    }
    bench.settle();
    let fetched: Vec<u16> = bench
        .machine
        .log
        .iter()
        .filter_map(|(_, event)| match event {
            device_model::CardEvent::Fetched { ring, .. } => Some(ring.0),
            _ => None,
        })
        .collect();
    assert_eq!(fetched, [1, 2, 3, 4].repeat(4));
}

#[test]
fn doorbells_outside_the_ring_stop_it() {
    for command in [true, false] {
        for slot in [8, 9, 0x7FFF_FFFF] {
            let mut bench = Bench::with_null_session(8);
            let doorbell = Doorbell {
                slot: Slot(slot),
                arm: false,
            };
            let offset = if command {
                RingId(1).command_doorbell()
            } else {
                RingId(1).completion_doorbell()
            };
            bench.write(offset, doorbell.into_bits());
            let status = RingStatus::from_bits(bench.read_ring(1, RingRegister::RingStatus));
            assert!(status.error() && !status.running());
        }
    }
}

#[test]
fn a_reset_ring_begins_again_at_slot_zero() {
    let mut bench = Bench::with_null_session(8);
    for _ in 0..5 {
        bench.post(1, encrypt(DATA, 64));
    }
    bench.publish(1);
    bench.wait(timebase::Span::from_ns(600));
    let reset = regs::RingControl::new().with_reset(true).into_bits();
    bench.write_ring(1, RingRegister::RingControl, reset);
    for register in [
        RingRegister::CommandHead,
        RingRegister::CommandTail,
        RingRegister::CompletionHead,
        RingRegister::CompletionTail,
        RingRegister::RingControl,
        RingRegister::RingStatus,
    ] {
        assert_eq!(bench.read_ring(1, register), 0);
    }
    bench.settle();
    bench.open(1, 4);
    for _ in 0..9 {
        assert_eq!(bench.status(1, encrypt(DATA, 64)), Status::Success);
    }
}

#[test]
fn a_card_that_is_not_enabled_fetches_when_it_is() {
    let mut bench = Bench::with_null_session(8);
    bench.write(regs::Register::Control.offset(), 0);
    bench.submit(1, nop());
    bench.settle();
    assert_eq!(bench.reap(1), []);
    bench.write(regs::Register::Control.offset(), 1);
    bench.settle();
    assert_eq!(bench.reap(1).len(), 1);
}
