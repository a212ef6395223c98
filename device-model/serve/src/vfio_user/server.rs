//! The loop that serves one card: waits for a client, for its messages and for the card's time.

use std::os::fd::AsFd as _;
use std::path::Path;

use timebase::{Span, Time};

use super::session::{Ended, Session};
use crate::clock::{Clock, Pacing};
use crate::control::Control;
use crate::listen::{ListenError, Listener, Stopper, wait_for};
use crate::memory::Nobody;
use crate::slot::Slot;

/// Messages that are answered before the card gets its turn.
const BURST: u32 = 64;
/// Rounds between looks at the sockets, if the server has something else to do.
const BLIND: u32 = 32;
/// Rounds without work before a server with shared doorbells sleeps between looks.
const SPINS: u32 = 20_000;
/// How long a server whose clients send messages looks on before it sleeps, if the last one came
/// so soon: to be woken takes longer than all the rest.
const LINGER: Span = Span::from_us(100);
/// How long it sleeps between looks.
const NAP: Span = Span::from_ms(1);

/// The time between two pieces of work.
#[derive(Debug)]
struct Pause {
    clock: Clock,
    /// When it began; nothing while there is work.
    since: Option<Time>,
    /// Whether the last one was over before a look would have been given up.
    was_short: bool,
}

impl Pause {
    fn new() -> Self {
        Self {
            clock: Clock::new(Pacing::Timed),
            since: None,
            was_short: false,
        }
    }

    /// Whether it is too early to sleep after a round with work, or without.
    fn looks_on(&mut self, is_busy: bool) -> bool {
        if is_busy && self.since.is_none() {
            return true;
        }
        let now = self.clock.now();
        if is_busy {
            let since = self.since.take();
            self.was_short = since.is_some_and(|since| now < since + LINGER);
            return true;
        }
        let since = *self.since.get_or_insert(now);
        self.was_short && now < since + LINGER
    }
}

/// A card that listens on a socket.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    slot: Slot,
    session: Option<Session>,
    /// Whether the client, or the next one, had something to say at the last look.
    is_called: bool,
    /// Whether somebody had orders at the last look.
    is_ordered: bool,
    /// Rounds since the last look.
    blind: u32,
    /// Rounds without work.
    idle: u32,
    pause: Pause,
    control: Option<Control>,
}

impl Server {
    /// A server of `slot` on the socket `path`. A socket that a dead server left is taken over.
    ///
    /// # Errors
    /// [`ListenError`] if it can not listen there.
    pub fn new(path: &Path, slot: Slot) -> Result<Self, ListenError> {
        Ok(Self {
            listener: Listener::new(path)?,
            slot,
            session: None,
            is_called: false,
            is_ordered: false,
            blind: 0,
            idle: 0,
            pause: Pause::new(),
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

    /// The slot.
    pub const fn slot(&mut self) -> &mut Slot {
        &mut self.slot
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
                    self.slot.release();
                    tell(&ended);
                    true
                }
            };
            self.idle = match is_busy {
                true => 0,
                false => self.idle.saturating_add(1),
            };
            self.blind += 1;
            let is_spinning = match self.slot.doorbells() {
                Some(_) => self.idle < SPINS,
                None => self.session.is_some() && self.pause.looks_on(is_busy),
            };
            let may_sleep = !is_busy && !is_spinning;
            if (may_sleep || self.blind >= BLIND) && self.look(may_sleep)? {
                return Ok(());
            }
        }
    }

    /// One round of work; whether there was any.
    fn round(&mut self) -> Result<bool, Ended> {
        if let Some(control) = &mut self.control
            && std::mem::take(&mut self.is_ordered)
            && control.serve(&mut self.slot)
        {
            return Ok(true);
        }
        let Some(session) = &mut self.session else {
            let is_busy = self.slot.advance(&mut Nobody);
            if std::mem::take(&mut self.is_called) {
                self.session = self.listener.accept().map(Session::new);
            }
            return Ok(is_busy || self.session.is_some());
        };
        let mut is_busy = session.advance(&mut self.slot);
        for _ in 0..BURST {
            if !self.is_called && !session.has_waiting() {
                break;
            }
            self.is_called = session.serve(&mut self.slot)?;
            is_busy |= self.is_called;
        }
        Ok(is_busy)
    }

    /// Looks who has something to say, and waits for it if it `may_sleep`; `true` if the server is
    /// to stop.
    fn look(&mut self, may_sleep: bool) -> Result<bool, ListenError> {
        let mut until = Some(Span::ZERO);
        if may_sleep {
            let nap = self.slot.doorbells().map(|_| NAP);
            until = self.slot.wait().into_iter().chain(nap).min();
        }
        let client = match &self.session {
            Some(session) => session.as_fd(),
            None => self.listener.as_fd(),
        };
        let mut ends = vec![self.listener.stop(), client];
        ends.extend(self.slot.doorbells().map(|page| page.wake()));
        ends.extend(self.control.iter().flat_map(Control::ends));
        let mut heard = wait_for(&ends, until)?;
        let mut next = || heard.next() == Some(true);
        let is_stopped = next();
        self.is_called |= next();
        if let Some(page) = self.slot.doorbells()
            && next()
        {
            page.calm();
            self.idle = 0;
        }
        self.is_ordered = heard.any(|is_heard| is_heard);
        self.blind = 0;
        if !may_sleep {
            // Whoever is to be heard next may wait for this very processor.
            std::thread::yield_now();
        }
        Ok(is_stopped)
    }
}
