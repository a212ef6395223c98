//! What registers read and what writes do.

use device_model::{Card, Profile};
use regs::pci::header;
use regs::{
    Access, BAR0_LEN, Control, DEVICE_ID, DeviceStatus, Register, RingId, RingRegister, RingStatus,
};
use timebase::{Span, Time};

use crate::bench::{Bench, profile};

#[test]
fn a_fresh_card_reads_as_the_datasheet_says() {
    let mut bench = Bench::new();
    assert_eq!(bench.read(Register::DeviceId.offset()), DEVICE_ID);
    assert_eq!(bench.read(Register::Version.offset()), 0x0001_0000);
    assert_eq!(bench.read(Register::RingPairs.offset()), 4);
    assert_eq!(bench.read(Register::SessionCapacity.offset()), 16_384);
    assert_eq!(bench.read(Register::ContextCacheEntries.offset()), 256);
    assert_eq!(bench.read(Register::ErrorRing.offset()), u32::MAX);
    let status = DeviceStatus::from_bits(bench.read(Register::DeviceStatus.offset()));
    assert!(status.ready() && !status.resetting() && !status.fatal());
    for ring in 0..=4 {
        for &register in RingRegister::ALL {
            assert_eq!(bench.read_ring(ring, register), register.reset_value());
        }
    }
}

#[test]
fn writable_registers_keep_what_is_written_and_the_rest_does_not() {
    let mut bench = Bench::new();
    for &register in RingRegister::ALL {
        if register == RingRegister::RingControl {
            continue;
        }
        let before = bench.read_ring(2, register);
        bench.write_ring(2, register, 0x1234_5678);
        let after = bench.read_ring(2, register);
        match register.info().access {
            Access::ReadWrite => {
                let kept = 0x1234_5678 & register.info().meaning_mask();
                assert_eq!(after, kept, "{register:?}");
            }
            Access::ReadOnly => assert_eq!(after, before, "{register:?}"),
            Access::WriteOneToClear | Access::Doorbell => unreachable!("no such ring register"),
        }
    }
    for &register in Register::ALL {
        if register.info().access == Access::ReadOnly {
            let before = bench.read(register.offset());
            bench.write(register.offset(), !before);
            assert_eq!(bench.read(register.offset()), before, "{register:?}");
        }
    }
}

#[test]
fn holes_read_zero_and_ignore_writes() {
    let mut bench = Bench::new();
    let holes = [
        0x0FC,
        RingId(5).register(RingRegister::Entries),
        RingId(5).command_doorbell(),
        0x8000,
        BAR0_LEN - 4,
    ];
    for offset in holes {
        bench.write(offset, u32::MAX);
        assert_eq!(bench.read(offset), 0, "{offset:#x}");
    }
    assert_eq!(bench.read(RingId(1).command_doorbell()), 0);
}

#[test]
fn nobody_answers_without_memory_space() {
    let mut bench = Bench::new();
    bench.configure(header::COMMAND, header::BUS_MASTER.mask());
    assert_eq!(bench.read(Register::DeviceId.offset()), u32::MAX);
    bench.write(Register::InterruptMask.offset(), 5);
    bench.configure(header::COMMAND, header::MEMORY_SPACE.mask());
    assert_eq!(bench.read(Register::InterruptMask.offset()), 0);
}

#[test]
fn a_ring_with_a_bad_size_or_address_stops_with_an_error() {
    for (register, value) in [
        (RingRegister::Entries, 1),
        (RingRegister::Entries, 65_537),
        (RingRegister::CommandBaseLow, 32),
        (RingRegister::CompletionBaseLow, 16),
    ] {
        let mut bench = Bench::new();
        bench.write_ring(1, RingRegister::Entries, 8);
        bench.write_ring(1, register, value);
        bench.write_ring(1, RingRegister::RingControl, 1);
        let status = RingStatus::from_bits(bench.read_ring(1, RingRegister::RingStatus));
        assert!(status.error() && !status.running());
        assert_eq!(bench.read(Register::ErrorRing.offset()), 1);
        assert_eq!(
            bench.read(Register::ErrorStatus.offset()),
            regs::Status::BadParameters as u32
        );
        let causes = bench.read(Register::InterruptStatus.offset());
        assert_eq!(causes, regs::INTERRUPT_LINK_ERROR);
        assert_eq!(bench.machine.interrupts.len(), 1);
        // It needs a reset, which a start may come with.
        bench.write_ring(1, RingRegister::RingControl, 1);
        let status = RingStatus::from_bits(bench.read_ring(1, RingRegister::RingStatus));
        assert!(status.error());
        bench.open(1, 8);
        bench.write_ring(1, RingRegister::RingControl, 3);
        let status = RingStatus::from_bits(bench.read_ring(1, RingRegister::RingStatus));
        assert!(status.running() && !status.error());
    }
}

#[test]
fn the_heartbeat_counts_microseconds() {
    let mut bench = Bench::new();
    let before = bench.read(Register::Heartbeat.offset());
    bench.wait(Span::from_us(17));
    assert_eq!(bench.read(Register::Heartbeat.offset()), before + 17);
}

#[test]
fn a_profile_that_is_no_card_gives_none() {
    let mut broken = profile();
    broken.ring_pairs = 0;
    assert_eq!(Card::new(broken).unwrap_err().field, "ring_pairs");
    let largest = Profile {
        ring_pairs: 64,
        ..profile()
    };
    let mut bench = Bench::with(largest);
    assert_eq!(bench.read(Register::RingPairs.offset()), 64);
    assert_eq!(bench.card.rings().len(), 65);
}

#[test]
fn a_function_reset_takes_its_time_and_leaves_nothing() {
    let mut bench = Bench::with_null_session(8);
    bench.create(1, &crate::bench::eta_block());
    assert_ne!(bench.key_bytes_on_the_card(), 0);
    bench.write(Register::InterruptMask.offset(), 6);
    bench.submit(1, crate::bench::encrypt(crate::bench::DATA, 64));
    let began = bench.now;
    bench.write(
        Register::Control.offset(),
        Control::new().with_reset(true).into_bits(),
    );
    assert_eq!(bench.key_bytes_on_the_card(), 0);
    let status =
        |bench: &mut Bench| DeviceStatus::from_bits(bench.read(Register::DeviceStatus.offset()));
    assert!(status(&mut bench).resetting());
    bench.write(Register::Control.offset(), 1);
    assert_eq!(bench.read(Register::Control.offset()), 0, "deaf meanwhile");
    let end = bench.card.deadline();
    assert_eq!(end, began + bench.card.profile().reset_time);
    bench.now = Time::from_ps(end.as_ps() - 1);
    assert!(status(&mut bench).resetting());
    bench.now = end;
    assert!(status(&mut bench).ready());
    assert_eq!(bench.card.deadline(), Time::NEVER);
    assert_eq!(bench.read_ring(1, RingRegister::Entries), 0);
    assert_eq!(bench.read(Register::InterruptMask.offset()), 0);
    assert!(!bench.card.has_session(regs::CardSession(1)));
    assert_eq!(bench.reap(1), [], "the command is forgotten");
}
