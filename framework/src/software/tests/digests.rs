//! Known answers of digests.

use super::*;

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
