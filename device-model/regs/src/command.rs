//! The 64-byte command descriptor and the scatter/gather segment.
//!
//! A data command names two byte streams. The *source stream* is `[request keys] ‖ AAD ‖ payload ‖
//! [digest to verify]`; the *destination stream* is `payload ‖ [digest]`. Each is one run of memory
//! (direct) or a list of [`Segment`]s. Work is done in place when a source and a destination run
//! are the same memory.

use bitflags::bitflags;

use crate::{CardSession, DeviceAddr};

/// Size of a command descriptor, in bytes.
pub const COMMAND_LEN: usize = 64;
/// Size of a scatter/gather segment, in bytes.
pub const SEGMENT_LEN: usize = 16;
/// Most segments of one stream.
pub const MAX_SEGMENTS: u32 = 32;

/// What a command asks for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Opcode {
    /// Completes without doing anything.
    Nop = 0,
    /// Transforms or digests data with a session (data rings).
    Process = 1,
    /// Creates a session from the [`SessionBlock`](crate::SessionBlock) in the source stream (admin
    /// ring).
    SessionCreate = 0x40,
    /// Zeroes a session's context (admin ring).
    SessionDestroy = 0x41,
}

impl Opcode {
    /// The opcode that `code` stands for.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Nop),
            1 => Some(Self::Process),
            0x40 => Some(Self::SessionCreate),
            0x41 => Some(Self::SessionDestroy),
            _ => None,
        }
    }
}

bitflags! {
    /// Flags of a command.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct CommandFlags: u8 {
        /// `source` is the address of a segment list and `source_len` its number of segments.
        const SOURCE_SEGMENTS = 1 << 0;
        /// `destination` is the address of a segment list and `destination_len` its number of
        /// segments.
        const DESTINATION_SEGMENTS = 1 << 1;
        /// Encrypt, and compute the digest if the session has one. Clear: decrypt.
        const ENCRYPT = 1 << 2;
        /// The source stream ends with a digest that must match; the destination gets none.
        const VERIFY = 1 << 3;
        /// The source stream begins with keys for this command alone, cipher key first.
        const REQUEST_KEYS = 1 << 4;
        /// This completion does not count for an interrupt.
        const NO_INTERRUPT = 1 << 5;
        /// Every earlier command of the ring completes before this one starts.
        const FENCE = 1 << 6;
    }
}

/// A command descriptor.
///
/// | byte | field | byte | field |
/// |---|---|---|---|
/// | 0 | opcode | 32 | source length (bytes, or segments) |
/// | 1 | flags | 36 | destination length (bytes, or segments) |
/// | 2 | AAD length, 16 bits | 40 | payload length |
/// | 4 | session | 44 | reserved, zero |
/// | 8 | cookie, 64 bits | 48 | IV, 16 bytes |
/// | 16 | source address | | |
/// | 24 | destination address | | |
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Command {
    /// What to do; a code without meaning completes with
    /// [`Status::BadOpcode`](crate::Status::BadOpcode).
    pub opcode: u8,
    /// How to do it.
    pub flags: CommandFlags,
    /// Bytes of additional authenticated data in the source stream.
    pub aad_len: u16,
    /// The session to use, create or destroy.
    pub session: CardSession,
    /// Returned untouched in the completion.
    pub cookie: u64,
    /// Source stream, or its segment list.
    pub source: DeviceAddr,
    /// Destination stream, or its segment list.
    pub destination: DeviceAddr,
    /// Bytes of the source stream, or number of segments.
    pub source_len: u32,
    /// Bytes of the destination stream, or number of segments.
    pub destination_len: u32,
    /// Bytes of payload.
    pub payload_len: u32,
    /// Bytes 44 to 47; anything but zero completes with
    /// [`Status::ReservedBits`](crate::Status::ReservedBits).
    pub reserved: u32,
    /// Initialisation vector or nonce, left-aligned.
    pub iv: [u8; 16],
}

