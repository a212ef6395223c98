//! The session table: what the framework knows of each session.
//!
//! A session is split in two: [`Hot`], one cache line that every request touches, and [`Cold`], the
//! rest. A name is a place in the table and a generation; looking one up is a compare.

use std::collections::VecDeque;

use crate::choice::{DriverChoice, MigrationPolicy};
use crate::completion::Finished;
use crate::registry::DriverId;
use crate::session::StoredParams;
use crate::validate::Rules;
use crate::{DriverSession, Request, SessionId, SessionParams};

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Nobody's.
    Vacant,
    /// Its driver is opening it, or another driver still has requests of it: new ones wait.
    Waiting,
    /// Requests go to the driver.
    Ready,
    /// No driver serves it; the next request asks for one again.
    Homeless,
    /// Freed by the consumer; a driver still has requests of it, or is opening it.
    Closing,
}

/// A session on the driver it is leaving.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draining {
    pub(crate) driver: DriverId,
    pub(crate) session: DriverSession,
}

/// What every request touches.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Hot {
    /// Generation of the session's current name.
    pub(crate) generation: u32,
    pub(crate) phase: Phase,
    pub(crate) policy: MigrationPolicy,
    /// Place of the driver; meaningful in [`Phase::Ready`], and in [`Phase::Waiting`] and
    /// [`Phase::Closing`] if `bound`.
    pub(crate) driver: u16,
    /// Whether `driver` and `driver_session` name something.
    pub(crate) bound: bool,
    /// Whether the driver has not said yet that the session is open.
    pub(crate) opening: bool,
    /// First generation that belongs to this session: names from here to the current one are its.
    pub(crate) oldest: u32,
    pub(crate) driver_session: DriverSession,
    /// Requests that a driver has.
    pub(crate) in_flight: u32,
    pub(crate) rules: Rules,
    /// Position the next ordered request gets.
    pub(crate) next_order: u64,
    /// Position of the ordered request to call back next.
    pub(crate) next_release: u64,
}

const _: () = assert!(size_of::<Hot>() == 64, "one cache line");

impl Hot {
    /// Whether requests under the name `id`, which has this place, go to a driver.
    #[inline]
    pub(crate) fn is_ready(&self, id: SessionId) -> bool {
        self.generation == id.generation && self.phase == Phase::Ready
    }
}

/// The rest.
#[derive(Debug, Default)]
pub(crate) struct Cold {
    /// The parameters with the keys; `None` once the session is gone.
    params: Option<StoredParams>,
    pub(crate) choice: DriverChoice,
    passing: Option<Box<Passing>>,
}

/// What few sessions have at a time: those that open, move, or keep order.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    /// The driver that the session is leaving, while that still has requests.
    pub(crate) draining: Option<Draining>,
    /// Requests accepted before the session is ready, by id.
    pub(crate) waiting: VecDeque<Box<Request>>,
    /// Ordered requests that ended early; the front has position `next_release`.
    pub(crate) held: VecDeque<Option<Finished>>,
    /// Drivers that failed to open the session since it last was open.
    pub(crate) tried: Vec<DriverId>,
}

impl Passing {
    fn is_empty(&self) -> bool {
        let Self {
            draining,
            waiting,
            held,
            tried,
        } = self;
        draining.is_none() && waiting.is_empty() && held.is_empty() && tried.is_empty()
    }
}

impl Cold {
    /// The parameters of a session that lives.
    pub(crate) fn params(&self) -> SessionParams {
        let params = self.params.as_ref();
        params.expect("parameters of a live session").restore()
    }

    /// What few sessions have, if this one has any of it.
    pub(crate) fn passing(&self) -> Option<&Passing> {
        self.passing.as_deref()
    }

    /// What few sessions have, to take from it.
    pub(crate) fn passing_mut(&mut self) -> Option<&mut Passing> {
        self.passing.as_deref_mut()
    }

    /// What few sessions have, to add to it.
    pub(crate) fn passing_or_new(&mut self) -> &mut Passing {
        self.passing.get_or_insert_default()
    }

    /// Gives the memory of what few sessions have back if there is none of it.
    pub(crate) fn tidy(&mut self) {
        self.passing = self.passing.take().filter(|passing| !passing.is_empty());
    }

    /// Number of requests that wait with the session.
    pub(crate) fn waiting_len(&self) -> usize {
        self.passing().map_or(0, |passing| passing.waiting.len())
    }

