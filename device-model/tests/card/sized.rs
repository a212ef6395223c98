//! Digests in parts, compression, long IVs and ESN, through the rings.

use device_model::engine::{Context, Deflater, Job, Operation};
use device_model::{Card, MAX_PAYLOAD};
use regs::{
    CipherCode, Command, CommandFlags, DIGEST_STATE_LEN, DeviceAddr, DigestCode, Opcode, Segment,
    SessionBlock, SessionBlockFlags, Status,
};
use timebase::Time;

use crate::bench::{Bench, DATA, encrypt};

const LIST: u64 = DATA + 0x3_0000;
const OTHER: u64 = DATA + 0x2_0000;
const STATE: u32 = DIGEST_STATE_LEN as u32;

fn bench_with(block: &SessionBlock) -> Bench {
    let mut bench = Bench::new();
    bench.open(0, 8);
    bench.open(1, 8);
    assert_eq!(bench.create(0, block), Status::Success);
    bench.put(DATA, &[0; 0x200]);
    bench
}

fn hmac_block(key: &[u8]) -> SessionBlock {
    let mut block = SessionBlock::new(CipherCode::None, DigestCode::HmacSha256);
    block.digest_len = 32;
    block.set_keys(&[], key).unwrap();
    block
}

fn digest_of(block: &SessionBlock, message: &[u8]) -> Vec<u8> {
    let mut digest = vec![0; usize::from(block.digest_len)];
    let mut message = message.to_vec();
    let job = Job {
        operation: Operation::Seal,
        iv: &[],
        aad: &[],
        esn: [0; 4],
        payload: &mut message,
        digest: &mut digest,
    };
    Context::new(block).unwrap().process(job).unwrap();
    digest
}

/// From the source at [`DATA`] to the destination at [`OTHER`].
fn part(opcode: Opcode, payload: u32, state_in: u32, destination: u32) -> Command {
    Command {
        opcode: opcode as u8,
        flags: CommandFlags::empty(),
        source_len: state_in + payload,
        destination: DeviceAddr(OTHER),
        destination_len: destination,
        ..encrypt(DATA, payload)
    }
}

fn end(payload: u32, digest_len: u32) -> Command {
    Command {
        flags: CommandFlags::ENCRYPT,
        ..part(Opcode::DigestEnd, payload, STATE, digest_len)
    }
}

#[test]
fn a_message_in_parts_has_the_digest_of_the_whole() {
    let block = hmac_block(b"a key");
    let mut bench = bench_with(&block);
    bench.put(DATA, b"one ");
    let first = bench.run(1, part(Opcode::DigestBegin, 4, 0, STATE));
    assert_eq!((first.status, first.output_len), (0, STATE));
    for (words, len) in [(&b"two "[..], 4), (&[b'x'; 200][..], 200)] {
        let state = bench.get(OTHER, DIGEST_STATE_LEN).to_vec();
        bench.put(DATA, &[&state, words].concat());
        let next = part(Opcode::DigestContinue, len, STATE, STATE);
        assert_eq!(bench.status(1, next), Status::Success);
    }
    let state = bench.get(OTHER, DIGEST_STATE_LEN).to_vec();
    bench.put(DATA, &[&state, &b"three"[..]].concat());
    assert_eq!(bench.run(1, end(5, 32)).output_len, 32);
    let whole = [&b"one two "[..], &[b'x'; 200], b"three"].concat();
    let digest = bench.get(OTHER, 32).to_vec();
    assert_eq!(digest, digest_of(&block, &whole));

    bench.put(DATA, &[&state, &b"three"[..], &digest].concat());
    let verify = Command {
        flags: CommandFlags::VERIFY,
        source_len: STATE + 5 + 32,
        destination_len: 0,
        ..end(5, 32)
    };
    assert_eq!(bench.status(1, verify), Status::Success);
    bench.put(DATA + u64::from(STATE), b"THREE");
    assert_eq!(bench.status(1, verify), Status::DigestMismatch);
}

#[test]
fn request_keys_begin_and_end_a_message_too() {
    let block = hmac_block(b"its key");
    let mut bench = bench_with(&hmac_block(b"another"));
    bench.put(DATA, b"its keymessage");
    let keyed = |command: Command| Command {
        flags: command.flags | CommandFlags::REQUEST_KEYS,
        source_len: command.source_len + 7,
        ..command
    };
    let first = keyed(part(Opcode::DigestBegin, 7, 0, STATE));
    assert_eq!(bench.status(1, first), Status::Success);
    let state = bench.get(OTHER, DIGEST_STATE_LEN).to_vec();
    bench.put(DATA, &[b"its key", state.as_slice()].concat());
    assert_eq!(bench.status(1, keyed(end(0, 32))), Status::Success);
    assert_eq!(bench.get(OTHER, 32), digest_of(&block, b"message"));
    // The session's own key does not open that state.
    bench.put(DATA, &state);
    assert_eq!(bench.status(1, end(0, 32)), Status::BadState);
}

