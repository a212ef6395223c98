//! A socket that carries whole messages, without ever waiting for one.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendFlags, recvmsg, sendmsg,
};
use timebase::{Span, Time};
use zerocopy::{FromBytes as _, IntoBytes as _};
use zeroize::Zeroizing;

use super::wire::{HEADER_LEN, Header, MAX_FDS, MAX_PAYLOAD, REPLY, VERSION, VERSION_MASK};
use crate::clock::{Clock, Pacing};

/// How long a message may take from its first byte to its last, however many pieces it comes in.
const PATIENCE: Span = Span::from_ms(2_000);

/// Why a channel can not be used any more.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other end closed it.
    #[error("the other end closed the socket")]
    Closed,
    /// The other end closed it within a message.
    #[error("the other end closed the socket within a message")]
    CutShort,
    /// A message is longer than any that is known, or brings more descriptors.
    #[error("a message of {0} bytes with too many of them, or too many descriptors")]
    TooLong(u32),
    /// A message is of another version.
    #[error("a message with the flags {0:#x}, which are not those of version 1")]
    Version(u32),
    /// A message did not come whole in time.
    #[error("a message took longer than {} ms", PATIENCE.as_ns() / 1_000_000)]
    TooSlow,
    /// The other end does not take its answers.
    #[error("the other end does not read")]
    DoesNotRead,
    /// The system said no.
    #[error("the socket failed")]
    Io(#[from] Errno),
}

/// A message that came in.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) header: Header,
    pub(super) payload: Zeroizing<Vec<u8>>,
    pub(super) fds: Vec<OwnedFd>,
}

/// One end of a socket.
#[derive(Debug)]
pub(super) struct Channel {
    socket: UnixStream,
    watch: Clock,
    /// When the message that comes in began.
    began: Option<Time>,
    bytes: Zeroizing<Vec<u8>>,
    fds: Vec<OwnedFd>,
}

impl Channel {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            watch: Clock::new(Pacing::Timed),
            began: None,
            bytes: Zeroizing::new(Vec::with_capacity(HEADER_LEN + MAX_PAYLOAD)),
            fds: Vec::new(),
        }
    }

    /// How long the message that comes in may still take; `None` if none does.
    pub(super) fn patience(&mut self) -> Option<Span> {
        let end = self.began? + PATIENCE;
        self.watch.until(end)
    }

    fn header(&self) -> Option<Header> {
        let read = Header::read_from_prefix(&self.bytes);
        read.ok().map(|(header, _)| header)
    }

    /// Bytes that are missing of the part that is read now: the header, then what follows.
    fn missing(&self) -> Result<usize, ChannelError> {
        let Some(header) = self.header() else {
            return Ok(HEADER_LEN - self.bytes.len());
        };
        let (flags, size) = (header.flags.get(), header.size.get());
        if flags & VERSION_MASK != VERSION {
            return Err(ChannelError::Version(flags));
        }
        if size as usize > MAX_PAYLOAD || self.fds.len() > MAX_FDS {
            return Err(ChannelError::TooLong(size));
        }
        Ok(HEADER_LEN + size as usize - self.bytes.len())
    }

    /// The next message if it is whole. Keeps what there is of one that is not.
    ///
    /// # Errors
    /// [`ChannelError`] if none can come any more.
    pub(super) fn receive(&mut self) -> Result<Option<Message>, ChannelError> {
        loop {
            let missing = self.missing()?;
            if missing == 0 && self.bytes.len() >= HEADER_LEN {
                break;
            }
            if !self.read(missing)? {
                let is_late = self.patience().is_some_and(|left| left == Span::ZERO);
                return if is_late {
                    Err(ChannelError::TooSlow)
                } else {
                    Ok(None)
                };
            }
        }
        let header = self.header().unwrap_or_default();
        let payload = Zeroizing::new(self.bytes[HEADER_LEN..].to_vec());
        self.bytes.fill(0);
        self.bytes.clear();
        self.began = None;
        Ok(Some(Message {
            header,
            payload,
            fds: std::mem::take(&mut self.fds),
        }))
    }

    /// Reads at most `len` bytes; `false` if nothing is there now.
    fn read(&mut self, len: usize) -> Result<bool, ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let had = self.bytes.len();
        self.bytes.resize(had + len, 0);
        let mut parts = [IoSliceMut::new(&mut self.bytes[had..])];
        let received = recvmsg(&self.socket, &mut parts, &mut control, flags);
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                self.fds.extend(more);
            }
        }
        let count = match &received {
            Ok(received) => received.bytes,
            Err(_) => 0,
        };
        self.bytes.truncate(had + count);
        match received {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(Errno::CONNRESET) => return Err(ChannelError::Closed),
            Err(error) => return Err(error.into()),
            Ok(received) if received.flags.contains(ReturnFlags::CTRUNC) => {
                return Err(ChannelError::TooLong(len as u32));
            }
            Ok(_) => {}
        }
        if count == 0 {
            return Err(if had == 0 {
                ChannelError::Closed
            } else {
                ChannelError::CutShort
            });
        }
        if self.began.is_none() {
            self.began = Some(self.watch.now());
        }
        Ok(true)
    }

    /// Answers the message with the header `asked`. Answers are short: a client whose socket has no
    /// room for one has not read many.
    ///
    /// # Errors
    /// [`ChannelError`] if it can not be sent.
    pub(super) fn reply(&mut self, asked: &Header, payload: &[u8]) -> Result<(), ChannelError> {
        let header = Header {
            request: asked.request,
            flags: (VERSION | REPLY).into(),
            size: (payload.len() as u32).into(),
        };
        let whole = Zeroizing::new([header.as_bytes(), payload].concat());
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let parts = [IoSlice::new(&whole)];
        let mut control = SendAncillaryBuffer::default();
        match sendmsg(&self.socket, &parts, &mut control, flags) {
            Ok(sent) if sent == whole.len() => Ok(()),
            Ok(_) | Err(Errno::AGAIN) => Err(ChannelError::DoesNotRead),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(ChannelError::Closed),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
