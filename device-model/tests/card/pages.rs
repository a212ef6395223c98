//! What a card tells of itself.

use device_model::{Card, Latch, Profile, Provisioning};
use regs::{
    AlgorithmEntry, Argument, ArgumentFlags, CIPHERS, CipherCode, Command, Control, DIGESTS,
    DeviceAddr, ERROR_LOG_ENTRIES, Errata, ErrorEntry, ErrorLog, Health, Identity, Opcode,
    PAGE_MAX, PageCode, Register, RingControl, RingRegister, RingStatistics, Statistics, Status,
    StatusCount,
};
use timebase::Span;

use crate::bench::{Bench, DATA, encrypt, eta_block, nop, null_block, profile};
use crate::virtual_functions::{Guest, enable};

const OUT: u64 = DATA + 0x2_0000;

fn read(page: u16, flags: ArgumentFlags, len: u32) -> Command {
    let argument = Argument {
        page,
        flags: flags.bits(),
        ..Argument::default()
    };
    Command {
        opcode: Opcode::ReadPage as u8,
        destination: DeviceAddr(OUT),
        destination_len: len,
        payload_len: len,
        iv: argument.to_bytes(),
        ..Command::default()
    }
}

fn page_with(bench: &mut Bench, code: PageCode, flags: ArgumentFlags) -> Vec<u8> {
    let done = bench.run(0, read(code as u16, flags, 0x2000));
    assert_eq!((done.status, done.output_len), (0, 0x2000));
    let page = bench.get(OUT, 0x2000).to_vec();
    let len = u32::from_le_bytes(page[4..8].try_into().unwrap()) as usize;
    assert!(page[len..].iter().all(|&byte| byte == 0), "zeros behind");
    page[..len].to_vec()
}

fn page(bench: &mut Bench, code: PageCode) -> Vec<u8> {
    page_with(bench, code, ArgumentFlags::empty())
}

fn errors(bench: &mut Bench) -> (ErrorLog, Vec<ErrorEntry>) {
    let page = page(bench, PageCode::Errors);
    let (head, rest) = page.split_first_chunk().unwrap();
    let (entries, _) = rest.as_chunks();
    (
        ErrorLog::from_bytes(head),
        entries.iter().map(ErrorEntry::from_bytes).collect(),
    )
}

fn health(bench: &mut Bench) -> Health {
    Health::from_bytes(page(bench, PageCode::Health).first_chunk().unwrap())
}

fn statistics(bench: &mut Bench, flags: ArgumentFlags) -> (Statistics, Vec<RingStatistics>) {
    let page = page_with(bench, PageCode::Statistics, flags);
    let (head, rest) = page.split_first_chunk().unwrap();
    let (rings, _) = rest.as_chunks();
    (
        Statistics::from_bytes(head),
        rings.iter().map(RingStatistics::from_bytes).collect(),
    )
}

#[test]
fn the_identity_says_what_the_card_is_and_can() {
    let provisioning = Provisioning {
        serial: 77,
        ..Provisioning::default()
    };
    let mut bench = Bench::around(Card::provisioned(profile(), &provisioning).unwrap());
    bench.open(0, 8);
    let page = page(&mut bench, PageCode::Identity);
    let (head, rest) = page.split_first_chunk().unwrap();
    let identity = Identity::from_bytes(head);
    assert_eq!((identity.serial, identity.rings), (77, 4));
    assert_eq!(identity.sessions, profile().session_capacity);
    assert_eq!(identity.clock_hz, 800_000_000);
    assert_eq!(identity.public_key_ops, 0x7FF);
    let (entries, none) = rest.as_chunks::<{ AlgorithmEntry::LEN }>();
    assert!(none.is_empty());
    assert_eq!(entries.len(), CIPHERS.len() + DIGESTS.len());
    let entries: Vec<_> = entries.iter().map(AlgorithmEntry::from_bytes).collect();
    let gcm = |entry: &&AlgorithmEntry| entry.kind == 1 && entry.code == CipherCode::AesGcm as u8;
    let gcm = entries.iter().find(gcm).unwrap();
    assert_eq!((gcm.key, gcm.iv), ([16, 32, 8], [12, 12, 1]));
    assert_eq!(gcm.digest, [1, 16, 1]);
    let cbc = |entry: &&AlgorithmEntry| entry.kind == 1 && entry.code == CipherCode::AesCbc as u8;
    let cbc = entries.iter().find(cbc).unwrap();
    assert_eq!((cbc.digest, cbc.block_len), ([0; 3], 16));
}

