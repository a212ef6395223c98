//! Consumers of the classic interface live through the loss of a card: they record the new session
//! number and dispatch again, and every byte comes out right.

use std::collections::BTreeMap;

use device_model::Profile;
use dma::PoolBuffer;
use framework::front::classic::{
    Callback, Classic, Crid, CrpBuf, CryptoDesc, CryptoFlags, CryptoIni, Cryptop, DescFlags, Done,
    IvPolicy, crypto_getreq, crypto_sid_caps,
};
use framework::software::SoftwareDriver;
use framework::{DriverFlags, Errno, Framework, Limits};
use sim::recorder::Level;
use tests::Rig;
use timebase::Time;

const AES_CBC: u32 = 11;
const SHA2_256_HMAC: u32 = 18;

fn chain() -> [CryptoIni; 2] {
    [
        CryptoIni::new(AES_CBC, &[3; 32]),
        CryptoIni::new(SHA2_256_HMAC, &[4; 32]),
    ]
}

/// Sixteen bytes of IV, payload, and room for a digest of 32.
fn bytes(number: u64, payload: usize) -> Vec<u8> {
    let byte = |at: usize| (at as u64 * 7 + number) as u8;
    (0..16 + payload).map(byte).chain([0; 32]).collect()
}

/// A packet to seal, as an ESP transform makes it: IV in front, digest over both.
fn packet(sid: u64, number: u64, buffer: CrpBuf) -> Box<Cryptop> {
    let payload = buffer.len() - 48;
    let mut request = crypto_getreq(2).expect("two descriptors");
    request.crp_sid = sid;
    request.crp_ilen = buffer.len();
    if matches!(buffer, CrpBuf::Iov(_)) {
        request.crp_flags = CryptoFlags::IOV;
    }
    request.crp_buf = buffer;
    request.crp_opaque = number;
    request.crp_callback = Some(Callback(number));
    let part = |skip, len, inject, flags, cri_alg| CryptoDesc {
        crd_skip: skip,
        crd_len: len,
        crd_inject: inject,
        crd_flags: flags,
        crd_ini: CryptoIni {
            cri_alg,
            cri_iv: [number as u8; 16],
            ..CryptoIni::default()
        },
    };
    let seal = DescFlags::ENCRYPT | DescFlags::IV_EXPLICIT;
    request.crp_desc = vec![
        part(16, payload, 0, seal, AES_CBC),
        part(
            0,
            16 + payload,
            16 + payload,
            DescFlags::empty(),
            SHA2_256_HMAC,
        ),
    ];
    request
}

fn classic(framework: Framework) -> Classic {
    Classic::new(framework, IvPolicy::Random, Box::new(|bytes| bytes.fill(1)))
}

/// What the software makes of a packet.
fn expected(number: u64, payload: usize) -> Vec<u8> {
    let mut framework = Framework::new(Limits::default());
    framework.register(Box::new(SoftwareDriver::new("soft0")));
    let mut classic = classic(framework);
    let sid = classic
        .crypto_newsession(Time::ZERO, &chain(), Crid::ANY)
        .expect("a session");
    let data = CrpBuf::Contiguous(bytes(number, payload));
    let request = packet(sid, number, data);
    classic
        .crypto_dispatch(Time::ZERO, Some(request))
        .expect("a request and a callback");
    match classic.take_done(Time::ZERO) {
        Some(Done::Request(done)) if done.crp_etype.is_none() => done.crp_buf.to_vec(),
        other => panic!("software is done at once: {other:?}"),
    }
}

fn pooled(rig: &Rig, bytes: &[u8]) -> CrpBuf {
    let piece = |chunk: &[u8]| -> PoolBuffer {
        let mut part = rig.pool.take(chunk.len()).expect("pool memory");
        part.copy_from_slice(chunk);
        part
    };
    CrpBuf::Iov(bytes.chunks(100).map(piece).collect())
}

/// Bytes of payload of a packet.
fn payload(number: u64) -> usize {
    16 * (1 + number as usize % 30)
}

/// A packet's data, in pieces of pooled memory or in one of any other.
fn data(rig: &Rig, number: u64) -> CrpBuf {
    let bytes = bytes(number, payload(number));
    if number.is_multiple_of(2) {
        pooled(rig, &bytes)
    } else {
        CrpBuf::Contiguous(bytes)
    }
}

/// Goes to the next appointment of card or driver.
fn step(rig: &Rig, classic: &mut Classic) {
    let port = rig.port.borrow();
    let driver = classic.framework_mut().deadline();
    let next = port
        .card_deadline()
        .min(port.interrupt_deadline())
        .min(driver);
    drop(port);
    if next < Time::NEVER {
        rig.clock.set(rig.now().max(next));
    }
    rig.port.borrow_mut().advance();
    classic.service_all(rig.now());
}

#[test]
fn a_consumer_that_follows_the_page_survives_its_card() {
    for unplug_after in [0, 3, 30, 100] {
        let mut rig = Rig::new(Profile::reference(), 16, 1, Level::Off);
        let below = std::mem::replace(&mut rig.framework, Framework::new(Limits::default()));
        let mut classic = classic(below);
        let mut sid = classic
            .crypto_newsession(rig.now(), &chain(), Crid::ANY)
            .expect("a session");
        assert_eq!(crypto_sid_caps(sid), DriverFlags::HARDWARE);
        let software = Box::new(SoftwareDriver::new("soft0"));
        classic.framework_mut().register(software);
        for number in 0..60 {
            let request = packet(sid, number, data(&rig, number));
            classic
                .crypto_dispatch(rig.now(), Some(request))
                .expect("a request");
        }
        let (mut done, mut told, mut lost) = (BTreeMap::new(), 0, 0);
        for steps in 0..100_000 {
            if steps == unplug_after {
                rig.port.borrow_mut().unplug();
            }
            while let Some(Done::Request(mut request)) = classic.take_done(rig.now()) {
                match request.crp_etype {
                    None => {
                        let number = request.crp_opaque;
                        assert!(done.insert(number, request.crp_buf.to_vec()).is_none());
                        continue;
                    }
                    Some(Errno::EAGAIN) => {
                        told += 1;
                        sid = request.crp_sid;
                        let number = request.crp_opaque;
                        assert_eq!(request.crp_buf.to_vec(), bytes(number, payload(number)));
                    }
                    // It may be half written: the consumer makes it anew.
                    Some(Errno::EIO) => {
                        lost += 1;
                        request = packet(sid, request.crp_opaque, data(&rig, request.crp_opaque));
                    }
                    other => panic!("{other:?}"),
                }
                classic
                    .crypto_dispatch(rig.now(), Some(request))
                    .expect("a request");
            }
            if done.len() == 60 {
                break;
            }
            step(&rig, &mut classic);
        }
        assert_eq!(done.len(), 60, "unplugged after {unplug_after} steps");
        assert!(told + lost > 0, "the card took something with it");
        assert_eq!(
            crypto_sid_caps(sid),
            DriverFlags::SOFTWARE | DriverFlags::SYNC
        );
        for (number, bytes) in done {
            assert_eq!(bytes, expected(number, payload(number)), "{number}");
        }
    }
}
