//! Compression on the card: how long the result is, only the card knows.
//!
//! A payload in one pooled buffer is compressed where it is; any other goes through a copy with
//! room for the result behind it. Owns the meaning of lengths: a payload that does not get shorter
//! stays as it is, and a result never leaves the room its buffer has. Datasheet: compression.

use dma::PoolBuffer;
use framework::{Buffer, DriverError, Operation, Request};
use regs::{CardSession, Command, CommandFlags, DeviceAddr, Opcode, Status};

use super::request::Trouble;
use crate::command::{PAYLOAD_MAX, TooBig};
use crate::mapping::{HoldError, take};
use crate::ring::{End, Verdict};
use crate::stats::Counters;
use crate::{Direction, Mapped, Transport};

/// A request on the card that compresses or decompresses.
#[derive(Debug)]
pub(super) struct Squeeze {
    request: Box<Request>,
    mapped: Mapped,
    /// Longest result the card was given room for, in bytes.
    room: u32,
}

/// Whether `request` is for a session that compresses.
#[inline]
pub(super) fn is_compression(request: &Request) -> bool {
    matches!(
        request.operation,
        Operation::Compress | Operation::Decompress
    )
}

/// Lengths of the payload of `request` and of the longest result that is of use, in bytes.
fn lengths(request: &Request) -> Result<(u32, u32), TooBig> {
    let (start, len) = (request.payload.start, request.payload.len);
    let payload_len = u32::try_from(len).map_err(|_| TooBig)?;
    if payload_len > PAYLOAD_MAX {
        return Err(TooBig);
    }
    let room = match request.operation {
        // What does not get shorter is not wanted.
        Operation::Compress => len.saturating_sub(1),
        _ => request.buffer.result_room(start).min(PAYLOAD_MAX as usize),
    };
    Ok((payload_len, room as u32))
}

impl Squeeze {
    /// Maps `request` and gives the command for it; hands it back untouched on failure.
    pub(super) fn prepare<T: Transport>(
        transport: &mut T,
        session: CardSession,
        mut request: Box<Request>,
        counters: &Counters,
    ) -> Result<(Command, Self), (Box<Request>, Trouble)> {
        let (len, room) = match lengths(&request) {
            Ok(lengths) => lengths,
            Err(TooBig) => return Err((request, Trouble::TooBig)),
        };
        let is_copy = needs_copy(&request);
        let mapped = match map(transport, &mut request, (len, room), counters) {
            Ok(mapped) => mapped,
            Err(error) => return Err((request, error.into())),
        };
        let (source, destination) = match is_copy {
            true => (mapped.addr, mapped.addr.offset(u64::from(len))),
            false => {
                let at = mapped.addr.offset(request.payload.start as u64);
                (at, at)
            }
        };
        let command = Command {
            opcode: Opcode::Process as u8,
            flags: match request.operation {
                Operation::Compress => CommandFlags::ENCRYPT,
                _ => CommandFlags::empty(),
            },
            session,
            source: if len == 0 {
                DeviceAddr::default()
            } else {
                source
            },
            source_len: len,
            destination,
            destination_len: room,
            payload_len: len,
            ..Command::default()
        };
        let job = Self {
            request,
            mapped,
            room,
        };
        Ok((command, job))
    }

    /// Takes the request back from the card. `Err` says how the card ended it, if not well, and
    /// whether the request is surely untouched.
    pub(super) fn finish<T: Transport>(
        self,
        transport: &mut T,
        counters: &Counters,
        end: End,
    ) -> (Box<Request>, Result<(), Ending>) {
        let Self {
            mut request,
            mapped,
            room,
        } = self;
        let is_copy = needs_copy(&request);
        let unmapped = transport.unmap(mapped);
        let untouched = is_copy || !unmapped.touched;
        let copy = match is_copy {
            true => Some(unmapped.buffer),
            false => {
                request.buffer = Buffer::Pooled(unmapped.buffer);
                None
            }
        };
        let result = match end.verdict {
            Verdict::Card(Status::Success) => {
                let len = end.output_len;
                if len > room {
                    Err(Ending::Failed(Verdict::Nonsense, untouched))
                } else {
                    put(&mut request, copy.as_ref(), len as usize, counters);
                    Ok(())
                }
            }
            Verdict::Card(Status::OutputTooLong) if request.operation == Operation::Compress => {
                // The payload is as it was, and the length says that compression did not help.
                request.result_len = (end.output_len as usize).max(request.payload.len);
                Ok(())
            }
            Verdict::Card(Status::OutputTooLong) => Err(Ending::Data(DriverError::TooBig)),
            Verdict::Card(Status::BadStream) => Err(Ending::Data(DriverError::BadData)),
            verdict => Err(Ending::Failed(verdict, untouched)),
        };
        (request, result)
    }
}

/// Whether the card cannot work where the payload is.
fn needs_copy(request: &Request) -> bool {
    !matches!(request.buffer, Buffer::Pooled(_))
}

/// How a request ended that did not end well.
pub(super) enum Ending {
    /// Its data is to blame.
    Data(DriverError),
    /// The card failed, and whether the data is surely as it was.
    Failed(Verdict, bool),
}

/// Maps the buffer of `request` itself, or a copy of its payload with room behind it.
fn map<T: Transport>(
    transport: &mut T,
    request: &mut Request,
    (len, room): (u32, u32),
    counters: &Counters,
) -> Result<Mapped, HoldError> {
    if let Buffer::Pooled(memory) = &mut request.buffer {
        let memory = std::mem::take(memory);
        return transport
            .map(memory, Direction::Bidirectional)
            .map_err(|(memory, error)| {
                request.buffer = Buffer::Pooled(memory);
                error.into()
            });
    }
    let len = len as usize;
    let mut copy = take(transport, (len + room as usize).max(1))?;
    request
        .buffer
        .copy_out(request.payload.start, &mut copy[..len]);
    let mapped = transport.map(copy, Direction::Bidirectional);
    let mapped = mapped.map_err(|(_, error)| error)?;
    counters.bounces.add(1);
    counters.bounced_bytes.add(len as u64);
    Ok(mapped)
}

/// Puts the result of `len` bytes where the payload was; it is there already unless it stands in a
/// copy.
fn put(request: &mut Request, copy: Option<&PoolBuffer>, len: usize, counters: &Counters) {
    request.result_len = len;
    let Some(copy) = copy else {
        return;
    };
    let (start, payload_len) = (request.payload.start, request.payload.len);
    let result = &copy[payload_len..][..len];
    request.buffer.put_result(start, payload_len, result);
    counters.bounced_bytes.add(len as u64);
}
