//! Memory of the client that came without a file: asked for over a socket.

use std::collections::VecDeque;

use device_model::FaultKind;
use protocol::wire::{Command, DmaAccess, MAX_TRANSFER};
use protocol::{Channel, Deadline, Message};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::memory::Far;

/// Most commands that are kept while an answer is waited for. Each may be as long as a message is.
const MAX_WAITING: usize = 64;
/// How long an answer is waited for, in milliseconds.
const PATIENCE_MS: u32 = 2_000;

/// Asks a client for its memory.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    /// Where it is asked.
    pub(crate) channel: &'a mut Channel,
    /// Where commands are kept that come before the answer does.
    pub(crate) waiting: &'a mut VecDeque<Message>,
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
                if self.waiting.len() >= MAX_WAITING {
                    return Err(FaultKind::Unanswered);
                }
                self.waiting.push_back(message);
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
