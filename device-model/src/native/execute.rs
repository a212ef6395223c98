//! Runs a batch of due commands: data in, engine, data out.
//!
//! The payload is worked on where it lies when its source and destination are the same run of
//! memory and the host gives direct access; otherwise it goes through a scratch buffer of the card.
//! Keys, AAD and payload in the card's buffers are zeroed before the next command runs.

use regs::{CardSession, Command, CommandFlags, DIGEST_MAX, DeviceAddr, IV_MAX, Status};
use timebase::Time;
use zeroize::Zeroize;

use super::admin::Admin;
use super::command::{IV_IN_COMMAND, MAX_PAYLOAD, Order, Orders, Outcome, Plan, Task, Work};
use super::context::ContextTable;
use super::queue::Queue;
use super::transfer::{Bus, Stream, StreamRef};
use crate::engine::{Context, Job, Operation};
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
    pub(super) source: Stream,
    pub(super) destination: Stream,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            payload: Vec::new(),
            digest: [0; DIGEST_MAX],
            source: Stream::default(),
            destination: Stream::default(),
        }
    }
}

impl Scratch {
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
    pub(crate) queue: &'a Queue,
    pub(crate) orders: &'a mut Orders,
}

impl Shop<'_> {
    /// Runs `task`, which is that of the next result. Orders that are due up to `limit` run as one
    /// batch.
    pub(crate) fn run<H: Host>(
        &mut self,
        task: Task,
        limit: Time,
        bus: &mut Bus<'_, H>,
    ) -> Outcome {
        let ended = match task {
            Task::Settled(status) => Ok(Outcome::from(status)),
            Task::Identity(identity) => {
                let ended = self.process(&identity.command(), &identity.plan(), bus);
                self.has_used(identity.session, identity.generation);
                ended
            }
            Task::Service(id) => {
                let Order { command, plan, .. } = *self.orders.get(id);
                self.orders.take(id);
                self.serve(&command, &plan, bus)
            }
            Task::Process(id) => {
                if self.orders.get_mut(id).outcome.is_none() {
                    self.run_batch(limit, bus);
                }
                Ok(self.orders.take(id).unwrap_or_default())
            }
        };
        ended.unwrap_or_else(|outcome| outcome)
    }

    /// Runs the orders of results that are due up to `limit`.
    fn run_batch<H: Host>(&mut self, limit: Time, bus: &mut Bus<'_, H>) {
        self.stats.batches += 1;
        // A command of the admin ring may create or destroy a context.
        let is_due = |work: &&Work| work.at <= limit && work.ring != 0;
        for work in self.queue.results().iter().take_while(is_due) {
            let Task::Process(id) = work.task else {
                continue;
            };
            let Order {
                command,
                plan,
                outcome,
            } = *self.orders.get_mut(id);
            if outcome.is_none() {
                let ended = self.process(&command, &plan, bus);
                self.has_used(command.session, plan.generation);
                self.orders.get_mut(id).outcome = Some(ended.unwrap_or_else(|outcome| outcome));
            }
        }
    }

    /// A command that was judged by this generation of `session` has run.
    #[inline]
    fn has_used(&mut self, session: CardSession, generation: u32) {
        if self.contexts.has_retired() {
            self.contexts.used(session, generation);
        }
    }

    #[inline]
    fn process<H: Host>(
        &mut self,
        command: &Command,
        plan: &Plan,
        bus: &mut Bus<'_, H>,
    ) -> Result<Outcome, Outcome> {
        let context = self
            .contexts
            .of_generation(command.session, plan.generation)
            .ok_or(Outcome::from(Status::BadSession))?;
        if self.latches.stray_write.strikes() {
            // Whatever the host says: silicon that strays does not notice.
            let _ = bus.write(STRAY_ADDR, &[0xA5; 16]);
        }
        let scratch = &mut *self.scratch;
        scratch
            .source
            .load(source_of(command, plan.source_len), bus)?;
        let destination = destination_of(command, plan.destination_len);
        scratch.destination.load(destination, bus)?;
        self.stats.payload_bytes += u64::from(command.payload_len);

        let mut transform = Transform {
            command,
            plan,
            context,
            scratch,
            corrupt: plan.destination_len != 0 && self.latches.corrupt_output.strikes(),
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
        Ok(Outcome {
            status: Status::Success,
            output_len: plan.destination_len,
            fault: None,
        })
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
        self.plan.key_len + self.plan.iv_len + u32::from(self.command.aad_len)
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
        let shared = self.shared_run();
        let prefix_len = self.prefix_len();
        let ended = self.run_engine(shared, bus);
        self.scratch.prefix[..prefix_len as usize].fill(0);
        self.scratch.digest.fill(0);
        ended
    }

    fn run_engine<H: Host>(
        &mut self,
        shared: Option<DeviceAddr>,
        bus: &mut Bus<'_, H>,
    ) -> Result<(), Outcome> {
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

        if self.plan.key_len != 0 {
            let keys = &prefix[..self.plan.key_len as usize];
            let context = self.context.with_keys(keys)?;
            self.run_with(&context, shared, bus)
        } else {
            self.run_with(self.context, shared, bus)
        }
    }

    fn run_with<H: Host>(
        &mut self,
        context: &Context,
        shared: Option<DeviceAddr>,
        bus: &mut Bus<'_, H>,
    ) -> Result<(), Outcome> {
        let len = self.command.payload_len as usize;
        if let Some(addr) = shared
            && let Some(payload) = bus.in_place(addr, len)
        {
            transform(self.command, self.plan, context, (self.scratch, payload))?;
            if self.corrupt {
                payload[0] ^= 1;
            }
            return self.write_digest(context, len as u32, bus);
        }
        self.copied = true;
        let mut buffer = std::mem::take(&mut self.scratch.payload);
        let ended = self.run_copied(context, take(&mut buffer, len), bus);
        buffer[..len].fill(0);
        self.scratch.payload = buffer;
        ended
    }

    fn run_copied<H: Host>(
        &mut self,
        context: &Context,
        payload: &mut [u8],
        bus: &mut Bus<'_, H>,
    ) -> Result<(), Outcome> {
        let prefix_len = self.prefix_len();
        self.scratch.source.gather(prefix_len, payload, bus)?;
        transform(self.command, self.plan, context, (self.scratch, payload))?;
        let mut written = 0;
        if context.has_cipher() && !payload.is_empty() {
            if self.corrupt {
                payload[0] ^= 1;
            }
            self.scratch.destination.scatter(0, payload, bus)?;
            written = payload.len() as u32;
        } else if self.corrupt {
            self.scratch.digest[0] ^= 1;
        }
        self.write_digest(context, written, bus)
    }

    fn write_digest<H: Host>(
        &mut self,
        context: &Context,
        offset: u32,
        bus: &mut Bus<'_, H>,
    ) -> Result<(), Outcome> {
        if self.plan.operation == Operation::Seal {
            let digest = &self.scratch.digest[..context.digest_len()];
            self.scratch.destination.scatter(offset, digest, bus)?;
        }
        Ok(())
    }
}

/// Hands the bytes of one command to the engine.
fn transform(
    command: &Command,
    plan: &Plan,
    context: &Context,
    (scratch, payload): (&mut Scratch, &mut [u8]),
) -> Result<(), Status> {
    let iv_at = plan.key_len as usize;
    let aad_at = iv_at + plan.iv_len as usize;
    let mut long_iv = [0; IV_MAX];
    let iv = if plan.iv_len == 0 {
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
