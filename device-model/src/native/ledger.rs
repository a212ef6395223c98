//! What the card remembers for its pages: counters of ring pairs, and for each function its faults
//! and last errors.
//!
//! Little here is on the way of a command that succeeds: completions of a pair are what it fetched
//! less what is on the card or was forgotten. Survives resets of the function; loss of power takes
//! it all, and a virtual function that goes takes its own along.

use std::collections::VecDeque;

use regs::{ERROR_LOG_ENTRIES, ErrorEntry, FunctionId, Opcode, Status};
use timebase::Time;

use super::command::{Fault, Task};
use super::ring::Ring;
use crate::card::Card;
use crate::function::Function;
use crate::snapshot::{Check, check, is_plausible};
use crate::stats::{CardStats, Endings};

/// Counters of one ring pair.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct RingCounters {
    pub(crate) commands: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) output_bytes: u64,
    pub(crate) forgotten: u64,
    /// Completions by the class of their status; successes are what is left.
    pub(crate) endings: Endings,
    pub(crate) interrupts: u64,
    pub(crate) resets: u64,
    /// Times that the pair stopped on an error.
    pub(crate) failures: u64,
}

impl RingCounters {
    const fn values(&self) -> [u64; 11] {
        [
            self.commands,
            self.payload_bytes,
            self.output_bytes,
            self.forgotten,
            self.endings.digest_mismatch,
            self.endings.refused,
            self.endings.dma_fault,
            self.endings.failed,
            self.interrupts,
            self.resets,
            self.failures,
        ]
    }

    /// What was counted since `base`.
    pub(super) const fn since(&self, base: &Self) -> Self {
        Self {
            commands: self.commands - base.commands,
            payload_bytes: self.payload_bytes - base.payload_bytes,
            output_bytes: self.output_bytes - base.output_bytes,
            forgotten: self.forgotten - base.forgotten,
            endings: Endings {
                success: 0,
                digest_mismatch: self.endings.digest_mismatch - base.endings.digest_mismatch,
                refused: self.endings.refused - base.endings.refused,
                dma_fault: self.endings.dma_fault - base.endings.dma_fault,
                failed: self.endings.failed - base.endings.failed,
            },
            interrupts: self.interrupts - base.interrupts,
            resets: self.resets - base.resets,
            failures: self.failures - base.failures,
        }
    }

    /// Whether these counters can stand where `base` was read before.
    pub(crate) fn check(&self, base: &Self) -> Check {
        let pairs = self.values().into_iter().zip(base.values());
        let mut pairs = pairs.map(|(now, base)| is_plausible(now) && base <= now);
        check(pairs.all(|holds| holds), "counters of a ring pair")
    }
}

/// Completions of one function for each status, in the order of [`Status::ALL`].
pub(super) type Statuses = [u64; Status::ALL.len()];

/// Counters of one ring pair, and its commands that were completed.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct RingCounted {
    pub(crate) counters: RingCounters,
    pub(super) completed: u64,
}

/// Counters as they were at one moment.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Counted {
    /// Of the function's ring pairs, its admin ring first.
    pub(super) rings: Vec<RingCounted>,
    #[serde(with = "crate::snapshot::sequence")]
    pub(super) statuses: Statuses,
    /// Of the card.
    pub(super) stats: CardStats,
}

/// What the card remembers of one function.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Ledger {
    /// Counters when they were last cleared.
    pub(super) base: Counted,
    /// All but successes.
    #[serde(with = "crate::snapshot::sequence")]
    pub(super) statuses: Statuses,
    /// Newest first.
    pub(super) errors: VecDeque<ErrorEntry>,
    pub(super) error_count: u64,
    pub(super) powered_at: Option<Time>,
    pub(super) reset_at: Option<Time>,
    pub(super) resets: u64,
    pub(super) read_faults: u64,
    pub(super) write_faults: u64,
}

impl Ledger {
    /// A ledger of a function with `rings` pairs, whose card has counted `stats` before.
    pub(crate) fn new(rings: usize, stats: &CardStats) -> Self {
        Self {
            base: Counted {
                rings: vec![RingCounted::default(); rings],
                statuses: [0; _],
                stats: *stats,
            },
            statuses: [0; _],
            errors: VecDeque::new(),
            error_count: 0,
            powered_at: None,
            reset_at: None,
            resets: 0,
            read_faults: 0,
            write_faults: 0,
        }
    }

    /// Counters of the function's ring pair `local` when they were last cleared.
    pub(crate) fn base_of(&self, local: usize) -> &RingCounters {
        &self.base.rings[local].counters
    }

    /// Whether a function with `rings` pairs, of a card that counted `stats`, can have this ledger.
    pub(crate) fn check(&self, rings: usize, stats: &CardStats) -> Check {
        check(self.base.rings.len() == rings, "ring pairs of the ledger")?;
        check(self.errors.len() <= ERROR_LOG_ENTRIES, "errors of the log")?;
        check(is_plausible(self.error_count), "number of errors")?;
        check(self.base.stats.is_before(stats), "counters of the ledger")?;
        let completed = self.base.rings.iter().map(|ring| ring.completed);
        let counters = [self.resets, self.read_faults, self.write_faults];
        let mut counters = counters.into_iter().chain(completed);
        check(counters.all(is_plausible), "counters of the ledger")?;
        let mut statuses = self.statuses.iter().zip(&self.base.statuses);
        check(
            statuses.all(|(now, base)| is_plausible(*now) && base <= now),
            "statuses of the ledger",
        )
    }

