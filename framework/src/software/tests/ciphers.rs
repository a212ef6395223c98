//! Known answers of ciphers.

use super::*;

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
