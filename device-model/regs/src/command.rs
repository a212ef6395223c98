//! The 64-byte command descriptor and the scatter/gather segment.
//!
//! A data command names two byte streams. The *source stream* is `[request keys] ‖ [rest of the
//! IV] ‖ AAD ‖ payload ‖ [digest to verify]`; the *destination stream* is `payload ‖ [digest]`.
//! Each is one run of memory (direct) or a list of [`Segment`]s. Work is done in place when a
//! source and a destination run are the same memory.

use crate::map::{codes, flags, layout};
use crate::{CardSession, DeviceAddr, WireInfo};

/// Size of a command descriptor, in bytes.
pub const COMMAND_LEN: usize = 64;
/// Size of a scatter/gather segment, in bytes.
pub const SEGMENT_LEN: usize = 16;
/// Most segments of one stream.
pub const MAX_SEGMENTS: u32 = 32;

codes! {
    /// What a command asks for.
    Opcode: u8 {
        /// Completes without doing anything.
        Nop = 0,
        /// Transforms or digests data with a session (data rings).
        Process = 1,
        /// Digests the first part of a message, and writes the state after it (data rings).
        DigestBegin = 2,
        /// Digests a part of a message from the state before it, and writes the state after it
        /// (data rings).
        DigestContinue = 3,
        /// Digests the last part of a message from the state before it (data rings).
        DigestEnd = 4,
        /// Computes with long numbers, see [`PublicKeyOp`](crate::PublicKeyOp) (any ring).
        PublicKey = 8,
        /// Fills the destination stream with random bytes (any ring).
        Random = 9,
        /// Creates a session from the [`SessionBlock`](crate::SessionBlock) in the source stream
        /// (admin ring).
        SessionCreate = 0x40,
        /// Zeroes a session's context (admin ring).
        SessionDestroy = 0x41,
        /// Gives a session the keys of the [`SessionBlock`](crate::SessionBlock) in the source
        /// stream (admin ring).
        SessionRekey = 0x42,
        /// Writes a session to the destination stream as a blob under a key-encryption key (admin
        /// ring).
        SessionExport = 0x43,
        /// Creates a session from the blob in the source stream (admin ring).
        SessionImport = 0x44,
        /// Loads a key-encryption key that is wrapped under the root key (admin ring).
        KekLoad = 0x48,
        /// Begins an agreement with another card: writes a [`KekOffer`](crate::KekOffer) (admin
        /// ring).
        KekOffer = 0x49,
        /// Ends an agreement with the other card's [`KekOffer`](crate::KekOffer) (admin ring).
        KekAccept = 0x4A,
        /// Zeroes a key-encryption key (admin ring).
        KekDestroy = 0x4B,
        /// Writes a page of what the card tells of itself, see [`PageCode`](crate::PageCode) (admin
        /// ring).
        ReadPage = 0x50,
    }
}

flags! {
    /// Flags of a command.
    CommandFlags: u8 {
        /// `source` is the address of a segment list and `source_len` its number of segments.
        0 SOURCE_SEGMENTS,
        /// `destination` is the address of a segment list and `destination_len` its number of
        /// segments.
        1 DESTINATION_SEGMENTS,
        /// Encrypt, and compute the digest if the session has one. Clear: decrypt.
        2 ENCRYPT,
        /// The source stream ends with a digest that must match; the destination gets none.
        3 VERIFY,
        /// The source stream begins with keys for this command alone, cipher key first.
        4 REQUEST_KEYS,
        /// This completion does not count for an interrupt.
        5 NO_INTERRUPT,
        /// Every earlier command of the ring completes before this one starts.
        6 FENCE,
    }
}

impl CommandFlags {
    /// Whether either stream is a list of segments.
    #[must_use]
    #[inline]
    pub const fn has_list(self) -> bool {
        self.intersects(Self::SOURCE_SEGMENTS.union(Self::DESTINATION_SEGMENTS))
    }
}

/// A command descriptor; [`Command::LAYOUT`] says where its fields stand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
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
    /// Bytes that a session with [`ESN`](crate::SessionBlockFlags::ESN) digests behind the payload.
    /// With any other, anything but zero completes with
    /// [`Status::ReservedBits`](crate::Status::ReservedBits).
    pub esn: [u8; 4],
    /// Initialisation vector or nonce, left-aligned. What a longer one has beyond these bytes is in
    /// the source stream.
    pub iv: [u8; 16],
}

impl Command {
    /// Where the fields stand in the ring.
    pub const LAYOUT: &'static [WireInfo] = layout![
        opcode[1] "what to do, see the opcodes",
        flags[1] "how to do it, see the flags",
        aad_len[2] "bytes of AAD in the source stream",
        session[4] "number of the session",
        cookie[8] "returned untouched in the completion",
        source[8] "address of the source stream, or of its segment list",
        destination[8] "address of the destination stream, or of its segment list",
        source_len[4] "bytes of the source stream, or number of segments",
        destination_len[4] "bytes of the destination stream, or number of segments",
        payload_len[4] "bytes of payload",
        esn[4] "extended sequence number as it is digested; zero if the session takes none",
        iv[16] "IV or nonce, left-aligned; its first 16 bytes",
    ];

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
        bytes[44..48].copy_from_slice(&self.esn);
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
            esn: field(bytes, 44),
            iv: field(bytes, 48),
        }
    }
}

/// One run of memory of a stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Segment {
    /// Where the run begins.
    pub addr: DeviceAddr,
    /// Its length in bytes.
    pub len: u32,
}

impl Segment {
    /// Where the fields stand in a list.
    pub const LAYOUT: &'static [WireInfo] = layout![
        addr[8] "address of the run",
        len[4] "its length in bytes",
        _reserved[4] "zero",
    ];

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
            esn: [4, 5, 6, 7],
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
        for &opcode in Opcode::ALL {
            assert_eq!(Opcode::from_code(opcode as u8), Some(opcode));
        }
        assert_eq!(Opcode::from_code(0xFF), None);
    }

    #[test]
    fn the_layout_is_where_the_bytes_are() {
        let ones = Command::from_bytes(&[0xFF; COMMAND_LEN]);
        let fields = [
            (
                "flags",
                Command {
                    flags: ones.flags,
                    ..Command::default()
                },
            ),
            (
                "session",
                Command {
                    session: ones.session,
                    ..Command::default()
                },
            ),
            (
                "destination",
                Command {
                    destination: ones.destination,
                    ..Command::default()
                },
            ),
            (
                "payload_len",
                Command {
                    payload_len: ones.payload_len,
                    ..Command::default()
                },
            ),
            (
                "esn",
                Command {
                    esn: ones.esn,
                    ..Command::default()
                },
            ),
            (
                "iv",
                Command {
                    iv: ones.iv,
                    ..Command::default()
                },
            ),
        ];
        for (name, command) in fields {
            let field = Command::LAYOUT.iter().find(|field| field.name == name);
            let field = field.expect("a field of the layout");
            for (at, &byte) in command.to_bytes().iter().enumerate() {
                let is_inside = (field.offset..field.offset + field.len).contains(&at);
                assert_eq!(byte == 0xFF, is_inside, "{name} at {at}");
            }
        }
        let last = Command::LAYOUT.last().expect("fields");
        assert_eq!(last.offset + last.len, COMMAND_LEN);
    }
}
