//! Known answers, and what must hold whatever the bytes are.

use proptest::prelude::*;

use crate::software::{Slices, SoftwareDriver, Transform};
use crate::{
    Buffer, Cipher, Compression, Digest, DriverChoice, DriverError, Framework, Key, Limits, Mbuf,
    MigrationPolicy, Mode, Operation, PAGE_SIZE, Page, Region, Request, RequestError, SessionFlags,
    SessionId, SessionParams,
};
use timebase::Time;

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

fn check_cipher(cipher: Cipher, key: &str, iv: &str, plain: &str, sealed: &str) {
    let (plain, sealed, iv) = (hex(plain), hex(sealed), hex(iv));
    let params = with_cipher(Mode::Cipher, cipher, &hex(key), iv.len());
    let mut data = plain.clone();
    apply(&params, Operation::Encrypt, (&iv, &[]), &mut data, &mut []).unwrap();
    assert_eq!(data, sealed, "{cipher:?} encrypts");
    apply(&params, Operation::Decrypt, (&iv, &[]), &mut data, &mut []).unwrap();
    assert_eq!(data, plain, "{cipher:?} decrypts");
}

const SP800_38A_PLAIN: &str = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
    30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710";

#[test]
fn cbc_agrees_with_nist_sp_800_38a() {
    let iv = "000102030405060708090a0b0c0d0e0f";
    // F.2.1, F.2.3 and F.2.5.
    check_cipher(
        Cipher::AesCbc,
        "2b7e151628aed2a6abf7158809cf4f3c",
        iv,
        SP800_38A_PLAIN,
        "7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2
         73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7",
    );
    check_cipher(
        Cipher::AesCbc,
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        iv,
        SP800_38A_PLAIN,
        "4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a
         571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd",
    );
    check_cipher(
        Cipher::AesCbc,
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        iv,
        SP800_38A_PLAIN,
        "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d
         39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b",
    );
}

#[test]
fn ctr_agrees_with_nist_sp_800_38a() {
    // F.5.1 and F.5.5.
    let iv = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
    check_cipher(
        Cipher::AesCtr,
        "2b7e151628aed2a6abf7158809cf4f3c",
        iv,
        SP800_38A_PLAIN,
        "874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff
         5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee",
    );
    check_cipher(
        Cipher::AesCtr,
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        iv,
        SP800_38A_PLAIN,
        "601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5
         2b0930daa23de94ce87017ba2d84988d dfc9c58db67aada613c2dd08457941a6",
    );
}

#[test]
fn xts_agrees_with_ieee_1619() {
    // Vectors 1 and 2 of annex B.
    check_cipher(
        Cipher::AesXts,
        &"00".repeat(32),
        &"00".repeat(16),
        &"00".repeat(32),
        "917cf69ebd68b2ec9b9fe9a3eadda692 cd43d2f59598ed858c02c2652fbf922e",
    );
    let key = format!("{}{}", "11".repeat(16), "22".repeat(16));
    let sealed = "c454185e6a16936e39334038acef838b fb186fff7480adc4289382ecd6d394f0";
    // The sector number alone, and the whole tweak it stands for.
    for iv in ["3333333333000000", "33333333330000000000000000000000"] {
        check_cipher(Cipher::AesXts, &key, iv, &"44".repeat(32), sealed);
    }
}

