//! A request: one operation on one buffer; crypto_request(9).

use bitflags::bitflags;
use timebase::Time;

use crate::{Buffer, DigestState, Key, SessionId};

/// Number of a request, unique in a framework's life; set by dispatch.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

/// Bits of a request's number that count; the number of its framework is above.
const COUNT_BITS: u32 = 56;

impl RequestId {
    /// What the numbers of a framework's requests follow upon.
    pub(crate) const fn first_of(framework: u8) -> Self {
        Self((framework as u64) << COUNT_BITS)
    }

    /// The number of the framework that has or had the request; zero but for those that
    /// [work side by side](crate::Framework::with_number).
    #[must_use]
    pub const fn framework(self) -> u8 {
        (self.0 >> COUNT_BITS) as u8
    }
}

/// What a request asks for; `crp_op`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Operation {
    /// `CRYPTO_OP_ENCRYPT`, mode cipher.
    Encrypt,
    /// `CRYPTO_OP_DECRYPT`, mode cipher.
    Decrypt,
    /// `CRYPTO_OP_COMPUTE_DIGEST`, mode digest.
    ComputeDigest,
    /// `CRYPTO_OP_VERIFY_DIGEST`, mode digest.
    VerifyDigest,
    /// `CRYPTO_OP_ENCRYPT | CRYPTO_OP_COMPUTE_DIGEST`, modes AEAD and encrypt-then-authenticate.
    EncryptCompute,
    /// `CRYPTO_OP_DECRYPT | CRYPTO_OP_VERIFY_DIGEST`, modes AEAD and encrypt-then-authenticate.
    VerifyDecrypt,
    /// `CRYPTO_OP_COMPRESS`, mode compress.
    Compress,
    /// `CRYPTO_OP_DECOMPRESS`, mode compress.
    Decompress,
    /// Digests the first part of a message and leaves the state in the request. This and the next
    /// three need [`SessionFlags::PARTS`](crate::SessionFlags); crypto(9) has no such operations.
    BeginDigest,
    /// Digests a further part: takes the request's state up and leaves the one after it.
    ContinueDigest,
    /// Digests the last part, writes the digest and takes the state.
    EndDigest,
    /// Digests the last part, compares the digest and takes the state if it matches.
    EndVerify,
}

impl Operation {
    /// Whether a digest in the input must match.
    #[must_use]
    pub const fn verifies(self) -> bool {
        matches!(
            self,
            Self::VerifyDigest | Self::VerifyDecrypt | Self::EndVerify
        )
    }

    /// Whether the state of a digest is all that comes out.
    #[must_use]
    pub const fn leaves_state(self) -> bool {
        matches!(self, Self::BeginDigest | Self::ContinueDigest)
    }

    /// Whether the message began in another request.
    #[must_use]
    pub const fn takes_state(self) -> bool {
        matches!(
            self,
            Self::ContinueDigest | Self::EndDigest | Self::EndVerify
        )
    }

    /// Whether payload is encrypted.
    #[must_use]
    pub const fn encrypts(self) -> bool {
        matches!(self, Self::Encrypt | Self::EncryptCompute)
    }
}

bitflags! {
    /// How a request is scheduled; `crp_flags`.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct RequestFlags: u32 {
        /// Never straight to the driver: queue it, so that it is handed over with its neighbours.
        const BATCH = 0x8;
        /// Call back at once, from whoever finds the request done (`CRYPTO_F_CBIMM`).
        const CALLBACK_IMMEDIATE = 0x10;
        /// The same, if the driver does its work within `process` (`CRYPTO_F_CBIFSYNC`).
        const CALLBACK_IF_SYNC = 0x40;
        /// Never in the caller's time: a driver that would do the work within dispatch gets the
        /// request when it is next serviced. Of no effect with other drivers.
        const ASYNC = 0x80;
        /// Call back in the order of dispatch among the ordered requests of the session.
        const ORDERED = 0x100;
    }
}

/// A range of a buffer, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Region {
    /// First byte.
    pub start: usize,
    /// Number of bytes.
    pub len: usize,
}