#[test]
fn the_identity_names_the_same_errata_as_the_register() {
    let errata = Errata::SPURIOUS_INTERRUPT | Errata::POLLED_RESET;
    let mut bench = Bench::with(Profile {
        errata,
        ..profile()
    });
    bench.open(0, 8);
    let page = page(&mut bench, PageCode::Identity);
    let identity = Identity::from_bytes(page.first_chunk().unwrap());
    assert_eq!(identity.errata, errata.bits());
    assert_eq!(bench.read(Register::Errata.offset()), errata.bits());
}

#[test]
fn a_card_without_public_key_lanes_says_so() {
    let mut bench = Bench::with(Profile {
        public_key: None,
        ..profile()
    });
    bench.open(0, 8);
    let page = page(&mut bench, PageCode::Identity);
    let identity = Identity::from_bytes(page.first_chunk().unwrap());
    assert_eq!((identity.public_key_bits, identity.public_key_ops), (0, 0));
    assert_eq!(identity.public_key_lanes, 0);
}

#[test]
fn a_page_may_be_read_in_part_and_beyond_its_end() {
    let mut bench = Bench::new();
    bench.open(0, 8);
    let whole = page(&mut bench, PageCode::Identity);
    for len in [1, 7, 8, 100] {
        bench.put(OUT, &[0xEE; 128]);
        let done = bench.run(0, read(0, ArgumentFlags::empty(), len));
        assert_eq!((done.status, done.output_len), (0, len));
        assert_eq!(bench.get(OUT, len as usize), &whole[..len as usize]);
        assert_eq!(bench.get(OUT + u64::from(len), 1), [0xEE]);
    }
    let longest = read(0, ArgumentFlags::empty(), PAGE_MAX);
    assert_eq!(bench.status(0, longest), Status::Success);
    for len in [0, PAGE_MAX + 1] {
        let command = read(0, ArgumentFlags::empty(), len);
        assert_eq!(bench.status(0, command), Status::BadLength);
    }
    let none = read(4, ArgumentFlags::empty(), 8);
    assert_eq!(bench.status(0, none), Status::BadParameters);
    for page in [PageCode::Identity, PageCode::Health] {
        let cleared = read(page as u16, ArgumentFlags::CLEAR, 8);
        assert_eq!(bench.status(0, cleared), Status::BadParameters);
    }
    let elsewhere = read(0, ArgumentFlags::empty(), 8);
    bench.open(1, 8);
    assert_eq!(bench.status(1, elsewhere), Status::BadOpcode);
}

#[test]
fn errors_are_logged_with_who_what_when_and_where() {
    let mut bench = Bench::with_null_session(8);
    assert_eq!(errors(&mut bench).0.total, 0);
    bench.wait(Span::from_us(100));
    let refused = bench.run(
        1,
        Command {
            opcode: 0x3F,
            ..nop()
        },
    );
    bench.machine.no_write = OUT..OUT + 1;
    let faulting = Command {
        destination: DeviceAddr(OUT),
        ..encrypt(DATA, 64)
    };
    let faulted = bench.run(1, faulting);
    bench.machine.no_write = 0..0;
    let gone = Command {
        session: regs::CardSession(9),
        ..encrypt(DATA, 64)
    };
    let unknown = bench.run(1, gone);
    let (log, entries) = errors(&mut bench);
    assert_eq!((log.total, log.entries), (3, 3));
    let numbers: Vec<_> = entries.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [3, 2, 1], "newest first");
    let cookies: Vec<_> = entries.iter().map(|entry| entry.cookie).collect();
    assert_eq!(cookies, [unknown.cookie, faulted.cookie, refused.cookie]);
    let opcodes: Vec<_> = entries.iter().map(|entry| entry.opcode).collect();
    assert_eq!(opcodes, [1, 1, 0x3F]);
    assert_eq!(entries[1].status, Status::WriteFault as u16);
    assert_eq!(
        (entries[1].address, entries[1].what),
        (OUT, ErrorEntry::WRITE)
    );
    assert!(entries.iter().all(|entry| entry.ring == 1));
    // Cycles of 800 MHz since the card was first spoken to.
    assert!(
        (80_000..100_000).contains(&entries[2].at),
        "{}",
        entries[2].at
    );
    assert!(entries[1].at > entries[2].at);
}

