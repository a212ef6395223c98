//! Camellia (RFC 3713).
//!
//! Names are those of the standard: KL and KR are the key, KA and KB are made of it, and every
//! subkey is half of one of them, rotated. Decryption is encryption with the subkeys reversed.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::BlockCipher;

/// SBOX1; the other three are rotations of it.
const TABLE: [u8; 256] = [
    0x70, 0x82, 0x2c, 0xec, 0xb3, 0x27, 0xc0, 0xe5, 0xe4, 0x85, 0x57, 0x35, 0xea, 0x0c, 0xae, 0x41,
    0x23, 0xef, 0x6b, 0x93, 0x45, 0x19, 0xa5, 0x21, 0xed, 0x0e, 0x4f, 0x4e, 0x1d, 0x65, 0x92, 0xbd,
    0x86, 0xb8, 0xaf, 0x8f, 0x7c, 0xeb, 0x1f, 0xce, 0x3e, 0x30, 0xdc, 0x5f, 0x5e, 0xc5, 0x0b, 0x1a,
    0xa6, 0xe1, 0x39, 0xca, 0xd5, 0x47, 0x5d, 0x3d, 0xd9, 0x01, 0x5a, 0xd6, 0x51, 0x56, 0x6c, 0x4d,
    0x8b, 0x0d, 0x9a, 0x66, 0xfb, 0xcc, 0xb0, 0x2d, 0x74, 0x12, 0x2b, 0x20, 0xf0, 0xb1, 0x84, 0x99,
    0xdf, 0x4c, 0xcb, 0xc2, 0x34, 0x7e, 0x76, 0x05, 0x6d, 0xb7, 0xa9, 0x31, 0xd1, 0x17, 0x04, 0xd7,
    0x14, 0x58, 0x3a, 0x61, 0xde, 0x1b, 0x11, 0x1c, 0x32, 0x0f, 0x9c, 0x16, 0x53, 0x18, 0xf2, 0x22,
    0xfe, 0x44, 0xcf, 0xb2, 0xc3, 0xb5, 0x7a, 0x91, 0x24, 0x08, 0xe8, 0xa8, 0x60, 0xfc, 0x69, 0x50,
    0xaa, 0xd0, 0xa0, 0x7d, 0xa1, 0x89, 0x62, 0x97, 0x54, 0x5b, 0x1e, 0x95, 0xe0, 0xff, 0x64, 0xd2,
    0x10, 0xc4, 0x00, 0x48, 0xa3, 0xf7, 0x75, 0xdb, 0x8a, 0x03, 0xe6, 0xda, 0x09, 0x3f, 0xdd, 0x94,
    0x87, 0x5c, 0x83, 0x02, 0xcd, 0x4a, 0x90, 0x33, 0x73, 0x67, 0xf6, 0xf3, 0x9d, 0x7f, 0xbf, 0xe2,
    0x52, 0x9b, 0xd8, 0x26, 0xc8, 0x37, 0xc6, 0x3b, 0x81, 0x96, 0x6f, 0x4b, 0x13, 0xbe, 0x63, 0x2e,
    0xe9, 0x79, 0xa7, 0x8c, 0x9f, 0x6e, 0xbc, 0x8e, 0x29, 0xf5, 0xf9, 0xb6, 0x2f, 0xfd, 0xb4, 0x59,
    0x78, 0x98, 0x06, 0x6a, 0xe7, 0x46, 0x71, 0xba, 0xd4, 0x25, 0xab, 0x42, 0x88, 0xa2, 0x8d, 0xfa,
    0x72, 0x07, 0xb9, 0x55, 0xf8, 0xee, 0xac, 0x0a, 0x36, 0x49, 0x2a, 0x68, 0x3c, 0x38, 0xf1, 0xa4,
    0x40, 0x28, 0xd3, 0x7b, 0xbb, 0xc9, 0x43, 0xc1, 0x15, 0xe3, 0xad, 0xf4, 0x77, 0xc7, 0x80, 0x9e,
];

/// Sigma1 to Sigma6.
const SIGMA: [u64; 6] = [
    0xA09E_667F_3BCC_908B,
    0xB67A_E858_4CAA_73B2,
    0xC6EF_372F_E94F_82BE,
    0x54FF_53A5_F1D3_6F1C,
    0x10E5_27FA_DE68_2D1D,
    0xB056_88C2_B3E6_C1FD,
];

/// Which of KL, KR, KA, KB, rotated by how many bits, gives the next two subkeys, for keys of 128
/// bits: whitening, six rounds, a layer, six rounds, a layer, six rounds, whitening.
const SHORT: [(usize, u32); 14] = [
    (KL, 0),
    (KA, 0),
    (KL, 15),
    (KA, 15),
    (KA, 30),
    (KL, 45),
    // One half of each.
    (KA, 45),
    (KL, 60),
    (KA, 60),
    (KL, 77),
    (KL, 94),
    (KA, 94),
    (KL, 111),
    (KA, 111),
];

/// The same for longer keys, with one more layer and six more rounds.
const LONG: [(usize, u32); 17] = [
    (KL, 0),
    (KB, 0),
    (KR, 15),
    (KA, 15),
    (KR, 30),
    (KB, 30),
    (KL, 45),
    (KA, 45),
    (KL, 60),
    (KR, 60),
    (KB, 60),
    (KL, 77),
    (KA, 77),
    (KR, 94),
    (KA, 94),
    (KL, 111),
    (KB, 111),
];

