//! What commands do, and which are refused before they touch anything.

use device_model::engine::{Context, Job, Operation};
use device_model::{Latch, MAX_PAYLOAD};
use regs::{
    CardSession, CipherCode, Command, CommandFlags, DeviceAddr, DigestCode, MAX_SEGMENTS, Opcode,
    Segment, SessionBlock, Status,
};

use crate::bench::{Bench, DATA, create, destroy, encrypt, eta_block, nop, null_block};

const LIST: u64 = DATA + 0x3_0000;
const OTHER: u64 = DATA + 0x2_0000;
const ETA_TAG: u32 = 16;

fn eta_bench() -> Bench {
    let mut bench = Bench::new();
    bench.open(0, 8);
    bench.open(1, 8);
    assert_eq!(bench.create(0, &eta_block()), Status::Success);
    bench.put(DATA, &[0; 0x100]);
    bench
}

/// The engine's own answer for session 0 of [`eta_bench`]: ciphertext and tag.
fn eta_answer(block: &SessionBlock, aad: &[u8], payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut secret = payload.to_vec();
    let mut tag = vec![0; ETA_TAG as usize];
    Context::new(block)
        .unwrap()
        .process(Job {
            operation: Operation::Seal,
            iv: &[3; 16],
            aad,
            esn: [0; 4],
            payload: &mut secret,
            digest: &mut tag,
        })
        .unwrap();
    (secret, tag)
}

/// Source: AAD and payload; destination: payload and tag, elsewhere unless in place.
fn eta_command(aad: u16, payload: u32, destination: u64) -> Command {
    Command {
        aad_len: aad,
        iv: [3; 16],
        source_len: u32::from(aad) + payload,
        destination: DeviceAddr(destination),
        destination_len: payload + ETA_TAG,
        ..encrypt(DATA, payload)
    }
}

#[test]
fn encrypt_then_authenticate_in_place_and_elsewhere() {
    let aad = b"twelve bytes";
    for in_place in [true, false] {
        for direct in [true, false] {
            let mut bench = eta_bench();
            bench.machine.in_place = direct;
            bench.put(DATA, aad);
            bench.put(DATA + 12, &[7; 48]);
            let destination = if in_place { DATA + 12 } else { OTHER };
            let done = bench.run(1, eta_command(12, 48, destination));
            assert_eq!(done.status, Status::Success as u16);
            assert_eq!(done.output_len, 48 + ETA_TAG);
            let (secret, tag) = eta_answer(&eta_block(), aad, &[7; 48]);
            assert_eq!(bench.get(destination, 48), secret);
            assert_eq!(bench.get(destination + 48, 16), tag);
            let stats = bench.card.stats();
            assert_eq!(stats.in_place, u64::from(in_place && direct));
            assert_eq!(stats.copied, u64::from(!(in_place && direct)));
        }
    }
}

#[test]
fn verification_comes_before_decryption() {
    for good in [true, false] {
        for in_place in [true, false] {
            let mut bench = eta_bench();
            let (secret, mut tag) = eta_answer(&eta_block(), b"aad!", &[9; 32]);
            tag[3] ^= u8::from(!good);
            bench.put(DATA, b"aad!");
            bench.put(DATA + 4, &secret);
            bench.put(DATA + 36, &tag);
            let destination = if in_place { DATA + 4 } else { OTHER };
            let before = bench.get(destination, 32).to_vec();
            let done = bench.run(
                1,
                Command {
                    flags: CommandFlags::VERIFY,
                    source_len: 4 + 32 + ETA_TAG,
                    destination_len: 32,
                    ..eta_command(4, 32, destination)
                },
            );
            if good {
                assert_eq!(done.status, Status::Success as u16);
                assert_eq!(bench.get(destination, 32), [9; 32]);
            } else {
                assert_eq!(done.status, Status::DigestMismatch as u16);
                assert_eq!(done.output_len, 0);
                assert_eq!(bench.get(destination, 32), before);
            }
        }
    }
}

