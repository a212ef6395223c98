//! Which lengths and pairs of algorithms a session may have, and which payloads.

use regs::{
    CIPHERS, CipherCode, DIGESTS, DigestCode, Lengths, SessionBlock, SessionBlockFlags, Status,
};

use super::super::{Context, Operation};
use super::{KEY_128, block, context, run};

/// Whether the card takes a session block with keys of these lengths.
fn is_taken(mut block: SessionBlock, cipher: usize, digest: usize) -> bool {
    block
        .set_keys(&[1; 64][..cipher], &[2; 176][..digest])
        .unwrap();
    match Context::new(&block) {
        Ok(_) => true,
        Err(Status::BadParameters) => false,
        Err(status) => panic!("{status:?}"),
    }
}

#[test]
fn every_cipher_takes_the_lengths_of_the_table_and_no_others() {
    for info in CIPHERS {
        let (key, digest) = (usize::from(info.key.max), usize::from(info.tag.max));
        let good = block(info.code, DigestCode::None);
        if info.code == CipherCode::None {
            assert!(!is_taken(good, 0, 0), "nothing to do");
            continue;
        }
        for len in 0..=64 {
            let is_in = info.key.takes(len);
            assert_eq!(is_taken(good.clone(), len, 0), is_in, "{info:?} key {len}");
        }
        for len in 0..=u8::MAX {
            let mut changed = good.clone();
            changed.iv_len = len;
            let is_in = info.iv.takes(usize::from(len));
            assert_eq!(is_taken(changed, key, 0), is_in, "{info:?} IV {len}");
            let mut changed = good.clone();
            changed.digest_len = len;
            let is_in = info.tag.takes(usize::from(len));
            assert_eq!(is_taken(changed, key, 0), is_in, "{info:?} tag {len}");
        }
        let mut both = block(info.code, DigestCode::HmacMd5);
        both.digest_len = 12;
        let fits = digest == 0 && info.code != CipherCode::Deflate;
        assert_eq!(is_taken(both, key, 16), fits, "{info:?} and a MAC");
    }
}

#[test]
fn every_digest_takes_the_lengths_of_the_table_and_no_others() {
    for info in DIGESTS.into_iter().skip(1) {
        let good = block(CipherCode::None, info.code);
        let key = usize::from(info.key.max);
        for len in 0..=176 {
            let is_in = info.key.takes(len);
            assert_eq!(is_taken(good.clone(), 0, len), is_in, "{info:?} key {len}");
        }
        for len in 0..=u8::MAX {
            let mut changed = good.clone();
            changed.iv_len = len;
            let len = usize::from(len);
            let is_in = len <= 16 && (info.iv == Lengths::NONE || info.iv.takes(len));
            assert_eq!(is_taken(changed, 0, key), is_in, "{info:?} IV {len}");
            let mut changed = good.clone();
            changed.digest_len = len as u8;
            let is_in = info.digest.takes(len);
            assert_eq!(is_taken(changed, 0, key), is_in, "{info:?} digest {len}");
        }
        assert!(!is_taken(good, 16, key), "a key without a cipher");
    }
}

#[test]
fn any_cipher_goes_with_any_digest_whose_nonce_its_iv_can_be() {
    for cipher in CIPHERS {
        for digest in DIGESTS.into_iter().skip(1) {
            let good = block(cipher.code, digest.code);
            let keys = (usize::from(cipher.key.max), usize::from(digest.key.max));
            let nonce_fits =
                digest.iv == Lengths::NONE || digest.iv.iter().any(|len| cipher.iv.takes(len));
            let is_alone = cipher.code.is_aead() || cipher.code == CipherCode::Deflate;
            let fits = !is_alone && nonce_fits;
            assert_eq!(
                is_taken(good, keys.0, keys.1),
                fits,
                "{cipher:?} {digest:?}"
            );
        }
    }
}

#[test]
fn flags_are_for_a_cipher_with_a_digest_of_another() {
    for flags in [SessionBlockFlags::ESN, SessionBlockFlags::DIGEST_FIRST] {
        for (cipher, digest, fits) in [
            (CipherCode::AesCbc, DigestCode::HmacSha1, true),
            (CipherCode::Null, DigestCode::HmacSha1, true),
            (CipherCode::AesCbc, DigestCode::None, false),
            (CipherCode::None, DigestCode::HmacSha1, false),
            (CipherCode::AesGcm, DigestCode::None, false),
        ] {
            let mut block = block(cipher, digest);
            block.flags = flags;
            let key = usize::from(cipher.info().key.max);
            assert_eq!(is_taken(block, key, 0), fits, "{flags:?} {cipher:?}");
        }
    }
}

#[test]
fn lengths_that_do_not_fit_change_nothing() {
    let cbc = context(block(CipherCode::AesCbc, DigestCode::None), KEY_128, &[]);
    let xts = context(
        block(CipherCode::AesXts, DigestCode::None),
        &"01".repeat(64),
        &[],
    );
    for (context, len) in [(&cbc, 15), (&cbc, 17), (&xts, 0), (&xts, 31)] {
        let payload = vec![3; len];
        let answer = run(context, Operation::Seal, "", (&[], &payload, &[]));
        assert_eq!(answer.ended, Err(Status::BadLength));
        assert_eq!(answer.payload, payload);
    }
    let answer = run(&cbc, Operation::Seal, "", (b"aad", &[0; 16], &[]));
    assert_eq!(
        answer.ended,
        Err(Status::BadLength),
        "nothing covers the AAD"
    );
    let empty = run(&cbc, Operation::Seal, "", (&[], &[], &[]));
    assert_eq!(empty.ended, Ok(()));
}
