//! A card in another process, over the vfio-user protocol, without a virtual machine between.
//!
//! Register writes are posted: nobody waits for their answer. Reads wait, and push the writes
//! before them. If the server shares its doorbells, they are stores to memory. The pool is mapped
//! for the card once and as a whole, so mapping a buffer costs no message; and so the card could
//! reach a buffer that is not mapped. A server that does not answer in time, or is gone, is a card
//! that was pulled out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use dma::Pool;
use protocol::wire::{
    Command, DmaMap, IoEventFd, IrqInfo, IrqSet, RegionAccess, RegionInfo, RegionIoFds, SparseArea,
    VERSION,
};
use protocol::{Channel, ChannelError, Deadline, Message};
use regs::pci::{ConfigRegister, header};
use regs::{DOORBELL_PAGE, Register};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::io::Errno;
use vfio_bindings::bindings::vfio;
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};
use zerocopy::{FromBytes, IntoBytes as _};

use super::Transport;
use super::real::{Ends, LINE_CAUSES, MAX_VECTORS, Memory, POOL_AT, whole_pool};

/// How long an answer is waited for, in milliseconds.
const PATIENCE_MS: u32 = 2_000;
/// What is asked for, in words.
const INTERRUPTS: &str = "interrupts";
/// What the client can do; one file at most comes with a message.
const CAPABILITIES: &str =
    r#"{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,"pgsizes":4096}}"#;

