//! Runs a command when its result becomes visible: data in, engine, data out.
//!
//! The payload is worked on where it lies when its source and destination are the same run of
//! memory and the host gives direct access; otherwise it goes through a scratch buffer of the card.
//! Keys, AAD and payload in the card's buffers are zeroed before the next command runs.

use exhibit::{Exhibit, on};
use regs::{CardSession, Command, CommandFlags, DIGEST_MAX, DeviceAddr, Errata, IV_MAX, Status};
use zeroize::Zeroize;

use super::admin::Admin;
use super::command::{IV_IN_COMMAND, Kind, MAX_PAYLOAD, Order, Orders, Outcome, Plan, Task, Timed};
use super::context::ContextTable;
use super::transfer::{Bus, Side, Stream, StreamRef};
use crate::engine::{Context, Deflater, Job, Operation};
use crate::fault::{Latches, STRAY_ADDR};
use crate::host::Host;
use crate::stats::CardStats;

/// Buffers of the card that hold keys or payload for the length of one command.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Request keys, rest of the IV and AAD, or the source stream of a service command.
    pub(super) prefix: Vec<u8>,
    /// Payload, or the destination stream of a service command.
    pub(super) payload: Vec<u8>,
    digest: [u8; DIGEST_MAX],
    pub(super) deflater: Deflater,
    pub(super) source: Stream,
    pub(super) destination: Stream,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new(Errata::empty())
    }
}

impl Scratch {
    /// Those of a card with `errata`.
    pub(crate) fn new(errata: Errata) -> Self {
        let is_picky = errata.contains(Errata::SHORT_LAST_SEGMENT);
        Self {
            prefix: Vec::new(),
            payload: Vec::new(),
            digest: [0; DIGEST_MAX],
            deflater: Deflater::default(),
            source: Stream::new(is_picky.then_some(Side::Source)),
            destination: Stream::new(is_picky.then_some(Side::Destination)),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.prefix.fill(0);
        self.payload.fill(0);
        self.digest.zeroize();
    }

    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        visit("scratch prefix", &self.prefix);
        visit("scratch payload", &self.payload);
        visit("scratch digest", &self.digest);
    }
}

/// `len` bytes of a buffer that only grows.
pub(super) fn take(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    &mut buffer[..len]
}

/// The parts of a card that commands run on.
pub(crate) struct Shop<'a> {
    pub(crate) contexts: &'a mut ContextTable,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) admin: &'a mut Admin,
    pub(crate) latches: &'a mut Latches,
    pub(crate) stats: &'a mut CardStats,
}

impl Shop<'_> {
    /// Runs `task`, whose order, if it has one, is in `orders`.
    #[inline]
    pub(crate) fn run<H: Host>(
        &mut self,
        task: Task,
        orders: &Orders,
        bus: &mut Bus<'_, H>,
    ) -> Outcome {
        let ended = match task {
            Task::Settled(status) => Ok(Outcome::from(status)),
            Task::Identity(identity) => {
                let ended = self.process(&identity.command(), &identity.plan(), bus);
                self.has_used(identity.session, identity.generation);
                ended
            }
            Task::Timed(timed) => {
                let ended = self.leave_out(timed, bus);
                self.has_used(timed.session, timed.generation);
                ended
            }
            Task::Service(id) => {
                let Order { command, plan } = orders.get(id);
                self.serve(command, plan, bus)
            }
            Task::Process(id) => {
                let Order { command, plan } = orders.get(id);
                let ended = self.process(command, plan, bus);
                self.has_used(command.session, plan.generation);
                ended
            }
        };
        ended.unwrap_or_else(|outcome| outcome)
    }

    /// A command that was judged by this generation of `session` has run.
    #[inline]
    fn has_used(&mut self, session: CardSession, generation: u32) {
        if self.contexts.has_retired() {
            self.contexts.used(session, generation);
        }
    }

    fn process<H: Host>(
        &mut self,
        command: &Command,
        plan: &Plan,
        bus: &mut Bus<'_, H>,
    ) -> Result<Outcome, Outcome> {
        if plan.kind != Kind::Whole {
            return self.process_sized(command, plan, bus);
        }
        let context = self
            .contexts
            .of_generation(command.session, plan.generation)
            .ok_or(Outcome::from(Status::BadSession))?;
        misbehave(self.latches, self.admin, bus)?;
        let scratch = &mut *self.scratch;
        scratch
            .source
            .load(source_of(command, plan.source_len), bus)?;
        let destination = destination_of(command, plan.destination_len);
        scratch.destination.load(destination, bus)?;
        self.stats.payload_bytes += u64::from(command.payload_len);

        let is_first = self.stats.payload_bytes == u64::from(command.payload_len);
        let is_wrong = is_first && on(Exhibit::FirstResultWrong);
        let mut transform = Transform {
            command,
            plan,
            context,
            scratch,
            corrupt: plan.destination_len != 0
                && (self.latches.corrupt_output.strikes() || is_wrong),
            copied: false,
        };
        let ended = transform.run(bus);
        if transform.copied {
            self.stats.copied += 1;
        } else {
            self.stats.in_place += 1;
        }
        ended?;
        self.stats.output_bytes += u64::from(plan.destination_len);
        Ok(success(plan.destination_len))
    }

    /// A command ends well without a byte being read or written.
    fn leave_out<H: Host>(
        &mut self,
        timed: Timed,
        bus: &mut Bus<'_, H>,
    ) -> Result<Outcome, Outcome> {
        self.contexts
            .of_generation(timed.session, timed.generation)
            .ok_or(Outcome::from(Status::BadSession))?;
        misbehave(self.latches, self.admin, bus)?;
        self.stats.payload_bytes += u64::from(timed.payload_len);
        self.stats.output_bytes += u64::from(timed.output_len);
        Ok(success(timed.output_len))
    }
}

