//! Pages: what a card tells of itself.
//!
//! Each page begins with the version of its layout and its length, so that a driver can read as
//! much of a longer one as it knows. All counters are since power-on, or since they were last read
//! with [`ArgumentFlags::CLEAR`](crate::ArgumentFlags::CLEAR) where a page says so.

use crate::map::codes;
use crate::record::record;
use crate::{CIPHERS, DIGESTS, Lengths};

/// Most bytes of a page that one command reads.
pub const PAGE_MAX: u32 = 1 << 14;
/// Version of the layouts in this module.
pub const PAGE_VERSION: u32 = 1;
/// Errors that the log holds, the newest.
pub const ERROR_LOG_ENTRIES: usize = 64;
/// Algorithms in the table of the identity page.
pub const ALGORITHMS: usize = CIPHERS.len() + DIGESTS.len();

codes! {
    /// Pages of a card.
    PageCode: u16 {
        /// What the card is and can do: [`Identity`], then an [`AlgorithmEntry`] for each
        /// algorithm.
        Identity = 0,
        /// The last errors: [`ErrorLog`], then an [`ErrorEntry`] for each, newest first; may be
        /// cleared.
        Errors = 1,
        /// How the card fares: [`Health`].
        Health = 2,
        /// What it did: [`Statistics`], then a [`RingStatistics`] for each ring pair, the admin
        /// ring first, then a [`StatusCount`] for each status that was not success; may be cleared.
        Statistics = 3,
    }
}

impl PageCode {
    /// Whether the page can be cleared when it has been read.
    #[must_use]
    pub const fn can_be_cleared(self) -> bool {
        matches!(self, Self::Errors | Self::Statistics)
    }
}

record! {
    /// What a card is and can do.
    Identity {
        /// Version of the layout.
        version: u32,
        /// Length of the page in bytes.
        len: u32,
        /// As register `DeviceId`.
        device: u32,
        /// As register `Version`.
        revision: u32,
        /// Serial number.
        serial: u64,
        /// Revision of the firmware, text padded with zeros.
        firmware: [u8; 16],
        /// Clock that time stamps and busy times are counted in, in hertz.
        clock_hz: u64,
        /// Bytes of entropy a second.
        entropy_rate: u64,
        /// Longest time from a reset until the function is ready, in nanoseconds.
        reset_ns: u64,
        /// As register `Errata`.
        errata: u32,
        /// Number of this function, zero for the physical one.
        function: u32,
        /// Virtual functions that the card may have; zero for a virtual function.
        virtual_functions: u32,
        /// Data ring pairs of this function.
        rings: u32,
        /// Most entries of a ring.
        ring_entries: u32,
        /// Most commands of one ring that are on the card at once.
        window: u32,
        /// Sessions of this function that the context table holds.
        sessions: u32,
        /// Contexts the cache holds.
        context_cache: u32,
        /// Most bytes of payload.
        payload_max: u32,
        /// Most bytes of AAD.
        aad_max: u32,
        /// Most segments of a stream.
        segments_max: u32,
        /// Most bytes of one draw of random numbers.
        random_max: u32,
        /// Longest number of a public-key command, in bits; zero without public-key lanes.
        public_key_bits: u32,
        /// Public-key operations, a bit for each code.
        public_key_ops: u32,
        /// Slots for key-encryption keys; zero for a virtual function, which has none.
        kek_slots: u32,
        /// Version of session blobs.
        blob_version: u32,
        /// Errors that the log holds.
        error_entries: u32,
        /// Lanes for ciphers.
        cipher_lanes: u8,
        /// Lanes for digests.
        digest_lanes: u8,
        /// Lanes for both combined.
        combined_lanes: u8,
        /// Public-key lanes.
        public_key_lanes: u8,
        /// Algorithms in the table that follows.
        algorithms: u32,
        /// Length of an entry of the table, in bytes.
        algorithm_len: u32,
    }
}

