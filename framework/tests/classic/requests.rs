//! What a request does to its data: IVs, keys, digests, orders, kinds of buffers.

use super::*;

// NIST SP 800-38A, F.2.1: CBC-AES128.
const NIST_KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
const NIST_IV: &str = "000102030405060708090a0b0c0d0e0f";
const NIST_PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";
const NIST_SEALED: &str = "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2";

fn explicit(mut part: CryptoDesc, iv: &[u8]) -> CryptoDesc {
    part.crd_ini.cri_iv[..iv.len()].copy_from_slice(iv);
    part.crd_flags |= DescFlags::IV_EXPLICIT;
    part
}

fn nist() -> (Classic, u64, CryptoIni) {
    let mut classic = software();
    let ini = CryptoIni::new(AES_CBC, &hex(NIST_KEY));
    let sid = session(&mut classic, std::slice::from_ref(&ini));
    (classic, sid, ini)
}

#[test]
fn an_explicit_iv_encrypts_and_decrypts_as_published() {
    let (mut classic, sid, ini) = nist();
    let (plain, sealed) = (hex(NIST_PLAIN), hex(NIST_SEALED));
    let present = explicit(part(&ini, (0, 32), 0, ENCRYPT | IV_PRESENT), &hex(NIST_IV));
    assert_eq!(
        outcome(&mut classic, sid, &plain, &[present]),
        (None, sealed.clone())
    );
    let back = explicit(part(&ini, (0, 32), 0, 0), &hex(NIST_IV));
    assert_eq!(outcome(&mut classic, sid, &sealed, &[back]), (None, plain));
}

#[test]
fn an_explicit_iv_is_written_where_it_belongs_unless_it_is_there() {
    let (mut classic, sid, ini) = nist();
    let bytes = [vec![0xEE; 16], hex(NIST_PLAIN)].concat();
    let written = explicit(part(&ini, (16, 32), 0, ENCRYPT), &hex(NIST_IV));
    let expected = [hex(NIST_IV), hex(NIST_SEALED)].concat();
    assert_eq!(
        outcome(&mut classic, sid, &bytes, &[written]),
        (None, expected.clone())
    );
    // Decryption finds it there, and whether it is "present" means nothing.
    for flags in [0, IV_PRESENT] {
        let back = part(&ini, (16, 32), 0, flags);
        let (etype, plain) = outcome(&mut classic, sid, &expected, &[back]);
        assert_eq!((etype, &plain[16..]), (None, &hex(NIST_PLAIN)[..]));
    }
}

#[test]
fn without_one_an_iv_is_drawn_for_each_request() {
    let (mut classic, sid, ini) = nist();
    let bytes = [vec![0; 16], hex(NIST_PLAIN)].concat();
    let seal = part(&ini, (16, 32), 0, ENCRYPT);
    let first = outcome(&mut classic, sid, &bytes, std::slice::from_ref(&seal)).1;
    let second = outcome(&mut classic, sid, &bytes, &[seal]).1;
    assert_eq!(first[..16], (1..=16).collect::<Vec<u8>>());
    assert_eq!(second[..16], (17..=32).collect::<Vec<u8>>());
    let back = part(&ini, (16, 32), 0, 0);
    assert_eq!(
        outcome(&mut classic, sid, &second, &[back]).1[16..],
        hex(NIST_PLAIN)
    );
}

#[test]
fn a_key_for_one_request_does_not_stick() {
    let (mut classic, sid, ini) = nist();
    let iv = hex(NIST_IV);
    let plain = hex(NIST_PLAIN);
    let usual = explicit(part(&ini, (0, 32), 0, ENCRYPT | IV_PRESENT), &iv);
    let mut keyed = usual.clone();
    keyed.crd_flags |= DescFlags::KEY_EXPLICIT;
    keyed.crd_ini.cri_key = Some(framework::Key::new(&[9; 16]));
    keyed.crd_ini.cri_klen = 128;
    let other = outcome(&mut classic, sid, &plain, &[keyed.clone()]).1;
    assert_ne!(other, hex(NIST_SEALED));
    assert_eq!(
        outcome(&mut classic, sid, &plain, &[usual]).1,
        hex(NIST_SEALED)
    );
    keyed.crd_ini.cri_klen = 192;
    assert_eq!(
        outcome(&mut classic, sid, &plain, &[keyed]).0,
        Some(Errno::EINVAL)
    );
}

/// A header of 4, an IV of 16, 32 of payload and room for 12 of digest.
const LEN: usize = 64;
const PAYLOAD: (usize, usize) = (20, 32);
const COVER: (usize, usize) = (0, 52);

fn packet() -> Vec<u8> {
    (0..52).chain([0; 12]).collect()
}

