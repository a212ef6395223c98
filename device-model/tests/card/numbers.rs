//! Long numbers and random ones, as commands.

use device_model::{Card, Latch, Profile, Provisioning};
use regs::{
    Command, CommandFlags, Control, DeviceAddr, Opcode, PUBLIC_KEY_BITS_MAX, PublicKeyFlags,
    PublicKeyOp, PublicKeyParams, RANDOM_MAX, Register, Segment, Status,
};
use timebase::Span;

use crate::bench::{Bench, DATA, encrypt, profile};

const OUT: u64 = DATA + 0x2_0000;

/// A descriptor for `op` on parameters of these bits, inputs at `DATA`, outputs at `OUT`.
fn command(op: PublicKeyOp, flags: PublicKeyFlags, bits: &[u16]) -> Command {
    let mut params = PublicKeyParams {
        op,
        flags,
        bits: [0; 8],
    };
    params.bits[..bits.len()].copy_from_slice(bits);
    let mut command = Command {
        opcode: Opcode::PublicKey as u8,
        source: DeviceAddr(DATA),
        source_len: params.source_len(),
        destination: DeviceAddr(OUT),
        destination_len: params.destination_len(),
        ..Command::default()
    };
    params.write_to(&mut command);
    command
}

fn little(op: PublicKeyOp, bits: &[u16]) -> Command {
    command(op, PublicKeyFlags::empty(), bits)
}

fn bench() -> Bench {
    let mut bench = Bench::with_null_session(16);
    bench.put(OUT, &[0xEE; 0x400]);
    bench
}

/// A bench whose card draws from this seed.
fn seeded(seed: u8) -> Bench {
    let provisioning = Provisioning {
        entropy_seed: [seed; 32],
        ..Provisioning::default()
    };
    let mut bench = Bench::around(Card::provisioned(profile(), &provisioning).unwrap());
    bench.open(0, 8);
    bench.open(1, 8);
    bench
}

fn random(len: u32) -> Command {
    Command {
        opcode: Opcode::Random as u8,
        destination: DeviceAddr(OUT),
        destination_len: len,
        payload_len: len,
        ..Command::default()
    }
}

#[test]
fn a_power_comes_in_either_byte_order_on_either_kind_of_ring() {
    // 3 to the power of 0x0105, modulo 0x010001.
    let power = (0..0x0105).fold(1_u32, |power, _| power * 3 % 0x1_0001);
    for ring in [0, 1] {
        let mut bench = bench();
        bench.put(DATA, &[3, 0x05, 0x01, 0x01, 0x00, 0x01]);
        let done = bench.run(ring, little(PublicKeyOp::ModExp, &[2, 9, 17, 40]));
        assert_eq!((done.status, done.output_len), (0, 5));
        assert_eq!(bench.get(OUT, 5)[..4], power.to_le_bytes());
        assert_eq!(bench.get(OUT + 5, 1), [0xEE]);
        bench.put(DATA, &[3, 0x01, 0x05, 0x01, 0x00, 0x01]);
        let big = PublicKeyFlags::BIG_ENDIAN;
        let done = bench.run(ring, command(PublicKeyOp::ModExp, big, &[2, 9, 17, 40]));
        assert_eq!(done.status, 0);
        assert_eq!(bench.get(OUT + 1, 4), power.to_be_bytes());
    }
}

