//! The framework: drivers, sessions and requests in one value.
//!
//! Owns everything and decides nothing here: see `lifecycle` (sessions), `dispatch` (requests on
//! their way in), `completion` (on their way out) and `migration` (drivers that leave).

use std::collections::VecDeque;

use timebase::Time;

use crate::completion::{Finished, FinishedQueue};
use crate::event::{EventLog, FrameworkEvent};
use crate::placement::{FewestSessions, Placement};
use crate::registry::{DriverId, DriverInfo, Registry};
use crate::stats::{DriverStats, FrameworkStats};
use crate::table::{Lookup, Phase, SessionTable};
use crate::undo::UndoPool;
use crate::{CryptoDriver, DriverOutput, KeyFinished, RegisterError, RequestId, SessionId};

/// Bounds of everything that could grow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Most requests that wait for one driver, and for one session that is opening or moving.
    /// Beyond, dispatch hands back with
    /// [`RequestInvalid::QueueFull`](crate::RequestInvalid::QueueFull). Requests that a driver had
    /// taken, or that wait for a session, are put back beyond the limit.
    pub queue_len: usize,
    /// A queue of [`BATCH`](crate::RequestFlags::BATCH) requests is handed over when it is this
    /// long, or at the latest when [`Framework::deadline`] says.
    pub batch_len: usize,
    /// Most sessions.
    pub sessions: usize,
    /// Sessions that move in one go when their driver leaves or is lost, beside those whose
    /// requests need another driver. The others follow in turns, or when a lost driver's are used.
    pub move_len: usize,
    /// Most entries of the event log that nobody has read; older ones are dropped and counted. Zero
    /// switches the log off.
    pub event_len: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_len: 1024,
            batch_len: 32,
            sessions: 1 << 21,
            move_len: 32,
            event_len: 4096,
        }
    }
}

/// OpenCrypto. Every call takes the present time and returns at once; what ended is fetched with
/// [`take_finished`](Self::take_finished).
///
/// `D` is what a registered driver is known as. Drivers that may go to other threads make a
/// framework that may: `Framework<dyn CryptoDriver + Send>`.
pub struct Framework<D: ?Sized = dyn CryptoDriver> {
    pub(crate) limits: Limits,
    pub(crate) registry: Registry<D>,
    pub(crate) placement: Box<dyn Placement>,
    pub(crate) table: SessionTable,
    pub(crate) finished: FinishedQueue,
    pub(crate) finished_keys: VecDeque<KeyFinished>,
    pub(crate) last_id: u64,
    /// Whether a driver's slot is marked `kicked`.
    pub(crate) kicked: bool,
    /// Used again for every service, for its memory.
    pub(crate) output: DriverOutput,
    /// When the next sessions of drivers that leave or are gone have their turn to move.
    pub(crate) moves_at: Time,
    pub(crate) undo: UndoPool,
    pub(crate) events: EventLog,
    pub(crate) stats: FrameworkStats,
}

impl Framework {
    /// A framework without drivers.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_number(limits, 0)
    }
}

impl<D: CryptoDriver + ?Sized> Framework<D> {
    /// One of several frameworks that work side by side, without drivers. Its requests and sessions
    /// have names that no other has: their numbers begin with the framework's own.
    #[must_use]
    pub fn with_number(limits: Limits, number: u8) -> Self {
        Self {
            limits,
            registry: Registry::new(),
            placement: Box::new(FewestSessions),
            table: SessionTable::with_number(number),
            finished: FinishedQueue::default(),
            finished_keys: VecDeque::new(),
            last_id: RequestId::first_of(number).0,
            kicked: false,
            output: DriverOutput::default(),
            moves_at: Time::NEVER,
            undo: UndoPool::default(),
            events: EventLog::new(limits.event_len),
            stats: FrameworkStats::default(),
        }
    }

    /// Lets `placement` say from now on where sessions go. Those that are open stay until
    /// [`rebalance`](Self::rebalance) is asked for.
    pub fn set_placement(&mut self, placement: Box<dyn Placement>) {
        self.placement = placement;
    }

    /// Adds a driver; `crypto_get_driverid`. New sessions may go to it at once; sessions on other
    /// drivers stay there until [`rebalance`](Self::rebalance) is asked for.
    ///
    /// # Panics
    /// Where [`try_register`](Self::try_register) fails.
    pub fn register(&mut self, driver: Box<D>) -> DriverId {
        self.try_register(driver).expect("a driver of some kind")
    }

    /// [`register`](Self::register) for a driver that nobody has looked at. Ids are used again,
    /// with another generation: one that was kept names nothing.
    ///
    /// # Errors
    /// [`RegisterError`] if the driver says that it is neither hardware nor software, or 65,535
    /// drivers are registered.
    pub fn try_register(&mut self, driver: Box<D>) -> Result<DriverId, RegisterError> {
        let id = self.registry.next_id()?;
        self.register_as(id, driver)?;
        Ok(id)
    }

    /// [`try_register`](Self::try_register) under an id that somebody else chose, who has several
    /// frameworks and wants a driver to have one id in all of them.
    ///
    /// # Errors
    /// [`RegisterError`] if the driver says that it is neither hardware nor software.
    ///
    /// # Panics
    /// If the place is not [vacant](Self::is_vacant).
    pub fn register_as(&mut self, id: DriverId, driver: Box<D>) -> Result<(), RegisterError> {
        self.registry.insert(id, driver)?;
        self.events
            .push(FrameworkEvent::DriverRegistered { driver: id });
        Ok(())
    }

