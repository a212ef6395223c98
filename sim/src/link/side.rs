//! The card's end of the link: host memory and interrupts, with the fates of messages.

use std::collections::VecDeque;

use device_model::pci;
use device_model::{CardEvent, DmaFault, FaultKind, Host};
use regs::{DeviceAddr, FunctionId, Vector};
use timebase::{Span, Time};

use super::{Delays, LateWrite, MESSAGES, Upstream};
use crate::event::Event;
use crate::memory::WindowTable;
use crate::recorder::Recorder;
use crate::rule::{Fate, Message, Rules};

/// The machine as the card in a slot sees it.
pub(crate) struct CardSide<'a> {
    pub(crate) card: u16,
    pub(crate) now: Time,
    pub(crate) windows: &'a mut WindowTable,
    pub(crate) interrupts: &'a mut VecDeque<(Time, Vector)>,
    pub(crate) delays: &'a mut Delays,
    pub(crate) rules: &'a mut Rules,
    pub(crate) upstream: &'a mut Upstream,
    pub(crate) recorder: &'a mut Recorder,
}

impl CardSide<'_> {
    /// What the card wrote arrives before the answer to a read.
    #[inline]
    pub(crate) fn push(&mut self) {
        while let Some(late) = self.upstream.pushed() {
            self.land(&late);
        }
    }

    /// A write of the card that was under way arrives.
    pub(crate) fn land(&mut self, late: &LateWrite) {
        // The card is not told what became of a posted write.
        let _ = self.store(late.function, late.addr, &late.bytes);
    }

    /// Windows are those of the physical function: nobody mapped anything for another.
    #[inline]
    fn check_owner(function: FunctionId, addr: DeviceAddr) -> Result<(), DmaFault> {
        if function.is_physical() {
            Ok(())
        } else {
            Err(DmaFault::refused(addr))
        }
    }

    #[inline(always)]
    fn store(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &[u8],
    ) -> Result<(), DmaFault> {
        Self::check_owner(function, addr)
            .and_then(|()| self.windows.write(addr, bytes))
            .map_err(|fault| self.refused(fault, true))
    }

    /// A write that arrives later by `delay`.
    fn late(&self, delay: Span, function: FunctionId, addr: DeviceAddr, bytes: &[u8]) -> LateWrite {
        LateWrite {
            arrives: self.now + delay,
            function,
            addr,
            bytes: bytes.to_vec(),
        }
    }

    /// A write is posted: the address is looked at now, and the bytes arrive later.
    #[cold]
    fn post(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &[u8],
    ) -> Result<(), DmaFault> {
        Self::check_owner(function, addr)
            .and_then(|()| self.windows.check_write(addr, bytes.len()))
            .map_err(|fault| self.refused(fault, true))?;
        let delay = self.delays.of_memory();
        let write = self.late(delay, function, addr, bytes);
        self.upstream.post(write);
        Ok(())
    }

    /// Tells the recorder of a refused access: the card itself may not notice.
    #[cold]
    fn refused(&mut self, fault: DmaFault, is_write: bool) -> DmaFault {
        let (card, addr) = (self.card, fault.addr);
        let reason = self.windows.explain(addr);
        let event = Event::DmaRefused {
            card,
            addr,
            is_write,
            reason,
        };
        self.recorder.record(self.now, event);
        fault
    }
}

impl Host for CardSide<'_> {
    #[inline]
    fn read(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &mut [u8],
    ) -> Result<(), DmaFault> {
        self.push();
        Self::check_owner(function, addr)
            .and_then(|()| self.windows.read(addr, bytes))
            .map_err(|fault| self.refused(fault, false))?;
        let fate = self.rules.fate_of(Message::DmaRead, addr.0, bytes);
        let kind = match fate {
            Some(Fate::Refuse) => Some(FaultKind::Refused),
            Some(Fate::Poison) => Some(FaultKind::Poisoned),
            Some(Fate::Lose) => Some(FaultKind::Unanswered),
            _ => None,
        };
        if let Some(kind) = kind {
            return Err(DmaFault { addr, kind });
        }
        if let (Some(Fate::Flip), Some(first)) = (fate, bytes.first_mut()) {
            *first ^= 1;
        }
        self.rules.saw(addr.0, bytes, fate == Some(Fate::Stale));
        Ok(())
    }

    #[inline(always)]
    fn write(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &[u8],
    ) -> Result<(), DmaFault> {
        let mut wrong = Vec::new();
        let bytes = match self.rules.fate_of(Message::DmaWrite, addr.0, bytes) {
            Some(Fate::Lose) => return Ok(()),
            Some(Fate::Refuse) => return Err(DmaFault::refused(addr)),
            Some(Fate::Delay(delay)) => {
                let write = self.late(delay, function, addr, bytes);
                self.upstream.hold(write);
                return Ok(());
            }
            Some(Fate::Again(delay)) => {
                let write = self.late(delay, function, addr, bytes);
                self.upstream.hold(write);
                bytes
            }
            Some(Fate::Flip) => {
                wrong.extend_from_slice(bytes);
                wrong.iter_mut().take(1).for_each(|first| *first ^= 1);
                &wrong
            }
            _ => bytes,
        };
        if self.delays.memory > Span::ZERO {
            return self.post(function, addr, bytes);
        }
        self.store(function, addr, bytes)
    }

    #[inline]
    fn in_place(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        len: usize,
    ) -> Result<Option<&mut [u8]>, DmaFault> {
        // Work in place is a read and a write; a card that has to copy makes both apart.
        if !self.rules.is_empty() || self.delays.memory > Span::ZERO {
            return Ok(None);
        }
        // The check comes first because a borrow that is handed out cannot be looked at again.
        let checked =
            Self::check_owner(function, addr).and_then(|()| self.windows.check_in_place(addr, len));
        if let Err(fault) = checked {
            return Err(self.refused(fault, true));
        }
        self.windows.in_place(addr, len)
    }

    fn interrupt(&mut self, at: Time, message: pci::Message) {
        if message.addr != MESSAGES {
            let fault = DmaFault::refused(message.addr);
            self.refused(fault, true);
            return;
        }
        let mut vector = Vector(message.data as u16);
        let (low, high) = self.delays.interrupt;
        let mut arrives = self.upstream.last().max(at + self.delays.draw(low, high));
        let mut copies = 1;
        match self.rules.fate(Message::Interrupt, vector.0.into()) {
            Some(Fate::Lose) => return,
            Some(Fate::Double) => copies = 2,
            Some(Fate::Delay(delay)) => arrives += delay,
            Some(Fate::Flip) => vector.0 ^= 1,
            _ => {}
        }
        // Messages of different vectors may overtake each other on their way through the host.
        let place = self
            .interrupts
            .partition_point(|&(other, _)| other <= arrives);
        for _ in 0..copies {
            self.interrupts.insert(place, (arrives, vector));
        }
    }

    #[inline(always)]
    fn observe(&mut self, at: Time, event: CardEvent) {
        self.recorder.record_card(at, self.card, event);
    }
}
