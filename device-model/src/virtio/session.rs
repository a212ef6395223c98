//! Sessions: what a message or a request on the control queue asks for, checked and expanded.

use regs::virtio::{
    AeadParams, AkcipherParams, CIPHER_THEN_HASH, ChainParams, CipherParams, ControlOpcode,
    CryptoOpcode, CryptoStatus, DigestParams, Direction, HASH_THEN_CIPHER, KeySessionMessage,
    MODE_AUTH, MODE_PLAIN, OP_CHAIN, OP_CIPHER, SESSION_MESSAGE_LEN, SessionMessage,
    SymmetricParams, VirtioAead, VirtioCipher, VirtioHash,
};
use regs::{CipherCode, DIGEST_KEY_MAX, DIGEST_MAX, DigestCode, SessionBlock, Status};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};
use zeroize::Zeroizing;

use super::akcipher::Key;
use super::request::{Chain, Lengths, Parts, Request, Work, prefix};
use super::{MAX_CIPHER_KEY, MAX_DIGEST_KEY, MAX_KEY};
use crate::engine::{Algorithm, Context, Group, Job, Operation};

/// What requests of one session have in common.
#[derive(Debug)]
pub(super) enum Session {
    /// A cipher.
    Cipher(Direction, Context),
    /// A cipher and a digest, each of a part of the data.
    Chain(Box<ChainSession>),
    /// A digest, and whether it has a key.
    Digest(bool, Context),
    /// A cipher that brings its digest.
    Aead(Direction, Context),
    /// A key of two halves.
    Key(Box<Key>),
}

#[derive(Debug)]
pub(super) struct ChainSession {
    direction: Direction,
    cipher: Context,
    digest: Context,
    is_hash_first: bool,
}

/// Keys of a session, cipher's first.
struct Keys<'a> {
    bytes: &'a [u8],
}

impl<'a> Keys<'a> {
    /// The next key: `len` bytes, at most `most`.
    fn take(&mut self, len: u32, most: u32) -> Result<&'a [u8], CryptoStatus> {
        if len > most {
            return Err(CryptoStatus::Error);
        }
        let split = self.bytes.split_at_checked(len as usize);
        let (key, rest) = split.ok_or(CryptoStatus::Error)?;
        self.bytes = rest;
        Ok(key)
    }
}

impl Session {
    /// The session that a request on the control queue asks for: its fixed part, and the keys
    /// behind it.
    pub(super) fn from_control(
        opcode: ControlOpcode,
        fixed: &[u8; 56],
        keys: &[u8],
    ) -> Result<Self, CryptoStatus> {
        let mut keys = Keys { bytes: keys };
        match opcode {
            ControlOpcode::CipherCreate => Self::symmetric(&prefix(fixed)?, &mut keys),
            ControlOpcode::HashCreate | ControlOpcode::MacCreate => {
                let is_keyed = opcode == ControlOpcode::MacCreate;
                let context = digest(&prefix(fixed)?, is_keyed, &mut keys)?;
                Ok(Self::Digest(is_keyed, context))
            }
            ControlOpcode::AeadCreate => Self::aead(&prefix(fixed)?, &mut keys),
            ControlOpcode::AkcipherCreate => Self::key(&prefix(fixed)?, &mut keys),
            ControlOpcode::CipherDestroy
            | ControlOpcode::HashDestroy
            | ControlOpcode::MacDestroy
            | ControlOpcode::AeadDestroy
            | ControlOpcode::AkcipherDestroy => Err(CryptoStatus::NotSupported),
        }
    }

    /// The session that a message of vhost-user asks for.
    pub(super) fn from_message(message: &[u8; SESSION_MESSAGE_LEN]) -> Result<Self, CryptoStatus> {
        let opcode = u64::from_le_bytes(prefix(message)?);
        let opcode = u32::try_from(opcode)
            .ok()
            .and_then(ControlOpcode::from_code);
        match opcode {
            // What holds keys is looked at where it lies: a copy would have to be zeroed.
            Some(ControlOpcode::CipherCreate) => Self::of_message(view(message)?),
            Some(ControlOpcode::AkcipherCreate) => {
                let message: &KeySessionMessage = view(message)?;
                let params = AkcipherParams {
                    algorithm: message.algorithm,
                    half: message.half,
                    key_len: message.key_len,
                    padding_or_curve: message.padding_or_curve,
                    hash: message.hash,
                };
                let keys = &mut Keys {
                    bytes: &message.key,
                };
                Self::key(&params, keys)
            }
            // The message has no fields for any other.
            _ => Err(CryptoStatus::NotSupported),
        }
    }

