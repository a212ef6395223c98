//! Sessions move between cards in envelopes, and what a card is asked it answers.

use device_model::{Card, Latch, Profile, Provisioning};
use driver::AdminError;
use framework::{
    Cipher, DriverChoice, Key, KeyError, KeyOp, KeyParam, KeyRequest, Mode, Operation,
    SessionFlags, SessionId, SessionParams,
};
use regs::{BlobHeader, CardSession, Status};
use sim::recorder::Level;
use tests::Rig;

const KEY: [u8; 32] = *b"A key that only two cards know!!";
const LEN: usize = 100;

/// A rig whose card has this serial number, of one fleet.
fn rig(serial: u64) -> Rig {
    let provisioning = Provisioning {
        serial,
        root_key: Some([0x6B; 32]),
        entropy_seed: [serial as u8; 32],
    };
    let card = Card::provisioned(Profile::reference(), &provisioning).expect("a card");
    Rig::around(card, 64, 1, Level::Check)
}

fn gcm(key: &[u8]) -> SessionParams {
    SessionParams {
        mode: Mode::Aead,
        flags: SessionFlags::default(),
        cipher: Some(Cipher::AesGcm),
        digest: None,
        cipher_key_len: 32,
        cipher_key: Some(Key::new(key)),
        auth_key_len: 0,
        auth_key: None,
        iv_len: 12,
        auth_digest_len: 0,
    }
}

/// What a session makes of a piece of data: ciphertext and tag.
fn sealed(rig: &mut Rig, session: SessionId) -> Result<Vec<u8>, framework::RequestError> {
    let mut request = rig.request(session, Operation::EncryptCompute, LEN);
    request.iv = Some([3; 64]);
    request.digest_start = LEN;
    let now = rig.now();
    rig.framework
        .dispatch(now, request)
        .expect("a good request");
    loop {
        if let Some(finished) = rig.framework.take_finished() {
            finished.result?;
            let mut bytes = vec![0; LEN + 16];
            finished.request.buffer.copy_out(0, &mut bytes);
            return Ok(bytes);
        }
        assert!(rig.step(), "a callback, or something left to happen");
    }
}

/// Lets the cards of both rigs agree on a KEK in slot 0.
fn agree(here: &mut Rig, there: &mut Rig) {
    let (one, other) = (here.admin.offer_kek(0), there.admin.offer_kek(0));
    let one = here.answer(&one).expect("an offer");
    let other = there.answer(&other).expect("an offer");
    let (first, second) = (
        here.admin.accept_kek(0, &other),
        there.admin.accept_kek(0, &one),
    );
    here.answer(&first).expect("an agreement");
    there.answer(&second).expect("an agreement");
}

fn key_on_card(rig: &Rig) -> usize {
    let mut found = 0;
    let port = rig.port.borrow();
    port.card().expect("a card").visit_memory(&mut |_, memory| {
        found += memory
            .windows(KEY.len())
            .filter(|bytes| *bytes == KEY)
            .count();
    });
    found
}

#[test]
fn a_session_goes_on_at_another_card_whose_host_never_sees_its_keys() {
    let (mut here, mut there) = (rig(1), rig(2));
    let from = here.open(gcm(&KEY));
    let to = there.open(gcm(&[0; 32]));
    agree(&mut here, &mut there);
    let ticket = here.admin.export(CardSession(0), 0);
    let blob = here.answer(&ticket).expect("a blob");
    let header = BlobHeader::from_bytes(blob.first_chunk().expect("a header"));
    assert_eq!((header.exporter, header.sequence), (1, 1));
    let before = sealed(&mut there, to).expect("the placeholder's");
    let ticket = there.admin.import(CardSession(0), 0, &blob);
    there.answer(&ticket).expect("an import");
    let expected = sealed(&mut here, from).expect("a result");
    assert_eq!(sealed(&mut there, to), Ok(expected.clone()));
    assert_ne!(before, expected);
    assert_eq!(there.pool.find(&KEY), None, "nowhere in the host's memory");
    assert_eq!(
        here.pool.find(&KEY),
        None,
        "nor where the session came from"
    );
    assert_eq!((key_on_card(&here), key_on_card(&there)), (1, 1));

    let now = here.now();
    here.framework.close_session(now, from).expect("a session");
    while here.step() {}
    assert_eq!(key_on_card(&here), 0, "one card is done with it");
    let ticket = there.admin.import(CardSession(0), 0, &blob);
    let again = there.answer(&ticket);
    assert_eq!(again, Err(AdminError::Card(Status::ReplayedBlob)));
}

