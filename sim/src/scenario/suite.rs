//! Names of algorithm suites, such as `aes-256-gcm` or `aes-128-cbc+hmac-sha256`.

use std::fmt;
use std::str::FromStr;

use framework::{Cipher, Digest, Mode};

use super::Suite;
use super::diagnostic::nearest;

/// The digests that come with each cipher that is combined with one.
const COMBINED: [Digest; 5] = [
    Digest::HmacSha1,
    Digest::HmacSha224,
    Digest::HmacSha256,
    Digest::HmacSha384,
    Digest::HmacSha512,
];

/// No suite has this name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown suite `{name}`")]
pub struct UnknownSuite {
    /// The name.
    pub name: String,
    /// Suites with a name like it.
    pub nearest: Vec<String>,
}

impl Suite {
    /// Every suite that has a name: ciphers, digests, AEAD, then encrypt-then-authenticate.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut suites = vec![Self::cipher(Cipher::Null, 0)];
        for cipher in [Cipher::AesCbc, Cipher::AesCtr] {
            suites.extend([16, 24, 32].map(|key_len| Self::cipher(cipher, key_len)));
        }
        suites.extend([32, 64].map(|key_len| Self::cipher(Cipher::AesXts, key_len)));
        suites.extend(Digest::ALL.map(Self::digest));
        let others = Cipher::ALL.into_iter().filter(|&cipher| is_other(cipher));
        suites.extend(others.map(|cipher| Self::cipher(cipher, cipher.info().key.max.into())));
        suites.extend([16, 24, 32].map(|key_len| Self::cipher(Cipher::AesGcm, key_len)));
        for cipher in [Cipher::AesCbc, Cipher::AesCtr] {
            for key_len in [16, 24, 32] {
                suites.extend(COMBINED.map(|digest| {
                    Self::encrypt_then_authenticate(Self::cipher(cipher, key_len), digest)
                }));
            }
        }
        suites
    }

    /// Payloads must be multiples of this many bytes.
    #[must_use]
    pub fn block_len(&self) -> usize {
        self.cipher.map_or(1, Cipher::block_len)
    }

    fn cipher(cipher: Cipher, key_len: usize) -> Self {
        Self {
            mode: if cipher.is_aead() {
                Mode::Aead
            } else {
                Mode::Cipher
            },
            cipher: Some(cipher),
            digest: None,
            cipher_key_len: key_len,
            auth_key_len: 0,
            iv_len: usize::from(match cipher {
                Cipher::Null => 0,
                Cipher::AesXts => 8,
                // The same as for the other ciphers of its kind.
                Cipher::AesCcm => 12,
                other => other.info().iv.max,
            }),
            auth_digest_len: 0,
        }
    }

    fn digest(digest: Digest) -> Self {
        Self {
            mode: Mode::Digest,
            cipher: None,
            digest: Some(digest),
            cipher_key_len: 0,
            auth_key_len: match digest.info().key {
                key if key.takes(digest.len()) => digest.len(),
                key => usize::from(key.max),
            },
            iv_len: usize::from(digest.info().iv.max.min(12)),
            auth_digest_len: 0,
        }
    }

    fn encrypt_then_authenticate(cipher: Self, digest: Digest) -> Self {
        Self {
            mode: Mode::EncryptThenAuthenticate,
            digest: Some(digest),
            auth_key_len: digest.len(),
            ..cipher
        }
    }
}

/// Whether a cipher has one suite, under its own name: with the longest key.
fn is_other(cipher: Cipher) -> bool {
    !matches!(
        cipher,
        Cipher::Null | Cipher::AesCbc | Cipher::AesCtr | Cipher::AesXts | Cipher::AesGcm
    )
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cipher) = self.cipher {
            let bits = self.cipher_key_len * 8;
            match cipher {
                Cipher::Null => write!(f, "null")?,
                Cipher::AesCbc => write!(f, "aes-{bits}-cbc")?,
                Cipher::AesCtr => write!(f, "aes-{bits}-ctr")?,
                // Half of an XTS key encrypts the tweak and does not count in the name.
                Cipher::AesXts => write!(f, "aes-{}-xts", bits / 2)?,
                Cipher::AesGcm => write!(f, "aes-{bits}-gcm")?,
                other => write!(f, "{}", other.info().name)?,
            }
        }
        if self.cipher.is_some() && self.digest.is_some() {
            write!(f, "+")?;
        }
        self.digest
            .map_or(Ok(()), |digest| f.write_str(digest.info().name))
    }
}

impl FromStr for Suite {
    type Err = UnknownSuite;

    fn from_str(name: &str) -> Result<Self, UnknownSuite> {
        let suites = Self::all();
        let names: Vec<String> = suites.iter().map(ToString::to_string).collect();
        if let Some(at) = names.iter().position(|known| known == name) {
            return Ok(suites[at]);
        }
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        Err(UnknownSuite {
            name: name.to_owned(),
            nearest: nearest(name, &known)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_is_found_again_by_its_name() {
        let suites = Suite::all();
        for suite in &suites {
            assert_eq!(suite.to_string().parse(), Ok(*suite));
        }
        let mut names: Vec<String> = suites.iter().map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), suites.len(), "no two suites share a name");
    }

    #[test]
    fn sizes_are_those_of_the_algorithms() {
        let sizes = |name: &str| {
            let suite: Suite = name.parse().expect("a suite");
            (
                suite.mode,
                suite.cipher_key_len,
                suite.auth_key_len,
                suite.iv_len,
            )
        };
        assert_eq!(sizes("null"), (Mode::Cipher, 0, 0, 0));
        assert_eq!(sizes("aes-256-xts"), (Mode::Cipher, 64, 0, 8));
        assert_eq!(sizes("aes-192-gcm"), (Mode::Aead, 24, 0, 12));
        assert_eq!(sizes("sha384"), (Mode::Digest, 0, 0, 0));
        assert_eq!(sizes("hmac-sha224"), (Mode::Digest, 0, 28, 0));
        let combined = (Mode::EncryptThenAuthenticate, 16, 32, 16);
        assert_eq!(sizes("aes-128-ctr+hmac-sha256"), combined);
        for suite in Suite::all() {
            assert!(
                suite
                    .cipher
                    .is_none_or(|cipher| cipher.takes_key_len(suite.cipher_key_len))
            );
        }
    }

    #[test]
    fn an_unknown_name_finds_its_neighbours() {
        let error = "aes-265-gcm".parse::<Suite>().expect_err("no such suite");
        assert!(
            error.nearest.contains(&"aes-256-gcm".to_owned()),
            "{error:?}"
        );
    }
}
