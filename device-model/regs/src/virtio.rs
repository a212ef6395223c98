//! The wire of a virtio crypto device: Virtual I/O Device 1.3, section 5.9, and what QEMU makes of
//! its sessions for a vhost-user backend.
//!
//! The layouts are those without `VIRTIO_CRYPTO_F_REVISION_1`, which is never offered: fixed parts
//! are padded to one length, and every request belongs to a session. Owned here as the native
//! card's layouts are; what they mean is the model's business.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::map::codes;

codes! {
    /// How a request ended (`VIRTIO_CRYPTO_STATUS`).
    CryptoStatus: u8 {
        /// Done.
        Ok = 0,
        /// Any failure without a code of its own.
        Error = 1,
        /// The tag of an AEAD is wrong.
        BadMessage = 2,
        /// The device has no such operation or algorithm.
        NotSupported = 3,
        /// There is no such session.
        InvalidSession = 4,
        /// There is no room for another session.
        NoSpace = 5,
        /// A signature is wrong.
        KeyRejected = 6,
    }
}

codes! {
    /// What a request on a data queue asks for.
    CryptoOpcode: u32 {
        /// Encrypts, and digests if the session does both.
        CipherEncrypt = 0x000,
        /// Decrypts, and digests if the session does both.
        CipherDecrypt = 0x001,
        /// Digests.
        Hash = 0x100,
        /// Digests with a key.
        Mac = 0x200,
        /// Encrypts and authenticates.
        AeadEncrypt = 0x300,
        /// Checks the tag and decrypts.
        AeadDecrypt = 0x301,
        /// Encrypts with a public key.
        AkcipherEncrypt = 0x400,
        /// Decrypts with a private key.
        AkcipherDecrypt = 0x401,
        /// Signs a digest.
        AkcipherSign = 0x402,
        /// Checks the signature of a digest.
        AkcipherVerify = 0x403,
    }
}

codes! {
    /// What a request on the control queue asks for.
    ControlOpcode: u32 {
        /// Opens a session with a cipher, or a cipher and a digest.
        CipherCreate = 0x002,
        /// Closes it.
        CipherDestroy = 0x003,
        /// Opens a session with a digest without a key.
        HashCreate = 0x102,
        /// Closes it.
        HashDestroy = 0x103,
        /// Opens a session with a digest with a key.
        MacCreate = 0x202,
        /// Closes it.
        MacDestroy = 0x203,
        /// Opens a session with a cipher that brings its digest.
        AeadCreate = 0x302,
        /// Closes it.
        AeadDestroy = 0x303,
        /// Opens a session with a key of two halves.
        AkcipherCreate = 0x404,
        /// Closes it.
        AkcipherDestroy = 0x405,
    }
}

codes! {
    /// Ciphers that the card has, by virtio's number.
    VirtioCipher: u32 {
        /// RC4.
        Arc4 = 1,
        /// AES block by block.
        AesEcb = 2,
        /// AES in CBC mode.
        AesCbc = 3,
        /// AES in counter mode.
        AesCtr = 4,
        /// DES in CBC mode.
        DesCbc = 6,
        /// Triple DES in CBC mode.
        TripleDesCbc = 8,
        /// AES in XTS mode.
        AesXts = 13,
    }
}

codes! {
    /// Hashes that the card has, by virtio's number; MACs with the same numbers are their HMACs.
    VirtioHash: u32 {
        /// MD5.
        Md5 = 1,
        /// SHA-1.
        Sha1 = 2,
        /// SHA-224.
        Sha224 = 3,
        /// SHA-256.
        Sha256 = 4,
        /// SHA-384.
        Sha384 = 5,
        /// SHA-512.
        Sha512 = 6,
    }
}

codes! {
    /// AEADs, by virtio's number.
    VirtioAead: u32 {
        /// AES in Galois/counter mode.
        Gcm = 1,
        /// AES in counter mode with CBC-MAC.
        Ccm = 2,
        /// ChaCha20 with Poly1305.
        ChaCha20Poly1305 = 3,
    }
}