fn check_gcm(texts: [&str; 6]) {
    let [key, iv, aad, plain, sealed, tag] = texts.map(hex);
    let params = with_cipher(Mode::Aead, Cipher::AesGcm, &key, iv.len());
    let (mut data, mut digest) = (plain.clone(), [0; 16]);
    let sealing = Operation::EncryptCompute;
    apply(&params, sealing, (&iv, &aad), &mut data, &mut digest).unwrap();
    assert_eq!((&data, &digest[..]), (&sealed, &tag[..]));
    for len in 1..=16 {
        let params = SessionParams {
            auth_digest_len: len,
            ..params.clone()
        };
        let opening = Operation::VerifyDecrypt;
        let mut tag = tag[..len].to_vec();
        let mut data = sealed.clone();
        apply(&params, opening, (&iv, &aad), &mut data, &mut tag).unwrap();
        assert_eq!(data, plain, "{len} bytes of tag");
        tag[len - 1] ^= 0x80;
        let mut data = sealed.clone();
        let outcome = apply(&params, opening, (&iv, &aad), &mut data, &mut tag);
        assert_eq!(outcome, Err(DriverError::DigestMismatch));
        assert_eq!(data, sealed, "a mismatch leaves the payload alone");
    }
}

#[test]
fn gcm_agrees_with_the_vectors_of_its_specification() {
    // McGrew and Viega, The Galois/Counter Mode of Operation, appendix B: test cases 2, 4, 10 and
    // 16.
    check_gcm([
        "00000000000000000000000000000000",
        "000000000000000000000000",
        "",
        "00000000000000000000000000000000",
        "0388dace60b6a392f328c2b971b2fe78",
        "ab6e47d42cec13bdf53a67b21257bddf",
    ]);
    let iv = "cafebabefacedbaddecaf888";
    let aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    let plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
        1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
    let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    check_gcm([
        &key[..32],
        iv,
        aad,
        plain,
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
         21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
        "5bc94fbc3221a5db94fae95ae7121a47",
    ]);
    check_gcm([
        &key[..48],
        iv,
        aad,
        plain,
        "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c
         7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710",
        "2519498e80f1478f37ba55bd6d27618c",
    ]);
    check_gcm([
        key,
        iv,
        aad,
        plain,
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
         8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ]);
}

fn check_digest(digest: Digest, key: &[u8], data: &[u8], expected: &str) {
    let mut params = with_digest(digest, key);
    let expected = hex(expected);
    params.auth_digest_len = expected.len();
    let mut payload = data.to_vec();
    let mut computed = vec![0; expected.len()];
    let (compute, verify) = (Operation::ComputeDigest, Operation::VerifyDigest);
    apply(&params, compute, (&[], &[]), &mut payload, &mut computed).unwrap();
    assert_eq!(computed, expected, "{digest:?}");
    assert_eq!(
        apply(&params, verify, (&[], &[]), &mut payload, &mut computed),
        Ok(())
    );
    computed[0] ^= 1;
    assert_eq!(
        apply(&params, verify, (&[], &[]), &mut payload, &mut computed),
        Err(DriverError::DigestMismatch)
    );
}

