//! All that crosses a card's edge, written down, so that what a real client did to it can be done
//! to it again: in another process, at another time, to the bit.
//!
//! A recording begins with the state of a card. Then comes every input with its time, what the card
//! read from memory while it worked on it, what it wrote, which interrupts it sent, and what it
//! answered. A replay gives the inputs to the same card, answers its reads, and compares all the
//! rest. What crosses the edge includes keys and payloads: a recording is as secret as they are.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use device_model::pci::{BarAccess, ConfigAccess, Message};
use device_model::{Card, CardEvent, DmaFault, FaultKind, Host, Latch, SnapshotError};
use regs::{DeviceAddr, FunctionId};
use serde::{Deserialize, Serialize};
use timebase::Time;

const MAGIC: [u8; 12] = *b"ringside-bus";
/// Changes whenever an older recording would be read wrongly.
const FORMAT: u32 = 1;
/// Longest event, in bytes: the state of a large card.
const MAX_EVENT: u32 = 1 << 30;

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

/// One line of a recording.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Event {
    /// A card in this state is in the slot.
    Card(Vec<u8>),
    /// Something is done to it.
    Input(Time, Input),
    /// It read memory.
    Read(FunctionId, DeviceAddr, Result<Vec<u8>, FaultKind>),
    /// It wrote memory.
    Write(FunctionId, DeviceAddr, Vec<u8>, Result<(), FaultKind>),
    /// It sent an interrupt.
    Interrupt(Time, Message),
    /// It changed its interrupt line.
    Intx(Time, FunctionId, bool),
    /// It answered the input.
    Answer(u32),
}

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder {
    file: BufWriter<File>,
    /// Why nothing more is written.
    error: Option<io::Error>,
}

impl Recorder {
    /// A recording in the new file `path`, which nobody else may read.
    ///
    /// # Errors
    /// If the file can not be made, or is there already.
    pub fn new(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let mut file = BufWriter::new(file?);
        file.write_all(&MAGIC)?;
        file.write_all(&FORMAT.to_le_bytes())?;
        Ok(Self { file, error: None })
    }

    fn write(&mut self, event: &Event) {
        if self.error.is_some() {
            return;
        }
        let written = postcard::to_allocvec(event)
            .map_err(io::Error::other)
            .and_then(|bytes| {
                let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
                self.file.write_all(&len.to_le_bytes())?;
                self.file.write_all(&bytes)
            });
        self.error = written.err();
    }

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

    /// Hands to the system what is written.
    pub(crate) fn flush(&mut self) {
        if self.error.is_none() {
            self.error = self.file.flush().err();
        }
    }

    /// Ends the recording.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.flush();
        self.error.map_or(Ok(()), Err)
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

/// Why a recording can not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file can not be read.
    #[error("cannot read the recording")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is no recording of a card's bus")]
    NotARecording,
    /// Another version of this program wrote it.
    #[error("a recording of format {found}, and this program reads format {FORMAT}")]
    Format {
        /// The format that it has.
        found: u32,
    },
    /// An event does not parse, or stands where it can not.
    #[error("event {event} is garbled: {why}")]
    Garbled {
        /// Its number, from one.
        event: u64,
        /// What is wrong.
        why: String,
    },
    /// The state of its card is not one.
    #[error("event {event} has no state of a card")]
    Card {
        /// Its number, from one.
        event: u64,
        /// Why.
        source: SnapshotError,
    },
    /// The card did something else than when it was recorded.
    #[error("event {event}: recorded {recorded}, and now {now}")]
    Diverged {
        /// Number of the first event that differs, from one.
        event: u64,
        /// What was recorded.
        recorded: String,
        /// What happened.
        now: String,
    },
}

/// What a replay found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Replayed {
    /// Inputs that the card was given.
    pub inputs: u64,
    /// Events in all.
    pub events: u64,
    /// The card's time after the last, from the beginning of its server.
    pub end: Time,
    /// Whether the recording ends in the middle of what followed from an input: whoever wrote it
    /// was killed.
    pub is_cut: bool,
}

