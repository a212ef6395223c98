//! Published answers for every kind of algorithm.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use regs::{CipherCode, DigestCode};

use super::super::{Context, Operation};
use super::{KEY_128, KEY_256, block, context, hex, run};

const SP800_38A_PLAIN: &str = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
    30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710";
const KEY_192: &str = "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b";

fn goes_both_ways(context: &Context, iv: &str, plain: &str, secret: &str) {
    let (plain, secret) = (hex(plain), hex(secret));
    let sealed = run(context, Operation::Seal, iv, (&[], &plain, &[]));
    assert_eq!(sealed.ended, Ok(()));
    assert_eq!(sealed.payload, secret);
    let opened = run(context, Operation::Open, iv, (&[], &secret, &[]));
    assert_eq!(opened.ended, Ok(()));
    assert_eq!(opened.payload, plain);
}

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
