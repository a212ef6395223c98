//! Sessions move between cards in envelopes, and what a card is asked it answers.

use device_model::{Card, Latch, Profile, Provisioning};
use driver::{AdminError, Ticket};
use framework::software::compute_key;
use framework::{
    Cipher, Digest, DriverChoice, Key, KeyError, KeyOp, KeyOps, KeyParam, KeyRequest, Mode,
    Operation, SessionFlags, SessionId, SessionParams,
};
use regs::{BlobHeader, CardSession, Status};
use sim::recorder::Level;
use tests::Rig;

const KEY: [u8; 32] = *b"A key that only two cards know!!";
const LEN: usize = 96;

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
        cipher: Some(Cipher::AesGcm),
        cipher_key_len: 32,
        cipher_key: Some(Key::new(key)),
        iv_len: 12,
        ..SessionParams::of(Mode::Aead)
    }
}

/// What a session makes of a piece of data: ciphertext and tag.
fn sealed(rig: &mut Rig, session: SessionId) -> Result<Vec<u8>, framework::RequestError> {
    let mut request = rig.request(session, Operation::EncryptCompute, LEN);
    request.iv = Some([3; 64]);
    request.digest_start = LEN;
    request.esn = [1, 2, 3, 4];
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
fn an_imported_session_keeps_its_sequence_numbers_and_may_get_keys_that_the_driver_knows() {
    let params = |key: &[u8]| SessionParams {
        mode: Mode::EncryptThenAuthenticate,
        flags: SessionFlags::ESN,
        cipher: Some(Cipher::AesCbc),
        digest: Some(Digest::HmacSha256),
        cipher_key_len: 16,
        cipher_key: Some(Key::new(&key[..16])),
        auth_key_len: 32,
        auth_key: Some(Key::new(key)),
        iv_len: 16,
        auth_digest_len: 16,
    };
    let (mut here, mut there) = (rig(1), rig(2));
    let from = here.open(params(&KEY));
    let to = there.open(params(&[0; 32]));
    agree(&mut here, &mut there);
    let ticket = here.admin.export(CardSession(0), 0);
    let blob = here.answer(&ticket).expect("a blob");
    let ticket = there.admin.import(CardSession(0), 0, &blob);
    there.answer(&ticket).expect("an import");
    let expected = sealed(&mut here, from).expect("a result");
    assert_eq!(sealed(&mut there, to), Ok(expected.clone()));

    let ticket = there.admin.rekey(CardSession(0), &KEY[..16], &KEY);
    there.answer(&ticket).expect("a rekey");
    let mut port = there.port.borrow_mut();
    port.card_mut().expect("a card").latch(Latch::HangEngines);
    drop(port);
    assert_eq!(
        sealed(&mut there, to),
        Ok(expected),
        "the driver makes it again"
    );
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

/// A ticket of any kind, as a way to pick its answer up.
type Pick = Box<dyn Fn() -> Option<Result<(), AdminError>>>;

/// Something of every kind to ask a card.
fn ask_everything(rig: &Rig) -> Vec<Pick> {
    fn pick<T: 'static>(ticket: Ticket<T>) -> Pick {
        Box::new(move || ticket.take().map(|answer| answer.map(|_| ())))
    }
    let admin = &rig.admin;
    vec![
        pick(admin.identify()),
        pick(admin.errors(false)),
        pick(admin.health()),
        pick(admin.statistics(true)),
        pick(admin.rekey(CardSession(0), &KEY, &[])),
        pick(admin.offer_kek(1)),
        pick(admin.destroy_kek(1)),
        pick(admin.export(CardSession(0), 2)),
        pick(admin.random(3000)),
    ]
}

/// Asks everything, lets `strike` happen after `steps` steps, and says how each order ended. Each
/// must end once.
fn struck(steps: usize, strike: fn(&mut Rig)) -> Vec<Result<(), AdminError>> {
    let mut rig = rig(1);
    rig.open(gcm(&[1; 32]));
    let tickets = ask_everything(&rig);
    for _ in 0..steps {
        rig.step();
    }
    let mut answers: Vec<_> = tickets.iter().map(|ticket| ticket()).collect();
    strike(&mut rig);
    while rig.step() {}
    for (ticket, answer) in tickets.iter().zip(&mut answers) {
        let later = ticket();
        assert!(answer.is_some() != later.is_some(), "{answer:?}, {later:?}");
        *answer = answer.or(later);
        assert!(ticket().is_none(), "once");
    }
    let noticed = answers.contains(&Some(Err(AdminError::Lost)));
    let port = rig.port.borrow();
    if noticed && port.card().is_none() {
        assert_eq!(port.windows().live(), 0, "a window of a card that is gone");
    }
    drop(port);
    answers.into_iter().flatten().collect()
}

/// What becomes of everything on a card that nothing happens to.
fn undisturbed() -> Vec<Result<(), AdminError>> {
    let mut expected = vec![Ok(()); 9];
    expected[7] = Err(AdminError::Card(Status::NoKek));
    expected
}

#[test]
fn every_order_ends_once_whenever_the_card_is_pulled_out() {
    let unplug = |rig: &mut Rig| {
        rig.port.borrow_mut().unplug().expect("a card");
    };
    assert_eq!(struck(2000, |_| {}), undisturbed());
    let mut lost = 0;
    for steps in 0..40 {
        for (answer, expected) in struck(steps, unplug).into_iter().zip(undisturbed()) {
            assert!([expected, Err(AdminError::Lost)].contains(&answer));
            lost += u32::from(answer == Err(AdminError::Lost));
        }
    }
    assert!(lost > 40, "{lost} orders were under way");
}

#[test]
fn every_order_ends_once_whenever_the_card_hangs_and_is_reset() {
    let hang = |rig: &mut Rig| {
        let mut port = rig.port.borrow_mut();
        port.card_mut().expect("a card").latch(Latch::HangScheduler);
    };
    for steps in 0..40 {
        for (answer, expected) in struck(steps, hang).into_iter().zip(undisturbed()) {
            let after = [expected, Err(AdminError::Lost), Err(AdminError::NoSession)];
            assert!(after.contains(&answer), "{answer:?} after {steps} steps");
        }
    }
}

#[test]
fn a_completion_that_is_lost_ends_the_order_in_bounded_time() {
    let drop_one = |rig: &mut Rig| {
        let mut port = rig.port.borrow_mut();
        let card = port.card_mut().expect("a card");
        card.latch(Latch::DropCompletion { nth: 0 });
    };
    let answers = struck(0, drop_one);
    assert!(answers.contains(&Err(AdminError::Lost)));
}

#[test]
fn more_orders_than_the_admin_ring_holds_are_done_in_turn_and_sessions_get_through() {
    let mut rig = rig(1);
    let tickets: Vec<_> = (0..300).map(|_| rig.admin.random(8)).collect();
    let session = rig.open(gcm(&KEY));
    sealed(&mut rig, session).expect("a result");
    let mut numbers = Vec::new();
    for ticket in &tickets {
        numbers.push(rig.answer(ticket).expect("numbers").to_vec());
    }
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 300);
}

