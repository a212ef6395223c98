//! Anything at all on the bus: no panic, and every command ends once or its ring has stopped.

use std::collections::BTreeMap;

use device_model::pci::{ConfigAccess, Width};
use device_model::{CardEvent, Latch};
use proptest::collection::vec;
use proptest::prelude::*;
use regs::{
    BAR0_LEN, CardSession, Command, CommandFlags, DeviceAddr, Doorbell, FunctionId, RingId, Slot,
};
use timebase::{Span, Time};

use crate::bench::{BASE, Bench, DATA, encrypt, eta_block};

#[derive(Clone, Debug)]
enum Step {
    Post(u16, Command),
    Publish(u16),
    Reap(u16, bool),
    Wait(u32),
    Wild(u32, u32),
    WildDoorbell(u16, bool, u32),
    Config(u16, u32),
    Latch(u8),
    Close(std::ops::Range<u64>),
}

/// Addresses of data, or of nothing. A command that scribbles over the rings would prove nothing.
fn addr() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..0x3_0000u64).prop_map(|at| DATA + at),
        1 => any::<u64>(),
    ]
}

fn len() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..200u32, 2 => (0..40u32).prop_map(|n| n * 16), 1 => any::<u32>()]
}

fn command() -> impl Strategy<Value = Command> {
    let opcode = prop_oneof![6 => Just(1u8), 1 => Just(0x40), 1 => Just(0x41), 1 => any::<u8>()];
    let flags = prop_oneof![2 => Just(4u8), 6 => 0..128u8, 1 => any::<u8>()];
    let head = (opcode, flags, 0..3u32, any::<[u8; 16]>());
    let streams = (addr(), addr(), len(), len(), len(), 0..40u16);
    (head, streams, any::<bool>()).prop_map(|(head, streams, fitting)| {
        let (opcode, flags, session, iv) = head;
        let (source, destination, source_len, destination_len, payload_len, aad_len) = streams;
        let mut command = Command {
            opcode,
            flags: CommandFlags::from_bits_retain(flags),
            aad_len,
            session: CardSession(session),
            source: DeviceAddr(source),
            destination: DeviceAddr(destination),
            source_len,
            destination_len,
            payload_len,
            iv,
            ..Command::default()
        };
        if fitting {
            command.opcode = 1;
            command.aad_len = 0;
            command.flags &= CommandFlags::FENCE | CommandFlags::NO_INTERRUPT;
            command.flags |= CommandFlags::ENCRYPT;
            command.session = CardSession(0);
            command.payload_len %= 0x1000;
            command.source_len = command.payload_len;
            command.destination_len = command.payload_len;
        }
        command
    })
}

fn tame() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3u16, command()).prop_map(|(ring, command)| Step::Post(ring, command)),
        4 => (0..3u16).prop_map(Step::Publish),
        3 => (0..3u16, any::<bool>()).prop_map(|(ring, arm)| Step::Reap(ring, arm)),
        3 => (0..3_000_000u32).prop_map(Step::Wait),
    ]
}

fn wild() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![
        0..0x60u32,
        0x1000..0x1400u32,
        0x1_0000..0x1_0030u32,
        0..BAR0_LEN
    ];
    let value = prop_oneof![Just(1u32), Just(2u32), 0..20u32, any::<u32>()];
    prop_oneof![
        8 => tame(),
        2 => (offset, value).prop_map(|(offset, value)| Step::Wild(offset & !3, value)),
        2 => (0..5u16, any::<bool>(), 0..10u32)
            .prop_map(|(ring, command, slot)| Step::WildDoorbell(ring, command, slot)),
        1 => (0..0x70u16, any::<u32>()).prop_map(|(at, value)| Step::Config(at, value | 6)),
        1 => (0..7u8).prop_map(Step::Latch),
        1 => (BASE..BASE + 0x8_0000, 0..256u64).prop_map(|(at, len)| Step::Close(at..at + len)),
    ]
}

fn latch(which: u8) -> Latch {
    match which {
        0 => Latch::KeepKeysOnDestroy,
        1 => Latch::HangEngines,
        2 => Latch::HangScheduler,
        3 => Latch::DropCompletion { nth: 2 },
        4 => Latch::DuplicateCompletion { nth: 1 },
        5 => Latch::CorruptOutput { nth: 0 },
        _ => Latch::WriteOutsideWindow { nth: 1 },
    }
}

/// How many commands of each ring were posted, published and reaped.
#[derive(Default)]
struct Ledger {
    posted: BTreeMap<u16, Vec<u64>>,
    published: BTreeMap<u16, Vec<u64>>,
    reaped: BTreeMap<u16, Vec<u64>>,
}

const ENTRIES: u32 = 5;

fn bench() -> Bench {
    let mut bench = Bench::new();
    for ring in 0..3 {
        bench.open(ring, ENTRIES);
    }
    bench.create(0, &crate::bench::null_block());
    bench.create(1, &eta_block());
    bench
}

