use crate::{
    Buffer, Cipher, Compression, Digest, Key, Mode, Operation, ParamsError, Region, Request,
    RequestInvalid, SessionFlags, SessionId, SessionParams,
};

use super::Rules;

fn cipher() -> SessionParams {
    SessionParams {
        cipher: Some(Cipher::AesCbc),
        cipher_key_len: 16,
        cipher_key: Some(Key::new(&[0; 16])),
        iv_len: 16,
        ..SessionParams::of(Mode::Cipher)
    }
}

fn digest() -> SessionParams {
    SessionParams {
        mode: Mode::Digest,
        cipher: None,
        digest: Some(Digest::HmacSha256),
        cipher_key_len: 0,
        cipher_key: None,
        auth_key_len: 20,
        auth_key: Some(Key::new(&[0; 20])),
        iv_len: 0,
        ..cipher()
    }
}

fn aead() -> SessionParams {
    SessionParams {
        mode: Mode::Aead,
        cipher: Some(Cipher::AesGcm),
        iv_len: 12,
        ..cipher()
    }
}

fn eta() -> SessionParams {
    SessionParams {
        mode: Mode::EncryptThenAuthenticate,
        digest: Some(Digest::HmacSha256),
        auth_key_len: 20,
        auth_key: Some(Key::new(&[0; 20])),
        ..cipher()
    }
}

fn compress() -> SessionParams {
    SessionParams {
        mode: Mode::Compress(Compression::Deflate),
        cipher: None,
        cipher_key_len: 0,
        cipher_key: None,
        iv_len: 0,
        ..cipher()
    }
}

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

/// A valid request on 64 bytes: AAD 0..8, IV 8..24 if it is there, payload 24..40, digest 40...
fn request(base: &SessionParams) -> Box<Request> {
    let operation = match base.mode {
        Mode::Cipher => Operation::Encrypt,
        Mode::Digest => Operation::ComputeDigest,
        Mode::Aead | Mode::EncryptThenAuthenticate => Operation::EncryptCompute,
        Mode::Compress(_) => Operation::Compress,
    };
    let buffer = Buffer::Memory(vec![0; 72]);
    let mut request = Request::new(SessionId::default(), operation, buffer);
    request.payload = Region { start: 24, len: 16 };
    match base.mode {
        Mode::Cipher => request.iv_start = 8,
        Mode::Digest => request.digest_start = 40,
        Mode::Aead => (request.iv, request.digest_start) = (Some([0; 64]), 56),
        Mode::EncryptThenAuthenticate => (request.iv_start, request.digest_start) = (8, 40),
        Mode::Compress(_) => {}
    }
    request
}

/// What dispatch says to the valid request of a session after `change`.
fn check(base: &SessionParams, change: impl FnOnce(&mut Request)) -> Option<RequestInvalid> {
    let mut request = request(base);
    change(&mut request);
    Rules::new(base).check(&request).err()
}

fn with_flags(mut base: SessionParams, flags: SessionFlags) -> SessionParams {
    base.flags = flags;
    base
}

#[test]
fn plain_requests_of_every_mode_are_valid() {
    for base in [cipher(), digest(), aead(), eta(), compress()] {
        assert_eq!(check(&base, |_| {}), None);
    }
}

#[test]
fn the_operation_fits_the_mode() {
    use Operation::{
        Compress, ComputeDigest, Decompress, Decrypt, Encrypt, EncryptCompute, VerifyDecrypt,
        VerifyDigest,
    };
    let both = [EncryptCompute, VerifyDecrypt];
    for (base, allowed) in [
        (cipher(), [Encrypt, Decrypt]),
        (digest(), [ComputeDigest, VerifyDigest]),
        (aead(), both),
        (eta(), both),
        (compress(), [Compress, Decompress]),
    ] {
        for operation in [
            Encrypt,
            Decrypt,
            ComputeDigest,
            VerifyDigest,
            EncryptCompute,
            VerifyDecrypt,
            Compress,
            Decompress,
        ] {
            let error = check(&base, |request| request.operation = operation);
            let expected = RequestInvalid::Operation(operation);
            assert_eq!(error, (!allowed.contains(&operation)).then_some(expected));
        }
    }
}

#[test]
fn separate_output_needs_the_flag_and_does_not_verify() {
    let output = |request: &mut Request| request.output = Some(Buffer::Memory(vec![0; 72]));
    let forbidden = Some(RequestInvalid::OutputForbidden);
    assert_eq!(check(&compress(), output), forbidden);
    for base in [cipher(), digest(), aead(), eta()] {
        assert_eq!(check(&base, output), forbidden);
        let base = with_flags(base, SessionFlags::SEPARATE_OUTPUT);
        assert_eq!(check(&base, output), None);
    }
    let base = with_flags(digest(), SessionFlags::SEPARATE_OUTPUT);
    let error = check(&base, |request| {
        output(request);
        request.operation = Operation::VerifyDigest;
    });
    assert_eq!(error, Some(RequestInvalid::VerifyOutput));
}

