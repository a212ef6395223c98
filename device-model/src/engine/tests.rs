//! Known answers for every algorithm, and what the engine refuses.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use regs::{
    CIPHERS, CipherCode, DIGESTS, DigestCode, IV_MAX, Lengths, SessionBlock, SessionBlockFlags,
    Status,
};

use super::{Context, DigestState, Group, Job, MessagePart, Operation};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    let (pairs, _) = digits.as_chunks::<2>();
    pairs
        .iter()
        .map(|&[high, low]| value(high) << 4 | value(low))
        .collect()
}

fn block(cipher: CipherCode, digest: DigestCode) -> SessionBlock {
    let mut block = SessionBlock::default();
    block.cipher = cipher;
    block.digest = digest;
    block.digest_len = cipher.info().tag.max.max(digest.len() as u8);
    let (ivs, nonces) = (cipher.info().iv, digest.info().iv);
    let both = ivs
        .iter()
        .filter(|&len| nonces == Lengths::NONE || nonces.takes(len));
    block.iv_len = both.last().unwrap_or(0) as u8;
    block
}

fn context(mut block: SessionBlock, cipher_key: &str, digest_key: &[u8]) -> Context {
    block.set_keys(&hex(cipher_key), digest_key).unwrap();
    Context::new(&block).unwrap()
}

struct Answer {
    payload: Vec<u8>,
    digest: Vec<u8>,
    ended: Result<(), Status>,
}

fn run(context: &Context, operation: Operation, iv: &str, input: (&[u8], &[u8], &[u8])) -> Answer {
    let mut full_iv = [0; IV_MAX];
    let iv = hex(iv);
    full_iv[..iv.len()].copy_from_slice(&iv);
    let mut answer = Answer {
        payload: input.1.to_vec(),
        digest: input.2.to_vec(),
        ended: Ok(()),
    };
    answer.digest.resize(context.digest_len(), 0);
    answer.ended = context.process(Job {
        operation,
        iv: &full_iv,
        aad: input.0,
        esn: [0; 4],
        payload: &mut answer.payload,
        digest: &mut answer.digest,
    });
    answer
}

fn goes_both_ways(context: &Context, iv: &str, plain: &str, secret: &str) {
    let (plain, secret) = (hex(plain), hex(secret));
    let sealed = run(context, Operation::Seal, iv, (&[], &plain, &[]));
    assert_eq!(sealed.ended, Ok(()));
    assert_eq!(sealed.payload, secret);
    let opened = run(context, Operation::Open, iv, (&[], &secret, &[]));
    assert_eq!(opened.ended, Ok(()));
    assert_eq!(opened.payload, plain);
}

const SP800_38A_PLAIN: &str = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
    30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710";
const KEY_128: &str = "2b7e151628aed2a6abf7158809cf4f3c";
const KEY_192: &str = "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b";
const KEY_256: &str = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";

/// NIST SP 800-38A, F.2.1 to F.2.6.
#[test]
fn cbc_gives_the_published_answers() {
    let iv = "000102030405060708090a0b0c0d0e0f";
    for (key, secret) in [
        (
            KEY_128,
            "7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2
             73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7",
        ),
        (
            KEY_192,
            "4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a
             571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd",
        ),
        (
            KEY_256,
            "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d
             39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b",
        ),
    ] {
        let context = context(block(CipherCode::AesCbc, DigestCode::None), key, &[]);
        goes_both_ways(&context, iv, SP800_38A_PLAIN, secret);
    }
}

/// NIST SP 800-38A, F.5.1, F.5.2, F.5.5 and F.5.6.
#[test]
fn counter_mode_gives_the_published_answers() {
    let iv = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
    for (key, secret) in [
        (
            KEY_128,
            "874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff
             5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee",
        ),
        (
            KEY_256,
            "601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5
             2b0930daa23de94ce87017ba2d84988d dfc9c58db67aada613c2dd08457941a6",
        ),
    ] {
        let context = context(block(CipherCode::AesCtr, DigestCode::None), key, &[]);
        goes_both_ways(&context, iv, SP800_38A_PLAIN, secret);
        // A payload that ends inside a block uses the beginning of its keystream.
        goes_both_ways(&context, iv, &SP800_38A_PLAIN[..40], &secret[..40]);
    }
}

