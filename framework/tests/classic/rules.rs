//! What is refused, and how: every rule with its error number.

use framework::front::classic::{
    Refused, crypto_freereq, crypto_sid_caps, crypto_sid_hid, crypto_sid_lid,
};
use framework::{CIPHERS, Cipher, DIGESTS, Digest, DriverFlags};

use super::*;

fn refusal(classic: &mut Classic, chain: &[CryptoIni]) -> Option<Errno> {
    classic.crypto_newsession(NOW, chain, Crid::ANY).err()
}

#[test]
fn every_algorithm_of_the_page_makes_a_session() {
    let mut classic = software();
    let aead = |cipher: Cipher| cipher.is_aead();
    for info in CIPHERS.iter().filter(|info| !aead(info.cipher)) {
        let key = vec![0x5A; usize::from(info.key.max)];
        let ini = CryptoIni::new(u32::from(info.number), &key);
        assert_eq!(refusal(&mut classic, &[ini]), None, "{}", info.name);
    }
    for info in DIGESTS.iter().filter(|info| info.iv.max == 0) {
        let key = vec![0x5A; usize::from(info.key.max.min(32))];
        let ini = CryptoIni::new(u32::from(info.number), &key);
        let alone = std::slice::from_ref(&ini);
        assert_eq!(refusal(&mut classic, alone), None, "{}", info.name);
        let pair = [aes(), ini];
        assert_eq!(
            refusal(&mut classic, &pair),
            None,
            "AES-CBC with {}",
            info.name
        );
    }
    assert_eq!(refusal(&mut classic, &[CryptoIni::new(DEFLATE, &[])]), None);
    // What is one algorithm with two numbers needs both.
    for number in [AES_GCM, AES_128_GMAC, 39, 40] {
        let ini = CryptoIni::new(number, &AES_KEY);
        assert_eq!(
            refusal(&mut classic, &[ini]),
            Some(Errno::EINVAL),
            "{number}"
        );
    }
    for (cipher, digests) in [(AES_GCM, &[26, 27, 28][..]), (40, &[39])] {
        for &digest in digests {
            let pair = [cipher, digest].map(|number| CryptoIni::new(number, &AES_KEY));
            assert_eq!(refusal(&mut classic, &pair), None, "{cipher} with {digest}");
        }
    }
}

#[test]
fn a_chain_that_makes_no_sense_is_invalid() {
    let mut classic = software();
    let deflate = CryptoIni::new(DEFLATE, &[]);
    let bits = |cri_klen| CryptoIni { cri_klen, ..aes() };
    let other_key = CryptoIni::new(AES_128_GMAC, &[1; 24]);
    for chain in [
        &[][..],
        &[aes(), aes()],
        &[hmac(), hmac()],
        &[aes(), CryptoIni::new(DES_CBC, &[1; 8])],
        &[hmac(), CryptoIni::new(SHA1, &[])],
        &[aes(), hmac(), CryptoIni::new(SHA1, &[])],
        &[deflate, hmac()],
        &[CryptoIni::new(0, &[])],
        &[CryptoIni::new(43, &AES_KEY)],
        &[CryptoIni::new(256 + AES_CBC, &AES_KEY)],
        &[CryptoIni::new(AES_GCM, &AES_KEY), hmac()],
        &[CryptoIni::new(AES_GCM, &AES_KEY), other_key],
        // Key lengths are in bits.
        &[bits(16)],
        &[bits(127)],
        &[bits(192)],
        &[CryptoIni {
            cri_mlen: 21,
            ..hmac()
        }],
    ] {
        assert_eq!(
            refusal(&mut classic, chain),
            Some(Errno::EINVAL),
            "{chain:?}"
        );
    }
}

#[test]
fn a_driver_that_is_not_there_is_invalid() {
    let mut classic = software();
    let chain = [aes()];
    let mut open = |crid| classic.crypto_newsession(NOW, &chain, crid).err();
    assert_eq!(open(Crid::HARDWARE), Some(Errno::EINVAL));
    assert_eq!(open(Crid::from_hard(1)), Some(Errno::EINVAL));
    assert_eq!(open(Crid(5)), Some(Errno::EINVAL));
    assert_eq!(open(Crid::SOFTWARE), None);
    assert_eq!(open(Crid::from_hard(0)), None);
    assert_eq!(open(Crid(0)), None, "the number of the first driver");
}

