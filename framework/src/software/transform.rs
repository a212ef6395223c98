//! One session's work on plain memory.
//!
//! Owns the expanded keys and some memory to work in. Order of encrypt-then-authenticate: digest
//! over AAD, ciphertext and extended sequence number; on the way back the digest is checked before
//! anything is written.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::aead::Message;
use super::cipher::CipherKey;
use super::compress;
use super::digest::{DigestKey, Input, LEN_MAX};
use super::parts::Parts;
use crate::{
    Buffer, Cipher, Compression, Digest, DriverError, Key, Mode, Operation, ParamsError, Request,
    SessionFlags, SessionParams,
};

/// A request taken apart: contiguous bytes instead of regions of buffers.
#[derive(Debug)]
pub struct Slices<'a> {
    /// What to do. It fits the session's mode.
    pub operation: Operation,
    /// The IV, left-aligned; what lies beyond the session's IV length is ignored.
    pub iv: [u8; 64],
    /// Additional authenticated data.
    pub aad: &'a [u8],
    /// The payload, transformed in place.
    pub payload: &'a mut [u8],
    /// Digest to compare or room for the one to write; as long as the session says.
    pub digest: &'a mut [u8],
    /// High half of an extended sequence number.
    pub esn: [u8; 4],
    /// Cipher key of this request alone.
    pub cipher_key: Option<&'a Key>,
    /// Digest key of this request alone.
    pub auth_key: Option<&'a Key>,
}

/// The work of one session.
#[derive(Debug)]
pub struct Transform {
    mode: Mode,
    iv_len: usize,
    digest_len: usize,
    has_esn: bool,
    cipher: Option<(Cipher, Option<CipherKey>)>,
    auth: Option<(Digest, Option<DigestKey>)>,
    /// For messages in parts, which few sessions have.
    parts: Option<Box<Parts>>,
    linear: Vec<u8>,
    aad: Vec<u8>,
    scratch: Vec<u8>,
}

