//! Messages digested in parts.
//!
//! Owns nothing between two parts: the state is in the request, as every driver reads it. The
//! library that digests whole messages does not say what its states are, so the hashes here are
//! those of the card's family; the seal is aws-lc's. That each digest is the one of the whole
//! message, by that other library, is what the tests are for.

use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use sha2::Digest as Hash;
use sha2::digest::common::BlockSizeUser;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::cipher::{VALID, unbound};
use super::digest::LEN_MAX;
use crate::digest_state::DIGEST_STATE_LEN;
use crate::{Digest, DigestState, DriverError, Key, Operation, Request};

/// Where the body of a state begins, its seal, and the zeroes behind that, in bytes.
const BODY_AT: usize = 16;
const SEAL_AT: usize = 224;
const TAIL_AT: usize = 240;
/// Longest block of a hash, in bytes.
const BLOCK_MAX: usize = 128;
/// Most blocks that a state from elsewhere may count, far from where a counter of bits overflows.
const BLOCKS_MAX: u128 = 1 << 48;

type Bytes = Zeroizing<[u8; DIGEST_STATE_LEN]>;

/// What is made of a hash.
#[derive(Clone, Copy, Debug)]
enum Around {
    Nothing,
    /// RFC 2104.
    Hmac,
    /// RFC 1828 and RFC 1852; writes the length of the key in bits.
    KeyPadDataKey(fn(u64) -> [u8; 8]),
}

/// A session whose messages come in parts.
#[derive(Debug)]
pub(super) struct Parts {
    digest: Digest,
    /// None if every request brings its own, or the digest has none.
    key: Option<Key>,
    digest_len: usize,
}

impl Parts {
    pub(super) const fn new(digest: Digest, key: Option<Key>, digest_len: usize) -> Self {
        Self {
            digest,
            key,
            digest_len,
        }
    }

    /// Digests a part. Nothing is written, and the request's state stays, unless it succeeds.
    pub(super) fn process(&self, request: &mut Request) -> Result<(), DriverError> {
        match self.digest {
            Digest::Md5 => self.digest_part::<md_5::Md5>(Around::Nothing, request),
            Digest::Sha1 => self.digest_part::<sha1::Sha1>(Around::Nothing, request),
            Digest::Sha224 => self.digest_part::<sha2::Sha224>(Around::Nothing, request),
            Digest::Sha256 => self.digest_part::<sha2::Sha256>(Around::Nothing, request),
            Digest::Sha384 => self.digest_part::<sha2::Sha384>(Around::Nothing, request),
            Digest::Sha512 => self.digest_part::<sha2::Sha512>(Around::Nothing, request),
            Digest::Ripemd160 => self.digest_part::<ripemd::Ripemd160>(Around::Nothing, request),
            Digest::HmacMd5 => self.digest_part::<md_5::Md5>(Around::Hmac, request),
            Digest::HmacSha1 => self.digest_part::<sha1::Sha1>(Around::Hmac, request),
            Digest::HmacSha224 => self.digest_part::<sha2::Sha224>(Around::Hmac, request),
            Digest::HmacSha256 => self.digest_part::<sha2::Sha256>(Around::Hmac, request),
            Digest::HmacSha384 => self.digest_part::<sha2::Sha384>(Around::Hmac, request),
            Digest::HmacSha512 => self.digest_part::<sha2::Sha512>(Around::Hmac, request),
            Digest::HmacRipemd160 => self.digest_part::<ripemd::Ripemd160>(Around::Hmac, request),
            Digest::Md5Kpdk => {
                self.digest_part::<md_5::Md5>(Around::KeyPadDataKey(u64::to_le_bytes), request)
            }
            Digest::Sha1Kpdk => {
                self.digest_part::<sha1::Sha1>(Around::KeyPadDataKey(u64::to_be_bytes), request)
            }
            Digest::NullHmac
            | Digest::Blake2b
            | Digest::Blake2s
            | Digest::AesGmac
            | Digest::AesCcmMac
            | Digest::Poly1305 => unreachable!("a session in parts has a digest that takes them"),
        }
    }

    fn digest_part<D>(&self, around: Around, request: &mut Request) -> Result<(), DriverError>
    where
        D: Hash + BlockSizeUser + SerializableState,
    {
        let key = request.auth_key.clone().or_else(|| self.key.clone());
        let key = key.as_ref().map_or(&[][..], Key::bytes);
        let mut hash = match &request.state {
            Some(state) if request.operation.takes_state() => {
                resume::<D>(&self.open(state, key)?[BODY_AT..SEAL_AT])?
            }
            Some(_) | None => begin::<D>(around, key),
        };
        let (start, len) = (request.payload.start, request.payload.len);
        request
            .buffer
            .for_each_part(start, len, |bytes| hash.update(bytes));
        if request.operation.leaves_state() {
            let state = DigestState::new(self.digest, &self.seal(hash, key));
            request.state = Some(Box::new(state));
            return Ok(());
        }
        self.end(request, finish(hash, around, key).as_ref())
    }

    /// The bytes of `state` in the clear, if it is one of this digest under `key`.
    fn open(&self, state: &DigestState, key: &[u8]) -> Result<Bytes, DriverError> {
        let mut bytes = Bytes::new(*state.bytes());
        let is_framed = bytes[..BODY_AT] == self.header();
        if !is_framed || bytes[TAIL_AT..].iter().any(|&byte| byte != 0) {
            return Err(DriverError::BadState);
        }
        let mut seal = [0; BODY_AT];
        seal.copy_from_slice(&bytes[SEAL_AT..TAIL_AT]);
        let mut expected = [0; BODY_AT];
        if self.digest.is_keyed() {
            let keys = self.seal_keys(key);
            mask(&keys, seal, &mut bytes);
            expected = seal_of(&keys, &bytes);
        }
        let is_ours = bool::from(seal.ct_eq(&expected));
        is_ours.then_some(bytes).ok_or(DriverError::BadState)
    }