    fn of_message(message: &SessionMessage) -> Result<Self, CryptoStatus> {
        let cipher = CipherParams {
            algorithm: message.cipher,
            key_len: message.cipher_key_len,
            direction: u32::from(message.direction).into(),
            padding: 0.into(),
        };
        let cipher_keys = &mut Keys {
            bytes: &message.cipher_key,
        };
        if u32::from(message.kind) == OP_CIPHER {
            return Self::cipher(&cipher, cipher_keys);
        }
        if u32::from(message.kind) != OP_CHAIN {
            return Err(CryptoStatus::NotSupported);
        }
        let params = ChainParams {
            order: u32::from(message.order).into(),
            mode: u32::from(message.mode).into(),
            cipher,
            digest: DigestParams {
                algorithm: message.digest,
                result_len: message.result_len,
                key_len: message.digest_key_len,
                padding: 0.into(),
            },
            aad_len: message.aad_len,
            padding: 0.into(),
        };
        let digest_keys = &mut Keys {
            bytes: &message.digest_key,
        };
        let key = cipher_keys.take(cipher.key_len.get(), MAX_CIPHER_KEY)?;
        Self::chain(&params, key, digest_keys)
    }

    fn symmetric(params: &SymmetricParams, keys: &mut Keys<'_>) -> Result<Self, CryptoStatus> {
        match params.kind.get() {
            OP_CIPHER => Self::cipher(&prefix(&params.params)?, keys),
            OP_CHAIN => {
                let chain: ChainParams = prefix(&params.params)?;
                let key = keys.take(chain.cipher.key_len.get(), MAX_CIPHER_KEY)?;
                Self::chain(&chain, key, keys)
            }
            _ => Err(CryptoStatus::NotSupported),
        }
    }

    fn cipher(params: &CipherParams, keys: &mut Keys<'_>) -> Result<Self, CryptoStatus> {
        let key = keys.take(params.key_len.get(), MAX_CIPHER_KEY)?;
        let context = cipher(params.algorithm.get(), key)?;
        Ok(Self::Cipher(direction(params.direction.get())?, context))
    }

    fn chain(
        params: &ChainParams,
        cipher_key: &[u8],
        digest_keys: &mut Keys<'_>,
    ) -> Result<Self, CryptoStatus> {
        let is_keyed = match params.mode.get() {
            MODE_PLAIN => false,
            MODE_AUTH => true,
            _ => return Err(CryptoStatus::NotSupported),
        };
        let is_hash_first = match params.order.get() {
            HASH_THEN_CIPHER => true,
            CIPHER_THEN_HASH => false,
            _ => return Err(CryptoStatus::NotSupported),
        };
        Ok(Self::Chain(Box::new(ChainSession {
            direction: direction(params.cipher.direction.get())?,
            cipher: cipher(params.cipher.algorithm.get(), cipher_key)?,
            digest: digest(&params.digest, is_keyed, digest_keys)?,
            is_hash_first,
        })))
    }

    fn aead(params: &AeadParams, keys: &mut Keys<'_>) -> Result<Self, CryptoStatus> {
        let key = keys.take(params.key_len.get(), MAX_CIPHER_KEY)?;
        let code = match VirtioAead::from_code(params.algorithm.get()) {
            Some(VirtioAead::Gcm) => CipherCode::AesGcm,
            Some(VirtioAead::Ccm) => CipherCode::AesCcm,
            Some(VirtioAead::ChaCha20Poly1305) => CipherCode::ChaCha20Poly1305,
            None => return Err(CryptoStatus::NotSupported),
        };
        let mut block = SessionBlock::new(code, DigestCode::None);
        // What most have; a request may say otherwise.
        block.iv_len = 12;
        block.digest_len = small(params.tag_len.get())?;
        let context = context(&mut block, key, &[])?;
        Ok(Self::Aead(direction(params.direction.get())?, context))
    }