#[test]
fn aad_lies_in_the_input_of_a_mode_that_has_it() {
    let aad = |start, len| move |request: &mut Request| request.aad = Region { start, len };
    let invalid = |start, len| Some(RequestInvalid::Aad { start, len });
    for base in [aead(), eta()] {
        for (start, len) in [(0, 0), (0, 72), (71, 1)] {
            assert_eq!(check(&base, aad(start, len)), None);
        }
        for (start, len) in [(1, 0), (72, 0), (72, 1), (71, 2), (2, usize::MAX)] {
            assert_eq!(check(&base, aad(start, len)), invalid(start, len));
        }
    }
    for base in [cipher(), digest(), compress()] {
        assert_eq!(check(&base, aad(0, 1)), invalid(0, 1));
        assert_eq!(check(&base, aad(1, 0)), invalid(1, 0));
    }
}

#[test]
fn separate_aad_needs_the_flag_and_bytes_and_no_region() {
    let aad = |bytes| {
        move |request: &mut Request| request.separate_aad = Some(Buffer::Memory(vec![0; bytes]))
    };
    let invalid = Some(RequestInvalid::SeparateAad);
    for base in [cipher(), digest(), aead(), eta(), compress()] {
        assert_eq!(check(&base, aad(4)), invalid);
    }
    for base in [aead(), eta()] {
        let base = with_flags(base, SessionFlags::SEPARATE_AAD);
        assert_eq!(check(&base, aad(4)), None);
        assert_eq!(check(&base, aad(0)), invalid);
        let error = check(&base, |request| {
            aad(4)(request);
            request.aad.len = 1;
        });
        assert_eq!(error, invalid);
    }
}

#[test]
fn the_iv_is_where_the_session_wants_it() {
    let apart = |start| {
        move |request: &mut Request| (request.iv, request.iv_start) = (Some([0; 64]), start)
    };
    let inside =
        |start| move |request: &mut Request| (request.iv, request.iv_start) = (None, start);
    let invalid = |start| Some(RequestInvalid::Iv(start));
    for base in [cipher(), eta()] {
        assert_eq!(check(&base, apart(0)), None);
        assert_eq!(check(&base, apart(1)), invalid(1));
        assert_eq!(check(&base, inside(56)), None);
        assert_eq!(check(&base, inside(57)), invalid(57));
        assert_eq!(check(&base, inside(usize::MAX)), invalid(usize::MAX));
    }
    for base in [digest(), compress()] {
        assert_eq!(check(&base, apart(0)), invalid(0));
        assert_eq!(check(&base, inside(1)), invalid(1));
    }
    assert_eq!(
        check(&aead(), inside(0)),
        Some(RequestInvalid::IvNotSeparate)
    );
    assert_eq!(check(&aead(), apart(1)), invalid(1));
}

#[test]
fn the_payload_lies_in_input_and_output() {
    let payload = |start, len| move |request: &mut Request| request.payload = Region { start, len };
    for base in [cipher(), digest(), aead(), eta()] {
        for (start, len) in [(0, 0), (0, 64), (71, 0), (56, 16)] {
            assert_eq!(check(&base, payload(start, len)), None);
        }
        for (start, len) in [(72, 0), (57, 16), (16, usize::MAX)] {
            let error = check(&base, payload(start, len));
            assert_eq!(error, Some(RequestInvalid::Payload { start, len }));
        }
        let error = check(&base, |request| request.payload_output_start = 1);
        assert_eq!(error, Some(RequestInvalid::PayloadOutput(1)));
        let base = with_flags(base, SessionFlags::SEPARATE_OUTPUT);
        let output = |start| {
            move |request: &mut Request| {
                request.output = Some(Buffer::Memory(vec![0; 80]));
                request.payload_output_start = start;
            }
        };
        let limit = if base.mode == Mode::Digest { 0 } else { 64 };
        assert_eq!(check(&base, output(limit)), None);
        let error = check(&base, output(limit + 1));
        assert_eq!(error, Some(RequestInvalid::PayloadOutput(limit + 1)));
    }
}

#[test]
fn the_payload_is_a_whole_number_of_blocks() {
    for base in [cipher(), eta()] {
        let error = check(&base, |request| request.payload.len = 17);
        assert_eq!(
            error,
            Some(RequestInvalid::BlockMultiple { len: 17, block: 16 })
        );
    }
    for base in [digest(), aead()] {
        assert_eq!(check(&base, |request| request.payload.len = 17), None);
    }
}

