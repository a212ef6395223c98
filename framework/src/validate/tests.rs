use crate::{
    Buffer, Cipher, Digest, Key, Mode, Operation, ParamsError, Region, Request, RequestInvalid,
    SessionFlags, SessionId, SessionParams,
};

use super::Rules;

fn cipher() -> SessionParams {
    SessionParams {
        mode: Mode::Cipher,
        flags: SessionFlags::empty(),
        cipher: Some(Cipher::AesCbc),
        digest: None,
        cipher_key_len: 16,
        cipher_key: Some(Key::new(&[0; 16])),
        auth_key_len: 0,
        auth_key: None,
        iv_len: 16,
        auth_digest_len: 0,
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

/// What `validate` says after `change`.
fn params(mut base: SessionParams, change: impl FnOnce(&mut SessionParams)) -> Option<ParamsError> {
    change(&mut base);
    base.validate().err()
}

#[test]
fn plain_sessions_of_every_mode_are_valid() {
    for base in [cipher(), digest(), aead(), eta()] {
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

#[test]
fn key_lengths_fit_the_algorithms() {
    for cipher_kind in Cipher::ALL {
        let mut base = if cipher_kind.is_aead() {
            aead()
        } else {
            cipher()
        };
        (base.cipher, base.cipher_key) = (Some(cipher_kind), None);
        for len in 0..=300 {
            let error = params(base.clone(), |params| params.cipher_key_len = len);
            let fits = match cipher_kind {
                Cipher::Null => len <= 256,
                Cipher::AesXts => len == 32 || len == 64,
                Cipher::AesCbc | Cipher::AesCtr | Cipher::AesGcm => [16, 24, 32].contains(&len),
            };
            let expected = (!fits).then_some(ParamsError::CipherKeyLength(len));
            assert_eq!(error, expected, "{cipher_kind:?} with {len}");
        }
    }
    for algorithm in Digest::ALL {
        for len in [0, 1, 64, 65_535, 65_536] {
            let mut base = digest();
            (base.digest, base.auth_key, base.auth_key_len) = (Some(algorithm), None, len);
            let fits = algorithm.is_keyed() == (1..=65_535).contains(&len) && len <= 65_535;
            let expected = (!fits).then_some(ParamsError::AuthKeyLength(len));
            assert_eq!(base.validate().err(), expected, "{algorithm:?} with {len}");
        }
    }
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

#[test]
fn iv_lengths_fit_the_algorithms() {
    for cipher_kind in Cipher::ALL {
        let mut base = if cipher_kind.is_aead() {
            aead()
        } else {
            cipher()
        };
        base.cipher = Some(cipher_kind);
        if cipher_kind == Cipher::AesXts {
            (base.cipher_key, base.cipher_key_len) = (None, 32);
        }
        for len in 0..=65 {
            let error = params(base.clone(), |params| params.iv_len = len);
            let fits = match cipher_kind {
                Cipher::Null => len < 64,
                Cipher::AesCbc | Cipher::AesCtr => len == 16,
                Cipher::AesXts => len == 8 || len == 16,
                Cipher::AesGcm => len == 12,
            };
            let expected = (!fits).then_some(ParamsError::IvLength(len));
            assert_eq!(error, expected, "{cipher_kind:?} with {len}");
        }
    }
    let error = params(digest(), |params| params.iv_len = 1);
    assert_eq!(error, Some(ParamsError::IvLength(1)));
}

#[test]
fn a_digest_is_not_longer_than_it_is() {
    for (base, longest) in [(digest(), 32), (eta(), 32), (aead(), 16)] {
        for len in [0, 1, longest] {
            let error = params(base.clone(), |params| params.auth_digest_len = len);
            assert_eq!(error, None);
        }
        let error = params(base, |params| params.auth_digest_len = longest + 1);
        assert_eq!(error, Some(ParamsError::DigestLength(longest + 1)));
    }
}

/// A valid request on 64 bytes: AAD 0..8, IV 8..24 if it is there, payload 24..40, digest 40...
fn request(base: &SessionParams) -> Box<Request> {
    let operation = match base.mode {
        Mode::Cipher => Operation::Encrypt,
        Mode::Digest => Operation::ComputeDigest,
        Mode::Aead | Mode::EncryptThenAuthenticate => Operation::EncryptCompute,
    };
    let buffer = Buffer::Memory(vec![0; 72]);
    let mut request = Request::new(SessionId::default(), operation, buffer);
    request.payload = Region { start: 24, len: 16 };
    match base.mode {
        Mode::Cipher => request.iv_start = 8,
        Mode::Digest => request.digest_start = 40,
        Mode::Aead => (request.iv, request.digest_start) = (Some([0; 64]), 56),
        Mode::EncryptThenAuthenticate => (request.iv_start, request.digest_start) = (8, 40),
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
    for base in [cipher(), digest(), aead(), eta()] {
        assert_eq!(check(&base, |_| {}), None);
    }
}

#[test]
fn the_operation_fits_the_mode() {
    use Operation::{ComputeDigest, Decrypt, Encrypt, EncryptCompute, VerifyDecrypt, VerifyDigest};
    let both = [EncryptCompute, VerifyDecrypt];
    for (base, allowed) in [
        (cipher(), [Encrypt, Decrypt]),
        (digest(), [ComputeDigest, VerifyDigest]),
        (aead(), both),
        (eta(), both),
    ] {
        for operation in [
            Encrypt,
            Decrypt,
            ComputeDigest,
            VerifyDigest,
            EncryptCompute,
            VerifyDecrypt,
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
    for base in [cipher(), digest()] {
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
    for base in [cipher(), digest(), aead(), eta()] {
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
    assert_eq!(check(&digest(), apart(0)), invalid(0));
    assert_eq!(check(&digest(), inside(1)), invalid(1));
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
fn the_digest_lies_where_it_is_read_or_written() {
    let at = |start| move |request: &mut Request| request.digest_start = start;
    let invalid = |start| Some(RequestInvalid::Digest(start));
    assert_eq!(check(&cipher(), at(1)), invalid(1));
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
    for base in [cipher(), digest(), aead(), eta()] {
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
