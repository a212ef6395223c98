//! The rules of crypto_request(9).

use super::*;

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