#[test]
fn streams_may_be_cut_anywhere() {
    let payload: Vec<u8> = (0..64).collect();
    for cut in 1..75u32 {
        let mut bench = eta_bench();
        bench.put(DATA, b"0123456789a");
        bench.put(DATA + 0x400, &payload);
        // The source list cuts AAD and payload where they meet and once more.
        let stream = [b"0123456789a".as_slice(), &payload].concat();
        let (head, tail) = stream.split_at(cut as usize);
        bench.put(DATA, head);
        bench.put(DATA + 0x800, tail);
        let segments = [(DATA, cut), (DATA + 0x800, 75 - cut)];
        for (index, (addr, len)) in segments.into_iter().enumerate() {
            let segment = Segment {
                addr: DeviceAddr(addr),
                len,
            };
            bench.put(LIST + 16 * index as u64, &segment.to_bytes());
        }
        // The destination list has an empty run in the middle.
        let out = [(OTHER, cut), (OTHER, 0), (OTHER + 0x800, 80 - cut)];
        for (index, (addr, len)) in out.into_iter().enumerate() {
            let segment = Segment {
                addr: DeviceAddr(addr),
                len,
            };
            bench.put(LIST + 0x400 + 16 * index as u64, &segment.to_bytes());
        }
        let lists = CommandFlags::SOURCE_SEGMENTS | CommandFlags::DESTINATION_SEGMENTS;
        let done = bench.run(
            1,
            Command {
                flags: CommandFlags::ENCRYPT | lists,
                source: DeviceAddr(LIST),
                source_len: 2,
                destination: DeviceAddr(LIST + 0x400),
                destination_len: 3,
                ..eta_command(11, 64, 0)
            },
        );
        assert_eq!(done.status, Status::Success as u16, "cut at {cut}");
        let (secret, tag) = eta_answer(&eta_block(), b"0123456789a", &payload);
        let whole = [secret, tag].concat();
        assert_eq!(bench.get(OTHER, cut as usize), &whole[..cut as usize]);
        let rest = bench.get(OTHER + 0x800, 80 - cut as usize);
        assert_eq!(rest, &whole[cut as usize..]);
    }
}

#[test]
fn segment_lists_that_make_no_stream_are_refused() {
    let mut bench = eta_bench();
    let listed = |count: u32| Command {
        flags: CommandFlags::ENCRYPT | CommandFlags::SOURCE_SEGMENTS,
        source: DeviceAddr(LIST),
        source_len: count,
        ..eta_command(0, 32, OTHER)
    };
    assert_eq!(bench.status(1, listed(0)), Status::BadSegments);
    assert_eq!(
        bench.status(1, listed(MAX_SEGMENTS + 1)),
        Status::BadSegments
    );
    assert_eq!(bench.status(1, listed(u32::MAX)), Status::BadSegments);
    let mut segment = Segment {
        addr: DeviceAddr(DATA),
        len: 31,
    };
    bench.put(LIST, &segment.to_bytes());
    assert_eq!(bench.status(1, listed(1)), Status::BadLength);
    segment.len = u32::MAX;
    bench.put(LIST, &segment.to_bytes());
    assert_eq!(bench.status(1, listed(1)), Status::BadLength);
    segment.len = 32;
    let mut bytes = segment.to_bytes();
    bytes[15] = 1;
    bench.put(LIST, &bytes);
    assert_eq!(bench.status(1, listed(1)), Status::BadSegments);
    bench.put(LIST, &segment.to_bytes());
    assert_eq!(bench.status(1, listed(1)), Status::Success);
}

#[test]
fn a_digest_session_writes_its_digest_alone() {
    let mut bench = Bench::new();
    bench.open(0, 8);
    bench.open(1, 8);
    let mut block = SessionBlock::default();
    block.digest = DigestCode::Sha256;
    block.digest_len = 32;
    assert_eq!(bench.create(0, &block), Status::Success);
    bench.put(DATA, b"abc");
    bench.put(OTHER, &[0xEE; 40]);
    // The source may be read-only for the card.
    bench.machine.no_write = DATA..DATA + 3;
    let compute = Command {
        destination: DeviceAddr(OTHER),
        destination_len: 32,
        ..encrypt(DATA, 3)
    };
    assert_eq!(bench.run(1, compute).output_len, 32);
    assert_eq!(bench.get(OTHER, 4), [0xBA, 0x78, 0x16, 0xBF]);
    assert_eq!(bench.get(OTHER + 32, 8), [0xEE; 8]);
    let digest = bench.get(OTHER, 32).to_vec();
    bench.machine.no_write = 0..0;
    bench.put(DATA + 3, &digest);
    let verify = Command {
        flags: CommandFlags::VERIFY,
        source_len: 35,
        destination_len: 0,
        ..compute
    };
    assert_eq!(bench.status(1, verify), Status::Success);
    bench.put(DATA, b"abd");
    assert_eq!(bench.status(1, verify), Status::DigestMismatch);
    assert_eq!(bench.machine.refused, [0; 0]);
}

