//! The whole way to the card and the software driver give the same bytes for every algorithm, with
//! the shortest and longest of every length it has, with keys of the session and of the request.

use device_model::Profile;
use framework::software::Transform;
use framework::{
    Buffer, Cipher, Compression, Digest, DriverChoice, Lengths, MigrationPolicy, Mode, Operation,
    Region, Request, RequestError, SessionFlags, SessionParams,
};
use regs::{CIPHERS, CipherCode, DIGESTS, DigestCode};
use sim::recorder::Level;
use tests::Rig;

use super::{bytes, key};

/// Keys longer than this are hashed first or refused by the card, and tested elsewhere.
const KEY_MAX: u16 = 64;
const AAD: Region = Region { start: 3, len: 13 };
const PAYLOAD: Region = Region { start: 16, len: 96 };
const DIGEST_AT: usize = 112;
const LEN: usize = DIGEST_AT + 64;

/// What the card has and OpenCrypto has no word for.
const WORDLESS_CIPHERS: [CipherCode; 2] = [CipherCode::AesEcb, CipherCode::Sm4Cbc];
const WORDLESS_DIGESTS: [DigestCode; 2] = [DigestCode::Sm3, DigestCode::HmacSm3];

/// The shortest and the longest of `lengths`, the latter not beyond `max`.
fn ends(lengths: Lengths, max: u16) -> Vec<usize> {
    let mut ends = vec![usize::from(lengths.min), usize::from(lengths.max.min(max))];
    ends.dedup();
    ends
}

/// Sessions of one cipher, and of the cipher with a digest and a sequence number.
fn with_cipher(cipher: Cipher, all: &mut Vec<SessionParams>) {
    let info = cipher.info();
    for cipher_key_len in ends(info.key, KEY_MAX) {
        for iv_len in ends(info.iv, 24) {
            let mode = if cipher.is_aead() {
                Mode::Aead
            } else {
                Mode::Cipher
            };
            let alone = SessionParams {
                cipher: Some(cipher),
                cipher_key_len,
                iv_len,
                ..SessionParams::of(mode)
            };
            if cipher.is_aead() {
                let tags = [0, usize::from(info.tag.min), 12];
                all.extend(tags.map(|auth_digest_len| SessionParams {
                    auth_digest_len,
                    ..alone.clone()
                }));
                continue;
            }
            all.push(SessionParams {
                mode: Mode::EncryptThenAuthenticate,
                flags: SessionFlags::ESN,
                digest: Some(Digest::HmacSha256),
                auth_key_len: 32,
                ..alone.clone()
            });
            all.push(alone);
        }
    }
}

/// Sessions of one digest, and of the digest with a cipher.
fn with_digest(digest: Digest, all: &mut Vec<SessionParams>) {
    let info = digest.info();
    for auth_key_len in ends(info.key, KEY_MAX) {
        for iv_len in ends(info.iv, 16) {
            let alone = SessionParams {
                digest: Some(digest),
                auth_key_len,
                iv_len,
                ..SessionParams::of(Mode::Digest)
            };
            // A nonce of the digest is the cipher's too, and only the null cipher takes any.
            let (cipher, cipher_key_len, iv_len) = match info.iv {
                Lengths::NONE => (Cipher::AesCbc, 16, 16),
                _ => (Cipher::Null, 0, iv_len),
            };
            all.push(SessionParams {
                mode: Mode::EncryptThenAuthenticate,
                cipher: Some(cipher),
                cipher_key_len,
                iv_len,
                auth_digest_len: 8,
                ..alone.clone()
            });
            all.push(alone);
        }
    }
}

fn bytes_of(buffer: &Buffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.len()];
    buffer.copy_out(0, &mut bytes);
    bytes
}

fn operations(mode: Mode) -> [Operation; 2] {
    match mode {
        Mode::Cipher => [Operation::Encrypt, Operation::Decrypt],
        Mode::Digest => [Operation::ComputeDigest, Operation::VerifyDigest],
        _ => [Operation::EncryptCompute, Operation::VerifyDecrypt],
    }
}

/// Has the card do `request`, and gives it back with what became of it.
fn run(rig: &mut Rig, request: Box<Request>) -> (Box<Request>, Result<(), RequestError>) {
    rig.framework
        .dispatch(rig.now(), request)
        .expect("a valid request");
    loop {
        if let Some(finished) = rig.framework.take_finished() {
            return (finished.request, finished.result);
        }
        assert!(
            rig.step(),
            "a request outstanding and nothing left to happen"
        );
    }
}

