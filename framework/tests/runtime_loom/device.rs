//! A device that is full until it has room, and its driver.

use loom::sync::atomic::{AtomicU64, Ordering};
use timebase::Time;

use crate::sync::Arc;
use crate::{
    Blocked, Completed, CryptoDriver, DriverFlags, DriverOutput, DriverSession, Hint, OpenError,
    ProbeScore, Request, SessionParams,
};

/// What device and driver share. Nothing in it orders anything: what must be seen is seen because
/// the runtime sees to it.
#[derive(Clone)]
pub(crate) struct Device(Arc<Registers>);

struct Registers {
    /// How often there was room again; the unblock generation.
    rooms: AtomicU64,
    /// In picoseconds.
    deadline: AtomicU64,
}

impl Device {
    pub(crate) fn full() -> Self {
        Self(Arc::new(Registers {
            rooms: AtomicU64::new(0),
            deadline: AtomicU64::new(Time::NEVER.as_ps()),
        }))
    }

    pub(crate) fn make_room(&self) {
        self.0.rooms.store(1, Ordering::Relaxed);
    }

    pub(crate) fn set_deadline(&self) {
        self.0.deadline.store(1, Ordering::Relaxed);
    }
}

pub(crate) struct Driver(pub(crate) Device);

impl Driver {
    fn rooms(&self) -> u64 {
        self.0.0.rooms.load(Ordering::Relaxed)
    }
}

impl CryptoDriver for Driver {
    fn name(&self) -> &str {
        "device"
    }

    fn flags(&self) -> DriverFlags {
        DriverFlags::HARDWARE
    }

    fn probe_session(&self, _params: &SessionParams) -> Option<ProbeScore> {
        Some(ProbeScore::HARDWARE)
    }

    fn open_session(&mut self, _: Time, _: &SessionParams) -> Result<DriverSession, OpenError> {
        Ok(DriverSession(0))
    }

    fn close_session(&mut self, _now: Time, _session: DriverSession) {}

    fn process(
        &mut self,
        _now: Time,
        _session: DriverSession,
        request: Box<Request>,
        _hint: Hint,
    ) -> Result<(), Blocked> {
        match self.rooms() {
            0 => Err(Blocked {
                request,
                generation: 0,
            }),
            _ => Ok(()),
        }
    }

    fn flush(&mut self, _now: Time) {}

    fn service(&mut self, _now: Time, _output: &mut DriverOutput) {}

    fn deadline(&self) -> Time {
        Time::from_ps(self.0.0.deadline.load(Ordering::Relaxed))
    }

    fn unblock_generation(&self) -> u64 {
        self.rooms()
    }

    fn detach(&mut self, _now: Time) {}
}