#[test]
fn the_log_keeps_the_newest_and_is_cleared_on_request() {
    let mut bench = Bench::with_null_session(8);
    for _ in 0..ERROR_LOG_ENTRIES + 5 {
        assert_eq!(
            bench.status(1, encrypt(DATA, 0x1000_0000)),
            Status::BadLength
        );
    }
    let (log, entries) = errors(&mut bench);
    assert_eq!(log.total as usize, ERROR_LOG_ENTRIES + 5);
    assert_eq!(entries.len(), ERROR_LOG_ENTRIES);
    page_with(&mut bench, PageCode::Errors, ArgumentFlags::CLEAR);
    let (log, entries) = errors(&mut bench);
    assert_eq!(
        (log.total as usize, entries.len()),
        (ERROR_LOG_ENTRIES + 5, 0)
    );
}

#[test]
fn what_does_not_match_is_no_error_of_the_card() {
    let mut bench = Bench::new();
    bench.open(0, 8);
    bench.open(1, 8);
    assert_eq!(bench.create(0, &eta_block()), Status::Success);
    let open = Command {
        flags: regs::CommandFlags::VERIFY,
        source_len: 64 + 16,
        ..encrypt(DATA, 64)
    };
    assert_eq!(bench.status(1, open), Status::DigestMismatch);
    assert_eq!(errors(&mut bench).0.total, 0);
    let (stats, _) = statistics(&mut bench, ArgumentFlags::empty());
    assert_eq!(stats.mismatches, 1);
}

#[test]
fn a_ring_that_stops_is_in_log_health_and_counters() {
    let mut bench = Bench::with_null_session(8);
    bench.submit(1, encrypt(DATA, 0x8000));
    bench.wait(Span::from_us(2));
    bench.write(regs::RingId(1).command_doorbell(), 99);
    bench.settle();
    let (_, entries) = errors(&mut bench);
    assert_eq!(entries[0].what, ErrorEntry::STOPPED);
    assert_eq!(
        (entries[0].ring, entries[0].opcode),
        (1, ErrorEntry::NO_OPCODE)
    );
    let reset = RingControl::new().with_reset(true).into_bits();
    bench.write_ring(1, RingRegister::RingControl, reset);
    let health = health(&mut bench);
    assert_eq!((health.ring_failures, health.ring_resets), (1, 1));
    let (_, rings) = statistics(&mut bench, ArgumentFlags::empty());
    let ring = rings[1];
    assert_eq!((ring.commands, ring.completed, ring.forgotten), (1, 0, 1));
    assert_eq!((ring.failures, ring.resets), (1, 1));
}

