//! Whatever a request says, it calls back once, and an error leaves its data alone.

use proptest::prelude::*;

use super::*;

const LEN: usize = 96;

/// The sessions that requests are made for.
fn chains() -> Vec<Vec<CryptoIni>> {
    vec![
        vec![aes()],
        vec![hmac()],
        vec![aes(), hmac()],
        vec![CryptoIni::new(NULL_CBC, &[]), CryptoIni::new(SHA1, &[])],
        vec![
            CryptoIni::new(AES_GCM, &AES_KEY),
            CryptoIni::new(AES_128_GMAC, &AES_KEY),
        ],
        vec![CryptoIni::new(DEFLATE, &[])],
    ]
}

fn number() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => (0..=6_usize).prop_map(|blocks| 16 * blocks),
        3 => 0..=LEN + 1,
        1 => Just(usize::MAX),
    ]
}

fn any_part() -> impl Strategy<Value = CryptoDesc> {
    let algorithm = prop_oneof![
        Just(aes()),
        Just(hmac()),
        Just(CryptoIni::new(SHA1, &[])),
        Just(CryptoIni::new(NULL_CBC, &[])),
        Just(CryptoIni::new(AES_GCM, &AES_KEY)),
        Just(CryptoIni::new(AES_128_GMAC, &AES_KEY)),
        Just(CryptoIni::new(DEFLATE, &[])),
    ];
    (
        algorithm,
        number(),
        number(),
        number(),
        0..32_u32,
        any::<bool>(),
    )
        .prop_map(|(ini, skip, len, inject, flags, keyed)| {
            let mut part = part(&ini, (skip, len), inject, flags);
            if keyed {
                part.crd_ini = ini;
            }
            part
        })
}

fn any_request() -> impl Strategy<Value = (usize, Box<Cryptop>)> {
    let parts = proptest::collection::vec(any_part(), 0..4);
    let room = prop_oneof![3 => Just(None), 1 => (0..40_usize).prop_map(Some)];
    (0..6_usize, parts, 0..3_u32, any::<bool>(), number(), room).prop_map(
        |(chain, parts, kind, rel, ilen, room)| {
            let bytes: Vec<u8> = (0..LEN).map(|at| at as u8).collect();
            let mut request = request(0, &bytes, &[]);
            request.crp_desc = parts;
            if ilen < LEN {
                request.crp_ilen = ilen;
            }
            if kind == 1 {
                request.crp_buf = CrpBuf::Mbuf(bytes.chunks(11).map(<[u8]>::to_vec).collect());
                request.crp_flags = CryptoFlags::IMBUF;
            } else if kind == 2 {
                request.crp_flags = CryptoFlags::IOV;
            }
            request.crp_flags.set(CryptoFlags::REL, rel);
            request.crp_mac = room.map(|len| vec![0; len]);
            (chain, request)
        },
    )
}

proptest! {
    #[test]
    fn any_request_calls_back_once_and_an_error_changes_nothing(
        requests in proptest::collection::vec(any_request(), 1..8),
        chained in any::<bool>(),
    ) {
        let mut classic = empty(if chained { IvPolicy::Chained } else { IvPolicy::Random });
        classic.framework_mut().register(Box::new(SoftwareDriver::new("soft0")));
        let sids: Vec<u64> = chains().iter().map(|chain| session(&mut classic, chain)).collect();
        for (chain, mut request) in requests {
            request.crp_sid = sids[chain];
            let before = request.crp_buf.to_vec();
            let done = run(&mut classic, request);
            prop_assert!(classic.take_done(NOW).is_none());
            match done.crp_etype {
                None => prop_assert_eq!(done.crp_buf.len(), LEN),
                Some(Errno::EINVAL | Errno::EBADMSG | Errno::E2BIG) => {
                    prop_assert_eq!(done.crp_buf.to_vec(), before);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
