//! The classic interface keeps the rules of its manual page.

mod any_request;
mod bridged;
mod drivers;
mod keys;
mod migration;
mod requests;
mod rules;
mod toy;

use framework::front::classic::{
    Callback, Classic, Crid, CrpBuf, CryptoDesc, CryptoFlags, CryptoIni, Cryptop, DescFlags, Done,
    IvPolicy, crypto_getreq,
};
use framework::software::SoftwareDriver;
use framework::{Errno, Framework, Limits};
use timebase::Time;

const NOW: Time = Time::from_ps(1_000);

// Numbers of crypto(7).
const DES_CBC: u32 = 1;
const SHA1_HMAC: u32 = 7;
const AES_CBC: u32 = 11;
const SHA1: u32 = 14;
const NULL_CBC: u32 = 16;
const DEFLATE: u32 = 17;
const AES_GCM: u32 = 25;
const AES_128_GMAC: u32 = 26;

const AES_KEY: [u8; 16] = [0x2B; 16];
const MAC_KEY: [u8; 20] = [0x0B; 20];

/// The interface over a framework without drivers. Its random bytes are 1, 2, 3 and so on.
fn empty(ivs: IvPolicy) -> Classic {
    let mut next = 0_u8;
    let random = move |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_add(1);
            *byte = next;
        }
    };
    Classic::new(Framework::new(Limits::default()), ivs, Box::new(random))
}

/// The same with the software driver.
fn software() -> Classic {
    let mut classic = empty(IvPolicy::Random);
    let driver = Box::new(SoftwareDriver::new("soft0"));
    classic.framework_mut().register(driver);
    classic
}

fn aes() -> CryptoIni {
    CryptoIni::new(AES_CBC, &AES_KEY)
}

fn hmac() -> CryptoIni {
    CryptoIni {
        cri_mlen: 12,
        ..CryptoIni::new(SHA1_HMAC, &MAC_KEY)
    }
}

/// A part of the buffer for an algorithm, without its key.
fn part(ini: &CryptoIni, (skip, len): (usize, usize), inject: usize, flags: u32) -> CryptoDesc {
    CryptoDesc {
        crd_skip: skip,
        crd_len: len,
        crd_inject: inject,
        crd_flags: DescFlags::from_bits_retain(flags),
        crd_ini: CryptoIni {
            cri_alg: ini.cri_alg,
            ..CryptoIni::default()
        },
    }
}

const ENCRYPT: u32 = DescFlags::ENCRYPT.bits();
const IV_PRESENT: u32 = DescFlags::IV_PRESENT.bits();
const IV_EXPLICIT: u32 = DescFlags::IV_EXPLICIT.bits();

fn request(sid: u64, bytes: &[u8], parts: &[CryptoDesc]) -> Box<Cryptop> {
    let mut request = crypto_getreq(parts.len()).expect("so many descriptors");
    request.crp_sid = sid;
    request.crp_ilen = bytes.len();
    request.crp_buf = CrpBuf::Contiguous(bytes.to_vec());
    request.crp_desc = parts.to_vec();
    request.crp_callback = Some(Callback(1));
    request
}

/// Dispatches a request and takes its callback, which must be there at once.
fn run(classic: &mut Classic, request: Box<Cryptop>) -> Box<Cryptop> {
    classic
        .crypto_dispatch(NOW, Some(request))
        .expect("a request and a callback");
    let done = next(classic);
    assert!(done.crp_flags.contains(CryptoFlags::DONE));
    done
}

fn next(classic: &mut Classic) -> Box<Cryptop> {
    match classic.take_done(NOW) {
        Some(Done::Request(request)) => request,
        other => panic!("no request is done: {other:?}"),
    }
}

/// Runs one request on a contiguous buffer and gives its end and its bytes.
fn outcome(
    classic: &mut Classic,
    sid: u64,
    bytes: &[u8],
    parts: &[CryptoDesc],
) -> (Option<Errno>, Vec<u8>) {
    let done = run(classic, request(sid, bytes, parts));
    (done.crp_etype, done.crp_buf.to_vec())
}

fn session(classic: &mut Classic, chain: &[CryptoIni]) -> u64 {
    classic
        .crypto_newsession(NOW, chain, Crid::ANY)
        .expect("a session")
}

fn hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digits).collect()
}
