//! Known answers of ciphers that bring their own digest.

use super::*;

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
