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

use device_model::{Card, CardStats, Latch, Profile};
use serde::Serialize;

use crate::listen::Listener;
use crate::slot::Slot;

/// Longest order, in bytes.
const MAX_LINE: usize = 256;

/// What can be done to a slot while it is served.
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

/// What is told of a slot.
#[derive(Serialize)]
struct Told<'a> {
    profile: &'a str,
    is_present: bool,
    ranges: usize,
    stats: Option<&'a CardStats>,
}

impl Order {
    /// Does it to `slot`, whose cards are made from `profile`.
    ///
    /// # Errors
    /// What is in the way, in words.
    pub fn execute(self, slot: &mut Slot, profile: &Profile) -> Result<String, String> {
        const EMPTY: &str = "there is no card in the slot";
        let done = || Ok("ok".to_owned());
        match self {
            Self::Plug if slot.card().is_some() => Err("there is a card already".to_owned()),
            Self::Plug => {
                let card = Card::new(profile.clone()).map_err(|error| error.to_string())?;
                slot.plug(card);
                done()
            }
            Self::Unplug => slot.unplug().map_or(Err(EMPTY.to_owned()), |_| done()),
            Self::Remove if slot.card().is_none() => Err(EMPTY.to_owned()),
            Self::Remove => {
                slot.request_removal();
                done()
            }
            Self::Fault(latch) if slot.latch(latch) => done(),
            Self::Fault(_) => Err(EMPTY.to_owned()),
            Self::Stats => {
                let told = Told {
                    profile: &profile.name,
                    is_present: slot.card().is_some(),
                    ranges: slot.memory().ranges(),
                    stats: slot.card().map(Card::stats),
                };
                serde_json::to_string(&told).map_err(|error| error.to_string())
            }
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
    pub(crate) fn serve(&mut self, slot: &mut Slot, profile: &Profile) -> bool {
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
            Some(end) => execute(&line[..end], slot, profile),
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

fn execute(line: &[u8], slot: &mut Slot, profile: &Profile) -> Result<String, String> {
    let line = str::from_utf8(line).map_err(|_| "an order is text".to_owned())?;
    line.parse::<Order>()?.execute(slot, profile)
}
