//! A socket that a server listens on, what ends the server, and waiting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use timebase::Span;

/// Why a server can not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
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
    /// The system has no descriptor left.
    #[error("cannot wait for clients")]
    Wait(#[from] Errno),
}

/// A socket with a name, which goes when this does.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    socket: UnixListener,
    stop: OwnedFd,
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

impl Listener {
    /// Listens on `path`. A socket that a dead server left is taken over.
    ///
    /// # Errors
    /// [`ListenError`] if it can not.
    pub fn new(path: &Path) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Listen {
            path: path.to_owned(),
            source,
        };
        if UnixStream::connect(path).is_ok() {
            return Err(ListenError::InUse(path.to_owned()));
        }
        let is_socket = |meta: std::fs::Metadata| meta.file_type().is_socket();
        if std::fs::symlink_metadata(path).is_ok_and(is_socket) {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let socket = UnixListener::bind(path).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            socket,
            stop: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// What ends the server.
    ///
    /// # Errors
    /// [`ListenError::Wait`] if the system has no descriptor left.
    pub fn stopper(&self) -> Result<Stopper, ListenError> {
        let stop = self.stop.try_clone().map_err(|_| Errno::MFILE)?;
        Ok(Stopper(stop))
    }

    /// What becomes readable when the server is to end.
    #[must_use]
    pub fn stop(&self) -> BorrowedFd<'_> {
        self.stop.as_fd()
    }

    /// The next client, if one waits.
    #[must_use]
    pub fn accept(&self) -> Option<UnixStream> {
        self.socket.accept().ok().map(|(socket, _)| socket)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The socket is ours; what is left of it would only look like a server.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Waits until one of `ends` has something to say, at most for `time` if there is an end to it.
/// Gives of each whether it has.
pub(crate) fn wait_for(
    ends: &[BorrowedFd<'_>],
    time: Option<Span>,
) -> Result<impl Iterator<Item = bool> + use<>, Errno> {
    // A span is 213 days at most.
    let timeout = time.map(|time| Timespec::try_from(Duration::from(time)).unwrap_or_default());
    let polled = ends.iter();
    let polled = polled.map(|end| PollFd::new(end, PollFlags::IN));
    let mut polled: Vec<_> = polled.collect();
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error),
    }
    let heard: Vec<_> = polled.iter().map(|end| !end.revents().is_empty()).collect();
    Ok(heard.into_iter())
}
