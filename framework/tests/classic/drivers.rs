//! Drivers that register as the page says, and serve as any other driver does.

use std::cell::RefCell;
use std::rc::Rc;

use framework::front::classic::{Cryptkop, Queues};
use framework::{
    Buffer, Cipher, Digest, DriverChoice, DriverFlags, KeyOps, KeyParam, MigrationPolicy, Mode,
    Operation, Region, Request, RequestError, SessionFlags, SessionId, SessionParams,
};

use super::toy::{Toy, ToyDriver};
use super::*;

/// A toy that registered AES-CBC and HMAC-SHA1 and has room for `room` requests.
fn toy(ivs: IvPolicy, room: usize) -> (Classic, u32, Rc<RefCell<Toy>>) {
    let mut classic = empty(ivs);
    let toy = Rc::new(RefCell::new(Toy {
        room,
        ..Toy::default()
    }));
    let hid = classic.crypto_get_driverid(DriverFlags::empty()).unwrap();
    let driver = Box::new(ToyDriver(Rc::clone(&toy)));
    classic
        .crypto_register(hid, AES_CBC, 0, Some(driver))
        .unwrap();
    classic.crypto_register(hid, SHA1_HMAC, 0, None).unwrap();
    (classic, hid, toy)
}

fn opened(classic: &mut Classic, chain: &[CryptoIni]) -> u64 {
    let sid = session(classic, chain);
    classic.service_all(NOW);
    sid
}

fn dispatch(classic: &mut Classic, sid: u64, opaque: u64, parts: &[CryptoDesc]) {
    let mut request = request(sid, &[0x61; 48], parts);
    request.crp_opaque = opaque;
    classic.crypto_dispatch(NOW, Some(request)).unwrap();
}

fn work(classic: &mut Classic, toy: &RefCell<Toy>) {
    toy.borrow_mut().work();
    classic.service_all(NOW);
}

#[test]
fn a_driver_gets_a_number_and_hands_itself_over_with_its_first_algorithm() {
    let mut classic = empty(IvPolicy::Random);
    let kinds = DriverFlags::HARDWARE | DriverFlags::SOFTWARE;
    assert_eq!(classic.crypto_get_driverid(kinds), None);
    let unknown = DriverFlags::from_bits_retain(1);
    assert_eq!(classic.crypto_get_driverid(unknown), None);
    let hid = classic.crypto_get_driverid(DriverFlags::empty()).unwrap();
    let driver = || Some(Box::new(ToyDriver(Rc::default())) as Box<_>);
    assert_eq!(
        classic.crypto_register(hid, AES_CBC, 0, None),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        classic.crypto_register(hid + 1, AES_CBC, 0, driver()),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        classic.crypto_register(hid, 0, 0, driver()),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        classic.crypto_register(hid, 43, 0, driver()),
        Err(Errno::EINVAL)
    );
    assert_eq!(classic.crypto_register(hid, AES_CBC, 0, driver()), Ok(()));
    assert_eq!(classic.crypto_register(hid, SHA1_HMAC, 0, None), Ok(()));
    assert_eq!(classic.crypto_find_driver("toy"), Some(hid));
}

#[test]
fn a_driver_serves_what_it_registered_and_no_longer_keys() {
    let (mut classic, hid, _) = toy(IvPolicy::Random, 1);
    let open = |classic: &mut Classic, ini| classic.crypto_newsession(NOW, &[ini], Crid::ANY);
    let des = CryptoIni::new(DES_CBC, &[1; 8]);
    assert_eq!(open(&mut classic, des).err(), Some(Errno::EINVAL));
    assert!(open(&mut classic, aes()).is_ok());
    classic.crypto_register(hid, AES_CBC, 127, None).unwrap();
    assert_eq!(open(&mut classic, aes()).err(), Some(Errno::EINVAL));
    classic.crypto_register(hid, AES_CBC, 128, None).unwrap();
    assert!(open(&mut classic, aes()).is_ok());
}

