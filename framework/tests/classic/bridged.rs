//! Modern consumers at classic drivers: what the old interface says in pairs of numbers, and how
//! long a compressed payload is.

use std::cell::RefCell;
use std::rc::Rc;

use framework::{
    Buffer, Cipher, Compression, DriverChoice, DriverFlags, Key, MigrationPolicy, Mode, Operation,
    Region, Request, RequestError, SessionError, SessionId, SessionParams,
};

use super::toy::{Toy, ToyDriver};
use super::*;

const CCM: u32 = 40;
const CCM_MAC: u32 = 39;

fn aead(cipher: Cipher, key_len: usize, tag_len: usize) -> SessionParams {
    SessionParams {
        cipher: Some(cipher),
        cipher_key_len: key_len,
        cipher_key: Some(Key::new(&vec![0x2B; key_len])),
        iv_len: 12,
        auth_digest_len: tag_len,
        ..SessionParams::of(Mode::Aead)
    }
}

/// A toy with these algorithms and no other driver.
fn toy(numbers: &[u32]) -> (Classic, Rc<RefCell<Toy>>) {
    let mut classic = empty(IvPolicy::Random);
    let toy = Rc::new(RefCell::new(Toy {
        room: 8,
        ..Toy::default()
    }));
    let hid = classic.crypto_get_driverid(DriverFlags::empty()).unwrap();
    for &number in numbers {
        let driver = Box::new(ToyDriver(Rc::clone(&toy)));
        let registered = classic.crypto_register(hid, number, 0, Some(driver));
        registered.unwrap();
    }
    (classic, toy)
}

fn open(classic: &mut Classic, params: SessionParams) -> Result<SessionId, SessionError> {
    let (any, told) = (DriverChoice::any(), MigrationPolicy::Report);
    let opened = classic.framework_mut().open_session(NOW, params, any, told);
    classic.service_all(NOW);
    opened
}

fn run_on(
    classic: &mut Classic,
    toy: &RefCell<Toy>,
    request: Box<Request>,
) -> (Box<Request>, Result<(), RequestError>) {
    classic.framework_mut().dispatch(NOW, request).unwrap();
    toy.borrow_mut().work();
    classic.service_all(NOW);
    let done = classic.take_other(NOW).unwrap();
    (done.request, done.result)
}

/// What software makes of it.
fn in_software(
    params: SessionParams,
    mut request: Box<Request>,
) -> (Box<Request>, Result<(), RequestError>) {
    let mut classic = software();
    request.session = open(&mut classic, params).unwrap();
    classic.framework_mut().dispatch(NOW, request).unwrap();
    let done = classic.take_other(NOW).unwrap();
    (done.request, done.result)
}

fn bytes(buffer: &Buffer) -> Vec<u8> {
    let mut all = vec![0; buffer.len()];
    buffer.copy_out(0, &mut all);
    all
}

/// Eight bytes of AAD, payload of twenty, a tag.
fn message(session: SessionId, operation: Operation, bytes: Vec<u8>) -> Box<Request> {
    let mut request = Request::new(session, operation, Buffer::Memory(bytes));
    request.aad = Region { start: 0, len: 8 };
    request.payload = Region { start: 8, len: 20 };
    request.digest_start = 28;
    let mut iv = [0; 64];
    iv[..12].copy_from_slice(&[9; 12]);
    request.iv = Some(iv);
    request
}

#[test]
fn an_aead_is_a_pair_of_numbers_to_a_classic_driver() {
    let numbers = [AES_GCM, 26, 27, 28, CCM, CCM_MAC];
    for (cipher, key_len, tag_len) in [
        (Cipher::AesGcm, 16, 16),
        (Cipher::AesGcm, 24, 12),
        (Cipher::AesGcm, 32, 16),
        (Cipher::AesCcm, 16, 8),
        (Cipher::AesCcm, 32, 16),
    ] {
        let params = aead(cipher, key_len, tag_len);
        let (mut classic, toy) = toy(&numbers);
        let session = open(&mut classic, params.clone()).unwrap();
        let plain: Vec<u8> = (0..44).collect();
        for own_key in [None, Some(Key::new(&vec![0x77; key_len]))] {
            let with_key = |mut request: Box<Request>| {
                request.cipher_key = own_key.clone();
                request
            };
            let seal = with_key(message(session, Operation::EncryptCompute, plain.clone()));
            let expected = in_software(params.clone(), seal.duplicate(session).unwrap());
            let (sealed, result) = run_on(&mut classic, &toy, seal);
            assert_eq!((result, expected.1), (Ok(()), Ok(())));
            let sealed = bytes(&sealed.buffer);
            assert_eq!(sealed, bytes(&expected.0.buffer), "{cipher:?}");
            let open = with_key(message(session, Operation::VerifyDecrypt, sealed.clone()));
            let (opened, result) = run_on(&mut classic, &toy, open);
            assert_eq!(result, Ok(()));
            assert_eq!(bytes(&opened.buffer)[..28], plain[..28]);
            let mut tampered = sealed;
            tampered[29] ^= 1;
            let open = with_key(message(session, Operation::VerifyDecrypt, tampered.clone()));
            let (left, result) = run_on(&mut classic, &toy, open);
            assert_eq!(result, Err(RequestError::DigestMismatch));
            assert_eq!(bytes(&left.buffer), tampered, "nothing was touched");
        }
    }
}

