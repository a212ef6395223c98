//! Each rule, by something that breaks it alone.

use crate::{
    Buffer, Cipher, Compression, Digest, Key, Mode, Operation, ParamsError, Region, Request,
    RequestInvalid, SessionFlags, SessionId, SessionParams,
};

use super::Rules;

mod requests;
mod sessions;

fn cipher() -> SessionParams {
    SessionParams {
        cipher: Some(Cipher::AesCbc),
        cipher_key_len: 16,
        cipher_key: Some(Key::new(&[0; 16])),
        iv_len: 16,
        ..SessionParams::of(Mode::Cipher)
    }
}

fn digest() -> SessionParams {
    SessionParams {
        mode: Mode::Digest,
        cipher: None,
        digest: Some(Digest::HmacSha256),
        cipher_key_len: 0,
        cipher_key: None,
        auth_key_len: 20,
        auth_key: Some(Key::new(&[0; 20])),
        iv_len: 0,
        ..cipher()
    }
}

fn aead() -> SessionParams {
    SessionParams {
        mode: Mode::Aead,
        cipher: Some(Cipher::AesGcm),
        iv_len: 12,
        ..cipher()
    }
}

fn eta() -> SessionParams {
    SessionParams {
        mode: Mode::EncryptThenAuthenticate,
        digest: Some(Digest::HmacSha256),
        auth_key_len: 20,
        auth_key: Some(Key::new(&[0; 20])),
        ..cipher()
    }
}

fn compress() -> SessionParams {
    SessionParams {
        mode: Mode::Compress(Compression::Deflate),
        cipher: None,
        cipher_key_len: 0,
        cipher_key: None,
        iv_len: 0,
        ..cipher()
    }
}

fn with_flags(mut base: SessionParams, flags: SessionFlags) -> SessionParams {
    base.flags = flags;
    base
}
