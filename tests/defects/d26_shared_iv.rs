//! D26: two requests of one session are encrypted under one IV.
//!
//! The next IV was the last block of the request before, kept in the session and updated when that
//! request was done. Two requests in the device at once got the same; and whoever sees a message
//! knows the IV of the next. The driver also paid one interrupt for each request.

use framework::front::classic::{
    Callback, CrpBuf, CryptoDesc, CryptoIni, DescFlags, Done, IvPolicy, crypto_getreq,
};
use framework::software::SoftwareDriver;

use crate::card::{classic, open_classic};
use crate::hand::NOW;

struct Old {
    iv: [u8; 16],
}

impl Old {
    fn begin(&self) -> [u8; 16] {
        self.iv
    }

    fn done(&mut self, last_block: [u8; 16]) {
        self.iv = last_block;
    }
}

#[test]
fn two_old_requests_in_flight_share_an_iv() {
    let mut old = Old { iv: [1; 16] };
    let in_flight = [old.begin(), old.begin()];
    old.done([2; 16]);
    old.done([3; 16]);
    assert_eq!(in_flight[0], in_flight[1]);
    assert_eq!(old.begin(), [3; 16], "and anybody could know this one");
}

/// IVs of five requests, and the last block that each left.
fn ivs(policy: IvPolicy) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut classic = classic(policy);
    let driver = Box::new(SoftwareDriver::new("soft0"));
    classic.framework_mut().register(driver);
    let sid = open_classic(&mut classic);
    let mut ivs = Vec::new();
    for _ in 0..5 {
        let mut request = crypto_getreq(1).expect("one descriptor");
        request.crp_sid = sid;
        request.crp_ilen = 48;
        request.crp_buf = CrpBuf::Contiguous(vec![0; 48]);
        request.crp_callback = Some(Callback(0));
        request.crp_desc = vec![CryptoDesc {
            crd_skip: 16,
            crd_len: 32,
            crd_inject: 0,
            crd_flags: DescFlags::ENCRYPT,
            crd_ini: CryptoIni {
                cri_alg: 11,
                ..CryptoIni::default()
            },
        }];
        classic
            .crypto_dispatch(NOW, Some(request))
            .expect("a request and a callback");
        let Some(Done::Request(done)) = classic.take_done(NOW) else {
            panic!("done at once");
        };
        let bytes = done.crp_buf.to_vec();
        ivs.push((bytes[..16].to_vec(), bytes[32..].to_vec()));
    }
    ivs
}

#[test]
fn a_chained_iv_is_the_block_before_and_never_the_same_twice() {
    let ivs = ivs(IvPolicy::Chained);
    for pair in ivs.windows(2) {
        assert_eq!(pair[1].0, pair[0].1);
        assert_ne!(pair[1].0, pair[0].0);
    }
    // Requests in flight together are in `framework/tests/classic/drivers.rs`.
}

#[test]
fn without_a_wish_for_chaining_no_message_tells_the_next_iv() {
    for pair in ivs(IvPolicy::Random).windows(2) {
        assert_ne!(pair[1].0, pair[0].1);
    }
}
