//! A card in a slot of this machine, through the kernel's vfio-pci.
//!
//! Owns the device's file, its container, BAR 0 as mapped registers, the MSI-X vectors as event
//! descriptors, and the mapping of the pool, which is made once and as a whole. Finding a card in
//! sysfs and giving it to vfio-pci is left to the caller. A card that the kernel asks back, or that
//! reports an error it cannot go on from, is given up at once: it is a card that was pulled out.
//!
//! A card that shows no MSI-X has its interrupt line, which the kernel masks each time it tells of
//! it: as one vector that all rings share.
//!
//! Not here: iommufd, and MSI.
//!
//! The only file of this crate with unsafe code. It relies on two facts: the mapping of BAR 0 lives
//! as long as [`Registers`], and the pool's mapping lives as long as the [`Pool`] that
//! [`Vfio`] keeps.

use std::fmt;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use dma::Pool;
use regs::pci::header;
use regs::{BAR0_LEN, DOORBELL_PAGE, Register};
use rustix::io::Errno;
use vfio_bindings::bindings::vfio;
use vfio_ioctls::{VfioContainer, VfioDevice, VfioError};
use vm_memory::{FileOffset, MmapRegion};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use volatile_register::RW;

use super::Transport;
use super::real::{Ends, LINE_CAUSES, MAX_VECTORS, Memory, POOL_AT, whole_pool};

/// What nobody answers.
const NOBODY: u32 = u32::MAX;
/// A register that never reads as that.
const DEVICE_ID_AT: u32 = Register::DeviceId.offset();

/// Why a card in a slot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused a step.
    #[error("{what}")]
    Vfio {
        /// What was asked.
        what: &'static str,
        /// Its reason.
        #[source]
        source: VfioError,
    },
    /// The system refused a step.
    #[error("{what}")]
    System {
        /// What was asked.
        what: &'static str,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// BAR 0 is shorter than the card's registers.
    #[error("BAR 0 has {bytes} bytes, fewer than the card's registers")]
    ShortBar {
        /// How long it is.
        bytes: u64,
    },
    /// BAR 0 can not be mapped.
    #[error("mapping of BAR 0")]
    MapBar(#[source] vm_memory::mmap::MmapRegionError),
    /// The device has neither MSI-X vectors nor an interrupt line.
    #[error("the device has neither MSI-X vectors nor an interrupt line")]
    NoVectors,
}

impl AttachError {
    const fn vfio(what: &'static str) -> impl FnOnce(VfioError) -> Self {
        move |source| Self::Vfio { what, source }
    }

    const fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// A card in a slot.
#[derive(Debug)]
pub struct Vfio {
    /// Nothing once the card was given up.
    seat: Option<Seat>,
    vectors: u16,
    /// Whether registers were written since one was read: they may not have arrived yet.
    has_posted: bool,
    /// Kept until the card can no longer reach it: fields are dropped in order.
    memory: Memory,
}

impl Vfio {
    /// Takes the device that is called `sysfs`, such as `/sys/bus/pci/devices/0000:00:03.0`, and
    /// that vfio-pci has: lets it reach `pool`, maps its registers, asks for its interrupts.
    ///
    /// # Errors
    /// [`AttachError`] names the step that failed. Among the reasons: there is no IOMMU, another
    /// driver has the device, or the limit on locked memory is below the size of the pool.
    pub fn attach(sysfs: &Path, pool: Pool) -> Result<Self, AttachError> {
        let seat = Seat::take(sysfs, &pool)?;
        Ok(Self {
            vectors: seat.events.len() as u16,
            has_posted: false,
            seat: Some(seat),
            memory: Memory::new(pool),
        })
    }

    /// What has something to say when an interrupt comes, or the kernel wants to be heard.
    pub fn ends(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.seat.iter().map(|seat| seat.ends.as_fd())
    }

    /// Resets the card from outside, as the kernel does it.
    pub fn reset(&mut self) {
        if let Some(seat) = &self.seat {
            seat.device.reset();
        }
    }

    /// Gives the card up: the kernel wants it back, or it cannot go on.
    #[cold]
    fn lose(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.leave(false);
        }
    }
}

impl Drop for Vfio {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.leave(true);
        }
    }
}

/// What a card that is there takes up.
struct Seat {
    registers: Registers,
    device: VfioDevice,
    container: Arc<VfioContainer>,
    pool_len: usize,
    events: Vec<EventFd>,
    /// Whether the one event stands for the interrupt line.
    has_line: bool,
    /// An error that the card cannot go on from; the kernel wants the card back. The kernel
    /// signals them as long as they are open.
    _notices: Vec<EventFd>,
    /// Tells of both.
    ends: Ends,
}