    /// The bytes of a state, sealed under `key` if the digest has one.
    fn seal<D: SerializableState>(&self, hash: D, key: &[u8]) -> Bytes {
        let mut bytes = Bytes::new([0; DIGEST_STATE_LEN]);
        bytes[..BODY_AT].copy_from_slice(&self.header());
        let mut body = hash.serialize();
        bytes[BODY_AT..][..body.len()].copy_from_slice(&body);
        body.as_mut_slice().zeroize();
        if self.digest.is_keyed() {
            let keys = self.seal_keys(key);
            let seal = seal_of(&keys, &bytes);
            mask(&keys, seal, &mut bytes);
            bytes[SEAL_AT..TAIL_AT].copy_from_slice(&seal);
        }
        bytes
    }

    fn header(&self) -> [u8; BODY_AT] {
        let mut header = [0; BODY_AT];
        header[0] = DigestState::code_of(self.digest).expect("a digest that takes parts");
        header[1] = 1;
        header
    }

    /// The key of the seal's MAC, then that of its cipher.
    fn seal_keys(&self, key: &[u8]) -> Zeroizing<[u8; LEN_MAX]> {
        let mut root = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA512, key));
        root.update(b"digest state");
        root.update(&self.header());
        let mut keys = Zeroizing::new([0; LEN_MAX]);
        keys.copy_from_slice(root.sign().as_ref());
        keys
    }

    /// Writes the digest of a message that is over, or compares it.
    fn end(&self, request: &mut Request, whole: &[u8]) -> Result<(), DriverError> {
        let computed = &whole[..self.digest_len];
        if request.operation == Operation::EndVerify {
            let mut expected = [0; LEN_MAX];
            let expected = &mut expected[..self.digest_len];
            request.buffer.copy_out(request.digest_start, expected);
            if !bool::from(computed.ct_eq(expected)) {
                return Err(DriverError::DigestMismatch);
            }
        } else {
            request.copy_back(request.digest_start, computed);
        }
        request.state = None;
        Ok(())
    }
}

/// Encrypts or decrypts the body.
fn mask(keys: &[u8; LEN_MAX], seal: [u8; BODY_AT], bytes: &mut Bytes) {
    let cipher = EncryptingKey::ctr(unbound(&keys[32..])).expect(VALID);
    let context = EncryptionContext::Iv128(FixedLength::from(seal));
    let masked = cipher.less_safe_encrypt(&mut bytes[BODY_AT..SEAL_AT], context);
    masked.expect("AES in counter mode takes any bytes");
}

fn seal_of(keys: &[u8; LEN_MAX], bytes: &Bytes) -> [u8; BODY_AT] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &keys[..32]);
    let tag = hmac::sign(&key, &bytes[..SEAL_AT]);
    std::array::from_fn(|at| tag.as_ref()[at])
}

/// A hash that nothing of a message is in yet.
fn begin<D: Hash + BlockSizeUser>(around: Around, key: &[u8]) -> D {
    match around {
        Around::Nothing => D::new(),
        Around::Hmac => D::new_with_prefix(pad::<D>(key, 0x36).as_slice()),
        Around::KeyPadDataKey(length) => {
            let padded_len = (key.len() + 1 + 8).next_multiple_of(D::block_size());
            let mut padded = Zeroizing::new(vec![0; padded_len]);
            padded[..key.len()].copy_from_slice(key);
            padded[key.len()] = 0x80;
            padded[padded_len - 8..].copy_from_slice(&length(8 * key.len() as u64));
            D::new_with_prefix(padded.as_slice())
        }
    }
}

/// The digest of a message that is over.
fn finish<D: Hash + BlockSizeUser>(mut hash: D, around: Around, key: &[u8]) -> impl AsRef<[u8]> {
    match around {
        Around::Nothing => hash.finalize(),
        Around::Hmac => {
            let outer = D::new_with_prefix(pad::<D>(key, 0x5C).as_slice());
            outer.chain_update(hash.finalize()).finalize()
        }
        Around::KeyPadDataKey(_) => {
            hash.update(key);
            hash.finalize()
        }
    }
}

/// The key of an HMAC, filled up to a block, under `byte`.
fn pad<D: Hash + BlockSizeUser>(key: &[u8], byte: u8) -> Zeroizing<Vec<u8>> {
    let mut block = Zeroizing::new(vec![0; D::block_size()]);
    if key.len() > block.len() {
        let mut hashed = D::digest(key);
        block[..hashed.len()].copy_from_slice(&hashed);
        hashed.as_mut_slice().zeroize();
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    block.iter_mut().for_each(|masked| *masked ^= byte);
    block
}

/// The hash in the body of a state, which may be any bytes.
fn resume<D: BlockSizeUser + SerializableState>(body: &[u8]) -> Result<D, DriverError> {
    let mut state = SerializedState::<D>::default();
    let (used, rest) = body.split_at(state.len());
    // The count of blocks stands before what makes no block yet and its length, together a block.
    let width = D::block_size() / 8;
    let counted = &used[used.len() - D::block_size() - width..][..width];
    let mut count = [0; BLOCK_MAX / 8];
    count[..width].copy_from_slice(counted);
    let has_rest = rest.iter().any(|&byte| byte != 0);
    if has_rest || u128::from_le_bytes(count) > BLOCKS_MAX {
        return Err(DriverError::BadState);
    }
    state.copy_from_slice(used);
    let hash = D::deserialize(&state).map_err(|_| DriverError::BadState);
    state.as_mut_slice().zeroize();
    hash
}

#[cfg(test)]
mod tests;