#[test]
fn health_counts_resets_faults_and_what_is_on_the_card() {
    let mut bench = Bench::with_null_session(8);
    bench.card.latch(Latch::ContextError {
        nth: 1,
        is_corrected: true,
    });
    for expected in [Status::Success, Status::Success] {
        assert_eq!(bench.status(1, encrypt(DATA, 64)), expected);
    }
    bench.card.latch(Latch::ContextError {
        nth: 0,
        is_corrected: false,
    });
    for expected in [Status::EngineError, Status::Success] {
        assert_eq!(bench.status(1, encrypt(DATA, 64)), expected);
    }
    let before = health(&mut bench);
    assert_eq!((before.ecc_corrected, before.ecc_uncorrected), (1, 1));
    assert_eq!((before.sessions, before.retired, before.keks), (1, 0, 0));
    assert_eq!((before.resets, before.uptime), (0, before.since_reset));
    bench.machine.no_read = DATA..DATA + 1;
    assert_eq!(bench.status(1, encrypt(DATA, 64)), Status::ReadFault);
    bench.machine.no_read = 0..0;
    let reset = Control::new().with_reset(true).into_bits();
    bench.write(Register::Control.offset(), reset);
    bench.settle();
    bench.plug_in();
    bench.open(0, 8);
    let after = health(&mut bench);
    assert_eq!((after.resets, after.sessions), (1, 0));
    assert_eq!((after.read_faults, after.write_faults), (1, 0));
    assert!(after.uptime > after.since_reset && after.uptime > before.uptime);
    assert_eq!(after.ecc_uncorrected, 1, "a reset forgets no history");
}

#[test]
fn statistics_count_for_the_card_and_for_each_ring_and_may_begin_anew() {
    let mut bench = Bench::with_null_session(8);
    bench.open(2, 8);
    for ring in [1, 1, 2] {
        assert_eq!(bench.status(ring, encrypt(DATA, 64)), Status::Success);
    }
    assert_eq!(bench.status(2, encrypt(DATA, 0)), Status::Success);
    assert_eq!(bench.status(2, encrypt(DATA, u32::MAX)), Status::BadLength);
    let (stats, rings) = statistics(&mut bench, ArgumentFlags::CLEAR);
    assert_eq!(rings.len(), 5);
    let commands: Vec<_> = rings.iter().map(|ring| ring.commands).collect();
    assert_eq!(commands, [2, 2, 3, 0, 0], "this one included");
    let completed: Vec<_> = rings.iter().map(|ring| ring.completed).collect();
    assert_eq!(completed, [1, 2, 3, 0, 0], "this one is not");
    assert_eq!((rings[2].refusals, rings[1].refusals), (1, 0));
    let bytes = rings.iter().map(|ring| ring.payload_bytes);
    assert_eq!(bytes.collect::<Vec<_>>(), [0, 128, 64, 0, 0]);
    assert_eq!((stats.payload_bytes, stats.refusals), (192, 1));
    assert_eq!(stats.lane_commands, [4, 0, 0, 0]);
    assert!(stats.lane_cycles[0] >= 4 * 60);
    let (stats, rings) = statistics(&mut bench, ArgumentFlags::empty());
    assert_eq!((stats.payload_bytes, stats.lane_commands), (0, [0; 4]));
    assert_eq!((rings[0].commands, rings[0].completed), (1, 1));
    assert_eq!(rings[1], RingStatistics::default());
}

/// A page as `guest` reads it.
fn guest_page(bench: &mut Bench, guest: &mut Guest, code: PageCode) -> Vec<u8> {
    let out = guest.data() + 0x100;
    let command = Command {
        destination: DeviceAddr(out),
        ..read(code as u16, ArgumentFlags::empty(), 0xC00)
    };
    assert_eq!(guest.status(bench, 0, command), Status::Success);
    bench.get(out, 0xC00).to_vec()
}

