//! Judges a command before any of its data is touched.
//!
//! Everything that the descriptor and its session can contradict is found here, so that a refused
//! command has written nothing. What only the segment lists can tell is found by `execute`.

use regs::{CardSession, Command, CommandFlags, DeviceAddr, MAX_SEGMENTS, Opcode, Status};
use timebase::{Span, Time};

use super::context::ContextTable;
use super::ring::Owner;
use super::{service, sized};
use crate::engine::{Algorithm, Context, Group, Operation};
use crate::host::DmaFault;
use crate::snapshot::{Check, check};

/// Longest payload of one command, in bytes.
pub const MAX_PAYLOAD: u32 = 1 << 20;
/// What stands in a descriptor without an ESN.
const NO_ESN: [u8; 4] = [0; 4];
/// Bytes of IV in a descriptor.
pub(crate) const IV_IN_COMMAND: usize = 16;

/// What kind of work a command is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Kind {
    /// One job for the engine.
    Whole,
    /// The first part of a message.
    Begin,
    /// A part of a message.
    Continue,
    /// The last part of a message.
    End,
    /// Compression or decompression.
    Deflate,
}

/// What a command needs of an engine and of its streams.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) operation: Operation,
    pub(crate) group: Group,
    pub(crate) algorithm: Algorithm,
    /// Generation of the context that the command was judged by.
    pub(crate) generation: u32,
    /// Bytes of request keys at the start of the source stream.
    pub(crate) key_len: u32,
    /// Bytes that follow them: what the IV has beyond the descriptor, or a digest state.
    pub(crate) extra_len: u32,
    /// Bytes of digest at the end of the source stream.
    pub(crate) digest_in: u32,
    /// Bytes of the source stream.
    pub(crate) source_len: u32,
    /// Bytes of the destination stream.
    pub(crate) destination_len: u32,
}

/// A `Process` command that leaves its payload as it is: the null cipher over one run of memory
/// that is both source and destination. What the host lets the card do there is still to be asked.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Identity {
    pub(crate) session: CardSession,
    /// Generation of the context that the command was judged by.
    pub(crate) generation: u32,
    pub(crate) addr: DeviceAddr,
    pub(crate) len: u32,
}

impl Identity {
    /// A descriptor that asks for this: the null cipher knows neither direction nor IV.
    pub(crate) fn command(&self) -> Command {
        Command {
            opcode: Opcode::Process as u8,
            flags: CommandFlags::ENCRYPT,
            session: self.session,
            source: self.addr,
            destination: self.addr,
            source_len: self.len,
            destination_len: self.len,
            payload_len: self.len,
            ..Command::default()
        }
    }

    pub(crate) const fn plan(&self) -> Plan {
        Plan {
            kind: Kind::Whole,
            operation: Operation::Seal,
            group: Group::Cipher,
            algorithm: Algorithm::IDENTITY,
            generation: self.generation,
            key_len: 0,
            extra_len: 0,
            digest_in: 0,
            source_len: self.len,
            destination_len: self.len,
        }
    }
}

/// A `Process` command whose work a card that simulates time alone leaves out.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Timed {
    pub(crate) session: CardSession,
    /// Generation of the context that the command was judged by.
    pub(crate) generation: u32,
    pub(crate) payload_len: u32,
    pub(crate) output_len: u32,
}

/// What is to be done for a command.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) enum Task {
    /// Nothing: its end is known.
    Settled(Status),
    Identity(Identity),
    Timed(Timed),
    /// What its [`Order`] says, for an engine.
    Process(OrderId),
    /// What its [`Order`] says, for the rest of the card.
    Service(OrderId),
}

/// What [`judge`] finds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// All there is to know of the command.
    Task(Task),
    /// An [`Order`] is to be made of it.
    Process(Plan),
    /// It is for the rest of the card, which judges further.
    Service(Opcode),
}

/// A DMA fault of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Fault {
    pub(crate) fault: DmaFault,
    pub(crate) is_write: bool,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) output_len: u32,
    pub(crate) fault: Option<Fault>,
}

impl From<Status> for Outcome {
    fn from(status: Status) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        Self {
            status: if fault.is_write {
                Status::WriteFault
            } else {
                Status::ReadFault
            },
            output_len: 0,
            fault: Some(fault),
        }
    }
}

/// A command on the card. One that needs an engine has an [`Order`] beside it: what every command
/// has is small, and moves about.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Work {
    /// When it finishes; once it did, when its result is visible.
    pub(crate) at: Time,
    pub(crate) cookie: u64,
    /// Time of its result on the wire, completion entry included.
    pub(crate) write_time: Span,
    pub(crate) ring: u16,
    /// Its completion does not count for an interrupt.
    pub(crate) is_quiet: bool,
    pub(crate) task: Task,
}

