//! Session parameters: what the card can serve, and how it reads them.

use framework::{Cipher, Compression, Digest, Mode, SessionFlags, SessionParams};
use regs::{
    CIPHER_KEY_MAX, CipherCode, DIGEST_KEY_MAX, DigestCode, SessionBlock, SessionBlockFlags,
};

/// Whether the card has what `params`, which are valid, ask for.
pub(super) fn is_served(params: &SessionParams) -> bool {
    let cipher = cipher_of(params).info();
    let digest = digest_of(params).info();
    let in_parts = params.flags.contains(SessionFlags::PARTS);
    // Which lengths of digest an algorithm has is checked already.
    (digest.has_state || !in_parts)
        && cipher.iv.takes(params.iv_len)
        && cipher.key.takes(params.cipher_key_len)
        && digest.key.takes(params.auth_key_len)
}

/// The parameters as the card reads them. Without a session key the lengths still count, because
/// requests bring keys of these lengths; the key is zeroes then and never used.
pub(super) fn session_block(params: &SessionParams) -> SessionBlock {
    let mut block = SessionBlock::new(cipher_of(params), digest_of(params));
    block.digest_len = params.digest_len() as u8;
    block.iv_len = params.iv_len as u8;
    let has_esn = params.flags.contains(SessionFlags::ESN);
    block.flags.set(SessionBlockFlags::ESN, has_esn);
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

/// What the card calls the cipher or compression of a session.
pub(super) fn cipher_of(params: &SessionParams) -> CipherCode {
    match params.mode {
        Mode::Compress(algorithm) => compression_code(algorithm),
        Mode::Cipher | Mode::Digest | Mode::Aead | Mode::EncryptThenAuthenticate => {
            params.cipher.map_or(CipherCode::None, cipher_code)
        }
    }
}

/// What the card calls the digest of a session.
pub(super) fn digest_of(params: &SessionParams) -> DigestCode {
    params.digest.map_or(DigestCode::None, digest_code)
}

/// What the card calls a compression algorithm.
#[must_use]
pub const fn compression_code(algorithm: Compression) -> CipherCode {
    match algorithm {
        Compression::Deflate => CipherCode::Deflate,
    }
}

/// What the card calls a cipher.
#[must_use]
pub const fn cipher_code(cipher: Cipher) -> CipherCode {
    match cipher {
        Cipher::Null => CipherCode::Null,
        Cipher::AesCbc => CipherCode::AesCbc,
        Cipher::AesCtr => CipherCode::AesCtr,
        Cipher::AesXts => CipherCode::AesXts,
        Cipher::AesGcm => CipherCode::AesGcm,
        Cipher::AesCcm => CipherCode::AesCcm,
        Cipher::DesCbc => CipherCode::DesCbc,
        Cipher::TripleDesCbc => CipherCode::TripleDesCbc,
        Cipher::BlowfishCbc => CipherCode::BlowfishCbc,
        Cipher::Cast5Cbc => CipherCode::Cast5Cbc,
        Cipher::SkipjackCbc => CipherCode::SkipjackCbc,
        Cipher::CamelliaCbc => CipherCode::CamelliaCbc,
        Cipher::Arc4 => CipherCode::Arc4,
        Cipher::ChaCha20 => CipherCode::ChaCha20,
        Cipher::ChaCha20Poly1305 => CipherCode::ChaCha20Poly1305,
        Cipher::XChaCha20Poly1305 => CipherCode::XChaCha20Poly1305,
    }
}

/// What the card calls a digest.
#[must_use]
pub const fn digest_code(digest: Digest) -> DigestCode {
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
        Digest::Md5 => DigestCode::Md5,
        Digest::Ripemd160 => DigestCode::Ripemd160,
        Digest::HmacMd5 => DigestCode::HmacMd5,
        Digest::HmacRipemd160 => DigestCode::HmacRipemd160,
        Digest::NullHmac => DigestCode::NullHmac,
        Digest::Md5Kpdk => DigestCode::Md5Kpdk,
        Digest::Sha1Kpdk => DigestCode::Sha1Kpdk,
        Digest::Blake2b => DigestCode::Blake2b,
        Digest::Blake2s => DigestCode::Blake2s,
        Digest::AesGmac => DigestCode::AesGmac,
        Digest::AesCcmMac => DigestCode::AesCcmMac,
        Digest::Poly1305 => DigestCode::Poly1305,
    }
}
