//! All that crosses a card's edge, written down, so that what a real client did to it can be done
//! to it again: in another process, at another time, to the bit.
//!
//! A recording of a native card begins with its state. Then comes every input with its time, what
//! the card read from memory while it worked on it, what it wrote, which interrupts it sent, and
//! what it answered. A replay gives the inputs to the same card, answers its reads, and compares
//! all the rest. Of a virtio crypto device, which reaches no memory, there are inputs and answers.
//! What crosses the edge includes keys and payloads: a recording is as secret as they are.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use device_model::pci::Message;
use device_model::virtio::VirtioCrypto;
use device_model::{Card, FaultKind, SnapshotError};
use regs::{DeviceAddr, FunctionId};
use serde::{Deserialize, Serialize};
use timebase::Time;

pub use card::Input;
pub(crate) use virtio::{VirtioAnswer, VirtioInput};

mod card;
mod virtio;

const MAGIC: [u8; 12] = *b"ringside-bus";
/// Changes whenever an older recording would be read wrongly.
const FORMAT: u32 = 1;
/// Longest event, in bytes: the state of a large card.
const MAX_EVENT: u32 = 1 << 30;

/// One line of a recording.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
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
    /// A virtio crypto device that was made like this is there.
    Virtio(Box<virtio::Made>),
    /// Something is done to it.
    VirtioInput(Time, VirtioInput),
    /// It answered the input.
    VirtioAnswer(VirtioAnswer),
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

/// What is replayed.
enum Replica {
    Card(Box<Card>),
    Virtio(Box<VirtioCrypto>),
}

/// Why a replay goes no further.
enum Stop {
    /// There is no more.
    Cut,
    /// What comes is wrong, or something else happened.
    Error(ReplayError),
}

/// Replays a recording, and compares all that the card does with what it did.
///
/// # Errors
/// [`ReplayError`], with the first event that is wrong or differs.
pub fn replay(file: impl Read) -> Result<Replayed, ReplayError> {
    let mut events = Events { file, number: 0 };
    events.read_header()?;
    let mut found = Replayed::default();
    let mut replica = None;
    while let Some(event) = events.next()? {
        let number = events.number;
        let outcome = match (event, &mut replica) {
            (Event::Card(state), _) => {
                let restored = Card::restore(&state);
                let failed = |source| ReplayError::Card {
                    event: number,
                    source,
                };
                replica = Some(Replica::Card(Box::new(restored.map_err(failed)?)));
                continue;
            }
            (Event::Virtio(made), _) => {
                let device = made.device();
                let device = device.map_err(|error| events.garbled(&error.to_string()))?;
                replica = Some(Replica::Virtio(Box::new(device)));
                continue;
            }
            (Event::Input(now, input), Some(Replica::Card(card))) => {
                found.step(now, &events)?;
                card::replay(card, (now, input), &mut events)
            }
            (Event::VirtioInput(now, input), Some(Replica::Virtio(device))) => {
                found.step(now, &events)?;
                let answer = Event::VirtioAnswer(input.give(device, now));
                events.expect(&answer)
            }
            (Event::Input(..) | Event::VirtioInput(..), _) => {
                return Err(events.garbled("an input before the first card"));
            }
            _ => return Err(events.garbled("it follows from no input")),
        };
        match outcome {
            Ok(()) => {}
            Err(Stop::Cut) => {
                found.is_cut = true;
                break;
            }
            Err(Stop::Error(error)) => return Err(error),
        }
    }
    found.events = events.number;
    Ok(found)
}

impl Replayed {
    /// The next input comes at `now`.
    fn step<R: Read>(&mut self, now: Time, events: &Events<R>) -> Result<(), ReplayError> {
        if now < self.end {
            return Err(events.garbled("time goes back"));
        }
        self.inputs += 1;
        self.end = now;
        Ok(())
    }
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

    /// The card did `now`: so it was recorded, or the replay ends.
    fn expect(&mut self, now: &Event) -> Result<(), Stop> {
        match self.next() {
            Ok(Some(recorded)) if &recorded == now => Ok(()),
            Ok(Some(recorded)) => Err(self.diverged(&recorded, now)),
            Ok(None) => Err(Stop::Cut),
            Err(error) => Err(Stop::Error(error)),
        }
    }

    fn diverged(&self, recorded: &Event, now: &Event) -> Stop {
        Stop::Error(ReplayError::Diverged {
            event: self.number,
            recorded: tell(recorded),
            now: tell(now),
        })
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
        Event::Virtio(_) => "a virtio device".to_owned(),
        Event::VirtioInput(now, input) => format!("{} at {now:?}", input.tell()),
        Event::VirtioAnswer(answer) => answer.tell(),
    }
}