#[test]
fn request_keys_count_for_one_command_and_leave_nothing() {
    let mut bench = eta_bench();
    let mut other = eta_block();
    other.set_keys(&[0xC2; 16], &[0xD2; 20]).unwrap();
    bench.put(DATA, &[0xC2; 16]);
    bench.put(DATA + 16, &[0xD2; 20]);
    bench.put(DATA + 36, b"aad");
    bench.put(DATA + 39, &[5; 16]);
    let before = bench.key_bytes_on_the_card();
    let keyed = Command {
        flags: CommandFlags::ENCRYPT | CommandFlags::REQUEST_KEYS,
        source_len: 36 + 3 + 16,
        ..eta_command(3, 16, OTHER)
    };
    assert_eq!(bench.status(1, keyed), Status::Success);
    let (secret, tag) = eta_answer(&other, b"aad", &[5; 16]);
    assert_eq!(bench.get(OTHER, 16), secret);
    assert_eq!(bench.get(OTHER + 16, 16), tag);
    assert_eq!(bench.key_bytes_on_the_card(), before);
    bench.put(DATA, &[5; 16]);
    assert_eq!(bench.status(1, eta_command(0, 16, OTHER)), Status::Success);
    assert_eq!(
        bench.get(OTHER, 16),
        eta_answer(&eta_block(), &[], &[5; 16]).0
    );
}

/// Commands that differ from `good` in one thing, and how they end.
fn contradictions(good: Command) -> [(Status, Command); 13] {
    [
        (
            Status::BadLength,
            Command {
                source_len: 35,
                ..good
            },
        ),
        (
            Status::BadLength,
            Command {
                source_len: 37,
                ..good
            },
        ),
        (
            Status::BadLength,
            Command {
                destination_len: 47,
                ..good
            },
        ),
        (
            Status::BadLength,
            Command {
                payload_len: 31,
                ..good
            },
        ),
        (Status::BadLength, Command { aad_len: 0, ..good }),
        (Status::BadLength, eta_command(4, 31, OTHER)),
        (Status::BadLength, eta_command(0, MAX_PAYLOAD + 16, OTHER)),
        (Status::BadLength, eta_command(0, u32::MAX - 64, OTHER)),
        (
            Status::BadSession,
            Command {
                session: CardSession(1),
                ..good
            },
        ),
        (
            Status::BadSession,
            Command {
                session: CardSession(u32::MAX),
                ..good
            },
        ),
        (
            Status::ReservedBits,
            Command {
                esn: [1, 0, 0, 0],
                ..good
            },
        ),
        (Status::BadOpcode, Command { opcode: 5, ..good }),
        (
            Status::BadOpcode,
            Command {
                opcode: Opcode::SessionCreate as u8,
                ..good
            },
        ),
    ]
}

#[test]
fn contradictions_are_found_before_anything_is_written() {
    let mut bench = eta_bench();
    let good = eta_command(4, 32, OTHER);
    bench.put(OTHER, &[0xEE; 64]);
    let mut status = |command| bench.status(1, command);
    let opcode = Opcode::SessionDestroy as u8;
    assert_eq!(status(Command { opcode, ..good }), Status::BadOpcode);
    for (expected, command) in contradictions(good) {
        assert_eq!(status(command), expected, "{command:?}");
    }
    let unknown = CommandFlags::from_bits_retain(0x80) | good.flags;
    assert_eq!(
        status(Command {
            flags: unknown,
            ..good
        }),
        Status::ReservedBits
    );
    for flags in [
        CommandFlags::ENCRYPT | CommandFlags::VERIFY,
        CommandFlags::empty(),
    ] {
        assert_eq!(status(Command { flags, ..good }), Status::BadParameters);
    }
    assert_eq!(bench.get(OTHER, 64), [0xEE; 64]);
    assert_eq!(bench.status(1, good), Status::Success);
}

#[test]
fn the_longest_payload_is_a_mebibyte() {
    // The bench has less memory than that, so the read faults; the length passes.
    let mut bench = eta_bench();
    let longest = eta_command(0, MAX_PAYLOAD, OTHER);
    assert_eq!(bench.status(1, longest), Status::ReadFault);
}

#[test]
fn a_payload_may_be_empty_where_the_algorithm_allows() {
    let mut bench = Bench::new();
    bench.open(0, 8);
    bench.open(1, 8);
    let mut gcm = SessionBlock::default();
    gcm.cipher = CipherCode::AesGcm;
    gcm.digest_len = 16;
    gcm.iv_len = 12;
    gcm.set_keys(&[0; 16], &[]).unwrap();
    assert_eq!(bench.create(0, &gcm), Status::Success);
    let empty = Command {
        destination_len: 16,
        ..encrypt(DATA, 0)
    };
    assert_eq!(bench.status(1, empty), Status::Success);
    assert_eq!(bench.get(DATA, 4), [0x58, 0xE2, 0xFC, 0xCE]);
    assert_eq!(bench.create(1, &null_block()), Status::Success);
    let null = Command {
        session: CardSession(1),
        ..encrypt(DATA, 0)
    };
    assert_eq!(bench.status(1, null), Status::Success);
}