impl Transform {
    /// Expands the keys of `params`.
    ///
    /// # Errors
    /// [`ParamsError`] if the parameters break a rule.
    pub fn new(params: &SessionParams) -> Result<Self, ParamsError> {
        params.validate()?;
        let cipher = params.cipher.map(|cipher| {
            let key = match &params.cipher_key {
                Some(key) => Some(CipherKey::new(cipher, key.bytes())),
                None if params.cipher_key_len == 0 => Some(CipherKey::new(cipher, &[])),
                None => None,
            };
            (cipher, key)
        });
        let auth = params.digest.map(|digest| {
            let key = match &params.auth_key {
                Some(key) => Some(DigestKey::new(digest, key.bytes())),
                None if params.auth_key_len == 0 => Some(DigestKey::new(digest, &[])),
                None => None,
            };
            (digest, key)
        });
        let has_parts = params.flags.contains(SessionFlags::PARTS);
        let parts = params.digest.filter(|_| has_parts).map(|digest| {
            let key = params.auth_key.clone();
            Box::new(Parts::new(digest, key, params.digest_len()))
        });
        Ok(Self {
            mode: params.mode,
            iv_len: params.iv_len,
            digest_len: params.digest_len(),
            has_esn: params.flags.contains(SessionFlags::ESN),
            cipher,
            auth,
            parts,
            linear: Vec::new(),
            aad: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Does what `request`, which is valid for the session, asks for. Nothing is written unless it
    /// succeeds.
    ///
    /// # Errors
    /// [`DriverError::DigestMismatch`] if a digest does not match, [`DriverError::TooBig`] beyond
    /// the limit of GCM (64 GiB) or if decompressed data has no room, [`DriverError::BadData`] if
    /// data to decompress is none, [`DriverError::BadState`] if a digest state is none of software
    /// under the session's key.
    pub fn process(&mut self, request: &mut Request) -> Result<(), DriverError> {
        if let Mode::Compress(algorithm) = self.mode {
            return self.process_compression(algorithm, request);
        }
        if request.operation.leaves_state() || request.operation.takes_state() {
            let parts = self.parts.as_ref();
            return parts
                .expect("a session for messages in parts")
                .process(request);
        }
        let mut aad = std::mem::take(&mut self.aad);
        match &request.separate_aad {
            Some(separate) => copy_range(separate, (0, separate.len()), &mut aad),
            None => copy_range(
                &request.buffer,
                (request.aad.start, request.aad.len),
                &mut aad,
            ),
        }
        let mut digest_bytes = [0; LEN_MAX];
        let digest = &mut digest_bytes[..self.digest_len];
        if request.operation.verifies() {
            request.buffer.copy_out(request.digest_start, digest);
        }
        let iv = request.iv_bytes(self.iv_len);
        let outcome = self.process_payload(request, iv, (&aad, digest));
        aad.clear();
        self.aad = aad;
        outcome?;
        let digest = &digest_bytes[..self.digest_len];
        if self.digest_len > 0 && !request.operation.verifies() {
            let target = request.output.as_mut().unwrap_or(&mut request.buffer);
            target.copy_in(request.digest_start, digest);
        }
        Ok(())
    }

    /// Replaces the payload by its compressed or decompressed form, unless that is of no use.
    fn process_compression(
        &mut self,
        algorithm: Compression,
        request: &mut Request,
    ) -> Result<(), DriverError> {
        let (start, len) = (request.payload.start, request.payload.len);
        let mut input = std::mem::take(&mut self.linear);
        copy_range(&request.buffer, (start, len), &mut input);
        let outcome = match request.operation {
            Operation::Decompress => {
                let room = request.buffer.result_room(start);
                compress::decompress(algorithm, &input, room)
            }
            _ => Ok(compress::compress(algorithm, &input)),
        };
        input.as_mut_slice().zeroize();
        input.clear();
        self.linear = input;
        let mut result = outcome?;
        request.result_len = result.len();
        let is_useful = request.operation == Operation::Decompress || result.len() < len;
        if is_useful {
            request.buffer.put_result(start, len, &result);
        }
        result.as_mut_slice().zeroize();
        Ok(())
    }

    /// Works where the payload is if it is contiguous and stays there, in a copy otherwise.
    fn process_payload(
        &mut self,
        request: &mut Request,
        iv: [u8; 64],
        (aad, digest): (&[u8], &mut [u8]),
    ) -> Result<(), DriverError> {
        let region = (request.payload.start, request.payload.len);
        let mut linear = std::mem::take(&mut self.linear);
        let in_place = if request.output.is_none() {
            request.buffer.contiguous_mut(region.0, region.1)
        } else {
            None
        };
        let is_in_place = in_place.is_some();
        let payload = if let Some(payload) = in_place {
            payload
        } else {
            copy_range(&request.buffer, region, &mut linear);
            &mut linear
        };
        let outcome = self.apply(Slices {
            operation: request.operation,
            iv,
            aad,
            payload,
            digest,
            esn: request.esn,
            cipher_key: request.cipher_key.as_ref(),
            auth_key: request.auth_key.as_ref(),
        });
        if outcome.is_ok() && !is_in_place && self.mode != Mode::Digest {
            match &mut request.output {
                Some(output) => output.copy_in(request.payload_output_start, &linear),
                None => request.buffer.copy_in(region.0, &linear),
            }
        }
        linear.as_mut_slice().zeroize();
        linear.clear();
        self.linear = linear;
        outcome
    }

    /// Does the work on bytes. Nothing is written unless it succeeds.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    ///
    /// # Panics
    /// If the slices do not fit the session: the operation, a key that is missing or of a wrong
    /// length, a payload that is no multiple of the block, or a digest of the wrong length.
    pub fn apply(&mut self, mut slices: Slices<'_>) -> Result<(), DriverError> {
        assert_eq!(slices.digest.len(), self.digest_len, "bytes of digest");
        slices.iv[self.iv_len..].fill(0);
        match (self.mode, slices.operation) {
            (Mode::Cipher, Operation::Encrypt | Operation::Decrypt) => {
                self.apply_cipher(&mut slices);
                Ok(())
            }
            (Mode::Digest, Operation::ComputeDigest | Operation::VerifyDigest) => {
                self.apply_digest(&mut slices)
            }
            (Mode::Aead, Operation::EncryptCompute | Operation::VerifyDecrypt) => {
                self.apply_aead(&mut slices)
            }
            (Mode::EncryptThenAuthenticate, Operation::EncryptCompute) => {
                self.apply_cipher(&mut slices);
                self.apply_digest(&mut slices)
            }
            (Mode::EncryptThenAuthenticate, Operation::VerifyDecrypt) => {
                self.apply_digest(&mut slices)?;
                self.apply_cipher(&mut slices);
                Ok(())
            }
            (mode, operation) => panic!("operation {operation:?} in mode {mode:?}"),
        }
    }

    fn apply_cipher(&self, slices: &mut Slices<'_>) {
        let encrypt = slices.operation.encrypts();
        self.with_cipher(slices.cipher_key, |key| {
            key.apply(encrypt, &slices.iv, slices.payload);
        });
    }

    fn apply_digest(&self, slices: &mut Slices<'_>) -> Result<(), DriverError> {
        let (algorithm, session_key) = self.auth.as_ref().expect("a session with a digest");
        let esn: &[u8] = if self.has_esn { &slices.esn } else { &[] };
        let input = Input {
            parts: [slices.aad, &*slices.payload, esn],
            nonce: &slices.iv[..self.iv_len],
            len: slices.digest.len(),
        };
        let computed = match (slices.auth_key, session_key) {
            (Some(key), _) => DigestKey::new(*algorithm, key.bytes()).compute(input),
            (None, Some(key)) => key.compute(input),
            (None, None) => panic!("a digest key of the session or the request"),
        };
        let computed = &computed[..slices.digest.len()];
        if !slices.operation.verifies() {
            slices.digest.copy_from_slice(computed);
        } else if !bool::from(computed.ct_eq(slices.digest)) {
            return Err(DriverError::DigestMismatch);
        }
        Ok(())
    }

    fn apply_aead(&mut self, slices: &mut Slices<'_>) -> Result<(), DriverError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = self.with_cipher(slices.cipher_key, |key| {
            let CipherKey::Aead(key) = key else {
                unreachable!("an AEAD session has such a cipher");
            };
            let message = Message {
                nonce: &slices.iv[..self.iv_len],
                aad: slices.aad,
            };
            if slices.operation.verifies() {
                let sealed = (&mut *slices.payload, &*slices.digest);
                key.open(message, sealed, &mut scratch)
            } else {
                let len = slices.digest.len();
                let tag = key.seal(message, slices.payload, len)?;
                slices.digest.copy_from_slice(&tag[..len]);
                Ok(())
            }
        });
        self.scratch = scratch;
        outcome
    }

    /// Calls `work` with the request's key or else the session's.
    fn with_cipher<T>(&self, request_key: Option<&Key>, work: impl FnOnce(&CipherKey) -> T) -> T {
        let (cipher, session_key) = self.cipher.as_ref().expect("a session with a cipher");
        match (request_key, session_key) {
            (Some(key), _) => work(&CipherKey::new(*cipher, key.bytes())),
            (None, Some(key)) => work(key),
            (None, None) => panic!("a cipher key of the session or the request"),
        }
    }
}

/// Appends a range of `buffer`, given by start and length, to `bytes`.
fn copy_range(buffer: &Buffer, (start, len): (usize, usize), bytes: &mut Vec<u8>) {
    // At once: memory that a growing vector leaves behind would keep data.
    bytes.reserve(len);
    buffer.for_each_part(start, len, |part| bytes.extend_from_slice(part));
}
