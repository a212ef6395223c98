//! The ciphers: one request's payload, transformed in place.
//!
//! Key set-up happens once, when a context is made. Ciphers that bring their own digest are in
//! `aead`; here stands only what has none.

use aes::cipher::{InnerIvInit, StreamCipher, StreamCipherCore};
use ctr::flavors;
use rc4::{KeyInit, Rc4};
use regs::{CipherCode, Status};
use zeroize::Zeroizing;

use super::aead::Aead;
use super::block::{AesKey, Block, CbcKey, with_aes};
use super::chacha::StreamKey;
use super::gcm::GcmKeys;
use super::xts;

/// The two keys of XTS.
pub(super) struct XtsKeys {
    data: AesKey,
    tweak: AesKey,
}

/// A cipher with its keys.
pub(super) enum Cipher {
    /// The session only digests.
    None,
    /// Leaves the payload as it is.
    Null,
    Ecb(AesKey),
    Cbc(AesKey),
    Ctr(AesKey),
    Xts(Box<XtsKeys>),
    /// Any other block cipher in CBC mode.
    OtherCbc(CbcKey),
    Arc4(Box<Zeroizing<Vec<u8>>>),
    ChaCha20(Box<StreamKey>),
    Gcm(GcmKeys),
    /// Compresses, which a [`Deflater`](super::Deflater) does.
    Deflate,
    /// Any other cipher that brings its own digest.
    OtherAead(Box<Aead>),
}

impl Cipher {
    /// The cipher of `code` with `key`, whose length it takes.
    pub(super) fn new(code: CipherCode, key: &[u8]) -> Result<Self, Status> {
        Ok(match code {
            CipherCode::None => Self::None,
            CipherCode::Null => Self::Null,
            CipherCode::Deflate => Self::Deflate,
            CipherCode::AesEcb => Self::Ecb(AesKey::new(key)?),
            CipherCode::AesCbc => Self::Cbc(AesKey::new(key)?),
            CipherCode::AesCtr => Self::Ctr(AesKey::new(key)?),
            CipherCode::AesXts => Self::Xts(Box::new(XtsKeys::new(key)?)),
            CipherCode::AesGcm => Self::Gcm(GcmKeys::new(key)?),
            CipherCode::DesCbc
            | CipherCode::TripleDesCbc
            | CipherCode::BlowfishCbc
            | CipherCode::Cast5Cbc
            | CipherCode::SkipjackCbc
            | CipherCode::CamelliaCbc
            | CipherCode::Sm4Cbc => Self::OtherCbc(CbcKey::new(code, key)?),
            CipherCode::Arc4 => Self::Arc4(Box::new(Zeroizing::new(key.into()))),
            CipherCode::ChaCha20 => Self::ChaCha20(Box::new(StreamKey::new(key)?)),
            CipherCode::AesCcm | CipherCode::ChaCha20Poly1305 | CipherCode::XChaCha20Poly1305 => {
                Self::OtherAead(Box::new(Aead::new(code, key)?))
            }
        })
    }

    /// Encrypts `payload`, whose length the cipher takes. Ciphers with a digest of their own leave
    /// it alone.
    pub(super) fn encrypt(&self, iv: &[u8; 16], payload: &mut [u8]) {
        match self {
            Self::None | Self::Null | Self::Deflate | Self::Gcm(_) | Self::OtherAead(_) => {}
            Self::Ecb(key) => key.encrypt_blocks(payload),
            Self::Cbc(key) => key.encrypt_cbc(iv, payload),
            Self::Ctr(key) => counter_mode(key, iv, payload),
            Self::Xts(keys) => {
                let tweak = keys.first_tweak(iv);
                with_aes!(&keys.data, cipher => xts::encrypt(cipher, tweak, payload));
            }
            Self::OtherCbc(key) => key.encrypt(iv, payload),
            Self::Arc4(key) => arc4(key, payload),
            Self::ChaCha20(key) => key.apply(iv, payload),
        }
    }

    /// Decrypts `payload`, whose length the cipher takes. Ciphers with a digest of their own leave
    /// it alone.
    pub(super) fn decrypt(&self, iv: &[u8; 16], payload: &mut [u8]) {
        match self {
            Self::None | Self::Null | Self::Deflate | Self::Gcm(_) | Self::OtherAead(_) => {}
            Self::Ecb(key) => key.decrypt_blocks(payload),
            Self::Cbc(key) => key.decrypt_cbc(iv, payload),
            Self::Ctr(key) => counter_mode(key, iv, payload),
            Self::Xts(keys) => {
                let tweak = keys.first_tweak(iv);
                with_aes!(&keys.data, cipher => xts::decrypt(cipher, tweak, payload));
            }
            Self::OtherCbc(key) => key.decrypt(iv, payload),
            Self::Arc4(key) => arc4(key, payload),
            Self::ChaCha20(key) => key.apply(iv, payload),
        }
    }
}

pub(super) fn counter_mode(key: &AesKey, iv: &[u8; 16], payload: &mut [u8]) {
    with_aes!(key, cipher => {
        ctr::CtrCore::<_, flavors::Ctr128BE>::inner_iv_init(cipher, iv.into())
            .apply_keystream_partial(payload.into());
    });
}

/// The key schedule is the state of the stream, so every request makes it anew.
fn arc4(key: &[u8], payload: &mut [u8]) {
    if let Ok(mut stream) = Rc4::new_from_slice(key) {
        stream.apply_keystream(payload);
    }
}

impl XtsKeys {
    /// Both halves of `key` are AES keys of the same length.
    fn new(key: &[u8]) -> Result<Self, Status> {
        let (data, tweak) = key.split_at(key.len() / 2);
        Ok(Self {
            data: AesKey::new(data)?,
            tweak: AesKey::new(tweak)?,
        })
    }

    fn first_tweak(&self, iv: &[u8; 16]) -> u128 {
        let mut tweak = Block::from(*iv);
        self.tweak.encrypt_block(&mut tweak);
        u128::from_le_bytes(tweak.into())
    }
}
