//! A classic driver as a driver of the framework.
//!
//! Owns the requests that the driver has, and gives it others [made of them](super::compose), with
//! an explicit IV. The driver only ever computes digests, which are compared here, but for those of
//! an AEAD, which it compares.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use timebase::Time;

use super::compose::{Session, Shape, chain, settle};
use super::driver::{Offer, Queues};
use super::{Callback, Crid, Cryptkop, CryptoIni, Cryptop};
use crate::{
    Blocked, Completed, CryptoDriver, DriverFlags, DriverOutput, DriverSession, Errno, Hint,
    KeyBlocked, KeyCompleted, KeyDriverError, KeyOps, KeyParam, KeyRequest, OpenError, ProbeScore,
    Request, SessionFlags, SessionParams,
};

/// The driver has no room now (`ERESTART`): what it was given, untouched. It must call
/// [`Port::crypto_unblock`] when it has.
#[derive(Debug)]
#[must_use]
pub struct Restart<T>(pub Box<T>);

/// Where a driver says what happened. Nothing happens until the driver's call returns.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "a request moves as the box it is")]
pub struct Port {
    done: Vec<Box<Cryptop>>,
    keys: Vec<Box<Cryptkop>>,
    unblocked: Queues,
}

impl Port {
    /// A request is done; an error is in `crp_etype`.
    pub fn crypto_done(&mut self, request: Box<Cryptop>) {
        self.done.push(request);
    }

    /// A key operation is done; an error is in `krp_status`.
    pub fn crypto_kdone(&mut self, operation: Box<Cryptkop>) {
        self.keys.push(operation);
    }

    /// There is room again.
    pub fn crypto_unblock(&mut self, what: Queues) {
        self.unblocked |= what;
    }
}

/// A driver with the entry points of crypto(9).
pub trait ClassicDriver {
    /// Name for people, unique among drivers.
    fn name(&self) -> &str;

    /// Makes a session for a chain of algorithms, all of them registered, and gives its own number
    /// for it. `hid` is the driver's number.
    ///
    /// # Errors
    /// `ENOMEM` if there is no room, `EINVAL` if it cannot serve the chain after all.
    fn newsession(&mut self, hid: u32, chain: &[CryptoIni]) -> Result<u32, Errno>;

    /// Frees a session, by its whole number, and clears what it knew.
    ///
    /// # Errors
    /// Whatever it likes; nobody can do anything about it.
    fn freesession(&mut self, sid: u64) -> Result<(), Errno>;

    /// Takes a request and returns at once. It ends with [`Port::crypto_done`], now or later. It
    /// is never told that more follows: nothing here could say later that nothing did.
    ///
    /// # Errors
    /// [`Restart`] with the request if there is no room.
    fn process(&mut self, port: &mut Port, request: Box<Cryptop>) -> Result<(), Restart<Cryptop>>;

    /// Takes a key operation, as [`process`](Self::process) does. Only one that was registered.
    ///
    /// # Errors
    /// [`Restart`] with the operation if there is no room.
    fn kprocess(
        &mut self,
        port: &mut Port,
        mut operation: Box<Cryptkop>,
    ) -> Result<(), Restart<Cryptkop>> {
        operation.krp_status = Some(Errno::ENODEV);
        port.crypto_kdone(operation);
        Ok(())
    }

    /// Looks for what happened in the device.
    fn interrupt(&mut self, now: Time, port: &mut Port);

    /// When it wants to look even if the device is silent.
    fn deadline(&self) -> Time {
        Time::NEVER
    }
}

/// A request that the driver works on.
#[derive(Debug)]
struct Held {
    request: Box<Request>,
    shape: Shape,
}

/// See the module.
pub(super) struct Bridge {
    driver: Box<dyn ClassicDriver>,
    flags: DriverFlags,
    hid: u32,
    offer: Rc<RefCell<Offer>>,
    sessions: BTreeMap<u32, Session>,
    last_session: u32,
    held: BTreeMap<u64, Held>,
    held_keys: BTreeMap<u64, Box<KeyRequest>>,
    last_ticket: u64,
    output: DriverOutput,
    detached: bool,
}

