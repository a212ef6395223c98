//! AES in Galois/counter mode: SP 800-38D with an IV of 96 bits, and GMAC.

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, StreamCipherCore};
use ctr::flavors;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use regs::Status;
use zeroize::Zeroize;

use super::block::{AesKey, Block, with_aes};
use super::parts;

/// The key of GCM and the hash key made from it.
pub(super) struct GcmKeys {
    aes: AesKey,
    hash: GHash,
}

impl GcmKeys {
    pub(super) fn new(key: &[u8]) -> Result<Self, Status> {
        let aes = AesKey::new(key)?;
        let mut hash_key = Block::default();
        aes.encrypt_block(&mut hash_key);
        let hash = GHash::new(&hash_key);
        hash_key.zeroize();
        Ok(Self { aes, hash })
    }

    /// Encrypts `payload` and gives the whole tag over `aad` and the ciphertext.
    pub(super) fn seal(&self, iv: &[u8; 16], aad: &[u8], payload: &mut [u8]) -> [u8; 16] {
        let mut hash = self.hash.clone();
        hash.update_padded(aad);
        let len = payload.len();
        let mask = with_aes!(&self.aes, cipher => {
            let mut stream = gcm_stream(cipher, iv);
            let mut mask = Block::default();
            stream.write_keystream_block(&mut mask);
            stream.apply_keystream_partial((&mut *payload).into());
            mask
        });
        hash.update_padded(payload);
        finish_tag(hash, aad.len(), len, mask)
    }

    /// The whole tag over `aad` and `ciphertext`.
    pub(super) fn tag(&self, iv: &[u8; 16], aad: &[u8], ciphertext: &[u8]) -> [u8; 16] {
        let mut hash = self.hash.clone();
        hash.update_padded(aad);
        hash.update_padded(ciphertext);
        finish_tag(hash, aad.len(), ciphertext.len(), self.mask(iv))
    }

    /// GMAC: the tag over `data`, given in parts, as AAD without a ciphertext.
    pub(super) fn gmac(&self, iv: &[u8; 16], data: &[&[u8]]) -> [u8; 16] {
        let mut hash = self.hash.clone();
        let (rest, held) = parts::in_blocks(data, |blocks| hash.update(blocks));
        if held != 0 {
            hash.update(&[rest]);
        }
        finish_tag(hash, parts::len(data), 0, self.mask(iv))
    }

    pub(super) fn decrypt(&self, iv: &[u8; 16], payload: &mut [u8]) {
        with_aes!(&self.aes, cipher => {
            let mut stream = gcm_stream(cipher, iv);
            // The first block of keystream belongs to the tag.
            stream.write_keystream_block(&mut Block::default());
            stream.apply_keystream_partial(payload.into());
        });
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

fn gcm_stream<'a, C>(cipher: &'a C, iv: &[u8; 16]) -> ctr::CtrCore<&'a C, flavors::Ctr32BE>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    ctr::CtrCore::inner_iv_init(cipher, &first_counter(iv).into())
}

fn finish_tag(mut hash: GHash, aad_len: usize, payload_len: usize, mask: Block) -> [u8; 16] {
    let mut lengths = Block::default();
    lengths[..8].copy_from_slice(&(aad_len as u64 * 8).to_be_bytes());
    lengths[8..].copy_from_slice(&(payload_len as u64 * 8).to_be_bytes());
    hash.update(&[lengths]);
    let tag: [u8; 16] = hash.finalize().into();
    (u128::from_ne_bytes(tag) ^ u128::from_ne_bytes(mask.into())).to_ne_bytes()
}
