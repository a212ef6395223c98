//! DMA that is refused, and silicon that misbehaves.

use device_model::{CardEvent, Latch, STRAY_ADDR};
use regs::pci::header;
use regs::{
    CommandFlags, Control, DeviceAddr, INTERRUPT_LINK_ERROR, Register, RingRegister, RingStatus,
    Segment, Status, Vector,
};
use timebase::{Span, Time};

use crate::bench::{BASE, Bench, DATA, destroy, encrypt, eta_block};

fn faults(bench: &Bench) -> Vec<(u64, bool)> {
    let log = bench.machine.log.iter();
    log.filter_map(|(_, event)| match event {
        CardEvent::DmaFault { addr, is_write, .. } => Some((addr.0, *is_write)),
        _ => None,
    })
    .collect()
}

#[test]
fn a_payload_that_may_not_be_touched_ends_in_a_fault() {
    for in_place in [true, false] {
        let mut bench = Bench::with_null_session(8);
        bench.machine.in_place = in_place;
        bench.machine.interrupts.clear();
        bench.machine.no_read = DATA..DATA + 8;
        let done = bench.run(1, encrypt(DATA, 64));
        assert_eq!(done.status, Status::ReadFault as u16);
        assert_eq!((done.fault_addr, done.output_len), (DATA, 0));
        assert_eq!(faults(&bench), [(DATA, false)]);

        bench.machine.no_read = 0..0;
        bench.machine.no_write = DATA..DATA + 8;
        let done = bench.run(1, encrypt(DATA, 64));
        assert_eq!(done.status, Status::WriteFault as u16);
        assert_eq!(done.fault_addr, DATA);
        assert_eq!(bench.read(Register::ErrorRing.offset()), 1);
        let status = bench.read(Register::ErrorStatus.offset());
        assert_eq!(status, Status::WriteFault as u32);
        let address = bench.read(Register::ErrorAddressLow.offset());
        assert_eq!(u64::from(address), DATA);
        let causes = bench.read(Register::InterruptStatus.offset());
        assert_ne!(causes & INTERRUPT_LINK_ERROR, 0);
        // The ring goes on.
        bench.machine.no_write = 0..0;
        assert_eq!(bench.status(1, encrypt(DATA, 64)), Status::Success);
    }
}

#[test]
fn one_error_interrupt_until_it_is_cleared_and_none_if_masked() {
    let errors = |bench: &Bench| {
        let interrupts = bench.machine.interrupts.iter();
        interrupts
            .filter(|(_, vector)| *vector == Vector(0))
            .count()
    };
    let mut bench = Bench::with_null_session(8);
    bench.machine.interrupts.clear();
    bench.machine.no_read = DATA..DATA + 1;
    for _ in 0..2 {
        bench.run(1, encrypt(DATA, 64));
    }
    assert_eq!(errors(&bench), 1);
    bench.write(Register::InterruptStatus.offset(), INTERRUPT_LINK_ERROR);
    bench.run(1, encrypt(DATA, 64));
    assert_eq!(errors(&bench), 2);
    bench.write(Register::InterruptStatus.offset(), INTERRUPT_LINK_ERROR);
    bench.write(Register::InterruptMask.offset(), INTERRUPT_LINK_ERROR);
    bench.run(1, encrypt(DATA, 64));
    assert_eq!(errors(&bench), 2);
}

#[test]
fn a_segment_list_or_session_block_out_of_reach_ends_in_a_fault() {
    let mut bench = Bench::with_null_session(8);
    let mut listed = encrypt(DATA, 64);
    listed.flags |= CommandFlags::SOURCE_SEGMENTS;
    listed.source = DeviceAddr(u64::MAX - 8);
    listed.source_len = 1;
    let done = bench.run(1, listed);
    assert_eq!(done.status, Status::ReadFault as u16);
    assert_eq!(done.fault_addr, u64::MAX - 8);
    // A run that begins at the end of the address space wraps into nothing.
    let segment = Segment {
        addr: DeviceAddr(u64::MAX - 8),
        len: 64,
    };
    bench.put(DATA + 0x1000, &segment.to_bytes());
    listed.source = DeviceAddr(DATA + 0x1000);
    assert_eq!(bench.status(1, listed), Status::ReadFault);
    let mut create = crate::bench::create(7);
    create.source = DeviceAddr(8);
    assert_eq!(bench.status(0, create), Status::ReadFault);
    assert_eq!(bench.key_bytes_on_the_card(), 0);
}

#[test]
fn a_fault_at_the_rings_themselves_stops_the_pair() {
    for command in [true, false] {
        let mut bench = Bench::with_null_session(8);
        bench.submit(1, encrypt(DATA, 64));
        bench.submit(1, encrypt(DATA, 64));
        if command {
            let base = Bench::command_base(1);
            bench.machine.no_read = base..base + 64;
        } else {
            let base = Bench::completion_base(1);
            bench.machine.no_write = base..base + 32;
        }
        bench.settle();
        let status = RingStatus::from_bits(bench.read_ring(1, RingRegister::RingStatus));
        assert!(status.error() && !status.running());
        assert_eq!(bench.reap(1), []);
        assert_eq!(bench.card.rings().nth(1).unwrap().fetched, 0);
        // The neighbour does not care.
        bench.open(2, 8);
        assert_eq!(bench.status(2, encrypt(DATA, 64)), Status::Success);
    }
}

