//! The rules of crypto_session(9).

use super::*;

/// What `validate` says after `change`.
fn params(mut base: SessionParams, change: impl FnOnce(&mut SessionParams)) -> Option<ParamsError> {
    change(&mut base);
    base.validate().err()
}

#[test]
fn plain_sessions_of_every_mode_are_valid() {
    for base in [cipher(), digest(), aead(), eta(), compress()] {
        assert_eq!(base.validate(), Ok(()));
    }
}

#[test]
fn flags_fit_the_mode() {
    let unknown = SessionFlags::from_bits_retain(0x80);
    for base in [cipher(), digest(), aead(), eta()] {
        let error = params(base, |params| params.flags |= unknown);
        assert_eq!(error, Some(ParamsError::Flags(0x80)));
    }
    for (base, expected) in [
        (cipher(), Some(ParamsError::SeparateAad)),
        (digest(), Some(ParamsError::SeparateAad)),
        (aead(), None),
        (eta(), None),
    ] {
        let error = params(base, |params| params.flags |= SessionFlags::SEPARATE_AAD);
        assert_eq!(error, expected);
    }
    for (base, expected) in [
        (cipher(), Some(ParamsError::Esn)),
        (digest(), Some(ParamsError::Esn)),
        (aead(), Some(ParamsError::Esn)),
        (eta(), None),
    ] {
        let error = params(base, |params| params.flags |= SessionFlags::ESN);
        assert_eq!(error, expected);
    }
}

#[test]
fn a_mode_has_its_kind_of_cipher_or_none() {
    let kind = Some(ParamsError::CipherKind);
    for base in [cipher(), aead(), eta()] {
        assert_eq!(params(base, |params| params.cipher = None), kind);
    }
    for base in [cipher(), eta()] {
        let error = params(base, |params| params.cipher = Some(Cipher::AesGcm));
        assert_eq!(error, kind);
    }
    let error = params(aead(), |params| params.cipher = Some(Cipher::AesCbc));
    assert_eq!(error, kind);
    let forbidden = Some(ParamsError::CipherForbidden);
    let null = |params: &mut SessionParams| params.cipher = Some(Cipher::Null);
    assert_eq!(params(digest(), null), forbidden);
    let length = |params: &mut SessionParams| params.cipher_key_len = 16;
    assert_eq!(params(digest(), length), forbidden);
    let key = |params: &mut SessionParams| params.cipher_key = Some(Key::new(&[]));
    assert_eq!(params(digest(), key), forbidden);
}

#[test]
fn a_mode_has_a_digest_of_its_own_or_none() {
    for base in [digest(), eta()] {
        let error = params(base, |params| params.digest = None);
        assert_eq!(error, Some(ParamsError::DigestMissing));
    }
    let forbidden = Some(ParamsError::DigestForbidden);
    for base in [cipher(), aead()] {
        let sha = |params: &mut SessionParams| params.digest = Some(Digest::Sha1);
        assert_eq!(params(base.clone(), sha), forbidden);
        let length = |params: &mut SessionParams| params.auth_key_len = 1;
        assert_eq!(params(base.clone(), length), forbidden);
        let key = |params: &mut SessionParams| params.auth_key = Some(Key::new(&[]));
        assert_eq!(params(base, key), forbidden);
    }
    let error = params(cipher(), |params| params.auth_digest_len = 1);
    assert_eq!(error, forbidden);
}

/// Lengths as crypto(7) has them, written as ranges with a step: key, IV, tag.
type Sizes = [(usize, usize, usize); 3];

