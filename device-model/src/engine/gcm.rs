//! AES in Galois/counter mode: SP 800-38D with an IV of 96 bits, and GMAC.

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use ctr::flavors;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use regs::Status;
use zeroize::Zeroize;

use super::block::Block;
use super::parts;

/// The key of GCM, of any size, and the hash key made from it. Nothing is ever decrypted, so that
/// half of the expanded key is not kept.
pub(super) enum GcmKeys {
    Bits128(Box<Keys<Aes128Enc>>),
    Bits192(Box<Keys<Aes192Enc>>),
    Bits256(Box<Keys<Aes256Enc>>),
}

/// Runs `$body` with `$keys` bound to what is behind `$any`.
macro_rules! with_keys {
    ($any:expr, $keys:ident => $body:expr) => {
        match $any {
            GcmKeys::Bits128($keys) => $body,
            GcmKeys::Bits192($keys) => $body,
            GcmKeys::Bits256($keys) => $body,
        }
    };
}

impl GcmKeys {
    pub(super) fn new(key: &[u8]) -> Result<Self, Status> {
        match key.len() {
            16 => Ok(Self::Bits128(Keys::new(key)?)),
            24 => Ok(Self::Bits192(Keys::new(key)?)),
            32 => Ok(Self::Bits256(Keys::new(key)?)),
            _ => Err(Status::BadParameters),
        }
    }

    /// Encrypts `payload` and gives the whole tag over `aad` and the ciphertext.
    pub(super) fn seal(&self, iv: &[u8; 16], aad: &[u8], payload: &mut [u8]) -> [u8; 16] {
        with_keys!(self, keys => keys.seal(iv, aad, payload))
    }

    /// The whole tag over `aad` and `ciphertext`.
    pub(super) fn tag(&self, iv: &[u8; 16], aad: &[u8], ciphertext: &[u8]) -> [u8; 16] {
        with_keys!(self, keys => keys.tag(iv, aad, ciphertext))
    }

    /// GMAC: the tag over `data`, given in parts, as AAD without a ciphertext.
    pub(super) fn gmac(&self, iv: &[u8; 16], data: &[&[u8]]) -> [u8; 16] {
        with_keys!(self, keys => keys.gmac(iv, data))
    }

    pub(super) fn decrypt(&self, iv: &[u8; 16], payload: &mut [u8]) {
        with_keys!(self, keys => keys.decrypt(iv, payload));
    }
}

/// A key of one size.
pub(super) struct Keys<C> {
    aes: C,
    hash: GHash,
}

impl<C: KeyInit + BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> Keys<C> {
    fn new(key: &[u8]) -> Result<Box<Self>, Status> {
        let aes = C::new_from_slice(key).map_err(|_| Status::BadParameters)?;
        let mut hash_key = Block::default();
        aes.encrypt_block(&mut hash_key);
        let hash = GHash::new(&hash_key);
        hash_key.zeroize();
        Ok(Box::new(Self { aes, hash }))
    }

    fn seal(&self, iv: &[u8; 16], aad: &[u8], payload: &mut [u8]) -> [u8; 16] {
        let mut hash = self.hash.clone();
        hash.update_padded(aad);
        let len = payload.len();
        let mut stream = self.stream(iv);
        let mut mask = Block::default();
        stream.write_keystream_block(&mut mask);
        stream.apply_keystream_partial((&mut *payload).into());
        hash.update_padded(payload);
        finish_tag(hash, aad.len(), len, mask)
    }

    fn tag(&self, iv: &[u8; 16], aad: &[u8], ciphertext: &[u8]) -> [u8; 16] {
        let mut hash = self.hash.clone();
        hash.update_padded(aad);
        hash.update_padded(ciphertext);
        finish_tag(hash, aad.len(), ciphertext.len(), self.mask(iv))
    }

    fn gmac(&self, iv: &[u8; 16], data: &[&[u8]]) -> [u8; 16] {
        let mut hash = self.hash.clone();
        let (rest, held) = parts::in_blocks(data, |blocks| hash.update(blocks));
        if held != 0 {
            hash.update(&[rest]);
        }
        finish_tag(hash, parts::len(data), 0, self.mask(iv))
    }

    fn decrypt(&self, iv: &[u8; 16], payload: &mut [u8]) {
        let mut stream = self.stream(iv);
        // The first block of keystream belongs to the tag.
        stream.write_keystream_block(&mut Block::default());
        stream.apply_keystream_partial(payload.into());
    }

    fn stream(&self, iv: &[u8; 16]) -> ctr::CtrCore<&C, flavors::Ctr32BE> {
        ctr::CtrCore::inner_iv_init(&self.aes, &first_counter(iv).into())
    }

    fn mask(&self, iv: &[u8; 16]) -> Block {
        let mut mask = Block::from(first_counter(iv));
        self.aes.encrypt_block(&mut mask);
        mask
    }
}

/// SP 800-38D, 7.1: the pre-counter block of a 96-bit IV.
fn first_counter(iv: &[u8; 16]) -> [u8; 16] {
    let mut counter = *iv;
    counter[12..].copy_from_slice(&1u32.to_be_bytes());
    counter
}

fn finish_tag(mut hash: GHash, aad_len: usize, payload_len: usize, mask: Block) -> [u8; 16] {
    let mut lengths = Block::default();
    lengths[..8].copy_from_slice(&(aad_len as u64 * 8).to_be_bytes());
    lengths[8..].copy_from_slice(&(payload_len as u64 * 8).to_be_bytes());
    hash.update(&[lengths]);
    let tag: [u8; 16] = hash.finalize().into();
    (u128::from_ne_bytes(tag) ^ u128::from_ne_bytes(mask.into())).to_ne_bytes()
}