/// Does the same by card and by software, forth and back, and spoils the digest at last.
fn compare(rig: &mut Rig, params: &SessionParams, own_keys: bool, pooled: bool) {
    let what = format!("{params:?}, own keys {own_keys}, pooled {pooled}");
    let session = rig.open(params.clone());
    let mut software = Transform::new(params).expect("valid parameters");
    let plain = bytes(7, LEN);
    let mut buffer = Buffer::Memory(plain.clone());
    if pooled {
        let mut memory = rig.pool.take(LEN).expect("pool memory");
        memory.copy_from_slice(&plain);
        buffer = Buffer::Pooled(memory);
    }
    let [forth, back] = operations(params.mode);
    let mut request = Request::new(session, forth, buffer);
    request.payload = PAYLOAD;
    request.iv = (params.iv_len > 0).then(|| std::array::from_fn(|at| at as u8 + 100));
    request.esn = [1, 2, 3, 4];
    if params.digest_len() > 0 {
        request.digest_start = DIGEST_AT;
    }
    if matches!(params.mode, Mode::Aead | Mode::EncryptThenAuthenticate) {
        request.aad = AAD;
    }
    if own_keys {
        request.cipher_key = key(0xA5, params.cipher_key_len);
        request.auth_key = key(0x5A, params.auth_key_len);
    }
    let mut expected = request.duplicate(session).expect("not called back");
    software.process(&mut expected).expect("software does it");
    let (mut request, result) = run(rig, request);
    assert_eq!(result, Ok(()), "{what}");
    assert_eq!(
        bytes_of(&request.buffer),
        bytes_of(&expected.buffer),
        "{what}"
    );

    request.operation = back;
    let (mut request, result) = run(rig, request);
    assert_eq!(result, Ok(()), "{what}, back");
    let decrypted = bytes_of(&request.buffer);
    assert_eq!(decrypted[..DIGEST_AT], plain[..DIGEST_AT], "{what}, back");

    if params.digest_len() > 0 && params.digest != Some(Digest::NullHmac) {
        request.operation = back;
        request
            .buffer
            .copy_in(DIGEST_AT, &[decrypted[DIGEST_AT] ^ 1]);
        let (_, result) = run(rig, request);
        assert_eq!(result, Err(RequestError::DigestMismatch), "{what}");
    }
    let now = rig.now();
    rig.framework
        .close_session(now, session)
        .expect("an open session");
    while rig.step() {}
}

/// Sessions of every cipher and digest.
fn sessions() -> Vec<SessionParams> {
    let mut all = Vec::new();
    Cipher::ALL
        .iter()
        .for_each(|&cipher| with_cipher(cipher, &mut all));
    Digest::ALL
        .iter()
        .for_each(|&digest| with_digest(digest, &mut all));
    for params in &mut all {
        // The one thing that the framework has and the card lacks: longer IVs of the null cipher.
        if params.cipher == Some(Cipher::Null) {
            let longest = CipherCode::Null.info().iv.max;
            params.iv_len = params.iv_len.min(usize::from(longest));
        }
    }
    all
}

#[test]
fn what_the_card_has_goes_to_the_card() {
    let mut rig = Rig::new(Profile::reference(), 64, 1, Level::Digest);
    let mut all = sessions();
    all.extend(Compression::ALL.map(|algorithm| SessionParams::of(Mode::Compress(algorithm))));
    let (mut ciphers, mut digests) = (vec![CipherCode::None], vec![DigestCode::None]);
    for params in all {
        // The framework would send them to software if the card's driver did not offer them.
        let choice = DriverChoice::hardware_only();
        let now = rig.now();
        let opened =
            rig.framework
                .open_session(now, params.clone(), choice, MigrationPolicy::Report);
        let session = opened.unwrap_or_else(|error| panic!("{params:?}: {error}"));
        while rig.step() {}
        let now = rig.now();
        rig.framework
            .close_session(now, session)
            .expect("the card took it");
        while rig.step() {}
        ciphers.extend(params.cipher.map(driver::cipher_code));
        digests.extend(params.digest.map(driver::digest_code));
        if let Mode::Compress(algorithm) = params.mode {
            ciphers.push(driver::compression_code(algorithm));
        }
    }
    let others = CIPHERS.iter().map(|info| info.code);
    let others: Vec<_> = others.filter(|code| !ciphers.contains(code)).collect();
    assert_eq!(others, WORDLESS_CIPHERS, "ciphers that go nowhere");
    let others = DIGESTS.iter().map(|info| info.code);
    let others: Vec<_> = others.filter(|code| !digests.contains(code)).collect();
    assert_eq!(others, WORDLESS_DIGESTS, "digests that go nowhere");
}

#[test]
fn the_whole_way_agrees_on_every_algorithm() {
    let all = sessions();
    assert!(all.len() > 150, "{} sessions", all.len());
    let mut rig = Rig::new(Profile::reference(), 64, 1, Level::Digest);
    for (number, params) in all.iter().enumerate() {
        let mut params = params.clone();
        let pooled = number % 2 == 0;
        compare(&mut rig, &params, true, pooled);
        params.cipher_key = key(0xC3, params.cipher_key_len);
        params.auth_key = key(0x3C, params.auth_key_len);
        compare(&mut rig, &params, false, !pooled);
    }
}
