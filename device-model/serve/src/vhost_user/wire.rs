//! Messages of vhost-user as bytes. What the crate `vhost` names is taken from there; it has no way
//! in for the messages that open and close crypto sessions, so the messages are handled here.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Most bytes behind a header: those that open a session have the most.
pub(super) const MAX_PAYLOAD: usize = 4096;
/// Most descriptors in one message.
pub(super) const MAX_FDS: usize = 8;
/// Most ranges of memory: as many as descriptors.
pub(super) const MAX_REGIONS: usize = MAX_FDS;
/// Version of the protocol, in the lowest bits of the flags.
pub(super) const VERSION: u32 = 1;
/// The bits of the version.
pub(super) const VERSION_MASK: u32 = 3;
/// The message is an answer.
pub(super) const REPLY: u32 = 1 << 2;
/// The message is to be answered even if its kind has no answer.
pub(super) const NEED_REPLY: u32 = 1 << 3;
/// The number of a ring in a message with a descriptor.
pub(super) const RING_MASK: u64 = 0xFF;
/// There is no descriptor: the ring is to be looked at.
pub(super) const NO_FD: u64 = 1 << 8;
/// Bytes of configuration space in one message, at most.
pub(super) const MAX_CONFIG: usize = 256;

/// What every message begins with.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) request: U32,
    pub(super) flags: U32,
    /// Bytes that follow.
    pub(super) size: U32,
}

/// Length of a header, in bytes.
pub(super) const HEADER_LEN: usize = size_of::<Header>();

/// A number of a ring.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RingState {
    pub(super) ring: U32,
    pub(super) value: U32,
}

/// Where the parts of a ring are, in the client's own addresses.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RingAddress {
    pub(super) ring: U32,
    pub(super) flags: U32,
    pub(super) descriptors: U64,
    pub(super) used: U64,
    pub(super) available: U64,
    pub(super) log: U64,
}

/// What the ranges of memory follow.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MemoryTable {
    pub(super) count: U32,
    pub(super) padding: U32,
}

/// A range of memory.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MemoryRegion {
    /// Where the device sees it.
    pub(super) guest: U64,
    pub(super) len: U64,
    /// Where the client sees it.
    pub(super) user: U64,
    /// Where it begins in its file.
    pub(super) offset: U64,
}

/// What bytes of configuration space follow.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ConfigSpace {
    pub(super) offset: U32,
    pub(super) size: U32,
    pub(super) flags: U32,
}
