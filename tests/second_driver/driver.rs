//! A driver of a device with one place: it works on one request at a time and has no ring.
//!
//! Written from the public documentation of seam 1 alone, to be as unlike the card's driver as
//! possible, and shown piece by piece in `docs/drivers.md`. The device is a desk with a clerk: what
//! lies on the desk is done after a while, there is no second place, and somebody may carry the
//! desk away.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use framework::software::{Transform, compute_key};
use framework::{
    Blocked, Completed, CryptoDriver, DriverError, DriverFlags, DriverOutput, DriverSession, Hint,
    KeyBlocked, KeyCompleted, KeyDriverError, KeyOps, KeyRequest, Mode, OpenError, ProbeScore,
    Request, SessionFlags, SessionParams,
};
use timebase::{Span, Time};

/// Sessions the clerk can remember.
pub(crate) const SESSIONS_MAX: usize = 8;
/// How long a request lies on the desk, whatever it is.
pub(crate) const PER_REQUEST: Span = Span::from_us(1);
/// How much longer for each byte.
pub(crate) const PER_BYTE: Span = Span::from_ns(1);
/// How long a key operation takes.
pub(crate) const PER_KEY: Span = Span::from_us(50);
/// Longest payload, in bytes.
pub(crate) const PAYLOAD_MAX: usize = 4096;

/// A driver of one desk.
pub(crate) struct DeskDriver {
    name: String,
    /// False once somebody has carried the desk away.
    is_there: Rc<Cell<bool>>,
    sessions: BTreeMap<u32, Transform>,
    last_session: u32,
    /// What lies on the desk, and when it is done.
    desk: Option<(Time, DriverSession, Box<Request>)>,
    generation: u64,
    /// The same for key operations: they have a desk of their own.
    key_desk: Option<(Time, Box<KeyRequest>)>,
    key_generation: u64,
    /// Sessions to report, and requests that never came to the desk.
    opened: Vec<DriverSession>,
    refused_for_good: Vec<Completed>,
    leaving: bool,
}

impl DeskDriver {
    /// A driver, and the means to carry its desk away.
    pub(crate) fn new(name: &str) -> (Self, Rc<Cell<bool>>) {
        let is_there = Rc::new(Cell::new(true));
        let driver = Self {
            name: name.to_owned(),
            is_there: Rc::clone(&is_there),
            sessions: BTreeMap::new(),
            last_session: 0,
            desk: None,
            generation: 0,
            key_desk: None,
            key_generation: 0,
            opened: Vec::new(),
            refused_for_good: Vec::new(),
            leaving: false,
        };
        (driver, is_there)
    }

    /// Gives back everything that was on the desks when they were carried away.
    fn give_up(&mut self, output: &mut DriverOutput) {
        output.completed.append(&mut self.refused_for_good);
        if let Some((_, _, request)) = self.desk.take() {
            let untouched = true;
            let result = Err(DriverError::Lost { untouched });
            output.completed.push(Completed { request, result });
        }
        if let Some((_, request)) = self.key_desk.take() {
            let result = Err(KeyDriverError::Lost);
            output.keys.push(KeyCompleted { request, result });
        }
        output.lost = true;
    }
}

impl CryptoDriver for DeskDriver {
    fn name(&self) -> &str {
        &self.name
    }

    fn flags(&self) -> DriverFlags {
        DriverFlags::HARDWARE
    }

    fn probe_session(&self, params: &SessionParams) -> Option<ProbeScore> {
        let knows_mode = matches!(
            params.mode,
            Mode::Cipher | Mode::Digest | Mode::Aead | Mode::EncryptThenAuthenticate
        );
        let unknown = SessionFlags::ESN.union(SessionFlags::PARTS);
        let knows_flags = !params.flags.intersects(unknown);
        (knows_mode && knows_flags).then_some(ProbeScore::HARDWARE)
    }

    fn open_session(
        &mut self,
        _now: Time,
        params: &SessionParams,
    ) -> Result<DriverSession, OpenError> {
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(OpenError::NoRoom);
        }
        let transform = Transform::new(params).map_err(|_| OpenError::Unsupported)?;
        self.last_session += 1;
        self.sessions.insert(self.last_session, transform);
        let session = DriverSession(self.last_session);
        self.opened.push(session);
        Ok(session)
    }

    fn close_session(&mut self, _now: Time, session: DriverSession) {
        self.sessions.remove(&session.0);
    }

    fn process(
        &mut self,
        now: Time,
        session: DriverSession,
        request: Box<Request>,
        _hint: Hint,
    ) -> Result<(), Blocked> {
        if request.payload.len > PAYLOAD_MAX {
            let result = Err(DriverError::TooBig);
            self.refused_for_good.push(Completed { request, result });
            return Ok(());
        }
        if self.desk.is_some() {
            let generation = self.generation;
            return Err(Blocked {
                request,
                generation,
            });
        }
        let done_at = now + PER_REQUEST + PER_BYTE * request.payload.len as u64;
        self.desk = Some((done_at, session, request));
        Ok(())
    }

    fn flush(&mut self, _now: Time) {}

    fn service(&mut self, now: Time, output: &mut DriverOutput) {
        if !self.is_there.get() {
            return self.give_up(output);
        }
        let opened = self.opened.drain(..).map(|session| (session, Ok(())));
        output.opened.extend(opened);
        output.completed.append(&mut self.refused_for_good);
        if let Some((_, session, mut request)) = self.desk.take_if(|desk| desk.0 <= now) {
            let transform = self.sessions.get_mut(&session.0).expect("an open session");
            let result = transform.process(&mut request);
            output.completed.push(Completed { request, result });
            self.generation += 1;
        }
        if let Some((_, mut request)) = self.key_desk.take_if(|desk| desk.0 <= now) {
            let result = compute_key(&mut request);
            output.keys.push(KeyCompleted { request, result });
            self.key_generation += 1;
        }
        output.lost |= self.leaving && self.desk.is_none() && self.key_desk.is_none();
    }

    fn deadline(&self) -> Time {
        let has_news = !self.opened.is_empty() || !self.refused_for_good.is_empty();
        if has_news || !self.is_there.get() {
            return Time::ZERO;
        }
        let desk = self.desk.as_ref().map_or(Time::NEVER, |desk| desk.0);
        let key_desk = self.key_desk.as_ref().map_or(Time::NEVER, |desk| desk.0);
        desk.min(key_desk)
    }

    fn unblock_generation(&self) -> u64 {
        self.generation
    }

    fn key_operations(&self) -> KeyOps {
        KeyOps::MOD_EXP | KeyOps::DH_COMPUTE_KEY
    }

    fn process_key(&mut self, now: Time, request: Box<KeyRequest>) -> Result<(), KeyBlocked> {
        if self.key_desk.is_some() {
            let generation = self.key_generation;
            return Err(KeyBlocked {
                request,
                generation,
            });
        }
        self.key_desk = Some((now + PER_KEY, request));
        Ok(())
    }

    fn key_unblock_generation(&self) -> u64 {
        self.key_generation
    }

    fn detach(&mut self, _now: Time) {
        self.sessions.retain(|number, _| {
            let on_desk = self.desk.as_ref().map(|desk| desk.1.0);
            on_desk == Some(*number)
        });
        self.leaving = true;
    }
}