#[test]
fn the_null_cipher_copies() {
    let mut bench = Bench::with_null_session(8);
    bench.put(DATA, b"some bytes to copy");
    let copy = Command {
        destination: DeviceAddr(OTHER),
        ..encrypt(DATA, 18)
    };
    assert_eq!(bench.status(1, copy), Status::Success);
    assert_eq!(bench.get(OTHER, 18), b"some bytes to copy");
    let decrypt = Command {
        flags: CommandFlags::empty(),
        ..copy
    };
    assert_eq!(bench.status(1, decrypt), Status::Success);
    assert_eq!(bench.key_bytes_on_the_card(), 0, "scratch is clean");
}

#[test]
fn sessions_are_created_once_and_destroyed_once() {
    let mut bench = Bench::new();
    bench.open(0, 8);
    bench.open(1, 8);
    assert_eq!(bench.create(5, &eta_block()), Status::Success);
    assert!(bench.card.has_session(CardSession(5)));
    assert_eq!(bench.create(5, &eta_block()), Status::SessionExists);
    assert_eq!(bench.create(16_384, &eta_block()), Status::BadSession);
    assert_eq!(bench.create(u32::MAX, &eta_block()), Status::BadSession);
    assert_eq!(bench.create(16_383, &eta_block()), Status::Success);
    assert_eq!(bench.status(0, destroy(5)), Status::Success);
    assert_eq!(bench.status(0, destroy(5)), Status::BadSession);
    assert_eq!(bench.status(0, destroy(16_383)), Status::Success);
    assert_eq!(bench.key_bytes_on_the_card(), 0);
}

#[test]
fn the_admin_ring_refuses_what_is_not_its_business() {
    let mut bench = Bench::new();
    bench.open(0, 8);
    assert_eq!(bench.status(0, encrypt(DATA, 16)), Status::BadOpcode);
    assert_eq!(bench.status(0, nop()), Status::Success);
    let short = Command {
        source_len: 255,
        ..create(0)
    };
    assert_eq!(bench.status(0, short), Status::BadLength);
    let mut block = [0; 256];
    eta_block().write_to(&mut block);
    for (at, value, expected) in [
        (0, 99, Status::BadParameters),
        (2, 65, Status::BadParameters),
        (4, 33, Status::BadParameters),
        (5, 12, Status::BadParameters),
        (6, 4, Status::ReservedBits),
        (7, 1, Status::ReservedBits),
        (255, 1, Status::ReservedBits),
    ] {
        let mut broken = block;
        broken[at] = value;
        bench.put(DATA, &broken);
        assert_eq!(bench.status(0, create(0)), expected, "byte {at}");
    }
    assert_eq!(bench.key_bytes_on_the_card(), 0, "staging is clean");
}

#[test]
fn a_command_cannot_use_a_session_that_was_replaced_meanwhile() {
    let mut bench = Bench::with_null_session(8);
    // A long command is judged while the old session lives, and runs after it is gone.
    let long = bench.submit(1, encrypt(DATA, 0x1_0000));
    bench.wait(timebase::Span::from_us(1));
    let mut block = [0; 256];
    null_block().write_to(&mut block);
    bench.put(OTHER, &block);
    bench.post(0, destroy(0));
    bench.post(
        0,
        Command {
            source: DeviceAddr(OTHER),
            ..create(0)
        },
    );
    bench.publish(0);
    bench.settle();
    let done = bench.reap(1);
    assert_eq!(done[0].cookie, long);
    assert_eq!(done[0].status, Status::BadSession as u16);
    let admin: Vec<u16> = bench.reap(0).iter().map(|entry| entry.status).collect();
    assert_eq!(admin, [0, 0]);
}

#[test]
fn work_that_is_left_out_ends_as_if_it_were_done() {
    let mut bench = eta_bench();
    bench.card.set_timing_only(true);
    let done = bench.run(1, eta_command(0, 64, DATA));
    assert_eq!((done.status, done.output_len), (0, 64 + ETA_TAG));
    assert_eq!(bench.get(DATA, 0x100), [0; 0x100], "nothing is written");
    assert_eq!(bench.card.stats().output_bytes, u64::from(64 + ETA_TAG));
    let is_corrected = false;
    bench.card.latch(Latch::ContextError {
        nth: 0,
        is_corrected,
    });
    let failed = bench.run(1, eta_command(0, 64, DATA));
    assert_eq!(failed.status, Status::EngineError as u16);
    let short = bench.run(1, eta_command(0, 63, DATA));
    assert_eq!(
        short.status,
        Status::BadLength as u16,
        "it is judged as ever"
    );
    bench.card.set_timing_only(false);
    assert_eq!(bench.run(1, eta_command(0, 64, DATA)).status, 0);
    assert_ne!(bench.get(DATA, 64), [0; 64]);
}