#[test]
fn an_aead_needs_both_numbers_and_a_length_the_old_interface_has() {
    let refused = |numbers: &[u32], params| {
        let (mut classic, _) = toy(numbers);
        open(&mut classic, params).err()
    };
    let gcm = || aead(Cipher::AesGcm, 16, 16);
    let none = Some(SessionError::NoDriver);
    assert_eq!(refused(&[AES_GCM, AES_128_GMAC], gcm()), None);
    assert_eq!(refused(&[AES_GCM], gcm()), none);
    assert_eq!(refused(&[AES_GCM, 28], gcm()), none, "of other keys");
    let mut short = aead(Cipher::AesCcm, 16, 16);
    short.iv_len = 7;
    assert_eq!(refused(&[CCM, CCM_MAC], short), none);
    let chacha = aead(Cipher::ChaCha20Poly1305, 32, 16);
    assert_eq!(refused(&[41], chacha), none, "it has no pair");
}

#[test]
fn a_classic_consumer_s_aead_goes_to_a_classic_driver() {
    let gcm = CryptoIni::new(AES_GCM, &AES_KEY);
    let gmac = CryptoIni::new(AES_128_GMAC, &AES_KEY);
    let chain = [gcm.clone(), gmac.clone()];
    let (mut classic, toy) = toy(&[AES_GCM, AES_128_GMAC]);
    let mut other = software();
    let data: Vec<u8> = (0..60).collect();
    let mut work = part(&gcm, (12, 32), 0, ENCRYPT | IV_PRESENT | IV_EXPLICIT);
    work.crd_ini.cri_iv[..12].copy_from_slice(&[5; 12]);
    let seal = [work, part(&gmac, (0, 12), 44, 0)];
    let sid = session(&mut other, &chain);
    let expected = outcome(&mut other, sid, &data, &seal);
    let sid = session(&mut classic, &chain);
    classic.service_all(NOW);
    let asked = request(sid, &data, &seal);
    classic.crypto_dispatch(NOW, Some(asked)).unwrap();
    toy.borrow_mut().work();
    classic.service_all(NOW);
    let done = next(&mut classic);
    assert_eq!((done.crp_etype, done.crp_buf.to_vec()), expected);
}

fn squeeze(session: SessionId, operation: Operation, all: &[u8], len: usize) -> Box<Request> {
    let mut request = Request::new(session, operation, Buffer::Memory(all.to_vec()));
    request.payload = Region { start: 3, len };
    request
}

#[test]
fn a_classic_driver_says_how_long_a_compressed_payload_is() {
    let (mut classic, toy) = toy(&[DEFLATE]);
    let params = SessionParams::of(Mode::Compress(Compression::Deflate));
    let session = open(&mut classic, params.clone()).unwrap();
    let plain = [&[1; 3][..], &b"ring slot descriptor ".repeat(20), &[2; 4]].concat();
    let len = plain.len() - 7;
    let compress = squeeze(session, Operation::Compress, &plain, len);
    let expected = in_software(params, compress.duplicate(session).unwrap()).0;
    let (short, result) = run_on(&mut classic, &toy, compress);
    assert_eq!(result, Ok(()));
    assert_eq!(short.result_len, expected.result_len);
    let all = bytes(&short.buffer);
    assert_eq!(all, bytes(&expected.buffer));
    let back = squeeze(session, Operation::Decompress, &all, short.result_len);
    let (back, result) = run_on(&mut classic, &toy, back);
    assert_eq!((result, back.result_len), (Ok(()), len));
    assert_eq!(bytes(&back.buffer)[..3 + len], plain[..3 + len]);

    let tight = squeeze(
        session,
        Operation::Decompress,
        &all[..3 + short.result_len],
        short.result_len,
    );
    let (left, result) = run_on(&mut classic, &toy, tight);
    assert_eq!(result, Err(RequestError::TooBig));
    assert_eq!(bytes(&left.buffer), all[..3 + short.result_len]);
}

#[test]
fn what_does_not_get_shorter_or_is_no_stream_stays_as_it_is() {
    let (mut classic, toy) = toy(&[DEFLATE]);
    let session = open(
        &mut classic,
        SessionParams::of(Mode::Compress(Compression::Deflate)),
    )
    .unwrap();
    let noise: Vec<u8> = (0..60_u32)
        .map(|at| (at * at * 167 + at * 91) as u8)
        .collect();
    let (done, result) = run_on(
        &mut classic,
        &toy,
        squeeze(session, Operation::Compress, &noise, 20),
    );
    assert_eq!(result, Ok(()));
    assert!(done.result_len >= 20);
    assert_eq!(bytes(&done.buffer), noise);
    let (done, result) = run_on(
        &mut classic,
        &toy,
        squeeze(session, Operation::Decompress, &[0xFF; 40], 20),
    );
    assert_eq!(result, Err(RequestError::BadData));
    assert_eq!(bytes(&done.buffer), [0xFF; 40]);
}