/// IEEE 1619-2007, annex B, vectors 1 and 2.
#[test]
fn xts_gives_the_published_answers() {
    let zeros = "00".repeat(32);
    let first = context(block(CipherCode::AesXts, DigestCode::None), &zeros, &[]);
    let secret = "917cf69ebd68b2ec9b9fe9a3eadda692 cd43d2f59598ed858c02c2652fbf922e";
    goes_both_ways(&first, "", &zeros, secret);

    let keys = ["11".repeat(16), "22".repeat(16)].concat();
    let mut short_iv = block(CipherCode::AesXts, DigestCode::None);
    short_iv.iv_len = 8;
    for block in [block(CipherCode::AesXts, DigestCode::None), short_iv] {
        let second = context(block, &keys, &[]);
        let secret = "c454185e6a16936e39334038acef838b fb186fff7480adc4289382ecd6d394f0";
        goes_both_ways(&second, "3333333333", &"44".repeat(32), secret);
    }
}

/// IEEE 1619-2007, annex B, vector 4: long enough to carry the tweak through many doublings.
#[test]
fn a_long_xts_sector_begins_and_ends_as_published() {
    let keys = "27182818284590452353602874713526 31415926535897932384626433832795";
    let context = context(block(CipherCode::AesXts, DigestCode::None), keys, &[]);
    let sector: Vec<u8> = (0..512).map(|at| at as u8).collect();
    let sealed = run(&context, Operation::Seal, "", (&[], &sector, &[]));
    assert_eq!(
        sealed.payload[..16],
        hex("27a7479befa1d476489f308cd4cfa6e2")
    );
    // Two runs of the block cipher do the same as many of one block each.
    let long: Vec<u8> = sector.repeat(5);
    let whole = run(&context, Operation::Seal, "", (&[], &long, &[]));
    assert_eq!(whole.payload[..512], sealed.payload);
    let opened = run(&context, Operation::Open, "", (&[], &whole.payload, &[]));
    assert_eq!(opened.payload, long);
}

/// McGrew and Viega, The Galois/Counter Mode of Operation, test cases 1, 4, 10 and 16.
#[test]
fn gcm_gives_the_published_answers() {
    let half = "feffe9928665731c6d6a8f9467308308";
    let plain = hex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    );
    let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let iv = "cafebabefacedbaddecaf888";
    for (key, secret, tag) in [
        (
            half.to_string(),
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
             21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
            "5bc94fbc3221a5db94fae95ae7121a47",
        ),
        (
            [half, &half[..16]].concat(),
            "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c
             7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710",
            "2519498e80f1478f37ba55bd6d27618c",
        ),
        (
            [half, half].concat(),
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            "76fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ] {
        let context = context(block(CipherCode::AesGcm, DigestCode::None), &key, &[]);
        let sealed = run(&context, Operation::Seal, iv, (&aad, &plain, &[]));
        assert_eq!(sealed.payload, hex(secret));
        assert_eq!(sealed.digest, hex(tag));
        let opened = run(
            &context,
            Operation::Open,
            iv,
            (&aad, &sealed.payload, &hex(tag)),
        );
        assert_eq!(opened.ended, Ok(()));
        assert_eq!(opened.payload, plain);
    }
    let zeros = "00".repeat(16);
    let empty = context(block(CipherCode::AesGcm, DigestCode::None), &zeros, &[]);
    let sealed = run(&empty, Operation::Seal, "", (&[], &[], &[]));
    assert_eq!(sealed.digest, hex("58e2fccefa7e3061367f1d57a4e7455a"));
}