    /// Whether a driver may be registered in the place of this id: no driver is there, and the last
    /// one left no session behind.
    #[must_use]
    pub fn is_vacant(&self, id: DriverId) -> bool {
        self.registry.is_vacant(usize::from(id.index))
    }

    /// The first driver, by index, whose name begins with `prefix`; `crypto_find_driver`.
    #[must_use]
    pub fn find_driver(&self, prefix: &str) -> Option<DriverId> {
        let mut slots = self.registry.iter();
        let found = slots.find(|slot| slot.driver.name().starts_with(prefix))?;
        Some(found.id)
    }

    /// The first driver, by index, with exactly this name.
    #[must_use]
    pub fn driver_named(&self, name: &str) -> Option<DriverId> {
        let mut slots = self.registry.iter();
        Some(slots.find(|slot| slot.driver.name() == name)?.id)
    }

    /// The next request that is done, in the order callbacks run.
    #[inline]
    pub fn take_finished(&mut self) -> Option<Finished> {
        self.finished.pop()
    }

    /// Number of requests that are done and not fetched.
    #[must_use]
    pub fn finished_len(&self) -> usize {
        self.finished.len()
    }

    /// When [`service`](Self::service) must run for some driver even if nothing is heard from it;
    /// [`Time::NEVER`] if it need not.
    #[must_use]
    pub fn deadline(&self) -> Time {
        self.registry
            .iter()
            .map(|slot| slot.deadline().min(self.moves_at))
            .min()
            .unwrap_or(Time::NEVER)
    }

    /// The same for one driver; [`Time::NEVER`] for an unknown one. Not only the driver's own
    /// deadline: requests that wait to be handed over together count too, and sessions of any
    /// driver that are to move.
    #[must_use]
    #[inline]
    pub fn driver_deadline(&self, id: DriverId) -> Time {
        self.registry
            .find(id)
            .map_or(Time::NEVER, |slot| slot.deadline().min(self.moves_at))
    }

    /// Takes what happened since the last call, oldest first.
    pub fn events(&mut self) -> impl Iterator<Item = FrameworkEvent> + '_ {
        self.events.drain()
    }

    /// Number of entries the event log lost because nobody read it.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.events.dropped()
    }

    /// Counters since the framework was made.
    #[must_use]
    pub fn stats(&self) -> &FrameworkStats {
        &self.stats
    }

    /// Counters of one driver.
    #[must_use]
    pub fn driver_stats(&self, id: DriverId) -> Option<DriverStats> {
        Some(self.registry.find(id)?.stats())
    }

    /// Every registered driver, by index.
    pub fn drivers(&self) -> impl Iterator<Item = DriverInfo<'_>> {
        self.registry.iter().map(|slot| DriverInfo {
            id: slot.id,
            name: slot.driver.name(),
            flags: slot.flags,
            state: slot.state,
            blocked: slot.is_blocked(),
            stats: slot.stats(),
        })
    }

    /// A driver itself.
    #[must_use]
    pub fn driver(&self, id: DriverId) -> Option<&D> {
        Some(self.registry.find(id)?.driver.as_ref())
    }

    /// A driver itself, to change what only its owner knows about. Call
    /// [`service`](Self::service) afterwards if something may have happened in it.
    pub fn driver_mut(&mut self, id: DriverId) -> Option<&mut D> {
        let index = self.registry.index_of(id)?;
        Some(self.registry.slot_mut(index).driver.as_mut())
    }

    /// The driver that serves a session, also while it opens or moves there; `None` for an unknown
    /// session and one without a driver, also if its driver was lost and its turn to move has not
    /// come. A name from before a move is followed.
    #[must_use]
    pub fn session_driver(&self, id: SessionId) -> Option<DriverId> {
        let index = self.find(id)?;
        let hot = &self.table.hot[index];
        let slot = self.registry.get(usize::from(hot.driver))?;
        hot.bound.then_some(slot.id)
    }

    /// The current name of the session that has, or had before a move, this name; `None` for a
    /// freed one.
    #[must_use]
    pub fn session_current(&self, id: SessionId) -> Option<SessionId> {
        self.find(id).map(|index| self.table.name(index))
    }

    /// The names of all sessions that are not freed.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        let places = 0..self.table.hot.len();
        let is_live =
            |at: &usize| !matches!(self.table.hot[*at].phase, Phase::Vacant | Phase::Closing);
        places.filter(is_live).map(|at| self.table.name(at))
    }

    /// Place of a session under any of its names.
    pub(crate) fn find(&self, id: SessionId) -> Option<usize> {
        match self.table.lookup(id) {
            Lookup::Current(index) | Lookup::Stale(index) => Some(index),
            Lookup::Unknown => None,
        }
    }

    pub(crate) fn next_id(&mut self) -> RequestId {
        self.last_id += 1;
        RequestId(self.last_id)
    }
}

impl<D: ?Sized> std::fmt::Debug for Framework<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Framework")
            .field("limits", &self.limits)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod single_tests;
#[cfg(test)]
mod tests;