#[test]
fn a_driver_leaves_with_its_last_algorithm() {
    let (mut classic, hid, _) = toy(IvPolicy::Random, 1);
    assert_eq!(
        classic.crypto_unregister(NOW, hid, DES_CBC),
        Err(Errno::EINVAL)
    );
    assert_eq!(classic.crypto_unregister(NOW, hid, AES_CBC), Ok(()));
    assert_eq!(
        classic.crypto_unregister(NOW, hid, AES_CBC),
        Err(Errno::EINVAL)
    );
    assert_eq!(classic.crypto_find_driver("toy0"), Some(hid));
    assert_eq!(classic.crypto_unregister(NOW, hid, SHA1_HMAC), Ok(()));
    assert_eq!(classic.crypto_find_driver("toy0"), None);
    assert_eq!(classic.crypto_unregister_all(NOW, hid), Err(Errno::EINVAL));
    assert_eq!(
        classic.crypto_unblock(NOW, hid, Queues::SYMQ),
        Err(Errno::EINVAL)
    );
}

#[test]
fn a_driver_does_what_the_software_does() {
    let (mut hardware, _, toy) = toy(IvPolicy::Random, 1);
    let mut software = software();
    let chain = [aes(), hmac()];
    let (sid, expected) = (
        opened(&mut hardware, &chain),
        session(&mut software, &chain),
    );
    let parts = [
        part(&aes(), (16, 16), 0, ENCRYPT),
        part(&hmac(), (0, 32), 32, 0),
    ];
    hardware
        .crypto_dispatch(NOW, Some(request(sid, &[0x61; 48], &parts)))
        .unwrap();
    assert!(hardware.take_done(NOW).is_none());
    work(&mut hardware, &toy);
    let sealed = next(&mut hardware);
    let (etype, bytes) = outcome(&mut software, expected, &[0x61; 48], &parts);
    assert_eq!(
        (sealed.crp_etype, sealed.crp_buf.to_vec()),
        (etype, bytes.clone())
    );
    let parts = [part(&hmac(), (0, 32), 32, 0), part(&aes(), (16, 16), 0, 0)];
    hardware
        .crypto_dispatch(NOW, Some(request(sid, &bytes, &parts)))
        .unwrap();
    work(&mut hardware, &toy);
    assert_eq!(next(&mut hardware).crp_buf.to_vec()[16..32], [0x61; 16]);
}

/// A session of the framework's own interface.
fn modern(classic: &mut Classic) -> SessionId {
    let params = SessionParams {
        mode: Mode::EncryptThenAuthenticate,
        flags: SessionFlags::SEPARATE_OUTPUT | SessionFlags::SEPARATE_AAD,
        cipher: Some(Cipher::AesCbc),
        digest: Some(Digest::HmacSha1),
        cipher_key_len: 16,
        cipher_key: aes().cri_key,
        auth_key_len: 20,
        auth_key: hmac().cri_key,
        iv_len: 16,
        auth_digest_len: 12,
    };
    let (choice, policy) = (DriverChoice::any(), MigrationPolicy::Report);
    let framework = classic.framework_mut();
    let name = framework.open_session(NOW, params, choice, policy).unwrap();
    classic.service_all(NOW);
    name
}