/// Replays a recording, and compares all that the card does with what it did.
///
/// # Errors
/// [`ReplayError`], with the first event that is wrong or differs.
pub fn replay(file: impl Read) -> Result<Replayed, ReplayError> {
    let mut events = Events { file, number: 0 };
    events.read_header()?;
    let mut found = Replayed::default();
    let mut card = None;
    while let Some(event) = events.next()? {
        match event {
            Event::Card(state) => {
                let event = events.number;
                let restored = Card::restore(&state);
                card = Some(restored.map_err(|source| ReplayError::Card { event, source })?);
            }
            Event::Input(now, input) => {
                let Some(card) = &mut card else {
                    return Err(events.garbled("an input before the first card"));
                };
                if now < found.end {
                    return Err(events.garbled("time goes back"));
                }
                found.inputs += 1;
                found.end = now;
                let mut player = Player {
                    events: &mut events,
                    stop: None,
                };
                let answer = input.give(card, now, &mut player);
                player.expect(Event::Answer(answer));
                match player.stop {
                    None => {}
                    Some(Stop::Cut) => {
                        found.is_cut = true;
                        break;
                    }
                    Some(Stop::Error(error)) => return Err(error),
                }
            }
            _ => return Err(events.garbled("it follows from no input")),
        }
    }
    found.events = events.number;
    Ok(found)
}

/// The events of a file, one after the other.
struct Events<R> {
    file: R,
    number: u64,
}

impl<R: Read> Events<R> {
    fn read_header(&mut self) -> Result<(), ReplayError> {
        let mut header = [0; MAGIC.len() + 4];
        let len = read_up_to(&mut self.file, &mut header)?;
        let (magic, format) = header.split_at(MAGIC.len());
        if len < header.len() || magic != MAGIC {
            return Err(ReplayError::NotARecording);
        }
        let found = u32::from_le_bytes(format.try_into().unwrap_or_default());
        if found != FORMAT {
            return Err(ReplayError::Format { found });
        }
        Ok(())
    }

    /// The next event; `None` at the end, also if the last one is not whole.
    fn next(&mut self) -> Result<Option<Event>, ReplayError> {
        let mut len = [0; 4];
        if read_up_to(&mut self.file, &mut len)? < len.len() {
            return Ok(None);
        }
        self.number += 1;
        let len = u32::from_le_bytes(len);
        if len > MAX_EVENT {
            return Err(self.garbled(&format!("it says that it has {len} bytes")));
        }
        // Grows with what is there, not with what is said to be.
        let mut bytes = Vec::new();
        let mut part = (&mut self.file).take(len.into());
        if part.read_to_end(&mut bytes)? < len as usize {
            self.number -= 1;
            return Ok(None);
        }
        let (event, rest) =
            postcard::take_from_bytes(&bytes).map_err(|error| self.garbled(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(self.garbled(&format!("{} bytes too many", rest.len())));
        }
        Ok(Some(event))
    }

    fn garbled(&self, why: &str) -> ReplayError {
        ReplayError::Garbled {
            event: self.number,
            why: why.to_owned(),
        }
    }
}

/// Fills `bytes` as far as the file goes.
fn read_up_to(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < bytes.len() {
        match file.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Why a replay goes no further.
enum Stop {
    /// There is no more.
    Cut,
    /// What comes is wrong, or something else happened.
    Error(ReplayError),
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

    /// The card did `now`: so it was recorded, or the replay ends.
    fn expect(&mut self, now: Event) {
        if let Some(recorded) = self.next()
            && recorded != now
        {
            self.diverge(&recorded, &now);
        }
    }

    fn diverge(&mut self, recorded: &Event, now: &Event) {
        self.stop = Some(Stop::Error(ReplayError::Diverged {
            event: self.events.number,
            recorded: tell(recorded),
            now: tell(now),
        }));
    }
}

/// An event in words, without what it carries.
fn tell(event: &Event) -> String {
    match event {
        Event::Card(_) => "a card".to_owned(),
        Event::Input(now, input) => format!("{input:?} at {now:?}"),
        Event::Read(function, addr, read) => {
            let what = read.as_ref().map(Vec::len);
            format!(
                "a read at {:#x} by function {}: {what:?}",
                addr.0, function.0
            )
        }
        Event::Write(function, addr, bytes, _) => format!(
            "a write of {} bytes at {:#x} by function {}",
            bytes.len(),
            addr.0,
            function.0
        ),
        Event::Interrupt(at, message) => format!("{message:?} at {at:?}"),
        Event::Intx(at, function, is_asserted) => {
            format!("INTx {is_asserted} of function {} at {at:?}", function.0)
        }
        Event::Answer(value) => format!("the answer {value:#x}"),
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
        self.expect(Event::Interrupt(at, message));
    }

    fn intx(&mut self, at: Time, function: FunctionId, is_asserted: bool) {
        self.expect(Event::Intx(at, function, is_asserted));
    }
}
