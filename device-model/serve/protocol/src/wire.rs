//! Messages of the vfio-user protocol as bytes. Little endian, as the machines are that speak it.
//!
//! QEMU's `docs/interop/vfio-user.rst`; offsets are counted from the end of the header.

use rustix::io::Errno;
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a header, in bytes.
pub const HEADER_LEN: usize = size_of::<Header>();
/// Most bytes of data in one access to a region or to memory: the protocol's default.
pub const MAX_TRANSFER: u32 = 1 << 20;
/// Longest message, in bytes: an access with the most data, and room for a version's text.
pub const MAX_MESSAGE: u32 = MAX_TRANSFER + 4096;
/// Most file descriptors in one message: one for each vector that can be set at once.
pub const MAX_FDS: usize = 128;
/// The version of the protocol that is spoken here: 0.1.
pub const VERSION: (u16, u16) = (0, 1);

/// What a message asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum Command {
    /// Agree on a version and on capabilities.
    Version = 1,
    /// Memory that the card may reach.
    DmaMap = 2,
    /// Memory that it may not reach any more.
    DmaUnmap = 3,
    /// What the device is.
    DeviceGetInfo = 4,
    /// What a region is.
    DeviceGetRegionInfo = 5,
    /// Descriptors that stand for accesses to a region.
    DeviceGetRegionIoFds = 6,
    /// What a kind of interrupt is.
    DeviceGetIrqInfo = 7,
    /// Where interrupts go.
    DeviceSetIrqs = 8,
    /// Read a region.
    RegionRead = 9,
    /// Write a region.
    RegionWrite = 10,
    /// Read memory of the client.
    DmaRead = 11,
    /// Write memory of the client.
    DmaWrite = 12,
    /// Reset the device.
    DeviceReset = 13,
    /// Write a region in several places.
    RegionWriteMulti = 15,
    /// Ask for or set a feature.
    DeviceFeature = 16,
}

impl Command {
    /// The command of a header, if it is one.
    #[must_use]
    pub const fn of(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Version,
            2 => Self::DmaMap,
            3 => Self::DmaUnmap,
            4 => Self::DeviceGetInfo,
            5 => Self::DeviceGetRegionInfo,
            6 => Self::DeviceGetRegionIoFds,
            7 => Self::DeviceGetIrqInfo,
            8 => Self::DeviceSetIrqs,
            9 => Self::RegionRead,
            10 => Self::RegionWrite,
            11 => Self::DmaRead,
            12 => Self::DmaWrite,
            13 => Self::DeviceReset,
            15 => Self::RegionWriteMulti,
            16 => Self::DeviceFeature,
            _ => return None,
        })
    }
}

/// Bits of a header's flags that hold the type.
pub const TYPE_MASK: u32 = 0xF;
/// Type of an answer; zero is a command.
pub const TYPE_REPLY: u32 = 1;
/// Nobody waits for an answer to this command.
pub const NO_REPLY: u32 = 1 << 4;
/// The command failed; the error field says why.
pub const ERROR: u32 = 1 << 5;

/// What stands before every message.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Chosen by who asks, echoed by who answers.
    pub id: U16,
    /// See [`Command`].
    pub command: U16,
    /// Length of the message with this header, in bytes.
    pub size: U32,
    /// Type, [`NO_REPLY`], [`ERROR`].
    pub flags: U32,
    /// Errno of an answer with [`ERROR`].
    pub error: U32,
}

impl Header {
    /// Whether this is an answer.
    #[must_use]
    pub fn is_reply(&self) -> bool {
        self.flags.get() & TYPE_MASK == TYPE_REPLY
    }

    /// Why the command failed that this answers; `None` if it did not. An error without a number
    /// that an errno can have is `EIO`.
    #[must_use]
    pub fn failure(&self) -> Option<Errno> {
        let is_failure = self.is_reply() && self.flags.get() & ERROR != 0;
        let number = self.error.get();
        is_failure.then(|| match number {
            1..4096 => Errno::from_raw_os_error(number as i32),
            _ => Errno::IO,
        })
    }

