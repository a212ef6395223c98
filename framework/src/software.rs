//! The driver that needs no card: the CPU does the work, at once; cryptosoft.
//!
//! Also the reference that cards are compared with: [`Transform`] does one session's work on plain
//! memory. Its algorithms come from aws-lc, another family than the card's engine uses, so that an
//! error in one shows.
//!
//! Keys are zeroed when a session closes, by this crate and, for the expanded ones, by the library.
//! Per-request keys are expanded for that request alone.

mod aead;
mod block;
mod cipher;
mod compress;
mod digest;
mod key_op;
mod parts;
mod stream;
mod transform;

use timebase::Time;

use crate::{
    Blocked, Completed, CryptoDriver, DriverFlags, DriverOutput, DriverSession, Hint, KeyBlocked,
    KeyCompleted, KeyOps, KeyRequest, OpenError, ProbeScore, Request, SessionParams,
};

pub use key_op::compute_key;
pub use transform::{Slices, Transform};

/// Serves every session this crate can describe, with every request done when `process` returns.
#[derive(Debug)]
pub struct SoftwareDriver {
    name: String,
    sessions: Vec<Option<Transform>>,
    free: Vec<u32>,
    output: DriverOutput,
    detached: bool,
}

impl SoftwareDriver {
    /// A driver without sessions. `name` is for people and unique among the registered drivers.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            sessions: Vec::new(),
            free: Vec::new(),
            output: DriverOutput::default(),
            detached: false,
        }
    }
}

impl Default for SoftwareDriver {
    fn default() -> Self {
        Self::new("soft0")
    }
}

impl CryptoDriver for SoftwareDriver {
    fn name(&self) -> &str {
        &self.name
    }

    fn flags(&self) -> DriverFlags {
        DriverFlags::SOFTWARE | DriverFlags::SYNC
    }

    fn probe_session(&self, _params: &SessionParams) -> Option<ProbeScore> {
        Some(ProbeScore::SOFTWARE)
    }

    fn open_session(
        &mut self,
        _now: Time,
        params: &SessionParams,
    ) -> Result<DriverSession, OpenError> {
        let transform = Transform::new(params).map_err(|_| OpenError::Unsupported)?;
        let number = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            u32::try_from(self.sessions.len() - 1).expect("fewer sessions than numbers")
        });
        self.sessions[number as usize] = Some(transform);
        let session = DriverSession(number);
        self.output.opened.push((session, Ok(())));
        Ok(session)
    }

    fn close_session(&mut self, _now: Time, session: DriverSession) {
        let transform = self.sessions[session.0 as usize].take();
        assert!(transform.is_some(), "a session that is open");
        self.free.push(session.0);
    }

    fn process(
        &mut self,
        _now: Time,
        session: DriverSession,
        mut request: Box<Request>,
        _hint: Hint,
    ) -> Result<(), Blocked> {
        let transform = self.sessions[session.0 as usize].as_mut();
        let transform = transform.expect("a session that is open");
        let result = transform.process(&mut request);
        self.output.completed.push(Completed { request, result });
        Ok(())
    }

    fn flush(&mut self, _now: Time) {}

    fn service(&mut self, _now: Time, output: &mut DriverOutput) {
        output.opened.append(&mut self.output.opened);
        output.completed.append(&mut self.output.completed);
        output.keys.append(&mut self.output.keys);
        output.lost |= self.detached;
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn unblock_generation(&self) -> u64 {
        0
    }

    fn key_operations(&self) -> KeyOps {
        KeyOps::all()
    }

    fn process_key(&mut self, _now: Time, mut request: Box<KeyRequest>) -> Result<(), KeyBlocked> {
        let result = compute_key(&mut request);
        self.output.keys.push(KeyCompleted { request, result });
        Ok(())
    }

    fn detach(&mut self, _now: Time) {
        self.sessions.clear();
        self.free.clear();
        self.detached = true;
    }
}

#[cfg(test)]
mod tests;
