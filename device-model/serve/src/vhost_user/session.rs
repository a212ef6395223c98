//! One client: what it asks, and what it is answered.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use regs::virtio::SESSION_MESSAGE_LEN;
use rustix::io::Errno;
use timebase::Span;
use vhost::vhost_user::message::{
    FrontendReq as Request, VhostUserProtocolFeatures as Protocol, VhostUserVirtioFeatures,
};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use zerocopy::{FromBytes, IntoBytes as _};

use super::backend::Backend;
use super::channel::{Channel, ChannelError, Message};
use super::memory::MemoryError;
use super::wire::{
    ConfigSpace, MAX_CONFIG, MAX_REGIONS, MemoryRegion, MemoryTable, NEED_REPLY, NO_FD, RING_MASK,
    RingState,
};

/// What is offered of virtio.
const FEATURES: u64 = 1 << VIRTIO_F_VERSION_1
    | 1 << VIRTIO_RING_F_INDIRECT_DESC
    | 1 << VIRTIO_RING_F_EVENT_IDX
    | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
/// What is offered of the protocol.
const PROTOCOL: Protocol = Protocol::MQ
    .union(Protocol::REPLY_ACK)
    .union(Protocol::CONFIG)
    .union(Protocol::CRYPTO_SESSION);

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The socket can not be used any more.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The client asked for what can not be, in a message that has no answer.
    #[error("message {request} can not be served: {error}")]
    Refused {
        /// Number of the message.
        request: u32,
        /// Why.
        error: Errno,
    },
    /// The client's memory can not be taken.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// Why a message is not served.
enum Refusal {
    Errno(Errno),
    Memory(MemoryError),
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        Self::Errno(error)
    }
}

impl From<MemoryError> for Refusal {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

/// A client's session.
#[derive(Debug)]
pub struct Session {
    channel: Channel,
    features: u64,
    protocol: Protocol,
}

impl Session {
    /// A session with the client at the other end of `socket`.
    #[must_use]
    pub fn new(socket: UnixStream) -> Self {
        Self {
            channel: Channel::new(socket),
            features: 0,
            protocol: Protocol::empty(),
        }
    }

    /// How long the message that comes in may still take; `None` if none does.
    pub(super) fn patience(&mut self) -> Option<Span> {
        self.channel.patience()
    }

