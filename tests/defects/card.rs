//! A card with its driver on a virtual clock, and a classic driver that only has to be there.

use device_model::{Latch, Profile};
use framework::front::classic::{
    Classic, ClassicDriver, Crid, CryptoIni, Cryptop, IvPolicy, Port, Restart,
};
use framework::{
    Buffer, DriverFlags, Errno, Framework, Limits, Operation, Region, Request, RequestError,
    SessionId,
};
use sim::recorder::Level;
use tests::Rig;
use timebase::Time;

use crate::hand::{NOW, aes_cbc};

/// Most appointments before a test gives up.
const STEPS_MAX: usize = 200_000;

/// A card with one ring of `entries` slots.
pub(crate) fn rig(entries: u32) -> Rig {
    Rig::new(Profile::reference(), entries, 1, Level::Off)
}

/// An open session on the card.
pub(crate) fn open(rig: &mut Rig) -> SessionId {
    rig.open(aes_cbc(crate::hand::KEY))
}

/// A request to encrypt `blocks` blocks of zeroes.
pub(crate) fn seal(rig: &Rig, session: SessionId, number: u64, blocks: usize) -> Box<Request> {
    let buffer = rig.pool.take(16 * blocks).expect("pool memory");
    let mut request = Request::new(session, Operation::Encrypt, Buffer::Pooled(buffer));
    request.iv = Some([0; 64]);
    request.payload = Region {
        start: 0,
        len: 16 * blocks,
    };
    request.opaque = number;
    request
}

/// What ended, by `opaque`, in the order of callbacks.
pub(crate) type Ended = Vec<(u64, Result<(), RequestError>)>;

/// Steps until `count` requests have ended.
pub(crate) fn finish(rig: &mut Rig, count: usize) -> Ended {
    let mut ended = Ended::new();
    for _ in 0..STEPS_MAX {
        while let Some(finished) = rig.framework.take_finished() {
            ended.push((finished.request.opaque, finished.result));
        }
        if ended.len() >= count || !rig.step() {
            break;
        }
    }
    assert_eq!(ended.len(), count, "everything ends, and once");
    ended
}

/// Pulls a latch in the card.
pub(crate) fn latch(rig: &Rig, latch: Latch) {
    let mut port = rig.port.borrow_mut();
    port.card_mut().expect("a card in the slot").latch(latch);
}

/// A classic driver that takes everything and does nothing.
struct Toy;

impl ClassicDriver for Toy {
    fn name(&self) -> &str {
        "toy0"
    }

    fn newsession(&mut self, _hid: u32, _chain: &[CryptoIni]) -> Result<u32, Errno> {
        Ok(1)
    }

    fn freesession(&mut self, _sid: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn process(&mut self, port: &mut Port, request: Box<Cryptop>) -> Result<(), Restart<Cryptop>> {
        port.crypto_done(request);
        Ok(())
    }

    fn interrupt(&mut self, _now: Time, _port: &mut Port) {}
}

/// The classic interface over nothing, with IVs of ones.
pub(crate) fn classic(ivs: IvPolicy) -> Classic {
    let framework = Framework::new(Limits::default());
    Classic::new(framework, ivs, Box::new(|bytes| bytes.fill(1)))
}

/// The classic interface with a driver that registered AES-CBC (11) and HMAC-SHA1 (7).
pub(crate) fn classic_toy() -> (Classic, u32) {
    let mut classic = classic(IvPolicy::Random);
    let hid = classic
        .crypto_get_driverid(DriverFlags::empty())
        .expect("a number");
    classic
        .crypto_register(hid, 11, 0, Some(Box::new(Toy)))
        .expect("a known algorithm");
    classic
        .crypto_register(hid, 7, 0, None)
        .expect("a known algorithm");
    (classic, hid)
}

/// A session for AES-CBC.
pub(crate) fn open_classic(classic: &mut Classic) -> u64 {
    let chain = [CryptoIni::new(11, &crate::hand::KEY)];
    let sid = classic
        .crypto_newsession(NOW, &chain, Crid::ANY)
        .expect("a session");
    classic.service_all(NOW);
    sid
}
