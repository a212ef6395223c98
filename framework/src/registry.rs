//! The registered drivers, their queues, and the choice among them; crypto_driver(9).
//!
//! A driver has a slot; the slot's generation makes a [`DriverId`] unique, so that an id kept after
//! the driver is gone names nothing. Does not know sessions beyond their number.

use std::collections::VecDeque;
use std::fmt;

use exhibit::{Exhibit, on};
use timebase::Time;

use crate::choice::DriverChoice;
use crate::key_dispatch::KeySlot;
use crate::placement::{Candidate, Placement};
use crate::stats::DriverStats;
use crate::{
    CryptoDriver, DriverFlags, DriverSession, ProbeScore, RegisterError, Request, RequestFlags,
    SessionParams,
};

/// Most drivers registered at one time.
const DRIVERS_MAX: usize = 0xFFFF;

/// Name of a registered driver; `crid` of one driver. Not used again while anybody can remember it:
/// only after 65536 other drivers had the same slot.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DriverId {
    pub(crate) index: u16,
    pub(crate) generation: u16,
}

impl DriverId {
    /// The id as one number: the slot in the low half, its generation in the high half.
    #[must_use]
    pub const fn as_u32(self) -> u32 {
        (self.generation as u32) << 16 | self.index as u32
    }

    /// The id that [`as_u32`](Self::as_u32) gave as a number.
    #[must_use]
    pub const fn from_u32(number: u32) -> Self {
        Self {
            index: number as u16,
            generation: (number >> 16) as u16,
        }
    }
}

impl fmt::Display for DriverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.generation == 0 {
            write!(f, "{}", self.index)
        } else {
            write!(f, "{}.{}", self.index, self.generation)
        }
    }
}

/// How far a driver is from leaving.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DriverState {
    /// Takes sessions and requests.
    Active,
    /// Being unregistered: its sessions move away in turns, and those that have not yet are served.
    Leaving,
    /// Told to detach, or lost: asked until it is quiet.
    Detached,
}

/// A driver and what waits for it.
pub(crate) struct DriverSlot<D: ?Sized> {
    pub(crate) driver: Box<D>,
    pub(crate) id: DriverId,
    pub(crate) flags: DriverFlags,
    pub(crate) state: DriverState,
    /// Whether the device is gone and the slot soon will be.
    pub(crate) is_lost: bool,
    /// Requests of open sessions that the driver has not taken, oldest first.
    pub(crate) queue: VecDeque<Box<Request>>,
    /// The unblock generation of a refusal that still stands.
    pub(crate) refused_at: Option<u64>,
    /// When the queue wants to be drained though nothing happened in the driver.
    pub(crate) runnable_at: Time,
    /// No request that waits for the driver, here or in its session, has to end before.
    pub(crate) expires_at: Time,
    /// Whether the queue must be drained before the framework returns.
    pub(crate) kicked: bool,
    /// Whether the driver must be flushed when its queue is drained: it was told that more follows.
    pub(crate) held_back: bool,
    /// Sessions that the driver is opening, by their place in the table.
    pub(crate) opening: VecDeque<(DriverSession, usize)>,
    pub(crate) sessions: usize,
    pub(crate) in_flight: usize,
    /// Requests in flight of sessions that a rebalancing under way has moved here, less those that
    /// it has moved away.
    pub(crate) moving: isize,
    pub(crate) key: KeySlot,
    pub(crate) stats: DriverStats,
}

impl<D: CryptoDriver + ?Sized> DriverSlot<D> {
    /// Whether the driver's last refusal still stands. A level, compared with the driver's own
    /// counter: a wake-up that came between refusal and this question is not lost.
    pub(crate) fn is_blocked(&self) -> bool {
        self.refused_at.is_some_and(|generation| {
            let now = self.driver.unblock_generation();
            now == generation || (on(Exhibit::LostUnblock) && now == generation + 1)
        })
    }

    /// Counts requests that the driver took.
    #[inline]
    pub(crate) fn taken(&mut self, ops: usize, bytes: u64) {
        self.in_flight += ops;
        self.stats.ops += ops as u64;
        self.stats.bytes += bytes;
    }

