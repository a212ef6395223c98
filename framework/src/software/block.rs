//! Block ciphers that aws-lc does not have, or not for every key, and CBC around them.
//!
//! Written from their standards, so that they check the card's: see the table in
//! `docs/consumers.md`. CAST-128 alone is a library that the card uses too, because its tables can
//! only be copied; its published vectors stand for a second source. None of this is fast, or free
//! of timing that depends on keys: crypto(7) keeps these ciphers for old peers.

mod blowfish;
mod camellia;
mod des;
mod skipjack;

use cast5::Cast5;
use cast5::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

use self::blowfish::Blowfish;
use self::camellia::Camellia;
use self::des::Des;
use self::skipjack::Skipjack;
use crate::Cipher;

/// Longest block, in bytes.
const BLOCK_MAX: usize = 16;

/// A block cipher with an expanded key, which is zeroed when dropped.
pub(super) trait BlockCipher: Send {
    /// Encrypts one block.
    fn encrypt(&self, block: &mut [u8]);
    /// Decrypts one block.
    fn decrypt(&self, block: &mut [u8]);
}

/// The block cipher of `cipher` with `key`, whose length it takes.
pub(super) fn block_cipher(cipher: Cipher, key: &[u8]) -> Box<dyn BlockCipher> {
    match cipher {
        Cipher::DesCbc | Cipher::TripleDesCbc => Box::new(Des::new(key)),
        Cipher::BlowfishCbc => Blowfish::new(key),
        Cipher::Cast5Cbc => {
            Box::new(Cast5::new_from_slice(key).expect("a key length that was validated"))
        }
        Cipher::SkipjackCbc => Box::new(Skipjack::new(key)),
        Cipher::CamelliaCbc => Box::new(Camellia::new(key)),
        other => unreachable!("{other:?} is not built of these blocks"),
    }
}

/// CBC of SP 800-38A over `data`, whole blocks as long as `iv`.
pub(super) fn cbc(cipher: &dyn BlockCipher, encrypt: bool, iv: &[u8], data: &mut [u8]) {
    let mut chain = [0; BLOCK_MAX];
    let chain = &mut chain[..iv.len()];
    chain.copy_from_slice(iv);
    for block in data.chunks_exact_mut(iv.len()) {
        if encrypt {
            mix(block, chain);
            cipher.encrypt(block);
            chain.copy_from_slice(block);
        } else {
            let mut next = [0; BLOCK_MAX];
            next[..block.len()].copy_from_slice(block);
            cipher.decrypt(block);
            mix(block, chain);
            chain.copy_from_slice(&next[..block.len()]);
        }
    }
}

fn mix(block: &mut [u8], with: &[u8]) {
    for (byte, other) in block.iter_mut().zip(with) {
        *byte ^= other;
    }
}

impl BlockCipher for Cast5 {
    fn encrypt(&self, block: &mut [u8]) {
        let mut whole = Array::try_from(&*block).expect("a block of eight bytes");
        self.encrypt_block(&mut whole);
        block.copy_from_slice(&whole);
    }

    fn decrypt(&self, block: &mut [u8]) {
        let mut whole = Array::try_from(&*block).expect("a block of eight bytes");
        self.decrypt_block(&mut whole);
        block.copy_from_slice(&whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cipher, then key, clear text and ciphertext of one block, from the standards named.
    const BLOCKS: &[(Cipher, &str)] = &[
        // RFC 3713, appendix A.
        (
            Cipher::CamelliaCbc,
            "0123456789abcdeffedcba9876543210 \
            0123456789abcdeffedcba9876543210 67673138549669730857065648eabe43",
        ),
        (
            Cipher::CamelliaCbc,
            "0123456789abcdeffedcba98765432100011223344556677 \
            0123456789abcdeffedcba9876543210 b4993401b3e996f84ee5cee7d79b09b9",
        ),
        (
            Cipher::CamelliaCbc,
            "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff \
            0123456789abcdeffedcba9876543210 9acc237dff16d76c20ef7c919e3a7509",
        ),
        // RFC 2144, appendix B.1.
        (
            Cipher::Cast5Cbc,
            "0123456712345678234567893456789a 0123456789abcdef 238b4fe5847e44b2",
        ),
        (
            Cipher::Cast5Cbc,
            "01234567123456782345 0123456789abcdef eb6a711a2c02271b",
        ),
        (
            Cipher::Cast5Cbc,
            "0123456712 0123456789abcdef 7ac816d16e9b302e",
        ),
        // SKIPJACK and KEA Algorithm Specifications, version 2.0, annex III.
        (
            Cipher::SkipjackCbc,
            "00998877665544332211 33221100ddccbbaa 2587cae27a12d300",
        ),
        // SP 800-17, table A.1; SP 800-67, appendix B.1.
        (
            Cipher::DesCbc,
            "10316e028c8f3b4a 0000000000000000 82dcbafbdeab6602",
        ),
        (
            Cipher::TripleDesCbc,
            "0123456789abcdef23456789abcdef01456789abcdef0123 \
            5468652071756663 a826fd8ce53b855f",
        ),
        // Schneier's vectors for Blowfish.
        (
            Cipher::BlowfishCbc,
            "0000000000000000 0000000000000000 4ef997456198dd78",
        ),
        (
            Cipher::BlowfishCbc,
            "0123456789abcdef 1111111111111111 61f9c3802281b096",
        ),
        (
            Cipher::BlowfishCbc,
            "f0e1d2c3b4a59687 fedcba9876543210 e87a244e2cc85e82",
        ),
        (
            Cipher::BlowfishCbc,
            "f0e1d2c3b4a5968778695a4b3c2d1e0f0011223344556677 \
            fedcba9876543210 05044b62fa52d080",
        ),
    ];

    #[test]
    fn published_blocks_come_out() {
        let bytes = |hex: &str| -> Vec<u8> {
            let pairs = hex.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            pairs.map(byte).collect()
        };
        for &(cipher, vector) in BLOCKS {
            let parts: Vec<Vec<u8>> = vector.split_whitespace().map(bytes).collect();
            let [key, clear, sealed] = parts.try_into().unwrap();
            let block_cipher = block_cipher(cipher, &key);
            let mut block = clear.clone();
            block_cipher.encrypt(&mut block);
            assert_eq!(block, sealed, "{cipher:?} with {vector}");
            block_cipher.decrypt(&mut block);
            assert_eq!(block, clear, "{cipher:?} with {vector}");
        }
    }

    #[test]
    fn chaining_goes_both_ways() {
        let cipher = block_cipher(Cipher::CamelliaCbc, &[7; 16]);
        let data: Vec<u8> = (0..64).collect();
        let mut work = data.clone();
        cbc(&*cipher, true, &[1; 16], &mut work);
        assert_ne!(work[..16], work[16..32]);
        cbc(&*cipher, false, &[1; 16], &mut work);
        assert_eq!(work, data);
    }
}