#[test]
fn a_session_number_names_driver_kind_and_session() {
    let mut classic = software();
    let (first, second) = (
        session(&mut classic, &[aes()]),
        session(&mut classic, &[hmac()]),
    );
    assert_eq!(
        crypto_sid_caps(first),
        DriverFlags::SOFTWARE | DriverFlags::SYNC
    );
    assert_eq!(
        Some(crypto_sid_hid(first)),
        classic.crypto_find_driver("soft")
    );
    assert_ne!(crypto_sid_lid(first), crypto_sid_lid(second));
    assert_eq!(first >> 32, second >> 32);
    assert_eq!(classic.crypto_find_driver("card"), None);
}

#[test]
fn a_freed_session_is_unknown() {
    let mut classic = software();
    let sid = session(&mut classic, &[aes()]);
    assert_eq!(classic.crypto_freesession(NOW, sid), Ok(()));
    assert_eq!(classic.crypto_freesession(NOW, sid), Err(Errno::ENOENT));
    let seal = part(&aes(), (0, 16), 0, ENCRYPT | IV_PRESENT);
    let (etype, _) = outcome(&mut classic, sid, &[0; 16], &[seal]);
    assert_eq!(etype, Some(Errno::ENOENT));
}

#[test]
fn only_a_request_without_a_callback_is_refused_at_once() {
    let mut classic = software();
    let nothing = classic.crypto_dispatch(NOW, None).unwrap_err();
    assert_eq!(
        (nothing.errno, nothing.request.is_none()),
        (Errno::EINVAL, true)
    );
    let mut silent = request(99, &[0; 16], &[]);
    silent.crp_callback = None;
    let Refused { errno, request } = classic.crypto_dispatch(NOW, Some(silent)).unwrap_err();
    assert_eq!((errno, request.unwrap().crp_sid), (Errno::EINVAL, 99));
    assert!(classic.take_done(NOW).is_none());
}

#[test]
fn descriptors_that_do_not_fit_are_invalid_and_leave_the_data_alone() {
    let mut classic = software();
    let sid = session(&mut classic, &[aes(), hmac()]);
    let (cipher, digest) = (aes(), hmac());
    let seal = |range, inject, flags| part(&cipher, range, inject, flags | ENCRYPT);
    let mac = |range, inject, flags| part(&digest, range, inject, flags);
    let keyless = mac((0, 8), 8, DescFlags::KEY_EXPLICIT.bits());
    for parts in [
        vec![],
        vec![seal((0, 16), 0, 0), seal((0, 16), 0, 0)],
        vec![mac((0, 8), 8, 0), mac((0, 8), 8, 0)],
        vec![part(&CryptoIni::new(SHA1, &[]), (0, 8), 8, 0)],
        vec![seal((16, 32), 0, 0)],
        vec![seal((usize::MAX, 16), 0, 0)],
        vec![seal((0, 15), 16, 0)],
        vec![seal((0, 16), 17, 0)],
        vec![seal((0, 16), usize::MAX, 0)],
        vec![part(&cipher, (0, 16), 17, 0)],
        vec![seal((0, 16), 0, DescFlags::DSA_SHA_NEEDED.bits())],
        vec![mac((0, 8), 21, 0)],
        vec![mac((0, 33), 0, 0)],
        vec![mac((0, 8), 8, DescFlags::DSA_SHA_NEEDED.bits())],
        vec![keyless],
    ] {
        let (etype, bytes) = outcome(&mut classic, sid, &[0xEE; 32], &parts);
        assert_eq!(etype, Some(Errno::EINVAL), "{parts:?}");
        assert_eq!(bytes, [0xEE; 32], "{parts:?}");
    }
}