#[test]
fn keys_that_only_the_card_knew_are_gone_with_a_reset() {
    let (mut here, mut there) = (rig(1), rig(2));
    here.open(gcm(&KEY));
    let to = there.open(gcm(&[0; 32]));
    agree(&mut here, &mut there);
    let ticket = here.admin.export(CardSession(0), 0);
    let blob = here.answer(&ticket).expect("a blob");
    let ticket = there.admin.import(CardSession(0), 0, &blob);
    there.answer(&ticket).expect("an import");
    let mut port = there.port.borrow_mut();
    port.card_mut().expect("a card").latch(Latch::HangEngines);
    drop(port);
    let hung = sealed(&mut there, to);
    assert!(hung.is_err(), "the card was reset under it");
    let broken = sealed(&mut there, to);
    assert!(broken.is_err(), "and nobody has the keys: {broken:?}");
    assert_eq!(key_on_card(&there), 0);
    let ticket = there.admin.export(CardSession(0), 0);
    assert_eq!(there.answer(&ticket), Err(AdminError::NoSession));
}

#[test]
fn a_rekeyed_session_has_its_new_keys_even_after_a_reset() {
    let (mut here, mut there) = (rig(1), rig(2));
    let rekeyed = here.open(gcm(&[1; 32]));
    let fresh = there.open(gcm(&KEY));
    let ticket = here.admin.rekey(CardSession(0), &KEY, &[]);
    here.answer(&ticket).expect("a rekey");
    let expected = sealed(&mut there, fresh).expect("a result");
    assert_eq!(sealed(&mut here, rekeyed), Ok(expected.clone()));
    let mut port = here.port.borrow_mut();
    port.card_mut().expect("a card").latch(Latch::HangEngines);
    drop(port);
    assert_eq!(sealed(&mut here, rekeyed), Ok(expected), "submitted again");
    let ticket = here.admin.rekey(CardSession(0), &[1; 16], &[]);
    let shorter = here.answer(&ticket);
    assert_eq!(shorter, Err(AdminError::Card(Status::BadParameters)));
    let ticket = here.admin.rekey(CardSession(7), &KEY, &[]);
    assert_eq!(here.answer(&ticket), Err(AdminError::NoSession));
}

#[test]
fn a_card_tells_of_itself() {
    let mut rig = rig(9);
    let session = rig.open(gcm(&KEY));
    for _ in 0..3 {
        sealed(&mut rig, session).expect("a result");
    }
    let ticket = rig.admin.identify();
    let identified = rig.answer(&ticket).expect("an identity");
    assert_eq!(identified.identity.serial, 9);
    assert_eq!(identified.algorithms.len(), regs::ALGORITHMS);
    let ticket = rig.admin.statistics(true);
    let counted = rig.answer(&ticket).expect("statistics");
    assert_eq!(counted.card.lane_commands, [0, 0, 3, 0]);
    let commands: u64 = counted.rings[1..].iter().map(|ring| ring.commands).sum();
    assert_eq!(commands, 3);
    let ticket = rig.admin.statistics(false);
    let counted = rig.answer(&ticket).expect("statistics");
    assert_eq!(counted.card.lane_commands, [0; 4]);
    let ticket = rig.admin.load_kek(0, &[0; 40]);
    let forged = rig.answer(&ticket);
    assert_eq!(forged, Err(AdminError::Card(Status::ForgedBlob)));
    let ticket = rig.admin.errors(false);
    let errors = rig.answer(&ticket).expect("a log");
    assert_eq!(errors.log.total, 1);
    assert_eq!(errors.entries[0].status, Status::ForgedBlob as u16);
    let ticket = rig.admin.health();
    let health = rig.answer(&ticket).expect("health");
    assert_eq!((health.sessions, health.keks), (1, 0));
    assert_eq!(health.resets, 1, "the driver's own");
}