fn take(bench: &mut Bench, ledger: &mut Ledger, step: Step) {
    match step {
        Step::Post(ring, command) => {
            // A driver's own rule: no more in flight than the ring has room for.
            let posted = ledger.posted.entry(ring).or_default();
            let published = ledger.published.entry(ring).or_default().len();
            let reaped = ledger.reaped.entry(ring).or_default().len();
            if (posted.len() + published).saturating_sub(reaped) < ENTRIES as usize - 1 {
                let cookie = bench.post(ring, command);
                posted.push(cookie);
            }
        }
        Step::Publish(ring) => {
            let posted = std::mem::take(ledger.posted.entry(ring).or_default());
            ledger.published.entry(ring).or_default().extend(posted);
            bench.publish(ring);
        }
        Step::Reap(ring, arm) => {
            let reaped = bench.reap(ring).into_iter().map(|entry| entry.cookie);
            ledger.reaped.entry(ring).or_default().extend(reaped);
            bench.acknowledge(ring, arm);
        }
        Step::Wait(ps) => bench.wait(Span::from_ps(ps.into())),
        Step::Wild(offset, value) => {
            bench.write(offset, value);
            bench.read(offset);
        }
        Step::WildDoorbell(ring, command, slot) => {
            let doorbell = Doorbell {
                slot: Slot(slot),
                arm: !command,
            };
            let offset = if command {
                RingId(ring).command_doorbell()
            } else {
                RingId(ring).completion_doorbell()
            };
            bench.write(offset, doorbell.into_bits());
        }
        Step::Config(at, value) => {
            let at = ConfigAccess {
                function: FunctionId::PHYSICAL,
                offset: at & !3,
                width: Width::Dword,
            };
            bench
                .card
                .config_write(bench.now, at, value, &mut bench.machine);
            bench.card.config_read(bench.now, at, &mut bench.machine);
        }
        Step::Latch(which) => bench.card.latch(latch(which)),
        Step::Close(range) => bench.machine.no_write = range,
    }
}

fn check_deadlines(bench: &Bench) {
    assert!(bench.card.deadline() >= bench.card.next_internal().min(bench.card.deadline()));
    assert!(bench.card.deadline() > bench.now);
    assert!(bench.card.next_internal() > bench.now);
}

proptest! {
    #[test]
    fn every_published_command_ends_once(steps in vec(tame(), 1..80)) {
        let mut bench = bench();
        let mut ledger = Ledger::default();
        for step in steps {
            take(&mut bench, &mut ledger, step);
            check_deadlines(&bench);
        }
        for ring in 0..3 {
            take(&mut bench, &mut ledger, Step::Publish(ring));
        }
        for _ in 0..ENTRIES {
            bench.settle();
            for ring in 0..3 {
                take(&mut bench, &mut ledger, Step::Reap(ring, false));
            }
        }
        for ring in 0..3u16 {
            let mut published = ledger.published.remove(&ring).unwrap_or_default();
            let mut reaped = ledger.reaped.remove(&ring).unwrap_or_default();
            published.sort_unstable();
            reaped.sort_unstable();
            let occupancy = bench.card.rings().nth(ring.into()).unwrap();
            prop_assert!(occupancy.is_running || published.len() > reaped.len());
            if occupancy.is_running {
                prop_assert_eq!(published, reaped);
            }
        }
    }

    #[test]
    fn nothing_on_the_bus_makes_it_panic_or_spin(steps in vec(wild(), 1..120)) {
        let mut bench = bench();
        let mut ledger = Ledger::default();
        for step in steps {
            take(&mut bench, &mut ledger, step);
            check_deadlines(&bench);
        }
        let mut events = 0;
        while bench.card.next_internal() != Time::NEVER {
            bench.now = bench.card.next_internal();
            bench.card.advance(bench.now, &mut bench.machine);
            check_deadlines(&bench);
            events += 1;
            prop_assert!(events < 10_000, "spins");
        }
        bench.card.pull_out();
        prop_assert_eq!(bench.key_bytes_on_the_card(), 0);
    }

    #[test]
    fn how_time_is_cut_makes_no_difference(
        commands in vec((1..3u16, command()), 1..9),
        cut in 1_000..900_000u64,
    ) {
        let end = Time::from_ps(60_000_000);
        let start = || {
            let mut bench = bench();
            for &(ring, command) in commands.iter().take(ENTRIES as usize - 1) {
                bench.post(ring, command);
            }
            bench.publish(1);
            bench.publish(2);
            bench
        };
        let mut big = start();
        big.card.advance(end, &mut big.machine);
        let mut small = start();
        while small.now < end {
            small.wait(Span::from_ps(cut));
        }
        prop_assert_eq!(&big.machine.log, &small.machine.log);
        prop_assert_eq!(&big.machine.interrupts, &small.machine.interrupts);
        prop_assert!(big.machine.memory == small.machine.memory);
    }
}

#[test]
fn the_ledger_would_notice_a_lost_completion() {
    let mut bench = bench();
    bench.card.latch(Latch::DropCompletion { nth: 0 });
    bench.submit(1, encrypt(DATA, 64));
    bench.settle();
    assert_eq!(bench.reap(1), []);
    let log = bench.machine.log.iter();
    let completed =
        log.filter(|(_, event)| matches!(event, CardEvent::Completed { ring, .. } if ring.0 == 1));
    assert_eq!(completed.count(), 0);
}
