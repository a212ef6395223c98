//! The loop that serves one card: waits for a client, for its messages and for the card's time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use device_model::Profile;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use timebase::Span;

use super::session::{Ended, Session};
use crate::control::Control;
use crate::memory::Nobody;
use crate::slot::Slot;

/// Messages that are answered before the card gets its turn.
const BURST: u32 = 64;
/// Rounds without work before a server with shared doorbells sleeps between looks.
const SPINS: u32 = 20_000;
/// How long it sleeps between looks.
const NAP: Span = Span::from_ms(1);

/// Why a server can not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The socket can not be made.
    #[error("cannot listen on {path}: {source}")]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody serves there already.
    #[error("{0} is in use: another server listens there")]
    InUse(PathBuf),
    /// Waiting failed.
    #[error("cannot wait for clients")]
    Wait(#[from] Errno),
}

/// A card that listens on a socket.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    listener: UnixListener,
    slot: Slot,
    session: Option<Session>,
    stop: OwnedFd,
    idle: u32,
    /// What a card is made from that is plugged in.
    profile: Option<Profile>,
    control: Option<(PathBuf, Control)>,
}

/// What ends a server from another thread.
#[derive(Debug)]
pub struct Stopper(OwnedFd);

impl Stopper {
    /// Ends the server after what it does just now.
    pub fn stop(&self) {
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl Server {
    /// A server of `slot` on the socket `path`. A socket that a dead server left is taken over.
    ///
    /// # Errors
    /// [`ServerError`] if it can not listen there.
    pub fn new(path: &Path, slot: Slot) -> Result<Self, ServerError> {
        let listener = listen(path)?;
        Ok(Self {
            path: path.to_owned(),
            listener,
            profile: slot.card().map(|card| card.profile().clone()),
            slot,
            session: None,
            stop: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            idle: 0,
            control: None,
        })
    }

    /// Takes [orders](crate::control) on the socket `path` from now on.
    ///
    /// # Errors
    /// [`ServerError`] if it can not listen there.
    pub fn with_control(mut self, path: &Path) -> Result<Self, ServerError> {
        self.control = Some((path.to_owned(), Control::new(listen(path)?)));
        Ok(self)
    }

    /// What ends this server.
    ///
    /// # Errors
    /// [`ServerError::Wait`] if the system has no descriptor left.
    pub fn stopper(&self) -> Result<Stopper, ServerError> {
        let stop = self.stop.try_clone().map_err(|_| Errno::MFILE)?;
        Ok(Stopper(stop))
    }

    /// The slot.
    pub const fn slot(&mut self) -> &mut Slot {
        &mut self.slot
    }

    /// Serves one client after another until it is stopped. `tell` hears why each left.
    ///
    /// # Errors
    /// [`ServerError::Wait`] if the system fails.
    pub fn run(&mut self, mut tell: impl FnMut(&Ended)) -> Result<(), ServerError> {
        loop {
            let is_busy = match self.round() {
                Ok(is_busy) => is_busy,
                Err(ended) => {
                    self.session = None;
                    self.slot.release();
                    tell(&ended);
                    true
                }
            };
            self.idle = if is_busy {
                0
            } else {
                self.idle.saturating_add(1)
            };
            let is_spinning = self.slot.doorbells().is_some() && self.idle < SPINS;
            let looks = !is_spinning || self.idle.is_multiple_of(64);
            if !is_busy && looks && self.wait(is_spinning)? {
                return Ok(());
            }
        }
    }

    /// One round of work; whether there was any.
    fn round(&mut self) -> Result<bool, Ended> {
        if let (Some((_, control)), Some(profile)) = (&mut self.control, &self.profile)
            && control.serve(&mut self.slot, profile)
        {
            return Ok(true);
        }
        let Some(session) = &mut self.session else {
            let is_busy = self.slot.advance(&mut Nobody);
            if let Ok((socket, _)) = self.listener.accept() {
                self.session = Some(Session::new(socket));
                return Ok(true);
            }
            return Ok(is_busy);
        };
        let mut is_busy = session.advance(&mut self.slot);
        for _ in 0..BURST {
            if !session.serve(&mut self.slot)? {
                break;
            }
            is_busy = true;
        }
        Ok(is_busy)
    }

    /// Waits until there may be work; `true` if the server is to stop.
    fn wait(&mut self, is_spinning: bool) -> Result<bool, ServerError> {
        let mut until = self.slot.wait();
        if self.slot.doorbells().is_some() {
            until = Some(until.unwrap_or(NAP).min(NAP));
        }
        if is_spinning {
            until = Some(Span::ZERO);
        }
        let timeout = until.map(|span| Timespec {
            tv_sec: (span.as_ns() / 1_000_000_000) as i64,
            tv_nsec: (span.as_ns() % 1_000_000_000) as i64,
        });
        let client: BorrowedFd<'_> = match &self.session {
            Some(session) => session.as_fd(),
            None => self.listener.as_fd(),
        };
        let mut polled = vec![
            PollFd::new(&self.stop, PollFlags::IN),
            PollFd::from_borrowed_fd(client, PollFlags::IN),
        ];
        let rung = polled.len();
        let wake = self.slot.doorbells().map(|page| page.wake());
        let orders = self.control.iter().flat_map(|(_, control)| control.ends());
        let others = wake.into_iter().chain(orders);
        polled.extend(others.map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN)));
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_stopped = !polled[0].revents().is_empty();
        let is_rung = polled.get(rung).map(|wake| !wake.revents().is_empty());
        if let Some(page) = self.slot.doorbells()
            && is_rung == Some(true)
        {
            page.calm();
            self.idle = 0;
        }
        Ok(is_stopped)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The sockets are ours; what is left of them would only look like a server.
        let _ = std::fs::remove_file(&self.path);
        if let Some((path, _)) = &self.control {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Listens on the socket `path`, in the place of a server that died there.
fn listen(path: &Path) -> Result<UnixListener, ServerError> {
    let failed = |source| ServerError::Listen {
        path: path.to_owned(),
        source,
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ServerError::InUse(path.to_owned()));
    }
    let is_socket = |meta: std::fs::Metadata| {
        use std::os::unix::fs::FileTypeExt as _;
        meta.file_type().is_socket()
    };
    if std::fs::symlink_metadata(path).is_ok_and(is_socket) {
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