#[test]
fn digests_agree_with_fips_180() {
    // The one-block examples of FIPS 180-2 and its change notice, message "abc".
    let expected = [
        (Digest::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            Digest::Sha224,
            "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
        ),
        (
            Digest::Sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            Digest::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed
             8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            Digest::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ];
    for (digest, text) in expected {
        check_digest(digest, &[], b"abc", text);
    }
}

#[test]
fn hmacs_agree_with_rfc_2202_and_rfc_4231() {
    // RFC 2202 section 3 cases 1 and 6; RFC 4231 sections 4.2, 4.6 (truncated) and 4.7 (long key).
    let key = [0x0b; 20];
    let hi = b"Hi There";
    let long_text = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let sha1 = "b617318655057264e28bc0b6fb378c8ef146be00";
    check_digest(Digest::HmacSha1, &key, hi, sha1);
    let sha1_long = "aa4ae5e15272d00e95705637ce8a3b55ed402112";
    check_digest(Digest::HmacSha1, &[0xaa; 80], long_text, sha1_long);
    let first = [
        (
            Digest::HmacSha224,
            "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22",
        ),
        (
            Digest::HmacSha256,
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            Digest::HmacSha384,
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c
             faea9ea9076ede7f4af152e8b2fa9cb6",
        ),
        (
            Digest::HmacSha512,
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde
             daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ),
    ];
    for (digest, text) in first {
        check_digest(digest, &key, hi, text);
    }
    let truncated = "a3b6167473100ee06e0c796c2955552b";
    let with_truncation = b"Test With Truncation";
    check_digest(Digest::HmacSha256, &[0x0c; 20], with_truncation, truncated);
    let long = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
    check_digest(Digest::HmacSha256, &[0xaa; 131], long_text, long);
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

/// The input as each kind of buffer, cut at `cuts`.
fn buffers(pool: &dma::Pool, bytes: &[u8], cuts: &[usize]) -> Vec<Buffer> {
    let pooled = |bytes: &[u8]| {
        let mut buffer = pool.take(bytes.len()).unwrap();
        buffer.copy_from_slice(bytes);
        buffer
    };
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let parts = cuts.windows(2).map(|pair| pooled(&bytes[pair[0]..pair[1]]));
    vec![
        Buffer::Memory(bytes.to_vec()),
        Buffer::Pooled(pooled(bytes)),
        Buffer::Chain(parts.collect()),
    ]
}

fn bytes_of(buffer: &Buffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.len()];
    buffer.copy_out(0, &mut bytes);
    bytes
}

fn check_hex_digest(digest: Digest, key: &str, data: &str, expected: &str) {
    check_digest(digest, &hex(key), &hex(data), expected);
}

const ABC: &str = "616263";

#[test]
fn other_hashes_agree_with_their_publications() {
    // RFC 1321, A.5; the RIPEMD-160 page of Bosselaers; RFC 7693, A and B.
    check_hex_digest(Digest::Md5, "", ABC, "900150983cd24fb0d6963f7d28e17f72");
    let ripemd = "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc";
    check_hex_digest(Digest::Ripemd160, "", ABC, ripemd);
    check_hex_digest(
        Digest::Blake2b,
        "",
        ABC,
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1
         7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
    );
    check_hex_digest(
        Digest::Blake2s,
        "",
        ABC,
        "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
    );
}

#[test]
fn other_macs_agree_with_their_publications() {
    // RFC 2202 and RFC 2286, case 1 and the case with a key longer than a block.
    let (key, hi_there) = ("0b".repeat(16), "4869205468657265");
    check_hex_digest(
        Digest::HmacMd5,
        &key,
        hi_there,
        "9294727a3638bb1c13f48ef8158bfc9d",
    );
    let ripemd = "24cb4bd67d20fc1a5d2ed7732dcc39377f0a5668";
    check_hex_digest(Digest::HmacRipemd160, &"0b".repeat(20), hi_there, ripemd);
    let long = "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65
        204b6579202d2048617368204b6579204669727374";
    let md5 = "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd";
    check_hex_digest(Digest::HmacMd5, &"aa".repeat(80), long, md5);
    // RFC 8439, 2.5.2.
    check_hex_digest(
        Digest::Poly1305,
        "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b",
        "43727970746f6772617068696320466f72756d2052657365617263682047726f7570",
        "a8061dc1305136c6c22b8baf0c0127a9",
    );
    check_hex_digest(Digest::NullHmac, "", ABC, &"00".repeat(16));
}

/// RFC 1828 gives no vectors: the same bytes through the plain hash, padded by hand.
#[test]
fn keyed_hashes_are_key_padding_data_key() {
    for (keyed, plain, length) in [
        (Digest::Md5Kpdk, Digest::Md5, "18 00000000000000"),
        (Digest::Sha1Kpdk, Digest::Sha1, "00000000000000 18"),
    ] {
        let padding = format!("80{}{length}", "00".repeat(64 - 3 - 1 - 8));
        let whole = format!("aabbcc{padding}{ABC}aabbcc");
        let mut expected = vec![0; plain.len()];
        let none = (&[][..], &[][..]);
        let mut data = hex(&whole);
        let params = with_digest(plain, &[]);
        apply(
            &params,
            Operation::ComputeDigest,
            none,
            &mut data,
            &mut expected,
        )
        .unwrap();
        let text: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        check_hex_digest(keyed, "aabbcc", ABC, &text);
    }
}

#[test]
fn macs_with_a_nonce_are_the_tags_of_their_ciphers() {
    for (digest, cipher, iv_len) in [
        (Digest::AesGmac, Cipher::AesGcm, 12),
        (Digest::AesCcmMac, Cipher::AesCcm, 7),
    ] {
        let (key, iv, data) = ([3; 24], vec![5; iv_len], vec![7; 100]);
        let mut expected = [0; 16];
        let params = with_cipher(Mode::Aead, cipher, &key, iv_len);
        let aead = (&iv[..], &data[..]);
        apply(
            &params,
            Operation::EncryptCompute,
            aead,
            &mut [],
            &mut expected,
        )
        .unwrap();
        let params = SessionParams {
            iv_len,
            ..with_digest(digest, &key)
        };
        let (mut data, mut computed) = (data.clone(), [0; 16]);
        apply(
            &params,
            Operation::ComputeDigest,
            (&iv, &[]),
            &mut data,
            &mut computed,
        )
        .unwrap();
        assert_eq!(computed, expected, "{digest:?}");
    }
}

fn check_aead(cipher: Cipher, [key, iv, aad, plain, sealed]: [&str; 5]) {
    let [iv, aad, plain, sealed] = [iv, aad, plain, sealed].map(hex);
    let (sealed, tag) = sealed.split_at(plain.len());
    let mut params = with_cipher(Mode::Aead, cipher, &hex(key), iv.len());
    params.auth_digest_len = tag.len();
    let (mut data, mut computed) = (plain.clone(), vec![0; tag.len()]);
    apply(
        &params,
        Operation::EncryptCompute,
        (&iv, &aad),
        &mut data,
        &mut computed,
    )
    .unwrap();
    assert_eq!(
        (&data[..], &computed[..]),
        (sealed, tag),
        "{cipher:?} seals"
    );
    apply(
        &params,
        Operation::VerifyDecrypt,
        (&iv, &aad),
        &mut data,
        &mut computed,
    )
    .unwrap();
    assert_eq!(data, plain, "{cipher:?} opens");
    computed[0] ^= 1;
    let mut data = sealed.to_vec();
    let outcome = apply(
        &params,
        Operation::VerifyDecrypt,
        (&iv, &aad),
        &mut data,
        &mut computed,
    );
    assert_eq!(outcome, Err(DriverError::DigestMismatch));
    assert_eq!(data, sealed, "{cipher:?} leaves what it refuses alone");
}

#[test]
fn ccm_agrees_with_sp_800_38c() {
    let key = "404142434445464748494a4b4c4d4e4f";
    let examples = [
        [
            "10111213141516",
            "0001020304050607",
            "20212223",
            "7162015b4dac255d",
        ],
        [
            "1011121314151617",
            "000102030405060708090a0b0c0d0e0f",
            "202122232425262728292a2b2c2d2e2f",
            "d2a1f0e051ea5f62081a7792073d593d1fc64fbfaccd",
        ],
        [
            "101112131415161718191a1b",
            "000102030405060708090a0b0c0d0e0f10111213",
            "202122232425262728292a2b2c2d2e2f3031323334353637",
            "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951",
        ],
    ];
    for [iv, aad, plain, sealed] in examples {
        check_aead(Cipher::AesCcm, [key, iv, aad, plain, sealed]);
    }
    // Example 4: 524,288 bits of AAD, whose length takes six bytes.
    let aad: String = (0..65_536).map(|at| format!("{:02x}", at % 256)).collect();
    check_aead(
        Cipher::AesCcm,
        [
            key,
            "101112131415161718191a1b1c",
            &aad,
            "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
            "69915dad1e84c6376a68c2967e4dab615ae0fd1faec44cc484828529463ccf72
             b4ac6bec93e8598e7f0dadbcea5b",
        ],
    );
}

const SUNSCREEN: &str = "4c616469657320616e642047656e746c656d656e206f662074686520636c6173
    73206f66202739393a204966204920636f756c64206f6666657220796f75206f6e6c79206f6e6520746970
    20666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742e";

#[test]
fn chacha20_agrees_with_rfc_8439() {
    // 2.4.2: counter 1 of 32 bits and a nonce of twelve bytes, which follow one another here.
    let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let sealed = "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b
        f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d807ca0dbf500d6a6156a38e
        088a22b65e52bc514d16ccf806818ce91ab77937365af90bbf74a35be6b40b8eedf2785e42874d";
    let iv = "01000000 000000000000004a00000000";
    check_cipher(Cipher::ChaCha20, key, iv, SUNSCREEN, sealed);
}

#[test]
fn chacha20_poly1305_agrees_with_rfc_8439_and_its_long_nonce_form_with_the_draft() {
    let key = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
    let aad = "50515253c0c1c2c3c4c5c6c7";
    let sealed = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
        3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803ae
        e328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116
        1ae10b594f09e26a7e902ecbd0600691";
    let iv = "070000004041424344454647";
    check_aead(Cipher::ChaCha20Poly1305, [key, iv, aad, SUNSCREEN, sealed]);
    let sealed = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb
        731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69
        b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e
        c0875924c1c7987947deafd8780acf49";
    let iv = "404142434445464748494a4b4c4d4e4f5051525354555657";
    check_aead(Cipher::XChaCha20Poly1305, [key, iv, aad, SUNSCREEN, sealed]);
}

proptest! {
    /// Header of 8, IV of 16 of which half is in the packet too, payload, 12 bytes of digest.
    #[test]
    fn all_kinds_of_buffer_give_the_same_bytes_and_come_back(
        blocks in 0_usize..5,
        cuts in prop::collection::vec(0_usize..200, 0..6),
        separate_aad: bool,
        separate_output: bool,
        spoil in prop::option::of(0_usize..24),
    ) {
        let pool = dma::Pool::new(1 << 20).unwrap();
        let plain: Vec<u8> = (0..24 + blocks * 16 + 12).map(|i| i as u8).collect();
        let mut transform = Transform::new(&eta_params()).unwrap();
        let payload = Region { start: 24, len: blocks * 16 };
        let ask = |buffer, operation, output| {
            let mut request = Request::new(SessionId::default(), operation, buffer);
            if separate_aad {
                request.separate_aad = Some(Buffer::Memory(plain[..8].to_vec()));
            } else {
                request.aad = Region { start: 0, len: 8 };
            }
            request.iv_start = 8;
            request.payload = payload;
            request.digest_start = payload.start + payload.len;
            request.payload_output_start = if separate_output { 24 } else { 0 };
            request.output = separate_output.then_some(output);
            request
        };
        let mut answers = Vec::new();
        for buffer in buffers(&pool, &plain, &cuts) {
            let output = Buffer::Memory(plain.clone());
            let mut request = ask(buffer, Operation::EncryptCompute, output);
            transform.process(&mut request).unwrap();
            if separate_output {
                prop_assert_eq!(&bytes_of(&request.buffer), &plain);
            }
            answers.push(bytes_of(request.output.as_ref().unwrap_or(&request.buffer)));
        }
        prop_assert!(answers.iter().all(|answer| *answer == answers[0]));
        let mut sealed = answers.swap_remove(0);
        prop_assert_eq!(&sealed[..24], &plain[..24]);
        // Header and IV are digested or not; a change in the header must show.
        if let Some(at) = spoil.filter(|&at| at < 8 && !separate_aad) {
            sealed[at] ^= 4;
        }
        let spoiled = spoil.is_some_and(|at| at < 8 && !separate_aad);
        for buffer in buffers(&pool, &sealed, &cuts) {
            let output = Buffer::Memory(vec![0xAB; plain.len()]);
            let mut request = ask(buffer, Operation::VerifyDecrypt, output);
            let outcome = transform.process(&mut request);
            let result = bytes_of(request.output.as_ref().unwrap_or(&request.buffer));
            if spoiled {
                prop_assert_eq!(outcome, Err(DriverError::DigestMismatch));
                let before = if separate_output { vec![0xAB; plain.len()] } else { sealed.clone() };
                prop_assert_eq!(result, before);
            } else {
                prop_assert_eq!(outcome, Ok(()));
                let end = payload.start + payload.len;
                prop_assert_eq!(&result[24..end], &plain[24..end]);
            }
        }
    }

    #[test]
    fn every_cipher_decrypts_what_it_encrypted(
        cipher in proptest::sample::select(&Cipher::ALL[..]), blocks in 0_usize..70,
        long: bool, key_byte: u8,
    ) {
        let info = cipher.info();
        let key_len = if long { info.key.max } else { info.key.min };
        let iv_len = if long { info.iv.max } else { info.iv.min };
        let key = vec![key_byte; usize::from(key_len)];
        let aead = cipher.is_aead();
        let mode = if aead { Mode::Aead } else { Mode::Cipher };
        let params = with_cipher(mode, cipher, &key, usize::from(iv_len));
        let (forth, back) = if aead {
            (Operation::EncryptCompute, Operation::VerifyDecrypt)
        } else {
            (Operation::Encrypt, Operation::Decrypt)
        };
        let plain: Vec<u8> = (0..blocks * 16).map(|i| (i * 7) as u8).collect();
        let (mut data, mut tag) = (plain.clone(), vec![0; params.digest_len()]);
        apply(&params, forth, (&[1; 24], &[2; 9]), &mut data, &mut tag).unwrap();
        prop_assert_eq!(data == plain, cipher == Cipher::Null || blocks == 0);
        apply(&params, back, (&[1; 24], &[2; 9]), &mut data, &mut tag).unwrap();
        prop_assert_eq!(data, plain);
    }
}

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

fn compression() -> Transform {
    Transform::new(&SessionParams::of(Mode::Compress(Compression::Deflate))).unwrap()
}

/// A request to compress or decompress all of `buffer` but the bytes before `start`.
fn squeeze(operation: Operation, buffer: Buffer, start: usize) -> Box<Request> {
    let mut request = Request::new(SessionId::default(), operation, buffer);
    let len = request.buffer.len() - start;
    request.payload = Region { start, len };
    request
}

#[test]
fn compression_shortens_lists_and_decompression_makes_mbufs_grow_again() {
    let plain: Vec<u8> = b"so much of the same ".repeat(100);
    let chain = plain.chunks(300).map(|part| Mbuf::new(part, 7, 0));
    let buffer = Buffer::mbufs(chain.collect(), plain.len());
    let mut request = squeeze(Operation::Compress, buffer, 40);
    compression().process(&mut request).unwrap();
    assert!(request.result_len < 200, "{}", request.result_len);
    assert_eq!(request.buffer.len(), 40 + request.result_len);
    let mut request = squeeze(Operation::Decompress, request.buffer, 40);
    compression().process(&mut request).unwrap();
    assert_eq!(request.result_len, plain.len() - 40);
    assert_eq!(bytes_of(&request.buffer), plain);
}

#[test]
fn what_does_not_get_smaller_stays_and_says_how_long_it_would_be() {
    let noise: Vec<u8> = (0..64_u32)
        .map(|at| ((at * at * 40_503) >> 7) as u8)
        .collect();
    let mut request = squeeze(Operation::Compress, Buffer::Memory(noise.clone()), 0);
    compression().process(&mut request).unwrap();
    assert!(request.result_len >= noise.len());
    assert_eq!(bytes_of(&request.buffer), noise);
}

#[test]
fn a_bomb_ends_at_the_room_there_is_and_leaves_the_data_alone() {
    let mut request = squeeze(
        Operation::Compress,
        Buffer::vectors(vec![vec![0; 1 << 20]]),
        0,
    );
    compression().process(&mut request).unwrap();
    let bomb = bytes_of(&request.buffer);
    assert!(bomb.len() < 2_000);
    let chain = |max_len| Buffer::mbufs(vec![Mbuf::new(&bomb, 0, 0)], max_len);
    let mut request = squeeze(Operation::Decompress, chain((1 << 20) - 1), 0);
    assert_eq!(
        compression().process(&mut request),
        Err(DriverError::TooBig)
    );
    assert_eq!(bytes_of(&request.buffer), bomb);
    let mut request = squeeze(Operation::Decompress, chain(1 << 20), 0);
    compression().process(&mut request).unwrap();
    assert_eq!(request.buffer.len(), 1 << 20);
}

#[test]
fn what_is_no_compressed_data_is_refused_and_left_alone() {
    for bad in [vec![], vec![0xFF; 40], vec![3]] {
        let mut request = squeeze(Operation::Decompress, Buffer::Memory(bad.clone()), 0);
        let outcome = compression().process(&mut request);
        assert_eq!(outcome, Err(DriverError::BadData), "{bad:?}");
        assert_eq!(bytes_of(&request.buffer), bad);
    }
}

#[test]
fn every_kind_of_buffer_gives_the_same_result() {
    let plain: Vec<u8> = (0..96).collect();
    let page = |bytes: &[u8]| -> Page {
        let mut page = vec![0; PAGE_SIZE];
        page[PAGE_SIZE - bytes.len()..].copy_from_slice(bytes);
        page.try_into().unwrap()
    };
    let pool = dma::Pool::new(1 << 16).unwrap();
    let pooled = |bytes: &[u8]| {
        let mut buffer = pool.take(bytes.len()).unwrap();
        buffer.copy_from_slice(bytes);
        buffer
    };
    let (front, back) = plain.split_at(21);
    let second = {
        let mut whole = vec![0; PAGE_SIZE];
        whole[..75].copy_from_slice(back);
        whole
    };
    let buffers = [
        Buffer::Memory(plain.clone()),
        Buffer::Pooled(pooled(&plain)),
        Buffer::Chain(plain.chunks(7).map(pooled).collect()),
        Buffer::vectors(plain.chunks(11).map(<[u8]>::to_vec).collect()),
        Buffer::mbufs(
            plain.chunks(5).map(|part| Mbuf::new(part, 3, 9)).collect(),
            0,
        ),
        Buffer::single_mbuf(Mbuf::new(&plain, 1, 1)),
        Buffer::pages(
            vec![page(front), second.try_into().unwrap()],
            PAGE_SIZE - 21,
            96,
        )
        .unwrap(),
    ];
    let mut params = with_cipher(
        Mode::EncryptThenAuthenticate,
        Cipher::CamelliaCbc,
        &[4; 16],
        16,
    );
    params.flags = SessionFlags::ESN;
    (params.digest, params.auth_key_len) = (Some(Digest::HmacRipemd160), 20);
    params.auth_key = Some(Key::new(&[6; 20]));
    let mut results = buffers.map(|buffer| {
        let mut request = Request::new(SessionId::default(), Operation::EncryptCompute, buffer);
        // The IV stands in the buffer, and part of it is AAD too.
        (request.iv_start, request.aad) = (4, Region { start: 0, len: 12 });
        (request.payload, request.digest_start) = (Region { start: 20, len: 48 }, 70);
        request.esn = [1, 2, 3, 4];
        Transform::new(&params)
            .unwrap()
            .process(&mut request)
            .unwrap();
        let sealed = bytes_of(&request.buffer);
        request.operation = Operation::VerifyDecrypt;
        Transform::new(&params)
            .unwrap()
            .process(&mut request)
            .unwrap();
        assert_eq!(bytes_of(&request.buffer)[..70], plain[..70]);
        sealed
    });
    let first = results[0].clone();
    assert_ne!(first, plain);
    assert!(results.iter_mut().all(|result| *result == first));
}
