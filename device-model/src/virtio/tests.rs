use regs::virtio::{
    AeadData, AeadParams, AkcipherParams, CipherData, CipherParams, DataHeader, DigestParams,
    OP_CIPHER, PlainData, SymmetricParams,
};
use timebase::Span;
use zerocopy::{Immutable, IntoBytes};

use super::*;

fn device() -> VirtioCrypto {
    VirtioCrypto::new(Profile::reference(), &Provisioning::default()).unwrap()
}

/// A request on the control queue: the fixed part is padded.
fn control(opcode: ControlOpcode, fixed: &(impl IntoBytes + Immutable), keys: &[u8]) -> Vec<u8> {
    let mut header = ControlHeader::new_zeroed();
    header.opcode = (opcode as u32).into();
    header.fixed[..size_of_val(fixed)].copy_from_slice(fixed.as_bytes());
    [header.as_bytes(), keys].concat()
}

fn open(device: &mut VirtioCrypto, request: &[u8]) -> Result<u64, u32> {
    let created = device.control(request, 16);
    let created = Created::read_from_bytes(&created).unwrap();
    match created.status.get() {
        0 => Ok(created.session.get()),
        status => Err(status),
    }
}

fn data(
    opcode: regs::virtio::CryptoOpcode,
    session: u64,
    fixed: &(impl IntoBytes + Immutable),
    body: &[u8],
) -> Zeroizing<Vec<u8>> {
    let mut header = DataHeader::new_zeroed();
    header.opcode = (opcode as u32).into();
    header.session = session.into();
    header.fixed[..size_of_val(fixed)].copy_from_slice(fixed.as_bytes());
    Zeroizing::new([header.as_bytes(), body].concat())
}

fn run(device: &mut VirtioCrypto, request: Zeroizing<Vec<u8>>, room: usize) -> Finished {
    device.submit(Time::ZERO, 7, request, room);
    let mut now = Time::ZERO;
    loop {
        now = now.max(device.next_internal());
        assert_ne!(now, Time::NEVER, "a request without an end");
        if let Some(finished) = device.finish(now) {
            assert_eq!(finished.token, 7);
            return finished;
        }
    }
}

use regs::virtio::CryptoOpcode as Opcode;

fn cipher_session(device: &mut VirtioCrypto, direction: u32) -> u64 {
    let mut params = SymmetricParams::new_zeroed();
    let cipher = CipherParams {
        algorithm: (VirtioCipher::AesCbc as u32).into(),
        key_len: 16.into(),
        direction: direction.into(),
        padding: 0.into(),
    };
    params.params[..16].copy_from_slice(cipher.as_bytes());
    params.kind = OP_CIPHER.into();
    open(
        device,
        &control(ControlOpcode::CipherCreate, &params, &[0x2B; 16]),
    )
    .unwrap()
}

fn cipher_data(len: u32) -> CipherData {
    CipherData {
        iv_len: 16.into(),
        source_len: len.into(),
        destination_len: len.into(),
        kind: OP_CIPHER.into(),
        ..CipherData::new_zeroed()
    }
}

#[test]
fn what_one_session_encrypts_the_other_decrypts_and_time_passes() {
    let mut device = device();
    let (to, fro) = (
        cipher_session(&mut device, 1),
        cipher_session(&mut device, 2),
    );
    let body = [[9; 16], [5; 16], [6; 16]].concat();
    let request = data(Opcode::CipherEncrypt, to, &cipher_data(32), &body);
    device.submit(Time::ZERO, 7, request.clone(), 32);
    assert!(device.finish(Time::ZERO).is_none(), "not at once");
    assert!(device.finish(Time::ZERO + Span::from_ms(1)).is_some());
    let sealed = run(&mut device, request, 32);
    assert_eq!(sealed.status, CryptoStatus::Ok);
    assert_ne!(sealed.output, body[16..]);
    let body = [&[9; 16], &sealed.output[..]].concat();
    let request = data(Opcode::CipherDecrypt, fro, &cipher_data(32), &body);
    let opened = run(&mut device, request, 40);
    assert_eq!(opened.output, [[5; 16], [6; 16]].concat());
    assert_eq!(device.stats().groups[Group::Cipher as usize].commands, 3);
}