impl Bridge {
    pub(super) fn new(
        driver: Box<dyn ClassicDriver>,
        (flags, hid): (DriverFlags, u32),
        offer: Rc<RefCell<Offer>>,
    ) -> Self {
        Self {
            driver,
            flags,
            hid,
            offer,
            sessions: BTreeMap::new(),
            last_session: 0,
            held: BTreeMap::new(),
            held_keys: BTreeMap::new(),
            last_ticket: 0,
            output: DriverOutput::default(),
            detached: false,
        }
    }

    /// Whether the driver registered the algorithm, for keys of this length.
    fn offers(&self, ini: &CryptoIni) -> bool {
        let offer = self.offer.borrow();
        let longest = offer.algorithms.get(&ini.cri_alg);
        longest.is_some_and(|&bits| bits == 0 || ini.cri_klen <= u32::from(bits))
    }

    fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// Takes over what the driver said.
    fn absorb(&mut self, port: Port) {
        self.offer.borrow_mut().unblock(port.unblocked);
        for done in port.done {
            // One that it did not have, or had ended before, is none of anybody's.
            if let Some(held) = self.held.remove(&done.crp_opaque) {
                let Held { mut request, shape } = held;
                let result = settle(&mut request, shape, &done);
                self.output.completed.push(Completed { request, result });
            }
        }
        for done in port.keys {
            if let Some(mut request) = self.held_keys.remove(&done.krp_opaque) {
                let inputs = request.inputs.len();
                let result = match done.krp_status {
                    Some(errno) => Err(key_error(errno)),
                    None if done.krp_param.len() != inputs + request.outputs.len() => {
                        Err(KeyDriverError::Device)
                    }
                    None => store(&mut request, &done.krp_param[inputs..]),
                };
                self.output.keys.push(KeyCompleted { request, result });
            }
        }
    }
}

/// Writes the outputs of a key operation, all or none.
fn store(request: &mut KeyRequest, results: &[KeyParam]) -> Result<(), KeyDriverError> {
    let mut outputs = request.outputs.clone();
    for (output, result) in outputs.iter_mut().zip(results) {
        if !output.store(result.bytes()) {
            return Err(KeyDriverError::NoRoom);
        }
    }
    request.outputs = outputs;
    Ok(())
}

fn key_error(errno: Errno) -> KeyDriverError {
    match errno {
        Errno::EINVAL => KeyDriverError::Undefined,
        Errno::EBADMSG => KeyDriverError::Mismatch,
        Errno::E2BIG => KeyDriverError::TooBig,
        Errno::ERANGE => KeyDriverError::NoRoom,
        Errno::EAGAIN => KeyDriverError::Lost,
        _ => KeyDriverError::Device,
    }
}

impl CryptoDriver for Bridge {
    fn name(&self) -> &str {
        self.driver.name()
    }

    fn flags(&self) -> DriverFlags {
        self.flags
    }

    fn probe_session(&self, params: &SessionParams) -> Option<ProbeScore> {
        let is_known = !params
            .flags
            .intersects(SessionFlags::ESN.union(SessionFlags::PARTS));
        let serves = is_known
            && chain(params).is_some_and(|chain| chain.iter().flatten().all(|it| self.offers(it)));
        let score = if self.flags.contains(DriverFlags::HARDWARE) {
            ProbeScore::HARDWARE
        } else {
            ProbeScore::SOFTWARE
        };
        serves.then_some(score)
    }

