//! A restored card goes on to the bit, and bytes that are no card are refused.

use device_model::pci::{BusError, ErrorCause, PacketHeader};
use device_model::{Card, Latch, SnapshotError};
use proptest::prelude::*;
use regs::pci::{PAGES, aer, header};
use regs::{CommandFlags, Status};
use sha2::{Digest as _, Sha256};
use timebase::{Span, Time};

use crate::bench::{Bench, DATA, encrypt, eta_block, nop, profile};
use crate::virtual_functions::{Guest, enable};

const HEADER: usize = 10;
/// The format of snapshots, and a digest of those of some cards in it.
const FORMAT: (u16, &str) = (5, "1f42aafa311bbefb");

/// A bench with two busy pairs, a fence, scattered work and more than one session.
fn busy() -> Bench {
    let mut bench = Bench::with_null_session(16);
    assert_eq!(bench.create(1, &eta_block()), Status::Success);
    bench.open(2, 8);
    bench.write_ring(2, regs::RingRegister::CoalesceCount, 4);
    bench.write_ring(2, regs::RingRegister::CoalesceTimer, 3_000);
    for index in 0..10 {
        let mut command = encrypt(DATA + index * 0x400, 512);
        command.session.0 = (index % 2) as u32;
        if index % 2 == 1 {
            command.destination_len += 16;
        }
        command.flags.set(CommandFlags::FENCE, index == 5);
        bench.post(1, command);
    }
    for _ in 0..6 {
        bench.post(2, nop());
    }
    bench.publish(1);
    bench.publish(2);
    bench
}

/// Lets time pass; gives the log and memory.
fn course(mut bench: Bench) -> (Vec<(Time, device_model::CardEvent)>, Vec<u8>, Vec<u8>) {
    bench.settle();
    assert_eq!(bench.reap(1).len(), 10);
    let state = bench.card.snapshot().to_vec();
    (bench.machine.log, bench.machine.memory, state)
}

/// The same bench with its card restored from a snapshot.
fn restored(bench: &Bench) -> Bench {
    let card = Card::restore(&bench.card.snapshot()).expect("a snapshot is a card");
    bench.with_card(card)
}

#[test]
fn a_restored_card_goes_on_to_the_bit_from_any_moment() {
    let expected = course(busy());
    let mut bench = busy();
    let mut moments = 0;
    loop {
        let other = restored(&bench);
        assert_eq!(other.card.deadline(), bench.card.deadline());
        assert_eq!(other.card.snapshot(), bench.card.snapshot());
        assert!(course(other) == expected, "at {}", bench.now);
        moments += 1;
        let next = bench.card.next_internal();
        if next == Time::NEVER {
            break;
        }
        bench.now = next;
        bench.card.advance(next, &mut bench.machine);
    }
    assert!(moments > 10, "{moments} moments");
}

#[test]
fn latches_resets_and_errors_are_part_of_the_state() {
    let mut bench = busy();
    bench.card.latch(Latch::CorruptOutput { nth: 1 });
    bench.card.latch(Latch::DuplicateCompletion { nth: 2 });
    bench.wait(Span::from_ns(900));
    let mut other = restored(&bench);
    for bench in [&mut bench, &mut other] {
        bench.settle();
    }
    assert!(bench.machine.memory == other.machine.memory);
    assert_eq!(bench.machine.log, other.machine.log);
    assert_eq!(bench.card.stats(), other.card.stats());
}

#[test]
fn a_snapshot_that_is_cut_short_or_too_long_is_refused() {
    let bytes = busy().card.snapshot();
    for len in 0..bytes.len() {
        let found = Card::restore(&bytes[..len]);
        assert!(found.is_err(), "{len} bytes of {}", bytes.len());
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        Card::restore(&longer).err(),
        Some(SnapshotError::TooLong(1))
    );
}