#[test]
fn random_numbers_come_from_the_card() {
    let draw = |serial, len| {
        let mut rig = rig(serial);
        let ticket = rig.admin.random(len);
        rig.answer(&ticket)
    };
    let first = draw(1, 100).expect("numbers");
    assert_eq!(first.len(), 100);
    assert_eq!(draw(1, 100), Ok(first.clone()));
    assert_ne!(draw(2, 100), Ok(first));
    let refused = Err(AdminError::Card(Status::BadLength));
    assert_eq!(draw(1, 0), refused);
    assert_eq!(draw(1, u32::MAX), refused);
}

/// Sends a key operation to the card through the framework.
fn compute(rig: &mut Rig, request: Box<KeyRequest>) -> (Box<KeyRequest>, Result<(), KeyError>) {
    let now = rig.now();
    rig.framework
        .dispatch_key(now, request)
        .expect("a good request");
    loop {
        if let Some(finished) = rig.framework.take_finished_key() {
            return (finished.request, finished.result);
        }
        assert!(rig.step(), "a callback, or something left to happen");
    }
}

fn number(value: u64) -> KeyParam {
    KeyParam::from_le_bytes(&value.to_le_bytes())
}

#[test]
fn key_operations_go_to_the_card_and_come_back() {
    let mut rig = rig(1);
    while rig.step() {}
    let power = |inputs: [u64; 3], room| {
        let inputs = inputs.map(number).to_vec();
        let mut request = KeyRequest::new(KeyOp::ModExp, inputs, vec![KeyParam::room(room)]);
        request.choice = DriverChoice::hardware_only();
        request
    };
    let (request, result) = compute(&mut rig, power([2, 10, 1000], 64));
    assert_eq!(
        (result, request.outputs[0].bytes()),
        (Ok(()), &24_u64.to_le_bytes()[..])
    );
    let (_, result) = compute(&mut rig, power([2, 10, 0], 64));
    assert_eq!(result, Err(KeyError::Undefined));
    let (_, result) = compute(&mut rig, power([2, 10, 1000], 4));
    assert_eq!(result, Err(KeyError::NoRoom));
    let many: Vec<_> = (0..100)
        .map(|base| power([base, 3, 1_000_003], 64))
        .collect();
    let now = rig.now();
    for request in many {
        rig.framework
            .dispatch_key(now, request)
            .expect("a good request");
    }
    let mut done = 0;
    while done < 100 {
        while let Some(finished) = rig.framework.take_finished_key() {
            assert_eq!(finished.result, Ok(()));
            done += 1;
        }
        assert!(
            done == 100 || rig.step(),
            "callbacks, or something left to happen"
        );
    }
}

#[test]
fn a_long_operation_is_not_taken_for_a_hang() {
    let mut rig = rig(1);
    while rig.step() {}
    let long = KeyParam::from_le_bytes(&[0xFF; 1024]);
    let room = vec![KeyParam::room(8192)];
    let mut request = KeyRequest::new(KeyOp::ModExp, vec![long.clone(), long.clone(), long], room);
    request.choice = DriverChoice::hardware_only();
    let began = rig.now();
    let (_, result) = compute(&mut rig, request);
    assert_eq!(result, Ok(()));
    let took = rig.now().since(began);
    assert!(
        took.as_ns() > 50_000_000,
        "longer than any watchdog: {took}"
    );
    let ticket = rig.admin.health();
    assert_eq!(rig.answer(&ticket).expect("health").resets, 1);
}

#[test]
fn a_card_without_public_key_lanes_stops_offering_them() {
    let profile = Profile {
        public_key: None,
        ..Profile::reference()
    };
    let mut rig = Rig::new(profile, 64, 1, Level::Check);
    while rig.step() {}
    let inputs = vec![number(7), number(5)];
    let mut request = KeyRequest::new(KeyOp::Mod, inputs, vec![KeyParam::room(64)]);
    request.choice = DriverChoice::hardware_only();
    let (_, result) = compute(&mut rig, request);
    assert_eq!(result, Err(KeyError::NoDriver));
    let offered = rig.framework.key_operations(DriverChoice::hardware_only());
    assert!(offered.is_empty());
}
