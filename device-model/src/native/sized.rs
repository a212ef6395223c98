//! Commands whose streams do not follow from payload and session alone: digests in parts, and
//! compression.
//!
//! Judges and runs them. They are rare beside the others, so they have one plain way: the source
//! stream comes in whole, the result is made from it, and goes out whole or not at all. Both are
//! zeroed in the card's buffers before the next command runs.

use std::mem;

use regs::{Command, CommandFlags, DIGEST_STATE_LEN, MAX_SEGMENTS, Opcode, Status};

use super::command::{Kind, MAX_PAYLOAD, Outcome, Plan, Verdict, check_stream, operation_of};
use super::context::ContextTable;
use super::execute::{Shop, destination_of, source_of, take};
use super::transfer::Bus;
use crate::engine::{Context, DeflateError, Deflater, MessagePart, Operation};
use crate::host::Host;

const STATE_LEN: u32 = DIGEST_STATE_LEN as u32;

/// Judges a command that digests a part of a message.
pub(super) fn judge_part(
    command: &Command,
    kind: Kind,
    contexts: &ContextTable,
) -> Result<Verdict, Status> {
    let of_session = contexts.get(command.session).ok_or(Status::BadSession)?;
    judge_part_with(command, kind, of_session)
}

/// Judges a part of a message by the context of its session.
pub(super) fn judge_part_with(
    command: &Command,
    kind: Kind,
    (context, generation): (&Context, u32),
) -> Result<Verdict, Status> {
    let flags = command.flags;
    let ways = CommandFlags::ENCRYPT | CommandFlags::VERIFY;
    let is_last = kind == Kind::End;
    if !context.has_state() || (!is_last && flags.intersects(ways)) {
        return Err(Status::BadParameters);
    }
    let operation = if is_last {
        operation_of(context, flags)?
    } else {
        Operation::Seal
    };
    if command.payload_len > MAX_PAYLOAD || command.aad_len != 0 {
        return Err(Status::BadLength);
    }
    let digest_len = context.digest_len() as u32;
    let (digest_in, destination_len) = match (is_last, operation) {
        (false, _) => (0, STATE_LEN),
        (true, Operation::Seal) => (0, digest_len),
        (true, Operation::Open) => (digest_len, 0),
    };
    let key_len = key_len(command, context);
    let extra_len = if kind == Kind::Begin { 0 } else { STATE_LEN };
    let plan = Plan {
        kind,
        operation,
        group: context.group(),
        algorithm: context.algorithm(),
        generation,
        key_len,
        extra_len,
        digest_in,
        source_len: key_len + extra_len + command.payload_len + digest_in,
        destination_len,
    };
    check_source(command, &plan)?;
    let is_list = flags.contains(CommandFlags::DESTINATION_SEGMENTS);
    check_stream(command.destination_len, is_list, destination_len)?;
    Ok(Verdict::Process(plan))
}

/// Judges a command of a session that compresses. The destination stream is what the result may
/// fill; how long a list of it is, only the list says, so that its time on the link is charged as
/// that of the payload.
pub(super) fn judge_deflate(
    command: &Command,
    operation: Operation,
    (context, generation): (&Context, u32),
) -> Result<Verdict, Status> {
    let is_list = command.flags.contains(CommandFlags::DESTINATION_SEGMENTS);
    let room = command.destination_len;
    if is_list && (room == 0 || room > MAX_SEGMENTS) {
        return Err(Status::BadSegments);
    }
    if !is_list && room > MAX_PAYLOAD {
        return Err(Status::BadLength);
    }
    let plan = Plan {
        kind: Kind::Deflate,
        operation,
        group: context.group(),
        algorithm: context.algorithm(),
        generation,
        key_len: 0,
        extra_len: 0,
        digest_in: 0,
        source_len: command.payload_len,
        destination_len: if is_list { command.payload_len } else { room },
    };
    check_source(command, &plan)?;
    Ok(Verdict::Process(plan))
}

fn key_len(command: &Command, context: &Context) -> u32 {
    if command.flags.contains(CommandFlags::REQUEST_KEYS) {
        context.key_len() as u32
    } else {
        0
    }
}

fn check_source(command: &Command, plan: &Plan) -> Result<(), Status> {
    let is_list = command.flags.contains(CommandFlags::SOURCE_SEGMENTS);
    check_stream(command.source_len, is_list, plan.source_len)
}

