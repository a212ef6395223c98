//! D27: an entry point completes a request and returns an error for it as well.
//!
//! The framework believes both: it calls back for the one and queues, or reports, the request for
//! the other. Here the return value carries the request itself, so that a driver cannot give it
//! twice; a driver of the classic interface, which still could, is believed once.

use framework::Errno;
use framework::front::classic::{
    Callback, ClassicDriver, CrpBuf, CryptoDesc, CryptoIni, Cryptop, DescFlags, Done, IvPolicy,
    Port, Restart, crypto_getreq,
};
use timebase::Time;

use crate::card::{classic, open_classic};
use crate::hand::NOW;

#[test]
fn the_old_framework_handles_the_request_twice() {
    let (mut callbacks, mut queued) = (0, 0);
    let mut old_process = || -> Result<(), &str> {
        callbacks += 1;
        Err("ERESTART")
    };
    if old_process().is_err() {
        queued += 1;
    }
    assert_eq!((callbacks, queued), (1, 1));
}

/// Completes every request and refuses it too.
struct Both;

impl ClassicDriver for Both {
    fn name(&self) -> &str {
        "both0"
    }

    fn newsession(&mut self, _hid: u32, _chain: &[CryptoIni]) -> Result<u32, Errno> {
        Ok(1)
    }

    fn freesession(&mut self, _sid: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn process(&mut self, port: &mut Port, request: Box<Cryptop>) -> Result<(), Restart<Cryptop>> {
        let done = Cryptop {
            crp_opaque: request.crp_opaque,
            crp_buf: CrpBuf::Contiguous(request.crp_buf.to_vec()),
            ..Cryptop::default()
        };
        port.crypto_done(Box::new(done));
        Err(Restart(request))
    }

    fn interrupt(&mut self, _now: Time, _port: &mut Port) {}
}

#[test]
fn a_request_that_is_done_is_not_refused() {
    let mut classic = classic(IvPolicy::Random);
    let flags = framework::DriverFlags::empty();
    let hid = classic.crypto_get_driverid(flags).expect("a number");
    classic
        .crypto_register(hid, 11, 0, Some(Box::new(Both)))
        .expect("a known algorithm");
    let sid = open_classic(&mut classic);
    for number in 0..3 {
        let mut request = crypto_getreq(1).expect("one descriptor");
        request.crp_sid = sid;
        request.crp_ilen = 16;
        request.crp_buf = CrpBuf::Contiguous(vec![0; 16]);
        request.crp_callback = Some(Callback(0));
        request.crp_opaque = number;
        request.crp_desc = vec![CryptoDesc {
            crd_len: 16,
            crd_flags: DescFlags::ENCRYPT | DescFlags::IV_EXPLICIT | DescFlags::IV_PRESENT,
            crd_ini: CryptoIni {
                cri_alg: 11,
                ..CryptoIni::default()
            },
            ..CryptoDesc::default()
        }];
        classic
            .crypto_dispatch(NOW, Some(request))
            .expect("a request and a callback");
        classic.service_all(NOW);
        let Some(Done::Request(done)) = classic.take_done(NOW) else {
            panic!("done once");
        };
        assert_eq!((done.crp_opaque, done.crp_etype), (number, None));
        assert!(classic.take_done(NOW).is_none(), "and not again");
    }
    assert_eq!(classic.framework_mut().stats().refusals, 0);
}
