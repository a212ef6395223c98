//! What a user may choose about a driver, and why a card is not brought up.

use dma::PoolError;
use regs::{Errata, MAX_RING_ENTRIES, MAX_RING_PAIRS, MIN_RING_ENTRIES};
use timebase::Span;

use crate::MapError;

/// What a user may choose. Plain data; [`validate`](Self::validate) says what is wrong with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DriverConfig {
    /// Name for people, such as `ring0`; unique among registered drivers.
    pub name: String,
    /// Data ring pairs to use, 1 to 64. A card with fewer pairs is used with those it has.
    pub ring_pairs: u16,
    /// Entries of each data ring, 2 to 65,536; one slot always stays empty.
    pub ring_entries: u32,
    /// Completions that send an interrupt at once; 0 counts as 1.
    pub coalesce_count: u32,
    /// After this long a completion sends an interrupt whatever the count; below the watchdog and
    /// 4.29 s, and above zero if the count exceeds 1.
    pub coalesce_timer: Span,
    /// A ring with work in flight and no completion for this long is looked into.
    pub watchdog: Span,
    /// A card that is not ready this long after a reset is given up.
    pub reset_timeout: Span,
    /// Most completions taken from one ring in one call of `service`, at least 1.
    pub reap_budget: u32,
    /// Most session slots to use, at least 1. A card with fewer is used with those it has.
    pub sessions: u32,
    /// Errata of the card that the driver does not work around, to see what they do.
    pub ignore_errata: Errata,
    /// Whether the card is asked what it is and can do, so that it is offered for nothing else.
    pub identify: bool,
}

/// What is wrong with a [`DriverConfig`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A number outside its range.
    #[error("{field} is {value}, expected {expected}")]
    Range {
        /// Which field.
        field: &'static str,
        /// What it is; times are in nanoseconds.
        value: u64,
        /// What it should be.
        expected: &'static str,
    },
    /// The name is empty.
    #[error("the name is empty")]
    Name,
}

/// Why a card was not brought up.
#[derive(Debug, thiserror::Error)]
pub enum BringUpError {
    /// The configuration makes no sense.
    #[error("configuration")]
    Config(#[source] ConfigError),
    /// Nobody answers.
    #[error("no card answers")]
    Gone,
    /// Somebody answers, but it is another device.
    #[error("device id {id:#010x} is not this driver's card")]
    ForeignDevice {
        /// What the identification register reads.
        id: u32,
    },
    /// The path delivers no interrupts.
    #[error("the path to the card has no interrupt vector")]
    NoVectors,
    /// No memory for rings.
    #[error("memory for the rings")]
    Memory(#[source] PoolError),
    /// The memory for rings was not mapped.
    #[error("mapping of the rings")]
    Map(#[source] MapError),
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self {
            name: "ring0".to_owned(),
            ring_pairs: 1,
            ring_entries: 512,
            coalesce_count: 1,
            coalesce_timer: Span::ZERO,
            watchdog: Span::from_ms(10),
            reset_timeout: Span::from_ms(100),
            reap_budget: 256,
            sessions: 4096,
            ignore_errata: Errata::empty(),
            identify: true,
        }
    }
}

impl DriverConfig {
    /// Whether a driver can work with this.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.name.is_empty() {
            return Err(ConfigError::Name);
        }
        let coalesces = self.coalesce_count > 1;
        let timer_ns = self.coalesce_timer.as_ns();
        let pairs = u64::from(MAX_RING_PAIRS);
        let entries = u64::from(MIN_RING_ENTRIES)..=u64::from(MAX_RING_ENTRIES);
        let checks = [
            (
                "ring_pairs",
                u64::from(self.ring_pairs),
                (1..=pairs).contains(&u64::from(self.ring_pairs)),
                "1 to 64",
            ),
            (
                "ring_entries",
                u64::from(self.ring_entries),
                entries.contains(&u64::from(self.ring_entries)),
                "2 to 65,536",
            ),
            (
                "coalesce_timer",
                timer_ns,
                timer_ns <= u64::from(u32::MAX)
                    && self.coalesce_timer < self.watchdog
                    && (timer_ns > 0 || !coalesces),
                "below the watchdog, and above zero if completions are coalesced",
            ),
            (
                "reset_timeout",
                self.reset_timeout.as_ns(),
                self.reset_timeout > Span::ZERO,
                "above zero",
            ),
            (
                "reap_budget",
                u64::from(self.reap_budget),
                self.reap_budget > 0,
                "at least 1",
            ),
            (
                "sessions",
                u64::from(self.sessions),
                self.sessions > 0,
                "at least 1",
            ),
        ];
        checks
            .into_iter()
            .find(|&(_, _, is_good, _)| !is_good)
            .map_or(Ok(()), |(field, value, _, expected)| {
                Err(ConfigError::Range {
                    field,
                    value,
                    expected,
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_of(change: impl FnOnce(&mut DriverConfig)) -> Option<&'static str> {
        let mut config = DriverConfig::default();
        change(&mut config);
        match config.validate() {
            Ok(()) => None,
            Err(ConfigError::Range { field, .. }) => Some(field),
            Err(ConfigError::Name) => Some("name"),
        }
    }

    #[test]
    fn the_default_is_valid() {
        assert_eq!(DriverConfig::default().validate(), Ok(()));
    }

    #[test]
    fn each_bad_field_is_named() {
        assert_eq!(field_of(|c| c.name.clear()), Some("name"));
        assert_eq!(field_of(|c| c.ring_pairs = 0), Some("ring_pairs"));
        assert_eq!(field_of(|c| c.ring_pairs = 65), Some("ring_pairs"));
        assert_eq!(field_of(|c| c.ring_entries = 1), Some("ring_entries"));
        assert_eq!(field_of(|c| c.ring_entries = 65_537), Some("ring_entries"));
        assert_eq!(field_of(|c| c.reap_budget = 0), Some("reap_budget"));
        assert_eq!(field_of(|c| c.sessions = 0), Some("sessions"));
        assert_eq!(
            field_of(|c| c.reset_timeout = Span::ZERO),
            Some("reset_timeout")
        );
    }

    #[test]
    fn a_count_without_a_timer_would_strand_completions() {
        assert_eq!(field_of(|c| c.coalesce_count = 8), Some("coalesce_timer"));
        assert_eq!(
            field_of(|c| {
                c.coalesce_count = 8;
                c.coalesce_timer = Span::from_us(5);
            }),
            None
        );
        assert_eq!(
            field_of(|c| c.coalesce_timer = c.watchdog),
            Some("coalesce_timer")
        );
    }
}