record! {
    /// One algorithm: its code and the lengths it takes, in bytes.
    AlgorithmEntry {
        /// 1 for a cipher, 2 for a digest.
        kind: u8,
        /// Cipher or digest code.
        code: u8,
        /// A payload is a multiple of this for a cipher; a digest works on so many at a time.
        block_len: u8,
        /// Zero.
        reserved: u8,
        /// Shortest, longest, and step of the key.
        key: [u8; 3],
        /// Shortest, longest, and step of the IV or nonce.
        iv: [u8; 3],
        /// Shortest, longest, and step of the digest or tag; zeros for a cipher without.
        digest: [u8; 3],
        /// Zeros.
        padding: [u8; 3],
    }
}

record! {
    /// Beginning of the error log.
    ErrorLog {
        /// Version of the layout.
        version: u32,
        /// Length of the page in bytes.
        len: u32,
        /// Errors since power-on, those included that the log has forgotten.
        total: u64,
        /// Entries that follow, the newest first.
        entries: u32,
        /// Length of an entry in bytes.
        entry_len: u32,
    }
}

record! {
    /// One error.
    ErrorEntry {
        /// Number of the error, from one on.
        number: u64,
        /// When it was noticed, in cycles since power-on.
        at: u64,
        /// Where DMA faulted, zero if it did not.
        address: u64,
        /// Cookie of the command, zero if a ring failed.
        cookie: u64,
        /// Ring pair.
        ring: u16,
        /// Status code.
        status: u16,
        /// Opcode of the command, all ones if a ring failed.
        opcode: u8,
        /// Bit 0: the card wanted to write. Bit 1: the ring stopped.
        what: u8,
        /// Zero.
        reserved: u16,
    }
}

impl ErrorEntry {
    /// Opcode of an error that is not of a command.
    pub const NO_OPCODE: u8 = 0xFF;
    /// Bit of [`what`](Self::what): a write faulted.
    pub const WRITE: u8 = 1 << 0;
    /// Bit of [`what`](Self::what): the ring stopped.
    pub const STOPPED: u8 = 1 << 1;
}

record! {
    /// How a card fares.
    Health {
        /// Version of the layout.
        version: u32,
        /// Length of the page in bytes.
        len: u32,
        /// Cycles since power-on: since register `Control` was first written.
        uptime: u64,
        /// Cycles since the last reset of the function, or since power-on.
        since_reset: u64,
        /// Resets of the function.
        resets: u64,
        /// Resets of ring pairs.
        ring_resets: u64,
        /// Ring pairs that stopped on an error.
        ring_failures: u64,
        /// Reads that the host refused.
        read_faults: u64,
        /// Writes that the host refused.
        write_faults: u64,
        /// Errors in context memory that were corrected; zero for a virtual function.
        ecc_corrected: u64,
        /// Errors in context memory that could not be corrected; zero for a virtual function.
        ecc_uncorrected: u64,
        /// Sessions of this function in the context table.
        sessions: u32,
        /// Old contexts that commands still need.
        retired: u32,
        /// Slots that hold a key-encryption key; zero for a virtual function.
        keks: u32,
        /// Zero.
        reserved: u32,
    }
}

record! {
    /// What a card did.
    Statistics {
        /// Version of the layout.
        version: u32,
        /// Length of the page in bytes.
        len: u32,
        /// Ring pairs that follow.
        rings: u32,
        /// Length of a ring pair's counters in bytes.
        ring_len: u32,
        /// Statuses that follow the ring pairs.
        statuses: u32,
        /// Length of a status and its count in bytes.
        status_len: u32,
        /// Commands fetched.
        commands: u64,
        /// Completions written.
        completions: u64,
        /// Completions with success.
        successes: u64,
        /// Digests and signatures that did not match.
        mismatches: u64,
        /// Commands that were refused.
        refusals: u64,
        /// Commands that ended with a DMA fault.
        faults: u64,
        /// Commands that failed in the card, or were aborted.
        errors: u64,
        /// Interrupt messages.
        interrupts: u64,
        /// Payload bytes of commands that reached an engine.
        payload_bytes: u64,
        /// Bytes written to destination streams.
        output_bytes: u64,
        /// Descriptor fetches. This and what follows is of the whole card, and zero for a virtual
        /// function.
        fetches: u64,
        /// Payloads transformed in host memory.
        in_place: u64,
        /// Payloads copied into the card and back.
        copied: u64,
        /// Contexts found in the cache.
        context_hits: u64,
        /// Contexts brought from the table.
        context_misses: u64,
        /// Commands of cipher, digest, combined and public-key lanes.
        lane_commands: [u64; 4],
        /// Cycles in which these lanes worked, summed over the lanes.
        lane_cycles: [u64; 4],
    }
}

