//! Block ciphers with their expanded keys, and the modes that need nothing but blocks.
//!
//! Keys are expanded once, when a context is made, and zeroed when it is dropped. AES has a type of
//! its own, because its other modes need it; the rest is known in CBC mode only.

use aes::cipher::consts::U16;
use aes::cipher::{
    Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt,
    BlockSizeUser, InnerIvInit, KeyInit,
};
use aes::{Aes128, Aes192, Aes256};
use blowfish::Blowfish;
use camellia::{Camellia128, Camellia192, Camellia256};
use cast5::Cast5;
use des::{Des, TdesEde3};
use regs::{CipherCode, Status};
use sm4::Sm4;

use super::skipjack::Skipjack;

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
pub(super) use with_aes;

impl AesKey {
    pub(super) fn new(key: &[u8]) -> Result<Self, Status> {
        match key.len() {
            16 => Ok(Self::Bits128(expand(key)?)),
            24 => Ok(Self::Bits192(expand(key)?)),
            32 => Ok(Self::Bits256(expand(key)?)),
            _ => Err(Status::BadParameters),
        }
    }

    pub(super) fn encrypt_block(&self, block: &mut Block) {
        with_aes!(self, cipher => cipher.encrypt_block(block));
    }

    /// Encrypts whole blocks without chaining.
    pub(super) fn encrypt_blocks(&self, payload: &mut [u8]) {
        let (blocks, _) = Block::slice_as_chunks_mut(payload);
        with_aes!(self, cipher => cipher.encrypt_blocks(blocks));
    }

    /// Decrypts whole blocks without chaining.
    pub(super) fn decrypt_blocks(&self, payload: &mut [u8]) {
        let (blocks, _) = Block::slice_as_chunks_mut(payload);
        with_aes!(self, cipher => cipher.decrypt_blocks(blocks));
    }

    pub(super) fn encrypt_cbc(&self, iv: &[u8; BLOCK_LEN], payload: &mut [u8]) {
        with_aes!(self, cipher => encrypt_cbc(cipher, iv, payload));
    }

    pub(super) fn decrypt_cbc(&self, iv: &[u8; BLOCK_LEN], payload: &mut [u8]) {
        with_aes!(self, cipher => decrypt_cbc(cipher, iv, payload));
    }
}

/// An expanded key of a block cipher that the card has in CBC mode only.
pub(super) enum CbcKey {
    Des(Box<Des>),
    TripleDes(Box<TdesEde3>),
    Blowfish(Box<Blowfish>),
    Cast5(Box<Cast5>),
    Skipjack(Box<Skipjack>),
    Camellia128(Box<Camellia128>),
    Camellia192(Box<Camellia192>),
    Camellia256(Box<Camellia256>),
    Sm4(Box<Sm4>),
}

/// Runs `$body` with `$cipher` bound to the block cipher behind `$key`.
macro_rules! with_cbc_key {
    ($key:expr, $cipher:ident => $body:expr) => {
        match $key {
            CbcKey::Des($cipher) => $body,
            CbcKey::TripleDes($cipher) => $body,
            CbcKey::Blowfish($cipher) => $body,
            CbcKey::Cast5($cipher) => $body,
            CbcKey::Skipjack($cipher) => $body,
            CbcKey::Camellia128($cipher) => $body,
            CbcKey::Camellia192($cipher) => $body,
            CbcKey::Camellia256($cipher) => $body,
            CbcKey::Sm4($cipher) => $body,
        }
    };
}

impl CbcKey {
    pub(super) fn new(code: CipherCode, key: &[u8]) -> Result<Self, Status> {
        Ok(match (code, key.len()) {
            (CipherCode::DesCbc, _) => Self::Des(expand(key)?),
            (CipherCode::TripleDesCbc, _) => Self::TripleDes(expand(key)?),
            (CipherCode::BlowfishCbc, _) => Self::Blowfish(expand(key)?),
            (CipherCode::Cast5Cbc, _) => Self::Cast5(expand(key)?),
            (CipherCode::SkipjackCbc, _) => Self::Skipjack(expand(key)?),
            (CipherCode::CamelliaCbc, 16) => Self::Camellia128(expand(key)?),
            (CipherCode::CamelliaCbc, 24) => Self::Camellia192(expand(key)?),
            (CipherCode::CamelliaCbc, 32) => Self::Camellia256(expand(key)?),
            (CipherCode::Sm4Cbc, _) => Self::Sm4(expand(key)?),
            _ => return Err(Status::BadParameters),
        })
    }

    /// `iv` is as long as the cipher's block, or longer.
    pub(super) fn encrypt(&self, iv: &[u8], payload: &mut [u8]) {
        with_cbc_key!(self, cipher => encrypt_cbc(&**cipher, iv, payload));
    }

    /// `iv` is as long as the cipher's block, or longer.
    pub(super) fn decrypt(&self, iv: &[u8], payload: &mut [u8]) {
        with_cbc_key!(self, cipher => decrypt_cbc(&**cipher, iv, payload));
    }
}

fn expand<C: KeyInit>(key: &[u8]) -> Result<Box<C>, Status> {
    match C::new_from_slice(key) {
        Ok(cipher) => Ok(Box::new(cipher)),
        Err(_) => Err(Status::BadParameters),
    }
}

fn first_block<C: BlockSizeUser>(iv: &[u8]) -> Array<u8, C::BlockSize> {
    Array::from_fn(|at| iv[at])
}

fn encrypt_cbc<C: BlockCipherEncrypt>(cipher: &C, iv: &[u8], payload: &mut [u8]) {
    let (blocks, _) = Array::slice_as_chunks_mut(payload);
    cbc::Encryptor::inner_iv_init(cipher, &first_block::<C>(iv)).encrypt_blocks(blocks);
}

fn decrypt_cbc<C: BlockCipherDecrypt>(cipher: &C, iv: &[u8], payload: &mut [u8]) {
    let (blocks, _) = Array::slice_as_chunks_mut(payload);
    cbc::Decryptor::inner_iv_init(cipher, &first_block::<C>(iv)).decrypt_blocks(blocks);
}