const CIPHER_SIZES: [(Cipher, Sizes); 16] = {
    const AES: (usize, usize, usize) = (16, 32, 8);
    const NONE: (usize, usize, usize) = (0, 0, 1);
    const TAG: (usize, usize, usize) = (1, 16, 1);
    const IV_8: (usize, usize, usize) = (8, 8, 1);
    const IV_16: (usize, usize, usize) = (16, 16, 1);
    [
        (Cipher::Null, [(0, 256, 1), (0, 63, 1), NONE]),
        (Cipher::AesCbc, [AES, IV_16, NONE]),
        (Cipher::AesCtr, [AES, IV_16, NONE]),
        (Cipher::AesXts, [(32, 64, 32), (8, 16, 8), NONE]),
        (Cipher::AesGcm, [AES, (12, 12, 1), TAG]),
        (Cipher::AesCcm, [AES, (7, 13, 1), (4, 16, 2)]),
        (Cipher::DesCbc, [(8, 8, 1), IV_8, NONE]),
        (Cipher::TripleDesCbc, [(24, 24, 1), IV_8, NONE]),
        (Cipher::BlowfishCbc, [(5, 56, 1), IV_8, NONE]),
        (Cipher::Cast5Cbc, [(5, 16, 1), IV_8, NONE]),
        (Cipher::SkipjackCbc, [(10, 10, 1), IV_8, NONE]),
        (Cipher::CamelliaCbc, [AES, IV_16, NONE]),
        (Cipher::Arc4, [(1, 32, 1), NONE, NONE]),
        (Cipher::ChaCha20, [(16, 32, 16), IV_16, NONE]),
        (Cipher::ChaCha20Poly1305, [(32, 32, 1), (8, 12, 4), TAG]),
        (Cipher::XChaCha20Poly1305, [(32, 32, 1), (24, 24, 1), TAG]),
    ]
};

fn is_in(len: usize, (min, max, step): (usize, usize, usize)) -> bool {
    (min..=max).step_by(step).any(|it| it == len)
}

/// A session of `cipher` alone, without a key of its own.
fn of_cipher(cipher_kind: Cipher, [key, iv, _]: Sizes) -> SessionParams {
    let base = if cipher_kind.is_aead() {
        aead()
    } else {
        cipher()
    };
    SessionParams {
        cipher: Some(cipher_kind),
        cipher_key: None,
        cipher_key_len: key.0,
        iv_len: iv.0,
        ..base
    }
}

#[test]
fn lengths_fit_the_ciphers() {
    for (cipher_kind, sizes) in CIPHER_SIZES {
        let base = of_cipher(cipher_kind, sizes);
        assert_eq!(base.validate(), Ok(()), "{cipher_kind:?}");
        for len in 0..=300 {
            let error = params(base.clone(), |params| params.cipher_key_len = len);
            let expected = (!is_in(len, sizes[0])).then_some(ParamsError::CipherKeyLength(len));
            assert_eq!(error, expected, "{cipher_kind:?}, key of {len}");
            let error = params(base.clone(), |params| params.iv_len = len);
            let expected = (!is_in(len, sizes[1])).then_some(ParamsError::IvLength(len));
            assert_eq!(error, expected, "{cipher_kind:?}, IV of {len}");
            let error = params(base.clone(), |params| params.auth_digest_len = len);
            let expected = match len {
                0 => None,
                _ if !cipher_kind.is_aead() => Some(ParamsError::DigestForbidden),
                _ => (!is_in(len, sizes[2])).then_some(ParamsError::DigestLength(len)),
            };
            assert_eq!(error, expected, "{cipher_kind:?}, tag of {len}");
        }
    }
}

#[test]
fn lengths_fit_the_digests() {
    for algorithm in Digest::ALL {
        use Digest as D;
        let (key, iv, cut) = match algorithm {
            D::AesGmac => ((16, 32, 8), (12, 12, 1), (1, 16, 1)),
            D::AesCcmMac => ((16, 32, 8), (7, 13, 1), (4, 16, 2)),
            D::Poly1305 => ((32, 32, 1), (0, 0, 1), (1, 16, 1)),
            D::Blake2b => ((0, 64, 1), (0, 0, 1), (1, 64, 1)),
            D::Blake2s => ((0, 32, 1), (0, 0, 1), (1, 32, 1)),
            D::NullHmac => ((0, 65_535, 1), (0, 0, 1), (1, 16, 1)),
            D::Sha1 | D::Sha224 | D::Sha256 | D::Sha384 | D::Sha512 | D::Md5 | D::Ripemd160 => {
                ((0, 0, 1), (0, 0, 1), (1, algorithm.len(), 1))
            }
            _ => ((1, 65_535, 1), (0, 0, 1), (1, algorithm.len(), 1)),
        };
        let base = SessionParams {
            digest: Some(algorithm),
            auth_key: None,
            auth_key_len: key.0,
            iv_len: iv.0,
            ..digest()
        };
        assert_eq!(base.validate(), Ok(()), "{algorithm:?}");
        for len in (0..=200).chain([65_535, 65_536]) {
            let error = params(base.clone(), |params| params.auth_key_len = len);
            let expected = (!is_in(len, key)).then_some(ParamsError::AuthKeyLength(len));
            assert_eq!(error, expected, "{algorithm:?}, key of {len}");
            let error = params(base.clone(), |params| params.iv_len = len);
            let expected = (!is_in(len, iv)).then_some(ParamsError::IvLength(len));
            assert_eq!(error, expected, "{algorithm:?}, IV of {len}");
            let error = params(base.clone(), |params| params.auth_digest_len = len);
            let fits = len == 0 || is_in(len, cut);
            let expected = (!fits).then_some(ParamsError::DigestLength(len));
            assert_eq!(error, expected, "{algorithm:?}, cut to {len}");
        }
    }
}

