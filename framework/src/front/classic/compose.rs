//! What a classic driver gets for a request of the framework, and what becomes of its answer.
//!
//! Composes one run of memory with AAD, payload and room for the digest, or with a payload and room
//! for what it is decompressed to, and descriptors in the order hardware knows. Nothing of a result
//! is written before it is known to be good.

use subtle::ConstantTimeEq;

use super::session::iv_len;
use super::sid::sid;
use super::{
    Callback, CrpBuf, CryptoDesc, CryptoFlags, CryptoIni, Cryptop, DescFlags, EALG_MAX_BLOCK_LEN,
};
use crate::{
    Buffer, Cipher, Digest, DriverError, DriverFlags, Errno, Key, Mode, Operation, Request,
    SessionParams,
};

/// A session of a driver.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) sid: u64,
    /// What its answers are read by.
    pub(super) shape: Shape,
    /// The cipher or the compression.
    work: Option<CryptoIni>,
    digest: Option<CryptoIni>,
    iv_len: usize,
}

/// What a request of a session consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    mode: Mode,
    digest_len: usize,
}

/// The chain of algorithms for a session: cipher or compression, then digest. An AEAD is a pair, as
/// on the page: its cipher and, under the same key, what authenticates.
///
/// `None` if this interface has no word for it, or no IV of that length.
pub(super) fn chain(params: &SessionParams) -> Option<[Option<CryptoIni>; 2]> {
    let digest_len = params.digest_len();
    let cipher = params.cipher.map(|cipher| {
        let number = cipher.info().number;
        ini(number, params.cipher_key_len, params.cipher_key.as_ref(), 0)
    });
    let digest = params.digest.map(|digest| {
        let key = params.auth_key.as_ref();
        ini(digest.info().number, params.auth_key_len, key, digest_len)
    });
    let takes_iv = params.iv_len == params.cipher.map_or(0, iv_len);
    let chain = match params.mode {
        Mode::Cipher | Mode::Digest | Mode::EncryptThenAuthenticate => [cipher, digest],
        Mode::Aead => {
            let number = pair_of(params.cipher?, params.cipher_key_len)?;
            let key = params.cipher_key.as_ref();
            let tag = ini(number, params.cipher_key_len, key, digest_len);
            [cipher, Some(tag)]
        }
        Mode::Compress(algorithm) => [Some(ini(algorithm.number(), 0, None, 0)), None],
    };
    takes_iv.then_some(chain)
}

/// The number of what authenticates for an AEAD.
fn pair_of(cipher: Cipher, key_len: usize) -> Option<u8> {
    match (cipher, key_len) {
        (Cipher::AesGcm, 16) => Some(26),
        (Cipher::AesGcm, 24) => Some(27),
        (Cipher::AesGcm, 32) => Some(28),
        (Cipher::AesCcm, _) => Some(Digest::AesCcmMac.info().number),
        _ => None,
    }
}

fn ini(number: u8, key_len: usize, key: Option<&Key>, digest_len: usize) -> CryptoIni {
    CryptoIni {
        cri_alg: u32::from(number),
        cri_klen: u32::try_from(key_len * 8).expect("a key length within validated bounds"),
        cri_mlen: digest_len,
        cri_key: key.cloned(),
        cri_iv: [0; EALG_MAX_BLOCK_LEN],
    }
}

impl Session {
    /// The driver's session `local` for `params`, which `chain` was made of.
    pub(super) fn new(
        params: &SessionParams,
        [work, digest]: [Option<CryptoIni>; 2],
        (flags, hid, local): (DriverFlags, u32, u32),
    ) -> Self {
        Self {
            sid: sid(flags, hid, local),
            shape: Shape {
                mode: params.mode,
                digest_len: params.digest_len(),
            },
            work,
            digest,
            iv_len: params.iv_len,
        }
    }

    /// The driver's request for one of the framework's.
    pub(super) fn compose(&self, ticket: u64, request: &Request) -> Cryptop {
        let (bytes, crp_desc) = match self.shape.mode {
            Mode::Compress(_) => self.compose_compression(request),
            _ => self.compose_work(request),
        };
        Cryptop {
            crp_sid: self.sid,
            crp_ilen: bytes.len(),
            crp_olen: bytes.len(),
            crp_etype: None,
            crp_flags: CryptoFlags::empty(),
            crp_buf: CrpBuf::Contiguous(bytes),
            crp_opaque: ticket,
            crp_desc,
            crp_callback: Some(Callback(ticket)),
            crp_mac: None,
        }
    }

    fn compose_work(&self, request: &Request) -> (Vec<u8>, Vec<CryptoDesc>) {
        let mut bytes = Vec::new();
        match &request.separate_aad {
            Some(aad) => append(&mut bytes, aad, 0, aad.len()),
            None => append(
                &mut bytes,
                &request.buffer,
                request.aad.start,
                request.aad.len,
            ),
        }
        let aad_len = bytes.len();
        let (start, len) = (request.payload.start, request.payload.len);
        append(&mut bytes, &request.buffer, start, len);
        let (end, digest_len) = (bytes.len(), self.shape.digest_len);
        let is_aead = self.shape.mode == Mode::Aead;
        if is_aead && request.operation.verifies() {
            // The driver compares what one key made.
            append(
                &mut bytes,
                &request.buffer,
                request.digest_start,
                digest_len,
            );
        } else {
            bytes.resize(end + digest_len, 0);
        }
        let cipher = self.work.as_ref().map(|ini| {
            let mut flags = DescFlags::IV_EXPLICIT | DescFlags::IV_PRESENT;
            flags.set(DescFlags::ENCRYPT, request.operation.encrypts());
            let mut ini = ini.clone();
            let iv = request.iv_bytes(self.iv_len);
            ini.cri_iv.copy_from_slice(&iv[..EALG_MAX_BLOCK_LEN]);
            let algorithm = with_key(ini, request.cipher_key.as_ref(), flags);
            descriptor((aad_len, end), 0, algorithm)
        });
        // An AEAD's digest covers the payload without being told.
        let (covered, key) = match is_aead {
            true => (aad_len, &request.cipher_key),
            false => (end, &request.auth_key),
        };
        let digest = self.digest.as_ref().map(|ini| {
            let algorithm = with_key(ini.clone(), key.as_ref(), DescFlags::empty());
            descriptor((0, covered), end, algorithm)
        });
        let mut descriptors: Vec<CryptoDesc> = [cipher, digest].into_iter().flatten().collect();
        if !request.operation.encrypts() {
            descriptors.reverse();
        }
        (bytes, descriptors)
    }