#[test]
fn gcm_agrees_with_another_build_of_it_at_every_length() {
    let payload: Vec<u8> = (0..9000u32).map(|at| (at * 7) as u8).collect();
    let aad: Vec<u8> = (0..100).collect();
    let iv = [9; 12];
    let lengths = (0..70).chain([4080, 4095, 4096, 4097, 4112, 8192, 8200, 9000]);
    let small = context(
        block(CipherCode::AesGcm, DigestCode::None),
        &"5a".repeat(16),
        &[],
    );
    let large = context(
        block(CipherCode::AesGcm, DigestCode::None),
        &"a5".repeat(32),
        &[],
    );
    let small_peer = Aes128Gcm::new(&[0x5A; 16].into());
    let large_peer = Aes256Gcm::new(&[0xA5; 32].into());
    for len in lengths {
        let aad = &aad[..len % 100];
        let mut expected = payload[..len].to_vec();
        let tag = small_peer
            .encrypt_inout_detached(&iv.into(), aad, expected.as_mut_slice().into())
            .unwrap();
        let iv_text = "09".repeat(12);
        let ours = run(
            &small,
            Operation::Seal,
            &iv_text,
            (aad, &payload[..len], &[]),
        );
        assert_eq!(ours.payload, expected, "{len} bytes");
        assert_eq!(ours.digest, tag.as_slice(), "{len} bytes");

        let mut expected = payload[..len].to_vec();
        let tag = large_peer
            .encrypt_inout_detached(&iv.into(), aad, expected.as_mut_slice().into())
            .unwrap();
        let ours = run(
            &large,
            Operation::Seal,
            &iv_text,
            (aad, &payload[..len], &[]),
        );
        assert_eq!(ours.payload, expected, "{len} bytes");
        assert_eq!(ours.digest, tag.as_slice(), "{len} bytes");
    }
}

