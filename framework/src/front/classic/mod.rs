//! The interface of crypto(9) as it was before it was made anew: chains of `cryptoini` and
//! `cryptodesc`, numbered sessions, errno.
//!
//! Names and rules are those of the manual page, and the adapter owns what only they need: session
//! numbers with a driver's number and kind in them, generated IVs, results that replace a chain,
//! drivers that register one algorithm at a time. What the page leaves to pointers is typed here: a
//! request moves in and out as a box, and a callback is data that [`Classic::take_done`] returns.
//!
//! One thing is not as it was: nothing is called from a call that goes down.

mod bridge;
mod compose;
mod driver;
mod finish;
mod key;
mod plan;
mod request;
mod session;
mod sid;

use std::collections::{BTreeMap, VecDeque};

use timebase::Time;

use crate::{DriverId, Finished, Framework, KeyFinished};

pub use bridge::{ClassicDriver, Port, Restart};
pub use driver::Queues;
pub use key::Cryptkop;
pub use request::{
    Callback, CrpBuf, CryptoDesc, CryptoFlags, CryptoIni, Cryptop, DescFlags, EALG_MAX_BLOCK_LEN,
    Refused, crypto_freereq, crypto_getreq,
};
pub use sid::{Crid, crypto_sid_caps, crypto_sid_hid, crypto_sid_lid};

/// Where the IV of an encryption comes from that brings none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum IvPolicy {
    /// Drawn anew for each request, as the software of crypto(9) does.
    #[default]
    Random,
    /// The last block of ciphertext of the session's request before, as hardware did. The first is
    /// drawn. Requests of a session then go one after the other: two in flight would share an IV.
    Chained,
}

/// Fills a slice with bytes nobody can foresee. The framework has no chance of its own.
pub type RandomBytes = Box<dyn FnMut(&mut [u8])>;

/// Something that is done; the callback's view.
#[derive(Debug)]
pub enum Done {
    /// A request; `crypto_done`.
    Request(Box<Cryptop>),
    /// A key operation; `crypto_kdone`.
    Key(Box<Cryptkop>),
}

/// The classic interface of one framework.
pub struct Classic {
    framework: Framework,
    ivs: IvPolicy,
    random: RandomBytes,
    sessions: BTreeMap<u32, session::Session>,
    last_lid: u32,
    /// Every driver seen, by its number.
    drivers: Vec<driver::Entry>,
    /// Requests that the framework has, by its number for them.
    pending: BTreeMap<u64, finish::Pending>,
    pending_keys: BTreeMap<u64, Box<Cryptkop>>,
    /// Done, with a callback that wants to run before the others.
    immediate: VecDeque<Done>,
    done: VecDeque<Done>,
    /// What others dispatched through [`framework_mut`](Self::framework_mut).
    others: VecDeque<Finished>,
    other_keys: VecDeque<KeyFinished>,
    allow_soft: bool,
}

impl Classic {
    /// The classic interface of `framework`, which may have drivers, sessions and requests of its
    /// own. `random` gives the bytes of IVs.
    #[must_use]
    pub fn new(framework: Framework, ivs: IvPolicy, random: RandomBytes) -> Self {
        Self {
            framework,
            ivs,
            random,
            sessions: BTreeMap::new(),
            last_lid: 0,
            drivers: Vec::new(),
            pending: BTreeMap::new(),
            pending_keys: BTreeMap::new(),
            immediate: VecDeque::new(),
            done: VecDeque::new(),
            others: VecDeque::new(),
            other_keys: VecDeque::new(),
            allow_soft: true,
        }
    }

    /// The framework below, to service its drivers and to use its own interface beside this one.
    pub fn framework_mut(&mut self) -> &mut Framework {
        &mut self.framework
    }

    /// Whether key operations may be done by software (`kern.cryptodevallowsoft`); at first they
    /// may.
    pub fn set_allow_soft(&mut self, allow: bool) {
        self.allow_soft = allow;
    }

    /// Looks for what happened in a driver; see [`Framework::service`].
    pub fn service(&mut self, now: Time, driver: DriverId) {
        self.framework.service(now, driver);
        self.collect(now);
    }

    /// Looks for what happened in every driver.
    pub fn service_all(&mut self, now: Time) {
        let ids: Vec<DriverId> = self.framework.drivers().map(|driver| driver.id).collect();
        for id in ids {
            self.service(now, id);
        }
    }

    /// The next callback: first those that want to run at once
    /// ([`CryptoFlags::CBIMM`], [`CryptoFlags::CBIFSYNC`]), then the others.
    pub fn take_done(&mut self, now: Time) -> Option<Done> {
        self.collect(now);
        self.immediate.pop_front().or_else(|| self.done.pop_front())
    }

    /// The next request that ended and was not dispatched here.
    pub fn take_other(&mut self, now: Time) -> Option<Finished> {
        self.collect(now);
        self.others.pop_front()
    }

    /// The next key operation that ended and was not dispatched here.
    pub fn take_other_key(&mut self, now: Time) -> Option<KeyFinished> {
        self.collect(now);
        self.other_keys.pop_front()
    }
}

impl std::fmt::Debug for Classic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Classic")
            .field("framework", &self.framework)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}
