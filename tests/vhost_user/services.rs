//! Every service, against libraries that have nothing to do with the card's.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey};
use aws_lc_rs::rsa::{PrivateDecryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use aws_lc_rs::{digest, hmac};
use regs::virtio::{
    AeadData, AeadParams, AkcipherParams, CIPHER_THEN_HASH, ChainParams, CipherData, CipherParams,
    ControlOpcode, CryptoOpcode, CryptoStatus, Curve, DigestParams, HASH_THEN_CIPHER, KeyHalf,
    KeySessionMessage, MODE_AUTH, OP_CHAIN, OP_CIPHER, PlainData, RsaHash, RsaPadding,
    SessionMessage, SymmetricParams, VirtioAead, VirtioAkcipher, VirtioCipher, VirtioHash,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::frontend::{CONFIG, Chain, Frontend, header};
use crate::served::{QUEUES, Served};

const OK: u8 = CryptoStatus::Ok as u8;
const KEY: [u8; 16] = *b"sixteen byte key";
const IV: [u8; 16] = *b"an unlikely iv..";

/// A frontend that has the whole device: sessions of every service on the control queue.
pub(crate) fn whole(served: &Served) -> Frontend {
    Frontend::start(served.path(), u64::from(QUEUES) + 1, 0, CONFIG)
}

pub(crate) fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn cbc(key: &[u8; 16], iv: &[u8; 16], plain: &[u8]) -> Vec<u8> {
    let key = UnboundCipherKey::new(&AES_128, key).unwrap();
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
    let iv = EncryptionContext::Iv128(FixedLength::from(iv));
    let mut bytes = plain.to_vec();
    key.less_safe_encrypt(&mut bytes, iv).unwrap();
    // The reference pads; what it makes of the text comes first.
    bytes.truncate(plain.len());
    bytes
}

pub(crate) fn cipher_message(cipher: VirtioCipher, key: &[u8], direction: u8) -> SessionMessage {
    let mut message = SessionMessage::new_zeroed();
    message.opcode = (ControlOpcode::CipherCreate as u64).into();
    message.cipher = (cipher as u32).into();
    message.cipher_key_len = (key.len() as u32).into();
    message.kind = OP_CIPHER as u8;
    message.direction = direction;
    // What was a pointer in the frontend's memory means nothing.
    message.ignored = [0xEE; 20];
    message.cipher_key[..key.len()].copy_from_slice(key);
    message
}

pub(crate) fn cipher_data(iv_len: u32, len: u32) -> CipherData {
    CipherData {
        iv_len: iv_len.into(),
        source_len: len.into(),
        destination_len: len.into(),
        kind: OP_CIPHER.into(),
        ..CipherData::new_zeroed()
    }
}

pub(crate) fn open(
    frontend: &mut Frontend,
    cipher: VirtioCipher,
    key: &[u8],
    direction: u8,
) -> u64 {
    let session = frontend.open(&cipher_message(cipher, key, direction));
    u64::try_from(session).expect("a session")
}

/// What the device makes of `plain`, in a session of its own.
pub(crate) fn sha256(frontend: &mut Frontend, plain: &[u8]) -> Vec<u8> {
    let params = DigestParams {
        algorithm: (VirtioHash::Sha256 as u32).into(),
        result_len: 32.into(),
        key_len: 0.into(),
        padding: 0.into(),
    };
    let session = frontend.control(ControlOpcode::HashCreate, &params, &[]);
    let opcode = (CryptoOpcode::Hash, session.expect("a session"));
    let (status, result) = frontend.request(opcode, &plain_data(plain.len(), 32), plain, 32);
    assert_eq!(status, OK);
    result
}

#[test]
fn a_message_opens_a_session_that_encrypts_as_another_library_does() {
    let served = Served::new();
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    let to = open(&mut frontend, VirtioCipher::AesCbc, &KEY, 1);
    let fro = open(&mut frontend, VirtioCipher::AesCbc, &KEY, 2);
    for len in [16, 64, 4096, 16_384] {
        let plain = text(len);
        let fixed = cipher_data(16, len as u32);
        let body = [&IV[..], &plain].concat();
        let (status, sealed) =
            frontend.request((CryptoOpcode::CipherEncrypt, to), &fixed, &body, len);
        assert_eq!(status, OK);
        assert!(sealed == cbc(&KEY, &IV, &plain), "{len} bytes");
        let body = [&IV[..], &sealed].concat();
        let (status, opened) =
            frontend.request((CryptoOpcode::CipherDecrypt, fro), &fixed, &body, len);
        assert!((status, &opened) == (OK, &plain), "{len} bytes");
    }
}

#[test]
fn hashes_and_macs_are_those_of_another_library() {
    let served = Served::new();
    let mut frontend = whole(&served);
    let plain = text(1000);
    for (hash, other, mac) in [
        (
            VirtioHash::Sha1,
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        ),
        (VirtioHash::Sha224, &digest::SHA224, hmac::HMAC_SHA224),
        (VirtioHash::Sha256, &digest::SHA256, hmac::HMAC_SHA256),
        (VirtioHash::Sha384, &digest::SHA384, hmac::HMAC_SHA384),
        (VirtioHash::Sha512, &digest::SHA512, hmac::HMAC_SHA512),
    ] {
        let len = other.output_len();
        // The longest is longer than the card's memory for keys: it is hashed first.
        let key = text(400);
        let params = DigestParams {
            algorithm: (hash as u32).into(),
            result_len: (len as u32).into(),
            key_len: (key.len() as u32).into(),
            padding: 0.into(),
        };
        let fixed = PlainData {
            source_len: 1000.into(),
            result_len: (len as u32).into(),
        };
        let session = frontend.control(ControlOpcode::HashCreate, &params, &[]);
        let opcode = (CryptoOpcode::Hash, session.unwrap());
        let (status, result) = frontend.request(opcode, &fixed, &plain, len);
        assert_eq!(
            (status, &result[..]),
            (OK, digest::digest(other, &plain).as_ref())
        );
        for key in [&key[..], &key[..20]] {
            let params = DigestParams {
                key_len: (key.len() as u32).into(),
                ..params
            };
            let session = frontend.control(ControlOpcode::MacCreate, &params, key);
            let opcode = (CryptoOpcode::Mac, session.unwrap());
            let (status, result) = frontend.request(opcode, &fixed, &plain, len);
            let expected = hmac::sign(&hmac::Key::new(mac, key), &plain);
            assert_eq!((status, &result[..]), (OK, expected.as_ref()), "{hash:?}");
        }
    }
}

#[test]
fn an_aead_is_that_of_another_library_and_tells_a_wrong_tag() {
    let served = Served::new();
    let mut frontend = whole(&served);
    let (key, nonce, aad, plain) = (text(32), text(12), text(20), text(100));
    for (aead, other) in [
        (VirtioAead::Gcm, Some(&AES_256_GCM)),
        (VirtioAead::ChaCha20Poly1305, Some(&CHACHA20_POLY1305)),
        (VirtioAead::Ccm, None),
    ] {
        let mut session = |direction: u32| {
            let params = AeadParams {
                algorithm: (aead as u32).into(),
                key_len: 32.into(),
                tag_len: 16.into(),
                aad_len: 20.into(),
                direction: direction.into(),
                padding: 0.into(),
            };
            let session = frontend.control(ControlOpcode::AeadCreate, &params, &key);
            session.unwrap()
        };
        let (to, fro) = (session(1), session(2));
        let fixed = |source: u32, destination: u32| AeadData {
            iv_len: 12.into(),
            aad_len: 20.into(),
            source_len: source.into(),
            destination_len: destination.into(),
            tag_len: 16.into(),
            reserved: 0.into(),
        };
        let body = [&nonce[..], &plain, &aad].concat();
        let encrypt = (CryptoOpcode::AeadEncrypt, to);
        let (status, sealed) = frontend.request(encrypt, &fixed(100, 116), &body, 116);
        assert_eq!(status, OK);
        if let Some(other) = other {
            let other = LessSafeKey::new(UnboundKey::new(other, &key).unwrap());
            let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
            let mut expected = plain.clone();
            other
                .seal_in_place_append_tag(nonce, Aad::from(&aad), &mut expected)
                .unwrap();
            assert_eq!(sealed, expected);
        }
        let decrypt = (CryptoOpcode::AeadDecrypt, fro);
        let mut body = [&nonce[..], &sealed, &aad].concat();
        let (status, opened) = frontend.request(decrypt, &fixed(116, 100), &body, 100);
        assert_eq!((status, &opened), (OK, &plain));
        body[20] ^= 1;
        let (status, _) = frontend.request(decrypt, &fixed(116, 100), &body, 100);
        assert_eq!(status, CryptoStatus::BadMessage as u8);
    }
}

#[test]
fn a_chain_digests_before_or_after_the_cipher_each_its_own_part() {
    let served = Served::new();
    let mut frontend = whole(&served);
    let plain = text(96);
    let mac_key = text(20);
    let chain = |order: u32| ChainParams {
        order: order.into(),
        mode: MODE_AUTH.into(),
        cipher: CipherParams {
            algorithm: (VirtioCipher::AesCbc as u32).into(),
            key_len: 16.into(),
            direction: 1.into(),
            padding: 0.into(),
        },
        digest: DigestParams {
            algorithm: (VirtioHash::Sha1 as u32).into(),
            result_len: 20.into(),
            key_len: 20.into(),
            padding: 0.into(),
        },
        aad_len: 8.into(),
        padding: 0.into(),
    };
    // The first sixteen bytes are authenticated only.
    let mut expected = plain.clone();
    expected[16..].copy_from_slice(&cbc(&KEY, &IV, &plain[16..]));
    for (order, digested) in [(HASH_THEN_CIPHER, &plain), (CIPHER_THEN_HASH, &expected)] {
        let params = chain(order);
        let mut fixed = SymmetricParams::new_zeroed();
        fixed.params.copy_from_slice(params.as_bytes());
        fixed.kind = OP_CHAIN.into();
        let keys = [&KEY[..], &mac_key].concat();
        let by_control = frontend.control(ControlOpcode::CipherCreate, &fixed, &keys);
        let mut message = cipher_message(VirtioCipher::AesCbc, &KEY, 1);
        message.kind = OP_CHAIN as u8;
        message.mode = MODE_AUTH as u8;
        message.order = order as u8;
        message.digest = params.digest.algorithm;
        message.result_len = 20.into();
        message.digest_key_len = 20.into();
        message.digest_key[..20].copy_from_slice(&mac_key);
        let by_message = frontend.open(&message) as u64;
        let aad = text(8);
        let data = CipherData {
            cipher_at: 16.into(),
            cipher_len: 80.into(),
            digest_at: 0.into(),
            digest_len: 96.into(),
            aad_len: 8.into(),
            result_len: 20.into(),
            kind: OP_CHAIN.into(),
            ..cipher_data(16, 96)
        };
        let body = [&IV[..], &plain, &aad].concat();
        let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &mac_key);
        let mac = hmac::sign(&mac, &[&aad[..], digested].concat());
        for session in [by_control.unwrap(), by_message] {
            let opcode = (CryptoOpcode::CipherEncrypt, session);
            let (status, result) = frontend.request(opcode, &data, &body, 116);
            assert_eq!(status, OK);
            assert_eq!(result[..96], expected, "order {order}");
            assert_eq!(&result[96..], mac.as_ref(), "order {order}");
            // Parts that are not in the data.
            let mut beyond = data;
            beyond.cipher_at = u32::MAX.into();
            let (status, _) = frontend.request(opcode, &beyond, &body, 116);
            assert_eq!(status, CryptoStatus::Error as u8);
        }
    }
}

pub(crate) fn plain_data(source: usize, result: usize) -> PlainData {
    PlainData {
        source_len: (source as u32).into(),
        result_len: (result as u32).into(),
    }
}

/// The private key of RSA within its PKCS #8 wrapping, which ends with it.
fn pkcs1(pkcs8: &[u8]) -> &[u8] {
    let at = pkcs8
        .windows(2)
        .enumerate()
        .skip(4)
        .find(|(_, window)| *window == [0x30, 0x82]);
    &pkcs8[at.expect("a structure").0..]
}

#[test]
fn rsa_signs_verifies_encrypts_and_decrypts_with_another_library_at_the_other_end() {
    let served = Served::new();
    let mut frontend = whole(&served);
    let pair = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = pair.as_der().unwrap();
    let signer = RsaKeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let public = signer.public_key().as_ref().to_vec();
    let message = text(50);
    let hashed = digest::digest(&digest::SHA256, &message);
    let params = |half: KeyHalf, key: &[u8]| AkcipherParams {
        algorithm: (VirtioAkcipher::Rsa as u32).into(),
        half: (half as u32).into(),
        key_len: (key.len() as u32).into(),
        padding_or_curve: (RsaPadding::Pkcs1 as u32).into(),
        hash: (RsaHash::Sha256 as u32).into(),
    };
    let private_key = pkcs1(pkcs8.as_ref());
    let private = params(KeyHalf::Private, private_key);
    let private = frontend.control(ControlOpcode::AkcipherCreate, &private, private_key);
    let private = private.unwrap();
    // The other half comes by message, as QEMU sends it.
    let mut opening = KeySessionMessage::new_zeroed();
    opening.opcode = (ControlOpcode::AkcipherCreate as u64).into();
    opening.algorithm = (VirtioAkcipher::Rsa as u32).into();
    opening.half = (KeyHalf::Public as u32).into();
    opening.key_len = (public.len() as u32).into();
    opening.padding_or_curve = (RsaPadding::Pkcs1 as u32).into();
    opening.hash = (RsaHash::Sha256 as u32).into();
    opening.key[..public.len()].copy_from_slice(&public);
    let opened = frontend.open(&opening) as u64;

    let sign = (CryptoOpcode::AkcipherSign, private);
    let (status, signature) = frontend.request(sign, &plain_data(32, 256), hashed.as_ref(), 256);
    assert_eq!(status, OK);
    let verifier = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public);
    verifier.verify(&message, &signature).expect("a signature");

    let mut theirs = vec![0; 256];
    let random = SystemRandom::new();
    signer
        .sign(&RSA_PKCS1_SHA256, &random, &message, &mut theirs)
        .unwrap();
    let verify = (CryptoOpcode::AkcipherVerify, opened);
    let mut body = [&theirs[..], hashed.as_ref()].concat();
    let (status, _) = frontend.request(verify, &plain_data(256, 32), &body, 0);
    assert_eq!(status, OK);
    body[256] ^= 1;
    let (status, _) = frontend.request(verify, &plain_data(256, 32), &body, 0);
    assert_eq!(status, CryptoStatus::KeyRejected as u8);

    let encrypt = (CryptoOpcode::AkcipherEncrypt, opened);
    let (status, sealed) = frontend.request(encrypt, &plain_data(50, 256), &message, 256);
    assert_eq!(status, OK);
    let mut room = vec![0; 256];
    let theirs = Pkcs1PrivateDecryptingKey::new(pair).unwrap();
    assert_eq!(theirs.decrypt(&sealed, &mut room).unwrap(), message);

    let public = PublicEncryptingKey::from_der(&spki(&public)).unwrap();
    let mut sealed = vec![0; 256];
    Pkcs1PublicEncryptingKey::new(public)
        .unwrap()
        .encrypt(&message, &mut sealed)
        .unwrap();
    let decrypt = (CryptoOpcode::AkcipherDecrypt, private);
    let (status, opened) = frontend.request(decrypt, &plain_data(256, 256), &sealed, 256);
    assert_eq!((status, &opened[..50]), (OK, &message[..]));
}

