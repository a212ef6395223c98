//! What a client is told of the device: its regions and its interrupts, by VFIO's numbers.

use protocol::wire::{DeviceInfo, IoEventFd, IrqInfo, RegionInfo, RegionIoFds, SparseArea};
use regs::DOORBELL_PAGE;
use rustix::io::Errno;
use vfio_bindings::bindings::vfio;
use zerocopy::IntoBytes as _;

use crate::doorbell::PAGE_LEN;
use crate::interrupt::Kind;
use crate::slot::{Region, Slot};

/// The region with VFIO's number `index`; `None` for one that a device may lack and this lacks.
///
/// # Errors
/// `EINVAL` if there is no such number.
pub(crate) fn region(index: u32) -> Result<Option<Region>, Errno> {
    match index {
        vfio::VFIO_PCI_BAR0_REGION_INDEX => Ok(Some(Region::Registers)),
        vfio::VFIO_PCI_BAR2_REGION_INDEX => Ok(Some(Region::Vectors)),
        vfio::VFIO_PCI_CONFIG_REGION_INDEX => Ok(Some(Region::Config)),
        _ if index < vfio::VFIO_PCI_NUM_REGIONS => Ok(None),
        _ => Err(Errno::INVAL),
    }
}

/// The kind of interrupt with VFIO's number `index`.
///
/// # Errors
/// `EINVAL` if there is no such number.
pub(crate) fn kind(index: u32) -> Result<Kind, Errno> {
    let kind = Kind::ALL.get(index as usize).copied();
    kind.ok_or(Errno::INVAL)
}

/// Answer to "what is this device".
pub(crate) fn device() -> DeviceInfo {
    DeviceInfo {
        argsz: (size_of::<DeviceInfo>() as u32).into(),
        flags: (vfio::VFIO_DEVICE_FLAGS_RESET | vfio::VFIO_DEVICE_FLAGS_PCI).into(),
        num_regions: vfio::VFIO_PCI_NUM_REGIONS.into(),
        num_irqs: (Kind::ALL.len() as u32).into(),
    }
}

/// Answer to "what is region `index`", at most `room` bytes of it, and whether the file of the
/// doorbells goes along.
///
/// # Errors
/// `EINVAL` if there is no such region.
pub(crate) fn region_info(slot: &Slot, index: u32, room: usize) -> Result<(Vec<u8>, bool), Errno> {
    let region = region(index)?;
    let mut info = RegionInfo {
        argsz: (size_of::<RegionInfo>() as u32).into(),
        index: index.into(),
        size: region.map_or(0, Region::len).into(),
        ..RegionInfo::default()
    };
    if region.is_none() {
        return Ok((info.as_bytes().to_vec(), false));
    }
    let access = vfio::VFIO_REGION_INFO_FLAG_READ | vfio::VFIO_REGION_INFO_FLAG_WRITE;
    if region != Some(Region::Registers) || slot.doorbells().is_none() {
        info.flags = access.into();
        return Ok((info.as_bytes().to_vec(), false));
    }
    // The file has the page at its start, the region further on.
    let mapped = vfio::VFIO_REGION_INFO_FLAG_MMAP | vfio::VFIO_REGION_INFO_FLAG_CAPS;
    info.flags = (access | mapped).into();
    let whole = size_of::<RegionInfo>() + size_of::<SparseArea>();
    info.argsz = (whole as u32).into();
    // Also for a client without room, which asks again: QEMU takes a zero for a mistake.
    info.cap_offset = (size_of::<RegionInfo>() as u32).into();
    if room < whole {
        return Ok((info.as_bytes().to_vec(), false));
    }
    let area = SparseArea {
        id: (vfio::VFIO_REGION_INFO_CAP_SPARSE_MMAP as u16).into(),
        version: 1.into(),
        nr_areas: 1.into(),
        offset: u64::from(DOORBELL_PAGE).into(),
        size: (PAGE_LEN as u64).into(),
        ..SparseArea::default()
    };
    Ok(([info.as_bytes(), area.as_bytes()].concat(), true))
}

/// Answer to "which descriptors stand for accesses to region `index`", at most `room` bytes of it,
/// and whether the one that wakes the server goes along.
///
/// # Errors
/// `EINVAL` if there is no such region.
pub(crate) fn region_io_fds(
    slot: &Slot,
    index: u32,
    room: usize,
) -> Result<(Vec<u8>, bool), Errno> {
    let is_shared = region(index)? == Some(Region::Registers) && slot.doorbells().is_some();
    let mut head = RegionIoFds {
        argsz: (size_of::<RegionIoFds>() as u32).into(),
        index: index.into(),
        ..RegionIoFds::default()
    };
    if !is_shared {
        return Ok((head.as_bytes().to_vec(), false));
    }
    let whole = size_of::<RegionIoFds>() + size_of::<IoEventFd>();
    head.argsz = (whole as u32).into();
    head.count = 1.into();
    if room < whole {
        return Ok((head.as_bytes().to_vec(), false));
    }
    let wake = IoEventFd {
        offset: u64::from(DOORBELL_PAGE).into(),
        size: (PAGE_LEN as u64).into(),
        ..IoEventFd::default()
    };
    Ok(([head.as_bytes(), wake.as_bytes()].concat(), true))
}

/// Answer to "what are interrupts of kind `index`".
///
/// # Errors
/// `EINVAL` if there is no such kind.
pub(crate) fn irq_info(slot: &Slot, index: u32) -> Result<IrqInfo, Errno> {
    let kind = kind(index)?;
    let flags = match kind {
        Kind::Intx => {
            vfio::VFIO_IRQ_INFO_EVENTFD
                | vfio::VFIO_IRQ_INFO_MASKABLE
                | vfio::VFIO_IRQ_INFO_AUTOMASKED
        }
        Kind::Msix => vfio::VFIO_IRQ_INFO_EVENTFD | vfio::VFIO_IRQ_INFO_MASKABLE,
        Kind::Msi | Kind::Error | Kind::Request => vfio::VFIO_IRQ_INFO_EVENTFD,
    };
    Ok(IrqInfo {
        argsz: (size_of::<IrqInfo>() as u32).into(),
        flags: flags.into(),
        index: index.into(),
        count: slot.interrupts().count(kind).into(),
    })
}