    fn compose_compression(&self, request: &Request) -> (Vec<u8>, Vec<CryptoDesc>) {
        let (start, len) = (request.payload.start, request.payload.len);
        let (room, flags) = match request.operation {
            Operation::Compress => (len, DescFlags::COMP),
            _ => (request.buffer.result_room(start), DescFlags::empty()),
        };
        let mut bytes = Vec::with_capacity(room.max(len));
        append(&mut bytes, &request.buffer, start, len);
        bytes.resize(room.max(len), 0);
        let algorithm = self.work.clone().expect("a session that compresses");
        (bytes, vec![descriptor((0, len), 0, (algorithm, flags))])
    }
}

fn descriptor(
    (start, end): (usize, usize),
    inject: usize,
    (crd_ini, crd_flags): (CryptoIni, DescFlags),
) -> CryptoDesc {
    CryptoDesc {
        crd_skip: start,
        crd_len: end - start,
        crd_inject: inject,
        crd_flags,
        crd_ini,
    }
}

/// The algorithm with the request's key, if that has one.
fn with_key(mut ini: CryptoIni, key: Option<&Key>, flags: DescFlags) -> (CryptoIni, DescFlags) {
    match key {
        Some(key) => {
            ini.cri_key = Some(key.clone());
            (ini, flags | DescFlags::KEY_EXPLICIT)
        }
        None => (ini, flags),
    }
}

fn append(bytes: &mut Vec<u8>, buffer: &Buffer, start: usize, len: usize) {
    // At once: memory that a growing vector leaves behind would keep data.
    bytes.reserve(len);
    buffer.for_each_part(start, len, |part| bytes.extend_from_slice(part));
}

/// Writes what the driver made of a request to where it belongs, unless something is wrong.
pub(super) fn settle(
    request: &mut Request,
    shape: Shape,
    done: &Cryptop,
) -> Result<(), DriverError> {
    match done.crp_etype {
        None => {}
        Some(Errno::E2BIG) => return Err(DriverError::TooBig),
        Some(Errno::EBADMSG) => return Err(DriverError::DigestMismatch),
        // A driver that should have refused. Nothing was touched, so the framework tries again.
        Some(Errno::EAGAIN) => return Err(DriverError::Lost { untouched: true }),
        // What this interface says of data that nothing can be decompressed from.
        Some(Errno::EINVAL) if request.operation == Operation::Decompress => {
            return Err(DriverError::BadData);
        }
        Some(_) => return Err(DriverError::Device),
    }
    match shape.mode {
        Mode::Compress(_) => settle_compression(request, done),
        _ => settle_work(request, shape, done),
    }
}

fn settle_work(request: &mut Request, shape: Shape, done: &Cryptop) -> Result<(), DriverError> {
    let Shape { mode, digest_len } = shape;
    let bytes = done.crp_buf.to_vec();
    let aad_len = request.aad_len();
    let end = aad_len + request.payload.len;
    if bytes.len() != end + digest_len {
        return Err(DriverError::Device);
    }
    let digest = &bytes[end..];
    // Of an AEAD the driver has compared.
    if request.operation.verifies() && mode != Mode::Aead {
        let mut expected = vec![0; digest_len];
        request.buffer.copy_out(request.digest_start, &mut expected);
        if !bool::from(digest.ct_eq(&expected)) {
            return Err(DriverError::DigestMismatch);
        }
    }
    let start = match request.output {
        Some(_) => request.payload_output_start,
        None => request.payload.start,
    };
    let computes = digest_len > 0 && !request.operation.verifies();
    let target = request.output.as_mut().unwrap_or(&mut request.buffer);
    if mode != Mode::Digest {
        target.copy_in(start, &bytes[aad_len..end]);
    }
    if computes {
        target.copy_in(request.digest_start, digest);
    }
    Ok(())
}

/// The length of the result is the driver's to say. A payload that did not get shorter stays.
fn settle_compression(request: &mut Request, done: &Cryptop) -> Result<(), DriverError> {
    let (start, len, result_len) = (request.payload.start, request.payload.len, done.crp_olen);
    let is_longer = result_len >= len;
    if request.operation == Operation::Compress && is_longer {
        request.result_len = result_len;
        return Ok(());
    }
    if result_len > request.buffer.result_room(start) {
        return Err(DriverError::TooBig);
    }
    let bytes = done.crp_buf.to_vec();
    let result = bytes.get(..result_len).ok_or(DriverError::Device)?;
    request.buffer.put_result(start, len, result);
    request.result_len = result_len;
    Ok(())
}
