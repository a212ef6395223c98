//! Every symmetric algorithm of the device, with every length of key, against the two libraries
//! that results of simulated runs are held against: the card's, and that of the software driver.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use framework::{Cipher, Digest, Key, Mode, SessionFlags, SessionParams};
use regs::virtio::{
    AeadData, AeadParams, ControlOpcode, CryptoOpcode, CryptoStatus, DigestParams, VirtioAead,
    VirtioCipher, VirtioHash,
};
use sim::reference::{Expected, Reference};

use crate::frontend::Frontend;
use crate::served::Served;
use crate::services::{cipher_data, open, plain_data, text, whole};

const OK: u8 = CryptoStatus::Ok as u8;
/// Bytes of a message, around the ends of blocks; those that are no blocks are rounded up for
/// ciphers that take blocks only.
const LENS: [usize; 7] = [1, 15, 16, 17, 64, 1000, 4096];
/// Longest key of a cipher.
const KEY_MAX: usize = 64;

fn iv(len: usize) -> Vec<u8> {
    (0..len).map(|at| 0xC0 ^ (at as u8 * 3)).collect()
}

fn params(mode: Mode, cipher: Option<Cipher>, key: &[u8], iv_len: usize) -> SessionParams {
    SessionParams {
        mode,
        flags: SessionFlags::empty(),
        cipher,
        digest: None,
        cipher_key_len: key.len(),
        cipher_key: Some(Key::new(key)),
        auth_key_len: 0,
        auth_key: None,
        iv_len,
        auth_digest_len: 0,
    }
}

/// What both libraries make of a message.
fn expected(params: &SessionParams, aad: &[u8], plain: &[u8]) -> Expected {
    let mut reference = Reference::new(params).expect("libraries that serve it");
    let mut room = [0; 64];
    room[..params.iv_len].copy_from_slice(&iv(params.iv_len));
    let made = reference.forward(&room, aad, plain);
    made.expect("libraries that agree")
}

/// AES block by block, of the one library that the framework has no word for it with.
fn ecb(key: &[u8], plain: &[u8]) -> Vec<u8> {
    let algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        _ => &AES_256,
    };
    let key = UnboundCipherKey::new(algorithm, key).expect("a key");
    let key = EncryptingKey::ecb(key).expect("a mode");
    let mut bytes = plain.to_vec();
    let none = EncryptionContext::None;
    key.less_safe_encrypt(&mut bytes, none).expect("blocks");
    bytes
}

/// The message goes through the device, and comes back through it.
fn goes_and_comes_back(
    frontend: &mut Frontend,
    (to, fro): (u64, u64),
    iv: &[u8],
    (plain, sealed): (&[u8], &[u8]),
    what: &str,
) {
    let fixed = cipher_data(iv.len() as u32, plain.len() as u32);
    let encrypt = (CryptoOpcode::CipherEncrypt, to);
    let made = frontend.request(encrypt, &fixed, &[iv, plain].concat(), plain.len());
    assert!(made == (OK, sealed.to_vec()), "{what} of {}", plain.len());
    let decrypt = (CryptoOpcode::CipherDecrypt, fro);
    let made = frontend.request(decrypt, &fixed, &[iv, sealed].concat(), plain.len());
    assert!(made == (OK, plain.to_vec()), "{what} of {}", plain.len());
}

#[test]
fn every_cipher_with_every_length_of_key_is_that_of_two_libraries() {
    let served = Served::new();
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    let mut lengths = 0;
    for &cipher in VirtioCipher::ALL {
        let known = match cipher {
            VirtioCipher::Arc4 => Some(Cipher::Arc4),
            VirtioCipher::AesEcb => None,
            VirtioCipher::AesCbc => Some(Cipher::AesCbc),
            VirtioCipher::AesCtr => Some(Cipher::AesCtr),
            VirtioCipher::DesCbc => Some(Cipher::DesCbc),
            VirtioCipher::TripleDesCbc => Some(Cipher::TripleDesCbc),
            VirtioCipher::AesXts => Some(Cipher::AesXts),
        };
        let takes = |len: usize| match known {
            Some(known) => known.info().key.takes(len),
            None => matches!(len, 16 | 24 | 32),
        };
        let iv_len = match known {
            Some(known) => known.info().iv.iter().max().expect("a length"),
            None => 0,
        };
        let block = known.map_or(16, Cipher::block_len);
        for key_len in (1..=KEY_MAX).filter(|&len| takes(len)) {
            lengths += 1;
            let key = text(key_len);
            let to = open(&mut frontend, cipher, &key, 1);
            let fro = open(&mut frontend, cipher, &key, 2);
            for len in LENS.map(|len| len.next_multiple_of(block)) {
                let plain = text(len);
                let sealed = match known {
                    Some(_) => {
                        let params = params(Mode::Cipher, known, &key, iv_len);
                        expected(&params, &[], &plain).payload
                    }
                    None => ecb(&key, &plain),
                };
                let what = format!("{cipher:?} with a key of {key_len}");
                let both = (&plain[..], &sealed[..]);
                goes_and_comes_back(&mut frontend, (to, fro), &iv(iv_len), both, &what);
            }
        }
    }
    assert!(
        lengths >= 3 * 3 + 1 + 1 + 2 + 16,
        "{lengths} lengths of keys"
    );
}

