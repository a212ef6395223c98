//! Session parameters: what the card can serve, and how it reads them.

use framework::{Cipher, Digest, Mode, SessionFlags, SessionParams};
use regs::{CipherCode, DigestCode, SessionBlock};

/// Longest cipher key of a session, in bytes.
const CIPHER_KEY_MAX: usize = 64;
/// Longest digest key of a session, in bytes.
const DIGEST_KEY_MAX: usize = 128;
/// Longest IV, in bytes.
pub(super) const IV_MAX: usize = 16;

/// Whether the card has what `params`, which are valid, ask for.
pub(super) fn is_served(params: &SessionParams) -> bool {
    let iv_fits = match params.cipher {
        None | Some(Cipher::Null) => params.iv_len <= IV_MAX,
        Some(Cipher::AesCbc | Cipher::AesCtr) => params.iv_len == 16,
        Some(Cipher::AesXts) => matches!(params.iv_len, 8 | 16),
        Some(Cipher::AesGcm) => params.iv_len == 12,
    };
    let digest_fits = match params.mode {
        Mode::Cipher => true,
        Mode::Aead => (1..=16).contains(&params.digest_len()),
        Mode::Digest | Mode::EncryptThenAuthenticate => params.digest_len() > 0,
    };
    iv_fits
        && digest_fits
        && !params.flags.contains(SessionFlags::ESN)
        && params.cipher_key_len <= CIPHER_KEY_MAX
        && params.auth_key_len <= DIGEST_KEY_MAX
}

/// The parameters as the card reads them. Without a session key the lengths still count, because
/// requests bring keys of these lengths; the key is zeroes then and never used.
pub(super) fn session_block(params: &SessionParams) -> Box<SessionBlock> {
    // Made in its box, so that no copy of the keys is left on the stack.
    let mut block = Box::<SessionBlock>::default();
    block.cipher = params.cipher.map_or(CipherCode::None, cipher_code);
    block.digest = params.digest.map_or(DigestCode::None, digest_code);
    block.digest_len = params.digest_len() as u8;
    block.iv_len = params.iv_len as u8;
    let (no_cipher_key, no_digest_key) = ([0; CIPHER_KEY_MAX], [0; DIGEST_KEY_MAX]);
    let cipher_key = match &params.cipher_key {
        Some(key) => key.bytes(),
        None => &no_cipher_key[..params.cipher_key_len],
    };
    let digest_key = match &params.auth_key {
        Some(key) => key.bytes(),
        None => &no_digest_key[..params.auth_key_len],
    };
    block
        .set_keys(cipher_key, digest_key)
        .expect("the probe checked the key lengths");
    block
}

fn cipher_code(cipher: Cipher) -> CipherCode {
    match cipher {
        Cipher::Null => CipherCode::Null,
        Cipher::AesCbc => CipherCode::AesCbc,
        Cipher::AesCtr => CipherCode::AesCtr,
        Cipher::AesXts => CipherCode::AesXts,
        Cipher::AesGcm => CipherCode::AesGcm,
    }
}

fn digest_code(digest: Digest) -> DigestCode {
    match digest {
        Digest::Sha1 => DigestCode::Sha1,
        Digest::Sha224 => DigestCode::Sha224,
        Digest::Sha256 => DigestCode::Sha256,
        Digest::Sha384 => DigestCode::Sha384,
        Digest::Sha512 => DigestCode::Sha512,
        Digest::HmacSha1 => DigestCode::HmacSha1,
        Digest::HmacSha224 => DigestCode::HmacSha224,
        Digest::HmacSha256 => DigestCode::HmacSha256,
        Digest::HmacSha384 => DigestCode::HmacSha384,
        Digest::HmacSha512 => DigestCode::HmacSha512,
    }
}