    /// Takes the oldest request that waits with the session.
    pub(crate) fn pop_waiting(&mut self) -> Option<Box<Request>> {
        self.passing_mut()?.waiting.pop_front()
    }

    /// Drivers that failed to open the session since it last was open.
    pub(crate) fn tried(&self) -> &[DriverId] {
        self.passing().map_or(&[], |passing| &passing.tried)
    }

    /// Forgets which drivers failed to open the session.
    pub(crate) fn forget_tried(&mut self) {
        if let Some(passing) = self.passing_mut() {
            passing.tried.clear();
        }
    }
}

/// What a name means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lookup {
    /// The session at this place, under its current name.
    Current(usize),
    /// The session at this place, under a name it had before it moved.
    Stale(usize),
    /// Nothing.
    Unknown,
}

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct SessionTable {
    pub(crate) hot: Vec<Hot>,
    pub(crate) cold: Vec<Cold>,
    free: Vec<u32>,
    /// What the index of a name has beside the place; see [`SessionTable::place`].
    number: u32,
}

impl SessionTable {
    /// An empty table whose names differ from those of tables with other numbers.
    pub(crate) fn with_number(number: u8) -> Self {
        Self {
            number: u32::from(number) << SessionId::PLACE_BITS,
            ..Self::default()
        }
    }

    /// Where a session with this name would be; outside the table for names of another table.
    #[inline]
    pub(crate) fn place(&self, id: SessionId) -> usize {
        (id.index ^ self.number) as usize
    }

    /// Number of sessions, closing ones included.
    pub(crate) fn len(&self) -> usize {
        self.hot.len() - self.free.len()
    }

    pub(crate) fn insert(
        &mut self,
        params: SessionParams,
        choice: DriverChoice,
        policy: MigrationPolicy,
    ) -> usize {
        let rules = Rules::new(&params);
        let index = if let Some(index) = self.free.pop() {
            index as usize
        } else {
            self.hot.push(Hot {
                generation: 0,
                phase: Phase::Vacant,
                policy,
                driver: 0,
                bound: false,
                opening: false,
                oldest: 0,
                driver_session: DriverSession::default(),
                in_flight: 0,
                rules,
                next_order: 0,
                next_release: 0,
            });
            self.cold.push(Cold::default());
            self.hot.len() - 1
        };
        let hot = &mut self.hot[index];
        assert!(hot.phase == Phase::Vacant, "a vacant place");
        (hot.phase, hot.policy, hot.rules) = (Phase::Homeless, policy, rules);
        let cold = &mut self.cold[index];
        (cold.params, cold.choice) = (Some(StoredParams::new(params)), choice);
        hot.oldest = hot.generation;
        index
    }

    /// Takes the session's names away; nothing but its last requests knows it from now on.
    pub(crate) fn retire_names(&mut self, index: usize) {
        let hot = &mut self.hot[index];
        hot.generation = hot.generation.wrapping_add(1);
        hot.oldest = hot.generation;
    }

    /// Frees the place and zeroes the keys. Its names were retired.
    pub(crate) fn remove(&mut self, index: usize) {
        let (hot, cold) = (&mut self.hot[index], &mut self.cold[index]);
        cold.forget_tried();
        cold.tidy();
        assert!(
            hot.in_flight == 0 && cold.passing.is_none(),
            "no request belongs to a session that is freed"
        );
        hot.phase = Phase::Vacant;
        hot.bound = false;
        cold.params = None;
        self.free
            .push(u32::try_from(index).expect("a place below the limit"));
    }

    /// The current name of the session at `index`.
    pub(crate) fn name(&self, index: usize) -> SessionId {
        SessionId {
            index: self.number | u32::try_from(index).expect("a place below the limit"),
            generation: self.hot[index].generation,
        }
    }

    pub(crate) fn lookup(&self, id: SessionId) -> Lookup {
        let index = self.place(id);
        let Some(hot) = self.hot.get(index) else {
            return Lookup::Unknown;
        };
        if matches!(hot.phase, Phase::Vacant | Phase::Closing) {
            return Lookup::Unknown;
        }
        if hot.generation == id.generation {
            return Lookup::Current(index);
        }
        let age = hot.generation.wrapping_sub(id.generation);
        if age <= hot.generation.wrapping_sub(hot.oldest) {
            Lookup::Stale(index)
        } else {
            Lookup::Unknown
        }
    }
}
