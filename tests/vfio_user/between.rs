//! Somebody between client and server, who passes messages on and can change them.
//!
//! What a client's memory looks like to a server, and a server's answers to a client, is decided
//! here: so both ends meet others that they were not written with.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use protocol::wire::{Command, DmaAccess, DmaMap, Header};
use protocol::{Channel, ChannelError, Message};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::served::socket_path;

/// How long a message may take to be taken, in milliseconds.
const PATIENCE_MS: u32 = 2_000;
/// Most bytes that are given or taken at once, so that an access takes several messages.
const MAX_TRANSFER: u32 = 256;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// The client gets it.
    Passes,
    /// The client waits in vain.
    IsDropped,
    /// The client hears nothing more at all.
    Ends,
    /// The client gets it many times first, with a number that it never gave.
    Floods,
}

/// What changes the answers of a server.
pub(crate) type Meddler = Box<dyn FnMut(Command, &mut Message) -> Fate + Send>;

/// What becomes of the client's memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Memory {
    /// Its file goes to the server.
    WithFile,
    /// It stays here, and the server has to ask for it.
    Asked,
    /// The same, on a socket of its own.
    AskedOnTwin,
}

/// Stands between one client and a server until this is dropped.
#[derive(Debug)]
pub(crate) struct Between {
    path: PathBuf,
    stop: OwnedFd,
    asked: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Between {
    /// Stands before the server on the socket `server`.
    pub(crate) fn new(server: &Path, memory: Memory, meddler: Meddler) -> Self {
        let path = socket_path();
        let listener = UnixListener::bind(&path).expect("a socket");
        let stop = eventfd(0, EventfdFlags::CLOEXEC).expect("a descriptor");
        let is_stopped = stop.try_clone().expect("a descriptor");
        let asked = Arc::new(AtomicU64::new(0));
        let (server, count) = (server.to_owned(), asked.clone());
        let thread = std::thread::spawn(move || {
            let (client, _) = listener.accept().expect("a client");
            let server = UnixStream::connect(server).expect("a server");
            let mut pair = Pair {
                client: Channel::new(client, PATIENCE_MS),
                server: Channel::new(server, PATIENCE_MS),
                twin: None,
                memory,
                meddler,
                pending: None,
                file: None,
                asked: count,
            };
            // An end that goes takes the other with it.
            while let Ok(true) = pair.turn(&is_stopped) {}
        });
        Self {
            path,
            stop,
            asked,
            thread: Some(thread),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How often the server asked for memory.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        // One that nobody ever came to waits for a client.
        let _ = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Pair {
    client: Channel,
    server: Channel,
    /// Where the server asks for memory, if on a socket of its own.
    twin: Option<Channel>,
    memory: Memory,
    meddler: Meddler,
    /// What the client asked, and the number that the server knows it by.
    pending: Option<(Header, u16)>,
    /// The client's memory, and the address that it begins at.
    file: Option<(File, u64)>,
    asked: Arc<AtomicU64>,
}

impl Pair {
    /// Waits for messages and passes them on; `false` when told to stop.
    fn turn(&mut self, stop: &OwnedFd) -> Result<bool, ChannelError> {
        let ends = [stop.as_fd(), self.client.as_fd(), self.server.as_fd()];
        let twin = self.twin.as_ref().map(AsFd::as_fd);
        let mut polled: Vec<_> = ends
            .into_iter()
            .chain(twin)
            .map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN))
            .collect();
        poll(&mut polled, None)?;
        if !polled[0].revents().is_empty() {
            return Ok(false);
        }
        while let Some(message) = self.server.try_receive()? {
            if message.header.is_reply() {
                self.back(message)?;
            } else {
                self.give(message)?;
            }
        }
        while let Some(twin) = &mut self.twin
            && let Some(message) = twin.try_receive()?
        {
            self.give(message)?;
        }
        // One question at a time, so that each answer finds its way.
        while self.pending.is_none()
            && let Some(message) = self.client.try_receive()?
        {
            self.on(message)?;
        }
        Ok(true)
    }

    /// Passes a question of the client on.
    fn on(&mut self, mut message: Message) -> Result<(), ChannelError> {
        let command = Command::of(message.header.command.get()).expect("a command");
        if !message.header.wants_reply() {
            return self.server.post(command, &[&message.payload]);
        }
        if self.memory != Memory::WithFile && command == Command::DmaMap {
            let map = DmaMap::read_from_bytes(&message.payload).expect("a map");
            let file = message.fds.pop().expect("the client's memory");
            self.file = Some((file.into(), map.address.get()));
        }
        if self.memory != Memory::WithFile && command == Command::Version {
            let twin = self.memory == Memory::AskedOnTwin;
            let most = MAX_TRANSFER;
            let text = format!(
                "{{\"capabilities\":{{\"max_data_xfer_size\":{most},\
                 \"twin_socket\":{{\"supported\":{twin}}}}}}}"
            );
            message.payload.truncate(4);
            message.payload.extend_from_slice(text.as_bytes());
            message.payload.push(0);
        }
        let fds: Vec<_> = message.fds.iter().map(AsFd::as_fd).collect();
        let number = self.server.command(command, &[&message.payload], &fds)?;
        self.pending = Some((message.header, number));
        Ok(())
    }

    /// Passes an answer of the server back, after the meddler had it.
    fn back(&mut self, mut message: Message) -> Result<(), ChannelError> {
        let (asked, number) = self.pending.take().expect("a question");
        assert_eq!(message.header.id.get(), number);
        if let Some(error) = message.header.failure() {
            return self.client.refuse(&asked, error);
        }
        let command = Command::of(asked.command.get()).expect("a command");
        if command == Command::Version && self.memory == Memory::AskedOnTwin {
            let twin = message.fds.pop().expect("a twin socket");
            self.twin = Some(Channel::new(twin.into(), PATIENCE_MS));
        }
        let fate = (self.meddler)(command, &mut message);
        let fds: Vec<_> = message.fds.iter().map(AsFd::as_fd).collect();
        match fate {
            Fate::Passes => self.client.reply(&asked, &[&message.payload], &fds),
            Fate::IsDropped => Ok(()),
            Fate::Ends => Err(ChannelError::Closed),
            Fate::Floods => loop {
                let id = asked.id.get().wrapping_add(1).into();
                self.client.reply(&Header { id, ..asked }, &[], &[])?;
            },
        }
    }

    /// Gives or takes memory, as the server asks.
    fn give(&mut self, message: Message) -> Result<(), ChannelError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let channel = self.twin.as_mut().unwrap_or(&mut self.server);
        let (access, data) = DmaAccess::read_from_prefix(&message.payload).expect("an access");
        let count = access.count.get();
        assert!(count <= MAX_TRANSFER.into(), "{count} bytes at once");
        let place = self.file.as_ref().and_then(|(file, base)| {
            let at = access.address.get().checked_sub(*base)?;
            Some((file, at))
        });
        let Some((file, at)) = place else {
            return channel.refuse(&message.header, Errno::FAULT);
        };
        if message.header.command.get() == Command::DmaWrite as u16 {
            assert_eq!(data.len() as u64, count);
            return match file.write_all_at(data, at) {
                Ok(()) => channel.reply(&message.header, &[access.as_bytes()], &[]),
                Err(_) => channel.refuse(&message.header, Errno::FAULT),
            };
        }
        let mut bytes = vec![0; count as usize];
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) => channel.reply(&message.header, &[access.as_bytes(), &bytes], &[]),
            Err(_) => channel.refuse(&message.header, Errno::FAULT),
        }
    }
}
