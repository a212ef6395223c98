//! Pages: what the card tells a function of itself, put together when it is asked.

use regs::{
    AlgorithmEntry, BLOB_VERSION, DEVICE_ID, ErrorEntry, ErrorLog, FunctionId, Health, Identity,
    KEK_SLOTS, MAX_RING_ENTRIES, MAX_SEGMENTS, PAGE_VERSION, PUBLIC_KEY_BITS_MAX, PageCode,
    PublicKeyOp, RANDOM_MAX, Register, RingStatistics, Statistics, Status, StatusCount,
    algorithm_entries,
};
use timebase::Time;

use super::command::MAX_PAYLOAD;
use super::ledger::{Counted, RingCounted};
use super::ring::RING_WINDOW;
use crate::card::Card;
use crate::engine::Group;
use crate::stats::{CardStats, GroupStats};

impl Card {
    /// The bytes of a page of function `id` as it is at `at`.
    pub(super) fn page(&self, at: Time, id: FunctionId, code: PageCode) -> Vec<u8> {
        match code {
            PageCode::Identity => self.identity(id),
            PageCode::Errors => self.error_log(id),
            PageCode::Health => self.health(at, id),
            PageCode::Statistics => self.statistics(id),
        }
    }

    fn identity(&self, id: FunctionId) -> Vec<u8> {
        let table = algorithm_entries();
        let (profile, function) = (&self.profile, self.function(id));
        let mut firmware = [0; 16];
        let revision = env!("CARGO_PKG_VERSION").as_bytes();
        let len = revision.len().min(firmware.len());
        firmware[..len].copy_from_slice(&revision[..len]);
        let has_public_key = profile.public_key.is_some();
        let engines = &profile.engines;
        let identity = Identity {
            version: PAGE_VERSION,
            len: (Identity::LEN + table.len() * AlgorithmEntry::LEN) as u32,
            device: DEVICE_ID,
            revision: Register::Version.reset_value(),
            serial: self.admin.vault.serial(),
            firmware,
            clock_hz: self.clock_hz(),
            entropy_rate: profile.entropy.bytes_per_second,
            reset_ns: profile.reset_time.as_ns(),
            errata: profile.errata.bits(),
            function: id.0.into(),
            virtual_functions: if id.is_physical() {
                profile.virtual_functions.into()
            } else {
                0
            },
            rings: function.ring_pairs().into(),
            ring_entries: MAX_RING_ENTRIES,
            window: RING_WINDOW,
            sessions: function.session_capacity(),
            context_cache: profile.context_cache_entries,
            payload_max: MAX_PAYLOAD,
            aad_max: u16::MAX.into(),
            segments_max: MAX_SEGMENTS,
            random_max: RANDOM_MAX,
            public_key_bits: if has_public_key {
                PUBLIC_KEY_BITS_MAX.into()
            } else {
                0
            },
            public_key_ops: if has_public_key {
                (1 << PublicKeyOp::ALL.len()) - 1
            } else {
                0
            },
            kek_slots: if id.is_physical() {
                KEK_SLOTS.into()
            } else {
                0
            },
            blob_version: BLOB_VERSION,
            error_entries: regs::ERROR_LOG_ENTRIES as u32,
            cipher_lanes: engines.cipher.lanes,
            digest_lanes: engines.digest.lanes,
            combined_lanes: engines.combined.lanes,
            public_key_lanes: profile.public_key.map_or(0, |engine| engine.lanes),
            algorithms: table.len() as u32,
            algorithm_len: AlgorithmEntry::LEN as u32,
        };
        let mut page = identity.to_bytes().to_vec();
        page.extend(table.iter().flat_map(|entry| entry.to_bytes()));
        page
    }

    fn error_log(&self, id: FunctionId) -> Vec<u8> {
        let ledger = &self.function(id).ledger;
        let head = ErrorLog {
            version: PAGE_VERSION,
            len: (ErrorLog::LEN + ledger.errors.len() * ErrorEntry::LEN) as u32,
            total: ledger.error_count,
            entries: ledger.errors.len() as u32,
            entry_len: ErrorEntry::LEN as u32,
        };
        let mut page = head.to_bytes().to_vec();
        page.extend(ledger.errors.iter().flat_map(|entry| entry.to_bytes()));
        page
    }

    fn health(&self, at: Time, id: FunctionId) -> Vec<u8> {
        let function = self.function(id);
        let ledger = &function.ledger;
        let rings = &self.rings[function.rings.clone()];
        let card = CardHealth::of(self, id);
        let health = Health {
            version: PAGE_VERSION,
            len: Health::LEN as u32,
            uptime: self.cycles(id, at),
            since_reset: match ledger.reset_at {
                Some(reset_at) => self.in_cycles(at.since(reset_at).as_ps()),
                None => self.cycles(id, at),
            },
            resets: ledger.resets,
            ring_resets: rings.iter().map(|ring| ring.counters.resets).sum(),
            ring_failures: rings.iter().map(|ring| ring.counters.failures).sum(),
            read_faults: ledger.read_faults,
            write_faults: ledger.write_faults,
            ecc_corrected: card.ecc_corrected,
            ecc_uncorrected: card.ecc_uncorrected,
            sessions: self.contexts.count(function.sessions.clone()),
            retired: self.contexts.retired_count(&function.sessions),
            keks: card.keks,
            reserved: 0,
        };
        health.to_bytes().to_vec()
    }

