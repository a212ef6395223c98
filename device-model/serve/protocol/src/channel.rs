//! A socket that carries whole messages.
//!
//! Messages come in pieces of any size, and whatever a message says of itself, the next one begins
//! where it ends: what is too long is read and thrown away. A message keeps the descriptors that
//! came with its bytes, because no read goes beyond its end.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

use crate::wire::{Command, ERROR, HEADER_LEN, Header, MAX_FDS, MAX_MESSAGE, NO_REPLY, TYPE_REPLY};

/// Most pieces that the payload of a message is sent from.
const MAX_PARTS: usize = 3;

/// Why a channel can not be used any more.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other end closed it between two messages.
    #[error("the other end closed the socket")]
    Closed,
    /// The other end closed it within a message.
    #[error("the other end closed the socket {missing} bytes before the end of a message")]
    CutShort {
        /// Bytes that are missing.
        missing: usize,
    },
    /// A message says that it is shorter than its own header: there is no telling where the next
    /// one begins.
    #[error("a message of {size} bytes, but its header alone has {HEADER_LEN}")]
    ShorterThanHeader {
        /// What it says of itself, in bytes.
        size: u32,
    },
    /// The other end did not take or give a whole message in time.
    #[error("the other end did not take or give a whole message within {ms} ms")]
    TimedOut {
        /// How long was waited, in milliseconds.
        ms: u32,
    },
    /// The system said no.
    #[error("the socket failed")]
    Io(#[from] Errno),
}

/// A message that came in.
#[derive(Debug)]
pub struct Message {
    /// Its header.
    pub header: Header,
    /// What follows the header; empty if it was too long to keep.
    pub payload: Vec<u8>,
    /// The descriptors that came along.
    pub fds: Vec<OwnedFd>,
    /// Whether it was longer than [`MAX_MESSAGE`], or brought more than [`MAX_FDS`] descriptors.
    pub is_too_long: bool,
}

/// One end of a socket.
#[derive(Debug)]
pub struct Channel {
    socket: UnixStream,
    /// How long the other end may take to make room for a message, in milliseconds.
    patience_ms: u32,
    incoming: Incoming,
    next_id: u16,
}

/// A moment by which something is over, however many pieces it comes in.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    ms: u32,
}

impl Deadline {
    /// `ms` milliseconds from now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the other end of a socket lives in real time, and may never answer"
    )]
    pub fn after(ms: u32) -> Self {
        Self {
            at: Instant::now() + Duration::from_millis(ms.into()),
            ms,
        }
    }

    /// What is left of the time.
    #[expect(
        clippy::disallowed_methods,
        reason = "the other end of a socket lives in real time, and may never answer"
    )]
    fn rest(self) -> Result<Timespec, ChannelError> {
        let rest = self.at.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(ChannelError::TimedOut { ms: self.ms });
        }
        Ok(Timespec {
            tv_sec: rest.as_secs() as i64,
            tv_nsec: rest.subsec_nanos().into(),
        })
    }
}

/// What there is of a message that comes in.
#[derive(Debug, Default)]
struct Incoming {
    header: [u8; HEADER_LEN],
    header_len: usize,
    payload: Vec<u8>,
    payload_len: usize,
    /// Bytes of a message that is too long which have still to come.
    to_skip: usize,
    fds: Vec<OwnedFd>,
    is_too_long: bool,
}

impl Incoming {
    /// The header, once it is whole.
    fn header(&self) -> Option<Header> {
        let is_whole = self.header_len == HEADER_LEN;
        is_whole.then(|| Header::read_from_bytes(&self.header).unwrap_or_default())
    }

    /// Makes room for what follows the header.
    fn expect_payload(&mut self, size: u32) -> Result<(), ChannelError> {
        let Some(len) = (size as usize).checked_sub(HEADER_LEN) else {
            return Err(ChannelError::ShorterThanHeader { size });
        };
        if size > MAX_MESSAGE {
            self.is_too_long = true;
            self.to_skip = len;
        } else {
            self.payload.resize(len, 0);
        }
        Ok(())
    }

    fn missing(&self) -> usize {
        if self.header_len < HEADER_LEN {
            HEADER_LEN - self.header_len
        } else {
            self.payload.len() - self.payload_len + self.to_skip
        }
    }

    /// Reads more of the message, and nothing of the next; `false` if nothing is there now.
    fn read(&mut self, socket: &UnixStream) -> Result<bool, ChannelError> {
        let mut waste = [0; 4096];
        let bytes = if self.header_len < HEADER_LEN {
            &mut self.header[self.header_len..]
        } else if self.to_skip > 0 {
            let len = waste.len().min(self.to_skip);
            &mut waste[..len]
        } else {
            &mut self.payload[self.payload_len..]
        };
        let Some((count, is_cut)) = read(socket, bytes, &mut self.fds)? else {
            return Ok(false);
        };
        if is_cut || self.fds.len() > MAX_FDS {
            self.is_too_long = true;
            self.fds.clear();
        }
        if count == 0 {
            return Err(match self.header_len {
                0 => ChannelError::Closed,
                _ => ChannelError::CutShort {
                    missing: self.missing(),
                },
            });
        }
        if self.header_len < HEADER_LEN {
            self.header_len += count;
            if let Some(header) = self.header() {
                self.expect_payload(header.size.get())?;
            }
        } else if self.to_skip > 0 {
            self.to_skip -= count;
        } else {
            self.payload_len += count;
        }
        Ok(true)
    }
}

