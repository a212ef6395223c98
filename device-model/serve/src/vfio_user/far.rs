//! Memory of the client that came without a file: asked for over a socket.

use std::collections::VecDeque;

use device_model::FaultKind;
use protocol::wire::{Command, DmaAccess, MAX_TRANSFER};
use protocol::{Channel, Deadline, Message};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::memory::Far;

/// Most that commands may cost which are kept while an answer is waited for, in bytes: a burst of
/// posted doorbells has room, and so have two of the longest messages, but no flood.
const MOST_KEPT: usize = 4 << 20;
/// What a message costs besides its payload, and what each of its descriptors does, in bytes.
const MESSAGE_COST: usize = 128;
const DESCRIPTOR_COST: usize = 4096;
/// How long an answer is waited for, in milliseconds.
const PATIENCE_MS: u32 = 2_000;

/// Commands that came while an answer was waited for.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    messages: VecDeque<Message>,
    cost: usize,
}

impl Waiting {
    fn cost_of(message: &Message) -> usize {
        MESSAGE_COST + message.payload.len() + message.fds.len() * DESCRIPTOR_COST
    }

    /// Keeps `message` if there is room for it.
    fn push(&mut self, message: Message) -> Result<(), FaultKind> {
        self.cost += Self::cost_of(&message);
        self.messages.push_back(message);
        if self.cost > MOST_KEPT {
            return Err(FaultKind::Unanswered);
        }
        Ok(())
    }

    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        !self.messages.is_empty()
    }

    /// The one that came first.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.cost -= Self::cost_of(&message);
        Some(message)
    }
}

/// Asks a client for its memory.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    /// Where it is asked.
    pub(crate) channel: &'a mut Channel,
    /// Where commands are kept that come before the answer does.
    pub(crate) waiting: &'a mut Waiting,
    /// Most bytes that the client takes or gives at once.
    pub(crate) max_transfer: u32,
}

impl Asker<'_> {
    /// Asks, and waits for the answer.
    fn ask(&mut self, command: Command, parts: &[&[u8]]) -> Result<Message, FaultKind> {
        let asked = self.channel.command(command, parts, &[]);
        let id = asked.map_err(|_| FaultKind::Unanswered)?;
        let deadline = Deadline::after(PATIENCE_MS);
        loop {
            let message = self.channel.receive_by(deadline);
            let message = message.map_err(|_| FaultKind::Unanswered)?;
            if !message.header.is_reply() {
                self.waiting.push(message)?;
                continue;
            }
            // An answer that came too late for an earlier question is nobody's.
            if message.header.id.get() != id {
                continue;
            }
            if message.header.failure().is_some() || message.is_too_long {
                return Err(FaultKind::Aborted);
            }
            return Ok(message);
        }
    }

    fn chunk(&self) -> usize {
        self.max_transfer.clamp(1, MAX_TRANSFER) as usize
    }
}

fn access(address: u64, count: usize) -> DmaAccess {
    DmaAccess {
        address: address.into(),
        count: (count as u64).into(),
    }
}

impl Far for Asker<'_> {
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> Result<(), FaultKind> {
        let mut at = addr;
        for part in bytes.chunks_mut(self.chunk()) {
            let asked = access(at, part.len());
            let answer = self.ask(Command::DmaRead, &[asked.as_bytes()])?;
            let (head, data) =
                DmaAccess::read_from_prefix(&answer.payload).map_err(|_| FaultKind::Aborted)?;
            if head.count.get() != part.len() as u64 || data.len() != part.len() {
                return Err(FaultKind::Aborted);
            }
            part.copy_from_slice(data);
            at += part.len() as u64;
        }
        Ok(())
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), FaultKind> {
        let mut at = addr;
        for part in bytes.chunks(self.chunk()) {
            let asked = access(at, part.len());
            self.ask(Command::DmaWrite, &[asked.as_bytes(), part])?;
            at += part.len() as u64;
        }
        Ok(())
    }
}