/// The two algorithms one after the other, in sessions of their own.
fn sealed_in_steps(classic: &mut Classic, cover: (usize, usize)) -> Vec<u8> {
    let (cipher, digest) = (session(classic, &[aes()]), session(classic, &[hmac()]));
    let iv = [7; 16];
    let seal = explicit(part(&aes(), PAYLOAD, 4, ENCRYPT), &iv);
    let sealed = outcome(classic, cipher, &packet(), &[seal]).1;
    outcome(classic, digest, &sealed, &[part(&hmac(), cover, 52, 0)]).1
}

fn seal_parts(cover: (usize, usize)) -> [CryptoDesc; 2] {
    [
        explicit(part(&aes(), PAYLOAD, 4, ENCRYPT), &[7; 16]),
        part(&hmac(), cover, 52, 0),
    ]
}

fn open_parts(cover: (usize, usize)) -> [CryptoDesc; 2] {
    [part(&hmac(), cover, 52, 0), part(&aes(), PAYLOAD, 4, 0)]
}

#[test]
fn two_algorithms_do_what_each_does_alone_wherever_they_meet() {
    // The digest covers header, IV and payload; the payload alone; and parts that do not meet.
    for cover in [COVER, PAYLOAD, (4, 48), (0, 20), (0, 36), (30, 10)] {
        let mut classic = software();
        let sid = session(&mut classic, &[aes(), hmac()]);
        let expected = sealed_in_steps(&mut classic, cover);
        let sealed = outcome(&mut classic, sid, &packet(), &seal_parts(cover));
        assert_eq!(sealed, (None, expected.clone()), "{cover:?}");
        let (etype, opened) = outcome(&mut classic, sid, &expected, &open_parts(cover));
        assert_eq!(
            (etype, &opened[20..52]),
            (None, &packet()[20..52]),
            "{cover:?}"
        );
        assert_eq!(opened[52..], expected[52..], "{cover:?}");
    }
}

#[test]
fn a_wrong_digest_is_computed_anew_and_the_consumer_compares() {
    let mut classic = software();
    let sid = session(&mut classic, &[aes(), hmac()]);
    let expected = sealed_in_steps(&mut classic, COVER);
    let mut tampered = expected.clone();
    tampered[63] ^= 1;
    let (etype, opened) = outcome(&mut classic, sid, &tampered, &open_parts(COVER));
    assert_eq!(etype, None, "this interface verifies nothing");
    assert_eq!(opened[20..52], packet()[20..52]);
    assert_eq!(opened[52..], expected[52..], "what it should have been");
}

#[test]
fn only_the_two_orders_of_hardware_are_legal() {
    let mut classic = software();
    let sid = session(&mut classic, &[hmac(), aes()]);
    for (first_is_cipher, flags, expected) in [
        (true, ENCRYPT, None),
        (false, 0, None),
        (true, 0, Some(Errno::EINVAL)),
        (false, ENCRYPT, Some(Errno::EINVAL)),
    ] {
        let mut parts = [part(&aes(), PAYLOAD, 4, flags), part(&hmac(), COVER, 52, 0)];
        if !first_is_cipher {
            parts.reverse();
        }
        let (etype, bytes) = outcome(&mut classic, sid, &packet(), &parts);
        assert_eq!(etype, expected, "{first_is_cipher} {flags}");
        assert_eq!(
            bytes == packet(),
            expected.is_some(),
            "an error leaves the data alone"
        );
    }
}

#[test]
fn a_session_of_two_serves_one_of_them_alone() {
    let mut classic = software();
    let sid = session(&mut classic, &[aes(), hmac()]);
    let alone = session(&mut classic, &[hmac()]);
    let digest = [part(&hmac(), COVER, 52, 0)];
    let expected = outcome(&mut classic, alone, &packet(), &digest);
    assert_eq!(outcome(&mut classic, sid, &packet(), &digest), expected);
    let seal = [seal_parts(COVER)[0].clone()];
    let sealed = outcome(&mut classic, sid, &packet(), &seal).1;
    assert_eq!(sealed[..52], sealed_in_steps(&mut classic, COVER)[..52]);
    assert_eq!(sealed[52..], [0; 12]);
}

fn as_mbufs(bytes: &[u8]) -> CrpBuf {
    CrpBuf::Mbuf(bytes.chunks(7).map(<[u8]>::to_vec).collect())
}

#[test]
fn a_result_replaces_an_mbuf_chain_unless_it_must_stay() {
    let mut classic = software();
    let sid = session(&mut classic, &[aes(), hmac()]);
    let expected = sealed_in_steps(&mut classic, COVER);
    for rel in [CryptoFlags::empty(), CryptoFlags::REL] {
        let mut mbufs = request(sid, &packet(), &seal_parts(COVER));
        mbufs.crp_buf = as_mbufs(&packet());
        mbufs.crp_flags = CryptoFlags::IMBUF | rel;
        let done = run(&mut classic, mbufs);
        assert_eq!((done.crp_etype, done.crp_olen), (None, LEN));
        let CrpBuf::Mbuf(parts) = &done.crp_buf else {
            panic!("an mbuf chain stays one");
        };
        assert_eq!(parts.concat(), expected);
        assert_eq!(
            parts.len() == 1,
            rel.is_empty(),
            "another chain, or the one given"
        );
    }
}