/// What latches do to a command before it works.
#[inline]
fn misbehave<H: Host>(
    latches: &mut Latches,
    admin: &mut Admin,
    bus: &mut Bus<'_, H>,
) -> Result<(), Outcome> {
    if latches.context_error.strikes() {
        let errors = &mut admin.context_errors;
        if !latches.context_error_is_corrected {
            errors.others += 1;
            return Err(Status::EngineError.into());
        }
        errors.corrected += 1;
    }
    if latches.stray_write.strikes() {
        // Whatever the host says: silicon that strays does not notice.
        let _ = bus.write(STRAY_ADDR, &[0xA5; 16]);
    }
    Ok(())
}

const fn success(output_len: u32) -> Outcome {
    Outcome {
        status: Status::Success,
        output_len,
        fault: None,
    }
}

pub(super) fn source_of(command: &Command, len: u32) -> StreamRef {
    let is_list = command.flags.contains(CommandFlags::SOURCE_SEGMENTS);
    StreamRef {
        addr: command.source,
        segments: is_list.then_some(command.source_len),
        len,
    }
}

pub(super) fn destination_of(command: &Command, len: u32) -> StreamRef {
    let is_list = command.flags.contains(CommandFlags::DESTINATION_SEGMENTS);
    StreamRef {
        addr: command.destination,
        segments: is_list.then_some(command.destination_len),
        len,
    }
}

/// One data command on its way through the engine.
struct Transform<'a> {
    command: &'a Command,
    plan: &'a Plan,
    context: &'a Context,
    scratch: &'a mut Scratch,
    corrupt: bool,
    copied: bool,
}