const KL: usize = 0;
const KR: usize = 1;
const KA: usize = 2;
const KB: usize = 3;

/// The subkeys in the order of encryption, whitening ones first and last.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Camellia {
    subkeys: Vec<u64>,
}

impl Camellia {
    /// `key` has 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Self {
        let word = |at: usize| {
            let bytes = key.get(at..at + 8)?;
            Some(u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
        };
        let join = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let left = join(
            word(0).expect("a key length that was validated"),
            word(8).expect("a key length that was validated"),
        );
        let right = word(16).map_or(0, |high| join(high, word(24).unwrap_or(!high)));
        let mut mixed = mix(left ^ right, [SIGMA[0], SIGMA[1]]) ^ left;
        mixed = mix(mixed, [SIGMA[2], SIGMA[3]]);
        let further = mix(mixed ^ right, [SIGMA[4], SIGMA[5]]);
        let keys = [left, right, mixed, further];
        let plan: &[(usize, u32)] = if key.len() == 16 { &SHORT } else { &LONG };
        let mut subkeys = Vec::with_capacity(2 * plan.len());
        for &(of, turn) in plan {
            let turned = keys[of].rotate_left(turn);
            let halves = [(turned >> 64) as u64, turned as u64];
            match (key.len(), of, turn) {
                // k9 is the left half of KA, k10 the right half of KL.
                (16, KA, 45) => subkeys.push(halves[0]),
                (16, KL, 60) => subkeys.push(halves[1]),
                _ => subkeys.extend(halves),
            }
        }
        Self { subkeys }
    }

    /// Runs the rounds with `subkeys` in this order.
    fn run(block: &mut [u8], mut subkeys: impl Iterator<Item = u64>, rounds: usize) {
        let mut next = || subkeys.next().expect("a subkey for every step");
        let half = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("half a block"));
        let (mut left, mut right) = (half(&block[..8]) ^ next(), half(&block[8..]) ^ next());
        for round in 0..rounds {
            if round != 0 && round.is_multiple_of(6) {
                left = layer(left, next());
                right = inverse_layer(right, next());
            }
            right ^= feistel(left, next());
            (left, right) = (right, left);
        }
        block[..8].copy_from_slice(&(right ^ next()).to_be_bytes());
        block[8..].copy_from_slice(&(left ^ next()).to_be_bytes());
    }

    /// Four whitening keys, and two for the layer between six rounds and six.
    fn rounds(&self) -> usize {
        (self.subkeys.len() - 4 + 2) / 8 * 6
    }
}

impl BlockCipher for Camellia {
    fn encrypt(&self, block: &mut [u8]) {
        Self::run(block, self.subkeys.iter().copied(), self.rounds());
    }

    fn decrypt(&self, block: &mut [u8]) {
        // Whitening keys stay in pairs: each half keeps its own.
        let len = self.subkeys.len();
        let [first, last] = [[0, 1], [len - 2, len - 1]];
        let order = last.into_iter().chain((2..len - 2).rev()).chain(first);
        Self::run(block, order.map(|at| self.subkeys[at]), self.rounds());
    }
}

/// Two rounds with constants, as the key schedule has them.
fn mix(value: u128, [first, second]: [u64; 2]) -> u128 {
    let (mut left, mut right) = ((value >> 64) as u64, value as u64);
    right ^= feistel(left, first);
    left ^= feistel(right, second);
    u128::from(left) << 64 | u128::from(right)
}

/// The function F: substitution, then the permutation P.
fn feistel(value: u64, key: u64) -> u64 {
    let boxed = |byte: u8| TABLE[usize::from(byte)];
    let [a, b, c, d, e, f, g, h] = (value ^ key).to_be_bytes();
    let t1 = boxed(a);
    let t2 = boxed(b).rotate_left(1);
    let t3 = boxed(c).rotate_left(7);
    let t4 = boxed(d.rotate_left(1));
    let t5 = boxed(e).rotate_left(1);
    let t6 = boxed(f).rotate_left(7);
    let t7 = boxed(g.rotate_left(1));
    let t8 = boxed(h);
    u64::from_be_bytes([
        t1 ^ t3 ^ t4 ^ t6 ^ t7 ^ t8,
        t1 ^ t2 ^ t4 ^ t5 ^ t7 ^ t8,
        t1 ^ t2 ^ t3 ^ t5 ^ t6 ^ t8,
        t2 ^ t3 ^ t4 ^ t5 ^ t6 ^ t7,
        t1 ^ t2 ^ t6 ^ t7 ^ t8,
        t2 ^ t3 ^ t5 ^ t7 ^ t8,
        t3 ^ t4 ^ t5 ^ t6 ^ t8,
        t1 ^ t4 ^ t5 ^ t6 ^ t7,
    ])
}

/// The function FL.
fn layer(value: u64, key: u64) -> u64 {
    let [x1, x2] = [(value >> 32) as u32, value as u32];
    let [k1, k2] = [(key >> 32) as u32, key as u32];
    let low = x2 ^ (x1 & k1).rotate_left(1);
    let high = x1 ^ (low | k2);
    u64::from(high) << 32 | u64::from(low)
}

/// The function FLINV.
fn inverse_layer(value: u64, key: u64) -> u64 {
    let [y1, y2] = [(value >> 32) as u32, value as u32];
    let [k1, k2] = [(key >> 32) as u32, key as u32];
    let high = y1 ^ (y2 | k2);
    let low = y2 ^ (high & k1).rotate_left(1);
    u64::from(high) << 32 | u64::from(low)
}