codes! {
    /// Algorithms with a key of two halves. Linux and QEMU number ECDSA 3, the standard 2; no other
    /// algorithm of the card has either number.
    VirtioAkcipher: u32 {
        /// RSA.
        Rsa = 1,
        /// ECDSA, as the standard numbers it.
        Ecdsa = 2,
        /// ECDSA, as Linux and QEMU number it.
        EcdsaOfLinux = 3,
    }
}

codes! {
    /// Which half a key is.
    KeyHalf: u32 {
        /// Anybody's.
        Public = 1,
        /// The owner's.
        Private = 2,
    }
}

codes! {
    /// How RSA fills a block.
    RsaPadding: u32 {
        /// Not at all.
        Raw = 0,
        /// As PKCS #1 version 1.5 does.
        Pkcs1 = 1,
    }
}

codes! {
    /// Which hash made the digest that RSA signs; those with a prefix in RFC 8017, 9.2, or none.
    RsaHash: u32 {
        /// None: the data is signed as it is.
        None = 0,
        /// MD5.
        Md5 = 4,
        /// SHA-1.
        Sha1 = 5,
        /// SHA-256.
        Sha256 = 6,
        /// SHA-384.
        Sha384 = 7,
        /// SHA-512.
        Sha512 = 8,
        /// SHA-224.
        Sha224 = 9,
    }
}

codes! {
    /// Curves of ECDSA.
    Curve: u32 {
        /// NIST P-192.
        P192 = 1,
        /// NIST P-224.
        P224 = 2,
        /// NIST P-256.
        P256 = 3,
        /// NIST P-384.
        P384 = 4,
        /// NIST P-521.
        P521 = 5,
    }
}

codes! {
    /// Which way a session works.
    Direction: u32 {
        /// It encrypts.
        Encrypt = 1,
        /// It decrypts.
        Decrypt = 2,
    }
}

/// A session or request with a cipher alone.
pub const OP_CIPHER: u32 = 1;
/// A session or request with a cipher and a digest.
pub const OP_CHAIN: u32 = 2;
/// A chain digests what is not yet worked on.
pub const HASH_THEN_CIPHER: u32 = 1;
/// A chain digests what the cipher made.
pub const CIPHER_THEN_HASH: u32 = 2;
/// The digest of a chain has no key.
pub const MODE_PLAIN: u32 = 1;
/// The digest of a chain has a key.
pub const MODE_AUTH: u32 = 2;
/// The service of key operations, as a bit of the configuration.
pub const SERVICES: u32 = 0x1F;
/// Of the status word of the configuration: the device works.
pub const HARDWARE_READY: u32 = 1;
/// Bytes of the result of opening a session.
pub const CREATED_LEN: usize = 16;
/// Longest cipher key of a session message, in bytes.
pub const MESSAGE_CIPHER_KEY: usize = 64;
/// Longest digest key of a session message, in bytes.
pub const MESSAGE_DIGEST_KEY: usize = 512;
/// Longest key with two halves of a session message, in bytes.
pub const MESSAGE_KEY: usize = 1024;