impl Transform<'_> {
    fn prefix_len(&self) -> u32 {
        self.plan.key_len + self.plan.extra_len + u32::from(self.command.aad_len)
    }

    /// The payload's address if it can be worked on where it lies.
    #[inline]
    fn shared_run(&self) -> Option<DeviceAddr> {
        let len = self.command.payload_len;
        if len == 0 || !self.context.has_cipher() {
            return None;
        }
        let source = self.scratch.source.run_at(self.prefix_len(), len)?;
        let destination = self.scratch.destination.run_at(0, len)?;
        (source == destination).then_some(source)
    }

    #[inline]
    fn run<H: Host>(&mut self, bus: &mut Bus<'_, H>) -> Result<(), Outcome> {
        let ended = self.run_engine(bus);
        let prefix_len = self.prefix_len();
        if prefix_len != 0 {
            self.scratch.prefix[..prefix_len as usize].fill(0);
        }
        self.scratch.digest.fill(0);
        ended
    }

    #[inline]
    fn run_engine<H: Host>(&mut self, bus: &mut Bus<'_, H>) -> Result<(), Outcome> {
        let prefix_len = self.prefix_len();
        let Scratch {
            prefix,
            digest,
            source,
            ..
        } = &mut *self.scratch;
        let prefix = take(prefix, prefix_len as usize);
        source.gather(0, prefix, bus)?;
        let digest_in = &mut digest[..self.plan.digest_in as usize];
        source.gather(prefix_len + self.command.payload_len, digest_in, bus)?;

        let with_keys;
        let context = if self.plan.key_len != 0 {
            with_keys = self
                .context
                .with_keys(&prefix[..self.plan.key_len as usize])?;
            &with_keys
        } else {
            self.context
        };
        let written = match self.run_in_place(context, bus) {
            Some(ended) => ended?,
            None => self.run_copied(context, bus)?,
        };
        if self.plan.operation == Operation::Seal {
            let digest = &self.scratch.digest[..context.digest_len()];
            self.scratch.destination.scatter(written, digest, bus)?;
        }
        Ok(())
    }

    /// Works on the payload where it lies, if that can be; gives the bytes of it that go out.
    #[inline]
    fn run_in_place<H: Host>(
        &mut self,
        context: &Context,
        bus: &mut Bus<'_, H>,
    ) -> Option<Result<u32, Outcome>> {
        let addr = self.shared_run()?;
        let len = self.command.payload_len;
        let payload = bus.in_place(addr, len as usize)?;
        if let Err(status) = transform(self.command, self.plan, context, (self.scratch, payload)) {
            return Some(Err(status.into()));
        }
        if self.corrupt {
            payload[0] ^= 1;
        }
        Some(Ok(len))
    }

    /// Takes the payload in and gives it out again; gives the bytes of it that go out.
    #[cold]
    fn run_copied<H: Host>(
        &mut self,
        context: &Context,
        bus: &mut Bus<'_, H>,
    ) -> Result<u32, Outcome> {
        self.copied = true;
        let len = self.command.payload_len as usize;
        let mut buffer = std::mem::take(&mut self.scratch.payload);
        let ended = self.run_on_copy(context, take(&mut buffer, len), bus);
        buffer[..len].fill(0);
        self.scratch.payload = buffer;
        ended
    }

    /// The command with an IV that was read from a list when the payload stood there already.
    #[cold]
    fn with_overwritten_iv(&self, payload: &[u8]) -> Command {
        let mut command = *self.command;
        let is_run = self
            .scratch
            .source
            .run_at(self.prefix_len(), payload.len() as u32);
        if let (None, Some(block)) = (is_run, payload.first_chunk()) {
            command.iv = *block;
        }
        command
    }

    fn run_on_copy<H: Host>(
        &mut self,
        context: &Context,
        payload: &mut [u8],
        bus: &mut Bus<'_, H>,
    ) -> Result<u32, Outcome> {
        let prefix_len = self.prefix_len();
        self.scratch.source.gather(prefix_len, payload, bus)?;
        let overwritten = on(Exhibit::SegmentIv).then(|| self.with_overwritten_iv(payload));
        let command = overwritten.as_ref().unwrap_or(self.command);
        transform(command, self.plan, context, (self.scratch, payload))?;
        if on(Exhibit::WritesSource) {
            self.scratch.source.scatter(prefix_len, payload, bus)?;
        }
        if context.has_cipher() && !payload.is_empty() {
            if self.corrupt {
                payload[0] ^= 1;
            }
            self.scratch.destination.scatter(0, payload, bus)?;
            return Ok(payload.len() as u32);
        }
        if self.corrupt {
            self.scratch.digest[0] ^= 1;
        }
        Ok(0)
    }
}

/// Hands the bytes of one command to the engine.
#[inline]
fn transform(
    command: &Command,
    plan: &Plan,
    context: &Context,
    (scratch, payload): (&mut Scratch, &mut [u8]),
) -> Result<(), Status> {
    let iv_at = plan.key_len as usize;
    let aad_at = iv_at + plan.extra_len as usize;
    let mut long_iv = [0; IV_MAX];
    let iv = if plan.extra_len == 0 {
        &command.iv[..]
    } else {
        long_iv[..IV_IN_COMMAND].copy_from_slice(&command.iv);
        let rest = &scratch.prefix[iv_at..aad_at];
        long_iv[IV_IN_COMMAND..][..rest.len()].copy_from_slice(rest);
        &long_iv
    };
    context.process(Job {
        operation: plan.operation,
        iv,
        aad: &scratch.prefix[aad_at..aad_at + usize::from(command.aad_len)],
        esn: command.esn,
        payload,
        digest: &mut scratch.digest[..context.digest_len()],
    })
}

// Every buffer has a bound: request keys, the IV, 16 bits of AAD, one payload.
const _: () = assert!(MAX_PAYLOAD as usize + u16::MAX as usize <= 1 << 21);
