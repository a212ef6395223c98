//! D28: one request's error is every request's.
//!
//! The error was noted in one variable of the driver, and given to all requests that completed in
//! the same turn.

use framework::{Cipher, Digest, Key, Mode, Operation, Region, RequestError, SessionParams};

use crate::card::{finish, rig, seal};
use crate::hand::aes_cbc;

fn old_batch(errors: &[bool]) -> Vec<bool> {
    let noted = errors.iter().any(|&error| error);
    errors.iter().map(|_| noted).collect()
}

#[test]
fn the_old_batch_shares_its_error() {
    assert_eq!(old_batch(&[false, true, false]), [true; 3]);
}

#[test]
fn each_request_of_a_batch_ends_as_it_deserves() {
    let mut rig = rig(32);
    let session = rig.open(SessionParams {
        mode: Mode::EncryptThenAuthenticate,
        cipher: Some(Cipher::AesCbc),
        digest: Some(Digest::HmacSha1),
        auth_key_len: 20,
        auth_key: Some(Key::new(&[3; 20])),
        ..aes_cbc(crate::hand::KEY)
    });
    for forged in 0..8 {
        let mut messages = Vec::new();
        for number in 0..8 {
            let mut request = seal(&rig, session, number, 4);
            request.operation = Operation::EncryptCompute;
            request.payload = Region { start: 0, len: 32 };
            request.digest_start = 32;
            let now = rig.now();
            rig.framework
                .dispatch(now, request)
                .expect("a valid request");
        }
        for _ in 0..10_000 {
            messages.extend(std::iter::from_fn(|| rig.framework.take_finished()));
            if messages.len() == 8 || !rig.step() {
                break;
            }
        }
        for finished in messages {
            let mut request = finished.request;
            assert_eq!(finished.result, Ok(()));
            request.operation = Operation::VerifyDecrypt;
            if request.opaque == forged {
                request.buffer.copy_in(40, &[0; 8]);
            }
            let now = rig.now();
            rig.framework
                .dispatch(now, request)
                .expect("a valid request");
        }
        for (number, result) in finish(&mut rig, 8) {
            let wrong = Err(RequestError::DigestMismatch);
            assert_eq!(
                result,
                if number == forged { wrong } else { Ok(()) },
                "{number}"
            );
        }
    }
}