    fn statistics(&self, id: FunctionId) -> Vec<u8> {
        let now = self.counted(id);
        let base = &self.function(id).ledger.base;
        let rings: Vec<_> = now.rings.iter().zip(&base.rings).map(since).collect();
        let statuses: Vec<_> = (Status::ALL.iter().zip(now.statuses).zip(base.statuses))
            .map(|((&status, now), base)| StatusCount {
                status: status as u64,
                count: now - base,
            })
            .filter(|status| status.count != 0)
            .collect();
        let sum = |of: fn(&RingStatistics) -> u64| rings.iter().map(of).sum();
        let head = Statistics {
            version: PAGE_VERSION,
            rings: rings.len() as u32,
            ring_len: RingStatistics::LEN as u32,
            statuses: statuses.len() as u32,
            status_len: StatusCount::LEN as u32,
            commands: sum(|ring| ring.commands),
            completions: sum(|ring| ring.completed),
            successes: sum(|ring| ring.successes),
            mismatches: sum(|ring| ring.mismatches),
            refusals: sum(|ring| ring.refusals),
            faults: sum(|ring| ring.faults),
            errors: sum(|ring| ring.errors),
            interrupts: sum(|ring| ring.interrupts),
            payload_bytes: sum(|ring| ring.payload_bytes),
            output_bytes: sum(|ring| ring.output_bytes),
            ..self.engine_statistics(id, &now.stats.since(&base.stats))
        };
        let len =
            Statistics::LEN + rings.len() * RingStatistics::LEN + statuses.len() * StatusCount::LEN;
        let head = Statistics {
            len: len as u32,
            ..head
        };
        let mut page = head.to_bytes().to_vec();
        page.extend(rings.iter().flat_map(|ring| ring.to_bytes()));
        page.extend(statuses.iter().flat_map(|status| status.to_bytes()));
        page
    }

    /// What all functions share, of which only the physical one hears.
    fn engine_statistics(&self, id: FunctionId, since: &CardStats) -> Statistics {
        if !id.is_physical() {
            return Statistics::default();
        }
        let groups = |of: fn(&GroupStats) -> u64| {
            let [cipher, digest, combined] = Group::ALL.map(|group| group as usize);
            [
                of(&since.groups[cipher]),
                of(&since.groups[digest]),
                of(&since.groups[combined]),
                of(&since.public_key),
            ]
        };
        Statistics {
            fetches: since.fetches,
            in_place: since.in_place,
            copied: since.copied,
            context_hits: since.context_hits,
            context_misses: since.context_misses,
            lane_commands: groups(|group| group.commands),
            lane_cycles: groups(|group| group.busy.as_ps()).map(|ps| self.in_cycles(ps)),
            ..Statistics::default()
        }
    }

    /// Every counter of function `id` as it is now.
    fn counted(&self, id: FunctionId) -> Counted {
        let function = self.function(id);
        let rings = self.rings[function.rings.clone()].iter().map(|ring| {
            let not_completed = ring.counters.forgotten + u64::from(ring.outstanding);
            RingCounted {
                completed: ring.counters.commands.saturating_sub(not_completed),
                counters: ring.counters,
            }
        });
        Counted {
            rings: rings.collect(),
            statuses: function.ledger.statuses,
            stats: self.stats,
        }
    }

    /// What a page of function `id` shows begins anew.
    pub(super) fn clear_page(&mut self, id: FunctionId, code: PageCode) {
        let counted = self.counted(id);
        let ledger = &mut self.function_mut(id).ledger;
        match code {
            PageCode::Errors => ledger.errors.clear(),
            PageCode::Statistics => ledger.base = counted,
            PageCode::Identity | PageCode::Health => {}
        }
    }
}

/// What the health page says of the card as a whole; zeros for a virtual function.
#[derive(Default)]
struct CardHealth {
    ecc_corrected: u64,
    ecc_uncorrected: u64,
    keks: u32,
}

impl CardHealth {
    fn of(card: &Card, id: FunctionId) -> Self {
        if !id.is_physical() {
            return Self::default();
        }
        Self {
            ecc_corrected: card.admin.context_errors.corrected,
            ecc_uncorrected: card.admin.context_errors.others,
            keks: card.admin.vault.count(),
        }
    }
}

/// What a ring pair did between two readings of its counters.
fn since((now, base): (&RingCounted, &RingCounted)) -> RingStatistics {
    let since = now.counters.since(&base.counters);
    let completed = now.completed.saturating_sub(base.completed);
    let endings = since.endings;
    let others = endings.digest_mismatch + endings.refused + endings.dma_fault + endings.failed;
    RingStatistics {
        commands: since.commands,
        completed,
        successes: completed.saturating_sub(others),
        mismatches: endings.digest_mismatch,
        refusals: endings.refused,
        faults: endings.dma_fault,
        errors: endings.failed,
        forgotten: since.forgotten,
        payload_bytes: since.payload_bytes,
        output_bytes: since.output_bytes,
        interrupts: since.interrupts,
        resets: since.resets,
        failures: since.failures,
    }
}
