//! Known answers, and what must hold whatever the bytes are.

use proptest::prelude::*;
use timebase::Time;

use crate::software::{Slices, SoftwareDriver, Transform};
use crate::{
    Buffer, Cipher, Compression, Digest, DriverChoice, DriverError, Framework, Key, Limits, Mbuf,
    MigrationPolicy, Mode, Operation, PAGE_SIZE, Page, Region, Request, RequestError, SessionFlags,
    SessionId, SessionParams,
};

mod aeads;
mod buffers;
mod ciphers;
mod compression;
mod digests;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn with_cipher(mode: Mode, cipher: Cipher, key: &[u8], iv_len: usize) -> SessionParams {
    SessionParams {
        cipher: Some(cipher),
        cipher_key_len: key.len(),
        cipher_key: Some(Key::new(key)),
        iv_len,
        ..SessionParams::of(mode)
    }
}

fn with_digest(digest: Digest, key: &[u8]) -> SessionParams {
    let auth_key = (!key.is_empty()).then(|| Key::new(key));
    SessionParams {
        digest: Some(digest),
        auth_key_len: key.len(),
        auth_key,
        ..SessionParams::of(Mode::Digest)
    }
}

fn iv64(iv: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    out[..iv.len()].copy_from_slice(iv);
    out
}

fn apply(
    params: &SessionParams,
    operation: Operation,
    (iv, aad): (&[u8], &[u8]),
    payload: &mut [u8],
    digest: &mut [u8],
) -> Result<(), DriverError> {
    Transform::new(params).unwrap().apply(Slices {
        operation,
        iv: iv64(iv),
        aad,
        payload,
        digest,
        esn: [0; 4],
        cipher_key: None,
        auth_key: None,
    })
}

fn eta_params() -> SessionParams {
    SessionParams {
        flags: SessionFlags::all() - SessionFlags::PARTS,
        digest: Some(Digest::HmacSha256),
        auth_key_len: 20,
        auth_key: Some(Key::new(&[9; 20])),
        auth_digest_len: 12,
        ..with_cipher(Mode::EncryptThenAuthenticate, Cipher::AesCbc, &[5; 16], 16)
    }
}

#[test]
fn encrypt_then_authenticate_digests_aad_ciphertext_and_sequence_number() {
    let mut transform = Transform::new(&eta_params()).unwrap();
    let (mut payload, mut digest) = ([0x61; 32], [0; 12]);
    let mut slices = Slices {
        operation: Operation::EncryptCompute,
        iv: iv64(&[1; 16]),
        aad: b"header",
        payload: &mut payload,
        digest: &mut digest,
        esn: [0, 0, 0, 7],
        cipher_key: None,
        auth_key: None,
    };
    transform.apply(slices).unwrap();
    let cipher = with_cipher(Mode::Cipher, Cipher::AesCbc, &[5; 16], 16);
    let mut sealed = [0x61; 32];
    let iv_aad: (&[u8], &[u8]) = (&[1; 16], &[]);
    apply(&cipher, Operation::Encrypt, iv_aad, &mut sealed, &mut []).unwrap();
    assert_eq!(payload, sealed);
    let mut message = [&b"header"[..], &sealed, &[0, 0, 0, 7]].concat();
    let mut whole = [0; 32];
    let mac = with_digest(Digest::HmacSha256, &[9; 20]);
    let compute = Operation::ComputeDigest;
    apply(&mac, compute, (&[], &[]), &mut message, &mut whole).unwrap();
    assert_eq!(digest, whole[..12]);
    // Another sequence number does not verify, and nothing is decrypted.
    slices = Slices {
        operation: Operation::VerifyDecrypt,
        iv: iv64(&[1; 16]),
        aad: b"header",
        payload: &mut payload,
        digest: &mut digest,
        esn: [0, 0, 0, 8],
        cipher_key: None,
        auth_key: None,
    };
    let outcome = transform.apply(slices);
    assert_eq!(outcome, Err(DriverError::DigestMismatch));
    assert_eq!(payload, sealed);
}

#[test]
fn a_key_of_one_request_is_forgotten_after_it() {
    for (cipher, mode) in [(Cipher::AesCbc, Mode::Cipher), (Cipher::AesGcm, Mode::Aead)] {
        let iv_len = if mode == Mode::Aead { 12 } else { 16 };
        let params = with_cipher(mode, cipher, &[5; 16], iv_len);
        let mut transform = Transform::new(&params).unwrap();
        let other = Key::new(&[6; 16]);
        let mut run = |key| {
            let (mut payload, mut digest) = ([0x61; 32], [0; 16]);
            let operation = if mode == Mode::Aead {
                Operation::EncryptCompute
            } else {
                Operation::Encrypt
            };
            let slices = Slices {
                operation,
                iv: [3; 64],
                aad: &[],
                payload: &mut payload,
                digest: &mut digest[..params.digest_len()],
                esn: [0; 4],
                cipher_key: key,
                auth_key: None,
            };
            transform.apply(slices).unwrap();
            (payload, digest)
        };
        let first = run(None);
        assert_ne!(run(Some(&other)), first);
        assert_eq!(run(None), first);
    }
}

fn bytes_of(buffer: &Buffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.len()];
    buffer.copy_out(0, &mut bytes);
    bytes
}

const SUNSCREEN: &str = "4c616469657320616e642047656e746c656d656e206f662074686520636c6173
    73206f66202739393a204966204920636f756c64206f6666657220796f75206f6e6c79206f6e6520746970
    20666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742e";

#[test]
fn the_driver_serves_a_framework() {
    let mut framework = Framework::new(Limits::default());
    let id = framework.register(Box::new(SoftwareDriver::default()));
    let params = with_cipher(Mode::Aead, Cipher::AesGcm, &[5; 24], 12);
    let (choice, policy) = (DriverChoice::any(), MigrationPolicy::Transparent);
    let now = Time::ZERO;
    let session = framework.open_session(now, params, choice, policy).unwrap();
    let buffer = Buffer::Memory(vec![0x55; 48]);
    let mut request = Request::new(session, Operation::EncryptCompute, buffer);
    request.payload = Region { start: 0, len: 32 };
    request.digest_start = 32;
    request.iv = Some([1; 64]);
    framework.dispatch(now, request).unwrap();
    let mut finished = framework.take_finished().unwrap();
    assert_eq!(finished.result, Ok(()));
    finished.request.operation = Operation::VerifyDecrypt;
    framework.dispatch(now, finished.request).unwrap();
    let mut finished = framework.take_finished().unwrap();
    assert_eq!(bytes_of(&finished.request.buffer)[..32], [0x55; 32]);
    finished.request.operation = Operation::VerifyDecrypt;
    framework.dispatch(now, finished.request).unwrap();
    let finished = framework.take_finished().unwrap();
    assert_eq!(finished.result, Err(RequestError::DigestMismatch));
    framework.close_session(now, session).unwrap();
    framework.unregister(now, id).unwrap();
    assert_eq!(framework.drivers().count(), 0);
}