record! {
    /// What a ring pair did.
    RingStatistics {
        /// Commands fetched.
        commands: u64,
        /// Commands that were completed.
        completed: u64,
        /// Completions with success.
        successes: u64,
        /// Digests and signatures that did not match.
        mismatches: u64,
        /// Commands that were refused.
        refusals: u64,
        /// Commands that ended with a DMA fault.
        faults: u64,
        /// Commands that failed in the card, or were aborted.
        errors: u64,
        /// Commands that a reset or a failure of the pair made the card forget.
        forgotten: u64,
        /// Payload bytes of commands that reached an engine.
        payload_bytes: u64,
        /// Bytes written to destination streams.
        output_bytes: u64,
        /// Interrupt messages.
        interrupts: u64,
        /// Resets of the pair.
        resets: u64,
        /// Times that the pair stopped on an error.
        failures: u64,
    }
}

record! {
    /// How often commands ended with a status.
    StatusCount {
        /// Status code.
        status: u64,
        /// Completions with it.
        count: u64,
    }
}

/// The table of algorithms as it follows [`Identity`].
#[must_use]
pub fn algorithm_entries() -> Vec<AlgorithmEntry> {
    let lengths = |lengths: Lengths| match lengths {
        Lengths::NONE => [0; 3],
        Lengths { min, max, step } => [min, max, step],
    };
    let ciphers = CIPHERS.iter().map(|info| AlgorithmEntry {
        kind: 1,
        code: info.code as u8,
        block_len: info.block_len,
        key: lengths(info.key),
        iv: lengths(info.iv),
        digest: lengths(info.tag),
        ..AlgorithmEntry::default()
    });
    let digests = DIGESTS.iter().map(|info| AlgorithmEntry {
        kind: 2,
        code: info.code as u8,
        block_len: info.block_len,
        key: lengths(info.key),
        iv: lengths(info.iv),
        digest: lengths(info.digest),
        ..AlgorithmEntry::default()
    });
    ciphers.chain(digests).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_at_multiples_of_their_size() {
        for table in [
            Identity::LAYOUT,
            AlgorithmEntry::LAYOUT,
            ErrorLog::LAYOUT,
            ErrorEntry::LAYOUT,
            Health::LAYOUT,
            Statistics::LAYOUT,
            RingStatistics::LAYOUT,
            StatusCount::LAYOUT,
        ] {
            for field in table.iter().filter(|field| matches!(field.len, 2 | 4 | 8)) {
                assert!(field.offset.is_multiple_of(field.len), "{}", field.name);
            }
            let last = table.last().unwrap();
            assert!((last.offset + last.len).is_multiple_of(8), "{}", last.name);
        }
    }

    #[test]
    fn every_page_of_the_largest_card_can_be_read_at_once() {
        let rings = 1 + crate::MAX_RING_PAIRS as usize;
        for len in [
            Identity::LEN + ALGORITHMS * AlgorithmEntry::LEN,
            ErrorLog::LEN + ERROR_LOG_ENTRIES * ErrorEntry::LEN,
            Health::LEN,
            Statistics::LEN + rings * RingStatistics::LEN,
        ] {
            assert!(len <= PAGE_MAX as usize, "{len}");
        }
        assert_eq!(algorithm_entries().len(), ALGORITHMS);
    }
}