#[test]
fn parts_that_contradict_their_session_are_refused_and_write_nothing() {
    let mut bench = bench_with(&hmac_block(b"a key"));
    bench.put(OTHER, &[0xEE; 8]);
    let begin = part(Opcode::DigestBegin, 4, 0, STATE);
    let next = part(Opcode::DigestContinue, 4, STATE, STATE);
    for (command, expected) in [
        (
            Command {
                flags: CommandFlags::ENCRYPT,
                ..begin
            },
            Status::BadParameters,
        ),
        (
            Command {
                flags: CommandFlags::VERIFY,
                ..next
            },
            Status::BadParameters,
        ),
        (part(Opcode::DigestEnd, 4, STATE, 32), Status::BadParameters),
        (
            Command {
                aad_len: 1,
                ..begin
            },
            Status::BadLength,
        ),
        (
            Command {
                source_len: 5,
                ..begin
            },
            Status::BadLength,
        ),
        (
            Command {
                destination_len: 32,
                ..begin
            },
            Status::BadLength,
        ),
        (
            Command {
                source_len: 4,
                ..next
            },
            Status::BadLength,
        ),
        (
            Command {
                payload_len: MAX_PAYLOAD + 1,
                ..begin
            },
            Status::BadLength,
        ),
        (
            Command {
                esn: [1; 4],
                ..begin
            },
            Status::ReservedBits,
        ),
        (next, Status::BadState),
    ] {
        assert_eq!(bench.status(1, command), expected, "{command:?}");
        assert_eq!(bench.status(0, command), Status::BadOpcode);
        assert_eq!(bench.get(OTHER, 8), [0xEE; 8]);
    }
}

#[test]
fn a_digest_without_a_state_takes_no_parts() {
    let mut blake = SessionBlock::new(CipherCode::None, DigestCode::Blake2b);
    blake.digest_len = 64;
    let mut bench = bench_with(&blake);
    assert_eq!(
        bench.status(1, part(Opcode::DigestBegin, 4, 0, STATE)),
        Status::BadParameters
    );
}

fn deflate_bench() -> Bench {
    bench_with(&SessionBlock::new(CipherCode::Deflate, DigestCode::None))
}

/// From [`DATA`] into at most `room` bytes at [`OTHER`].
fn deflate(flags: CommandFlags, len: u32, room: u32) -> Command {
    Command {
        flags,
        destination: DeviceAddr(OTHER),
        destination_len: room,
        ..encrypt(DATA, len)
    }
}

#[test]
fn what_is_compressed_comes_back() {
    let mut bench = deflate_bench();
    let words = b"words, words, words, ".repeat(40);
    let len = words.len() as u32;
    bench.put(DATA, &words);
    let short = bench.run(1, deflate(CommandFlags::ENCRYPT, len, len));
    assert_eq!(short.status, 0);
    assert!(short.output_len < len / 4, "{}", short.output_len);
    let compressed = bench.get(OTHER, short.output_len as usize).to_vec();
    let mut expected = vec![0; words.len()];
    let made = Deflater::default().compress(&words, &mut expected);
    assert_eq!(compressed, expected[..made.unwrap()]);

    bench.put(DATA, &compressed);
    bench.put(OTHER, &vec![0xEE; words.len() + 8]);
    let back = deflate(CommandFlags::empty(), short.output_len, len + 4);
    assert_eq!(bench.run(1, back).output_len, len);
    assert_eq!(bench.get(OTHER, words.len()), words);
    assert_eq!(bench.get(OTHER + u64::from(len), 8), [0xEE; 8]);
}

#[test]
fn a_list_is_room_for_what_its_segments_hold() {
    let mut bench = deflate_bench();
    let words = [b'w'; 3000];
    bench.put(DATA, &words);
    for (at, len) in [(0, 7), (1, 4000)] {
        let segment = Segment {
            addr: DeviceAddr(OTHER + at * 0x100),
            len,
        };
        bench.put(LIST + at * 16, &segment.to_bytes());
    }
    let listed = |count| Command {
        flags: CommandFlags::ENCRYPT | CommandFlags::DESTINATION_SEGMENTS,
        destination: DeviceAddr(LIST),
        destination_len: count,
        ..deflate(CommandFlags::ENCRYPT, 3000, 0)
    };
    let made = bench.run(1, listed(2)).output_len as usize;
    let parts = [bench.get(OTHER, 7), bench.get(OTHER + 0x100, made - 7)].concat();
    let mut back = [0; 3000];
    assert_eq!(Deflater::default().decompress(&parts, &mut back), Ok(3000));
    assert_eq!(back, words);
    let tight = bench.run(1, listed(1));
    assert_eq!(tight.status, Status::OutputTooLong as u16);
    assert_eq!(tight.output_len as usize, made, "says what it would take");
    assert_eq!(bench.status(1, listed(0)), Status::BadSegments);
    let huge = Segment {
        addr: DeviceAddr(OTHER),
        len: MAX_PAYLOAD + 1,
    };
    bench.put(LIST, &huge.to_bytes());
    assert_eq!(bench.status(1, listed(1)), Status::BadLength);
}