/// Why a card in another process can not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens on the socket.
    #[error("cannot connect to {path}: {source}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket failed, or the server was silent.
    #[error("while asking for {what}: {source}")]
    Channel {
        /// What was asked.
        what: &'static str,
        /// What happened.
        source: ChannelError,
    },
    /// The server refused something.
    #[error("the server refused {what}: {error}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its reason.
        error: Errno,
    },
    /// The server's answer makes no sense.
    #[error("the server's answer about {0} makes no sense")]
    Strange(&'static str),
    /// The pool is not shared memory.
    #[error("the DMA pool has no file: make it with `Pool::shared`")]
    PrivatePool,
    /// The system has no descriptor or no memory left.
    #[error("cannot set up interrupts or doorbells")]
    System(#[from] Errno),
}

/// A card in another process.
#[derive(Debug)]
pub struct VfioUser {
    channel: Channel,
    /// Doorbells in shared memory, and what wakes a server that sleeps.
    doorbells: Option<(MmapRegion, Option<OwnedFd>)>,
    /// Whether registers were written since one was read: the server may not have heard yet.
    has_posted: bool,
    /// An event descriptor for each vector; one for the interrupt line of a card without vectors.
    vectors: Vec<OwnedFd>,
    has_line: bool,
    ends: Ends,
    memory: Memory,
    is_present: bool,
}

impl VfioUser {
    /// Connects to the server on the socket `path`, shares `pool` with it, asks to be told of its
    /// interrupts and lets the card reach memory.
    ///
    /// # Errors
    /// [`ConnectError`] if there is no server, or it does not serve this card.
    pub fn connect(path: &Path, pool: Pool) -> Result<Self, ConnectError> {
        let socket = UnixStream::connect(path).map_err(|source| ConnectError::Connect {
            path: path.to_owned(),
            source,
        })?;
        let mut transport = Self {
            vectors: Vec::new(),
            has_line: false,
            ends: Ends::new()?,
            channel: Channel::new(socket, PATIENCE_MS),
            memory: Memory::new(pool),
            doorbells: None,
            has_posted: false,
            is_present: true,
        };
        transport.ends.add_end(&transport.channel, false)?;
        transport.agree()?;
        transport.share_pool()?;
        transport.find_doorbells()?;
        transport.listen()?;
        let command = header::MEMORY_SPACE.mask() | header::BUS_MASTER.mask();
        transport.write_config(header::COMMAND, command)?;
        Ok(transport)
    }

    /// What has something to say when an interrupt comes, or the server goes. Nothing once it
    /// went.
    pub fn ends(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.is_present.then(|| self.ends.as_fd()).into_iter()
    }

    /// Resets the card from outside, as a bus does it.
    pub fn reset(&mut self) {
        if self.is_present && self.ask("a reset", Command::DeviceReset, &[], &[]).is_err() {
            self.lose();
        }
    }

    /// Asks, and waits for the answer.
    fn ask(
        &mut self,
        what: &'static str,
        command: Command,
        parts: &[&[u8]],
        fds: &[BorrowedFd<'_>],
    ) -> Result<Message, ConnectError> {
        let failed = |source| ConnectError::Channel { what, source };
        let id = self.channel.command(command, parts, fds).map_err(failed)?;
        let deadline = Deadline::after(PATIENCE_MS);
        loop {
            let message = self.channel.receive_by(deadline).map_err(failed)?;
            if !message.header.is_reply() {
                // All memory has a file: there is nothing that the server has to ask for.
                let refused = self.channel.refuse(&message.header, Errno::NOTSUP);
                refused.map_err(failed)?;
            } else if message.header.id.get() == id {
                return match message.header.failure() {
                    Some(error) => Err(ConnectError::Refused { what, error }),
                    None => Ok(message),
                };
            }
        }
    }

    fn agree(&mut self) -> Result<(), ConnectError> {
        let version = [VERSION.0.to_le_bytes(), VERSION.1.to_le_bytes()].concat();
        let text = [CAPABILITIES.as_bytes(), &[0]].concat();
        let answer = self.ask("a version", Command::Version, &[&version, &text], &[])?;
        let agreed = answer.payload.get(..2) == Some(&version[..2]);
        agreed
            .then_some(())
            .ok_or(ConnectError::Strange("a version"))
    }

    /// Lets the card reach the whole pool.
    fn share_pool(&mut self) -> Result<(), ConnectError> {
        let file = self.memory.pool().file().ok_or(ConnectError::PrivatePool)?;
        let file = file.try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        let map = DmaMap {
            argsz: (size_of::<DmaMap>() as u32).into(),
            flags: (vfio::VFIO_DMA_MAP_FLAG_READ | vfio::VFIO_DMA_MAP_FLAG_WRITE).into(),
            address: POOL_AT.into(),
            size: (self.memory.pool().capacity() as u64).into(),
            ..DmaMap::default()
        };
        let what = "the DMA pool to be mapped";
        self.ask(what, Command::DmaMap, &[map.as_bytes()], &[file.as_fd()])?;
        Ok(())
    }

    /// Maps the doorbells, if the server shares them.
    fn find_doorbells(&mut self) -> Result<(), ConnectError> {
        let what = "BAR 0";
        let room = size_of::<RegionInfo>() + size_of::<SparseArea>();
        let asked = RegionInfo {
            argsz: (room as u32).into(),
            index: vfio::VFIO_PCI_BAR0_REGION_INDEX.into(),
            ..RegionInfo::default()
        };
        let command = Command::DeviceGetRegionInfo;
        let mut answer = self.ask(what, command, &[asked.as_bytes()], &[])?;
        let (Some(file), Some(area)) = (answer.fds.pop(), sparse_area(&answer.payload)) else {
            return Ok(());
        };
        let (base, area) = area;
        if area.offset.get() != u64::from(DOORBELL_PAGE) {
            return Err(ConnectError::Strange(what));
        }
        // A file that can shrink would take this process with it: its doorbells are not used.
        let seals = fcntl_get_seals(&file).unwrap_or(SealFlags::empty());
        if !seals.contains(SealFlags::SHRINK) {
            return Ok(());
        }
        let page = map(file, base.checked_add(area.offset.get()), area.size.get());
        let page = page.ok_or(ConnectError::Strange(what))?;
        self.doorbells = Some((page, self.find_wake()?));
        Ok(())
    }

    /// What wakes a server that sleeps between looks at the doorbells.
    fn find_wake(&mut self) -> Result<Option<OwnedFd>, ConnectError> {
        let room = size_of::<RegionIoFds>() + size_of::<IoEventFd>();
        let asked = RegionIoFds {
            argsz: (room as u32).into(),
            index: vfio::VFIO_PCI_BAR0_REGION_INDEX.into(),
            ..RegionIoFds::default()
        };
        let command = Command::DeviceGetRegionIoFds;
        let answer = self.ask("descriptors", command, &[asked.as_bytes()], &[]);
        match answer {
            Ok(mut answer) => Ok(answer.fds.pop()),
            Err(ConnectError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks to be told of every vector, or of the interrupt line of a card without.
    fn listen(&mut self) -> Result<(), ConnectError> {
        let (msix, line) = (vfio::VFIO_PCI_MSIX_IRQ_INDEX, vfio::VFIO_PCI_INTX_IRQ_INDEX);
        let mut index = msix;
        let mut count = self.count_interrupts(index)?;
        if count == 0 {
            index = line;
            count = self.count_interrupts(index)?;
        }
        if count == 0 || count > MAX_VECTORS {
            return Err(ConnectError::Strange(INTERRUPTS));
        }
        for vector in 0..count {
            let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            self.ends.add_vector(&event, vector)?;
            self.vectors.push(event);
        }
        self.has_line = index == line;
        let flags = vfio::VFIO_IRQ_SET_DATA_EVENTFD | vfio::VFIO_IRQ_SET_ACTION_TRIGGER;
        let set = irq_set(index, count, flags);
        let vectors = self.vectors.iter().map(OwnedFd::try_clone);
        let twins = vectors.collect::<Result<Vec<_>, _>>();
        let twins = twins.map_err(|_| Errno::MFILE)?;
        let fds: Vec<_> = twins.iter().map(AsFd::as_fd).collect();
        self.ask(INTERRUPTS, Command::DeviceSetIrqs, &[set.as_bytes()], &fds)?;
        Ok(())
    }

    /// How many interrupts of a kind there are.
    fn count_interrupts(&mut self, index: u32) -> Result<u32, ConnectError> {
        let asked = IrqInfo {
            argsz: (size_of::<IrqInfo>() as u32).into(),
            index: index.into(),
            ..IrqInfo::default()
        };
        let command = Command::DeviceGetIrqInfo;
        let answer = self.ask(INTERRUPTS, command, &[asked.as_bytes()], &[])?;
        let info = IrqInfo::read_from_bytes(&answer.payload);
        let info = info.map_err(|_| ConnectError::Strange(INTERRUPTS))?;
        Ok(info.count.get())
    }

    /// The interrupt line was told, and with that masked itself.
    #[cold]
    fn listen_to_the_line_again(&mut self) {
        self.write(Register::InterruptStatus.offset(), LINE_CAUSES);
        let flags = vfio::VFIO_IRQ_SET_DATA_NONE | vfio::VFIO_IRQ_SET_ACTION_UNMASK;
        let set = irq_set(vfio::VFIO_PCI_INTX_IRQ_INDEX, 1, flags);
        let posted = self.channel.post(Command::DeviceSetIrqs, &[set.as_bytes()]);
        if posted.is_err() {
            self.lose();
        }
    }

    fn write_config(&mut self, register: ConfigRegister, value: u32) -> Result<(), ConnectError> {
        let bytes = value.to_le_bytes();
        let access = RegionAccess {
            offset: u64::from(register.offset).into(),
            region: vfio::VFIO_PCI_CONFIG_REGION_INDEX.into(),
            count: u32::from(register.width).into(),
        };
        let data = &bytes[..usize::from(register.width)];
        let parts = [access.as_bytes(), data];
        self.ask("configuration space", Command::RegionWrite, &parts, &[])?;
        Ok(())
    }

    /// The server is gone, or as good as gone.
    #[cold]
    fn lose(&mut self) {
        self.is_present = false;
    }

    /// Rings in shared memory; `false` if this is no doorbell, or they are not shared.
    fn ring(&mut self, offset: u32, value: u32) -> bool {
        let Some(at) = offset.checked_sub(DOORBELL_PAGE) else {
            return false;
        };
        if self.doorbells.is_some() && self.has_posted {
            // A store would overtake messages, and a ring whose start is still on its way does not
            // hear it. A read pushes them.
            self.read(Register::DeviceId.offset());
        }
        let Some((page, wake)) = &self.doorbells else {
            return false;
        };
        let Ok(doorbell) = page.get_atomic_ref::<AtomicU32>(at as usize) else {
            return false;
        };
        // The descriptors are there before the doorbell is.
        doorbell.store(value.to_le(), Ordering::Release);
        if let Some(wake) = wake {
            let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
        }
        true
    }
}

/// What is to be done to the first `count` interrupts of a kind.
fn irq_set(index: u32, count: u32, flags: u32) -> IrqSet {
    IrqSet {
        argsz: (size_of::<IrqSet>() as u32).into(),
        flags: flags.into(),
        index: index.into(),
        start: 0.into(),
        count: count.into(),
    }
}

/// Maps `len` bytes of `file` from `start` on, if it has them.
fn map(file: OwnedFd, start: Option<u64>, len: u64) -> Option<MmapRegion> {
    let end = start?.checked_add(len)?;
    let size = fstat(&file).ok()?.st_size;
    if u64::try_from(size).ok()? < end {
        return None;
    }
    let place = FileOffset::new(file.into(), start?);
    MmapRegion::from_file(place, usize::try_from(len).ok()?).ok()
}

/// Where the descriptor of a region begins, and the part of it that can be mapped.
fn sparse_area(payload: &[u8]) -> Option<(u64, SparseArea)> {
    let (info, _) = RegionInfo::read_from_prefix(payload).ok()?;
    let at = info.cap_offset.get() as usize;
    let (area, _) = SparseArea::read_from_prefix(payload.get(at..)?).ok()?;
    let is_sparse = u32::from(area.id.get()) == vfio::VFIO_REGION_INFO_CAP_SPARSE_MMAP;
    let is_one = is_sparse && area.nr_areas.get() == 1;
    (at > 0 && is_one).then(|| (info.offset.get(), area))
}

const fn register_at(offset: u32) -> (u64, u32) {
    (offset as u64, vfio::VFIO_PCI_BAR0_REGION_INDEX)
}

impl Transport for VfioUser {
    fn read(&mut self, offset: u32) -> u32 {
        if !self.is_present {
            return u32::MAX;
        }
        let (at, region) = register_at(offset);
        let access = RegionAccess {
            offset: at.into(),
            region: region.into(),
            count: 4.into(),
        };
        self.has_posted = false;
        let answer = self.ask("a register", Command::RegionRead, &[access.as_bytes()], &[]);
        let value = answer.ok().and_then(|answer| {
            let data = answer.payload.get(size_of::<RegionAccess>()..)?;
            Some(u32::from_le_bytes(data.try_into().ok()?))
        });
        value.unwrap_or_else(|| {
            self.lose();
            u32::MAX
        })
    }

    fn write(&mut self, offset: u32, value: u32) {
        if !self.is_present || self.ring(offset, value) {
            return;
        }
        let (at, region) = register_at(offset);
        let access = RegionAccess {
            offset: at.into(),
            region: region.into(),
            count: 4.into(),
        };
        let parts = [access.as_bytes(), &value.to_le_bytes()];
        self.has_posted = true;
        if self.channel.post(Command::RegionWrite, &parts).is_err() {
            self.lose();
        }
    }

    fn barrier(&mut self) {
        fence(Ordering::SeqCst);
    }

    whole_pool!();

    fn vectors(&self) -> u16 {
        self.vectors.len() as u16
    }

    fn take_interrupts(&mut self) -> u128 {
        let (fired, is_over) = self.ends.take();
        if is_over {
            self.lose();
        } else if self.has_line && fired != 0 {
            self.listen_to_the_line_again();
        }
        fired
    }

    fn is_present(&self) -> bool {
        self.is_present
    }
}