impl Shop<'_> {
    /// Runs such a command.
    #[cold]
    pub(super) fn process_sized<H: Host>(
        &mut self,
        command: &Command,
        plan: &Plan,
        bus: &mut Bus<'_, H>,
    ) -> Result<Outcome, Outcome> {
        let scratch = &mut *self.scratch;
        scratch
            .source
            .load(source_of(command, plan.source_len), bus)?;
        let destination = destination_of(command, plan.destination_len);
        let room = scratch.destination.load_any(destination, bus)?;
        let fits = match plan.kind {
            Kind::Deflate => room <= u64::from(MAX_PAYLOAD),
            Kind::Whole | Kind::Begin | Kind::Continue | Kind::End => {
                room == u64::from(plan.destination_len)
            }
        };
        if !fits {
            return Err(Status::BadLength.into());
        }
        self.stats.payload_bytes += u64::from(command.payload_len);
        self.stats.copied += 1;
        let mut buffers = (
            mem::take(&mut scratch.prefix),
            mem::take(&mut scratch.payload),
        );
        let input = take(&mut buffers.0, plan.source_len as usize);
        let output = take(&mut buffers.1, room as usize);
        let ended = self.make(command, plan, (input, output), bus);
        input.fill(0);
        output.fill(0);
        (self.scratch.prefix, self.scratch.payload) = buffers;
        ended
    }

    fn make<H: Host>(
        &mut self,
        command: &Command,
        plan: &Plan,
        (input, output): (&mut [u8], &mut [u8]),
        bus: &mut Bus<'_, H>,
    ) -> Result<Outcome, Outcome> {
        let context = self
            .contexts
            .of_generation(command.session, plan.generation)
            .ok_or(Outcome::from(Status::BadSession))?;
        let scratch = &mut *self.scratch;
        scratch.source.gather(0, input, bus)?;
        let made = match plan.kind {
            Kind::Deflate => deflate(&mut scratch.deflater, plan.operation, (input, output))?,
            Kind::Whole | Kind::Begin | Kind::Continue | Kind::End => {
                digest(context, plan, (input, output))?
            }
        };
        let output = &mut output[..made];
        if let [first, ..] = output
            && self.latches.corrupt_output.strikes()
        {
            *first ^= 1;
        }
        scratch.destination.scatter(0, output, bus)?;
        self.stats.output_bytes += made as u64;
        Ok(Outcome {
            output_len: made as u32,
            ..Outcome::default()
        })
    }
}

/// Gives the bytes of the result.
fn deflate(
    deflater: &mut Deflater,
    operation: Operation,
    (input, output): (&[u8], &mut [u8]),
) -> Result<usize, Outcome> {
    let ended = match operation {
        Operation::Seal => deflater.compress(input, output),
        Operation::Open => deflater.decompress(input, output),
    };
    ended.map_err(|error| match error {
        DeflateError::BadStream => Status::BadStream.into(),
        DeflateError::TooLong { needed } => Outcome {
            status: Status::OutputTooLong,
            output_len: needed.unwrap_or(0) as u32,
            fault: None,
        },
    })
}

/// Gives the bytes of state or digest that were written.
fn digest(
    context: &Context,
    plan: &Plan,
    (input, output): (&mut [u8], &mut [u8]),
) -> Result<usize, Status> {
    let (keys, rest) = input.split_at_mut(plan.key_len as usize);
    let (state, rest) = rest.split_at_mut(plan.extra_len as usize);
    let (payload, digest_in) = rest.split_at_mut(rest.len() - plan.digest_in as usize);
    let with_keys;
    let context = if keys.is_empty() {
        context
    } else {
        with_keys = context.with_keys(keys)?;
        &with_keys
    };
    let part = MessagePart {
        // Only the first part has none.
        state: (&*state).try_into().ok(),
        payload,
    };
    match (plan.kind, plan.operation) {
        (Kind::End, Operation::Seal) => context.digest_end(&part, Operation::Seal, output)?,
        (Kind::End, Operation::Open) => context.digest_end(&part, Operation::Open, digest_in)?,
        _ => output.copy_from_slice(&context.digest_part(&part)?),
    }
    Ok(output.len())
}

/// What `opcode` has to do with parts of messages.
pub(super) const fn part_of(opcode: Opcode) -> Option<Kind> {
    match opcode {
        Opcode::DigestBegin => Some(Kind::Begin),
        Opcode::DigestContinue => Some(Kind::Continue),
        Opcode::DigestEnd => Some(Kind::End),
        _ => None,
    }
}