#[test]
fn a_virtual_function_reads_of_itself_alone() {
    let mut bench = Bench::with_null_session(8);
    enable(&mut bench, 2);
    let (mut one, mut two) = (Guest::started(&mut bench, 0), Guest::started(&mut bench, 1));
    assert_eq!(one.create(&mut bench, 0, &null_block()), Status::Success);
    assert_eq!(one.encrypt(&mut bench, 0), Status::Success);
    assert_eq!(one.encrypt(&mut bench, 1), Status::BadSession);
    assert_eq!(bench.status(1, encrypt(DATA, u32::MAX)), Status::BadLength);

    let identity = |page: Vec<u8>| Identity::from_bytes(page.first_chunk().unwrap());
    let of_two = identity(guest_page(&mut bench, &mut two, PageCode::Identity));
    assert_eq!((of_two.function, of_two.virtual_functions), (2, 0));
    assert_eq!((of_two.rings, of_two.kek_slots), (2, 0));
    assert_eq!(of_two.sessions, profile().virtual_sessions);

    let log = |page: Vec<u8>| ErrorLog::from_bytes(page.first_chunk().unwrap());
    let of_one = guest_page(&mut bench, &mut one, PageCode::Errors);
    let entry = ErrorEntry::from_bytes(of_one[ErrorLog::LEN..].first_chunk().unwrap());
    assert_eq!((entry.ring, entry.status), (1, Status::BadSession as u16));
    assert_eq!(log(of_one).total, 1);
    assert_eq!(
        log(guest_page(&mut bench, &mut two, PageCode::Errors)).total,
        0
    );
    let (of_card, entries) = errors(&mut bench);
    assert_eq!(
        (of_card.total, entries[0].status),
        (1, Status::BadLength as u16)
    );

    let statistics_of = |page: Vec<u8>| Statistics::from_bytes(page.first_chunk().unwrap());
    let of_one = statistics_of(guest_page(&mut bench, &mut one, PageCode::Statistics));
    assert_eq!((of_one.rings, of_one.refusals, of_one.statuses), (3, 1, 1));
    assert!(of_one.payload_bytes > 0);
    assert_eq!(
        (of_one.fetches, of_one.lane_commands),
        (0, [0; 4]),
        "the card's own"
    );
    let of_two = statistics_of(guest_page(&mut bench, &mut two, PageCode::Statistics));
    assert_eq!((of_two.payload_bytes, of_two.refusals), (0, 0));
    let of_two = Health::from_bytes(
        guest_page(&mut bench, &mut two, PageCode::Health)
            .first_chunk()
            .unwrap(),
    );
    assert_eq!((of_two.sessions, of_two.resets), (0, 1));
    bench.configure(regs::pci::sriov::SRIOV_CONTROL, 0);
    bench.settle();
    enable(&mut bench, 2);
    let mut again = Guest::started(&mut bench, 0);
    assert_eq!(
        log(guest_page(&mut bench, &mut again, PageCode::Errors)).total,
        0,
        "another life"
    );
}

#[test]
fn statuses_are_counted_one_by_one() {
    let mut bench = Bench::with_null_session(8);
    for len in [u32::MAX, u32::MAX, 64] {
        bench.run(1, encrypt(DATA, len));
    }
    let gone = Command {
        session: regs::CardSession(9),
        ..encrypt(DATA, 64)
    };
    bench.run(1, gone);
    let page = page(&mut bench, PageCode::Statistics);
    let (head, rest) = page.split_first_chunk().unwrap();
    let head = Statistics::from_bytes(head);
    let rest = &rest[head.rings as usize * RingStatistics::LEN..];
    let (statuses, none) = rest.as_chunks();
    assert!(none.is_empty());
    let statuses: Vec<_> = statuses.iter().map(StatusCount::from_bytes).collect();
    let expected = [(Status::BadSession, 1), (Status::BadLength, 2)];
    assert_eq!(
        statuses,
        expected.map(|(status, count)| StatusCount {
            status: status as u64,
            count
        })
    );
    assert_eq!((head.refusals, head.statuses), (3, 2));
}

#[test]
fn loss_of_power_begins_a_new_life() {
    let mut bench = Bench::with_null_session(8);
    assert_eq!(bench.status(1, encrypt(DATA, u32::MAX)), Status::BadLength);
    bench.wait(Span::from_ms(1));
    bench.card.pull_out();
    bench.plug_in();
    bench.open(0, 8);
    assert_eq!(errors(&mut bench).0.total, 0);
    let health = health(&mut bench);
    assert!(health.uptime < 80_000, "{}", health.uptime);
    let (stats, rings) = statistics(&mut bench, ArgumentFlags::empty());
    assert_eq!((stats.refusals, rings[1].commands), (0, 0));
    assert!(
        bench.card.stats().endings.refused > 0,
        "the world still knows"
    );
}