#[test]
fn the_flag_for_dsa_is_for_sha_1_alone() {
    let mut classic = software();
    let sha1 = CryptoIni::new(SHA1, &[]);
    let sid = session(&mut classic, std::slice::from_ref(&sha1));
    let flagged = part(&sha1, (0, 3), 3, DescFlags::DSA_SHA_NEEDED.bits());
    let bytes = [b"abc".to_vec(), vec![0; 20]].concat();
    let (etype, bytes) = outcome(&mut classic, sid, &bytes, &[flagged]);
    // FIPS 180-1, appendix A.
    let published = hex("a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!((etype, &bytes[3..]), (None, &published[..]));
}

#[test]
fn a_buffer_is_what_its_flags_say_and_as_long() {
    let mut classic = software();
    let sid = session(&mut classic, &[aes()]);
    let seal = [part(&aes(), (0, 16), 0, ENCRYPT | IV_PRESENT)];
    for flags in [
        CryptoFlags::IMBUF,
        CryptoFlags::IOV,
        CryptoFlags::IMBUF | CryptoFlags::IOV,
    ] {
        let mut wrong = request(sid, &[0; 16], &seal);
        wrong.crp_flags = flags;
        assert_eq!(run(&mut classic, wrong).crp_etype, Some(Errno::EINVAL));
    }
    let mut mbufs = request(sid, &[0; 16], &seal);
    mbufs.crp_buf = CrpBuf::Mbuf(vec![vec![0; 16]]);
    assert_eq!(run(&mut classic, mbufs).crp_etype, Some(Errno::EINVAL));
    let mut long = request(sid, &[0; 16], &seal);
    long.crp_ilen = 17;
    assert_eq!(run(&mut classic, long).crp_etype, Some(Errno::EINVAL));
    let mut short = request(sid, &[0; 16], &seal);
    short.crp_ilen = 15;
    assert_eq!(run(&mut classic, short).crp_etype, Some(Errno::EINVAL));
}

#[test]
fn callbacks_that_are_in_a_hurry_go_first() {
    let mut classic = software();
    let null = CryptoIni::new(NULL_CBC, &[]);
    let sid = session(&mut classic, std::slice::from_ref(&null));
    let hurries = [CryptoFlags::CBIMM, CryptoFlags::CBIFSYNC];
    for (number, flags) in [CryptoFlags::empty(), hurries[0], hurries[1]]
        .into_iter()
        .enumerate()
    {
        let mut copy = request(sid, &[0; 8], &[part(&null, (0, 8), 0, ENCRYPT)]);
        (copy.crp_flags, copy.crp_opaque) = (flags, number as u64);
        classic.crypto_dispatch(NOW, Some(copy)).unwrap();
    }
    let order = [0; 3].map(|_| next(&mut classic).crp_opaque);
    assert_eq!(order, [1, 2, 0], "the software driver is synchronous");
}

#[test]
fn requests_are_made_and_freed() {
    let request = crypto_getreq(2).expect("two descriptors");
    assert_eq!((request.crp_desc.len(), request.crp_etype), (2, None));
    crypto_freereq(Some(request));
    crypto_freereq(None);
    assert!(crypto_getreq(0).is_some());
    assert!(crypto_getreq(9).is_none());
}

#[test]
fn numbers_of_digests_and_ciphers_are_those_of_the_page() {
    for (number, cipher) in [
        (1, Cipher::DesCbc),
        (12, Cipher::Arc4),
        (21, Cipher::CamelliaCbc),
    ] {
        assert_eq!(Cipher::from_number(number), Some(cipher));
    }
    for (number, digest) in [(9, Digest::Md5Kpdk), (15, Digest::NullHmac)] {
        assert_eq!(Digest::from_number(number), Some(digest));
    }
}

#[test]
fn what_others_dispatched_is_theirs() {
    let mut classic = software();
    let params = framework::SessionParams {
        cipher: Some(Cipher::Null),
        ..framework::SessionParams::of(framework::Mode::Cipher)
    };
    let framework = classic.framework_mut();
    let (choice, policy) = (
        framework::DriverChoice::any(),
        framework::MigrationPolicy::Report,
    );
    let name = framework.open_session(NOW, params, choice, policy).unwrap();
    let buffer = framework::Buffer::Memory(vec![0; 4]);
    let mut theirs = framework::Request::new(name, framework::Operation::Encrypt, buffer);
    theirs.payload = framework::Region { start: 0, len: 4 };
    classic.framework_mut().dispatch(NOW, theirs).unwrap();
    assert!(classic.take_done(NOW).is_none());
    assert_eq!(
        classic.take_other(NOW).map(|finished| finished.result),
        Some(Ok(()))
    );
}