/// What an engine is to do.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Order {
    pub(crate) command: Command,
    pub(crate) plan: Plan,
}

impl Order {
    /// Whether the command is one that an engine works on.
    fn is_for_an_engine(&self) -> bool {
        let opcode = Opcode::from_code(self.command.opcode);
        opcode.is_some_and(|code| code == Opcode::Process || sized::part_of(code).is_some())
    }

    /// Whether the plan is the one that the session's context makes of the command. One whose
    /// context is gone is never run.
    fn check(&self, contexts: &ContextTable) -> Check {
        let Self { command, plan, .. } = self;
        let generation = plan.generation;
        let planned = match Opcode::from_code(command.opcode) {
            None | Some(Opcode::Nop) => return Err("command of an order"),
            Some(opcode) if self.is_for_an_engine() => {
                let Some(context) = contexts.of_generation(command.session, generation) else {
                    return Ok(());
                };
                let verdict = match sized::part_of(opcode) {
                    Some(kind) => sized::judge_part_with(command, kind, (context, generation)),
                    None => judge_with(command, context, generation),
                };
                match verdict {
                    Ok(Verdict::Process(planned)) => Some(planned),
                    Ok(Verdict::Task(_) | Verdict::Service(_)) | Err(_) => None,
                }
            }
            Some(opcode) => {
                let judged = service::judge(command, opcode).ok();
                let planned = judged.filter(|(same, _)| same == command);
                planned.map(|(_, planned)| planned)
            }
        };
        check(planned == Some(*plan), "plan of an order")
    }
}

/// Names an [`Order`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct OrderId(u32);

/// The orders of all commands on the card.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Orders {
    places: Vec<Order>,
    free: Vec<OrderId>,
}

impl Orders {
    #[inline]
    pub(crate) fn add(&mut self, order: Order) -> OrderId {
        let Some(id) = self.free.pop() else {
            self.places.push(order);
            return OrderId(self.places.len() as u32 - 1);
        };
        self.places[id.0 as usize] = order;
        id
    }

    #[inline]
    pub(crate) fn get(&self, id: OrderId) -> &Order {
        &self.places[id.0 as usize]
    }

    /// Gives the place of an order to another.
    #[inline]
    pub(crate) fn remove(&mut self, id: OrderId) {
        self.free.push(id);
    }

