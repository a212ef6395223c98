//! Counters: what the driver did, one for each reason.
//!
//! The driver is the only writer; a [`StatsHandle`] reads at any time, from any thread. A counter
//! costs what a plain integer costs, because one writer needs no locked instruction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one owner raises and anybody reads.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        let value = self.0.load(Ordering::Relaxed);
        self.0.store(value.wrapping_add(count), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn raise_to(&self, value: u64) {
        if value > self.0.load(Ordering::Relaxed) {
            self.0.store(value, Ordering::Relaxed);
        }
    }
}

macro_rules! counters {
    ( $( $(#[doc = $doc:literal])+ $name:ident, )+ ) => {
        /// What a driver has done since it was made. Counts never fall.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct DriverStats {
            $( $(#[doc = $doc])+ pub $name: u64, )+
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $( pub(crate) $name: Counter, )+
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> DriverStats {
                DriverStats {
                    $( $name: self.$name.0.load(Ordering::Relaxed), )+
                }
            }
        }

        impl DriverStats {
            /// Every counter with its name, in a fixed order, for reports.
            #[must_use]
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![ $( (stringify!($name), self.$name), )+ ]
            }
        }
    };
}

counters! {
    /// Data commands written to a ring.
    posted,
    /// Data completions taken from a ring.
    reaped,
    /// Command doorbells written.
    doorbells,
    /// Completion doorbells written.
    completion_doorbells,
    /// Admin commands written.
    admin_posted,
    /// Admin commands the card failed.
    admin_failed,
    /// Requests refused because their ring was full.
    refused_ring_full,
    /// Requests refused because no DMA window was left.
    refused_no_window,
    /// Requests refused because no memory to bounce through was left.
    refused_no_memory,
    /// Requests refused because no area for segment lists or keys was left.
    refused_no_area,
    /// Requests refused because the card was resetting.
    refused_not_running,
    /// Sessions refused because the table was full.
    refused_sessions,
    /// Requests failed because they exceed the card's limits.
    too_big,
    /// Requests failed for lack of memory or windows with nothing in flight to wait for.
    exhausted,
    /// Requests the card failed, digest mismatches aside.
    failed,
    /// Requests whose digest did not match.
    mismatched,
    /// Requests returned because the card went away or was reset.
    lost,
    /// Buffers copied through the pool.
    bounces,
    /// Bytes copied through the pool, in and out.
    bounced_bytes,
    /// Times the unblock generation rose.
    unblocks,
    /// Times a ring made no progress for the watchdog's time.
    watchdog_firings,
    /// Completions that only the watchdog found: their interrupt was lost.
    polled_completions,
    /// Command doorbells written again because a ring stood still.
    rerung,
    /// Resets of a card that hung or failed.
    resets,
    /// Resets that did not end in time.
    reset_timeouts,
    /// Errors the card reported by interrupt.
    card_errors,
    /// Completions that named nothing in flight or made no sense.
    strange_completions,
    /// Times a ring had more completions than one call takes.
    budget_exhausted,
    /// Most data commands in flight at once, all rings together.
    max_in_flight,
}

/// A view of a driver's counters that stays valid wherever the driver goes.
#[derive(Clone, Debug)]
pub struct StatsHandle(pub(crate) Arc<Counters>);

impl StatsHandle {
    /// The counters as they are now.
    #[must_use]
    pub fn get(&self) -> DriverStats {
        self.0.snapshot()
    }
}