/// FIPS 180-4 examples: the message "abc".
#[test]
fn plain_digests_give_the_published_answers() {
    for (digest, answer) in [
        (DigestCode::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            DigestCode::Sha224,
            "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
        ),
        (
            DigestCode::Sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            DigestCode::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163
             1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            DigestCode::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ] {
        let context = context(block(CipherCode::None, digest), "", &[]);
        let sealed = run(&context, Operation::Seal, "", (&[], b"abc", &[]));
        assert_eq!(sealed.digest, hex(answer), "{digest:?}");
        assert_eq!(sealed.payload, b"abc", "a digest changes nothing");
        let opened = run(&context, Operation::Open, "", (&[], b"abc", &hex(answer)));
        assert_eq!(opened.ended, Ok(()));
    }
}

/// RFC 2202 and RFC 4231, test case 2.
#[test]
fn keyed_digests_give_the_published_answers() {
    for (digest, answer) in [
        (
            DigestCode::HmacSha1,
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),
        (
            DigestCode::HmacSha224,
            "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
        ),
        (
            DigestCode::HmacSha256,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            DigestCode::HmacSha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47
             e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            DigestCode::HmacSha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        for cut in [0, 4] {
            let mut block = block(CipherCode::None, digest);
            block.digest_len -= cut;
            let context = context(block, "", b"Jefe");
            let data = b"what do ya want for nothing?";
            let sealed = run(&context, Operation::Seal, "", (&[], data, &[]));
            assert_eq!(sealed.digest, hex(answer)[..context.digest_len()]);
        }
    }
}

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

/// Every digest that has a state outside, with a key if it takes one.
fn contexts_with_state() -> impl Iterator<Item = Context> {
    let infos = DIGESTS.into_iter().filter(|info| info.has_state);
    infos.map(|info| {
        let key: &[u8] = if info.key.max == 0 { &[] } else { b"some key" };
        context(block(CipherCode::None, info.code), "", key)
    })
}

fn begin(context: &Context, payload: &[u8]) -> DigestState {
    let part = MessagePart {
        state: None,
        payload,
    };
    context.digest_part(&part).unwrap()
}

fn end(context: &Context, state: &DigestState, payload: &[u8]) -> Result<Vec<u8>, Status> {
    let part = MessagePart {
        state: Some(state),
        payload,
    };
    let mut digest = vec![0; context.digest_len()];
    context
        .digest_end(&part, Operation::Seal, &mut digest)
        .map(|()| digest)
}

#[test]
fn a_digest_may_be_cut_anywhere() {
    let message: Vec<u8> = (0..300u32).map(|at| (at * 5) as u8).collect();
    for context in contexts_with_state() {
        let whole = run(&context, Operation::Seal, "", (&[], &message, &[])).digest;
        for cut in 0..=message.len() {
            let state = begin(&context, &message[..cut]);
            let last = &message[cut..];
            assert_eq!(
                end(&context, &state, last).as_ref(),
                Ok(&whole),
                "{context:?} {cut}"
            );
        }
    }
}

#[test]
fn a_state_is_laid_out_as_the_datasheet_says() {
    // SHA-256 after 70 bytes: one block is done, six bytes wait.
    let sha = context(block(CipherCode::None, DigestCode::Sha256), "", &[]);
    let state = begin(&sha, &[7; 70]);
    assert_eq!(state[..16], hex("0301 0000000000000000000000000000"));
    let body = &state[16..];
    assert_eq!(body[32..40], 1u64.to_le_bytes());
    assert_eq!(body[40..47], [6, 7, 7, 7, 7, 7, 7]);
    assert!(body[47..].iter().all(|&byte| byte == 0));
    let hashes = DIGESTS
        .into_iter()
        .filter(|info| info.has_state && info.key.max == 0);
    for info in hashes {
        let hash = context(block(CipherCode::None, info.code), "", &[]);
        let block_len = usize::from(info.block_len);
        let state = begin(&hash, &vec![1; 3 * block_len]);
        let number_at = 16
            + match info.code {
                DigestCode::Sha224 => 32,
                DigestCode::Sha384 => 64,
                code => code.len(),
            };
        assert_eq!(
            state[number_at..number_at + 8],
            3u64.to_le_bytes(),
            "{info:?}"
        );
    }
}

#[test]
fn a_changed_state_is_refused_or_harmless_and_a_sealed_one_always_refused() {
    for context in contexts_with_state() {
        let is_keyed = context.key_len() != 0;
        let good = begin(&context, &[9; 100]);
        for bit in 0..good.len() * 8 {
            let mut state = good;
            state[bit / 8] ^= 1 << (bit % 8);
            let ended = end(&context, &state, &[1; 300]);
            let is_body = (16..16 + regs::DIGEST_STATE_BODY).contains(&(bit / 8));
            if is_keyed || !is_body {
                assert_eq!(ended, Err(Status::BadState), "{context:?} bit {bit}");
            }
        }
        assert!(end(&context, &good, &[]).is_ok());
    }
}

#[test]
fn a_state_serves_only_its_own_key_and_algorithm() {
    let sha = context(block(CipherCode::None, DigestCode::Sha256), "", &[]);
    let other = context(block(CipherCode::None, DigestCode::Sha224), "", &[]);
    let first = context(block(CipherCode::None, DigestCode::HmacSha256), "", b"one");
    let second = context(block(CipherCode::None, DigestCode::HmacSha256), "", b"two");
    for (from, to) in [
        (&sha, &other),
        (&sha, &first),
        (&first, &sha),
        (&first, &second),
    ] {
        let state = begin(from, b"message");
        assert_eq!(end(to, &state, &[]), Err(Status::BadState));
    }
    let shorter = first.with_keys(b"one").unwrap();
    let state = begin(&shorter, b"message");
    assert!(
        end(&first, &state, &[]).is_ok(),
        "the same key is the same session"
    );
    let inner = begin(&sha, &[0x36 ^ b'o'; 64]);
    let sealed = begin(&first, &[]);
    assert_ne!(sealed[16..224], inner[16..224]);
    let cipher = context(block(CipherCode::AesCbc, DigestCode::Sha256), KEY_128, &[]);
    assert!(!cipher.has_state());
    let part = MessagePart {
        state: None,
        payload: &[],
    };
    assert_eq!(cipher.digest_part(&part), Err(Status::BadParameters));
}

#[test]
fn a_state_with_too_many_blocks_behind_it_is_refused() {
    for code in [DigestCode::Md5, DigestCode::Sha256, DigestCode::Sha512] {
        let hash = context(block(CipherCode::None, code), "", &[]);
        let number_at = 16 + code.len();
        for highest in 0..8 {
            let mut state = begin(&hash, &[0; 10]);
            state[number_at + highest] = 0xFF;
            let is_fine = highest < 6;
            assert_eq!(
                end(&hash, &state, &[0; 4096]).is_ok(),
                is_fine,
                "{code:?} {highest}"
            );
        }
    }
}