#[test]
fn a_digest_with_a_nonce_shares_the_iv_of_the_cipher() {
    let gmac = |cipher_kind, iv_len| {
        let key_len = if cipher_kind == Cipher::Null { 0 } else { 16 };
        let base = SessionParams {
            cipher: Some(cipher_kind),
            cipher_key: None,
            cipher_key_len: key_len,
            digest: Some(Digest::AesGmac),
            auth_key: None,
            auth_key_len: 16,
            iv_len,
            ..eta()
        };
        base.validate().err()
    };
    assert_eq!(gmac(Cipher::Null, 12), None);
    assert_eq!(gmac(Cipher::Null, 16), Some(ParamsError::IvLength(16)));
    assert_eq!(gmac(Cipher::AesCbc, 12), Some(ParamsError::IvLength(12)));
    assert_eq!(gmac(Cipher::AesCbc, 16), Some(ParamsError::IvLength(16)));
}

#[test]
fn compression_takes_nothing_but_its_algorithm() {
    assert_eq!(compress().validate(), Ok(()));
    let output = |params: &mut SessionParams| params.flags = SessionFlags::SEPARATE_OUTPUT;
    assert_eq!(
        params(compress(), output),
        Some(ParamsError::SeparateOutput)
    );
    let aad = |params: &mut SessionParams| params.flags = SessionFlags::SEPARATE_AAD;
    assert_eq!(params(compress(), aad), Some(ParamsError::SeparateAad));
    let cipher_kind = |params: &mut SessionParams| params.cipher = Some(Cipher::Null);
    assert_eq!(
        params(compress(), cipher_kind),
        Some(ParamsError::CipherForbidden)
    );
    let key = |params: &mut SessionParams| params.cipher_key_len = 1;
    assert_eq!(params(compress(), key), Some(ParamsError::CipherForbidden));
    let algorithm = |params: &mut SessionParams| params.digest = Some(Digest::Sha1);
    assert_eq!(
        params(compress(), algorithm),
        Some(ParamsError::DigestForbidden)
    );
    let key = |params: &mut SessionParams| params.auth_key_len = 1;
    assert_eq!(params(compress(), key), Some(ParamsError::DigestForbidden));
    let len = |params: &mut SessionParams| params.auth_digest_len = 1;
    assert_eq!(params(compress(), len), Some(ParamsError::DigestForbidden));
    let iv = |params: &mut SessionParams| params.iv_len = 1;
    assert_eq!(params(compress(), iv), Some(ParamsError::IvLength(1)));
}

#[test]
fn a_key_is_as_long_as_said() {
    let mismatch = |expected, actual| Some(ParamsError::KeyMismatch { expected, actual });
    let change = |params: &mut SessionParams| params.cipher_key = Some(Key::new(&[0; 24]));
    assert_eq!(params(cipher(), change), mismatch(16, 24));
    let change = |params: &mut SessionParams| params.auth_key = Some(Key::new(&[0; 21]));
    assert_eq!(params(digest(), change), mismatch(20, 21));
    let change = |params: &mut SessionParams| {
        (params.digest, params.auth_key_len) = (Some(Digest::Sha256), 0);
    };
    assert_eq!(params(digest(), change), mismatch(0, 20));
    let none = |params: &mut SessionParams| params.cipher_key = None;
    assert_eq!(params(cipher(), none), None, "requests bring their own");
}