    /// Serves the next message, if it is whole.
    ///
    /// # Errors
    /// [`Ended`] if the session is over.
    pub fn serve(&mut self, backend: &mut Backend) -> Result<bool, Ended> {
        let Some(message) = self.channel.receive()? else {
            return Ok(false);
        };
        let header = message.header;
        let request = header.request.get();
        let wants_reply =
            self.protocol.contains(Protocol::REPLY_ACK) && header.flags.get() & NEED_REPLY != 0;
        match self.act(message, backend) {
            Ok(Some(answer)) => self.channel.reply(&header, &answer)?,
            Ok(None) if wants_reply => self.channel.reply(&header, &[0; 8])?,
            Ok(None) => {}
            Err(_) if wants_reply => self.channel.reply(&header, &1_u64.to_le_bytes())?,
            Err(Refusal::Errno(error)) => return Err(Ended::Refused { request, error }),
            Err(Refusal::Memory(error)) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Does what a message asks for; gives the answer if its kind has one.
    fn act(&mut self, message: Message, backend: &mut Backend) -> Result<Option<Vec<u8>>, Refusal> {
        let payload = message.payload.as_slice();
        let fds = message.fds;
        let request = message.header.request.get();
        let request = Request::try_from(request).map_err(|_| Errno::NOSYS)?;
        let number = |value: u64| Ok(Some(value.to_le_bytes().to_vec()));
        match request {
            Request::GET_FEATURES => return number(FEATURES),
            Request::SET_FEATURES => self.features = offered(whole(payload)?, FEATURES)?,
            Request::GET_PROTOCOL_FEATURES => return number(PROTOCOL.bits()),
            Request::SET_PROTOCOL_FEATURES => {
                let bits = offered(whole(payload)?, PROTOCOL.bits())?;
                self.protocol = Protocol::from_bits_truncate(bits);
                backend.set_control(self.protocol.contains(Protocol::CONFIG));
            }
            Request::GET_QUEUE_NUM => return number(backend.queues().into()),
            Request::SET_OWNER => {}
            Request::RESET_OWNER => backend.release(),
            Request::SET_MEM_TABLE => backend.set_memory(&read_regions(payload)?, fds)?,
            Request::SET_VRING_NUM
            | Request::SET_VRING_BASE
            | Request::GET_VRING_BASE
            | Request::SET_VRING_ENABLE => return Self::set_ring(request, payload, backend),
            Request::SET_VRING_ADDR => backend.set_address(whole(payload)?)?,
            Request::SET_VRING_KICK | Request::SET_VRING_CALL | Request::SET_VRING_ERR => {
                self.set_event(request, u64::from_le_bytes(whole(payload)?), fds, backend)?;
            }
            Request::GET_CONFIG => return Self::config(payload, backend).map(Some),
            Request::CREATE_CRYPTO_SESSION => return Self::open(payload, backend).map(Some),
            Request::CLOSE_CRYPTO_SESSION => {
                // Nobody waits for an answer, and a session that is not there is closed.
                backend.close(u64::from_le_bytes(whole(payload)?));
            }
            _ => return Err(Errno::NOSYS.into()),
        }
        Ok(None)
    }

    fn set_ring(
        request: Request,
        payload: &[u8],
        backend: &mut Backend,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let state: RingState = whole(payload)?;
        let (number, value) = (state.ring.get().into(), state.value.get());
        match request {
            Request::SET_VRING_NUM => backend.ring(number)?.set_entries(value)?,
            Request::SET_VRING_BASE => backend.ring(number)?.set_base(value)?,
            Request::SET_VRING_ENABLE => backend.ring(number)?.set_enabled(value != 0),
            _ => {
                let base = backend.stop(number)?;
                let state = RingState {
                    ring: state.ring,
                    value: u32::from(base).into(),
                };
                return Ok(Some(state.as_bytes().to_vec()));
            }
        }
        Ok(None)
    }

    fn set_event(
        &self,
        request: Request,
        value: u64,
        mut fds: Vec<OwnedFd>,
        backend: &mut Backend,
    ) -> Result<(), Refusal> {
        let fd = fds.pop();
        let has_none = value & NO_FD != 0;
        if !fds.is_empty() || fd.is_some() == has_none || value & !(RING_MASK | NO_FD) != 0 {
            return Err(Errno::INVAL.into());
        }
        let number = value & RING_MASK;
        match request {
            Request::SET_VRING_CALL => backend.ring(number)?.set_call(fd)?,
            Request::SET_VRING_ERR => backend.ring(number)?.set_error(fd)?,
            _ => {
                let has_event_index = self.features & 1 << VIRTIO_RING_F_EVENT_IDX != 0;
                backend.start(number, fd, has_event_index)?;
            }
        }
        Ok(())
    }

    fn config(payload: &[u8], backend: &Backend) -> Result<Vec<u8>, Refusal> {
        let read = ConfigSpace::read_from_prefix(payload);
        let (asked, room) = read.map_err(|_| Errno::INVAL)?;
        let (at, len) = (asked.offset.get() as usize, asked.size.get() as usize);
        if len != room.len() || len > MAX_CONFIG {
            return Err(Errno::INVAL.into());
        }
        let config = backend.config();
        let config = config.as_bytes();
        let mut bytes = vec![0; len];
        // Frontends may ask for more than this device has.
        let there = config.get(at.min(config.len())..).unwrap_or_default();
        let count = there.len().min(len);
        bytes[..count].copy_from_slice(&there[..count]);
        Ok([asked.as_bytes(), &bytes].concat())
    }

    /// Opens a session; the answer is the message with its number, or a negative status.
    fn open(payload: &[u8], backend: &mut Backend) -> Result<Vec<u8>, Refusal> {
        let message = <&[u8; SESSION_MESSAGE_LEN]>::try_from(payload);
        let message = message.map_err(|_| Errno::INVAL)?;
        let opened = backend.open(message);
        let number = opened.map_or_else(
            |status| -i64::from(status as u8),
            |number| i64::try_from(number).unwrap_or(i64::MIN),
        );
        // Keys have no business in an answer.
        let mut answer = vec![0; SESSION_MESSAGE_LEN];
        answer[..8].copy_from_slice(&message[..8]);
        answer[SESSION_MESSAGE_LEN - 8..].copy_from_slice(&number.to_le_bytes());
        Ok(answer)
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// The bits of `asked`, if all of them were offered.
fn offered(asked: [u8; 8], offer: u64) -> Result<u64, Errno> {
    let asked = u64::from_le_bytes(asked);
    if asked & !offer == 0 {
        Ok(asked)
    } else {
        Err(Errno::INVAL)
    }
}

fn read_regions(payload: &[u8]) -> Result<Vec<MemoryRegion>, Errno> {
    let read = MemoryTable::read_from_prefix(payload);
    let (table, rest) = read.map_err(|_| Errno::INVAL)?;
    let count = table.count.get() as usize;
    if count > MAX_REGIONS {
        return Err(Errno::INVAL);
    }
    let size = size_of::<MemoryRegion>();
    // Some frontends send room for all regions that there can be.
    let regions = rest.get(..count * size).ok_or(Errno::INVAL)?;
    regions.chunks(size).map(whole).collect()
}

/// The structure that `payload` is.
fn whole<T: FromBytes>(payload: &[u8]) -> Result<T, Errno> {
    T::read_from_bytes(payload).map_err(|_| Errno::INVAL)
}