#[test]
fn without_bus_mastering_there_is_neither_dma_nor_interrupt() {
    let mut bench = Bench::with_null_session(8);
    bench.machine.interrupts.clear();
    bench.configure(header::COMMAND, header::MEMORY_SPACE.mask());
    let reads = bench.machine.reads;
    bench.submit(1, encrypt(DATA, 64));
    bench.settle();
    assert_eq!(bench.machine.reads, reads);
    assert_eq!(bench.machine.interrupts, []);
    let status = RingStatus::from_bits(bench.read_ring(1, RingRegister::RingStatus));
    assert!(status.error());
}

#[test]
fn engines_that_hang_finish_nothing_until_a_reset() {
    let mut bench = Bench::with_null_session(8);
    bench.card.latch(Latch::HangEngines);
    bench.submit(1, encrypt(DATA, 64));
    bench.settle();
    bench.wait(Span::from_ms(5));
    assert_eq!(bench.reap(1), []);
    assert_eq!(bench.card.deadline(), Time::NEVER);
    let heartbeat = bench.read(Register::Heartbeat.offset());
    bench.wait(Span::from_us(9));
    assert_eq!(bench.read(Register::Heartbeat.offset()), heartbeat + 9);
    restart(&mut bench);
    assert_eq!(bench.status(1, encrypt(DATA, 64)), Status::Success);
}

#[test]
fn a_scheduler_that_hangs_has_no_heartbeat() {
    let mut bench = Bench::with_null_session(8);
    bench.card.latch(Latch::HangScheduler);
    let heartbeat = bench.read(Register::Heartbeat.offset());
    bench.submit(1, encrypt(DATA, 64));
    bench.wait(Span::from_ms(1));
    assert_eq!(bench.read(Register::Heartbeat.offset()), heartbeat);
    assert_eq!(bench.card.rings().nth(1).unwrap().published, 1);
    restart(&mut bench);
    assert!(bench.read(Register::Heartbeat.offset()) > heartbeat);
    assert_eq!(bench.status(1, encrypt(DATA, 64)), Status::Success);
}

fn restart(bench: &mut Bench) {
    let reset = Control::new().with_reset(true).into_bits();
    bench.write(Register::Control.offset(), reset);
    bench.settle();
    bench.plug_in();
    bench.open(0, 8);
    bench.open(1, 8);
    bench.create(0, &crate::bench::null_block());
}

#[test]
fn a_dropped_and_a_doubled_completion() {
    let mut bench = Bench::with_null_session(8);
    bench.card.latch(Latch::DropCompletion { nth: 1 });
    bench.card.latch(Latch::DuplicateCompletion { nth: 1 });
    let cookies: Vec<u64> = (0..4).map(|_| bench.post(1, encrypt(DATA, 64))).collect();
    bench.publish(1);
    bench.settle();
    let reaped: Vec<u64> = bench.reap(1).iter().map(|entry| entry.cookie).collect();
    assert_eq!(reaped, [cookies[0], cookies[2], cookies[2], cookies[3]]);
}

#[test]
fn a_corrupt_output_differs_in_one_bit() {
    for in_place in [true, false] {
        let mut bench = Bench::with_null_session(8);
        bench.machine.in_place = in_place;
        bench.put(DATA, &[0x55; 64]);
        bench.card.latch(Latch::CorruptOutput { nth: 1 });
        bench.run(1, encrypt(DATA, 64));
        assert_eq!(bench.get(DATA, 64), [0x55; 64]);
        bench.run(1, encrypt(DATA, 64));
        let flipped = bench
            .get(DATA, 64)
            .iter()
            .map(|byte| (byte ^ 0x55).count_ones());
        assert_eq!(flipped.sum::<u32>(), 1);
    }
}

#[test]
fn a_stray_write_goes_where_the_card_was_never_sent() {
    let mut bench = Bench::with_null_session(8);
    bench.card.latch(Latch::WriteOutsideWindow { nth: 0 });
    assert_eq!(bench.status(1, encrypt(DATA, 64)), Status::Success);
    assert_eq!(bench.machine.refused, [STRAY_ADDR.0]);
    const { assert!(STRAY_ADDR.0 > BASE) };
}

#[test]
fn kept_keys_are_seen_until_a_reset() {
    let mut bench = Bench::new();
    bench.open(0, 8);
    bench.card.latch(Latch::KeepKeysOnDestroy);
    assert_eq!(bench.create(0, &eta_block()), Status::Success);
    assert_eq!(bench.status(0, destroy(0)), Status::Success);
    assert_eq!(bench.key_bytes_on_the_card(), 36);
    let reset = Control::new().with_reset(true).into_bits();
    bench.write(Register::Control.offset(), reset);
    assert_eq!(bench.key_bytes_on_the_card(), 0);
}