#[test]
fn a_result_that_is_too_long_writes_nothing() {
    let mut bench = deflate_bench();
    // 1,032 zeroes for each byte: the most that deflate can promise.
    let mut bomb = vec![0; 4096];
    let made = Deflater::default().compress(&vec![0; 1 << 20], &mut bomb);
    let made = made.unwrap();
    bench.put(DATA, &bomb[..made]);
    bench.put(OTHER, &[0xEE; 4096]);
    let open = deflate(CommandFlags::empty(), made as u32, 4096);
    let ended = bench.run(1, open);
    assert_eq!(ended.status, Status::OutputTooLong as u16);
    assert_eq!(ended.output_len, 0, "nobody knows how long it would be");
    assert_eq!(bench.get(OTHER, 4096), [0xEE; 4096]);
    bench.put(DATA, &[0xFF; 16]);
    assert_eq!(bench.status(1, open), Status::BadStream);
    for (flags, room, expected) in [
        (CommandFlags::VERIFY, 4096, Status::BadParameters),
        (CommandFlags::empty(), MAX_PAYLOAD + 1, Status::BadLength),
    ] {
        let command = deflate(flags, made as u32, room);
        assert_eq!(bench.status(1, command), expected);
    }
}

#[test]
fn the_rest_of_a_long_iv_stands_in_the_source_stream() {
    let mut block = SessionBlock::new(CipherCode::XChaCha20Poly1305, DigestCode::None);
    (block.iv_len, block.digest_len) = (24, 16);
    block.set_keys(&[9; 32], &[]).unwrap();
    let mut bench = bench_with(&block);
    let iv: [u8; 24] = std::array::from_fn(|at| at as u8);
    let (mut secret, mut tag) = (*b"payload", [0; 16]);
    let job = Job {
        operation: Operation::Seal,
        iv: &iv,
        aad: b"aad",
        esn: [0; 4],
        payload: &mut secret,
        digest: &mut tag,
    };
    Context::new(&block).unwrap().process(job).unwrap();

    bench.put(DATA, &[&iv[16..], b"aad", b"payload"].concat());
    let command = Command {
        aad_len: 3,
        iv: std::array::from_fn(|at| iv[at]),
        source_len: 8 + 3 + 7,
        destination: DeviceAddr(OTHER),
        destination_len: 7 + 16,
        ..encrypt(DATA, 7)
    };
    assert_eq!(bench.status(1, command), Status::Success);
    assert_eq!(bench.get(OTHER, 23), [&secret[..], &tag].concat());
}

#[test]
fn an_esn_is_for_sessions_that_take_one() {
    let mut block = SessionBlock::new(CipherCode::Null, DigestCode::HmacSha1);
    block.digest_len = 20;
    block.set_keys(&[], b"key").unwrap();
    let command = Command {
        esn: [1, 2, 3, 4],
        destination: DeviceAddr(OTHER),
        destination_len: 24,
        ..encrypt(DATA, 4)
    };
    let mut bench = bench_with(&block);
    assert_eq!(bench.status(1, command), Status::ReservedBits);
    block.flags = SessionBlockFlags::ESN;
    let mut bench = bench_with(&block);
    bench.put(DATA, b"data");
    assert_eq!(bench.status(1, command), Status::Success);
    let mut digest = SessionBlock::new(CipherCode::None, DigestCode::HmacSha1);
    digest.digest_len = 20;
    digest.set_keys(&[], b"key").unwrap();
    let expected = digest_of(&digest, b"data\x01\x02\x03\x04");
    assert_eq!(bench.get(OTHER + 4, 20), expected);
}

#[test]
fn parts_and_compression_on_the_card_survive_a_snapshot() {
    let mut bench = bench_with(&hmac_block(b"a key"));
    let deflater = SessionBlock::new(CipherCode::Deflate, DigestCode::None);
    assert_eq!(bench.create(1, &deflater), Status::Success);
    bench.put(DATA, &[b'w'; 3000]);
    let mut compress = deflate(CommandFlags::ENCRYPT, 3000, 3000);
    compress.session.0 = 1;
    compress.destination = DeviceAddr(OTHER + 0x1000);
    bench.post(1, part(Opcode::DigestBegin, 3000, 0, STATE));
    bench.post(1, compress);
    bench.publish(1);
    let mut states = 0;
    while bench.card.next_internal() != Time::NEVER {
        let card = Card::restore(&bench.card.snapshot()).expect("a snapshot is a card");
        let mut other = bench.with_card(card);
        other.settle();
        assert_eq!(other.reap(1).iter().map(|done| done.status).sum::<u16>(), 0);
        let key = other.get(OTHER, 0x1100).to_vec();
        states += 1;
        bench.now = bench.card.next_internal();
        bench.card.advance(bench.now, &mut bench.machine);
        let mut same = bench.with_card(Card::restore(&bench.card.snapshot()).unwrap());
        same.settle();
        assert!(same.get(OTHER, 0x1100) == key, "at {}", bench.now);
    }
    assert!(states > 3, "{states} states");
}
