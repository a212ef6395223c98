//! Blowfish (Schneier, "Description of a New Variable-Length Key, 64-Bit Block Cipher", 1993).
//!
//! Its tables are the first 33,344 bits of the fraction of pi. They are computed here, once, so
//! that they check the card's, which are written down.

use std::sync::OnceLock;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::BlockCipher;

const SUBKEYS: usize = 18;
const BOX_LEN: usize = 256;
const BOXES_LEN: usize = 4 * BOX_LEN;

/// The subkeys and the four substitution boxes, one behind the other.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Blowfish {
    subkeys: [u32; SUBKEYS],
    boxes: [u32; BOXES_LEN],
}

impl Blowfish {
    /// `key` is not empty.
    pub(super) fn new(key: &[u8]) -> Box<Self> {
        static START: OnceLock<Box<Blowfish>> = OnceLock::new();
        let mut cipher = START.get_or_init(Self::start).clone();
        let mut bytes = key.iter().copied().cycle();
        for subkey in &mut cipher.subkeys {
            let mut next = || bytes.next().expect("an endless key");
            *subkey ^= u32::from_be_bytes([next(), next(), next(), next()]);
        }
        let mut halves = [0, 0];
        for at in (0..SUBKEYS + BOXES_LEN).step_by(2) {
            halves = cipher.encrypt_halves(halves);
            let table = match at.checked_sub(SUBKEYS) {
                None => &mut cipher.subkeys[at..at + 2],
                Some(at) => &mut cipher.boxes[at..at + 2],
            };
            table.copy_from_slice(&halves);
        }
        cipher
    }

    fn start() -> Box<Self> {
        let fraction = pi_fraction(SUBKEYS + BOXES_LEN);
        let mut start = Box::new(Self {
            subkeys: [0; SUBKEYS],
            boxes: [0; BOXES_LEN],
        });
        start.subkeys.copy_from_slice(&fraction[..SUBKEYS]);
        start.boxes.copy_from_slice(&fraction[SUBKEYS..]);
        start
    }

    fn substitute(&self, word: u32) -> u32 {
        let [a, b, c, d] = word.to_be_bytes().map(usize::from);
        let of = |number: usize, byte: usize| self.boxes[number * BOX_LEN + byte];
        (of(0, a).wrapping_add(of(1, b)) ^ of(2, c)).wrapping_add(of(3, d))
    }

    fn encrypt_halves(&self, [mut left, mut right]: [u32; 2]) -> [u32; 2] {
        for subkey in &self.subkeys[..SUBKEYS - 2] {
            left ^= subkey;
            right ^= self.substitute(left);
            (left, right) = (right, left);
        }
        [right ^ self.subkeys[17], left ^ self.subkeys[16]]
    }

    fn decrypt_halves(&self, [mut left, mut right]: [u32; 2]) -> [u32; 2] {
        for subkey in self.subkeys[2..].iter().rev() {
            left ^= subkey;
            right ^= self.substitute(left);
            (left, right) = (right, left);
        }
        [right ^ self.subkeys[0], left ^ self.subkeys[1]]
    }
}

impl BlockCipher for Blowfish {
    fn encrypt(&self, block: &mut [u8]) {
        store(self.encrypt_halves(load(block)), block);
    }

    fn decrypt(&self, block: &mut [u8]) {
        store(self.decrypt_halves(load(block)), block);
    }
}

fn load(block: &[u8]) -> [u32; 2] {
    let half = |at: usize| {
        block[at..at + 4]
            .try_into()
            .expect("a block of eight bytes")
    };
    [half(0), half(4)].map(u32::from_be_bytes)
}

fn store(halves: [u32; 2], block: &mut [u8]) {
    for (bytes, half) in block.chunks_exact_mut(4).zip(halves) {
        bytes.copy_from_slice(&half.to_be_bytes());
    }
}

/// The first `len` words of the fraction of pi, by Machin's formula: pi is 16 arctan(1/5) less
/// 4 arctan(1/239). Numbers are words after the point behind one word before it; words at the end
/// catch what is rounded away.
fn pi_fraction(len: usize) -> Vec<u32> {
    const GUARD: usize = 2;
    let mut pi = vec![0; 1 + len + GUARD];
    add_arctan(&mut pi, 16, 5, false);
    add_arctan(&mut pi, 4, 239, true);
    assert_eq!(pi[0], 3, "pi begins with a three");
    pi[1..=len].to_vec()
}

/// Adds `factor` arctan(1/`inverse`) to `sum`, or takes it away.
fn add_arctan(sum: &mut [u32], factor: u32, inverse: u32, negative: bool) {
    let mut power = vec![0; sum.len()];
    power[0] = factor;
    divide(&mut power, inverse);
    let mut odd = 1;
    let mut takes_away = negative;
    while power.iter().any(|&word| word != 0) {
        let mut term = power.clone();
        divide(&mut term, odd);
        add(sum, &term, takes_away);
        takes_away = !takes_away;
        odd += 2;
        divide(&mut power, inverse);
        divide(&mut power, inverse);
    }
}

fn divide(number: &mut [u32], by: u32) {
    let mut rest = 0;
    for word in number {
        let value = rest << 32 | u64::from(*word);
        *word = (value / u64::from(by)) as u32;
        rest = value % u64::from(by);
    }
}

/// Adds `term` to `sum`, or takes it away, modulo what fits.
fn add(sum: &mut [u32], term: &[u32], takes_away: bool) {
    let mut carry = 0;
    for (word, &part) in sum.iter_mut().zip(term).rev() {
        let part = if takes_away {
            -i64::from(part)
        } else {
            i64::from(part)
        };
        let value = i64::from(*word) + part + carry;
        *word = value as u32;
        carry = value >> 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pi_begins_as_everybody_knows() {
        let words = pi_fraction(4);
        assert_eq!(words, [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344]);
    }
}