    /// The session whose context `work`, which has not run, was judged by, and the context's
    /// generation.
    pub(crate) fn judged_by(&self, work: &Work) -> Option<(CardSession, u32)> {
        match work.task {
            Task::Identity(identity) => Some((identity.session, identity.generation)),
            Task::Timed(timed) => Some((timed.session, timed.generation)),
            Task::Process(id) => {
                let order = self.get(id);
                Some((order.command.session, order.plan.generation))
            }
            Task::Settled(_) | Task::Service(_) => None,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.free.clear();
    }

    /// Whether the places are those of `orders`, of which some are for service commands, and the
    /// free ones, each once, and each order is what its command asks for.
    pub(crate) fn check(
        &self,
        orders: impl Iterator<Item = (OrderId, bool)>,
        contexts: &ContextTable,
    ) -> Check {
        let mut is_taken = vec![false; self.places.len()];
        let mut take = |order: OrderId| {
            let place = is_taken.get_mut(order.0 as usize);
            let place = place.ok_or("place of an order")?;
            check(!std::mem::replace(place, true), "an order of two commands")
        };
        for (id, is_service) in orders {
            take(id)?;
            let order = &self.places[id.0 as usize];
            check(order.is_for_an_engine() != is_service, "kind of an order")?;
            order.check(contexts)?;
        }
        self.free.iter().try_for_each(|&id| take(id))?;
        check(!is_taken.contains(&false), "an order of no command")
    }
}

/// The short way to judge what a data ring sees most: a direct command that leaves its payload as
/// it is. `None` says nothing about the command; [`judge`] finds the same task for what is found
/// here.
#[inline]
pub(crate) fn judge_identity(command: &Command, contexts: &ContextTable) -> Option<Identity> {
    const HARMLESS: CommandFlags = CommandFlags::ENCRYPT.union(CommandFlags::NO_INTERRUPT);
    let len = command.payload_len;
    if command.opcode != Opcode::Process as u8
        || !HARMLESS.contains(command.flags)
        || command.aad_len != 0
        || command.esn != NO_ESN
        || len.wrapping_sub(1) >= MAX_PAYLOAD
        || command.source_len != len
        || command.destination_len != len
        || command.source != command.destination
    {
        return None;
    }
    Some(Identity {
        session: command.session,
        generation: contexts.identity(command.session)?,
        addr: command.source,
        len,
    })
}

/// Judges `command` of a ring of `owner`.
#[inline(always)]
pub(crate) fn judge(command: &Command, owner: &Owner, contexts: &ContextTable) -> Verdict {
    let is_admin = owner.is_admin();
    let verdict = match (Opcode::from_code(command.opcode), is_admin) {
        (Some(Opcode::Process), false) => judge_process(command, contexts),
        (Some(Opcode::Nop), _) => Ok(Verdict::Task(Task::Settled(Status::Success))),
        (Some(opcode), false) if let Some(kind) = sized::part_of(opcode) => {
            sized::judge_part(command, kind, contexts)
        }
        (Some(opcode), _) if service::belongs(opcode, owner) => Ok(Verdict::Service(opcode)),
        (Some(_) | None, _) => return Verdict::Task(Task::Settled(Status::BadOpcode)),
    };
    let known = CommandFlags::all().bits();
    if !esn_fits(command, contexts) || command.flags.bits() & !known != 0 {
        return Verdict::Task(Task::Settled(Status::ReservedBits));
    }
    verdict.unwrap_or_else(|status| Verdict::Task(Task::Settled(status)))
}

/// ESN bytes are for sessions that take them, and reserved elsewhere.
#[inline]
fn esn_fits(command: &Command, contexts: &ContextTable) -> bool {
    command.esn == NO_ESN
        || (command.opcode == Opcode::Process as u8
            && contexts
                .get(command.session)
                .is_some_and(|(context, _)| context.takes_esn()))
}

#[inline(always)]
fn judge_process(command: &Command, contexts: &ContextTable) -> Result<Verdict, Status> {
    let (context, generation) = contexts.get(command.session).ok_or(Status::BadSession)?;
    judge_with(command, context, generation)
}

/// Judges a `Process` command by the context of its session.
#[inline(always)]
fn judge_with(command: &Command, context: &Context, generation: u32) -> Result<Verdict, Status> {
    let flags = command.flags;
    let operation = operation_of(context, flags)?;
    if command.payload_len > MAX_PAYLOAD
        || !context.takes_payload(command.payload_len as usize)
        || (command.aad_len != 0 && !context.takes_aad())
    {
        return Err(Status::BadLength);
    }
    if context.is_compression() {
        return sized::judge_deflate(command, operation, (context, generation));
    }
    let digest_len = context.digest_len() as u32;
    let (digest_in, digest_out) = match operation {
        Operation::Seal => (0, digest_len),
        Operation::Open => (digest_len, 0),
    };
    let key_len = if flags.contains(CommandFlags::REQUEST_KEYS) {
        context.key_len() as u32
    } else {
        0
    };
    let extra_len = context.iv_len().saturating_sub(IV_IN_COMMAND) as u32;
    let aad_len = u32::from(command.aad_len);
    let payload_out = if context.has_cipher() {
        command.payload_len
    } else {
        0
    };
    let plan = Plan {
        kind: Kind::Whole,
        operation,
        group: context.group(),
        algorithm: context.algorithm(),
        generation,
        key_len,
        extra_len,
        digest_in,
        source_len: key_len + extra_len + aad_len + command.payload_len + digest_in,
        destination_len: payload_out + digest_out,
    };
    let source_is_list = flags.contains(CommandFlags::SOURCE_SEGMENTS);
    check_stream(command.source_len, source_is_list, plan.source_len)?;
    let destination_is_list = flags.contains(CommandFlags::DESTINATION_SEGMENTS);
    check_stream(
        command.destination_len,
        destination_is_list,
        plan.destination_len,
    )?;
    if context.is_identity()
        && command.source == command.destination
        && plan.source_len == command.payload_len
        && !flags.has_list()
    {
        return Ok(Verdict::Task(Task::Identity(Identity {
            session: command.session,
            generation,
            addr: command.source,
            len: command.payload_len,
        })));
    }
    Ok(Verdict::Process(plan))
}

/// The operation that the flags ask for. A digest is never skipped: decryption without verification
/// of a session that has a digest is refused.
#[inline]
pub(super) fn operation_of(context: &Context, flags: CommandFlags) -> Result<Operation, Status> {
    let has_digest = context.digest_len() != 0;
    let encrypt = flags.contains(CommandFlags::ENCRYPT);
    let verify = flags.contains(CommandFlags::VERIFY);
    match (encrypt, verify) {
        (true, false) => Ok(Operation::Seal),
        (false, true) if has_digest => Ok(Operation::Open),
        (false, false) if !has_digest => Ok(Operation::Open),
        (true | false, true) | (false, false) => Err(Status::BadParameters),
    }
}

/// A direct stream has exactly the length the command needs; a list has a number of segments that
/// the card takes.
#[inline]
pub(super) const fn check_stream(len: u32, is_list: bool, needed: u32) -> Result<(), Status> {
    if is_list {
        if len == 0 || len > MAX_SEGMENTS {
            return Err(Status::BadSegments);
        }
    } else if len != needed {
        return Err(Status::BadLength);
    }
    Ok(())
}