    /// Whether a request with these flags, one of which says so, goes through the queue.
    /// [`RequestFlags::ASYNC`] is for drivers that would work in the caller's time.
    pub(crate) fn queues(&self, flags: RequestFlags) -> bool {
        flags.contains(RequestFlags::BATCH) || self.is_sync()
    }

    /// Queues a request behind all that are as urgent as it is.
    pub(crate) fn insert(&mut self, request: Box<Request>) {
        if request.priority == 0 {
            return self.queue.push_back(request);
        }
        let mut queue = self.queue.iter();
        let ahead = queue.rposition(|other| other.priority >= request.priority);
        let place = ahead.map_or(0, |at| at + 1);
        self.queue.insert(place, request);
    }

    /// Wants to be looked at when a request that waits for the driver expires.
    #[inline]
    pub(crate) fn note_expiry(&mut self, expires: Time) {
        self.expires_at = self.expires_at.min(expires);
        self.runnable_at = self.runnable_at.min(expires);
    }

    #[inline]
    pub(crate) fn is_sync(&self) -> bool {
        self.flags.contains(DriverFlags::SYNC)
    }

    #[inline]
    pub(crate) fn deadline(&self) -> Time {
        self.driver.deadline().min(self.runnable_at)
    }

    /// Whether the driver leaves and has nothing any more: it may be told to detach.
    #[inline]
    pub(crate) fn is_left(&self) -> bool {
        let in_flight = match on(Exhibit::DetachDoesNotWait) {
            true => 0,
            false => self.in_flight,
        };
        self.state == DriverState::Leaving && self.sessions + in_flight + self.key.in_flight == 0
    }

    pub(crate) fn stats(&self) -> DriverStats {
        DriverStats {
            in_flight: self.in_flight,
            queued: self.queue.len(),
            sessions: self.sessions,
            ..self.stats
        }
    }
}

/// A registered driver, for display.
#[derive(Clone, Copy, Debug)]
pub struct DriverInfo<'a> {
    /// Its name here.
    pub id: DriverId,
    /// Its name for people.
    pub name: &'a str,
    /// What kind it is.
    pub flags: DriverFlags,
    /// How far it is from leaving.
    pub state: DriverState,
    /// Whether it refuses requests now.
    pub blocked: bool,
    /// Its counters.
    pub stats: DriverStats,
}

struct Place<D: ?Sized> {
    generation: u16,
    slot: Option<DriverSlot<D>>,
    /// What is left of the last driver here; the place is not used again meanwhile.
    estate: Option<Estate>,
    /// Where sessions may be that are to move from the driver that leaves or left.
    to_visit: Option<Visits>,
}

impl<D: ?Sized> Place<D> {
    fn is_vacant(&self) -> bool {
        self.slot.is_none() && self.estate.is_none()
    }
}

/// What a driver that is gone leaves behind: sessions that did not move yet.
#[derive(Debug)]
pub(crate) struct Estate {
    id: DriverId,
    /// How many.
    sessions: usize,
}

/// Where the sessions of a driver that leaves or is gone may still be, by places of the table.
#[derive(Debug)]
struct Visits {
    /// Those that a lost one was opening. Requests may wait in them, so they come first.
    opening: VecDeque<(DriverSession, usize)>,
    /// The table from here on.
    from: usize,
}

/// All drivers, by index.
pub(crate) struct Registry<D: ?Sized> {
    places: Vec<Place<D>>,
}

