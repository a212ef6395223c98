//! A device profile: every number of the timing model, and the sizes of the card.
//!
//! Plain data; a profile file is parsed elsewhere.

use timebase::Span;

/// The link between host and card, one bandwidth for each direction.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct LinkTiming {
    /// From one end to the other.
    pub latency: Span,
    /// Payload and headers, bytes per second, each direction.
    pub bytes_per_second: u64,
    /// Largest payload of one write packet, in bytes.
    pub max_payload: u32,
    /// Header and framing of each packet, in bytes.
    pub packet_overhead: u32,
}

/// What a unit of work costs an engine lane.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Rate {
    /// Cycles for each request, whatever its size.
    pub startup_cycles: u32,
    /// Thousandths of a cycle for each byte.
    pub millicycles_per_byte: u32,
}

/// A group of equal engine lanes.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct EngineGroup {
    /// Lanes that work side by side, 1 to 64.
    pub lanes: u8,
    /// Clock of the lanes in hertz.
    pub clock_hz: u64,
    /// What work costs.
    pub rate: Rate,
}

/// The engine groups of a card.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Engines {
    /// Ciphers without a digest.
    pub cipher: EngineGroup,
    /// Digests without a cipher.
    pub digest: EngineGroup,
    /// AEAD and encrypt-then-authenticate.
    pub combined: EngineGroup,
}

/// A device profile.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Profile {
    /// Name for people.
    pub name: String,
    /// Data ring pairs, 1 to 64.
    pub ring_pairs: u16,
    /// Sessions the context table holds.
    pub session_capacity: u32,
    /// Contexts the cache holds.
    pub context_cache_entries: u32,
    /// Context found in the cache.
    pub context_hit: Span,
    /// Context brought from the table.
    pub context_miss: Span,
    /// Most commands of one descriptor fetch.
    pub fetch_burst: u32,
    /// Handling of one command between fetch and engine.
    pub command_overhead: Span,
    /// The link.
    pub link: LinkTiming,
    /// The engines.
    pub engines: Engines,
    /// From the end of a write-back to the interrupt message.
    pub interrupt_delay: Span,
    /// From a reset until the card is ready.
    pub reset_time: Span,
}

/// Why a profile describes no card.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("profile {profile}: {field} is {value}, expected {expected}")]
pub struct ProfileError {
    /// Name of the profile.
    pub profile: String,
    /// Which number.
    pub field: &'static str,
    /// What it is.
    pub value: String,
    /// What it should be.
    pub expected: &'static str,
}

/// Longest span a profile may hold.
const SPAN_MAX: Span = Span::from_ms(3_600_000);

impl Profile {
    /// The reference card: four data ring pairs on a third-generation x8 link.
    #[must_use]
    pub fn reference() -> Self {
        let group = |lanes, startup_cycles, millicycles_per_byte| EngineGroup {
            lanes,
            clock_hz: 800_000_000,
            rate: Rate {
                startup_cycles,
                millicycles_per_byte,
            },
        };
        Self {
            name: "reference".into(),
            ring_pairs: 4,
            session_capacity: 16_384,
            context_cache_entries: 256,
            context_hit: Span::from_ns(5),
            context_miss: Span::from_ns(250),
            fetch_burst: 16,
            command_overhead: Span::from_ns(20),
            link: LinkTiming {
                latency: Span::from_ns(250),
                bytes_per_second: 7_877_000_000,
                max_payload: 256,
                packet_overhead: 24,
            },
            engines: Engines {
                cipher: group(8, 60, 500),
                digest: group(8, 80, 1_000),
                combined: group(8, 120, 1_000),
            },
            interrupt_delay: Span::from_ns(100),
            reset_time: Span::from_us(50),
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`ProfileError`] with the first number that describes no card.
    pub fn validate(&self) -> Result<(), ProfileError> {
        let within = |field, value: u64, range: (u64, u64), expected| {
            if (range.0..=range.1).contains(&value) {
                Ok(())
            } else {
                Err(ProfileError {
                    profile: self.name.clone(),
                    field,
                    value: value.to_string(),
                    expected,
                })
            }
        };
        let link = &self.link;
        within("ring_pairs", self.ring_pairs.into(), (1, 64), "1 to 64")?;
        let capacity = u64::from(self.session_capacity);
        within("session_capacity", capacity, (1, 1 << 24), "1 to 2^24")?;
        let cache = u64::from(self.context_cache_entries);
        within("context_cache_entries", cache, (0, 1 << 20), "up to 2^20")?;
        within("fetch_burst", self.fetch_burst.into(), (1, 128), "1 to 128")?;
        within(
            "link.bytes_per_second",
            link.bytes_per_second,
            (1_000_000, 1_000_000_000_000),
            "1 MB to 1 TB a second",
        )?;
        within(
            "link.max_payload",
            if link.max_payload.is_power_of_two() {
                link.max_payload.into()
            } else {
                0
            },
            (128, 4096),
            "a power of two from 128 to 4096",
        )?;
        let overhead = u64::from(link.packet_overhead);
        within("link.packet_overhead", overhead, (0, 256), "up to 256")?;
        for (field, span) in [
            ("context_hit", self.context_hit),
            ("context_miss", self.context_miss),
            ("command_overhead", self.command_overhead),
            ("link.latency", link.latency),
            ("interrupt_delay", self.interrupt_delay),
            ("reset_time", self.reset_time),
        ] {
            within(field, span.as_ps(), (0, SPAN_MAX.as_ps()), "up to an hour")?;
        }
        let engines = &self.engines;
        for (lanes, clock, group) in [
            ("cipher.lanes", "cipher.clock_hz", &engines.cipher),
            ("digest.lanes", "digest.clock_hz", &engines.digest),
            ("combined.lanes", "combined.clock_hz", &engines.combined),
        ] {
            within(lanes, group.lanes.into(), (1, 64), "1 to 64")?;
            let range = (1_000_000, 100_000_000_000);
            within(clock, group.clock_hz, range, "1 MHz to 100 GHz")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_card_is_a_card() {
        assert_eq!(Profile::reference().validate(), Ok(()));
    }

    #[test]
    fn numbers_that_describe_no_card_are_named() {
        let field = |change: fn(&mut Profile)| {
            let mut profile = Profile::reference();
            change(&mut profile);
            profile.validate().unwrap_err().field
        };
        assert_eq!(field(|p| p.ring_pairs = 0), "ring_pairs");
        assert_eq!(field(|p| p.ring_pairs = 65), "ring_pairs");
        assert_eq!(field(|p| p.session_capacity = 0), "session_capacity");
        assert_eq!(field(|p| p.fetch_burst = 0), "fetch_burst");
        assert_eq!(field(|p| p.link.max_payload = 200), "link.max_payload");
        assert_eq!(
            field(|p| p.link.bytes_per_second = 0),
            "link.bytes_per_second"
        );
        assert_eq!(field(|p| p.engines.digest.lanes = 65), "digest.lanes");
        assert_eq!(field(|p| p.engines.cipher.clock_hz = 0), "cipher.clock_hz");
        assert_eq!(
            field(|p| p.reset_time = Span::from_ms(u64::MAX)),
            "reset_time"
        );
    }
}