/// Reads what is there, at most `bytes`, and the descriptors with it: how much it was, and whether
/// descriptors were lost for lack of room. `None` if nothing is there now.
fn read(
    socket: &UnixStream,
    bytes: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<Option<(usize, bool)>, ChannelError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let mut parts = [IoSliceMut::new(bytes)];
    let received = match recvmsg(socket, &mut parts, &mut control, flags) {
        Ok(received) => received,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
        Err(Errno::CONNRESET) => return Err(ChannelError::Closed),
        Err(error) => return Err(error.into()),
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    let is_cut = received.flags.contains(ReturnFlags::CTRUNC);
    Ok(Some((received.bytes, is_cut)))
}

impl Channel {
    /// Messages over `socket`. What is sent must be taken within `patience_ms` milliseconds.
    #[must_use]
    pub fn new(socket: UnixStream, patience_ms: u32) -> Self {
        Self {
            socket,
            patience_ms,
            incoming: Incoming::default(),
            next_id: 0,
        }
    }

    /// The next message if it is whole by `deadline`: one that drips in is not waited for longer,
    /// and neither is the right one behind any number of others.
    ///
    /// # Errors
    /// [`ChannelError::TimedOut`] if it is not, and others if none can come any more.
    pub fn receive_by(&mut self, deadline: Deadline) -> Result<Message, ChannelError> {
        loop {
            let rest = deadline.rest()?;
            if let Some(message) = self.try_receive()? {
                return Ok(message);
            }
            self.wait(PollFlags::IN, rest)?;
        }
    }

    /// The next message if it is there already. Keeps what there is of one that is not whole.
    ///
    /// # Errors
    /// [`ChannelError`] if none can come any more.
    pub fn try_receive(&mut self) -> Result<Option<Message>, ChannelError> {
        let incoming = &mut self.incoming;
        while incoming.missing() > 0 {
            if !incoming.read(&self.socket)? {
                return Ok(None);
            }
        }
        let whole = std::mem::take(incoming);
        Ok(Some(Message {
            header: whole.header().unwrap_or_default(),
            payload: whole.payload,
            fds: whole.fds,
            is_too_long: whole.is_too_long,
        }))
    }

    /// Sends a command with what follows its header, and says which number it got.
    ///
    /// # Errors
    /// [`ChannelError`] if it can not be sent.
    pub fn command(
        &mut self,
        command: Command,
        parts: &[&[u8]],
        fds: &[BorrowedFd<'_>],
    ) -> Result<u16, ChannelError> {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let header = Header {
            id: id.into(),
            command: (command as u16).into(),
            ..Header::new_zeroed()
        };
        self.send(header, parts, fds)?;
        Ok(id)
    }

    /// Sends a command that nobody answers.
    ///
    /// # Errors
    /// [`ChannelError`] if it can not be sent.
    pub fn post(&mut self, command: Command, parts: &[&[u8]]) -> Result<(), ChannelError> {
        let header = Header {
            command: (command as u16).into(),
            flags: NO_REPLY.into(),
            ..Header::new_zeroed()
        };
        self.send(header, parts, &[])
    }

    /// Answers the message with the header `asked`.
    ///
    /// # Errors
    /// [`ChannelError`] if it can not be sent.
    pub fn reply(
        &mut self,
        asked: &Header,
        parts: &[&[u8]],
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let header = Header {
            flags: TYPE_REPLY.into(),
            error: 0.into(),
            ..*asked
        };
        self.send(header, parts, fds)
    }

    /// Answers the message with the header `asked` that it failed.
    ///
    /// # Errors
    /// [`ChannelError`] if it can not be sent.
    pub fn refuse(&mut self, asked: &Header, error: Errno) -> Result<(), ChannelError> {
        let header = Header {
            flags: (TYPE_REPLY | ERROR).into(),
            error: (error.raw_os_error() as u32).into(),
            ..*asked
        };
        self.send(header, &[], &[])
    }

    fn send(
        &mut self,
        mut header: Header,
        parts: &[&[u8]],
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        header.size = ((HEADER_LEN + payload) as u32).into();
        let mut slices = [IoSlice::new(&[]); 1 + MAX_PARTS];
        slices[0] = IoSlice::new(header.as_bytes());
        for (slice, part) in slices[1..].iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
        }
        let mut unsent = &mut slices[..=parts.len()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Errno::MSGSIZE.into());
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut deadline = None;
        while !unsent.is_empty() {
            match sendmsg(&self.socket, unsent, &mut control, flags) {
                Ok(count) => {
                    IoSlice::advance_slices(&mut unsent, count);
                    // The descriptors went with the first bytes.
                    control.clear();
                }
                Err(Errno::AGAIN) => {
                    let deadline =
                        *deadline.get_or_insert_with(|| Deadline::after(self.patience_ms));
                    self.wait(PollFlags::OUT, deadline.rest()?)?;
                }
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for `what`, at most for `rest`.
    fn wait(&self, what: PollFlags, rest: Timespec) -> Result<(), ChannelError> {
        let mut polled = [PollFd::new(&self.socket, what)];
        match poll(&mut polled, Some(&rest)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