#[test]
fn a_classic_driver_verifies_for_the_framework_and_writes_nothing_if_it_is_wrong() {
    let (mut classic, _, toy) = toy(IvPolicy::Random, 4);
    let name = modern(&mut classic);
    let seal = |output| {
        let buffer = Buffer::Memory(vec![0x61; 44]);
        let mut request = Request::new(name, Operation::EncryptCompute, buffer);
        request.output = output;
        request.separate_aad = Some(Buffer::Memory(b"header".to_vec()));
        request.iv = Some([3; 64]);
        request.payload = Region { start: 0, len: 32 };
        request.digest_start = 32;
        request
    };
    let apart = Some(Buffer::Memory(vec![0; 44]));
    for request in [seal(None), seal(apart)] {
        classic.framework_mut().dispatch(NOW, request).unwrap();
        work(&mut classic, &toy);
    }
    let sealed = classic.take_other(NOW).unwrap().request;
    let apart = classic.take_other(NOW).unwrap().request;
    let (Buffer::Memory(sealed), Some(Buffer::Memory(apart))) = (sealed.buffer, apart.output)
    else {
        panic!("memory stays memory");
    };
    assert_eq!(sealed, apart);
    for (flip, expected) in [(0, Ok(())), (1, Err(RequestError::DigestMismatch))] {
        let mut bytes = sealed.clone();
        bytes[40] ^= flip;
        let mut open = seal(None);
        open.operation = Operation::VerifyDecrypt;
        open.buffer = Buffer::Memory(bytes.clone());
        classic.framework_mut().dispatch(NOW, open).unwrap();
        work(&mut classic, &toy);
        let done = classic.take_other(NOW).unwrap();
        assert_eq!(done.result, expected);
        let Buffer::Memory(after) = &done.request.buffer else {
            panic!("memory stays memory");
        };
        assert_eq!(after == &bytes, expected.is_err());
    }
}

const COPY: (usize, usize) = (0, 48);

#[test]
fn a_request_that_a_driver_refused_waits_for_its_word() {
    let (mut classic, hid, toy) = toy(IvPolicy::Random, 1);
    let sid = opened(&mut classic, &[aes()]);
    let seal = [part(&aes(), COPY, 0, ENCRYPT | IV_PRESENT)];
    for opaque in 1..=3 {
        dispatch(&mut classic, sid, opaque, &seal);
    }
    assert_eq!(toy.borrow().waiting.len(), 1);
    classic.service_all(NOW);
    assert_eq!(toy.borrow().waiting.len(), 1, "it has said nothing");
    toy.borrow_mut().room = 1;
    classic.crypto_unblock(NOW, hid, Queues::ASYMQ).unwrap();
    assert_eq!(toy.borrow().waiting.len(), 1, "that was about keys");
    classic.crypto_unblock(NOW, hid, Queues::SYMQ).unwrap();
    assert_eq!(toy.borrow().waiting.len(), 2);
    for opaque in 1..=3 {
        work(&mut classic, &toy);
        assert_eq!(next(&mut classic).crp_opaque, opaque);
    }
}

#[test]
fn a_word_given_while_refusing_is_heard() {
    let (mut classic, _, toy) = toy(IvPolicy::Random, 0);
    let sid = opened(&mut classic, &[aes()]);
    toy.borrow_mut().unblocks_while_refusing = true;
    dispatch(
        &mut classic,
        sid,
        1,
        &[part(&aes(), COPY, 0, ENCRYPT | IV_PRESENT)],
    );
    assert_eq!(toy.borrow().waiting.len(), 1, "nobody has to wake it again");
}

#[test]
fn a_driver_that_says_again_is_asked_again_by_the_framework() {
    let (mut classic, _, toy) = toy(IvPolicy::Random, 1);
    let sid = opened(&mut classic, &[aes()]);
    dispatch(
        &mut classic,
        sid,
        1,
        &[part(&aes(), COPY, 0, ENCRYPT | IV_PRESENT)],
    );
    toy.borrow_mut().fails_with = Some(Errno::EAGAIN);
    work(&mut classic, &toy);
    assert!(
        classic.take_done(NOW).is_none(),
        "the consumer hears of a move alone"
    );
    work(&mut classic, &toy);
    assert_eq!(next(&mut classic).crp_etype, None);
}

