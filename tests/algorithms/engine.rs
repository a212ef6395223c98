//! The card's engine, called directly, agrees with the software driver: with all lengths of IVs
//! that both take, keys at which something changes, and payloads around the ends of blocks.

use framework::{Cipher, Digest, Mode, SessionParams};
use regs::{CIPHER_KEY_MAX, DIGEST_KEY_MAX};
use sim::reference::Reference;

use super::{bytes, key};

/// Lengths of key at which an algorithm may begin to behave in another way.
const KEY_LENS: [usize; 19] = [
    0, 1, 5, 8, 10, 16, 20, 24, 31, 32, 40, 56, 63, 64, 65, 127, 128, 129, 176,
];

/// Sessions with `cipher` and every length of key and IV that it has.
fn with_cipher(mode: Mode, cipher: Cipher) -> Vec<SessionParams> {
    let info = cipher.info();
    let keys = KEY_LENS
        .into_iter()
        .filter(|&len| len <= CIPHER_KEY_MAX && info.key.takes(len));
    let ivs = driver::cipher_code(cipher).info().iv;
    let each = |key_len| {
        let fitting = info.iv.iter().filter(move |&len| ivs.takes(len));
        fitting.map(move |iv_len| SessionParams {
            cipher: Some(cipher),
            cipher_key_len: key_len,
            cipher_key: key(key_len, key_len),
            iv_len,
            ..SessionParams::of(mode)
        })
    };
    keys.flat_map(each).collect()
}

/// `base` with `digest` and every length of key it has, at its whole length and at its shortest.
fn with_digest(base: &SessionParams, digest: Digest) -> Vec<SessionParams> {
    let info = digest.info();
    let keys = KEY_LENS
        .into_iter()
        .filter(|&len| len <= DIGEST_KEY_MAX && info.key.takes(len));
    let each = |key_len| {
        [info.cut.min, info.cut.max].map(|cut| SessionParams {
            digest: Some(digest),
            auth_key_len: key_len,
            auth_key: key(key_len, key_len),
            auth_digest_len: cut.into(),
            ..base.clone()
        })
    };
    keys.flat_map(each).collect()
}

/// Holds both against each other; gives how many requests that took.
fn compare(params: &SessionParams) -> usize {
    let what = format!("{params:?}");
    let mut reference = Reference::new(params).unwrap_or_else(|error| panic!("{error}: {what}"));
    let mut iv = [0xEE; 64];
    iv[..params.iv_len].copy_from_slice(&bytes(3, params.iv_len));
    let block_len = params.cipher.map_or(1, Cipher::block_len);
    let takes_aad = matches!(params.mode, Mode::Aead | Mode::EncryptThenAuthenticate);
    let lens = [0, 1, 15, 16, 17, 63, 64, 65, 111, 112, 128, 129, 300, 4096];
    let mut count = 0;
    for len in lens.map(|len: usize| len.next_multiple_of(block_len)) {
        // XTS has no empty sector.
        if len == 0 && params.cipher == Some(Cipher::AesXts) {
            continue;
        }
        for aad_len in if takes_aad {
            vec![0, 13, 16, 40]
        } else {
            vec![0]
        } {
            let (aad, payload) = (bytes(1, aad_len), bytes(2, len));
            let answer = reference.forward(&iv, &aad, &payload);
            assert!(answer.is_ok(), "{answer:?} at {len} and {aad_len}: {what}");
            count += 1;
        }
    }
    count
}

#[test]
fn ciphers_agree() {
    let mut count = 0;
    for cipher in Cipher::ALL {
        if cipher.is_aead() {
            for base in with_cipher(Mode::Aead, cipher) {
                for tag_len in cipher.info().tag.iter() {
                    count += compare(&SessionParams {
                        auth_digest_len: tag_len,
                        ..base.clone()
                    });
                }
            }
        } else {
            let sessions = with_cipher(Mode::Cipher, cipher);
            assert!(!sessions.is_empty(), "{cipher:?}");
            count += sessions.iter().map(compare).sum::<usize>();
        }
    }
    assert!(count > 2000, "{count} requests");
}

#[test]
fn digests_agree() {
    let mut count = 0;
    for digest in Digest::ALL {
        for iv_len in digest.info().iv.iter() {
            let base = SessionParams {
                iv_len,
                ..SessionParams::of(Mode::Digest)
            };
            let sessions = with_digest(&base, digest);
            assert!(!sessions.is_empty(), "{digest:?}");
            count += sessions.iter().map(compare).sum::<usize>();
        }
    }
    assert!(count > 2000, "{count} requests");
}

#[test]
fn encrypt_then_authenticate_agrees() {
    let mut count = 0;
    for cipher in Cipher::ALL.into_iter().filter(|cipher| !cipher.is_aead()) {
        let base = with_cipher(Mode::EncryptThenAuthenticate, cipher);
        let base = base.last().expect("a cipher has a key and an IV");
        for digest in Digest::ALL {
            if !digest.info().iv.takes(0) {
                continue;
            }
            let sessions = with_digest(base, digest);
            count += sessions.last().map_or(0, compare);
        }
    }
    assert!(count > 2000, "{count} requests");
}
