//! One client: what it asks, and what it is answered.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use protocol::wire::{
    Command, DeviceInfo, DmaMap, DmaUnmap, IrqInfo, IrqSet, MAX_FDS, MAX_TRANSFER, MultiWrite,
    RegionAccess, RegionInfo, RegionIoFds, VERSION,
};
use protocol::{Channel, ChannelError, Message};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use vfio_bindings::bindings::vfio;
use zerocopy::{FromBytes, Immutable, IntoBytes as _, KnownLayout, Unaligned};

use super::far::{Asker, Waiting};
use super::info;
use crate::interrupt::{Action, Kind};
use crate::memory::{MAX_RANGES, Rights};
use crate::slot::{Region, Slot};

/// How long the rest of a message that has begun may take, in milliseconds.
const PATIENCE_MS: u32 = 2_000;
/// Most writes in one message: the protocol's text names none, the card has no more doorbells.
const MAX_WRITES: usize = 4096;

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The socket can not be used any more.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The client speaks another version.
    #[error("the client speaks version {0}.{1}, and this is {major}.{minor}",
        major = VERSION.0, minor = VERSION.1)]
    Version(u16, u16),
    /// The client began with something else than a version, or one that does not parse.
    #[error("the client did not begin with a version: {0}")]
    NoVersion(String),
}

/// What client and server can do, as the text of a version message says it.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct VersionText {
    capabilities: Capabilities,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Capabilities {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_msg_fds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_data_xfer_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_dma_maps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgsizes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    twin_socket: Option<TwinSocket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_multiple: Option<bool>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct TwinSocket {
    supported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fd_index: Option<u32>,
}

/// What a command is answered.
enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes, and the file of the doorbells.
    WithDoorbells(Vec<u8>),
    /// These bytes, and the descriptor that wakes the server.
    WithWake(Vec<u8>),
}

/// A client's session.
#[derive(Debug)]
pub struct Session {
    channel: Channel,
    /// Where the client is asked for its memory, if not on the same socket.
    twin: Option<Channel>,
    /// Commands that came while an answer was waited for.
    waiting: Waiting,
    /// Most bytes that the client takes or gives at once; `None` before a version is agreed on.
    max_transfer: Option<u32>,
}

impl Session {
    /// A session with the client at the other end of `socket`.
    #[must_use]
    pub fn new(socket: UnixStream) -> Self {
        Self {
            channel: Channel::new(socket, PATIENCE_MS),
            twin: None,
            waiting: Waiting::default(),
            max_transfer: None,
        }
    }

    /// Whether there are commands that came while an answer was waited for.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Answers the next message, if there is one.
    ///
    /// # Errors
    /// [`Ended`] if the session is over.
    pub fn serve(&mut self, slot: &mut Slot) -> Result<bool, Ended> {
        let message = match self.waiting.pop() {
            Some(message) => message,
            None => match self.channel.try_receive()? {
                Some(message) => message,
                None => return Ok(false),
            },
        };
        // Answers that come too late are nobody's.
        if !message.header.is_reply() {
            self.answer(message, slot)?;
        }
        Ok(true)
    }

    /// Lets the card do what is due. Returns whether anything happened.
    pub fn advance(&mut self, slot: &mut Slot) -> bool {
        slot.advance(&mut self.asker())
    }