    fn key(params: &AkcipherParams, keys: &mut Keys<'_>) -> Result<Self, CryptoStatus> {
        let key = keys.take(params.key_len.get(), MAX_KEY)?;
        Key::new(params, key).map(Box::new).map(Self::Key)
    }

    /// The engine group that works for it and what decides how long; none for long numbers.
    pub(super) fn engine(&self) -> Option<(Group, Algorithm)> {
        match self {
            Self::Cipher(_, context) | Self::Digest(_, context) | Self::Aead(_, context) => {
                Some((context.group(), context.algorithm()))
            }
            Self::Chain(chain) => {
                let algorithm = Algorithm {
                    digest: chain.digest.algorithm().digest,
                    ..chain.cipher.algorithm()
                };
                Some((Group::Combined, algorithm))
            }
            Self::Key(_) => None,
        }
    }

    /// How much work an operation with long numbers is; none for others.
    pub(super) fn word_products(&self) -> Option<u64> {
        match self {
            Self::Key(key) => Some(key.word_products()),
            Self::Cipher(..) | Self::Chain(_) | Self::Digest(..) | Self::Aead(..) => None,
        }
    }

    /// Shows every key that it has.
    pub(super) fn visit(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        match self {
            Self::Cipher(_, context) | Self::Digest(_, context) | Self::Aead(_, context) => {
                visit("virtio session", context.raw_keys());
            }
            Self::Chain(chain) => {
                visit("virtio session", chain.cipher.raw_keys());
                visit("virtio session", chain.digest.raw_keys());
            }
            Self::Key(key) => key.visit(visit),
        }
    }

    /// Does a request; gives the result.
    pub(super) fn process(&self, work: Work<'_>) -> Result<Vec<u8>, CryptoStatus> {
        let Work {
            mut request,
            random,
        } = work;
        let Lengths { chain, .. } = request.lengths;
        match (self, request.opcode, chain) {
            (
                Self::Cipher(direction, context),
                CryptoOpcode::CipherEncrypt | CryptoOpcode::CipherDecrypt,
                None,
            ) => {
                let operation = way(*direction, request.opcode)?;
                fit(request.lengths.destination, request.lengths.source)?;
                let Parts { iv, source, .. } = request.parts();
                transform(context, operation, iv, source)?;
                Ok(source.to_vec())
            }
            (
                Self::Chain(session),
                CryptoOpcode::CipherEncrypt | CryptoOpcode::CipherDecrypt,
                Some(chain),
            ) => session.process(&mut request, chain),
            (Self::Digest(false, context), CryptoOpcode::Hash, None)
            | (Self::Digest(true, context), CryptoOpcode::Mac, None) => {
                same(request.lengths.result, context.digest_len())?;
                digest_of(context, request.parts().source)
            }
            (
                Self::Aead(direction, context),
                CryptoOpcode::AeadEncrypt | CryptoOpcode::AeadDecrypt,
                None,
            ) => {
                let operation = way(*direction, request.opcode)?;
                process_aead(context, operation, &mut request)
            }
            (Self::Key(key), opcode, None) => key.process(opcode, &request, random),
            _ => Err(CryptoStatus::Error),
        }
    }
}

impl ChainSession {
    /// The source with the cipher's part worked on, cut or padded with zeros to the room there is
    /// for it, and the digest.
    fn process(&self, request: &mut Request, chain: Chain) -> Result<Vec<u8>, CryptoStatus> {
        let operation = way(self.direction, request.opcode)?;
        let Lengths {
            destination,
            result,
            ..
        } = request.lengths;
        same(result, self.digest.digest_len())?;
        let Parts { iv, source, aad } = request.parts();
        fit(destination, source.len())?;
        // Both parts are looked at before anything is changed.
        chain.digested(source)?;
        let digest = if self.is_hash_first {
            let digest = self.digest(aad, chain.digested(source)?)?;
            transform(&self.cipher, operation, iv, chain.ciphered(source)?)?;
            digest
        } else {
            transform(&self.cipher, operation, iv, chain.ciphered(source)?)?;
            self.digest(aad, chain.digested(source)?)?
        };
        let mut output = source.to_vec();
        output.resize(destination, 0);
        output.extend_from_slice(&digest);
        Ok(output)
    }