#[test]
fn what_a_driver_says_twice_counts_once_and_its_errors_keep_their_numbers() {
    let (mut classic, _, toy) = toy(IvPolicy::Random, 1);
    let sid = opened(&mut classic, &[aes()]);
    let seal = [part(&aes(), COPY, 0, ENCRYPT | IV_PRESENT)];
    for (errno, seen) in [
        (Errno::E2BIG, Errno::E2BIG),
        (Errno::EIO, Errno::EIO),
        (Errno::ENOMEM, Errno::EIO),
    ] {
        dispatch(&mut classic, sid, 1, &seal);
        toy.borrow_mut().fails_with = Some(errno);
        work(&mut classic, &toy);
        assert_eq!(next(&mut classic).crp_etype, Some(seen));
    }
    dispatch(&mut classic, sid, 1, &seal);
    toy.borrow_mut().stutters = true;
    work(&mut classic, &toy);
    assert!(
        next(&mut classic).crp_etype.is_some(),
        "the first word was nonsense"
    );
    assert!(classic.take_done(NOW).is_none());
}

#[test]
fn chained_ivs_are_last_blocks_and_never_shared() {
    let (mut classic, _, toy) = toy(IvPolicy::Chained, 8);
    let sid = opened(&mut classic, &[aes()]);
    for opaque in 1..=3 {
        dispatch(
            &mut classic,
            sid,
            opaque,
            &[part(&aes(), (16, 32), 0, ENCRYPT)],
        );
    }
    let mut last = (1..=16).collect::<Vec<u8>>();
    for opaque in 1..=3 {
        assert_eq!(
            toy.borrow().waiting.len(),
            1,
            "the next IV is not known yet"
        );
        work(&mut classic, &toy);
        let done = next(&mut classic);
        let bytes = done.crp_buf.to_vec();
        assert_eq!((done.crp_opaque, &bytes[..16]), (opaque, &last[..]));
        last = bytes[32..].to_vec();
    }
    // One with an IV of its own waits for nobody.
    dispatch(&mut classic, sid, 4, &[part(&aes(), (16, 32), 0, ENCRYPT)]);
    dispatch(
        &mut classic,
        sid,
        5,
        &[part(&aes(), (16, 32), 0, ENCRYPT | IV_EXPLICIT)],
    );
    assert_eq!(toy.borrow().waiting.len(), 2);
    // What waits when the session is freed is told so.
    dispatch(&mut classic, sid, 6, &[part(&aes(), (16, 32), 0, ENCRYPT)]);
    classic.crypto_freesession(NOW, sid).unwrap();
    let cancelled = next(&mut classic);
    assert_eq!(
        (cancelled.crp_opaque, cancelled.crp_etype),
        (6, Some(Errno::ECANCELED))
    );
    assert!(
        toy.borrow().freed.is_empty(),
        "two requests are in the driver"
    );
    work(&mut classic, &toy);
    work(&mut classic, &toy);
    assert_eq!(toy.borrow().freed.len(), 1);
}

#[test]
fn key_operations_go_to_a_driver_that_registered_them() {
    let (mut classic, hid, toy) = toy(IvPolicy::Random, 1);
    assert_eq!(classic.crypto_kregister(hid, 11, None), Err(Errno::EINVAL));
    classic.crypto_kregister(hid, 0, None).unwrap();
    assert_eq!(classic.crypto_getfeat(), KeyOps::MOD_EXP);
    let operation = || {
        let inputs = [3_u64, 5, 100].map(|value| KeyParam::from_le_bytes(&value.to_le_bytes()));
        Box::new(Cryptkop {
            krp_op: 0,
            krp_status: None,
            krp_iparams: 3,
            krp_oparams: 1,
            krp_crid: Crid::HARDWARE,
            krp_hid: None,
            krp_param: [&inputs[..], &[KeyParam::room(64)]].concat(),
            krp_opaque: 0,
            krp_callback: Some(Callback(2)),
        })
    };
    for _ in 0..2 {
        classic.crypto_kdispatch(NOW, Some(operation())).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(toy.borrow().keys.len(), 1);
        toy.borrow_mut().work_on_key();
        classic.service_all(NOW);
        let Some(Done::Key(done)) = classic.take_done(NOW) else {
            panic!("a key operation is done");
        };
        assert_eq!((done.krp_status, done.krp_hid), (None, Some(hid)));
        assert_eq!(done.krp_param[3].bytes(), 43_u64.to_le_bytes());
    }
}