    /// The function has power, and somebody speaks to it.
    pub(crate) fn speak(&mut self, now: Time) {
        self.powered_at.get_or_insert(now);
    }

    /// The function was reset.
    pub(crate) fn reset(&mut self, now: Time) {
        self.speak(now);
        self.reset_at = Some(now);
        self.resets += 1;
    }

    fn note(&mut self, entry: ErrorEntry) {
        self.error_count += 1;
        if self.errors.len() == ERROR_LOG_ENTRIES {
            self.errors.pop_back();
        }
        self.errors.push_front(ErrorEntry {
            number: self.error_count,
            ..entry
        });
    }

    /// Counts a refused access.
    pub(super) fn count_fault(&mut self, fault: &Fault) {
        *if fault.is_write {
            &mut self.write_faults
        } else {
            &mut self.read_faults
        } += 1;
    }
}

impl Card {
    /// Cycles since `id` has power.
    pub(super) fn cycles(&self, id: FunctionId, at: Time) -> u64 {
        let powered_at = self.function(id).ledger.powered_at.unwrap_or(at);
        self.in_cycles(at.since(powered_at).as_ps())
    }

    /// Picoseconds in cycles of the card's clock.
    pub(super) fn in_cycles(&self, ps: u64) -> u64 {
        let cycles = u128::from(ps) * u128::from(self.clock_hz()) / 1_000_000_000_000;
        u64::try_from(cycles).unwrap_or(u64::MAX)
    }

    /// The clock that time stamps are counted in.
    pub(super) const fn clock_hz(&self) -> u64 {
        self.profile.engines.cipher.clock_hz
    }

    /// Opcode of the command that `task` comes from.
    pub(super) fn opcode_of(&self, task: Task) -> u8 {
        match task {
            Task::Process(id) | Task::Service(id) => self.agenda.orders.get(id).command.opcode,
            Task::Identity(_) | Task::Timed(_) => Opcode::Process as u8,
            Task::Settled(_) => ErrorEntry::NO_OPCODE,
        }
    }

    /// Takes down how a command of `ring` failed. What did not match, or was aborted on request, is
    /// no error.
    #[cold]
    pub(super) fn note_failure(
        &mut self,
        (at, ring): (Time, usize),
        (opcode, cookie): (u8, u64),
        (status, fault): (Status, Option<Fault>),
    ) {
        if matches!(
            status,
            Status::Success | Status::DigestMismatch | Status::SignatureMismatch | Status::Aborted
        ) {
            return;
        }
        let owner = self.rings[ring].owner;
        let at = self.cycles(owner.function, at);
        self.function_mut(owner.function).ledger.note(ErrorEntry {
            at,
            address: fault.map_or(0, |fault| fault.fault.addr.0),
            cookie,
            ring: owner.local.0,
            status: status as u16,
            opcode,
            what: fault.map_or(0, |fault| u8::from(fault.is_write) * ErrorEntry::WRITE),
            ..ErrorEntry::default()
        });
    }

    /// Takes down that `ring` stopped on an error, and forgot what it had on the card.
    #[cold]
    pub(super) fn note_stop(&mut self, at: Time, ring: usize, status: Status) {
        let owner = self.rings[ring].owner;
        self.rings[ring].counters.failures += 1;
        let at = self.cycles(owner.function, at);
        let function = self.function_mut(owner.function);
        let is_fault = matches!(status, Status::ReadFault | Status::WriteFault);
        let address = if is_fault {
            function.last_error.addr.0
        } else {
            0
        };
        let is_write = status == Status::WriteFault;
        function.ledger.note(ErrorEntry {
            at,
            address,
            ring: owner.local.0,
            status: status as u16,
            opcode: ErrorEntry::NO_OPCODE,
            what: ErrorEntry::STOPPED | (u8::from(is_write) * ErrorEntry::WRITE),
            ..ErrorEntry::default()
        });
    }
}

/// Counts how a command of `pair` ended that did not end well.
#[cold]
pub(super) fn count_failure(
    stats: &mut CardStats,
    (pair, functions): (&mut Ring, &mut [Function]),
    status: Status,
) {
    stats.endings.count(status);
    pair.counters.endings.count(status);
    let function = &mut functions[usize::from(pair.owner.function.0)];
    let place = Status::ALL.iter().position(|&known| known == status);
    if let Some(place) = place {
        function.ledger.statuses[place] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_holds_the_newest_and_counts_them_all() {
        let mut ledger = Ledger::new(2, &CardStats::default());
        for cookie in 0..100 {
            ledger.note(ErrorEntry {
                cookie,
                ..ErrorEntry::default()
            });
        }
        assert_eq!(ledger.errors.len(), ERROR_LOG_ENTRIES);
        assert_eq!(ledger.error_count, 100);
        let newest = ledger.errors[0];
        assert_eq!((newest.cookie, newest.number), (99, 100));
        let oldest = ledger.errors[ERROR_LOG_ENTRIES - 1];
        assert_eq!(oldest.number, 100 - ERROR_LOG_ENTRIES as u64 + 1);
        assert_eq!(ledger.check(2, &CardStats::default()), Ok(()));
        assert!(ledger.check(3, &CardStats::default()).is_err());
    }
}
