//! What the errata sheet says a card does, and that no other card does it.

use device_model::pci::BarAccess;
use device_model::{Card, Profile};
use regs::pci::{MSIX_BAR, MSIX_PENDING, express};
use regs::{
    CommandFlags, Control, DeviceAddr, DeviceStatus, Errata, Opcode, Register, RingControl,
    RingRegister, SEGMENT_LEN, Segment, Status,
};
use timebase::{Span, Time};

use crate::bench::{Bench, DATA, create, destroy, encrypt, eta_block, nop, null_block, profile};

/// A bench with rings 0 to 2 open, all with a null session, whose card has `errata`.
fn bench(errata: Errata) -> Bench {
    let profile = Profile {
        errata,
        ..profile()
    };
    let mut bench = Bench::with(profile);
    for ring in 0..3 {
        bench.open(ring, 32);
    }
    assert_eq!(bench.create(0, &null_block()), Status::Success);
    bench.machine.interrupts.clear();
    bench
}

/// What `see` gives for a card with `erratum` and for one without any.
fn both<T>(erratum: Errata, see: impl Fn(&mut Bench) -> T) -> (T, T) {
    let [with, without] = [erratum, Errata::empty()].map(|errata| see(&mut bench(errata)));
    (with, without)
}

fn reset(bench: &mut Bench) {
    let reset = Control::new().with_reset(true).into_bits();
    bench.write(Register::Control.offset(), reset);
}

fn status(bench: &mut Bench) -> DeviceStatus {
    DeviceStatus::from_bits(bench.read(Register::DeviceStatus.offset()))
}

#[test]
fn a_card_says_what_it_has_and_has_nothing_that_is_not_on_the_sheet() {
    let (with, without) = both(Errata::all(), |bench| bench.read(Register::Errata.offset()));
    assert_eq!((with, without), (Errata::all().bits(), 0));
    let unknown = Profile {
        errata: Errata::from_bits_retain(1 << 31),
        ..profile()
    };
    assert_eq!(Card::new(unknown).unwrap_err().field, "errata");
}

#[test]
fn a_pair_that_fires_with_fifteen_waiting_sends_nothing() {
    for (waiting, lost) in [(14, false), (15, true)] {
        let sees = both(Errata::INTERRUPT_SATURATION, |bench| {
            bench.write_ring(1, RingRegister::CoalesceCount, waiting);
            for _ in 0..waiting {
                bench.post(1, nop());
            }
            bench.publish(1);
            bench.settle();
            assert_eq!(bench.reap(1).len(), waiting as usize);
            bench.machine.interrupts.len()
        });
        assert_eq!(sees, (usize::from(!lost), 1), "{waiting} wait");
    }
}

#[test]
fn a_masked_cause_sends_its_message() {
    let sees = both(Errata::SPURIOUS_INTERRUPT, |bench| {
        bench.write(Register::InterruptMask.offset(), 0b10);
        bench.run(1, nop());
        bench.machine.interrupts.len()
    });
    assert_eq!(sees, (1, 0));
}

#[test]
fn arming_a_pair_sends_a_message_once_though_nothing_waits() {
    let sees = both(Errata::SPURIOUS_INTERRUPT, |bench| {
        bench.submit(1, nop());
        bench.settle();
        bench.reap(1);
        bench.acknowledge(1, true);
        let spurious = bench.machine.interrupts.len() - 1;
        // It used up the arming: only a second doorbell makes the next completion known.
        bench.submit(1, nop());
        bench.settle();
        let unarmed = bench.machine.interrupts.len() - 1 - spurious;
        bench.acknowledge(1, true);
        assert_eq!(bench.machine.interrupts.len(), 3);
        (spurious, unarmed)
    });
    assert_eq!(sees, ((1, 0), (0, 1)));
}

#[test]
fn a_pair_that_is_turned_on_again_begins_with_what_it_had_prefetched() {
    for is_flushed in [false, true] {
        let sees = both(Errata::STALE_PREFETCH, |bench| {
            bench.run(1, nop());
            let stale = bench.post(1, nop());
            bench.write_ring(1, RingRegister::RingControl, 0);
            if is_flushed {
                let reset = RingControl::new().with_reset(true).into_bits();
                bench.write_ring(1, RingRegister::RingControl, reset);
            }
            bench.open(1, 32);
            bench.post(1, nop());
            bench.submit(1, nop());
            bench.settle();
            let cookies: Vec<u64> = bench.reap(1).iter().map(|entry| entry.cookie).collect();
            assert_eq!(cookies.len(), 2);
            (cookies.contains(&stale), cookies.contains(&(stale + 1)))
        });
        assert_eq!(sees.0, (!is_flushed, is_flushed));
        assert_eq!(sees.1, (false, true));
    }
}

