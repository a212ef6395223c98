//! Driver and framework in real time, over cards that are really there.

use std::time::Instant;

use dma::Pool;
use driver::{BringUpError, CardDriver, DriverConfig, DriverState, DriverStats, StatsHandle};
use framework::{DriverId, Framework, Limits};
use timebase::{Span, Time};

use super::path::Path;

/// Memory for cards, in bytes. Behind an emulated IOMMU each page of it costs a message.
pub(crate) const POOL_BYTES: usize = 8 << 20;
/// Longest sleep between two looks at everything.
const LONGEST_SLEEP: Span = Span::from_ms(100);
/// A ring that stands still for this long is looked into: a guest on a busy machine is slow.
pub(crate) const WATCHDOG: Span = Span::from_ms(500);

/// Cards with their drivers, and the framework over them.
pub(crate) struct Rig {
    start: Instant,
    pub(crate) framework: Framework<CardDriver<Path>>,
    pub(crate) pool: Pool,
    ring_entries: u32,
    cards: Vec<(DriverId, StatsHandle)>,
    /// How long to look for a completion before sleeping until an interrupt, if the last one came
    /// so soon.
    pub(crate) patience: Span,
    /// Completions when they were counted last, and since when nothing else came.
    reaped: u64,
    waits_since: Time,
    /// Whether the last completion was waited for no longer than there is patience.
    was_soon: bool,
}

impl Rig {
    /// Takes the cards behind `paths`, all of which use `pool`, with rings of `ring_entries`.
    ///
    /// # Errors
    /// [`BringUpError`] if one of them is not a card that can be used.
    #[expect(
        clippy::disallowed_methods,
        reason = "a card that is really there lives in real time"
    )]
    pub(crate) fn new(
        paths: Vec<Path>,
        pool: Pool,
        ring_entries: u32,
    ) -> Result<Self, BringUpError> {
        let mut rig = Self {
            start: Instant::now(),
            framework: Framework::with_number(Limits::default(), 0),
            pool,
            ring_entries,
            cards: Vec::new(),
            patience: Span::ZERO,
            reaped: 0,
            waits_since: Time::ZERO,
            was_soon: true,
        };
        for path in paths {
            rig.add(path)?;
        }
        Ok(rig)
    }

    /// Takes another card.
    ///
    /// # Errors
    /// [`BringUpError`] if it is not a card that can be used.
    pub(crate) fn add(&mut self, path: Path) -> Result<(), BringUpError> {
        let config = DriverConfig {
            name: format!("card{}", self.cards.len()),
            ring_pairs: 2,
            ring_entries: self.ring_entries,
            coalesce_count: 8,
            coalesce_timer: Span::from_us(50),
            watchdog: WATCHDOG,
            reset_timeout: Span::from_ms(5000),
            sessions: 256,
            ..DriverConfig::default()
        };
        let driver = CardDriver::new(path, config)?;
        let stats = driver.stats_handle();
        let driver = self.framework.register(Box::new(driver));
        self.cards.push((driver, stats));
        Ok(())
    }

    /// Commands that the card was given which came last.
    pub(crate) fn posted_to_last(&self) -> u64 {
        let last = self.cards.last();
        last.map_or(0, |(_, stats)| stats.get().posted)
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_ps(self.start.elapsed().as_nanos() as u64 * 1000)
    }

    /// Lets every driver do what is due.
    pub(crate) fn turn(&mut self) {
        for index in 0..self.cards.len() {
            let now = self.now();
            self.framework.service(now, self.cards[index].0);
        }
    }

    /// Sleeps until an interrupt comes or something is due, unless it is too early to sleep.
    pub(crate) fn sleep(&mut self) {
        let now = self.now();
        let reaped = self.total(|stats| stats.reaped);
        if reaped != self.reaped {
            (self.reaped, self.waits_since) = (reaped, now);
        }
        let looks_on = self.was_soon && now < self.waits_since + self.patience;
        for &(card, _) in &self.cards {
            if let Some(driver) = self.framework.driver_mut(card) {
                driver.set_interrupts(!looks_on);
            }
        }
        if looks_on {
            return std::thread::yield_now();
        }
        let until = self.framework.deadline().min(now + LONGEST_SLEEP);
        let ends: Vec<_> = self.drivers().flat_map(|d| d.transport().ends()).collect();
        if until > now {
            driver::wait_for(&ends, until - now);
        }
        self.was_soon = self.now() < self.waits_since + self.patience;
    }

    /// Waits until every card serves or is lost, at most until `end`; whether all serve.
    pub(crate) fn bring_up(&mut self, end: Time) -> bool {
        let is_under_way = |state| matches!(state, DriverState::Resetting | DriverState::Restoring);
        while self.now() < end && self.drivers().any(|driver| is_under_way(driver.state())) {
            self.turn();
            self.sleep();
        }
        self.serving() == self.cards.len()
    }

    /// Number of cards that are not lost.
    pub(crate) fn serving(&self) -> usize {
        let serving = self.drivers();
        let serving = serving.filter(|driver| driver.state() != DriverState::Lost);
        serving.count()
    }

    /// Resets every card from outside.
    pub(crate) fn reset(&mut self) {
        for &(card, _) in &self.cards {
            if let Some(driver) = self.framework.driver_mut(card) {
                driver.transport_mut().reset();
            }
        }
    }

    /// The drivers of cards that are not lost.
    pub(crate) fn drivers(&self) -> impl Iterator<Item = &CardDriver<Path>> {
        self.cards
            .iter()
            .filter_map(|&(card, _)| self.framework.driver(card))
    }

    /// Number of cards that there were, with those that are lost.
    pub(crate) fn cards(&self) -> usize {
        self.cards.len()
    }

    /// A counter, all cards together.
    pub(crate) fn total(&self, counter: impl Fn(&DriverStats) -> u64) -> u64 {
        self.cards
            .iter()
            .map(|(_, card)| counter(&card.get()))
            .sum()
    }

    /// Interrupts so far on vectors of admin rings, and on all others.
    pub(crate) fn interrupts(&self) -> (u64, u64) {
        self.drivers().fold((0, 0), |(admin, data), driver| {
            let all = &driver.transport().interrupts;
            let first = all.first().copied().unwrap_or(0);
            (admin + first, data + all.iter().skip(1).sum::<u64>())
        })
    }
}