/// A request; `struct cryptop`. AAD, IV and payload are regions of the input buffer.
///
/// Only the cipher's result and a computed digest are written, to `output` if there is one and to
/// `buffer` otherwise. A `Box<Request>` can be used again after its callback without allocating.
#[derive(Debug)]
// In order of use: the way back touches the first cache line, and the common way out the first
// four.
#[repr(C, align(64))]
pub struct Request {
    /// Input, and output unless `output` is given; `crp_buf`.
    pub buffer: Buffer,
    /// The session to use.
    pub session: SessionId,
    /// The consumer's own; `crp_opaque`.
    pub opaque: u64,
    /// How to schedule.
    pub flags: RequestFlags,
    /// What to do.
    pub operation: Operation,
    /// Whether it was called back (`CRYPTO_F_DONE`).
    pub(crate) is_done: bool,
    /// Times the framework submitted it again.
    pub(crate) attempts: u8,
    /// Whether a driver that works within `process` did it; known for those that ask.
    pub(crate) was_sync: bool,
    /// What the driver overwrites, as it was before hand-over.
    pub(crate) undo: Option<Vec<u8>>,
    /// Set by dispatch.
    pub id: RequestId,
    /// Data to transform or digest.
    pub payload: Region,
    /// Where the digest stands (verify: input) or goes (compute: output); `crp_digest_start`.
    pub digest_start: usize,
    /// AAD in the input buffer; `crp_aad_start`, `crp_aad_length`.
    pub aad: Region,
    /// Separate output; `crp_obuf`. Needs [`SessionFlags::SEPARATE_OUTPUT`](crate::SessionFlags).
    pub output: Option<Buffer>,
    /// AAD in a buffer of its own; `crp_aad`. Needs
    /// [`SessionFlags::SEPARATE_AAD`](crate::SessionFlags).
    pub separate_aad: Option<Buffer>,
    /// Cipher key for this request alone; `crp_cipher_key`.
    pub cipher_key: Option<Key>,
    /// Digest key for this request alone; `crp_auth_key`.
    pub auth_key: Option<Key>,
    /// Where the IV stands in the input buffer, unless `iv` is given; `crp_iv_start`.
    pub iv_start: usize,
    /// Where the result goes in the output buffer; `crp_payload_output_start`.
    pub payload_output_start: usize,
    /// Position among the session's ordered requests; set by dispatch.
    pub(crate) order: u64,
    /// High half of an extended sequence number; `crp_esn`. Needs
    /// [`SessionFlags::ESN`](crate::SessionFlags).
    pub esn: [u8; 4],
    /// Among requests that wait for a driver the largest goes first, and of equals the oldest. Zero
    /// by default. Requests of one session with different priorities may overtake one another.
    pub priority: u8,
    /// The whole IV, left-aligned; `crp_iv` with `CRYPTO_F_IV_SEPARATE`.
    pub iv: Option<[u8; 64]>,
    /// When to give up waiting for a driver: a request that no driver has by then ends with
    /// [`RequestError::TimedOut`](crate::RequestError::TimedOut). [`Time::NEVER`] by default.
    pub expires: Time,
    /// Length of the result of compression, in bytes; `crp_olen`. Set by the driver. After
    /// [`Operation::Compress`] it may be no less than the payload's: then compression did not help
    /// and the payload is as it was.
    pub result_len: usize,
    /// The digest in the middle of a message, for the operations on parts. A request that fails has
    /// it as it was; other operations leave it alone.
    pub state: Option<Box<DigestState>>,
}

impl Request {
    /// A request for `session` on `buffer` with empty regions and no flags.
    #[must_use]
    pub fn new(session: SessionId, operation: Operation, buffer: Buffer) -> Box<Self> {
        Box::new(Self {
            id: RequestId::default(),
            session,
            operation,
            flags: RequestFlags::default(),
            buffer,
            output: None,
            aad: Region::default(),
            separate_aad: None,
            iv_start: 0,
            iv: None,
            payload: Region::default(),
            payload_output_start: 0,
            digest_start: 0,
            cipher_key: None,
            auth_key: None,
            result_len: 0,
            state: None,
            esn: [0; 4],
            expires: Time::NEVER,
            priority: 0,
            opaque: 0,
            order: 0,
            attempts: 0,
            is_done: false,
            was_sync: false,
            undo: None,
        })
    }

