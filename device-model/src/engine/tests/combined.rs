//! Cipher and digest together, and keys of a request.

use regs::{CipherCode, DigestCode, SessionBlockFlags, Status};

use super::super::{Context, Group, Job, Operation};
use super::{KEY_128, KEY_256, block, context, hex, run};

#[test]
fn encryption_comes_before_authentication() {
    let both = context(
        block(CipherCode::AesCbc, DigestCode::HmacSha256),
        KEY_128,
        b"key",
    );
    let cipher = context(block(CipherCode::AesCbc, DigestCode::None), KEY_128, &[]);
    let digest = context(block(CipherCode::None, DigestCode::HmacSha256), "", b"key");
    let sealed = run(&both, Operation::Seal, "00", (b"aad", &[7; 32], &[]));
    let secret = run(&cipher, Operation::Seal, "00", (&[], &[7; 32], &[])).payload;
    assert_eq!(sealed.payload, secret);
    let covered = [b"aad", secret.as_slice()].concat();
    let tag = run(&digest, Operation::Seal, "", (&[], &covered, &[])).digest;
    assert_eq!(sealed.digest, tag);
    assert_eq!(both.group(), Group::Combined);
    assert_eq!(cipher.group(), Group::Cipher);
    assert_eq!(digest.group(), Group::Digest);
}

#[test]
fn a_wrong_digest_leaves_the_payload_alone() {
    let contexts = [
        context(block(CipherCode::AesGcm, DigestCode::None), KEY_256, &[]),
        context(
            block(CipherCode::AesCtr, DigestCode::HmacSha1),
            KEY_128,
            b"k",
        ),
    ];
    for context in &contexts {
        let sealed = run(context, Operation::Seal, "01", (b"aad", b"payload", &[]));
        for at in 0..sealed.digest.len() {
            let mut wrong = sealed.digest.clone();
            wrong[at] ^= 0x80;
            let opened = run(
                context,
                Operation::Open,
                "01",
                (b"aad", &sealed.payload, &wrong),
            );
            assert_eq!(opened.ended, Err(Status::DigestMismatch));
            assert_eq!(opened.payload, sealed.payload);
        }
    }
}

#[test]
fn the_digest_covers_the_clear_text_if_it_comes_first() {
    let mut first = block(CipherCode::AesCbc, DigestCode::HmacSha256);
    first.flags = SessionBlockFlags::DIGEST_FIRST;
    let both = context(first, KEY_128, b"key");
    let digest = context(block(CipherCode::None, DigestCode::HmacSha256), "", b"key");
    let sealed = run(&both, Operation::Seal, "01", (b"aad", &[7; 32], &[]));
    let covered = [b"aad", [7; 32].as_slice()].concat();
    let tag = run(&digest, Operation::Seal, "", (&[], &covered, &[])).digest;
    assert_eq!(sealed.digest, tag);
    assert_ne!(sealed.payload, [7; 32]);
    let opened = run(
        &both,
        Operation::Open,
        "01",
        (b"aad", &sealed.payload, &tag),
    );
    assert_eq!(opened.ended, Ok(()));
    assert_eq!(opened.payload, [7; 32]);
}

#[test]
fn four_bytes_behind_the_payload_are_digested_if_the_session_takes_them() {
    let mut with_esn = block(CipherCode::AesCtr, DigestCode::HmacSha1);
    with_esn.flags = SessionBlockFlags::ESN;
    let both = context(with_esn, KEY_128, b"key");
    let plain = context(
        block(CipherCode::AesCtr, DigestCode::HmacSha1),
        KEY_128,
        b"key",
    );
    let digest = context(block(CipherCode::None, DigestCode::HmacSha1), "", b"key");
    assert!(both.takes_esn() && !plain.takes_esn());
    let seal = |context: &Context, esn: [u8; 4]| {
        let mut payload = *b"some payload";
        let mut digest = [0; 20];
        let job = Job {
            operation: Operation::Seal,
            iv: &[0; 16],
            aad: b"aad",
            esn,
            payload: &mut payload,
            digest: &mut digest,
        };
        assert_eq!(context.process(job), Ok(()));
        (payload, digest)
    };
    let (payload, tag) = seal(&both, *b"ESN!");
    let covered = [b"aad", payload.as_slice(), b"ESN!"].concat();
    let expected = run(&digest, Operation::Seal, "", (&[], &covered, &[]));
    assert_eq!(tag, expected.digest.as_slice());
    assert_eq!(seal(&plain, *b"ESN!"), seal(&plain, [0; 4]));
}

#[test]
fn request_keys_replace_both_keys() {
    let session = context(
        block(CipherCode::AesCbc, DigestCode::HmacSha256),
        KEY_128,
        b"0123",
    );
    let other_keys = [hex(KEY_128).as_slice(), b"4567"].concat();
    let request = session.with_keys(&other_keys).unwrap();
    let expected = context(
        block(CipherCode::AesCbc, DigestCode::HmacSha256),
        KEY_128,
        b"4567",
    );
    let sealed = |context: &Context| run(context, Operation::Seal, "", (&[], &[1; 16], &[])).digest;
    assert_eq!(sealed(&request), sealed(&expected));
    assert_ne!(sealed(&request), sealed(&session));
    assert_eq!(
        session.with_keys(&other_keys[1..]).err(),
        Some(Status::BadLength)
    );
    assert!(!format!("{session:?}").contains("0123"));
}
