//! One function of the card: what of the card is its own.
//!
//! The physical function has the rings and sessions of the profile; a virtual function has a share
//! of its own behind them. Owns configuration space, enables, causes, error registers and the
//! function's end of the mailbox. Rings, contexts and engines stay with the card, which asks here
//! whose they are.

use std::ops::Range;

use regs::{Control, DeviceAddr, FunctionId, RingId, Status};
use timebase::Time;

use crate::interrupt::Causes;
use crate::native::ledger::Ledger;
use crate::native::ring::Owner;
use crate::pci::ConfigSpace;
use crate::profile::Profile;
use crate::snapshot::{Check, check};
use crate::stats::CardStats;

/// Value of the error-ring register when there was no error.
const NO_RING: u32 = u32::MAX;

/// The error registers.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct LastError {
    /// Number of the ring among those of the function.
    pub(crate) ring: u32,
    pub(crate) status: u32,
    pub(crate) addr: DeviceAddr,
}

impl Default for LastError {
    fn default() -> Self {
        Self {
            ring: NO_RING,
            status: 0,
            addr: DeviceAddr(0),
        }
    }
}

/// One end of the mailbox between the physical function and a virtual one.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Mailbox {
    /// Of the physical function: which virtual one it looks at, counted from one; zero for none.
    pub(crate) selected: u16,
    /// Of a virtual function: the last word each way.
    pub(crate) to_physical: u32,
    pub(crate) from_physical: u32,
    /// Who sent a word that is not acknowledged: bit `n` for virtual function `n`, counted from
    /// zero, and bit 0 for the physical one.
    pub(crate) waiting: u32,
}

/// A function.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Function {
    pub(crate) id: FunctionId,
    pub(crate) pci: ConfigSpace,
    pub(crate) control: Control,
    pub(crate) causes: Causes,
    pub(crate) last_error: LastError,
    pub(crate) mailbox: Mailbox,
    pub(crate) resetting_until: Option<Time>,
    /// Its ring pairs among those of the card, its admin ring first.
    pub(crate) rings: Range<usize>,
    /// Its sessions among those of the card.
    pub(crate) sessions: Range<u32>,
    heartbeat_stopped: Option<u32>,
    pub(crate) ledger: Ledger,
}

impl Function {
    fn new(id: FunctionId, pci: ConfigSpace, rings: Range<usize>, sessions: Range<u32>) -> Self {
        Self {
            id,
            pci,
            control: Control::new(),
            causes: Causes::default(),
            last_error: LastError::default(),
            mailbox: Mailbox::default(),
            resetting_until: None,
            ledger: Ledger::new(rings.len(), &CardStats::default()),
            rings,
            sessions,
            heartbeat_stopped: None,
        }
    }

    pub(crate) fn physical(profile: &Profile, serial: u64) -> Self {
        let pci = ConfigSpace::physical(profile, serial);
        let rings = 0..usize::from(profile.ring_pairs) + 1;
        Self::new(
            FunctionId::PHYSICAL,
            pci,
            rings,
            0..profile.session_capacity,
        )
    }

    /// The virtual function `index`, counted from zero.
    pub(crate) fn of_virtual(profile: &Profile, index: u16) -> Self {
        let pci = ConfigSpace::of_virtual(profile, index);
        let pairs = usize::from(profile.virtual_ring_pairs) + 1;
        let first = usize::from(profile.ring_pairs) + 1 + usize::from(index) * pairs;
        let share = profile.virtual_sessions;
        let session = profile.session_capacity + u32::from(index) * share;
        let id = FunctionId::of_virtual(index);
        Self::new(id, pci, first..first + pairs, session..session + share)
    }

    /// Data ring pairs.
    pub(crate) fn ring_pairs(&self) -> u16 {
        self.last_ring().0
    }

    /// Its last ring pair, by its own count.
    pub(crate) fn last_ring(&self) -> RingId {
        RingId((self.rings.len() - 1) as u16)
    }

    /// Place among the rings of the card of one of its own.
    #[inline]
    pub(crate) fn ring(&self, RingId(local): RingId) -> usize {
        self.rings.start + usize::from(local)
    }

    pub(crate) const fn session_capacity(&self) -> u32 {
        self.sessions.end - self.sessions.start
    }

    /// What its ring `place` of the card is to know of it.
    pub(crate) fn owner(&self, place: usize) -> Owner {
        Owner {
            function: self.id,
            local: RingId((place - self.rings.start) as u16),
            master: self.pci.master(),
            is_enabled: self.control.enabled(),
            first_session: self.sessions.start,
            sessions: self.session_capacity(),
        }
    }

    /// Keeps an error of one of its rings.
    pub(crate) fn note_error(&mut self, ring: usize, status: Status, addr: Option<DeviceAddr>) {
        self.last_error = LastError {
            ring: (ring - self.rings.start) as u32,
            status: status as u32,
            addr: addr.unwrap_or(self.last_error.addr),
        };
    }

    /// The heartbeat at `now`. A scheduler that hangs shows the count at which it was first seen
    /// hanging, and during a reset the count stands still.
    pub(crate) fn heartbeat(&mut self, now: Time, scheduler_hangs: bool) -> u32 {
        let running = (now.as_ns() / 1_000) as u32;
        if scheduler_hangs || self.resetting_until.is_some() {
            *self.heartbeat_stopped.get_or_insert(running)
        } else {
            self.heartbeat_stopped = None;
            running
        }
    }

    /// Its registers in BAR 0 are as after power-on. Configuration space is not touched.
    pub(crate) fn forget(&mut self) {
        self.control = Control::new();
        self.causes = Causes::default();
        self.last_error = LastError::default();
        self.mailbox = Mailbox::default();
        self.resetting_until = None;
        self.heartbeat_stopped = None;
        self.pci.forget_pending();
    }

    /// Whether a function made as `fresh` was, on a card with `others` beside the physical one, can
    /// be in this state. Takes over what a snapshot does not hold.
    pub(crate) fn adopt(&mut self, fresh: &Self, others: usize) -> Check {
        let is_like =
            self.id == fresh.id && self.rings == fresh.rings && self.sessions == fresh.sessions;
        check(is_like, "share of a function")?;
        check(
            usize::from(self.mailbox.selected) <= others,
            "selected function",
        )?;
        check(
            self.resetting_until.is_some() || !self.pci.is_retrying(),
            "reset of a function",
        )?;
        self.pci.adopt(&fresh.pci)
    }
}