impl<D: CryptoDriver + ?Sized> Registry<D> {
    /// No drivers.
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new() }
    }

    /// The id that the next driver gets.
    pub(crate) fn next_id(&self) -> Result<DriverId, RegisterError> {
        let free = self.places.iter().position(Place::is_vacant);
        let index = free.unwrap_or(self.places.len());
        if index == DRIVERS_MAX {
            return Err(RegisterError::TooMany(index));
        }
        let place = self.places.get(index);
        Ok(DriverId {
            index: u16::try_from(index).expect("an index below the limit"),
            generation: place.map_or(0, |place| place.generation),
        })
    }

    /// Whether a driver may be put at `index`.
    pub(crate) fn is_vacant(&self, index: usize) -> bool {
        self.places.get(index).is_none_or(Place::is_vacant)
    }

    /// Adds a driver under an id whose place is vacant.
    pub(crate) fn insert(&mut self, id: DriverId, driver: Box<D>) -> Result<(), RegisterError> {
        let flags = driver.flags();
        if !flags.intersects(DriverFlags::HARDWARE | DriverFlags::SOFTWARE) {
            return Err(RegisterError::NoKind(flags));
        }
        let index = usize::from(id.index);
        while self.places.len() <= index {
            self.places.push(Place {
                generation: 0,
                slot: None,
                estate: None,
                to_visit: None,
            });
        }
        let place = &mut self.places[index];
        assert!(place.is_vacant(), "a vacant place");
        place.generation = id.generation;
        place.slot = Some(DriverSlot {
            flags,
            driver,
            id,
            state: DriverState::Active,
            is_lost: false,
            queue: VecDeque::new(),
            refused_at: None,
            runnable_at: Time::NEVER,
            expires_at: Time::NEVER,
            kicked: false,
            held_back: false,
            opening: VecDeque::new(),
            sessions: 0,
            in_flight: 0,
            moving: 0,
            key: KeySlot::default(),
            stats: DriverStats::default(),
        });
        Ok(())
    }

    /// Forgets a driver; its id names nothing from now on. What sessions it has are left behind.
    pub(crate) fn remove(&mut self, index: usize) {
        let place = &mut self.places[index];
        let slot = place.slot.take().expect("a driver here");
        place.generation = place.generation.wrapping_add(1);
        let (id, sessions) = (slot.id, slot.sessions);
        place.estate = (sessions > 0).then_some(Estate { id, sessions });
    }

    /// Has the sessions of a driver visited: those that it is `opening`, then the whole table.
    pub(crate) fn begin_visits(&mut self, index: usize, opening: VecDeque<(DriverSession, usize)>) {
        let place = &mut self.places[index];
        let has_sessions = place.slot.as_ref().is_some_and(|slot| slot.sessions > 0);
        place.to_visit = has_sessions.then_some(Visits { opening, from: 0 });
    }

    /// The next place of the table, which ends at `end`, to look for a session that is to move from
    /// the driver that is or was at `index`; `None` when there is no other.
    pub(crate) fn next_visit(&mut self, index: usize, end: usize) -> Option<usize> {
        let place = &mut self.places[index];
        let visits = place.to_visit.as_mut()?;
        if let Some((_, session)) = visits.opening.pop_front() {
            return Some(session);
        }
        if visits.from == end {
            place.to_visit = None;
            return None;
        }
        visits.from += 1;
        Some(visits.from - 1)
    }

    /// Takes the sessions that the driver that was at `index` was opening out of the visits.
    pub(crate) fn take_opening(&mut self, index: usize) -> VecDeque<(DriverSession, usize)> {
        let visits = self.places[index].to_visit.as_mut();
        visits.map_or_else(VecDeque::new, |visits| std::mem::take(&mut visits.opening))
    }

    /// The driver whose sessions have their turn, of those that leave or are gone: one that is gone
    /// first, because requests may wait in its sessions.
    pub(crate) fn next_to_visit(&self) -> Option<usize> {
        let waits = |place: &Place<D>| place.to_visit.is_some();
        let is_lost = |place: &Place<D>| waits(place) && place.slot.is_none();
        let lost = self.places.iter().position(is_lost);
        lost.or_else(|| self.places.iter().position(waits))
    }

    /// Takes a session from the count of its driver, which may be gone. Returns the driver's id.
    pub(crate) fn leave(&mut self, index: usize) -> DriverId {
        let place = &mut self.places[index];
        let (id, sessions) = match (&mut place.slot, &mut place.estate) {
            (Some(slot), _) => (slot.id, &mut slot.sessions),
            (None, estate) => {
                let estate = estate.as_mut().expect("a driver that left sessions");
                (estate.id, &mut estate.sessions)
            }
        };
        *sessions -= 1;
        if *sessions == 0 {
            (place.estate, place.to_visit) = (None, None);
        }
        id
    }

    /// Whether the driver that is or was at `index` is lost.
    pub(crate) fn is_lost(&self, index: usize) -> bool {
        self.get(index).is_none_or(|slot| slot.is_lost)
    }

    /// One past the highest index in use.
    pub(crate) fn end(&self) -> usize {
        self.places.len()
    }

    #[inline]
    pub(crate) fn index_of(&self, id: DriverId) -> Option<usize> {
        self.find(id).map(|slot| usize::from(slot.id.index))
    }

    #[inline]
    pub(crate) fn find(&self, id: DriverId) -> Option<&DriverSlot<D>> {
        self.get(usize::from(id.index)).filter(|slot| slot.id == id)
    }

    /// The driver at `index`, unless it is gone.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&DriverSlot<D>> {
        self.places.get(index)?.slot.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut DriverSlot<D>> {
        self.places.get_mut(index)?.slot.as_mut()
    }

    /// The driver at `index`, which the caller knows to be registered.
    #[inline]
    pub(crate) fn slot(&self, index: usize) -> &DriverSlot<D> {
        self.places[index].slot.as_ref().expect("a driver here")
    }

    /// The driver at `index`, which the caller knows to be registered.
    #[inline]
    pub(crate) fn slot_mut(&mut self, index: usize) -> &mut DriverSlot<D> {
        self.places[index].slot.as_mut().expect("a driver here")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &DriverSlot<D>> {
        self.places.iter().filter_map(|place| place.slot.as_ref())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut DriverSlot<D>> {
        self.places
            .iter_mut()
            .filter_map(|place| place.slot.as_mut())
    }

    /// Whether the driver that `choice` names is there, so that no other may serve the session.
    pub(crate) fn is_named_active(&self, choice: DriverChoice) -> bool {
        choice
            .named
            .and_then(|id| self.index_of(id))
            .is_some_and(|index| self.slot(index).state == DriverState::Active)
    }

    /// How well the driver at `index` would serve a session; `None` if it may not or cannot.
    pub(crate) fn score(
        &self,
        index: usize,
        params: &SessionParams,
        choice: DriverChoice,
    ) -> Option<ProbeScore> {
        let slot = self.get(index)?;
        let accepted = if self.is_named_active(choice) {
            choice.named == Some(slot.id)
        } else {
            choice.accept.intersects(slot.flags)
        };
        if slot.state != DriverState::Active || !accepted {
            return None;
        }
        // As an errno would be in the manual page: a score that is not negative is none.
        slot.driver
            .probe_session(params)
            .filter(|score| score.0 < 0)
    }

    /// The driver at `index` as a candidate for a session, if it is one.
    pub(crate) fn candidate(
        &self,
        index: usize,
        params: &SessionParams,
        choice: DriverChoice,
    ) -> Option<Candidate> {
        let score = self.score(index, params, choice)?;
        let slot = self.slot(index);
        Some(Candidate {
            driver: slot.id,
            flags: slot.flags,
            score,
            sessions: slot.sessions,
            in_flight: slot.in_flight.saturating_add_signed(slot.moving),
            waiting: slot.queue.len(),
        })
    }

    /// The driver to open a session on: the one that `placement` prefers, the lowest index among
    /// equals, of those not in `tried`.
    pub(crate) fn choose(
        &self,
        placement: &dyn Placement,
        params: &SessionParams,
        choice: DriverChoice,
        tried: &[DriverId],
    ) -> Option<usize> {
        let mut best: Option<(Candidate, usize)> = None;
        for index in 0..self.end() {
            let candidate = self.candidate(index, params, choice);
            let Some(candidate) = candidate.filter(|other| !tried.contains(&other.driver)) else {
                continue;
            };
            if best.is_none_or(|(best, _)| placement.prefers(params, &candidate, &best)) {
                best = Some((candidate, index));
            }
        }
        best.map(|(_, index)| index)
    }
}

#[cfg(test)]
mod tests;
