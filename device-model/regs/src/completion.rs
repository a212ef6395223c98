//! The 32-byte completion entry and its status codes.
//!
//! Write order: bytes 0 to 27 first, the status word last. A driver that sees the phase bit of the
//! current lap may read the rest of the entry and everything the command wrote.

use crate::command::field;
use crate::map::{codes, layout};
use crate::{Slot, WireInfo};

/// Size of a completion entry, in bytes.
pub const COMPLETION_LEN: usize = 32;

codes! {
    /// How a command ended.
    Status: u16 {
        /// Done.
        Success = 0,
        /// The digest did not match; the destination was not written.
        DigestMismatch = 1,
        /// The signature is wrong.
        SignatureMismatch = 2,
        /// The opcode means nothing on this ring.
        BadOpcode = 0x10,
        /// A reserved bit or byte is not zero.
        ReservedBits = 0x11,
        /// No such session.
        BadSession = 0x12,
        /// The session exists already.
        SessionExists = 0x13,
        /// Lengths contradict each other, the session, or the block size.
        BadLength = 0x14,
        /// A segment list is empty, too long or malformed.
        BadSegments = 0x15,
        /// The session block asks for what the card lacks, or the flags for what the session lacks.
        BadParameters = 0x16,
        /// A digest state is malformed, of another algorithm, or sealed under another key.
        BadState = 0x17,
        /// The result of compression or decompression is longer than the destination stream.
        OutputTooLong = 0x18,
        /// The payload to decompress is not one whole deflate stream.
        BadStream = 0x19,
        /// A read outside a live window, or of a write-only one.
        ReadFault = 0x20,
        /// A write outside a live window, or of a read-only one.
        WriteFault = 0x21,
        /// The engine detected an error inside itself.
        EngineError = 0x30,
        /// The ring was aborted before the command finished; its data was not touched.
        Aborted = 0x40,
        /// The slot holds no key-encryption key, or the card has no root key.
        NoKek = 0x50,
        /// The slot holds a key-encryption key already.
        KekExists = 0x51,
        /// The bytes are no blob or offer, or one of a version that the card does not know.
        BadVersion = 0x52,
        /// The blob was made under another key-encryption key, by a card that is not the other end
        /// of it, or for another owner.
        ForeignBlob = 0x53,
        /// What came wrapped is not as a card wrapped it.
        ForgedBlob = 0x54,
        /// The blob was imported before, or is too old to tell.
        ReplayedBlob = 0x55,
        /// There is no result for these numbers.
        BadOperand = 0x58,
        /// A result has more bits than there is room for.
        ResultTooLarge = 0x59,
        /// The entropy source failed its health test.
        EntropyFailure = 0x5A,
    }
}

/// A completion entry; [`Completion::LAYOUT`] says where its fields stand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Completion {
    /// The cookie of the command.
    pub cookie: u64,
    /// First slot of the command ring that was not yet fetched.
    pub command_head: Slot,
    /// Bytes written to the destination stream; with [`Status::OutputTooLong`] the bytes that the
    /// result of compression has.
    pub output_len: u32,
    /// Where DMA faulted, zero if it did not.
    pub fault_addr: u64,
    /// Status code; see [`Status::from_code`].
    pub status: u16,
    /// Lap bit: starts at one and flips each time the ring wraps.
    pub phase: bool,
}

impl Completion {
    /// Where the fields stand in the ring.
    pub const LAYOUT: &'static [WireInfo] = layout![
        cookie[8] "the cookie of the command",
        command_head[4] "commands before this slot have been fetched",
        output_len[4] "bytes written to the destination stream",
        fault_addr[8] "where DMA faulted, zero if it did not",
        _reserved[4] "zero",
        status[4] "status word: bit 0 phase, bits 31..16 status code",
    ];

    /// Offset of `output_len` in the entry, in bytes.
    pub const OUTPUT_LEN_AT: usize = 12;
    /// Offset of the status word in the entry, in bytes.
    pub const STATUS_AT: usize = 28;

    /// The entry as it stands in the ring.
    #[must_use]
    #[inline]
    pub fn to_bytes(&self) -> [u8; COMPLETION_LEN] {
        let mut bytes = [0; COMPLETION_LEN];
        bytes[0..8].copy_from_slice(&self.cookie.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.command_head.0.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.output_len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.fault_addr.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.status_word().to_le_bytes());
        bytes
    }

    /// The entry that stands in `bytes`.
    #[must_use]
    #[inline]
    pub fn from_bytes(bytes: &[u8; COMPLETION_LEN]) -> Self {
        let word = u32::from_le_bytes(field(bytes, Self::STATUS_AT));
        Self {
            cookie: u64::from_le_bytes(field(bytes, 0)),
            command_head: Slot(u32::from_le_bytes(field(bytes, 8))),
            output_len: u32::from_le_bytes(field(bytes, 12)),
            fault_addr: u64::from_le_bytes(field(bytes, 16)),
            status: (word >> 16) as u16,
            phase: word & 1 != 0,
        }
    }

    fn status_word(&self) -> u32 {
        (u32::from(self.status) << 16) | u32::from(self.phase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_survives_the_ring() {
        for &status in Status::ALL {
            let completion = Completion {
                cookie: 0x0123_4567_89AB_CDEF,
                command_head: Slot(77),
                output_len: 88,
                fault_addr: 99,
                status: status as u16,
                phase: true,
            };
            assert_eq!(Completion::from_bytes(&completion.to_bytes()), completion);
            assert_eq!(Status::from_code(completion.status), Some(status));
        }
    }

    #[test]
    fn the_phase_bit_is_in_the_last_word() {
        let entry = Completion {
            phase: true,
            ..Completion::default()
        };
        let bytes = entry.to_bytes();
        assert!(bytes[..Completion::STATUS_AT].iter().all(|&byte| byte == 0));
        assert_eq!(bytes[Completion::STATUS_AT], 1);
    }

    #[test]
    fn codes_without_meaning_are_not_statuses() {
        assert_eq!(Status::from_code(3), None);
        assert_eq!(Status::from_code(u16::MAX), None);
    }
}