#[test]
fn other_files_and_other_formats_are_told_apart() {
    let mut bytes = Card::new(profile()).unwrap().snapshot().to_vec();
    bytes[8] = 99;
    assert_eq!(
        Card::restore(&bytes).err(),
        Some(SnapshotError::Format { found: 99 })
    );
    bytes[0] = b'?';
    assert_eq!(
        Card::restore(&bytes).err(),
        Some(SnapshotError::NotASnapshot)
    );
    assert_eq!(Card::restore(b"").err(), Some(SnapshotError::NotASnapshot));
    let said = SnapshotError::NotASnapshot.to_string();
    assert!(said.contains("RINGSNAP"), "{said}");
}

#[test]
fn a_format_has_one_shape() {
    let mut working = busy();
    working.card.latch(Latch::CorruptOutput { nth: 1 });
    working.wait(Span::from_ns(900));
    let mut shared = Bench::new();
    enable(&mut shared, 2);
    Guest::started(&mut shared, 1);
    let fresh = Bench::new();
    let mut digest = Sha256::new();
    let mut format = 0;
    for bench in [fresh, working, shared] {
        let bytes = bench.card.snapshot();
        format = u16::from_le_bytes([bytes[8], bytes[9]]);
        digest.update(&bytes[HEADER..]);
    }
    let digest: String = (digest.finalize().iter().take(8))
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        (format, digest.as_str()),
        FORMAT,
        "cards have other bytes: raise FORMAT in snapshot.rs, then renew it here"
    );
}

#[test]
fn functions_and_configuration_space_are_part_of_the_state() {
    let mut bench = Bench::new();
    enable(&mut bench, 2);
    let mut guest = Guest::started(&mut bench, 1);
    assert_eq!(guest.create(&mut bench, 3, &eta_block()), Status::Success);
    guest.write(&mut bench, regs::Register::MailboxSend.offset(), 7);
    bench.configure(header::INTERRUPT_LINE, 5);
    bench.card.bus_error(
        bench.now,
        guest.id,
        BusError {
            cause: ErrorCause::Malformed,
            header: PacketHeader([1, 2, 3, 4]),
            is_advisory: false,
        },
        &mut bench.machine,
    );
    let mut other = restored(&bench);
    assert_eq!(other.card.snapshot(), bench.card.snapshot());
    for register in PAGES.iter().flat_map(|page| page.registers) {
        assert_eq!(other.config(*register), bench.config(*register));
        let own = guest.config(&mut bench, *register);
        assert_eq!(guest.config(&mut other, *register), own);
    }
    assert_eq!(other.read(regs::Register::MailboxWaiting.offset()), 0b10);
    assert_eq!(other.key_bytes_on_the_card(), 36);
    let log = aer::HEADER_LOG_3;
    assert_eq!(guest.config(&mut other, log), 4);
}

#[test]
fn keys_are_in_the_snapshot_and_gone_after_a_reset() {
    let holds_key = |card: &Card| card.snapshot().windows(16).any(|bytes| bytes == [0xC1; 16]);
    let mut bench = busy();
    assert!(holds_key(&bench.card));
    bench.card.pull_out();
    assert!(!holds_key(&bench.card));
}

#[test]
fn the_end_of_time_is_no_endless_loop() {
    let mut bench = busy();
    bench.now = Time::NEVER;
    bench.card.advance(Time::NEVER, &mut bench.machine);
    bench.submit(1, nop());
    bench.card.advance(Time::NEVER, &mut bench.machine);
    assert_eq!(bench.reap(1).len(), 10, "what was on its way arrived");
}

proptest! {
    /// Whatever is accepted behaves: no panic, and it comes to rest.
    #[test]
    fn a_snapshot_with_wrong_bytes_is_refused_or_harmless(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        delay in 0..5_000_u64,
    ) {
        let mut bench = busy();
        bench.wait(Span::from_ns(delay));
        let mut bytes = bench.card.snapshot().to_vec();
        for (index, value) in changes {
            let at = HEADER + index.index(bytes.len() - HEADER);
            bytes[at] = value;
        }
        if let Ok(card) = Card::restore(&bytes) {
            let mut other = bench.with_card(card);
            for _ in 0..10_000 {
                let next = other.card.next_internal();
                if next == Time::NEVER {
                    break;
                }
                other.now = other.now.max(next);
                other.card.advance(other.now, &mut other.machine);
            }
            other.submit(1, nop());
            other.wait(Span::from_us(100));
        }
    }
}
