//! Orders to a served card, over a socket of their own: one line each, answered by one line.
//!
//! ```text
//! plug | unplug | remove | fault NAME [NTH] | stats
//! ```
//!
//! The answer is `ok`, the statistics as JSON, or `error: ` and what was wrong. Whoever may write
//! to the socket may do this to the card; there is no other right.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::str::FromStr;

use device_model::{Card, CardStats, Latch, ProfileError};
use serde::Serialize;

use crate::listen::Listener;
use crate::slot::Slot;

/// Longest order, in bytes.
const MAX_LINE: usize = 256;

/// What can be done to a card while it is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// Put a card in, as new.
    Plug,
    /// Pull the card out at once.
    Unplug,
    /// Ask the client to give the card back.
    Remove,
    /// Make the card misbehave.
    Fault(Latch),
    /// Say what it did.
    Stats,
}

impl FromStr for Order {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["plug"] => Ok(Self::Plug),
            ["unplug"] => Ok(Self::Unplug),
            ["remove"] => Ok(Self::Remove),
            ["stats"] => Ok(Self::Stats),
            ["fault", name] => read_fault(name, None),
            ["fault", name, nth] => read_fault(name, Some(nth)),
            [] => Err("an empty line instead of an order".to_owned()),
            [word, ..] => Err(format!(
                "no order begins with `{word}` and has {} words; there are: plug, unplug, remove, \
                 fault NAME [NTH], stats",
                words.len()
            )),
        }
    }
}

fn read_fault(name: &str, nth: Option<&str>) -> Result<Order, String> {
    // People count from one, the card from the moment the latch is pulled.
    let count = match nth.map(u64::from_str) {
        None => 0,
        Some(Ok(nth @ 1..)) => nth - 1,
        Some(_) => return Err("NTH is a number from 1 on".to_owned()),
    };
    let latch = Latch::named(name, count);
    let latch = latch.ok_or_else(|| {
        let names = Latch::NAMES.join(", ");
        format!("no fault is called `{name}`; there are: {names}")
    })?;
    if nth.is_some() && !latch.counts() {
        return Err(format!("`{name}` does not count, so it takes no NTH"));
    }
    Ok(Order::Fault(latch))
}

/// What is told of a place.
#[derive(Serialize)]
pub(crate) struct Told<'a> {
    pub(crate) profile: &'a str,
    pub(crate) is_present: bool,
    /// Ranges of memory that its client lets it reach.
    pub(crate) ranges: usize,
    pub(crate) stats: Option<&'a CardStats>,
}

/// A place for a card, which takes orders.
pub(crate) trait Ordered {
    /// What there is to say of it; what is recorded so far goes to its file.
    fn told(&mut self) -> Told<'_>;

    /// Puts a new card in.
    fn plug(&mut self) -> Result<(), ProfileError>;

    /// Pulls the card out.
    fn pull_out(&mut self);

    /// Asks the client to give the card back; `false` if there is no way to ask.
    fn request_removal(&mut self) -> bool;

    /// Makes the card misbehave; `false` if it can not like that.
    fn latch(&mut self, latch: Latch) -> bool;
}

impl Ordered for Slot {
    fn told(&mut self) -> Told<'_> {
        self.flush();
        Told {
            ranges: self.memory().ranges(),
            profile: &self.profile().name,
            is_present: self.card().is_some(),
            stats: self.card().map(Card::stats),
        }
    }

    fn plug(&mut self) -> Result<(), ProfileError> {
        let card = Card::new(self.profile().clone())?;
        Self::plug(self, card);
        Ok(())
    }

    fn pull_out(&mut self) {
        self.unplug();
    }

    fn request_removal(&mut self) -> bool {
        Self::request_removal(self);
        true
    }

    fn latch(&mut self, latch: Latch) -> bool {
        Self::latch(self, latch)
    }
}

impl Order {
    /// Does it to `place`; gives the answer, or what is in the way, in words.
    fn execute(self, place: &mut impl Ordered) -> Result<String, String> {
        let told = place.told();
        let is_present = told.is_present;
        let is_done = match self {
            Self::Stats => return serde_json::to_string(&told).map_err(|error| error.to_string()),
            Self::Plug if is_present => return Err("there is a card already".to_owned()),
            Self::Plug => place
                .plug()
                .map(|()| true)
                .map_err(|error| error.to_string())?,
            _ if !is_present => return Err("there is no card in the slot".to_owned()),
            Self::Unplug => {
                place.pull_out();
                true
            }
            Self::Remove => place.request_removal(),
            Self::Fault(latch) => place.latch(latch),
        };
        match (self, is_done) {
            (_, true) => Ok("ok".to_owned()),
            (Self::Remove, false) => Err("this client can not be asked".to_owned()),
            (_, false) => Err("this card has no such fault".to_owned()),
        }
    }
}

/// Where orders come from.
#[derive(Debug)]
pub(crate) struct Control {
    listener: Listener,
    /// Who is about to give one, and what there is of it.
    client: Option<(UnixStream, Vec<u8>)>,
}

impl Control {
    /// Orders over `listener`.
    pub(crate) const fn new(listener: Listener) -> Self {
        Self {
            listener,
            client: None,
        }
    }

    /// What to wait for.
    pub(crate) fn ends(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let client = self.client.as_ref().map(|(socket, _)| socket.as_fd());
        std::iter::once(self.listener.as_fd()).chain(client)
    }

    /// Does what is ordered; whether anything was.
    pub(crate) fn serve(&mut self, place: &mut impl Ordered) -> bool {
        // Whoever comes takes the place of one that is still silent.
        if let Some(socket) = self.listener.accept()
            && socket.set_nonblocking(true).is_ok()
        {
            self.client = Some((socket, Vec::new()));
        }
        let Some((socket, line)) = &mut self.client else {
            return false;
        };
        let mut room = [0; MAX_LINE];
        match socket.read(&mut room) {
            Ok(count @ 1..) => line.extend_from_slice(&room[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
            _ => {
                self.client = None;
                return true;
            }
        }
        let end = line.iter().position(|&byte| byte == b'\n');
        let told = match end {
            Some(end) => execute(&line[..end], place),
            None if line.len() <= MAX_LINE => return true,
            None => Err(format!("an order has at most {MAX_LINE} bytes")),
        };
        let answer = told.unwrap_or_else(|why| format!("error: {why}"));
        // The answer fits into an empty socket; whoever does not take it does not need it.
        let _ = socket.write_all(format!("{answer}\n").as_bytes());
        self.client = None;
        true
    }
}

fn execute(line: &[u8], place: &mut impl Ordered) -> Result<String, String> {
    let line = str::from_utf8(line).map_err(|_| "an order is text".to_owned())?;
    line.parse::<Order>()?.execute(place)
}