    fn digest(&self, aad: &[u8], part: &[u8]) -> Result<Vec<u8>, CryptoStatus> {
        let mut bytes = Zeroizing::new([aad, part].concat());
        digest_of(&self.digest, &mut bytes)
    }
}

fn process_aead(
    context: &Context,
    operation: Operation,
    request: &mut Request,
) -> Result<Vec<u8>, CryptoStatus> {
    let tag_len = context.digest_len();
    same(request.lengths.tag, tag_len)?;
    let Lengths {
        iv: iv_len,
        destination,
        ..
    } = request.lengths;
    let other;
    let context = if iv_len == context.iv_len() {
        context
    } else {
        let mut block = context.block().clone();
        block.iv_len = small(iv_len as u32)?;
        other = Context::new(&block).map_err(status_of)?;
        &other
    };
    let Parts { iv, source, aad } = request.parts();
    let payload_len = match operation {
        Operation::Seal => source.len(),
        Operation::Open => source
            .len()
            .checked_sub(tag_len)
            .ok_or(CryptoStatus::Error)?,
    };
    let (payload, given) = source.split_at_mut(payload_len);
    let mut tag = [0; DIGEST_MAX];
    let tag = &mut tag[..tag_len];
    if operation == Operation::Open {
        tag.copy_from_slice(given);
        fit(destination, payload_len)?;
    } else {
        fit(destination, payload_len + tag_len)?;
    }
    context
        .process(Job {
            operation,
            iv,
            aad,
            esn: [0; 4],
            payload,
            digest: tag,
        })
        .map_err(status_of)?;
    let mut output = payload.to_vec();
    if operation == Operation::Seal {
        output.extend_from_slice(tag);
    }
    Ok(output)
}

/// Encrypts or decrypts `bytes` where they are.
fn transform(
    context: &Context,
    operation: Operation,
    iv: &[u8],
    bytes: &mut [u8],
) -> Result<(), CryptoStatus> {
    // Ciphers without an IV do not look at one.
    if context.iv_len() != 0 {
        same(iv.len(), context.iv_len())?;
    }
    let job = Job {
        operation,
        iv,
        aad: &[],
        esn: [0; 4],
        payload: bytes,
        digest: &mut [],
    };
    context.process(job).map_err(status_of)
}

fn digest_of(context: &Context, bytes: &mut [u8]) -> Result<Vec<u8>, CryptoStatus> {
    let mut digest = vec![0; context.digest_len()];
    let job = Job {
        operation: Operation::Seal,
        iv: &[],
        aad: &[],
        esn: [0; 4],
        payload: bytes,
        digest: &mut digest,
    };
    context.process(job).map_err(status_of)?;
    Ok(digest)
}

fn cipher(algorithm: u32, key: &[u8]) -> Result<Context, CryptoStatus> {
    let (code, iv_len) = match VirtioCipher::from_code(algorithm) {
        Some(VirtioCipher::Arc4) => (CipherCode::Arc4, 0),
        Some(VirtioCipher::AesEcb) => (CipherCode::AesEcb, 0),
        Some(VirtioCipher::AesCbc) => (CipherCode::AesCbc, 16),
        Some(VirtioCipher::AesCtr) => (CipherCode::AesCtr, 16),
        Some(VirtioCipher::DesCbc) => (CipherCode::DesCbc, 8),
        Some(VirtioCipher::TripleDesCbc) => (CipherCode::TripleDesCbc, 8),
        Some(VirtioCipher::AesXts) => (CipherCode::AesXts, 16),
        None => return Err(CryptoStatus::NotSupported),
    };
    let mut block = SessionBlock::new(code, DigestCode::None);
    block.iv_len = iv_len;
    context(&mut block, key, &[])
}