#[test]
fn a_list_that_ends_with_less_than_eight_bytes_faults() {
    let list = DATA + 0x1000;
    let listed = |bench: &mut Bench, is_source: bool, last: u32| {
        for (at, addr, len) in [(0, DATA, 16), (1, DATA + 0x100, last)] {
            let addr = DeviceAddr(addr);
            let segment = Segment { addr, len };
            bench.put(list + at * SEGMENT_LEN as u64, &segment.to_bytes());
        }
        let mut command = encrypt(DATA + 0x200, 16 + last);
        if is_source {
            command.flags |= CommandFlags::SOURCE_SEGMENTS;
            (command.source, command.source_len) = (DeviceAddr(list), 2);
        } else {
            command.flags |= CommandFlags::DESTINATION_SEGMENTS;
            (command.destination, command.destination_len) = (DeviceAddr(list), 2);
        }
        let entry = bench.run(1, command);
        (Status::from_code(entry.status).unwrap(), entry.fault_addr)
    };
    let good = (Status::Success, 0);
    for (is_source, status) in [(true, Status::ReadFault), (false, Status::WriteFault)] {
        let short = both(Errata::SHORT_LAST_SEGMENT, |b| listed(b, is_source, 7));
        assert_eq!(short, ((status, DATA + 0x100), good));
        let enough = both(Errata::SHORT_LAST_SEGMENT, |b| listed(b, is_source, 8));
        assert_eq!(enough, (good, good));
    }
}

#[test]
fn a_doorbell_behind_that_of_another_pair_is_lost_unless_a_register_is_read_between() {
    let publish = |bench: &mut Bench, between: fn(&mut Bench)| {
        for ring in [1, 2] {
            bench.post(ring, nop());
        }
        bench.publish(1);
        between(bench);
        bench.publish(2);
        let tail = bench.read_ring(2, RingRegister::CommandTail);
        // Once more is heard.
        bench.publish(2);
        assert_eq!(bench.read_ring(2, RingRegister::CommandTail), 1);
        bench.settle();
        assert_eq!((bench.reap(1).len(), bench.reap(2).len()), (1, 1));
        tail
    };
    let erratum = Errata::DOORBELL_COLLISION;
    assert_eq!(both(erratum, |bench| publish(bench, |_| {})), (0, 1));
    let read = |bench: &mut Bench| {
        bench.read(Register::Heartbeat.offset());
    };
    assert_eq!(both(erratum, |bench| publish(bench, read)), (1, 1));
    let wait = |bench: &mut Bench| bench.wait(Span::from_ns(100));
    assert_eq!(both(erratum, |bench| publish(bench, wait)), (1, 1));
}

/// Lets the card go on until its first completion of ring 1 is seen; gives its cookie.
fn first_seen(bench: &mut Bench) -> u64 {
    loop {
        bench.now = bench.card.next_internal();
        bench.card.advance(bench.now, &mut bench.machine);
        if let Some(entry) = bench.reap(1).first() {
            return entry.cookie;
        }
    }
}

fn cookie_in(bench: &Bench, slot: u64) -> u64 {
    let at = Bench::completion_base(1) + slot * 32;
    u64::from_le_bytes(bench.get(at, 8).try_into().unwrap())
}

#[test]
fn the_status_word_of_an_even_slot_is_seen_before_the_rest() {
    let sees = both(Errata::EARLY_STATUS, |bench| {
        let cookie = bench.submit(1, nop());
        let early = first_seen(bench);
        bench.settle();
        assert_eq!(cookie_in(bench, 0), cookie, "whole in the end");
        let odd = bench.submit(1, nop());
        assert_eq!(first_seen(bench), odd);
        early == cookie
    });
    assert_eq!(sees, (false, true));
}

#[test]
fn the_rest_of_an_entry_does_not_come_when_its_pair_has_stopped() {
    let mut bench = bench(Errata::EARLY_STATUS);
    bench.submit(1, nop());
    assert_eq!(first_seen(&mut bench), 0);
    bench.write_ring(1, RingRegister::RingControl, 0);
    bench.settle();
    assert_eq!(cookie_in(&bench, 0), 0);
}

#[test]
fn a_soft_reset_clears_the_vectors() {
    let sees = both(Errata::RESET_CLEARS_VECTORS, |bench| {
        reset(bench);
        bench.wait(Span::from_ms(1));
        bench.open(1, 8);
        let enabled = Control::new().with_enabled(true).into_bits();
        bench.write(Register::Control.offset(), enabled);
        bench.run(1, nop());
        let pending = BarAccess::physical(MSIX_BAR, MSIX_PENDING);
        let pending = bench.card.bar_read(bench.now, pending, &mut bench.machine);
        (bench.machine.interrupts.len(), pending)
    });
    assert_eq!(sees, ((0, 0b10), (1, 0)));
}

/// A function-level reset, until the card is ready; nothing is enabled then.
fn clear_vectors(bench: &mut Bench) {
    let control = bench.config(express::DEVICE_CONTROL);
    let flr = express::INITIATE_FLR.mask();
    bench.configure(express::DEVICE_CONTROL, control | flr);
    bench.wait(Span::from_ms(200));
    bench.machine.interrupts.clear();
}

