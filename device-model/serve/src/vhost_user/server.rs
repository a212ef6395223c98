//! The loop that serves one device: waits for a client, for its messages, for kicks and for time.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use timebase::Span;

use super::backend::Backend;
use super::session::{Ended, Session};
use crate::listen::{ListenError, Listener, Stopper};

/// Messages that are served before the rings get their turn.
const BURST: u32 = 64;
/// How long the server sleeps between looks at rings that do not kick.
const NAP: Span = Span::from_ms(1);

/// A backend that listens on a socket.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    backend: Backend,
    session: Option<Session>,
}

impl Server {
    /// A server of `backend` on the socket `path`. A socket that a dead server left is taken over.
    ///
    /// # Errors
    /// [`ListenError`] if it can not listen there.
    pub fn new(path: &Path, backend: Backend) -> Result<Self, ListenError> {
        Ok(Self {
            listener: Listener::new(path)?,
            backend,
            session: None,
        })
    }

    /// What ends this server.
    ///
    /// # Errors
    /// [`ListenError::Wait`] if the system has no descriptor left.
    pub fn stopper(&self) -> Result<Stopper, ListenError> {
        self.listener.stopper()
    }

    /// The backend.
    pub const fn backend(&mut self) -> &mut Backend {
        &mut self.backend
    }

    /// Serves one client after another until it is stopped. `tell` hears why each left.
    ///
    /// # Errors
    /// [`ListenError::Wait`] if the system fails.
    pub fn run(&mut self, mut tell: impl FnMut(&Ended)) -> Result<(), ListenError> {
        loop {
            let is_busy = match self.round() {
                Ok(is_busy) => is_busy,
                Err(ended) => {
                    self.session = None;
                    self.backend.release();
                    tell(&ended);
                    true
                }
            };
            if self.wait(is_busy)? {
                return Ok(());
            }
        }
    }

    /// One round of work; whether there was any.
    fn round(&mut self) -> Result<bool, Ended> {
        let mut is_busy = self.backend.advance();
        let Some(session) = &mut self.session else {
            self.session = self.listener.accept().map(Session::new);
            return Ok(is_busy || self.session.is_some());
        };
        for _ in 0..BURST {
            if !session.serve(&mut self.backend)? {
                break;
            }
            is_busy = true;
        }
        Ok(is_busy)
    }

    /// Waits until there may be work, not at all if there is some; `true` if the server is to stop.
    fn wait(&mut self, is_busy: bool) -> Result<bool, ListenError> {
        let patience = self.session.as_mut().and_then(Session::patience);
        let nap = self.backend.is_polled().then_some(NAP);
        let until = [self.backend.wait(), patience, nap];
        let until = until.into_iter().flatten().min();
        let until = if is_busy { Some(Span::ZERO) } else { until };
        let timeout = until.map(|span| Timespec {
            tv_sec: (span.as_ns() / 1_000_000_000) as i64,
            // A part of a nanosecond is not waited for.
            tv_nsec: (span.as_ns() % 1_000_000_000) as i64,
        });
        let client: BorrowedFd<'_> = match &self.session {
            Some(session) => session.as_fd(),
            None => self.listener.as_fd(),
        };
        let mut polled = vec![
            PollFd::from_borrowed_fd(self.listener.stop(), PollFlags::IN),
            PollFd::from_borrowed_fd(client, PollFlags::IN),
        ];
        let mut rings = Vec::new();
        for (ring, kick) in self.backend.kicks() {
            rings.push(ring);
            polled.push(PollFd::from_borrowed_fd(kick, PollFlags::IN));
        }
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_stopped = !polled[0].revents().is_empty();
        let kicked = polled[2..].iter().map(|kick| !kick.revents().is_empty());
        let kicked: Vec<usize> = rings
            .into_iter()
            .zip(kicked)
            .filter_map(|(ring, is_kicked)| is_kicked.then_some(ring))
            .collect();
        for ring in kicked {
            self.backend.calm(ring);
        }
        Ok(is_stopped)
    }
}