#[test]
fn the_payload_of_ccm_fits_the_length_field_that_the_nonce_leaves() {
    let mut base = aead();
    (base.cipher, base.iv_len) = (Some(Cipher::AesCcm), 13);
    let of_len = |len| {
        move |request: &mut Request| {
            request.buffer = Buffer::Memory(vec![0; 70_000]);
            request.payload = Region { start: 0, len };
        }
    };
    assert_eq!(check(&base, of_len(65_535)), None);
    let too_long = RequestInvalid::PayloadTooLong {
        len: 65_536,
        max: 65_535,
    };
    assert_eq!(check(&base, of_len(65_536)), Some(too_long));
    base.iv_len = 12;
    assert_eq!(check(&base, of_len(65_536)), None);
    base.iv_len = 7;
    assert_eq!(check(&base, of_len(65_536)), None);
}

#[test]
fn the_digest_lies_where_it_is_read_or_written() {
    let at = |start| move |request: &mut Request| request.digest_start = start;
    let invalid = |start| Some(RequestInvalid::Digest(start));
    assert_eq!(check(&cipher(), at(1)), invalid(1));
    assert_eq!(check(&compress(), at(1)), invalid(1));
    for (base, last) in [(digest(), 40), (aead(), 56), (eta(), 40)] {
        assert_eq!(check(&base, at(last)), None);
        assert_eq!(check(&base, at(last + 1)), invalid(last + 1));
        assert_eq!(check(&base, at(usize::MAX)), invalid(usize::MAX));
        let base = with_flags(base, SessionFlags::SEPARATE_OUTPUT);
        let in_output = |start, operation| {
            move |request: &mut Request| {
                request.output = Some(Buffer::Memory(vec![0; 80]));
                (request.digest_start, request.operation) = (start, operation);
            }
        };
        let computing = request(&base).operation;
        assert_eq!(check(&base, in_output(last + 8, computing)), None);
        assert_eq!(
            check(&base, in_output(last + 9, computing)),
            invalid(last + 9)
        );
        if base.mode != Mode::Digest {
            let verifying = Operation::VerifyDecrypt;
            assert_eq!(check(&base, in_output(last, verifying)), None);
            assert_eq!(
                check(&base, in_output(last + 1, verifying)),
                invalid(last + 1)
            );
        }
    }
}

#[test]
fn every_key_the_algorithms_need_is_there_and_fits() {
    let cipher_key = |len| {
        move |request: &mut Request| {
            request.cipher_key = Some(Key::new(&vec![0; len]));
        }
    };
    let auth_key = |len| {
        move |request: &mut Request| {
            request.auth_key = Some(Key::new(&vec![0; len]));
        }
    };
    for mut base in [cipher(), aead(), eta()] {
        assert_eq!(check(&base, cipher_key(16)), None);
        let error = check(&base, cipher_key(24));
        assert_eq!(error, Some(RequestInvalid::KeyLength(24)));
        base.cipher_key = None;
        assert_eq!(check(&base, |_| {}), Some(RequestInvalid::KeyMissing));
        assert_eq!(check(&base, cipher_key(16)), None);
    }
    for mut base in [digest(), eta()] {
        assert_eq!(check(&base, auth_key(20)), None);
        let error = check(&base, auth_key(19));
        assert_eq!(error, Some(RequestInvalid::KeyLength(19)));
        base.auth_key = None;
        assert_eq!(check(&base, |_| {}), Some(RequestInvalid::KeyMissing));
        assert_eq!(check(&base, auth_key(20)), None);
    }
    let unused = Some(RequestInvalid::KeyLength(0));
    assert_eq!(check(&cipher(), auth_key(0)), unused);
    assert_eq!(check(&digest(), cipher_key(0)), unused);
    assert_eq!(check(&compress(), cipher_key(0)), unused);
}

/// The short way may send a request the long way, but must not let pass what the long way refuses.
#[test]
fn the_short_way_lets_pass_only_what_keeps_every_rule() {
    let places = [0, 1, 16, 40, 56, 57, 72, usize::MAX];
    let mut passed = 0;
    let mut try_both = |rules: Rules, request: &Request| {
        if rules.is_plain_and_valid(request) {
            passed += 1;
            assert_eq!(rules.check_each(request), Ok(()), "{request:?}");
        }
    };
    for base in [cipher(), digest(), aead(), eta(), compress()] {
        let rules = Rules::new(&base);
        for (start, len) in places.iter().flat_map(|&a| places.map(|b| (a, b))) {
            for (place, iv) in places.iter().flat_map(|&a| [(a, None), (a, Some([0; 64]))]) {
                let mut request = request(&base);
                request.iv = iv;
                request.payload = Region { start, len };
                request.digest_start = place;
                try_both(rules, &request);
                request.payload = Region { start: 16, len: 16 };
                request.aad = Region { start, len };
                try_both(rules, &request);
                (request.digest_start, request.iv_start) = (start, place);
                try_both(rules, &request);
                request.payload_output_start = place;
                try_both(rules, &request);
            }
        }
    }
    assert!(passed > 100, "{passed} took the short way");
}