#[test]
fn a_vector_that_is_programmed_before_one_below_it_is_mute() {
    for (order, heard) in [([0, 1, 2], 2), ([1, 0, 2], 1), ([2, 1, 0], 0)] {
        for (errata, expected) in [(Errata::VECTOR_ORDER, heard), (Errata::empty(), 2)] {
            let profile = Profile {
                errata,
                ..profile()
            };
            // What clears the table lets it be programmed anew.
            let mut bench = Bench::with(profile);
            clear_vectors(&mut bench);
            bench.plug_in_with(order);
            for ring in [1, 2] {
                bench.open(ring, 8);
                bench.run(ring, nop());
            }
            assert_eq!(bench.machine.interrupts.len(), expected, "{order:?}");
            let pending = BarAccess::physical(MSIX_BAR, MSIX_PENDING);
            let pending = bench.card.bar_read(bench.now, pending, &mut bench.machine);
            assert_eq!(pending, 0, "{order:?}");
            clear_vectors(&mut bench);
            bench.plug_in();
            bench.open(2, 8);
            bench.run(2, nop());
            assert_eq!(bench.machine.interrupts.len(), 1, "{order:?}");
        }
    }
}

#[test]
fn ready_comes_early_and_the_heartbeat_tells() {
    let sees = both(Errata::EARLY_READY, |bench| {
        reset(bench);
        let is_ready = status(bench).ready();
        let count = bench.read(Register::Heartbeat.offset());
        bench.wait(Span::from_us(20));
        assert_eq!(bench.read(Register::Heartbeat.offset()), count);
        bench.write_ring(1, RingRegister::Entries, 8);
        assert_eq!(bench.read_ring(1, RingRegister::Entries), 0, "ignored");
        bench.wait(Span::from_us(40));
        assert!(status(bench).ready());
        assert_ne!(bench.read(Register::Heartbeat.offset()), count);
        is_ready
    });
    assert_eq!(sees, (true, false));
}

#[test]
fn a_reset_while_a_pair_is_on_never_ends_but_for_one_of_the_function() {
    for turns_off in [false, true] {
        let sees = both(Errata::RESET_WHILE_ENABLED, |bench| {
            for ring in (0..3).filter(|_| turns_off) {
                bench.write_ring(ring, RingRegister::RingControl, 0);
            }
            reset(bench);
            bench.wait(Span::from_ms(1_000));
            let is_ready = status(bench).ready();
            let control = bench.config(express::DEVICE_CONTROL);
            let flr = express::INITIATE_FLR.mask();
            bench.configure(express::DEVICE_CONTROL, control | flr);
            bench.wait(Span::from_ms(100));
            bench.plug_in();
            assert!(status(bench).ready());
            is_ready
        });
        assert_eq!(sees, (turns_off, true));
    }
}

#[test]
fn a_reset_that_is_looked_at_begins_anew() {
    let sees = both(Errata::POLLED_RESET, |bench| {
        reset(bench);
        bench.wait(Span::from_us(40));
        assert!(!status(bench).ready());
        bench.wait(Span::from_us(40));
        let is_ready = status(bench).ready();
        bench.wait(Span::from_us(50));
        assert!(status(bench).ready(), "nobody looked meanwhile");
        is_ready
    });
    assert_eq!(sees, (false, true));
}

#[test]
fn a_session_created_where_one_was_has_no_keys_until_it_is_rekeyed() {
    let sees = both(Errata::STALE_CONTEXT, |bench| {
        let mut results = Vec::new();
        for _ in 0..2 {
            assert_eq!(bench.create(1, &eta_block()), Status::Success);
            results.push(encrypted(bench));
            if results.len() == 2 {
                // The block still stands where the session was created from.
                let mut rekey = create(1);
                rekey.opcode = Opcode::SessionRekey as u8;
                assert_eq!(bench.status(0, rekey), Status::Success);
                results.push(encrypted(bench));
            }
            assert_eq!(bench.status(0, destroy(1)), Status::Success);
        }
        (results[0] == results[1], results[0] == results[2])
    });
    assert_eq!(sees, ((false, true), (true, true)));
}

/// What session 1 makes of a few zeros.
fn encrypted(bench: &mut Bench) -> Vec<u8> {
    let at = DATA + 0x2000;
    bench.put(at, &[0; 48]);
    let mut command = encrypt(at, 32);
    command.session.0 = 1;
    command.destination_len += 16;
    assert_eq!(bench.status(1, command), Status::Success);
    bench.get(at, 48).to_vec()
}

#[test]
fn what_errata_remember_is_part_of_a_snapshot() {
    let course = |mut bench: Bench| {
        bench.open(2, 32);
        bench.submit(2, nop());
        bench.settle();
        (bench.machine.memory, bench.card.snapshot().to_vec())
    };
    let stopped = || {
        let mut bench = bench(Errata::all());
        bench.post(2, nop());
        bench.write_ring(2, RingRegister::RingControl, 0);
        bench.wait(Span::from_us(1));
        bench.submit(1, nop());
        assert_eq!(first_seen(&mut bench), 0, "torn");
        assert_ne!(bench.card.next_internal(), Time::NEVER);
        bench
    };
    let bench = stopped();
    let card = Card::restore(&bench.card.snapshot()).expect("a snapshot is a card");
    let other = bench.with_card(card);
    assert!(course(other) == course(bench));
}
