//! A classic driver as a driver of the framework.
//!
//! Owns the requests that the driver has, and gives it others made of them: one run of memory with
//! AAD, payload and room for the digest, descriptors in the order hardware knows, an explicit IV.
//! The driver only ever computes digests. They are compared here, and nothing of a result is
//! written before that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use subtle::ConstantTimeEq;
use timebase::Time;

use super::driver::{Offer, Queues};
use super::session::iv_len;
use super::sid::sid;
use super::{
    Callback, Crid, CrpBuf, Cryptkop, CryptoDesc, CryptoFlags, CryptoIni, Cryptop, DescFlags,
    EALG_MAX_BLOCK_LEN,
};
use crate::{
    Blocked, Buffer, Cipher, Completed, CryptoDriver, Digest, DriverError, DriverFlags,
    DriverOutput, DriverSession, Errno, Hint, Key, KeyBlocked, KeyCompleted, KeyDriverError,
    KeyOps, KeyParam, KeyRequest, Mode, OpenError, ProbeScore, Request, SessionFlags,
    SessionParams,
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

/// A session of the driver.
#[derive(Debug)]
struct Session {
    sid: u64,
    mode: Mode,
    cipher: Option<CryptoIni>,
    digest: Option<CryptoIni>,
    iv_len: usize,
    digest_len: usize,
}

/// A request that the driver works on.
#[derive(Debug)]
struct Held {
    request: Box<Request>,
    mode: Mode,
    digest_len: usize,
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
    fn offers(&self, number: u8, key_len: usize) -> bool {
        let offer = self.offer.borrow();
        let longest = offer.algorithms.get(&u32::from(number));
        longest.is_some_and(|&bits| bits == 0 || key_len * 8 <= usize::from(bits))
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
                let Held {
                    mut request,
                    mode,
                    digest_len,
                } = held;
                let result = settle(&mut request, (mode, digest_len), &done);
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

    /// The driver's request for one of the framework's.
    fn compose(session: &Session, ticket: u64, request: &Request) -> Cryptop {
        let mut bytes = Vec::new();
        match &request.separate_aad {
            Some(aad) => append(&mut bytes, aad, 0, aad.len()),
            None => append(
                &mut bytes,
                &request.buffer,
                request.aad.start,
                request.aad.len,
            ),
        }
        let aad_len = bytes.len();
        let (start, len) = (request.payload.start, request.payload.len);
        append(&mut bytes, &request.buffer, start, len);
        let end = bytes.len();
        bytes.resize(end + session.digest_len, 0);
        let cipher = session.cipher.as_ref().map(|ini| {
            let mut flags = DescFlags::IV_EXPLICIT | DescFlags::IV_PRESENT;
            flags.set(DescFlags::ENCRYPT, request.operation.encrypts());
            let mut ini = ini.clone();
            let iv = request.iv_bytes(session.iv_len);
            ini.cri_iv.copy_from_slice(&iv[..EALG_MAX_BLOCK_LEN]);
            descriptor(
                (aad_len, end),
                0,
                with_key(ini, request.cipher_key.as_ref(), flags),
            )
        });
        let digest = session.digest.as_ref().map(|ini| {
            let flags = DescFlags::empty();
            descriptor(
                (0, end),
                end,
                with_key(ini.clone(), request.auth_key.as_ref(), flags),
            )
        });
        let mut crp_desc: Vec<CryptoDesc> = [cipher, digest].into_iter().flatten().collect();
        if !request.operation.encrypts() {
            crp_desc.reverse();
        }
        Cryptop {
            crp_sid: session.sid,
            crp_ilen: bytes.len(),
            crp_olen: bytes.len(),
            crp_etype: None,
            crp_flags: CryptoFlags::empty(),
            crp_buf: CrpBuf::Contiguous(bytes),
            crp_opaque: ticket,
            crp_desc,
            crp_callback: Some(Callback(ticket)),
            crp_mac: None,
        }
    }
}

fn descriptor(
    (start, end): (usize, usize),
    inject: usize,
    (crd_ini, crd_flags): (CryptoIni, DescFlags),
) -> CryptoDesc {
    CryptoDesc {
        crd_skip: start,
        crd_len: end - start,
        crd_inject: inject,
        crd_flags,
        crd_ini,
    }
}

/// The algorithm with the request's key, if that has one.
fn with_key(mut ini: CryptoIni, key: Option<&Key>, flags: DescFlags) -> (CryptoIni, DescFlags) {
    match key {
        Some(key) => {
            ini.cri_key = Some(key.clone());
            (ini, flags | DescFlags::KEY_EXPLICIT)
        }
        None => (ini, flags),
    }
}

fn append(bytes: &mut Vec<u8>, buffer: &Buffer, start: usize, len: usize) {
    // At once: memory that a growing vector leaves behind would keep data.
    bytes.reserve(len);
    buffer.for_each_part(start, len, |part| bytes.extend_from_slice(part));
}

/// Writes what the driver made of a request to where it belongs, unless something is wrong.
fn settle(
    request: &mut Request,
    (mode, digest_len): (Mode, usize),
    done: &Cryptop,
) -> Result<(), DriverError> {
    match done.crp_etype {
        None => {}
        Some(Errno::E2BIG) => return Err(DriverError::TooBig),
        Some(Errno::EBADMSG) => return Err(DriverError::DigestMismatch),
        // A driver that should have refused. Nothing was touched, so the framework tries again.
        Some(Errno::EAGAIN) => return Err(DriverError::Lost { untouched: true }),
        Some(_) => return Err(DriverError::Device),
    }
    let bytes = done.crp_buf.to_vec();
    let aad_len = request.aad_len();
    let end = aad_len + request.payload.len;
    if bytes.len() != end + digest_len {
        return Err(DriverError::Device);
    }
    let digest = &bytes[end..];
    if request.operation.verifies() {
        let mut expected = vec![0; digest_len];
        request.buffer.copy_out(request.digest_start, &mut expected);
        if !bool::from(digest.ct_eq(&expected)) {
            return Err(DriverError::DigestMismatch);
        }
    }
    let start = match request.output {
        Some(_) => request.payload_output_start,
        None => request.payload.start,
    };
    let computes = digest_len > 0 && !request.operation.verifies();
    let target = request.output.as_mut().unwrap_or(&mut request.buffer);
    if mode != Mode::Digest {
        target.copy_in(start, &bytes[aad_len..end]);
    }
    if computes {
        target.copy_in(request.digest_start, digest);
    }
    Ok(())
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

fn ini(number: u8, key_len: usize, key: Option<&Key>, digest_len: usize) -> CryptoIni {
    CryptoIni {
        cri_alg: u32::from(number),
        cri_klen: u32::try_from(key_len * 8).expect("a key length within validated bounds"),
        cri_mlen: digest_len,
        cri_key: key.cloned(),
        cri_iv: [0; EALG_MAX_BLOCK_LEN],
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
        let offers_cipher = |cipher: Cipher| {
            self.offers(cipher.info().number, params.cipher_key_len)
                && params.iv_len == iv_len(cipher)
        };
        let offers_digest = |digest: Digest| self.offers(digest.info().number, params.auth_key_len);
        let serves = matches!(
            params.mode,
            Mode::Cipher | Mode::Digest | Mode::EncryptThenAuthenticate
        ) && !params
            .flags
            .intersects(SessionFlags::ESN.union(SessionFlags::PARTS))
            && params.cipher.is_none_or(offers_cipher)
            && params.digest.is_none_or(offers_digest)
            && (params.cipher.is_some() || params.iv_len == 0);
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
        let digest_len = params.digest_len();
        let cipher = params.cipher.map(|cipher| {
            ini(
                cipher.info().number,
                params.cipher_key_len,
                params.cipher_key.as_ref(),
                0,
            )
        });
        let digest = params.digest.map(|digest| {
            let key = params.auth_key.as_ref();
            ini(digest.info().number, params.auth_key_len, key, digest_len)
        });
        let chain: Vec<CryptoIni> = [&cipher, &digest].into_iter().flatten().cloned().collect();
        let local = self.driver.newsession(self.hid, &chain);
        let local = local.map_err(|errno| match errno {
            Errno::ENOMEM => OpenError::NoRoom,
            Errno::EINVAL => OpenError::Unsupported,
            _ => OpenError::Device,
        })?;
        self.last_session = self.last_session.wrapping_add(1);
        let session = DriverSession(self.last_session);
        self.sessions.insert(
            session.0,
            Session {
                sid: sid(self.flags, self.hid, local),
                mode: params.mode,
                cipher,
                digest,
                iv_len: params.iv_len,
                digest_len,
            },
        );
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
        let (mode, digest_len) = (session.mode, session.digest_len);
        let theirs = Box::new(Self::compose(session, ticket, &request));
        let held = Held {
            request,
            mode,
            digest_len,
        };
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