    /// Whether somebody waits for an answer.
    #[must_use]
    pub fn wants_reply(&self) -> bool {
        self.flags.get() & NO_REPLY == 0
    }
}

/// A range of the client's memory that the card may reach.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DmaMap {
    /// Length of this structure.
    pub argsz: U32,
    /// Bit 0: the card may read; bit 1: it may write.
    pub flags: U32,
    /// Where the range begins in the file that came along.
    pub offset: U64,
    /// Where the card sees it.
    pub address: U64,
    /// Length in bytes.
    pub size: U64,
}

/// A range that the card may not reach any more.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DmaUnmap {
    /// Longest answer the client takes.
    pub argsz: U32,
    /// Bit 1: everything, whatever the range.
    pub flags: U32,
    /// Where the card saw it.
    pub address: U64,
    /// Length in bytes.
    pub size: U64,
}

/// `struct vfio_device_info`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DeviceInfo {
    /// Longest answer the client takes; length of this one.
    pub argsz: U32,
    /// Kind of device.
    pub flags: U32,
    /// Number of regions.
    pub num_regions: U32,
    /// Number of kinds of interrupts.
    pub num_irqs: U32,
}

/// `struct vfio_region_info`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RegionInfo {
    /// Longest answer the client takes; length that all of this needs.
    pub argsz: U32,
    /// What can be done with it.
    pub flags: U32,
    /// Which region.
    pub index: U32,
    /// Where its capabilities begin, from the start of this structure.
    pub cap_offset: U32,
    /// Length of the region, in bytes.
    pub size: U64,
    /// Offset to map its descriptor at.
    pub offset: U64,
}

/// `struct vfio_region_info_cap_sparse_mmap` with one area.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SparseArea {
    /// Kind of capability.
    pub id: U16,
    /// Version of the kind.
    pub version: U16,
    /// Next capability, from the start of the region info; zero for none.
    pub next: U32,
    /// Number of areas.
    pub nr_areas: U32,
    /// Zero.
    pub reserved: U32,
    /// Where the area begins in the region.
    pub offset: U64,
    /// Its length, in bytes.
    pub size: U64,
}

/// Head of the answer about descriptors that stand for accesses.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RegionIoFds {
    /// Longest answer the client takes; length that all of this needs.
    pub argsz: U32,
    /// Zero.
    pub flags: U32,
    /// Which region.
    pub index: U32,
    /// Number of sub-regions that follow.
    pub count: U32,
}

/// A part of a region that an event descriptor stands for.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct IoEventFd {
    /// Where it begins in the region.
    pub offset: U64,
    /// Its length, in bytes; zero if the length of an access does not matter.
    pub size: U64,
    /// Which of the descriptors that came along.
    pub fd_index: U32,
    /// Zero: an event descriptor.
    pub kind: U32,
    /// Flags of `KVM_IOEVENTFD`.
    pub flags: U32,
    /// Zero.
    pub padding: U32,
    /// Value to match, if the flags say so.
    pub datamatch: U64,
}

/// `struct vfio_irq_info`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct IrqInfo {
    /// Longest answer the client takes; length of this one.
    pub argsz: U32,
    /// What can be done with this kind.
    pub flags: U32,
    /// Which kind.
    pub index: U32,
    /// How many there are of it.
    pub count: U32,
}

/// `struct vfio_irq_set`, without its data.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct IrqSet {
    /// Length of this structure with its data.
    pub argsz: U32,
    /// What the data is, and what to do.
    pub flags: U32,
    /// Which kind of interrupt.
    pub index: U32,
    /// First of its kind.
    pub start: U32,
    /// How many.
    pub count: U32,
}

/// Where a region is read or written; the data follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RegionAccess {
    /// Offset in the region.
    pub offset: U64,
    /// Which region.
    pub region: U32,
    /// How many bytes.
    pub count: U32,
}

/// One of several writes.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct MultiWrite {
    /// Where.
    pub at: RegionAccess,
    /// What: the first `count` bytes.
    pub data: [u8; 8],
}

/// Where memory of the client is read or written; the data follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DmaAccess {
    /// Address as the card sees it.
    pub address: U64,
    /// How many bytes.
    pub count: U64,
}
