//! Session parameters and the name of a session; crypto_session(9).

use bitflags::bitflags;

use crate::{Cipher, Compression, Digest, Key};

/// What a session does; `csp_mode`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Mode {
    /// Encrypts and decrypts; `CSP_MODE_CIPHER`.
    Cipher,
    /// Computes and verifies digests; `CSP_MODE_DIGEST`.
    Digest,
    /// Authenticated encryption by one algorithm; `CSP_MODE_AEAD`.
    Aead,
    /// Encrypts, then digests AAD and ciphertext; `CSP_MODE_ETA`.
    EncryptThenAuthenticate,
    /// Compresses and decompresses, in place; `CSP_MODE_COMPRESS`.
    Compress(Compression),
}

bitflags! {
    /// What requests of a session may use; `csp_flags`.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct SessionFlags: u32 {
        /// Requests may name an output buffer.
        const SEPARATE_OUTPUT = 1;
        /// Requests may carry AAD in a buffer of its own.
        const SEPARATE_AAD = 2;
        /// Requests carry four bytes of extended sequence number, digested after the payload.
        const ESN = 4;
        /// Messages may come in parts, one request for each: a hash or HMAC that
        /// [takes them](Digest::takes_parts), in mode digest.
        const PARTS = 8;
    }
}

/// Parameters of a session; `struct crypto_session_params`. Owns its keys.
///
/// Lengths are in bytes. A key length without a key means that every request brings its own.
#[derive(Clone, Debug)]
pub struct SessionParams {
    /// What the session does.
    pub mode: Mode,
    /// What its requests may use.
    pub flags: SessionFlags,
    /// Cipher, in the modes that have one.
    pub cipher: Option<Cipher>,
    /// Digest, in the modes that have one; AEAD ciphers bring their own.
    pub digest: Option<Digest>,
    /// Length of cipher keys; `csp_cipher_klen`.
    pub cipher_key_len: usize,
    /// Cipher key of requests that bring none; `csp_cipher_key`.
    pub cipher_key: Option<Key>,
    /// Length of digest keys; `csp_auth_klen`.
    pub auth_key_len: usize,
    /// Digest key of requests that bring none; `csp_auth_key`.
    pub auth_key: Option<Key>,
    /// Length of IVs; `csp_ivlen`.
    pub iv_len: usize,
    /// Bytes of digest written or compared, zero for the whole digest; `csp_auth_mlen`.
    pub auth_digest_len: usize,
}

impl SessionParams {
    /// A session of this mode that has nothing else: no flags, algorithms, keys or lengths. Names,
    /// as `..SessionParams::of(mode)`, what is the same in most sessions.
    #[must_use]
    pub const fn of(mode: Mode) -> Self {
        Self {
            mode,
            flags: SessionFlags::empty(),
            cipher: None,
            digest: None,
            cipher_key_len: 0,
            cipher_key: None,
            auth_key_len: 0,
            auth_key: None,
            iv_len: 0,
            auth_digest_len: 0,
        }
    }

    /// Bytes of digest a request writes or compares: the given length or the whole digest, zero in
    /// modes without one.
    #[must_use]
    pub fn digest_len(&self) -> usize {
        let whole = match self.mode {
            Mode::Cipher | Mode::Compress(_) => return 0,
            Mode::Aead => self.cipher.map_or(0, Cipher::tag_len),
            Mode::Digest | Mode::EncryptThenAuthenticate => self.digest.map_or(0, Digest::len),
        };
        if self.auth_digest_len == 0 {
            whole
        } else {
            self.auth_digest_len
        }
    }
}

/// Parameters as the table of sessions keeps them: in a fraction of the memory, because there may
/// be millions.
#[derive(Debug)]
pub(crate) struct StoredParams {
    mode: Mode,
    flags: SessionFlags,
    cipher: Option<Cipher>,
    digest: Option<Digest>,
    cipher_key_len: u16,
    auth_key_len: u16,
    iv_len: u8,
    auth_digest_len: u8,
    has_cipher_key: bool,
    has_auth_key: bool,
    /// The keys that there are, the cipher's first.
    keys: Key,
}

impl StoredParams {
    /// Takes over `params`, which are valid.
    pub(crate) fn new(params: SessionParams) -> Self {
        let small = |len: usize| u8::try_from(len).expect("a length within validated bounds");
        let key = |len: usize| u16::try_from(len).expect("a key length within validated bounds");
        Self {
            mode: params.mode,
            flags: params.flags,
            cipher: params.cipher,
            digest: params.digest,
            cipher_key_len: key(params.cipher_key_len),
            auth_key_len: key(params.auth_key_len),
            iv_len: small(params.iv_len),
            auth_digest_len: small(params.auth_digest_len),
            has_cipher_key: params.cipher_key.is_some(),
            has_auth_key: params.auth_key.is_some(),
            keys: match (params.cipher_key, params.auth_key) {
                (Some(key), None) | (None, Some(key)) => key,
                (None, None) => Key::new(&[]),
                (Some(cipher), Some(auth)) => Key::joined(&cipher, &auth),
            },
        }
    }

    /// The parameters as they were.
    pub(crate) fn restore(&self) -> SessionParams {
        let (cipher_key_len, auth_key_len) = (self.cipher_key_len.into(), self.auth_key_len.into());
        let first_len = if self.has_cipher_key {
            cipher_key_len
        } else {
            0
        };
        let (cipher_key, auth_key) = self.keys.bytes().split_at(first_len);
        SessionParams {
            mode: self.mode,
            flags: self.flags,
            cipher: self.cipher,
            digest: self.digest,
            cipher_key_len,
            cipher_key: self.has_cipher_key.then(|| Key::new(cipher_key)),
            auth_key_len,
            auth_key: self.has_auth_key.then(|| Key::new(auth_key)),
            iv_len: self.iv_len.into(),
            auth_digest_len: self.auth_digest_len.into(),
        }
    }
}

/// Name of a session. A session that moved to another driver gets a new name under the policy that
/// reports moves; the old one then answers with
/// [`RequestError::Moved`](crate::RequestError::Moved).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl SessionId {
    /// The session's place among those of its framework: a small number, used again once the
    /// session is gone.
    #[must_use]
    pub const fn place(self) -> usize {
        (self.index & ((1 << Self::PLACE_BITS) - 1)) as usize
    }

    /// The number of the session's framework; zero but for those that
    /// [work side by side](crate::Framework::with_number).
    #[must_use]
    pub const fn framework(self) -> u8 {
        (self.index >> Self::PLACE_BITS) as u8
    }

    /// Bits of `index` that are the place; the framework's number is above.
    pub(crate) const PLACE_BITS: u32 = 24;

    /// The name as one number, for logs.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }
}