    fn open_session(
        &mut self,
        _now: Time,
        params: &SessionParams,
    ) -> Result<DriverSession, OpenError> {
        let both = chain(params).ok_or(OpenError::Unsupported)?;
        let chain: Vec<CryptoIni> = both.iter().flatten().cloned().collect();
        let local = self.driver.newsession(self.hid, &chain);
        let local = local.map_err(|errno| match errno {
            Errno::ENOMEM => OpenError::NoRoom,
            Errno::EINVAL => OpenError::Unsupported,
            _ => OpenError::Device,
        })?;
        self.last_session = self.last_session.wrapping_add(1);
        let session = DriverSession(self.last_session);
        let of_driver = Session::new(params, both, (self.flags, self.hid, local));
        self.sessions.insert(session.0, of_driver);
        self.output.opened.push((session, Ok(())));
        Ok(session)
    }

    fn close_session(&mut self, _now: Time, session: DriverSession) {
        let session = self
            .sessions
            .remove(&session.0)
            .expect("a session that is open");
        // It is gone whatever the driver says.
        let _ = self.driver.freesession(session.sid);
    }

    fn process(
        &mut self,
        _now: Time,
        session: DriverSession,
        request: Box<Request>,
        _hint: Hint,
    ) -> Result<(), Blocked> {
        let generation = self.offer.borrow().generation;
        let ticket = self.ticket();
        let session = &self.sessions[&session.0];
        let shape = session.shape;
        let theirs = Box::new(session.compose(ticket, &request));
        let held = Held { request, shape };
        self.held.insert(ticket, held);
        let mut port = Port::default();
        let taken = self.driver.process(&mut port, theirs);
        self.absorb(port);
        match taken {
            Ok(()) => Ok(()),
            Err(Restart(_)) => match self.held.remove(&ticket) {
                Some(Held { request, .. }) => Err(Blocked {
                    request,
                    generation,
                }),
                // It ended the request and refused it as well: it is ended.
                None => Ok(()),
            },
        }
    }

    fn flush(&mut self, _now: Time) {}

    fn service(&mut self, now: Time, output: &mut DriverOutput) {
        let mut port = Port::default();
        self.driver.interrupt(now, &mut port);
        self.absorb(port);
        output.opened.append(&mut self.output.opened);
        output.completed.append(&mut self.output.completed);
        output.keys.append(&mut self.output.keys);
        output.lost |= self.detached && self.held.is_empty() && self.held_keys.is_empty();
    }

    fn deadline(&self) -> Time {
        let output = &self.output;
        let has_news =
            !(output.opened.is_empty() && output.completed.is_empty() && output.keys.is_empty());
        if has_news {
            Time::ZERO
        } else {
            self.driver.deadline()
        }
    }

    fn unblock_generation(&self) -> u64 {
        self.offer.borrow().generation
    }

    fn key_operations(&self) -> KeyOps {
        self.offer.borrow().key_ops
    }

    fn process_key(&mut self, _now: Time, request: Box<KeyRequest>) -> Result<(), KeyBlocked> {
        let generation = self.offer.borrow().key_generation;
        let ticket = self.ticket();
        let theirs = Box::new(Cryptkop {
            krp_op: request.op.code(),
            krp_status: None,
            krp_iparams: request.inputs.len(),
            krp_oparams: request.outputs.len(),
            krp_crid: Crid(self.hid),
            krp_hid: Some(self.hid),
            krp_param: [&request.inputs[..], &request.outputs].concat(),
            krp_opaque: ticket,
            krp_callback: Some(Callback(ticket)),
        });
        self.held_keys.insert(ticket, request);
        let mut port = Port::default();
        let taken = self.driver.kprocess(&mut port, theirs);
        self.absorb(port);
        match taken {
            Ok(()) => Ok(()),
            Err(Restart(_)) => match self.held_keys.remove(&ticket) {
                Some(request) => Err(KeyBlocked {
                    request,
                    generation,
                }),
                None => Ok(()),
            },
        }
    }

    fn key_unblock_generation(&self) -> u64 {
        self.offer.borrow().key_generation
    }

    fn detach(&mut self, _now: Time) {
        self.detached = true;
    }
}