#[test]
fn a_uio_is_worked_on_where_it_is() {
    let mut classic = software();
    let sid = session(&mut classic, &[aes(), hmac()]);
    let expected = sealed_in_steps(&mut classic, COVER);
    let pool = dma::Pool::new(1 << 16).unwrap();
    let parts = packet()
        .chunks(13)
        .map(|chunk| {
            let mut part = pool.take(chunk.len()).unwrap();
            part.copy_from_slice(chunk);
            part
        })
        .collect();
    let mut uio = request(sid, &packet(), &seal_parts(COVER));
    (uio.crp_buf, uio.crp_flags) = (CrpBuf::Iov(parts), CryptoFlags::IOV);
    let done = run(&mut classic, uio);
    assert_eq!((done.crp_etype, done.crp_buf.to_vec()), (None, expected));
    assert!(matches!(done.crp_buf, CrpBuf::Iov(parts) if parts.len() == 5));
}

#[test]
fn a_digest_goes_to_its_own_place_if_there_is_one() {
    let mut classic = software();
    let sid = session(&mut classic, &[aes(), hmac()]);
    let expected = sealed_in_steps(&mut classic, COVER);
    for (bytes, parts, result) in [
        (packet(), seal_parts(COVER), expected[..52].to_vec()),
        (expected.clone(), open_parts(COVER), packet()[..4].to_vec()),
    ] {
        let mut apart = request(sid, &bytes, &parts);
        apart.crp_mac = Some(vec![0xEE; 14]);
        let done = run(&mut classic, apart);
        assert_eq!(done.crp_etype, None);
        let mac = done.crp_mac.as_ref().unwrap();
        assert_eq!((&mac[..12], &mac[12..]), (&expected[52..], &[0xEE; 2][..]));
        let after = done.crp_buf.to_vec();
        assert_eq!(after[..result.len()], result);
        assert_eq!(after[52..], bytes[52..], "the digest is not in the buffer");
    }
    let mut small = request(sid, &packet(), &seal_parts(COVER));
    small.crp_mac = Some(vec![0; 11]);
    assert_eq!(run(&mut classic, small).crp_etype, Some(Errno::EINVAL));
}

#[test]
fn gcm_is_a_pair_and_says_when_its_tag_is_wrong() {
    let mut classic = software();
    let gcm = CryptoIni::new(AES_GCM, &AES_KEY);
    let gmac = CryptoIni::new(AES_128_GMAC, &AES_KEY);
    let sid = session(&mut classic, &[gcm.clone(), gmac.clone()]);
    let bytes: Vec<u8> = (0..60).collect();
    let seal = [
        explicit(part(&gcm, (12, 32), 0, ENCRYPT | IV_PRESENT), &[5; 12]),
        part(&gmac, (0, 12), 44, 0),
    ];
    let (etype, sealed) = outcome(&mut classic, sid, &bytes, &seal);
    assert_eq!(etype, None);
    assert_ne!(sealed[12..44], bytes[12..44]);
    let open = [
        explicit(part(&gcm, (12, 32), 0, 0), &[5; 12]),
        part(&gmac, (0, 12), 44, 0),
    ];
    let (etype, opened) = outcome(&mut classic, sid, &sealed, &open);
    assert_eq!((etype, &opened[..44]), (None, &bytes[..44]));
    let mut tampered = sealed;
    tampered[3] ^= 1;
    let (etype, left) = outcome(&mut classic, sid, &tampered, &open);
    assert_eq!((etype, left), (Some(Errno::EBADMSG), tampered));
}

#[test]
fn any_of_four_bits_asks_for_compression() {
    let mut classic = software();
    let deflate = CryptoIni::new(DEFLATE, &[]);
    let sid = session(&mut classic, std::slice::from_ref(&deflate));
    let text = vec![b'a'; 400];
    for flag in [1, 2, 4, 8, 15] {
        let squeeze = request(sid, &text, &[part(&deflate, (0, 400), 0, flag)]);
        let done = run(&mut classic, squeeze);
        assert_eq!(done.crp_etype, None);
        assert!(done.crp_olen < 40);
        let mut grow = request(sid, &done.crp_buf.to_vec(), &[]);
        grow.crp_desc = vec![part(&deflate, (0, done.crp_olen), 0, 0)];
        let grown = run(&mut classic, grow);
        assert_eq!((grown.crp_etype, grown.crp_olen), (None, 400));
        assert_eq!(grown.crp_buf.to_vec(), text);
    }
}
