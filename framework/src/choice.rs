//! Which drivers a session accepts, and who learns that it moved; the `crid` of crypto_session(9).

use crate::DriverFlags;
use crate::registry::DriverId;

/// Which drivers may serve a session; `crid`. Kept for the session's whole life: a migration never
/// leaves it.
///
/// The framework picks among the accepted drivers: largest probe score, then fewest sessions, then
/// lowest id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DriverChoice {
    pub(crate) accept: DriverFlags,
    pub(crate) named: Option<DriverId>,
}

impl DriverChoice {
    const BOTH: DriverFlags = DriverFlags::HARDWARE.union(DriverFlags::SOFTWARE);

    /// Hardware or software (`CRYPTOCAP_F_HARDWARE | CRYPTOCAP_F_SOFTWARE`).
    #[must_use]
    pub const fn any() -> Self {
        Self {
            accept: Self::BOTH,
            named: None,
        }
    }

    /// Hardware only (`CRYPTOCAP_F_HARDWARE`): never falls back to software.
    #[must_use]
    pub const fn hardware_only() -> Self {
        Self {
            accept: DriverFlags::HARDWARE,
            named: None,
        }
    }

    /// Software only (`CRYPTOCAP_F_SOFTWARE`).
    #[must_use]
    pub const fn software_only() -> Self {
        Self {
            accept: DriverFlags::SOFTWARE,
            named: None,
        }
    }

    /// Exactly this driver while it is registered. When it is gone the session falls back to any
    /// driver; [`falling_back_to`](Self::falling_back_to) narrows that.
    #[must_use]
    pub const fn driver(id: DriverId) -> Self {
        Self {
            accept: Self::BOTH,
            named: Some(id),
        }
    }

    /// The same choice, with drivers of `kinds` (`HARDWARE`, `SOFTWARE`, both or none) as the ones
    /// to fall back to once a driver chosen by id is gone.
    #[must_use]
    pub const fn falling_back_to(mut self, kinds: DriverFlags) -> Self {
        self.accept = kinds;
        self
    }
}

impl Default for DriverChoice {
    fn default() -> Self {
        Self::any()
    }
}

/// What happens to the requests of a session when the session moves to another driver.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum MigrationPolicy {
    /// The consumer is told, as crypto_request(9) does with `EAGAIN`: the session gets a new name,
    /// and queued or untouched requests end with
    /// [`RequestError::Moved`](crate::RequestError::Moved).
    #[default]
    Report,
    /// The framework submits them again by itself, in dispatch order and before anything newer;
    /// name and callbacks stay as if nothing had happened. For hardware it keeps a copy of what a
    /// request overwrites until the request is done.
    Transparent,
}