    /// A copy with data of its own, for another session: what to do and with which keys, IV and
    /// regions, but neither the opaque value nor the request's number; `crypto_clonereq`.
    ///
    /// # Errors
    /// [`RequestDone`] for a request that was called back: its data is not what it was.
    pub fn duplicate(&self, session: SessionId) -> Result<Box<Self>, RequestDone> {
        if self.is_done {
            return Err(RequestDone(self.id));
        }
        Ok(Box::new(Self {
            id: RequestId::default(),
            session,
            buffer: self.buffer.duplicate(),
            output: self.output.as_ref().map(Buffer::duplicate),
            separate_aad: self.separate_aad.as_ref().map(Buffer::duplicate),
            cipher_key: self.cipher_key.clone(),
            auth_key: self.auth_key.clone(),
            state: self.state.clone(),
            opaque: 0,
            order: 0,
            attempts: 0,
            is_done: false,
            was_sync: false,
            undo: None,
            ..*self
        }))
    }

    /// Copies bytes of the input out; `crypto_copydata`.
    ///
    /// # Panics
    /// If the range leaves the input.
    pub fn copy_data(&self, start: usize, bytes: &mut [u8]) {
        self.buffer.copy_out(start, bytes);
    }

    /// Copies bytes into the output, which is the input if there is no other; `crypto_copyback`.
    ///
    /// # Panics
    /// If the range leaves the output.
    pub fn copy_back(&mut self, start: usize, bytes: &[u8]) {
        let output = self.output.as_mut().unwrap_or(&mut self.buffer);
        output.copy_in(start, bytes);
    }

    /// Bytes of AAD, wherever they are.
    #[must_use]
    pub fn aad_len(&self) -> usize {
        self.separate_aad.as_ref().map_or(self.aad.len, Buffer::len)
    }

    /// Copies the IV of `len` bytes, from where it is, to the front of 64 bytes.
    ///
    /// # Panics
    /// If the request was not validated: the IV leaves the buffer or exceeds 64 bytes.
    #[must_use]
    pub fn iv_bytes(&self, len: usize) -> [u8; 64] {
        self.iv.unwrap_or_else(|| {
            let mut iv = [0; 64];
            self.buffer.copy_out(self.iv_start, &mut iv[..len]);
            iv
        })
    }
}

/// The request was called back already, so its data is not what it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("request {} was called back already", .0.0)]
pub struct RequestDone(pub RequestId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_has_data_of_its_own_and_no_history() {
        let mut request = Request::new(
            SessionId::default(),
            Operation::Encrypt,
            Buffer::Memory(vec![1; 8]),
        );
        request.payload = Region { start: 2, len: 4 };
        request.output = Some(Buffer::vectors(vec![vec![0; 3], vec![0; 5]]));
        (request.opaque, request.priority, request.id) = (7, 3, RequestId(9));
        request.cipher_key = Some(Key::new(&[5; 16]));
        let session = SessionId {
            index: 4,
            generation: 0,
        };
        let mut copy = request.duplicate(session).unwrap();
        assert_eq!(
            (copy.id, copy.session, copy.opaque),
            (RequestId(0), session, 0)
        );
        assert_eq!((copy.payload, copy.priority), (request.payload, 3));
        assert_eq!(copy.cipher_key, request.cipher_key);
        copy.copy_back(2, &[9; 4]);
        let mut bytes = [0xFF; 8];
        copy.copy_data(0, &mut bytes);
        assert_eq!(bytes, [1; 8], "the result goes to the output");
        copy.output.as_ref().unwrap().copy_out(0, &mut bytes);
        assert_eq!(bytes, [0, 0, 9, 9, 9, 9, 0, 0]);
        request.output.as_ref().unwrap().copy_out(0, &mut bytes);
        assert_eq!(bytes, [0; 8]);
        request.is_done = true;
        assert_eq!(
            request.duplicate(session).err(),
            Some(RequestDone(RequestId(9)))
        );
    }
}
