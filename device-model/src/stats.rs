//! Counters of a card, for reports.

use regs::{RingId, Status};
use timebase::Span;

use crate::engine::Group;
use crate::snapshot::{Check, check, is_plausible};

/// What one engine group did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct GroupStats {
    /// Lanes of the group.
    pub lanes: u8,
    /// Commands put on a lane.
    pub commands: u64,
    /// Time that lanes worked, summed over the lanes. Counted when a command is put on its lane.
    pub busy: Span,
}

/// Completions by the class of their status.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Endings {
    /// [`Status::Success`].
    pub success: u64,
    /// [`Status::DigestMismatch`] and [`Status::SignatureMismatch`].
    pub digest_mismatch: u64,
    /// The command was malformed or did not fit its session.
    pub refused: u64,
    /// [`Status::ReadFault`] and [`Status::WriteFault`].
    pub dma_fault: u64,
    /// [`Status::EngineError`], [`Status::Aborted`] and [`Status::EntropyFailure`].
    pub failed: u64,
}

impl Endings {
    #[inline]
    pub(crate) fn count(&mut self, status: Status) {
        if status == Status::Success {
            self.success += 1;
        } else {
            self.count_failure(status);
        }
    }

    #[cold]
    fn count_failure(&mut self, status: Status) {
        *match status {
            Status::Success => &mut self.success,
            Status::DigestMismatch | Status::SignatureMismatch => &mut self.digest_mismatch,
            Status::BadOpcode
            | Status::ReservedBits
            | Status::BadSession
            | Status::SessionExists
            | Status::BadLength
            | Status::BadSegments
            | Status::BadParameters
            | Status::BadOperand
            | Status::ResultTooLarge
            | Status::NoKek
            | Status::KekExists
            | Status::BadVersion
            | Status::ForeignBlob
            | Status::ForgedBlob
            | Status::ReplayedBlob
            | Status::BadState
            | Status::OutputTooLong
            | Status::BadStream => &mut self.refused,
            Status::ReadFault | Status::WriteFault => &mut self.dma_fault,
            Status::EngineError | Status::Aborted | Status::EntropyFailure => &mut self.failed,
        } += 1;
    }
}

/// Counters since power-on; a function reset leaves them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct CardStats {
    /// Descriptor fetches.
    pub fetches: u64,
    /// Commands fetched.
    pub commands: u64,
    /// Payload bytes of commands that reached an engine.
    pub payload_bytes: u64,
    /// Bytes written to destination streams.
    pub output_bytes: u64,
    /// Completions written.
    pub completions: u64,
    /// Completions by the class of their status.
    pub endings: Endings,
    /// Interrupt messages sent.
    pub interrupts: u64,
    /// DMA accesses that were refused.
    pub dma_faults: u64,
    /// Contexts found in the context cache.
    pub context_hits: u64,
    /// Contexts brought from the context table.
    pub context_misses: u64,
    /// Payloads transformed in host memory.
    pub in_place: u64,
    /// Payloads gathered into card memory and scattered back.
    pub copied: u64,
    /// Resets of the function.
    pub resets: u64,
    /// Engine groups, indexed by [`Group`].
    pub groups: [GroupStats; Group::ALL.len()],
    /// Public-key lanes.
    pub public_key: GroupStats,
}

impl CardStats {
    /// What was counted since `base`, which was read earlier.
    pub(crate) fn since(&self, base: &Self) -> Self {
        let (mut since, mut base) = (*self, *base);
        for (counter, before) in since.counters().into_iter().zip(base.counters()) {
            *counter -= *before;
        }
        for (group, before) in since.groups.iter_mut().zip(&base.groups) {
            group.busy = Span::from_ps(group.busy.as_ps() - before.busy.as_ps());
        }
        let busy = self.public_key.busy.as_ps() - base.public_key.busy.as_ps();
        since.public_key.busy = Span::from_ps(busy);
        since
    }

    /// Whether every counter is as high as here, or higher in `later`.
    pub(crate) fn is_before(&self, later: &Self) -> bool {
        let (mut own, mut other) = (*self, *later);
        let mut pairs = own.counters().into_iter().zip(other.counters());
        let busy = |stats: &Self| {
            let groups = stats.groups.iter().chain([&stats.public_key]);
            groups.map(|group| group.busy).collect::<Vec<_>>()
        };
        let mut busy = busy(self).into_iter().zip(busy(later));
        busy.all(|(own, later)| own <= later) && pairs.all(|(own, later)| *own <= *later)
    }

    fn counters(&mut self) -> Vec<&mut u64> {
        let Self {
            fetches,
            commands,
            payload_bytes,
            output_bytes,
            completions,
            endings,
            interrupts,
            dma_faults,
            context_hits,
            context_misses,
            in_place,
            copied,
            resets,
            groups,
            public_key,
        } = self;
        let Endings {
            success,
            digest_mismatch,
            refused,
            dma_fault,
            failed,
        } = endings;
        let mut counters = vec![
            fetches,
            commands,
            payload_bytes,
            output_bytes,
            completions,
            success,
            digest_mismatch,
            refused,
            dma_fault,
            failed,
            interrupts,
            dma_faults,
            context_hits,
            context_misses,
            in_place,
            copied,
            resets,
            &mut public_key.commands,
        ];
        counters.extend(groups.iter_mut().map(|group| &mut group.commands));
        counters
    }

    /// Whether the counters of a card made as `fresh` were can stand here.
    pub(crate) fn check(&self, fresh: &Self) -> Check {
        let lanes = |stats: &Self| stats.groups.map(|group| group.lanes);
        check(lanes(self) == lanes(fresh), "lanes of the counters")?;
        let endings = &self.endings;
        let counters = [
            self.fetches,
            self.commands,
            self.payload_bytes,
            self.output_bytes,
            self.completions,
            endings.success,
            endings.digest_mismatch,
            endings.refused,
            endings.dma_fault,
            endings.failed,
            self.interrupts,
            self.dma_faults,
            self.context_hits,
            self.context_misses,
            self.in_place,
            self.copied,
            self.resets,
        ];
        let groups = self.groups.iter().map(|group| group.commands);
        let mut counters = counters.into_iter().chain(groups);
        check(counters.all(is_plausible), "a counter at its end")
    }
}

/// How full a ring pair is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RingOccupancy {
    /// Which pair.
    pub ring: RingId,
    /// Whether it runs.
    pub is_running: bool,
    /// Commands published and not yet fetched.
    pub published: u32,
    /// Commands fetched whose completion is not yet visible.
    pub fetched: u32,
    /// Of these, results that wait for room in the completion ring.
    pub held: u32,
    /// Completions written and not yet acknowledged.
    pub unreaped: u32,
}
