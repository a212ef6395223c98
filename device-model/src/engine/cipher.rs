//! The ciphers: one request's payload, transformed in place.
//!
//! Owns the expanded AES keys. Key set-up happens once, when a context is made. Does not look at
//! digests other than GCM's own.

use aes::cipher::consts::U16;
use aes::cipher::{
    Array, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit,
    StreamCipherCore,
};
use aes::{Aes128, Aes192, Aes256};
use ctr::flavors;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use regs::Status;
use zeroize::Zeroize;

use super::xts;

/// One AES block.
pub(super) type Block = Array<u8, U16>;
/// Size of an AES block, in bytes.
pub(super) const BLOCK_LEN: usize = 16;

/// An expanded AES key of any size; zeroed when dropped.
pub(super) enum AesKey {
    Bits128(Box<Aes128>),
    Bits192(Box<Aes192>),
    Bits256(Box<Aes256>),
}

/// Runs `$body` with `$cipher` bound to the block cipher behind `$key`.
macro_rules! with_aes {
    ($key:expr, $cipher:ident => $body:expr) => {
        match $key {
            AesKey::Bits128(boxed) => {
                let $cipher = &**boxed;
                $body
            }
            AesKey::Bits192(boxed) => {
                let $cipher = &**boxed;
                $body
            }
            AesKey::Bits256(boxed) => {
                let $cipher = &**boxed;
                $body
            }
        }
    };
}

impl AesKey {
    fn new(key: &[u8]) -> Result<Self, Status> {
        let bad = |_| Status::BadParameters;
        match key.len() {
            16 => Ok(Self::Bits128(Box::new(
                Aes128::new_from_slice(key).map_err(bad)?,
            ))),
            24 => Ok(Self::Bits192(Box::new(
                Aes192::new_from_slice(key).map_err(bad)?,
            ))),
            32 => Ok(Self::Bits256(Box::new(
                Aes256::new_from_slice(key).map_err(bad)?,
            ))),
            _ => Err(Status::BadParameters),
        }
    }

    fn encrypt_block(&self, block: &mut Block) {
        with_aes!(self, cipher => cipher.encrypt_block(block));
    }
}

/// The two keys of XTS.
pub(super) struct XtsKeys {
    data: AesKey,
    tweak: AesKey,
}

/// The key of GCM and the hash key made from it.
pub(super) struct GcmKeys {
    aes: AesKey,
    hash: GHash,
}

/// A cipher with its keys.
pub(super) enum Cipher {
    /// The session only digests.
    None,
    /// Leaves the payload as it is.
    Null,
    Cbc(AesKey),
    Ctr(AesKey),
    Xts(Box<XtsKeys>),
    Gcm(Box<GcmKeys>),
}

impl Cipher {
    pub(super) fn cbc(key: &[u8]) -> Result<Self, Status> {
        Ok(Self::Cbc(AesKey::new(key)?))
    }

    pub(super) fn ctr(key: &[u8]) -> Result<Self, Status> {
        Ok(Self::Ctr(AesKey::new(key)?))
    }

    /// Both halves of `key` are AES keys of 16 or 32 bytes.
    pub(super) fn xts(key: &[u8]) -> Result<Self, Status> {
        if !matches!(key.len(), 32 | 64) {
            return Err(Status::BadParameters);
        }
        let (data, tweak) = key.split_at(key.len() / 2);
        Ok(Self::Xts(Box::new(XtsKeys {
            data: AesKey::new(data)?,
            tweak: AesKey::new(tweak)?,
        })))
    }

    pub(super) fn gcm(key: &[u8]) -> Result<Self, Status> {
        let aes = AesKey::new(key)?;
        let mut hash_key = Block::default();
        aes.encrypt_block(&mut hash_key);
        let hash = GHash::new(&hash_key);
        hash_key.zeroize();
        Ok(Self::Gcm(Box::new(GcmKeys { aes, hash })))
    }

    /// Whether the cipher takes a payload of `len` bytes.
    pub(super) const fn takes(&self, len: usize) -> bool {
        match self {
            Self::None | Self::Null | Self::Ctr(_) | Self::Gcm(_) => true,
            Self::Cbc(_) => len.is_multiple_of(BLOCK_LEN),
            Self::Xts(_) => len != 0 && len.is_multiple_of(BLOCK_LEN),
        }
    }

    /// Encrypts `payload`, whose length the cipher takes.
    pub(super) fn encrypt(&self, iv: &[u8; 16], payload: &mut [u8]) {
        match self {
            Self::None | Self::Null => {}
            Self::Cbc(key) => {
                let (blocks, _) = Block::slice_as_chunks_mut(payload);
                with_aes!(key, cipher => {
                    cbc::Encryptor::inner_iv_init(cipher, iv.into()).encrypt_blocks(blocks);
                });
            }
            Self::Ctr(key) => counter_mode(key, iv, payload),
            Self::Xts(keys) => {
                let tweak = keys.first_tweak(iv);
                with_aes!(&keys.data, cipher => xts::encrypt(cipher, tweak, payload));
            }
            Self::Gcm(keys) => keys.apply_keystream(iv, payload),
        }
    }

    /// Decrypts `payload`, whose length the cipher takes.
    pub(super) fn decrypt(&self, iv: &[u8; 16], payload: &mut [u8]) {
        match self {
            Self::None | Self::Null => {}
            Self::Cbc(key) => {
                let (blocks, _) = Block::slice_as_chunks_mut(payload);
                with_aes!(key, cipher => {
                    cbc::Decryptor::inner_iv_init(cipher, iv.into()).decrypt_blocks(blocks);
                });
            }
            Self::Ctr(key) => counter_mode(key, iv, payload),
            Self::Xts(keys) => {
                let tweak = keys.first_tweak(iv);
                with_aes!(&keys.data, cipher => xts::decrypt(cipher, tweak, payload));
            }
            Self::Gcm(keys) => keys.apply_keystream(iv, payload),
        }
    }
}

fn counter_mode(key: &AesKey, iv: &[u8; 16], payload: &mut [u8]) {
    with_aes!(key, cipher => {
        ctr::CtrCore::<_, flavors::Ctr128BE>::inner_iv_init(cipher, iv.into())
            .apply_keystream_partial(payload.into());
    });
}

impl XtsKeys {
    fn first_tweak(&self, iv: &[u8; 16]) -> u128 {
        let mut tweak = Block::from(*iv);
        self.tweak.encrypt_block(&mut tweak);
        u128::from_le_bytes(tweak.into())
    }
}

impl GcmKeys {
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
        let mut mask = Block::from(first_counter(iv));
        self.aes.encrypt_block(&mut mask);
        finish_tag(hash, aad.len(), ciphertext.len(), mask)
    }

    fn apply_keystream(&self, iv: &[u8; 16], payload: &mut [u8]) {
        with_aes!(&self.aes, cipher => {
            let mut stream = gcm_stream(cipher, iv);
            // The first block of keystream belongs to the tag.
            stream.write_keystream_block(&mut Block::default());
            stream.apply_keystream_partial(payload.into());
        });
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
    C: BlockCipherEncrypt + aes::cipher::BlockSizeUser<BlockSize = U16>,
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