/// A public key of RSA in the wrapping that says that it is one.
fn spki(key: &[u8]) -> Vec<u8> {
    let long = |tag: u8, len: usize| vec![tag, 0x82, (len >> 8) as u8, len as u8];
    let algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let bits = [&long(3, key.len() + 1)[..], &[0], key].concat();
    let body = [&algorithm[..], &bits].concat();
    [&long(0x30, body.len())[..], &body].concat()
}

#[test]
fn ecdsa_signs_and_verifies_with_another_library_at_the_other_end() {
    let served = Served::new();
    let mut frontend = whole(&served);
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let private = pair.private_key().as_be_bytes().unwrap();
    let private = [b"\x30\x25\x02\x01\x01\x04\x20", private.as_ref()].concat();
    let public = pair.public_key().as_ref().to_vec();
    let message = text(50);
    let hashed = digest::digest(&digest::SHA256, &message);
    // Both numbers that there are for the algorithm.
    for number in [VirtioAkcipher::Ecdsa, VirtioAkcipher::EcdsaOfLinux] {
        let mut open = |half: KeyHalf, key: &[u8]| {
            let params = AkcipherParams {
                algorithm: (number as u32).into(),
                half: (half as u32).into(),
                key_len: (key.len() as u32).into(),
                padding_or_curve: (Curve::P256 as u32).into(),
                hash: 0.into(),
            };
            let session = frontend.control(ControlOpcode::AkcipherCreate, &params, key);
            session.unwrap()
        };
        let (signing, verifying) = (
            open(KeyHalf::Private, &private),
            open(KeyHalf::Public, &public),
        );
        let sign = (CryptoOpcode::AkcipherSign, signing);
        let (status, room) = frontend.request(sign, &plain_data(32, 72), hashed.as_ref(), 72);
        assert_eq!(status, OK);
        let signature = &room[..usize::from(room[1]) + 2];
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public);
        verifier.verify(&message, signature).expect("a signature");

        let theirs = pair.sign(&SystemRandom::new(), &message).unwrap();
        let verify = (CryptoOpcode::AkcipherVerify, verifying);
        let mut body = [theirs.as_ref(), hashed.as_ref()].concat();
        let fixed = plain_data(theirs.as_ref().len(), 32);
        assert_eq!(frontend.request(verify, &fixed, &body, 0).0, OK);
        *body.last_mut().unwrap() ^= 1;
        let (status, _) = frontend.request(verify, &fixed, &body, 0);
        assert_eq!(status, CryptoStatus::KeyRejected as u8);
    }
}