#[test]
fn numbers_come_no_faster_than_the_source_of_entropy() {
    let mut rig = rig(1);
    let ticket = rig.admin.identify();
    let identity = rig.answer(&ticket).expect("an identity").identity;
    let began = rig.now();
    let mut bytes = 0;
    for _ in 0..4 {
        let ticket = rig.admin.random(identity.random_max);
        bytes += rig.answer(&ticket).expect("numbers").len() as u64;
    }
    let least = bytes * 1_000_000_000 / identity.entropy_rate;
    let took = rig.now().since(began).as_ns();
    assert!((least / 2..least * 3).contains(&took), "{took} of {least}");
}

#[test]
fn a_source_that_sticks_gives_an_error_and_no_numbers() {
    let mut rig = rig(1);
    while rig.step() {}
    rig.port
        .borrow_mut()
        .card_mut()
        .expect("a card")
        .latch(Latch::StickEntropy);
    let mut answer = Ok(Default::default());
    for _ in 0..4 {
        let ticket = rig.admin.random(1000);
        answer = answer.and(rig.answer(&ticket));
    }
    assert_eq!(answer, Err(AdminError::Card(Status::EntropyFailure)));
}

/// Small numbers that every operation has a result for.
fn inputs_of(op: KeyOp) -> Vec<u64> {
    match op {
        KeyOp::ModExp => vec![3, 77, 1_000_003],
        KeyOp::DhComputeKey => vec![77, 3, 1_000_003],
        // p, q, base, d mod (p - 1), d mod (q - 1), 1/q mod p.
        KeyOp::ModExpCrt => vec![101, 113, 5, 7, 9, 59],
        KeyOp::DsaSign => vec![5, 23, 11, 4, 7],
        KeyOp::DsaVerify => vec![5, 23, 11, 4, 8, 3, 9],
        op => [40, 17, 1009].into_iter().take(op.params().0).collect(),
    }
}

#[test]
fn every_key_operation_of_the_card_gives_what_software_gives() {
    let mut rig = rig(1);
    while rig.step() {}
    let offered = rig.framework.key_operations(DriverChoice::hardware_only());
    assert_eq!(offered, KeyOps::all());
    for op in KeyOp::ALL {
        let inputs: Vec<_> = inputs_of(op).into_iter().map(number).collect();
        let outputs = vec![KeyParam::room(128); op.params().1];
        let mut expected = KeyRequest::new(op, inputs.clone(), outputs.clone());
        let software = compute_key(&mut expected);
        let mut request = KeyRequest::new(op, inputs, outputs);
        request.choice = DriverChoice::hardware_only();
        let (request, result) = compute(&mut rig, request);
        // A signature has a nonce of chance in it.
        if op != KeyOp::DsaSign {
            let bytes = |of: &KeyRequest| of.outputs.iter().map(|o| o.bytes().to_vec()).collect();
            let (card, software): (Vec<_>, Vec<_>) = (bytes(&request), bytes(&expected));
            assert_eq!(card, software, "{op:?}");
        }
        assert_eq!(result.is_ok(), software.is_ok(), "{op:?}: {result:?}");
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
fn a_card_without_public_key_lanes_is_not_offered_for_key_operations() {
    let profile = Profile {
        public_key: None,
        ..Profile::reference()
    };
    let mut rig = Rig::new(profile, 64, 1, Level::Check);
    while rig.step() {}
    let inputs = vec![number(7), number(5)];
    let mut request = KeyRequest::new(KeyOp::Mod, inputs, vec![KeyParam::room(64)]);
    request.choice = DriverChoice::hardware_only();
    let offered = rig.framework.key_operations(DriverChoice::hardware_only());
    assert!(offered.is_empty(), "the identity page says so");
    let (_, result) = compute(&mut rig, request);
    assert_eq!(result, Err(KeyError::NoDriver));
}
