//! The edge of a native card: accesses to it on one side, its DMA and interrupts on the other.

use std::io::Read;

use device_model::pci::{BarAccess, ConfigAccess, Message};
use device_model::{Card, CardEvent, DmaFault, FaultKind, Host, Latch};
use regs::{DeviceAddr, FunctionId};
use serde::{Deserialize, Serialize};
use timebase::Time;

use super::{Event, Events, Recorder, Stop};

/// What is done to a card.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Input {
    /// Configuration space is read.
    ConfigRead(ConfigAccess),
    /// Configuration space is written.
    ConfigWrite(ConfigAccess, u32),
    /// A BAR is read.
    BarRead(BarAccess),
    /// A BAR is written.
    BarWrite(BarAccess, u32),
    /// Time passes.
    Advance,
    /// Somebody makes it misbehave.
    Latch(Latch),
    /// It is pulled out of its slot.
    PullOut,
}

impl Input {
    /// Gives it to `card` at `now`; the card's answer, zero where there is none.
    pub fn give(self, card: &mut Card, now: Time, host: &mut impl Host) -> u32 {
        match self {
            Self::ConfigRead(at) => return card.config_read(now, at, host),
            Self::ConfigWrite(at, value) => card.config_write(now, at, value, host),
            Self::BarRead(at) => return card.bar_read(now, at, host),
            Self::BarWrite(at, value) => card.bar_write(now, at, value, host),
            Self::Advance => card.advance(now, host),
            Self::Latch(latch) => card.latch(latch),
            Self::PullOut => card.pull_out(),
        }
        0
    }
}

impl Recorder {
    /// A card is in the slot.
    pub(crate) fn begin(&mut self, card: &Card) {
        self.write(&Event::Card(card.snapshot().to_vec()));
    }

    /// Gives `input` to `card`, and writes down what comes of it.
    pub(crate) fn give(
        &mut self,
        input: Input,
        card: &mut Card,
        now: Time,
        host: &mut impl Host,
    ) -> u32 {
        self.write(&Event::Input(now, input));
        let mut tap = Tap {
            host,
            recorder: self,
        };
        let answer = input.give(card, now, &mut tap);
        self.write(&Event::Answer(answer));
        answer
    }
}

/// Listens between a card and its host.
struct Tap<'a, H> {
    host: &'a mut H,
    recorder: &'a mut Recorder,
}

impl<H: Host> Host for Tap<'_, H> {
    fn read(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &mut [u8],
    ) -> Result<(), DmaFault> {
        let result = self.host.read(function, addr, bytes);
        let read = result.map(|()| bytes.to_vec()).map_err(|fault| fault.kind);
        self.recorder.write(&Event::Read(function, addr, read));
        result
    }

    fn write(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &[u8],
    ) -> Result<(), DmaFault> {
        let result = self.host.write(function, addr, bytes);
        let written = result.map_err(|fault| fault.kind);
        let event = Event::Write(function, addr, bytes.to_vec(), written);
        self.recorder.write(&event);
        result
    }

    fn interrupt(&mut self, at: Time, message: Message) {
        self.recorder.write(&Event::Interrupt(at, message));
        self.host.interrupt(at, message);
    }

    fn intx(&mut self, at: Time, function: FunctionId, is_asserted: bool) {
        self.recorder.write(&Event::Intx(at, function, is_asserted));
        self.host.intx(at, function, is_asserted);
    }

    fn observe(&mut self, at: Time, event: CardEvent) {
        self.host.observe(at, event);
    }
}

/// Gives `input` to a card that is replayed; what follows must be what was recorded.
pub(super) fn replay(
    card: &mut Card,
    (now, input): (Time, Input),
    events: &mut Events<impl Read>,
) -> Result<(), Stop> {
    let mut player = Player { events, stop: None };
    let answer = input.give(card, now, &mut player);
    player.expect(&Event::Answer(answer));
    player.stop.map_or(Ok(()), Err)
}

/// Plays the host of a card that is replayed.
struct Player<'a, R> {
    events: &'a mut Events<R>,
    stop: Option<Stop>,
}

impl<R: Read> Player<'_, R> {
    fn next(&mut self) -> Option<Event> {
        if self.stop.is_some() {
            return None;
        }
        match self.events.next() {
            Ok(Some(event)) => return Some(event),
            Ok(None) => self.stop = Some(Stop::Cut),
            Err(error) => self.stop = Some(Stop::Error(error)),
        }
        None
    }

    fn expect(&mut self, now: &Event) {
        if self.stop.is_none() {
            self.stop = self.events.expect(now).err();
        }
    }

    fn diverge(&mut self, recorded: &Event, now: &Event) {
        self.stop = Some(self.events.diverged(recorded, now));
    }
}

impl<R: Read> Host for Player<'_, R> {
    fn read(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &mut [u8],
    ) -> Result<(), DmaFault> {
        let fault = |kind| DmaFault { addr, kind };
        match self.next() {
            Some(Event::Read(who, place, Ok(read)))
                if (who, place, read.len()) == (function, addr, bytes.len()) =>
            {
                bytes.copy_from_slice(&read);
                Ok(())
            }
            Some(Event::Read(who, place, Err(kind))) if (who, place) == (function, addr) => {
                Err(fault(kind))
            }
            Some(recorded) => {
                let now = Event::Read(function, addr, Ok(vec![0; bytes.len()]));
                self.diverge(&recorded, &now);
                Err(fault(FaultKind::Unanswered))
            }
            None => Err(fault(FaultKind::Unanswered)),
        }
    }

    fn write(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &[u8],
    ) -> Result<(), DmaFault> {
        let fault = |kind| DmaFault { addr, kind };
        match self.next() {
            Some(Event::Write(who, place, written, result))
                if (who, place, written.as_slice()) == (function, addr, bytes) =>
            {
                result.map_err(fault)
            }
            Some(recorded) => {
                let now = Event::Write(function, addr, bytes.to_vec(), Ok(()));
                self.diverge(&recorded, &now);
                Err(fault(FaultKind::Unanswered))
            }
            None => Err(fault(FaultKind::Unanswered)),
        }
    }

    fn interrupt(&mut self, at: Time, message: Message) {
        self.expect(&Event::Interrupt(at, message));
    }

    fn intx(&mut self, at: Time, function: FunctionId, is_asserted: bool) {
        self.expect(&Event::Intx(at, function, is_asserted));
    }
}