#[test]
fn a_session_that_is_closed_ends_its_requests_once_and_is_unknown_then() {
    let mut device = device();
    let session = cipher_session(&mut device, 1);
    let request = data(Opcode::CipherEncrypt, session, &cipher_data(16), &[0; 32]);
    device.submit(Time::ZERO, 1, request.clone(), 16);
    assert!(device.close(session));
    assert!(!device.close(session));
    let end = Time::ZERO + Span::from_ms(1);
    let finished = device.finish(end).unwrap();
    assert_eq!(finished.status, CryptoStatus::InvalidSession);
    assert!(device.finish(end).is_none());
    let finished = run(&mut device, request, 16);
    assert_eq!(finished.status, CryptoStatus::InvalidSession);
}

#[test]
fn keys_are_gone_with_their_session_and_payload_with_its_request() {
    let mut device = device();
    let found = |device: &VirtioCrypto, bytes: &[u8]| {
        let mut found = 0;
        device.visit_memory(&mut |_, memory| {
            found += memory
                .windows(bytes.len())
                .filter(|at| *at == bytes)
                .count();
        });
        found
    };
    let (first, second) = (
        cipher_session(&mut device, 1),
        cipher_session(&mut device, 2),
    );
    assert_eq!(found(&device, &[0x2B; 16]), 2);
    let request = data(Opcode::CipherEncrypt, first, &cipher_data(16), &[0xC7; 32]);
    device.submit(Time::ZERO, 1, request, 16);
    assert!(found(&device, &[0xC7; 32]) > 0);
    device.close(first);
    assert_eq!(found(&device, &[0x2B; 16]), 1);
    assert!(device.finish(Time::ZERO + Span::from_ms(1)).is_some());
    assert_eq!(found(&device, &[0xC7; 32]), 0);
    device.reset();
    assert_eq!(found(&device, &[0x2B; 16]), 0);
    assert!(!device.close(second));
}

#[test]
fn lengths_that_do_not_fit_are_errors() {
    let mut device = device();
    let session = cipher_session(&mut device, 1);
    let status = |device: &mut VirtioCrypto, fixed: CipherData, body: usize, room: usize| {
        let request = data(Opcode::CipherEncrypt, session, &fixed, &vec![0; body]);
        run(device, request, room).status
    };
    assert_eq!(
        status(&mut device, cipher_data(16), 32, 16),
        CryptoStatus::Ok
    );
    assert_eq!(
        status(&mut device, cipher_data(16), 31, 16),
        CryptoStatus::Error
    );
    assert_eq!(
        status(&mut device, cipher_data(16), 32, 15),
        CryptoStatus::Error
    );
    assert_eq!(
        status(&mut device, cipher_data(17), 33, 17),
        CryptoStatus::Error
    );
    let huge = cipher_data(u32::MAX);
    assert_eq!(
        status(&mut device, huge, 32, usize::MAX),
        CryptoStatus::Error
    );
    let mut no_iv = cipher_data(16);
    no_iv.iv_len = 0.into();
    assert_eq!(status(&mut device, no_iv, 32, 16), CryptoStatus::Error);
    let backwards = data(Opcode::CipherDecrypt, session, &cipher_data(16), &[0; 32]);
    assert_eq!(run(&mut device, backwards, 16).status, CryptoStatus::Error);
    let short = Zeroizing::new(vec![0; 71]);
    assert_eq!(run(&mut device, short, 16).status, CryptoStatus::Error);
}

#[test]
fn sessions_that_the_card_has_not_are_refused_with_the_code_for_it() {
    let mut device = device();
    let params = DigestParams {
        algorithm: 7.into(),
        result_len: 28.into(),
        key_len: 0.into(),
        padding: 0.into(),
    };
    let request = control(ControlOpcode::HashCreate, &params, &[]);
    assert_eq!(
        open(&mut device, &request),
        Err(CryptoStatus::NotSupported as u32)
    );
    let params = DigestParams {
        algorithm: 1.into(),
        result_len: 17.into(),
        ..params
    };
    let request = control(ControlOpcode::HashCreate, &params, &[]);
    assert_eq!(open(&mut device, &request), Err(CryptoStatus::Error as u32));
    let capacity = Profile {
        session_capacity: 2,
        ..Profile::reference()
    };
    let mut device = VirtioCrypto::new(capacity, &Provisioning::default()).unwrap();
    cipher_session(&mut device, 1);
    cipher_session(&mut device, 1);
    let request = control(ControlOpcode::HashCreate, &params, &[]);
    assert_eq!(
        open(&mut device, &request),
        Err(CryptoStatus::NoSpace as u32)
    );
    device.reset();
    assert_eq!(device.sessions(), 0);
}

