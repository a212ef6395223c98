//! The loop that serves one device: waits for a client, for its messages, for kicks and for time.

use std::os::fd::AsFd as _;
use std::path::Path;

use timebase::Span;

use super::backend::Backend;
use super::session::{Ended, Session};
use crate::control::Control;
use crate::listen::{ListenError, Listener, Stopper, wait_for};

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
    /// Whether the client, or the next one, had something to say at the last look.
    is_called: bool,
    /// Whether somebody had orders at the last look.
    is_ordered: bool,
    control: Option<Control>,
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
            is_called: false,
            is_ordered: false,
            control: None,
        })
    }

    /// Takes [orders](crate::control) on the socket `path` from now on.
    ///
    /// # Errors
    /// [`ListenError`] if it can not listen there.
    pub fn with_control(mut self, path: &Path) -> Result<Self, ListenError> {
        self.control = Some(Control::new(Listener::new(path)?));
        Ok(self)
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
            if self.look(is_busy)? {
                return Ok(());
            }
        }
    }

    /// One round of work; whether there was any.
    fn round(&mut self) -> Result<bool, Ended> {
        let mut is_busy = self.backend.advance();
        if let Some(control) = &mut self.control
            && std::mem::take(&mut self.is_ordered)
        {
            is_busy |= control.serve(&mut self.backend);
        }
        let is_called = std::mem::take(&mut self.is_called);
        let Some(session) = &mut self.session else {
            if is_called {
                self.session = self.listener.accept().map(Session::new);
            }
            return Ok(is_busy || self.session.is_some());
        };
        // A message that is not whole yet may be too late.
        if is_called || session.patience().is_some() {
            for _ in 0..BURST {
                if !session.serve(&mut self.backend)? {
                    break;
                }
                is_busy = true;
            }
        }
        Ok(is_busy)
    }

    /// Looks who has something to say, and waits for it if nothing is to be done; `true` if the
    /// server is to stop.
    fn look(&mut self, is_busy: bool) -> Result<bool, ListenError> {
        let mut until = Some(Span::ZERO);
        if !is_busy {
            let patience = self.session.as_mut().and_then(Session::patience);
            let nap = self.backend.is_polled().then_some(NAP);
            until = [self.backend.wait(), patience, nap]
                .into_iter()
                .flatten()
                .min();
        }
        let client = match &self.session {
            Some(session) => session.as_fd(),
            None => self.listener.as_fd(),
        };
        let mut ends = vec![self.listener.stop(), client];
        let (rings, kicks): (Vec<_>, Vec<_>) = self.backend.kicks().unzip();
        ends.extend(kicks);
        ends.extend(self.control.iter().flat_map(Control::ends));
        let mut heard = wait_for(&ends, until)?;
        let is_stopped = heard.next() == Some(true);
        self.is_called = heard.next() == Some(true);
        let kicked = rings.into_iter().zip(heard.by_ref());
        for (ring, _) in kicked.filter(|&(_, is_kicked)| is_kicked) {
            self.backend.calm(ring);
        }
        self.is_ordered = heard.any(|is_heard| is_heard);
        Ok(is_stopped)
    }
}