    fn asker(&mut self) -> Asker<'_> {
        Asker {
            channel: self.twin.as_mut().unwrap_or(&mut self.channel),
            waiting: &mut self.waiting,
            max_transfer: self.max_transfer.unwrap_or(MAX_TRANSFER),
        }
    }

    fn answer(&mut self, message: Message, slot: &mut Slot) -> Result<(), Ended> {
        let header = message.header;
        if self.max_transfer.is_none() {
            return self.agree(&message);
        }
        let answer = self.act(message, slot);
        if !header.wants_reply() {
            return Ok(());
        }
        match answer {
            Ok(Answer::Bytes(bytes)) => self.channel.reply(&header, &[&bytes], &[])?,
            Ok(Answer::WithDoorbells(bytes)) => {
                let file = slot.doorbells().map(|page| page.file());
                self.channel.reply(&header, &[&bytes], file.as_slice())?;
            }
            Ok(Answer::WithWake(bytes)) => {
                let wake = slot.doorbells().map(|page| page.wake());
                self.channel.reply(&header, &[&bytes], wake.as_slice())?;
            }
            Err(error) => self.channel.refuse(&header, error)?,
        }
        Ok(())
    }

    /// Agrees on a version and on capabilities.
    fn agree(&mut self, message: &Message) -> Result<(), Ended> {
        let header = message.header;
        let proposed = Self::read_version(message);
        let (major, minor, text) = match proposed {
            Ok(proposed) => proposed,
            Err(why) => {
                self.channel.refuse(&header, Errno::INVAL)?;
                return Err(Ended::NoVersion(why));
            }
        };
        if major != VERSION.0 {
            self.channel.refuse(&header, Errno::NOTSUP)?;
            return Err(Ended::Version(major, minor));
        }
        let proposed = text.capabilities;
        let most = proposed.max_data_xfer_size.unwrap_or(MAX_TRANSFER.into());
        self.max_transfer = Some(most.clamp(1, MAX_TRANSFER.into()) as u32);
        let wants_twin = proposed
            .twin_socket
            .as_ref()
            .is_some_and(|twin| twin.supported);
        let twin = wants_twin.then(UnixStream::pair).and_then(Result::ok);
        let mut theirs = None;
        let agreed = Capabilities {
            // Never more than was proposed: QEMU takes a large number for a mistake.
            max_msg_fds: proposed.max_msg_fds.map(|most| most.min(MAX_FDS as u64)),
            max_data_xfer_size: proposed.max_data_xfer_size.map(|_| MAX_TRANSFER.into()),
            max_dma_maps: proposed.max_dma_maps.map(|_| MAX_RANGES as u64),
            pgsizes: proposed.pgsizes.map(|_| 4096),
            write_multiple: proposed.write_multiple.map(|_| true),
            twin_socket: twin.map(|(ours, other)| {
                self.twin = Some(Channel::new(ours, PATIENCE_MS));
                theirs = Some(other);
                TwinSocket {
                    supported: true,
                    fd_index: Some(0),
                }
            }),
        };
        let text = VersionText {
            capabilities: agreed,
        };
        let mut text = serde_json::to_vec(&text).unwrap_or_default();
        text.push(0);
        let minor = minor.min(VERSION.1);
        let version = [major.to_le_bytes(), minor.to_le_bytes()].concat();
        let theirs: Option<BorrowedFd<'_>> = theirs.as_ref().map(UnixStream::as_fd);
        self.channel
            .reply(&header, &[&version, &text], theirs.as_slice())?;
        Ok(())
    }

    fn read_version(message: &Message) -> Result<(u16, u16, VersionText), String> {
        if Command::of(message.header.command.get()) != Some(Command::Version) {
            return Err(format!("command {}", message.header.command));
        }
        let Some((version, text)) = message.payload.split_first_chunk::<4>() else {
            return Err(format!("{} bytes", message.payload.len()));
        };
        let [a, b, c, d] = *version;
        let (major, minor) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        if text.is_empty() {
            return Ok((major, minor, VersionText::default()));
        }
        let Some((&0, text)) = text.split_last() else {
            return Err("its text does not end with a zero".to_owned());
        };
        let text = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        Ok((major, minor, text))
    }

    fn act(&mut self, message: Message, slot: &mut Slot) -> Result<Answer, Errno> {
        if message.is_too_long {
            return Err(Errno::MSGSIZE);
        }
        let command = Command::of(message.header.command.get()).ok_or(Errno::INVAL)?;
        let payload = message.payload.as_slice();
        match command {
            Command::DmaMap => Self::map(payload, message.fds, slot),
            Command::DmaUnmap => Self::unmap(payload, slot),
            Command::DeviceGetInfo => {
                exactly::<DeviceInfo>(payload)?;
                Ok(Answer::Bytes(info::device().as_bytes().to_vec()))
            }
            Command::DeviceGetRegionInfo => {
                let asked = exactly::<RegionInfo>(payload)?;
                let room = asked.argsz.get() as usize;
                let (bytes, is_shared) = info::region_info(slot, asked.index.get(), room)?;
                Ok(if is_shared {
                    Answer::WithDoorbells(bytes)
                } else {
                    Answer::Bytes(bytes)
                })
            }
            Command::DeviceGetRegionIoFds => {
                let asked = exactly::<RegionIoFds>(payload)?;
                if asked.flags.get() != 0 || asked.count.get() != 0 {
                    return Err(Errno::INVAL);
                }
                let room = asked.argsz.get() as usize;
                let (bytes, is_shared) = info::region_io_fds(slot, asked.index.get(), room)?;
                Ok(if is_shared {
                    Answer::WithWake(bytes)
                } else {
                    Answer::Bytes(bytes)
                })
            }
            Command::DeviceGetIrqInfo => {
                let asked = exactly::<IrqInfo>(payload)?;
                let info = info::irq_info(slot, asked.index.get())?;
                Ok(Answer::Bytes(info.as_bytes().to_vec()))
            }
            Command::DeviceSetIrqs => self.set_irqs(payload, message.fds, slot),
            Command::RegionRead => self.read(payload, slot),
            Command::RegionWrite => self.write(payload, slot),
            Command::RegionWriteMulti => self.write_multi(payload, slot),
            Command::DeviceReset => {
                if !payload.is_empty() {
                    return Err(Errno::INVAL);
                }
                slot.reset(&mut self.asker());
                Ok(Answer::Bytes(Vec::new()))
            }
            Command::DeviceFeature => Err(Errno::NOTSUP),
            Command::Version | Command::DmaRead | Command::DmaWrite => Err(Errno::INVAL),
        }
    }

    fn map(payload: &[u8], mut fds: Vec<OwnedFd>, slot: &mut Slot) -> Result<Answer, Errno> {
        let asked = exactly::<DmaMap>(payload)?;
        let fd = fds.pop();
        let flags = asked.flags.get();
        let known = vfio::VFIO_DMA_MAP_FLAG_READ | vfio::VFIO_DMA_MAP_FLAG_WRITE;
        if !fds.is_empty() || flags & !known != 0 {
            return Err(Errno::INVAL);
        }
        let rights = Rights {
            read: flags & vfio::VFIO_DMA_MAP_FLAG_READ != 0,
            write: flags & vfio::VFIO_DMA_MAP_FLAG_WRITE != 0,
        };
        let range = (asked.address.get(), asked.size.get());
        let file = fd.map(|fd| (fd, asked.offset.get()));
        slot.memory().map(range, rights, file)?;
        Ok(Answer::Bytes(Vec::new()))
    }

    fn unmap(payload: &[u8], slot: &mut Slot) -> Result<Answer, Errno> {
        let asked = exactly::<DmaUnmap>(payload)?;
        let (address, size) = (asked.address.get(), asked.size.get());
        match asked.flags.get() {
            0 => slot.memory().unmap(address, size)?,
            vfio::VFIO_DMA_UNMAP_FLAG_ALL if (address, size) == (0, 0) => slot.memory().clear(),
            _ => return Err(Errno::INVAL),
        }
        Ok(Answer::Bytes(payload.to_vec()))
    }

    fn set_irqs(
        &mut self,
        payload: &[u8],
        fds: Vec<OwnedFd>,
        slot: &mut Slot,
    ) -> Result<Answer, Errno> {
        let (asked, data) = prefix::<IrqSet>(payload)?;
        let kind = info::kind(asked.index.get())?;
        let all = slot.interrupts().count(kind);
        let (start, count) = (asked.start.get(), asked.count.get());
        if start > all || count > all - start {
            return Err(Errno::INVAL);
        }
        let range = match (start, count) {
            (0, 0) => (0, all),
            range => range,
        };
        let action = read_action(kind, &asked, data, fds)?;
        slot.set_interrupts(kind, range, action, &mut self.asker())?;
        Ok(Answer::Bytes(Vec::new()))
    }

    fn read(&mut self, payload: &[u8], slot: &mut Slot) -> Result<Answer, Errno> {
        let asked = exactly::<RegionAccess>(payload)?;
        let (region, offset) = place(&asked)?;
        let count = asked.count.get();
        if count > MAX_TRANSFER || u64::from(count) > region.len() {
            return Err(Errno::INVAL);
        }
        let head = size_of::<RegionAccess>();
        let mut bytes = payload.to_vec();
        bytes.resize(head + count as usize, 0);
        slot.read(region, offset, &mut bytes[head..], &mut self.asker())?;
        Ok(Answer::Bytes(bytes))
    }

    fn write(&mut self, payload: &[u8], slot: &mut Slot) -> Result<Answer, Errno> {
        let (asked, data) = prefix::<RegionAccess>(payload)?;
        if asked.count.get() as usize != data.len() {
            return Err(Errno::INVAL);
        }
        let (region, offset) = place(&asked)?;
        slot.write(region, offset, data, &mut self.asker())?;
        Ok(Answer::Bytes(asked.as_bytes().to_vec()))
    }

    fn write_multi(&mut self, payload: &[u8], slot: &mut Slot) -> Result<Answer, Errno> {
        let (count, writes) = payload.split_first_chunk::<8>().ok_or(Errno::INVAL)?;
        let writes = <[MultiWrite]>::ref_from_bytes(writes).map_err(|_| Errno::INVAL)?;
        let is_so = u64::from_le_bytes(*count) == writes.len() as u64;
        if !is_so || writes.len() > MAX_WRITES {
            return Err(Errno::INVAL);
        }
        for write in writes {
            let data = write.data.get(..write.at.count.get() as usize);
            let data = data.ok_or(Errno::INVAL)?;
            let (region, offset) = place(&write.at)?;
            slot.write(region, offset, data, &mut self.asker())?;
        }
        Ok(Answer::Bytes(count.to_vec()))
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// What is to be done to interrupts.
fn read_action(
    kind: Kind,
    asked: &IrqSet,
    data: &[u8],
    fds: Vec<OwnedFd>,
) -> Result<Action, Errno> {
    let flags = asked.flags.get();
    let (how, what) = (
        flags & vfio::VFIO_IRQ_SET_DATA_TYPE_MASK,
        flags & vfio::VFIO_IRQ_SET_ACTION_TYPE_MASK,
    );
    if flags & !(vfio::VFIO_IRQ_SET_DATA_TYPE_MASK | vfio::VFIO_IRQ_SET_ACTION_TYPE_MASK) != 0 {
        return Err(Errno::INVAL);
    }
    let count = asked.count.get() as usize;
    if how == vfio::VFIO_IRQ_SET_DATA_EVENTFD {
        return match what {
            vfio::VFIO_IRQ_SET_ACTION_TRIGGER if fds.is_empty() => Ok(Action::Unassign),
            vfio::VFIO_IRQ_SET_ACTION_TRIGGER => Ok(Action::Assign(fds)),
            // Events about masks are for a kernel that unmasks by itself.
            vfio::VFIO_IRQ_SET_ACTION_MASK | vfio::VFIO_IRQ_SET_ACTION_UNMASK => Err(Errno::NOTSUP),
            _ => Err(Errno::INVAL),
        };
    }
    let which = match how {
        vfio::VFIO_IRQ_SET_DATA_NONE if data.is_empty() && fds.is_empty() => vec![true; count],
        vfio::VFIO_IRQ_SET_DATA_BOOL if data.len() == count && fds.is_empty() => {
            data.iter().map(|&byte| byte != 0).collect()
        }
        _ => return Err(Errno::INVAL),
    };
    let is_all = (asked.start.get(), asked.count.get()) == (0, 0);
    match what {
        vfio::VFIO_IRQ_SET_ACTION_TRIGGER if is_all && how == vfio::VFIO_IRQ_SET_DATA_NONE => {
            Ok(Action::Unassign)
        }
        _ if is_all && kind != Kind::Msi => Err(Errno::INVAL),
        vfio::VFIO_IRQ_SET_ACTION_TRIGGER => Ok(Action::Trigger(which)),
        vfio::VFIO_IRQ_SET_ACTION_MASK => Ok(Action::Mask(which)),
        vfio::VFIO_IRQ_SET_ACTION_UNMASK => Ok(Action::Unmask(which)),
        _ => Err(Errno::INVAL),
    }
}

/// Where an access goes.
fn place(asked: &RegionAccess) -> Result<(Region, u64), Errno> {
    let region = info::region(asked.region.get())?.ok_or(Errno::INVAL)?;
    Ok((region, asked.offset.get()))
}

/// The structure that `payload` is.
fn exactly<T: FromBytes>(payload: &[u8]) -> Result<T, Errno> {
    T::read_from_bytes(payload).map_err(|_| Errno::INVAL)
}

/// The structure that `payload` begins with, and what follows.
fn prefix<T: FromBytes + Immutable + KnownLayout + Unaligned>(
    payload: &[u8],
) -> Result<(T, &[u8]), Errno> {
    T::read_from_prefix(payload).map_err(|_| Errno::INVAL)
}