impl Seat {
    fn take(sysfs: &Path, pool: &Pool) -> Result<Self, AttachError> {
        let container = VfioContainer::new(None);
        let container = Arc::new(container.map_err(AttachError::vfio("opening VFIO"))?);
        let device = VfioDevice::new(sysfs, container.clone(), false);
        let device = device.map_err(AttachError::vfio("taking the device from vfio-pci"))?;
        map_pool(&container, pool)?;
        let registers = Registers::map(&device)?;
        let (events, has_line) = listen(&device)?;
        let notices = listen_for_notices(&device)?;
        let ends = ends(&events, &notices);
        let ends = ends.map_err(|errno| AttachError::system("interest in events")(errno.into()))?;
        enable(&device);
        Ok(Self {
            registers,
            device,
            container,
            pool_len: pool.capacity(),
            events,
            has_line,
            _notices: notices,
            ends,
        })
    }

    /// Stops the card and lets go of it; whether it `stays` in the machine.
    ///
    /// The kernel resets a card when its file is closed, and waits more than a minute for one that
    /// does not answer. So that is left to a thread: a driver has requests that wait.
    fn leave(self, stays: bool) {
        let is_there = u32::from_le(self.registers.at(DEVICE_ID_AT).read()) != NOBODY;
        if is_there {
            self.device.reset();
        }
        // The card reaches nothing from here on. A device without a driver has no mapping either.
        let _ = self.container.vfio_dma_unmap(POOL_AT, self.pool_len);
        match (is_there, stays) {
            (true, true) => drop(self),
            (true, false) => self.close(),
            (false, _) => drop(std::thread::spawn(|| self.close())),
        }
    }

    /// Closes the file of a device that goes.
    ///
    /// The library looks the device up in sysfs when it is dropped, and panics if it has gone from
    /// there, which may be at any moment from the time its file is closed. So the file is closed
    /// here, and the rest of what the library holds (two descriptors) is left to the end of the
    /// process.
    #[expect(unsafe_code, reason = "mapped registers and DMA take it")]
    fn close(self) {
        drop(self.registers);
        let device = ManuallyDrop::new(self.device);
        // SAFETY: the descriptor belongs to `device`, which is never used or dropped again.
        drop(unsafe { OwnedFd::from_raw_fd(device.as_raw_fd()) });
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vectors = self.events.len();
        f.debug_struct("Seat").field("vectors", &vectors).finish()
    }
}

/// Lets the card reach the whole pool.
#[expect(unsafe_code, reason = "mapped registers and DMA take it")]
fn map_pool(container: &VfioContainer, pool: &Pool) -> Result<(), AttachError> {
    // SAFETY: the range is the pool's own mapping, which outlives the device: `Vfio` drops its
    // `Pool` after its `Seat`. What the card is told to touch is either a mapped buffer, whose
    // owner the transport is until it is unmapped, or a coherent block, which is only ever copied
    // in and out, volatile.
    let mapped = unsafe { container.vfio_dma_map(POOL_AT, pool.capacity(), pool.as_ptr()) };
    mapped.map_err(AttachError::vfio("mapping of the DMA pool"))
}

fn fresh_event() -> Result<EventFd, AttachError> {
    EventFd::new(EFD_NONBLOCK).map_err(AttachError::system("an event descriptor"))
}

/// Asks to be told of every vector, or of the interrupt line of a device without; gives whether it
/// is that.
fn listen(device: &VfioDevice) -> Result<(Vec<EventFd>, bool), AttachError> {
    let count = |index| device.get_irq_info(index).map_or(0, |irq| irq.count);
    let (msix, line) = (vfio::VFIO_PCI_MSIX_IRQ_INDEX, vfio::VFIO_PCI_INTX_IRQ_INDEX);
    let (index, count) = match (count(msix), count(line)) {
        (0, 0) => return Err(AttachError::NoVectors),
        (0, _) => (line, 1),
        (vectors, _) => (msix, vectors.min(MAX_VECTORS)),
    };
    let events: Result<Vec<_>, _> = (0..count).map(|_| fresh_event()).collect();
    let events = events?;
    let enabled = device.enable_irq(index, events.iter().collect());
    enabled.map_err(AttachError::vfio("asking for interrupts"))?;
    Ok((events, index == line))
}

/// Asks to be told of errors, and when the kernel wants the card back.
fn listen_for_notices(device: &VfioDevice) -> Result<Vec<EventFd>, AttachError> {
    let mut notices = Vec::new();
    for index in [vfio::VFIO_PCI_ERR_IRQ_INDEX, vfio::VFIO_PCI_REQ_IRQ_INDEX] {
        let event = fresh_event()?;
        // A kernel that tells of no errors has none to tell: the device has no error reporting.
        if device.get_irq_info(index).is_some_and(|irq| irq.count > 0) {
            let enabled = device.enable_irq(index, vec![&event]);
            enabled.map_err(AttachError::vfio("asking for notices"))?;
            notices.push(event);
        }
    }
    Ok(notices)
}

/// One descriptor that tells of all.
fn ends(events: &[EventFd], notices: &[EventFd]) -> Result<Ends, Errno> {
    let ends = Ends::new()?;
    for (event, vector) in events.iter().zip(0..) {
        ends.add_vector(borrow(event), vector)?;
    }
    for notice in notices {
        ends.add_end(borrow(notice), true)?;
    }
    Ok(ends)
}