fn digest(
    params: &DigestParams,
    is_keyed: bool,
    keys: &mut Keys<'_>,
) -> Result<Context, CryptoStatus> {
    let (plain, keyed) = match VirtioHash::from_code(params.algorithm.get()) {
        Some(VirtioHash::Md5) => (DigestCode::Md5, DigestCode::HmacMd5),
        Some(VirtioHash::Sha1) => (DigestCode::Sha1, DigestCode::HmacSha1),
        Some(VirtioHash::Sha224) => (DigestCode::Sha224, DigestCode::HmacSha224),
        Some(VirtioHash::Sha256) => (DigestCode::Sha256, DigestCode::HmacSha256),
        Some(VirtioHash::Sha384) => (DigestCode::Sha384, DigestCode::HmacSha384),
        Some(VirtioHash::Sha512) => (DigestCode::Sha512, DigestCode::HmacSha512),
        None => return Err(CryptoStatus::NotSupported),
    };
    let mut block = SessionBlock::new(CipherCode::None, if is_keyed { keyed } else { plain });
    block.digest_len = small(params.result_len.get())?;
    if !is_keyed {
        return context(&mut block, &[], &[]);
    }
    let key = keys.take(params.key_len.get(), MAX_DIGEST_KEY)?;
    if key.len() <= DIGEST_KEY_MAX {
        return context(&mut block, &[], key);
    }
    // What HMAC does with a key that is longer than a block.
    let mut hash = SessionBlock::new(CipherCode::None, plain);
    hash.digest_len = plain.len() as u8;
    let hash = context(&mut hash, &[], &[])?;
    let mut key = Zeroizing::new(key.to_vec());
    let key = Zeroizing::new(digest_of(&hash, &mut key)?);
    context(&mut block, &[], &key)
}

/// The context of `block` with these keys.
fn context(
    block: &mut SessionBlock,
    cipher_key: &[u8],
    digest_key: &[u8],
) -> Result<Context, CryptoStatus> {
    let set = block.set_keys(cipher_key, digest_key);
    set.map_err(|_| CryptoStatus::Error)?;
    Context::new(block).map_err(status_of)
}

/// The structure that `message` is.
fn view<T: FromBytes + Immutable + KnownLayout + Unaligned>(
    message: &[u8; SESSION_MESSAGE_LEN],
) -> Result<&T, CryptoStatus> {
    T::ref_from_bytes(message).map_err(|_| CryptoStatus::Error)
}

fn direction(code: u32) -> Result<Direction, CryptoStatus> {
    Direction::from_code(code).ok_or(CryptoStatus::Error)
}

/// Which way a request goes that must go its session's way.
fn way(direction: Direction, opcode: CryptoOpcode) -> Result<Operation, CryptoStatus> {
    match (direction, opcode) {
        (Direction::Encrypt, CryptoOpcode::CipherEncrypt | CryptoOpcode::AeadEncrypt) => {
            Ok(Operation::Seal)
        }
        (Direction::Decrypt, CryptoOpcode::CipherDecrypt | CryptoOpcode::AeadDecrypt) => {
            Ok(Operation::Open)
        }
        _ => Err(CryptoStatus::Error),
    }
}

/// A length that fits a byte.
fn small(len: u32) -> Result<u8, CryptoStatus> {
    u8::try_from(len).map_err(|_| CryptoStatus::Error)
}

fn same(len: usize, expected: usize) -> Result<(), CryptoStatus> {
    if len == expected {
        Ok(())
    } else {
        Err(CryptoStatus::Error)
    }
}

fn fit(room: usize, len: usize) -> Result<(), CryptoStatus> {
    if len <= room {
        Ok(())
    } else {
        Err(CryptoStatus::Error)
    }
}

fn status_of(status: Status) -> CryptoStatus {
    match status {
        Status::DigestMismatch => CryptoStatus::BadMessage,
        _ => CryptoStatus::Error,
    }
}