#[test]
fn a_wrong_tag_is_a_bad_message() {
    let mut device = device();
    let session = |device: &mut VirtioCrypto, direction: u32| {
        let params = AeadParams {
            algorithm: (VirtioAead::Gcm as u32).into(),
            key_len: 32.into(),
            tag_len: 16.into(),
            aad_len: 4.into(),
            direction: direction.into(),
            padding: 0.into(),
        };
        open(
            device,
            &control(ControlOpcode::AeadCreate, &params, &[3; 32]),
        )
        .unwrap()
    };
    let (to, fro) = (session(&mut device, 1), session(&mut device, 2));
    let fixed = |source: u32, destination: u32| AeadData {
        iv_len: 12.into(),
        aad_len: 4.into(),
        source_len: source.into(),
        destination_len: destination.into(),
        tag_len: 16.into(),
        reserved: 0.into(),
    };
    let body = [&[1; 12][..], &[2; 20], &[3; 4]].concat();
    let request = data(Opcode::AeadEncrypt, to, &fixed(20, 36), &body);
    let sealed = run(&mut device, request, 36).output;
    let mut body = [&[1; 12][..], &sealed, &[3; 4]].concat();
    let request = data(Opcode::AeadDecrypt, fro, &fixed(36, 20), &body);
    assert_eq!(run(&mut device, request, 20).output, [2; 20]);
    body[40] ^= 1;
    let request = data(Opcode::AeadDecrypt, fro, &fixed(36, 20), &body);
    let finished = run(&mut device, request, 20);
    assert_eq!(finished.status, CryptoStatus::BadMessage);
    assert!(finished.output.is_empty());
}

#[test]
fn latches_act_as_on_the_native_card() {
    let mut device = device();
    let session = cipher_session(&mut device, 1);
    let request = data(Opcode::CipherEncrypt, session, &cipher_data(16), &[0; 32]);
    let good = run(&mut device, request.clone(), 16).output;
    device.latch(Latch::CorruptOutput { nth: 0 });
    assert_ne!(run(&mut device, request.clone(), 16).output, good);
    assert_eq!(run(&mut device, request.clone(), 16).output, good);
    device.latch(Latch::ContextError {
        nth: 0,
        is_corrected: false,
    });
    assert_eq!(
        run(&mut device, request.clone(), 16).status,
        CryptoStatus::Error
    );
    device.latch(Latch::DropCompletion { nth: 0 });
    device.submit(Time::ZERO, 1, request.clone(), 16);
    assert!(device.finish(Time::ZERO + Span::from_ms(1)).is_none());
    assert_eq!(device.in_flight(), 0);
    device.latch(Latch::HangEngines);
    device.submit(Time::ZERO, 1, request, 16);
    assert_eq!(device.next_internal(), Time::NEVER);
    device.reset();
    assert_eq!(device.in_flight(), 0);
}

#[test]
fn keys_that_are_none_are_refused() {
    let mut device = device();
    let params = |len: usize| AkcipherParams {
        algorithm: (VirtioAkcipher::Rsa as u32).into(),
        half: 1.into(),
        key_len: (len as u32).into(),
        padding_or_curve: 1.into(),
        hash: 6.into(),
    };
    for key in [
        &b""[..],
        b"\x30\x00",
        b"\x30\x06\x02\x01\x03\x02\x01\x03",
        &[0x30; 600],
    ] {
        let request = control(ControlOpcode::AkcipherCreate, &params(key.len()), key);
        assert_eq!(open(&mut device, &request), Err(CryptoStatus::Error as u32));
    }
    let request = control(
        ControlOpcode::AkcipherCreate,
        &params(100_000),
        &[0; 100_000],
    );
    assert_eq!(open(&mut device, &request), Err(CryptoStatus::Error as u32));
}

#[test]
fn a_verification_has_no_session_of_another_kind() {
    let mut device = device();
    let session = cipher_session(&mut device, 1);
    let fixed = PlainData {
        source_len: 4.into(),
        result_len: 4.into(),
    };
    for opcode in [
        Opcode::Hash,
        Opcode::Mac,
        Opcode::AkcipherVerify,
        Opcode::AkcipherSign,
    ] {
        let finished = run(&mut device, data(opcode, session, &fixed, &[0; 8]), 8);
        assert_eq!(finished.status, CryptoStatus::Error, "{opcode:?}");
    }
}