impl Command {
    /// The descriptor as it stands in the ring.
    #[must_use]
    #[inline]
    pub fn to_bytes(&self) -> [u8; COMMAND_LEN] {
        let mut bytes = [0; COMMAND_LEN];
        bytes[0] = self.opcode;
        bytes[1] = self.flags.bits();
        bytes[2..4].copy_from_slice(&self.aad_len.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.session.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.source.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.destination.0.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.source_len.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.destination_len.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.reserved.to_le_bytes());
        bytes[48..64].copy_from_slice(&self.iv);
        bytes
    }

    /// The descriptor that stands in `bytes`. Unknown flag bits are kept, so that they can be
    /// refused.
    #[must_use]
    #[inline]
    pub fn from_bytes(bytes: &[u8; COMMAND_LEN]) -> Self {
        Self {
            opcode: bytes[0],
            flags: CommandFlags::from_bits_retain(bytes[1]),
            aad_len: u16::from_le_bytes(field(bytes, 2)),
            session: CardSession(u32::from_le_bytes(field(bytes, 4))),
            cookie: u64::from_le_bytes(field(bytes, 8)),
            source: DeviceAddr(u64::from_le_bytes(field(bytes, 16))),
            destination: DeviceAddr(u64::from_le_bytes(field(bytes, 24))),
            source_len: u32::from_le_bytes(field(bytes, 32)),
            destination_len: u32::from_le_bytes(field(bytes, 36)),
            payload_len: u32::from_le_bytes(field(bytes, 40)),
            reserved: u32::from_le_bytes(field(bytes, 44)),
            iv: field(bytes, 48),
        }
    }
}

/// One run of memory of a stream: address at byte 0, length at byte 8, bytes 12 to 15 reserved.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Segment {
    /// Where the run begins.
    pub addr: DeviceAddr,
    /// Its length in bytes.
    pub len: u32,
}

impl Segment {
    /// The segment as it stands in a list.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SEGMENT_LEN] {
        let mut bytes = [0; SEGMENT_LEN];
        bytes[0..8].copy_from_slice(&self.addr.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// The segment that stands in `bytes`; `None` if the reserved bytes are not zero.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SEGMENT_LEN]) -> Option<Self> {
        if u32::from_le_bytes(field(bytes, 12)) != 0 {
            return None;
        }
        Some(Self {
            addr: DeviceAddr(u64::from_le_bytes(field(bytes, 0))),
            len: u32::from_le_bytes(field(bytes, 8)),
        })
    }
}

/// `N` bytes from position `at`.
#[inline]
pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_the_ring() {
        let command = Command {
            opcode: Opcode::Process as u8,
            flags: CommandFlags::ENCRYPT | CommandFlags::SOURCE_SEGMENTS,
            aad_len: 0x1234,
            session: CardSession(0xDEAD_BEEF),
            cookie: 0x0123_4567_89AB_CDEF,
            source: DeviceAddr(0x1122_3344_5566_7788),
            destination: DeviceAddr(0x99AA_BBCC_DDEE_FF00),
            source_len: 1,
            destination_len: 2,
            payload_len: 3,
            reserved: 4,
            iv: *b"0123456789abcdef",
        };
        assert_eq!(Command::from_bytes(&command.to_bytes()), command);
        assert_eq!(&command.to_bytes()[8..16], &command.cookie.to_le_bytes());
    }

    #[test]
    fn unknown_flag_bits_are_not_lost() {
        let mut bytes = Command::default().to_bytes();
        bytes[1] = 0x80;
        assert_eq!(Command::from_bytes(&bytes).flags.bits(), 0x80);
    }

    #[test]
    fn a_segment_with_reserved_bits_is_refused() {
        let segment = Segment {
            addr: DeviceAddr(7),
            len: 9,
        };
        let mut bytes = segment.to_bytes();
        assert_eq!(Segment::from_bytes(&bytes), Some(segment));
        bytes[13] = 1;
        assert_eq!(Segment::from_bytes(&bytes), None);
    }

    #[test]
    fn opcodes_decode_to_themselves() {
        for code in 0..=u8::MAX {
            if let Some(opcode) = Opcode::from_code(code) {
                assert_eq!(opcode as u8, code);
            }
        }
    }
}