#[test]
fn configuration_space_names_the_services_that_there_are() {
    let served = Served::new();
    let mut frontend = whole(&served);
    let asked = [0_u32, 56, 0].map(u32::to_le_bytes).concat();
    let answer = frontend.ask(24, &[&asked[..], &[0; 56]].concat(), &[]);
    let word = |at: usize| u32::from_le_bytes(answer[12 + at..16 + at].try_into().unwrap());
    assert_eq!((word(0), word(4), word(8)), (1, u32::from(QUEUES), 0x1F));
    assert_eq!(
        word(12),
        1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 13
    );
}

#[test]
fn room_beyond_the_result_is_left_alone_and_the_status_is_its_last_byte() {
    let served = Served::new();
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    let session = open(&mut frontend, VirtioCipher::AesCbc, &KEY, 1);
    let place = Frontend::data(0, 5) + 0x400 + 72 + 32;
    frontend.write(place, &[0xAA; 100]);
    let header = header((CryptoOpcode::CipherEncrypt, session), &cipher_data(16, 16));
    let parts: &[&[u8]] = &[&header, &IV, &text(16)];
    let room = frontend.run(0, parts, 49, Chain::Direct);
    assert_eq!(room[..16], cbc(&KEY, &IV, &text(16)));
    assert_eq!(room[16..48], [0xAA; 32]);
    assert_eq!(room[48], OK);
}
