//! A device profile: every number of the timing model, and the sizes of the card.
//!
//! Plain data; a profile file is parsed elsewhere.

use regs::Errata;
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

/// What one round of an algorithm costs a lane, in thousandths of a cycle, on top of the group's
/// [`Rate`]. How many rounds a block takes is the algorithm's standard's to say: AES has 10, 12 or
/// 14 for 16 bytes (FIPS 197), Triple DES 48 for 8 (FIPS 46-3), SHA-1 80 and SHA-256 64 for 64,
/// SHA-512 80 for 128 (FIPS 180-4), SM4 32 for 16, SM3 64 for 64 (GB/T 32907, GB/T 32905).
/// Zero where the rate for each byte says it all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Rounds {
    /// AES in any mode.
    pub aes: u32,
    /// DES and Triple DES, which is three times DES.
    pub des: u32,
    /// SM4.
    pub sm4: u32,
    /// SHA-1, with or without a key.
    pub sha1: u32,
    /// SHA-224 and SHA-256, with or without a key.
    pub sha256: u32,
    /// SHA-384 and SHA-512, with or without a key.
    pub sha512: u32,
    /// SM3, with or without a key.
    pub sm3: u32,
}

/// Processors with firmware that prepare each data command between decoding and its lane.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Firmware {
    /// Processors that work side by side, each on one command, 1 to 64.
    pub processors: u8,
    /// Their clock in hertz.
    pub clock_hz: u64,
    /// Cycles for each command.
    pub command_cycles: u32,
    /// More cycles for a command of a cipher with a separate digest.
    pub digest_cycles: u32,
    /// More cycles for a command of an AEAD cipher.
    pub aead_cycles: u32,
    /// Thousandths of a cycle for each byte that is digested.
    pub millicycles_per_digested_byte: u32,
    /// Share of the cycles above, without those for bytes, in which the processor also holds the
    /// lane: thousandths.
    pub held_permille: u32,
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
    /// What rounds cost, in any group.
    pub rounds: Rounds,
}

/// Lanes that work on long numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct PublicKeyEngine {
    /// Lanes that work side by side, 1 to 64.
    pub lanes: u8,
    /// Clock of the lanes in hertz.
    pub clock_hz: u64,
    /// Cycles for each command, whatever its size.
    pub startup_cycles: u32,
    /// Thousandths of a cycle for each product of two 64-bit words.
    pub millicycles_per_product: u32,
}

/// Where random numbers come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct EntropySource {
    /// Bytes a second.
    pub bytes_per_second: u64,
    /// Bytes that are kept ready.
    pub buffer_len: u32,
}

/// A source like those that cards have: a megabyte a second, four kilobytes of it kept ready.
impl Default for EntropySource {
    fn default() -> Self {
        Self {
            bytes_per_second: 1_000_000,
            buffer_len: 4096,
        }
    }
}

