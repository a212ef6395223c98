//! A socket that a server listens on, and what ends the server.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

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