/// Declares structures of the wire.
macro_rules! wire {
    ($(
        $(#[$doc:meta])*
        $name:ident { $( $(#[doc = $field_doc:literal])+ $field:ident: $type:ty, )+ }
    )+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
        #[repr(C)]
        pub struct $name { $( $(#[doc = $field_doc])+ pub $field: $type, )+ }
    )+ };
}

wire! {
    /// What a device says of itself (5.9.4).
    CryptoConfig {
        /// [`HARDWARE_READY`].
        status: U32,
        /// Number of data queues; the control queue follows them.
        max_dataqueues: U32,
        /// Services, a bit for each.
        crypto_services: U32,
        /// Ciphers 0 to 31.
        cipher_low: U32,
        /// Ciphers 32 to 63.
        cipher_high: U32,
        /// Hashes.
        hash: U32,
        /// MACs 0 to 31.
        mac_low: U32,
        /// MACs 32 to 63.
        mac_high: U32,
        /// AEADs.
        aead: U32,
        /// Longest cipher key, in bytes.
        max_cipher_key: U32,
        /// Longest digest key, in bytes.
        max_auth_key: U32,
        /// Algorithms with a key of two halves.
        akcipher: U32,
        /// Most bytes of a request.
        max_size: U64,
    }
    /// What every request on the control queue begins with (5.9.7.2).
    ControlHeader {
        /// See [`ControlOpcode`].
        opcode: U32,
        /// Algorithm; the fixed part names it again.
        algorithm: U32,
        /// Not used.
        flag: U32,
        /// Not used.
        reserved: U32,
        /// The fixed part: as the opcode says.
        fixed: [u8; 56],
    }
    /// The cipher of a session.
    CipherParams {
        /// See [`VirtioCipher`].
        algorithm: U32,
        /// Bytes of its key.
        key_len: U32,
        /// See [`Direction`].
        direction: U32,
        /// Not used.
        padding: U32,
    }
    /// The digest of a session.
    DigestParams {
        /// See [`VirtioHash`].
        algorithm: U32,
        /// Bytes of the result.
        result_len: U32,
        /// Bytes of its key, if it has one.
        key_len: U32,
        /// Not used.
        padding: U32,
    }
    /// Cipher and digest of a session.
    ChainParams {
        /// [`HASH_THEN_CIPHER`] or [`CIPHER_THEN_HASH`].
        order: U32,
        /// [`MODE_PLAIN`] or [`MODE_AUTH`].
        mode: U32,
        /// The cipher.
        cipher: CipherParams,
        /// The digest.
        digest: DigestParams,
        /// Bytes that are digested first; each request says it again.
        aad_len: U32,
        /// Not used.
        padding: U32,
    }
    /// The fixed part of a session with a cipher.
    SymmetricParams {
        /// [`CipherParams`] or [`ChainParams`].
        params: [u8; 48],
        /// [`OP_CIPHER`] or [`OP_CHAIN`].
        kind: U32,
        /// Not used.
        padding: U32,
    }
    /// The fixed part of a session with an AEAD.
    AeadParams {
        /// See [`VirtioAead`].
        algorithm: U32,
        /// Bytes of its key.
        key_len: U32,
        /// Bytes of its tag.
        tag_len: U32,
        /// Bytes of additional data; each request says it again.
        aad_len: U32,
        /// See [`Direction`].
        direction: U32,
        /// Not used.
        padding: U32,
    }
    /// The fixed part of a session with a key of two halves.
    AkcipherParams {
        /// See [`VirtioAkcipher`].
        algorithm: U32,
        /// See [`KeyHalf`].
        half: U32,
        /// Bytes of the key.
        key_len: U32,
        /// [`RsaPadding`], or a [`Curve`].
        padding_or_curve: U32,
        /// See [`RsaHash`].
        hash: U32,
    }
    /// How the opening of a session ended.
    Created {
        /// Its number, if there is one.
        session: U64,
        /// See [`CryptoStatus`].
        status: U32,
        /// Zero.
        padding: U32,
    }
    /// What every request on a data queue begins with (5.9.7.3).
    DataHeader {
        /// See [`CryptoOpcode`].
        opcode: U32,
        /// Algorithm; the session knows it.
        algorithm: U32,
        /// The session.
        session: U64,
        /// Not used.
        flag: U32,
        /// Not used.
        padding: U32,
        /// The fixed part: as the opcode says.
        fixed: [u8; 48],
    }
    /// The fixed part of a request to a cipher, with a digest or without.
    CipherData {
        /// Bytes of IV.
        iv_len: U32,
        /// Bytes of data.
        source_len: U32,
        /// Bytes of room for the result.
        destination_len: U32,
        /// Where the cipher begins, if there is a digest.
        cipher_at: U32,
        /// How far it goes.
        cipher_len: U32,
        /// Where the digest begins.
        digest_at: U32,
        /// How far it goes.
        digest_len: U32,
        /// Bytes that are digested first.
        aad_len: U32,
        /// Bytes of the digest's result.
        result_len: U32,
        /// Not used.
        reserved: U32,
        /// [`OP_CIPHER`] or [`OP_CHAIN`].
        kind: U32,
        /// Not used.
        padding: U32,
    }
    /// The fixed part of a request to a digest, and to a key of two halves.
    PlainData {
        /// Bytes of data.
        source_len: U32,
        /// Bytes of the result; for a signature that is checked, of what was signed.
        result_len: U32,
    }
    /// The fixed part of a request to an AEAD.
    AeadData {
        /// Bytes of IV.
        iv_len: U32,
        /// Bytes of additional data.
        aad_len: U32,
        /// Bytes of data, the tag included if it is decrypted.
        source_len: U32,
        /// Bytes of room for the result, the tag included if it is encrypted.
        destination_len: U32,
        /// Bytes of the tag.
        tag_len: U32,
        /// Not used.
        reserved: U32,
    }
    /// The message that opens a session: symmetric algorithms, as QEMU's memory has them.
    SessionMessage {
        /// See [`ControlOpcode`].
        opcode: U64,
        /// See [`VirtioCipher`].
        cipher: U32,
        /// Bytes of its key.
        cipher_key_len: U32,
        /// See [`VirtioHash`].
        digest: U32,
        /// Bytes of the digest's result.
        result_len: U32,
        /// Bytes of the digest's key.
        digest_key_len: U32,
        /// Bytes that are digested first.
        aad_len: U32,
        /// [`OP_CIPHER`] or [`OP_CHAIN`].
        kind: u8,
        /// See [`Direction`].
        direction: u8,
        /// [`MODE_PLAIN`] or [`MODE_AUTH`].
        mode: u8,
        /// [`HASH_THEN_CIPHER`] or [`CIPHER_THEN_HASH`].
        order: u8,
        /// Padding, and two pointers of the frontend's.
        ignored: [u8; 20],
        /// The cipher's key.
        cipher_key: [u8; MESSAGE_CIPHER_KEY],
        /// The digest's key.
        digest_key: [u8; MESSAGE_DIGEST_KEY],
        /// Not used.
        rest: [u8; 432],
        /// The session's number in the answer; negative if there is none.
        session: U64,
    }
    /// The same message for a key of two halves.
    KeySessionMessage {
        /// See [`ControlOpcode`].
        opcode: U64,
        /// See [`VirtioAkcipher`].
        algorithm: U32,
        /// See [`KeyHalf`].
        half: U32,
        /// Bytes of the key.
        key_len: U32,
        /// Padding, and a pointer of the frontend's.
        ignored: [u8; 12],
        /// [`RsaPadding`], or a [`Curve`].
        padding_or_curve: U32,
        /// See [`RsaHash`].
        hash: U32,
        /// The key.
        key: [u8; MESSAGE_KEY],
        /// The session's number in the answer; negative if there is none.
        session: U64,
    }
}

/// Length of the message that opens a session, in bytes.
pub const SESSION_MESSAGE_LEN: usize = size_of::<SessionMessage>();

const _: () = {
    assert!(SESSION_MESSAGE_LEN == 1072);
    assert!(size_of::<KeySessionMessage>() == SESSION_MESSAGE_LEN);
    assert!(size_of::<ControlHeader>() == 72 && size_of::<DataHeader>() == 72);
    assert!(size_of::<ChainParams>() == 48 && size_of::<SymmetricParams>() == 56);
    assert!(size_of::<CipherData>() == 48 && size_of::<CryptoConfig>() == 56);
    assert!(size_of::<Created>() == CREATED_LEN);
};
