//! D20: a driver without room says EAGAIN, which means that a session moved.
//!
//! Consumers dispatch again at once when they read it: they spin until the hardware is done. The
//! same driver said EBADMSG for AAD that was too long and for every failure of the device, so that
//! a broken card looked like a forged message.

use device_model::Latch;
use framework::software::Transform;
use framework::{
    Cipher, Digest, Key, Mode, Operation, Region, Request, RequestError, SessionParams,
};

use crate::card::{finish, latch, open, rig, seal};
use crate::hand::aes_cbc;

/// Times a consumer dispatches one request before a ring of which each try takes one turn is free.
fn old_tries(turns_until_room: usize) -> usize {
    let mut tries = 0;
    let mut turns = turns_until_room;
    loop {
        tries += 1;
        if turns == 0 {
            return tries;
        }
        turns -= 1;
    }
}

#[test]
fn the_old_consumer_spins() {
    assert_eq!(old_tries(1_000_000), 1_000_001);
}

#[test]
fn a_full_ring_moves_no_session() {
    let mut rig = rig(4);
    let session = open(&mut rig);
    for number in 0..40 {
        let (request, now) = (seal(&rig, session, number, 1), rig.now());
        rig.framework
            .dispatch(now, request)
            .expect("room in the queue");
    }
    assert!(
        finish(&mut rig, 40)
            .iter()
            .all(|(_, result)| result.is_ok())
    );
    assert_eq!(rig.framework.stats().moved, 0);
    assert_eq!(rig.framework.session_current(session), Some(session));
}

fn with_digest() -> SessionParams {
    SessionParams {
        mode: Mode::EncryptThenAuthenticate,
        cipher: Some(Cipher::AesCbc),
        digest: Some(Digest::HmacSha256),
        auth_key_len: 32,
        auth_key: Some(Key::new(&[5; 32])),
        ..aes_cbc(crate::hand::KEY)
    }
}

/// A message with a digest that is right, or not.
fn open_message(rig: &tests::Rig, session: framework::SessionId, flip: u8) -> Box<Request> {
    let mut request = seal(rig, session, 1, 3);
    request.operation = Operation::EncryptCompute;
    request.payload = Region { start: 0, len: 16 };
    request.digest_start = 16;
    let mut transform = Transform::new(&with_digest()).expect("valid parameters");
    transform
        .process(&mut request)
        .expect("a request that works");
    let mut byte = [0];
    request.buffer.copy_out(20, &mut byte);
    request.buffer.copy_in(20, &[byte[0] ^ flip]);
    request.operation = Operation::VerifyDecrypt;
    request
}

#[test]
fn a_forged_message_and_a_broken_card_are_told_apart() {
    let mut rig = rig(16);
    let session = rig.open(with_digest());
    for (flip, expected) in [(0, Ok(())), (1, Err(RequestError::DigestMismatch))] {
        let (message, now) = (open_message(&rig, session, flip), rig.now());
        rig.framework
            .dispatch(now, message)
            .expect("a valid request");
        assert_eq!(finish(&mut rig, 1), [(1, expected)]);
    }
    // A card that hangs is reset, and the message is verified after all.
    latch(&rig, Latch::HangEngines);
    let (message, now) = (open_message(&rig, session, 0), rig.now());
    rig.framework
        .dispatch(now, message)
        .expect("a valid request");
    let ended = finish(&mut rig, 1);
    assert_ne!(ended[0].1, Err(RequestError::DigestMismatch));
}