/// A device profile.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Profile {
    /// Name for people.
    pub name: String,
    /// Data ring pairs, 1 to 64.
    pub ring_pairs: u16,
    /// Sessions the context table holds for the physical function.
    pub session_capacity: u32,
    /// Virtual functions the card can have, 0 to 32.
    pub virtual_functions: u16,
    /// Data ring pairs of a virtual function.
    pub virtual_ring_pairs: u16,
    /// Sessions the context table holds for each virtual function.
    pub virtual_sessions: u32,
    /// Contexts the cache holds.
    pub context_cache_entries: u32,
    /// Context found in the cache.
    pub context_hit: Span,
    /// Context brought from the table.
    pub context_miss: Span,
    /// Bytes that a context not in the cache brings over the link; zero if the table is in the
    /// card's own memory.
    pub context_bytes: u32,
    /// Most commands of one descriptor fetch.
    pub fetch_burst: u32,
    /// Handling of one command between fetch and engine, one after the other.
    pub command_overhead: Span,
    /// What prepares data commands after that, if anything does.
    pub firmware: Option<Firmware>,
    /// The link.
    pub link: LinkTiming,
    /// The engines.
    pub engines: Engines,
    /// Lanes that work on long numbers, if the card has any.
    pub public_key: Option<PublicKeyEngine>,
    /// Where random numbers come from.
    pub entropy: EntropySource,
    /// From the end of a write-back to the interrupt message.
    pub interrupt_delay: Span,
    /// From a reset until the card is ready.
    pub reset_time: Span,
    /// What the card does wrong.
    pub errata: Errata,
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
/// Slowest and fastest clock, in hertz.
const CLOCK: (u64, u64) = (1_000_000, 100_000_000_000);
const CLOCK_EXPECTED: &str = "1 MHz to 100 GHz";

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
            virtual_functions: 4,
            virtual_ring_pairs: 2,
            virtual_sessions: 1_024,
            context_cache_entries: 256,
            context_hit: Span::from_ns(5),
            context_miss: Span::from_ns(250),
            context_bytes: 0,
            fetch_burst: 16,
            command_overhead: Span::from_ns(20),
            firmware: None,
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
                rounds: Rounds::default(),
            },
            public_key: Some(PublicKeyEngine {
                lanes: 4,
                clock_hz: 800_000_000,
                startup_cycles: 400,
                millicycles_per_product: 250,
            }),
            entropy: EntropySource::default(),
            interrupt_delay: Span::from_ns(100),
            reset_time: Span::from_us(50),
            errata: Errata::empty(),
        }
    }

    /// Sessions of all functions together.
    pub(crate) fn all_sessions(&self) -> u32 {
        self.session_capacity + u32::from(self.virtual_functions) * self.virtual_sessions
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`ProfileError`] with the first number that describes no card.
    pub fn validate(&self) -> Result<(), ProfileError> {
        let rings = u64::from(self.ring_pairs);
        self.within("ring_pairs", rings, (1, 64), "1 to 64")?;
        let capacity = u64::from(self.session_capacity);
        self.within("session_capacity", capacity, (1, 1 << 24), "1 to 2^24")?;
        let functions = u64::from(self.virtual_functions);
        self.within("virtual_functions", functions, (0, 32), "up to 32")?;
        let pairs = u64::from(self.virtual_ring_pairs);
        self.within("virtual_ring_pairs", pairs, (1, 64), "1 to 64")?;
        let all_pairs = rings + 1 + functions * (pairs + 1);
        let expected = "a number with which the card has at most 128 ring pairs";
        self.within("virtual_functions", all_pairs, (0, 128), expected)?;
        let sessions = u64::from(self.virtual_sessions);
        self.within("virtual_sessions", sessions, (1, 1 << 20), "1 to 2^20")?;
        let cache = u64::from(self.context_cache_entries);
        self.within("context_cache_entries", cache, (0, 1 << 20), "up to 2^20")?;
        let bytes = u64::from(self.context_bytes);
        self.within("context_bytes", bytes, (0, 4096), "up to 4096")?;
        let burst = u64::from(self.fetch_burst);
        self.within("fetch_burst", burst, (1, 128), "1 to 128")?;
        self.validate_link()?;
        for (field, span) in [
            ("context_hit", self.context_hit),
            ("context_miss", self.context_miss),
            ("command_overhead", self.command_overhead),
            ("link.latency", self.link.latency),
            ("interrupt_delay", self.interrupt_delay),
            ("reset_time", self.reset_time),
        ] {
            self.within(field, span.as_ps(), (0, SPAN_MAX.as_ps()), "up to an hour")?;
        }
        self.validate_engines()?;
        self.validate_services()?;
        let unknown = self.errata.difference(Errata::all()).bits();
        self.within("errata", unknown.into(), (0, 0), "errata of the sheet")
    }

    fn validate_link(&self) -> Result<(), ProfileError> {
        let link = &self.link;
        self.within(
            "link.bytes_per_second",
            link.bytes_per_second,
            (1_000_000, 1_000_000_000_000),
            "1 MB to 1 TB a second",
        )?;
        self.within(
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
        self.within("link.packet_overhead", overhead, (0, 256), "up to 256")
    }

    fn validate_engines(&self) -> Result<(), ProfileError> {
        let engines = &self.engines;
        for (lanes, clock, group) in [
            ("cipher.lanes", "cipher.clock_hz", &engines.cipher),
            ("digest.lanes", "digest.clock_hz", &engines.digest),
            ("combined.lanes", "combined.clock_hz", &engines.combined),
        ] {
            self.within(lanes, group.lanes.into(), (1, 64), "1 to 64")?;
            self.within(clock, group.clock_hz, CLOCK, CLOCK_EXPECTED)?;
        }
        let Some(firmware) = &self.firmware else {
            return Ok(());
        };
        let processors = u64::from(firmware.processors);
        self.within("firmware.processors", processors, (1, 64), "1 to 64")?;
        let clock = firmware.clock_hz;
        self.within("firmware.clock_hz", clock, CLOCK, CLOCK_EXPECTED)?;
        let held = u64::from(firmware.held_permille);
        self.within("firmware.held_permille", held, (0, 1000), "up to 1000")
    }

    fn validate_services(&self) -> Result<(), ProfileError> {
        let rate = self.entropy.bytes_per_second;
        let expected = "1 byte to 1 TB a second";
        self.within(
            "entropy.bytes_per_second",
            rate,
            (1, 1_000_000_000_000),
            expected,
        )?;
        if let Some(engine) = &self.public_key {
            let (lanes, clock) = ("public_key.lanes", "public_key.clock_hz");
            self.within(lanes, engine.lanes.into(), (1, 64), "1 to 64")?;
            self.within(clock, engine.clock_hz, CLOCK, CLOCK_EXPECTED)?;
        }
        Ok(())
    }

    fn within(
        &self,
        field: &'static str,
        value: u64,
        range: (u64, u64),
        expected: &'static str,
    ) -> Result<(), ProfileError> {
        if (range.0..=range.1).contains(&value) {
            return Ok(());
        }
        Err(ProfileError {
            profile: self.name.clone(),
            field,
            value: value.to_string(),
            expected,
        })
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
        assert_eq!(field(|p| p.virtual_functions = 33), "virtual_functions");
        assert_eq!(field(|p| p.virtual_ring_pairs = 64), "virtual_functions");
        assert_eq!(field(|p| p.virtual_ring_pairs = 0), "virtual_ring_pairs");
        assert_eq!(field(|p| p.virtual_sessions = 0), "virtual_sessions");
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
        assert_eq!(
            field(|p| p.entropy.bytes_per_second = 0),
            "entropy.bytes_per_second"
        );
        assert_eq!(
            field(|p| p.public_key.as_mut().unwrap().lanes = 0),
            "public_key.lanes"
        );
    }
}
