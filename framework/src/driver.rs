//! Seam 1: what the framework asks of a driver; crypto_driver(9).
//!
//! Nothing here calls back: a driver returns what happened from [`CryptoDriver::service`].

use bitflags::bitflags;
use timebase::Time;

use crate::{KeyBlocked, KeyCompleted, KeyOps, KeyRequest, Request, SessionParams};

bitflags! {
    /// What kind of driver this is; the `CRYPTOCAP_F_` flags.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct DriverFlags: u32 {
        /// A device does the work.
        const HARDWARE = 0x0100_0000;
        /// The CPU does the work.
        const SOFTWARE = 0x0200_0000;
        /// Requests are done when `process` returns.
        const SYNC = 0x0400_0000;
        /// The CPU does the work with special instructions.
        const ACCEL_SOFTWARE = 0x0800_0000;
    }
}

/// How well a driver would serve a session: the largest wins; `CRYPTODEV_PROBE_`. Below zero: any
/// other counts as if the driver could not serve the session, named or not.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ProbeScore(pub i32);

impl ProbeScore {
    /// A device.
    pub const HARDWARE: Self = Self(-100);
    /// Special instructions.
    pub const ACCEL_SOFTWARE: Self = Self(-200);
    /// Plain software.
    pub const SOFTWARE: Self = Self(-500);
}

/// The driver's own number for a session.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct DriverSession(pub u32);

/// Whether another request for the same driver follows at once; `CRYPTO_HINT_MORE`.
///
/// After [`Hint::More`] the framework always calls `process` or [`CryptoDriver::flush`] again
/// before it returns to its caller, so a driver may hold back its doorbell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hint {
    /// More follows.
    More,
    /// Nothing follows for now.
    Last,
}

/// The driver has no room (ERESTART). The request comes back untouched; offer it again once
/// [`CryptoDriver::unblock_generation`] differs from `generation`.
#[derive(Debug)]
#[must_use]
pub struct Blocked {
    /// The request, untouched.
    pub request: Box<Request>,
    /// The driver's unblock generation when it refused.
    pub generation: u64,
}

/// Why a driver does not open a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// The driver's session table is full.
    #[error("no session slot is left")]
    NoRoom,
    /// The driver cannot serve these parameters.
    #[error("the driver cannot serve these parameters")]
    Unsupported,
    /// The device is gone or failed.
    #[error("the device failed")]
    Device,
}

/// Why a driver failed a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DriverError {
    /// The digest does not match; nothing was written.
    #[error("the digest does not match")]
    DigestMismatch,
    /// Beyond the driver's limits, or the result has no room; nothing was touched.
    #[error("the request or its result is too big")]
    TooBig,
    /// The payload is not what the operation works on; nothing was touched.
    #[error("the payload is not what the operation works on")]
    BadData,
    /// The driver cannot read the digest state of the request; nothing was touched.
    #[error("the driver cannot read the digest state")]
    BadState,
    /// The device reported an error.
    #[error("the device reported an error")]
    Device,
    /// The device went away or was reset with the request in flight.
    #[error("the device went away")]
    Lost {
        /// Whether the data is surely as it was before dispatch.
        untouched: bool,
    },
}

/// A request that is done, and how it ended.
#[derive(Debug)]
pub struct Completed {
    /// The request, with its buffers.
    pub request: Box<Request>,
    /// How it ended.
    pub result: Result<(), DriverError>,
}

/// What happened in a driver; filled by [`CryptoDriver::service`], emptied by the framework.
#[derive(Debug, Default)]
pub struct DriverOutput {
    /// Requests that are done, in the order they were found done.
    pub completed: Vec<Completed>,
    /// Key operations that are done, in the order they were found done.
    pub keys: Vec<KeyCompleted>,
    /// Sessions whose opening ended.
    pub opened: Vec<(DriverSession, Result<(), OpenError>)>,
    /// The device is gone for good: every request was returned in `completed`, every key operation
    /// in `keys`, and every session is lost.
    pub lost: bool,
}

/// A driver of one device, or of the CPU.
///
/// Every accepted request comes back exactly once, through [`service`](Self::service).
pub trait CryptoDriver {
    /// Name for people, such as `ring0`; unique among registered drivers.
    fn name(&self) -> &str;

    /// What kind of driver this is.
    fn flags(&self) -> DriverFlags;

    /// How well the driver would serve such a session; `None` if not at all. `params` are valid.
    fn probe_session(&self, params: &SessionParams) -> Option<ProbeScore>;

    /// Begins to open a session. It may be used once `opened` reports it in a later
    /// [`service`](Self::service); until then no request for it is offered.
    ///
    /// # Errors
    /// [`OpenError`] if it is clear at once that the session cannot be opened.
    fn open_session(
        &mut self,
        now: Time,
        params: &SessionParams,
    ) -> Result<DriverSession, OpenError>;

    /// Frees a session and zeroes its keys. No request of it is in flight.
    fn close_session(&mut self, now: Time, session: DriverSession);

    /// Accepts `request` or refuses it for now. Failures arrive later, as completions. `request` is
    /// valid for its session.
    ///
    /// # Errors
    /// [`Blocked`] with the request if there is no room (ERESTART). Only allowed while something is
    /// in flight whose completion will raise the unblock generation.
    fn process(
        &mut self,
        now: Time,
        session: DriverSession,
        request: Box<Request>,
        hint: Hint,
    ) -> Result<(), Blocked>;

    /// Publishes whatever [`Hint::More`] held back.
    fn flush(&mut self, now: Time);

    /// Looks for what happened (interrupts, completions, timeouts) and reports it in `output`.
    fn service(&mut self, now: Time, output: &mut DriverOutput);

    /// When `service` must run even if no interrupt arrives; [`Time::NEVER`] if it need not.
    fn deadline(&self) -> Time;

    /// Rises each time a driver that refused has room again; never falls. Level, not edge: a
    /// wake-up cannot be missed.
    fn unblock_generation(&self) -> u64;

    /// The key operations that the driver offers; `crypto_kregister`.
    fn key_operations(&self) -> KeyOps {
        KeyOps::empty()
    }

    /// Accepts a key operation, one that it offers and whose parameters are valid, or refuses it
    /// for now; `kprocess`. It comes back exactly once, in [`DriverOutput::keys`].
    ///
    /// # Errors
    /// [`KeyBlocked`] with the request if there is no room (ERESTART), as for
    /// [`process`](Self::process).
    #[expect(clippy::boxed_local, reason = "a request moves as the box it is")]
    fn process_key(&mut self, _now: Time, _request: Box<KeyRequest>) -> Result<(), KeyBlocked> {
        unreachable!("a driver that offers no key operation is given none");
    }

    /// [`unblock_generation`](Self::unblock_generation) for key operations, whose room is another.
    fn key_unblock_generation(&self) -> u64 {
        0
    }

    /// Stops the device in an orderly way: every session was closed, every request and key
    /// operation is back, and none will come. `service` sets `lost` when the device is quiet.
    fn detach(&mut self, now: Time);
}