#[test]
fn every_aead_with_every_length_of_key_and_tag_is_that_of_two_libraries() {
    let served = Served::new();
    let mut frontend = whole(&served);
    let mut sessions = 0;
    for (aead, cipher) in [
        (VirtioAead::Gcm, Cipher::AesGcm),
        (VirtioAead::Ccm, Cipher::AesCcm),
        (VirtioAead::ChaCha20Poly1305, Cipher::ChaCha20Poly1305),
    ] {
        let info = cipher.info();
        for key_len in [16, 24, 32].into_iter().filter(|&len| info.key.takes(len)) {
            for tag_len in info.tag.iter() {
                sessions += 1;
                let key = text(key_len);
                let params = SessionParams {
                    auth_digest_len: tag_len,
                    ..params(Mode::Aead, Some(cipher), &key, 12)
                };
                every_length_of_aead(&mut frontend, aead, &params);
            }
        }
    }
    assert!(sessions >= 7, "{sessions} sessions");
}

fn every_length_of_aead(frontend: &mut Frontend, aead: VirtioAead, params: &SessionParams) {
    let key = text(params.cipher_key_len);
    let tag_len = params.digest_len();
    let [seal, unseal] = [1_u32, 2].map(|direction| {
        let fixed = AeadParams {
            algorithm: (aead as u32).into(),
            key_len: (key.len() as u32).into(),
            tag_len: (tag_len as u32).into(),
            aad_len: 20.into(),
            direction: direction.into(),
            padding: 0.into(),
        };
        let session = frontend.control(ControlOpcode::AeadCreate, &fixed, &key);
        session.expect("a session")
    });
    for (len, aad_len) in LENS.into_iter().zip([0, 1, 16, 20, 33, 13, 8]) {
        let (plain, aad, iv) = (text(len), text(aad_len), iv(12));
        let made = expected(params, &aad, &plain);
        let sealed = [&made.payload[..], &made.digest[..tag_len]].concat();
        let fixed = |source: usize, destination: usize| AeadData {
            iv_len: 12.into(),
            aad_len: (aad_len as u32).into(),
            source_len: (source as u32).into(),
            destination_len: (destination as u32).into(),
            tag_len: (tag_len as u32).into(),
            reserved: 0.into(),
        };
        let long = sealed.len();
        let opcode = (CryptoOpcode::AeadEncrypt, seal);
        let body = [&iv[..], &plain, &aad].concat();
        let got = frontend.request(opcode, &fixed(len, long), &body, long);
        assert!(got == (OK, sealed.clone()), "{aead:?} of {len}: {params:?}");
        let opcode = (CryptoOpcode::AeadDecrypt, unseal);
        let body = [&iv[..], &sealed, &aad].concat();
        let got = frontend.request(opcode, &fixed(long, len), &body, len);
        assert!(got == (OK, plain), "{aead:?} of {len}: {params:?}");
    }
}

#[test]
fn every_hash_and_its_mac_is_that_of_two_libraries() {
    let served = Served::new();
    let mut frontend = whole(&served);
    for &hash in VirtioHash::ALL {
        let (plain, keyed) = match hash {
            VirtioHash::Md5 => (Digest::Md5, Digest::HmacMd5),
            VirtioHash::Sha1 => (Digest::Sha1, Digest::HmacSha1),
            VirtioHash::Sha224 => (Digest::Sha224, Digest::HmacSha224),
            VirtioHash::Sha256 => (Digest::Sha256, Digest::HmacSha256),
            VirtioHash::Sha384 => (Digest::Sha384, Digest::HmacSha384),
            VirtioHash::Sha512 => (Digest::Sha512, Digest::HmacSha512),
        };
        let none = (plain, ControlOpcode::HashCreate, CryptoOpcode::Hash, 0);
        let with = |key| (keyed, ControlOpcode::MacCreate, CryptoOpcode::Mac, key);
        for (digest, create, opcode, key_len) in [none, with(1), with(20), with(64), with(128)] {
            if key_len != 0 && !digest.info().key.takes(key_len) {
                continue;
            }
            let key = text(key_len);
            let session = SessionParams {
                digest: Some(digest),
                cipher_key: None,
                auth_key_len: key_len,
                auth_key: (key_len != 0).then(|| Key::new(&key)),
                ..params(Mode::Digest, None, &[], 0)
            };
            let len = session.digest_len();
            let fixed = DigestParams {
                algorithm: (hash as u32).into(),
                result_len: (len as u32).into(),
                key_len: (key_len as u32).into(),
                padding: 0.into(),
            };
            let number = frontend.control(create, &fixed, &key).expect("a session");
            for message in LENS.map(text) {
                let made = expected(&session, &[], &message).digest;
                let fixed = plain_data(message.len(), len);
                let got = frontend.request((opcode, number), &fixed, &message, len);
                let what = format!("{digest:?} of {} with {key_len}", message.len());
                assert!(got == (OK, made[..len].to_vec()), "{what}");
            }
        }
    }
}