#[test]
fn streams_of_numbers_may_be_lists() {
    let mut bench = bench();
    bench.put(DATA, &[2]);
    bench.put(DATA + 0x100, &[10, 0]);
    bench.put(DATA + 0x200, &[0xE8, 0x03]);
    let list = DATA + 0x1000;
    for (at, (addr, len)) in [
        (DATA, 1),
        (DATA + 0x100, 2),
        (DATA + 0x200, 2),
        (OUT, 1),
        (OUT + 0x10, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let segment = Segment {
            addr: DeviceAddr(addr),
            len,
        };
        bench.put(list + 16 * at as u64, &segment.to_bytes());
    }
    let listed = Command {
        flags: CommandFlags::SOURCE_SEGMENTS | CommandFlags::DESTINATION_SEGMENTS,
        source: DeviceAddr(list),
        source_len: 3,
        destination: DeviceAddr(list + 48),
        destination_len: 2,
        ..little(PublicKeyOp::ModExp, &[8, 16, 16, 16])
    };
    assert_eq!(bench.status(1, listed), Status::Success);
    // 1024 mod 1000.
    assert_eq!(
        (bench.get(OUT, 1), bench.get(OUT + 0x10, 1)),
        (&[24][..], &[0][..])
    );
}

#[test]
fn long_numbers_take_their_time_and_let_others_pass() {
    let mut bench = bench();
    bench.put(DATA, &[0xFF; 3 * 256]);
    let slow = bench.submit(1, little(PublicKeyOp::ModExp, &[2048, 2048, 2048, 2048]));
    let quick = bench.submit(1, encrypt(OUT + 0x1000, 64));
    let began = bench.now;
    bench.wait(Span::from_us(100));
    let done: Vec<_> = bench.reap(1).iter().map(|done| done.cookie).collect();
    assert_eq!(done, [quick]);
    bench.settle();
    assert_eq!(bench.reap(1)[0].cookie, slow);
    let took = bench.now.since(began);
    // 2,576 products of 2,080 word products each, a quarter of a cycle at 800 MHz for each.
    assert!(
        (Span::from_us(1_670)..Span::from_us(1_690)).contains(&took),
        "{took}"
    );
    let stats = bench.card.stats().public_key;
    assert_eq!((stats.lanes, stats.commands), (4, 1));
    assert!(stats.busy > Span::from_us(1_600) && stats.busy < took);
}

#[test]
fn numbers_of_one_length_take_one_time() {
    let took = |fill: u8| {
        let mut bench = bench();
        bench.put(DATA, &[fill; 3 * 64]);
        bench.run(1, little(PublicKeyOp::ModExp, &[512, 512, 512, 512]));
        bench.now
    };
    assert_eq!(took(0x01), took(0xFF));
}

#[test]
fn numbers_without_a_result_are_told_apart() {
    let mut bench = bench();
    let mut status = |bytes: &[u8], command: Command| {
        bench.put(DATA, bytes);
        let status = bench.status(1, command);
        assert_eq!(bench.get(OUT, 64), [0xEE; 64], "{status:?}");
        status
    };
    let exp = |bits: &[u16]| little(PublicKeyOp::ModExp, bits);
    let invert = little(PublicKeyOp::ModMultInv, &[8, 8, 8]);
    assert_eq!(status(&[1, 2, 0], exp(&[8, 8, 8, 8])), Status::BadOperand);
    assert_eq!(status(&[], exp(&[0, 0, 0, 0])), Status::BadOperand);
    assert_eq!(status(&[2, 4], invert), Status::BadOperand);
    assert_eq!(
        status(&[3, 3, 99], exp(&[8, 8, 8, 4])),
        Status::ResultTooLarge
    );
    assert_eq!(
        status(&[3, 3, 99], exp(&[8, 8, 8, 0])),
        Status::ResultTooLarge
    );
    let excess = exp(&[1, 8, 8, 8]);
    assert_eq!(status(&[3, 3, 99], excess), Status::ReservedBits);
    let digest = little(PublicKeyOp::DsaSign, &[7, 8, 8, 8, 8, 8, 8]);
    assert_eq!(status(&[1, 23, 11, 4, 3], digest), Status::BadLength);
    let forged = little(PublicKeyOp::DsaVerify, &[8, 8, 8, 8, 8, 8, 8]);
    assert_eq!(
        status(&[1, 23, 11, 4, 3, 0, 1], forged),
        Status::SignatureMismatch
    );
}

#[test]
fn descriptors_of_no_operation_are_refused() {
    let mut bench = bench();
    let good = little(PublicKeyOp::ModExp, &[8, 8, 8, 8]);
    let mut status = |command| bench.status(1, command);
    let with = |change: fn(&mut Command)| {
        let mut command = good;
        change(&mut command);
        command
    };
    assert_eq!(status(with(|c| c.aad_len = 11)), Status::BadParameters);
    assert_eq!(status(with(|c| c.aad_len |= 0x200)), Status::ReservedBits);
    assert_eq!(status(with(|c| c.iv[8] = 1)), Status::ReservedBits);
    assert_eq!(status(with(|c| c.esn = [1; 4])), Status::ReservedBits);
    assert_eq!(status(with(|c| c.source_len = 4)), Status::BadLength);
    assert_eq!(status(with(|c| c.destination_len = 2)), Status::BadLength);
    let long = little(PublicKeyOp::Mod, &[PUBLIC_KEY_BITS_MAX + 1, 8, 8]);
    assert_eq!(status(long), Status::BadLength);
}

#[test]
fn the_longest_numbers_fit() {
    let mut bench = bench();
    let bits = PUBLIC_KEY_BITS_MAX;
    let len = usize::from(bits / 8);
    bench.put(DATA, &vec![0xFF; 3 * len]);
    let product = little(PublicKeyOp::ModSub, &[bits; 4]);
    assert_eq!(bench.status(1, product), Status::Success);
    assert!(bench.get(OUT, len).iter().all(|&byte| byte == 0));
}

#[test]
fn private_numbers_do_not_stay_on_the_card() {
    let mut bench = bench();
    bench.put(DATA, &[0x7B; 96]);
    let command = little(PublicKeyOp::ModExp, &[256, 256, 256, 256]);
    assert_eq!(bench.status(1, command), Status::Success);
    assert_eq!(bench.key_bytes_on_the_card(), 0);
    bench.machine.no_write = OUT..OUT + 1;
    assert_eq!(bench.status(1, command), Status::WriteFault);
    assert_eq!(bench.key_bytes_on_the_card(), 0);
}

#[test]
fn a_card_without_public_key_lanes_knows_no_such_command() {
    let mut bench = Bench::with(Profile {
        public_key: None,
        ..profile()
    });
    bench.open(1, 8);
    let command = little(PublicKeyOp::Mod, &[8, 8, 8]);
    assert_eq!(bench.status(1, command), Status::BadOpcode);
    assert_eq!(bench.status(1, random(8)), Status::Success);
}

#[test]
fn random_bytes_follow_from_the_seed_and_from_nothing_else() {
    let draw = |seed, lens: &[u32]| {
        let mut bench = seeded(seed);
        let mut drawn = Vec::new();
        for &len in lens {
            assert_eq!(bench.status(1, random(len)), Status::Success);
            drawn.extend_from_slice(bench.get(OUT, len as usize));
        }
        drawn
    };
    assert_eq!(draw(1, &[64, 64]), draw(1, &[128]));
    assert_ne!(draw(1, &[64]), draw(2, &[64]));
    let many = draw(3, &[RANDOM_MAX]);
    let ones: u32 = many.iter().map(|byte| byte.count_ones()).sum();
    // Half of 524,288 bits, within six standard deviations.
    assert!(ones.abs_diff(4 * RANDOM_MAX) < 6 * 362, "{ones}");
}

#[test]
fn entropy_comes_no_faster_than_its_source() {
    let mut bench = seeded(1);
    bench.wait(Span::from_ms(10));
    let began = bench.now;
    assert_eq!(bench.status(1, random(4096)), Status::Success);
    assert!(bench.now.since(began) < Span::from_us(10), "kept ready");
    let began = bench.now;
    assert_eq!(bench.status(1, random(4096)), Status::Success);
    let took = bench.now.since(began);
    assert!(
        took > Span::from_us(4_000) && took < Span::from_us(4_200),
        "{took}"
    );
}

#[test]
fn lengths_that_no_draw_has_are_refused() {
    let mut bench = seeded(1);
    assert_eq!(bench.status(1, random(0)), Status::BadLength);
    assert_eq!(bench.status(1, random(RANDOM_MAX + 1)), Status::BadLength);
    let short = Command {
        destination_len: 7,
        ..random(8)
    };
    assert_eq!(bench.status(1, short), Status::BadLength);
}

#[test]
fn noise_that_stands_still_is_noticed_and_a_reset_tries_again() {
    let mut bench = seeded(1);
    bench.card.latch(Latch::StickEntropy);
    bench.put(OUT, &[0xEE; 32]);
    assert_eq!(bench.status(1, random(32)), Status::EntropyFailure);
    assert_eq!(bench.get(OUT, 32), [0xEE; 32]);
    bench.card.pull_out();
    bench.plug_in();
    bench.open(1, 8);
    assert_eq!(bench.status(1, random(32)), Status::Success, "mended");
    bench.card.latch(Latch::StickEntropy);
    assert_eq!(bench.status(1, random(32)), Status::EntropyFailure);
    let reset = Control::new().with_reset(true).into_bits();
    bench.write(Register::Control.offset(), reset);
    bench.settle();
    bench.plug_in();
    bench.open(1, 8);
    assert_eq!(
        bench.status(1, random(32)),
        Status::EntropyFailure,
        "still stuck"
    );
}