/// Lets the card answer and reach memory.
fn enable(device: &VfioDevice) {
    let (region, at) = (
        vfio::VFIO_PCI_CONFIG_REGION_INDEX,
        u64::from(header::COMMAND.offset),
    );
    let mut bytes = [0; 2];
    device.region_read(region, &mut bytes, at);
    let wanted = header::MEMORY_SPACE.mask() | header::BUS_MASTER.mask();
    let command = u32::from(u16::from_le_bytes(bytes)) | wanted;
    device.region_write(region, &command.to_le_bytes()[..2], at);
}

/// BAR 0, mapped.
struct Registers {
    mapping: MmapRegion,
}

impl Registers {
    #[expect(unsafe_code, reason = "mapped registers and DMA take it")]
    fn map(device: &VfioDevice) -> Result<Self, AttachError> {
        let index = vfio::VFIO_PCI_BAR0_REGION_INDEX;
        let bytes = device.get_region_size(index);
        if bytes < u64::from(BAR0_LEN) {
            return Err(AttachError::ShortBar { bytes });
        }
        // SAFETY: the device's descriptor is open as long as `device` is borrowed.
        let file = unsafe { BorrowedFd::borrow_raw(device.as_raw_fd()) };
        let file = file.try_clone_to_owned();
        let file = File::from(file.map_err(AttachError::system("a descriptor"))?);
        let place = FileOffset::new(file, device.get_region_offset(index));
        let mapping = MmapRegion::from_file(place, BAR0_LEN as usize);
        Ok(Self {
            mapping: mapping.map_err(AttachError::MapBar)?,
        })
    }

    /// The register `offset` bytes into BAR 0.
    ///
    /// # Panics
    /// If it is not a word of BAR 0: offsets are the driver's own.
    #[expect(unsafe_code, reason = "mapped registers and DMA take it")]
    fn at(&self, offset: u32) -> &RW<u32> {
        assert!(
            offset.is_multiple_of(4) && offset < BAR0_LEN,
            "register {offset:#x}"
        );
        // SAFETY: the mapping is `BAR0_LEN` bytes long, page-aligned, and lives as long as `self`;
        // the assertion keeps the word aligned and inside. `RW` reads and writes volatile, and
        // nothing else refers to this memory.
        unsafe { &*self.mapping.as_ptr().add(offset as usize).cast::<RW<u32>>() }
    }
}

#[expect(unsafe_code, reason = "mapped registers and DMA take it")]
fn borrow(event: &EventFd) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open as long as `event` is borrowed.
    unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) }
}

impl Transport for Vfio {
    fn read(&mut self, offset: u32) -> u32 {
        self.has_posted = false;
        match &self.seat {
            Some(seat) => u32::from_le(seat.registers.at(offset).read()),
            None => NOBODY,
        }
    }

    #[expect(unsafe_code, reason = "mapped registers and DMA take it")]
    fn write(&mut self, offset: u32, value: u32) {
        let is_doorbell = offset >= DOORBELL_PAGE;
        if is_doorbell && self.has_posted {
            // Behind a virtual machine doorbells may be memory, and a store would overtake writes
            // that are messages there: a ring whose start is still on its way does not hear it.
            self.read(DEVICE_ID_AT);
        }
        let Some(seat) = &self.seat else { return };
        self.has_posted |= !is_doorbell;
        // Descriptors are in memory before the doorbell is rung.
        fence(Ordering::Release);
        // SAFETY: what a write does to the card is the driver's business, which keeps to the
        // datasheet; the memory it names to the card is what `map_pool` argues about.
        unsafe { seat.registers.at(offset).write(value.to_le()) };
    }

    fn barrier(&mut self) {
        fence(Ordering::SeqCst);
    }

    whole_pool!();

    fn vectors(&self) -> u16 {
        self.vectors
    }

    fn take_interrupts(&mut self) -> u128 {
        let Some(seat) = &self.seat else { return 0 };
        let (fired, is_over) = seat.ends.take();
        if seat.has_line && fired != 0 {
            // No doorbell has to wait for this.
            let has_posted = self.has_posted;
            self.write(Register::InterruptStatus.offset(), LINE_CAUSES);
            self.has_posted = has_posted;
            let index = vfio::VFIO_PCI_INTX_IRQ_INDEX;
            // If the kernel does not, the watchdog finds completions.
            let _ = self.seat.as_ref().map(|seat| seat.device.unmask_irq(index));
        }
        if is_over {
            self.lose();
        }
        fired
    }

    fn restore_vectors(&mut self) {
        if let Some(seat) = self.seat.as_ref().filter(|seat| !seat.has_line) {
            // The kernel writes the table anew. If it does not, the watchdog finds completions.
            let _ = seat.device.disable_msix();
            let _ = seat.device.enable_msix(seat.events.iter().collect());
        }
    }

    fn is_present(&self) -> bool {
        self.seat.is_some()
    }
}
