//! Service commands: everything that is not about a session's payload.
//!
//! One way for all of them: a source stream comes in whole, an answer is made from it, and the
//! answer goes out whole or not at all. Judges their descriptors and runs them; what each of them
//! does is in `admin`. Both streams are zeroed in the card's buffers before the next command runs.

use std::mem;

use exhibit::{Exhibit, on};
use regs::{
    Argument, ArgumentFlags, BLOB_LEN, Command, CommandFlags, Errata, KekOffer, Opcode, PAGE_MAX,
    PageCode, RANDOM_MAX, RingId, SESSION_BLOCK_LEN, Status, WRAPPED_KEK_LEN,
};
use timebase::Time;

use super::admin::{self, Admin};
use super::command::{Kind, OrderId, Outcome, Plan, Task, Work, check_stream};
use super::execute::{Shop, destination_of, source_of, take};
use super::migrate;
use super::public_key;
use super::ring::Owner;
use super::schedule::Agenda;
use super::transfer::Bus;
use crate::card::Card;
use crate::engine::{Algorithm, Group, Operation, asymmetric};
use crate::host::{CardEvent, Host};
use crate::timing::Lane;

/// Number of the public-key lanes among the engine groups, in events.
const PUBLIC_KEY_GROUP: u8 = Group::ALL.len() as u8;

/// Whether `opcode` is a service command of this kind of ring. What moves sessions between cards
/// needs the card's one store of key-encryption keys, which the physical function owns.
pub(super) const fn belongs(opcode: Opcode, owner: &Owner) -> bool {
    match opcode {
        Opcode::Nop
        | Opcode::Process
        | Opcode::DigestBegin
        | Opcode::DigestContinue
        | Opcode::DigestEnd => false,
        Opcode::PublicKey | Opcode::Random => true,
        Opcode::SessionCreate
        | Opcode::SessionDestroy
        | Opcode::SessionRekey
        | Opcode::ReadPage => owner.is_admin(),
        Opcode::SessionExport
        | Opcode::SessionImport
        | Opcode::KekLoad
        | Opcode::KekOffer
        | Opcode::KekAccept
        | Opcode::KekDestroy => owner.is_admin() && owner.function.is_physical(),
    }
}

/// Lengths of source and destination stream of `command`, in bytes.
fn streams(command: &Command, opcode: Opcode) -> Result<(u32, u32), Status> {
    let (source_len, destination_len) = match opcode {
        Opcode::PublicKey => {
            let params = public_key::params_of(command)?;
            return Ok((params.source_len(), params.destination_len()));
        }
        Opcode::Random => {
            let len = command.payload_len;
            let is_possible = (1..=RANDOM_MAX).contains(&len);
            return is_possible.then_some((0, len)).ok_or(Status::BadLength);
        }
        Opcode::ReadPage => {
            page_of(command)?;
            let len = command.payload_len;
            let is_possible = (1..=PAGE_MAX).contains(&len);
            return is_possible.then_some((0, len)).ok_or(Status::BadLength);
        }
        Opcode::SessionCreate | Opcode::SessionRekey => (SESSION_BLOCK_LEN, 0),
        Opcode::SessionExport => (0, BLOB_LEN),
        Opcode::SessionImport => (BLOB_LEN, 0),
        Opcode::KekLoad => (WRAPPED_KEK_LEN, 0),
        Opcode::KekOffer => (0, KekOffer::LEN),
        Opcode::KekAccept => (KekOffer::LEN, 0),
        Opcode::Nop
        | Opcode::Process
        | Opcode::DigestBegin
        | Opcode::DigestContinue
        | Opcode::DigestEnd
        | Opcode::SessionDestroy
        | Opcode::KekDestroy => (0, 0),
    };
    if argument_of(command).flags().is_none() {
        return Err(Status::ReservedBits);
    }
    Ok((source_len as u32, destination_len as u32))
}

/// Judges the streams and the argument of `command`, a service command.
pub(super) fn judge(command: &Command, opcode: Opcode) -> Result<(Command, Plan), Status> {
    let (source_len, destination_len) = streams(command, opcode)?;
    let mut command = *command;
    for (flag, len, needed) in [
        (
            CommandFlags::SOURCE_SEGMENTS,
            command.source_len,
            source_len,
        ),
        (
            CommandFlags::DESTINATION_SEGMENTS,
            command.destination_len,
            destination_len,
        ),
    ] {
        if needed == 0 {
            // A stream that the command does not have is not looked at.
            command.flags.remove(flag);
        } else {
            check_stream(len, command.flags.contains(flag), needed)?;
        }
    }
    let plan = Plan {
        kind: Kind::Whole,
        operation: Operation::Seal,
        algorithm: Algorithm::IDENTITY,
        group: Group::Cipher,
        generation: 0,
        key_len: 0,
        extra_len: 0,
        digest_in: 0,
        source_len,
        destination_len,
    };
    Ok((command, plan))
}

/// How much a command asks of a public-key lane; zero if nothing.
fn word_products(command: &Command) -> u64 {
    match Opcode::from_code(command.opcode) {
        Some(Opcode::PublicKey) => {
            public_key::params_of(command).map_or(0, |params| asymmetric::word_products(&params))
        }
        Some(Opcode::KekOffer) => asymmetric::X25519_WORD_PRODUCTS,
        // The secret, and the card's own half again.
        Some(Opcode::KekAccept) => 2 * asymmetric::X25519_WORD_PRODUCTS,
        _ => 0,
    }
}

/// The page that a command names, and whether it is to be cleared.
fn page_of(command: &Command) -> Result<(PageCode, bool), Status> {
    let argument = argument_of(command);
    let flags = argument.flags().ok_or(Status::ReservedBits)?;
    let clears = flags.contains(ArgumentFlags::CLEAR);
    match PageCode::from_code(argument.page) {
        Some(page) if !clears || page.can_be_cleared() => Ok((page, clears)),
        Some(_) | None => Err(Status::BadParameters),
    }
}

fn argument_of(command: &Command) -> Argument {
    Argument::from_bytes(&command.iv)
}

/// Whether an import gives a session that exists another context.
fn replaces(command: &Command) -> bool {
    let flags = argument_of(command).flags();
    flags.is_some_and(|flags| flags.contains(ArgumentFlags::REPLACE))
}

impl Card {
    /// Reserves what a service command, decoded at `decoded`, needs; gives its finish, or why the
    /// card does not do it.
    pub(super) fn reserve_service<H: Host>(
        &mut self,
        (now, decoded): (Time, Time),
        ring: usize,
        (command, plan): (&Command, &Plan),
        host: &mut H,
    ) -> Result<Time, Status> {
        let products = word_products(command);
        if products != 0 && !self.service_lines.has_public_key() {
            return Err(Status::BadOpcode);
        }
        let listed = self.read_lists(now, decoded, command);
        let loaded = match plan.source_len {
            0 => listed,
            len => self.link.read(now, listed, len),
        };
        if command.opcode == Opcode::Random as u8 {
            return Ok(self.service_lines.entropy(loaded, plan.destination_len));
        }
        let lane = match products {
            0 => None,
            products => self.service_lines.public_key(loaded, products),
        };
        Ok(lane.map_or(loaded, |lane| self.started(ring, command, lane, host)))
    }

    /// A public-key lane works on `command`; gives when it is done.
    fn started<H: Host>(
        &mut self,
        ring: usize,
        command: &Command,
        lane: Lane,
        host: &mut H,
    ) -> Time {
        let stats = &mut self.stats.public_key;
        stats.commands += 1;
        stats.busy += lane.duration;
        host.observe(
            lane.start,
            CardEvent::Started {
                ring: RingId(ring as u16),
                cookie: command.cookie,
                group: PUBLIC_KEY_GROUP,
                lane: lane.number,
                finish: lane.finish,
            },
        );
        lane.finish
    }

    /// Runs the service command whose result is visible at `at`.
    pub(super) fn run_service<H: Host>(
        &mut self,
        (at, ring): (Time, usize),
        (task, id): (Task, OrderId),
        host: &mut H,
    ) -> Outcome {
        let command = self.agenda.orders.get(id).command;
        let owner = self.rings[ring].owner.function;
        let page = match command.opcode {
            opcode if opcode == Opcode::ReadPage as u8 => page_of(&command).ok(),
            _ => None,
        };
        if let Some((page, _)) = page {
            self.admin.page = self.page(at, owner, page);
        }
        let outcome = self.run(ring, task, host);
        if outcome.status == Status::Success {
            self.served(at, &command, host);
            if let Some((page, true)) = page {
                self.clear_page(owner, page);
            }
        }
        outcome
    }

    /// What a service command that succeeded means for the rest of the card.
    fn served<H: Host>(&mut self, at: Time, command: &Command, host: &mut H) {
        let session = command.session;
        let event = match Opcode::from_code(command.opcode) {
            Some(Opcode::SessionImport) if !replaces(command) => {
                CardEvent::SessionCreated { session: session.0 }
            }
            Some(Opcode::SessionCreate) => {
                self.create_from_cache(session);
                CardEvent::SessionCreated { session: session.0 }
            }
            Some(Opcode::SessionRekey | Opcode::SessionImport) => {
                self.cache.forget(session);
                self.recount_retired();
                CardEvent::SessionRekeyed { session: session.0 }
            }
            Some(Opcode::SessionDestroy) => {
                if !self.has(Errata::STALE_CONTEXT) && !on(Exhibit::ContextLost) {
                    self.cache.forget(session);
                }
                CardEvent::SessionDestroyed { session: session.0 }
            }
            Some(_) | None => return,
        };
        host.observe(at, event);
    }

    /// Zeroes retired contexts that no command on the card needs any more.
    pub(crate) fn recount_retired(&mut self) {
        if !self.contexts.has_retired() {
            return;
        }
        let Agenda { queue, orders, .. } = &self.agenda;
        let rings = &self.rings;
        self.contexts.recount(|session, generation| {
            let held = rings.iter().flat_map(|ring| &ring.held);
            let works = queue.results().iter().chain(queue.at_work()).chain(held);
            let needs = |work: &&Work| orders.judged_by(work) == Some((session, generation));
            works.filter(needs).count()
        });
    }
}

impl Shop<'_> {
    /// Runs a service command.
    pub(super) fn serve<H: Host>(
        &mut self,
        command: &Command,
        plan: &Plan,
        bus: &mut Bus<'_, H>,
    ) -> Result<Outcome, Outcome> {
        let scratch = &mut *self.scratch;
        let source = source_of(command, plan.source_len);
        scratch.source.load(source, bus)?;
        let destination = destination_of(command, plan.destination_len);
        scratch.destination.load(destination, bus)?;
        let mut buffers = (
            mem::take(&mut scratch.prefix),
            mem::take(&mut scratch.payload),
        );
        let input = take(&mut buffers.0, plan.source_len as usize);
        let output = take(&mut buffers.1, plan.destination_len as usize);
        let ended = self.transact(command, (input, output), bus);
        input.fill(0);
        output.fill(0);
        (self.scratch.prefix, self.scratch.payload) = buffers;
        ended
    }

    fn transact<H: Host>(
        &mut self,
        command: &Command,
        (input, output): (&mut [u8], &mut [u8]),
        bus: &mut Bus<'_, H>,
    ) -> Result<Outcome, Outcome> {
        self.scratch.source.gather(0, input, bus)?;
        self.answer(command, input, output)?;
        self.scratch.destination.scatter(0, output, bus)?;
        Ok(Outcome {
            output_len: output.len() as u32,
            ..Outcome::default()
        })
    }

    fn answer(
        &mut self,
        command: &Command,
        input: &mut [u8],
        output: &mut [u8],
    ) -> Result<(), Status> {
        let session = command.session;
        let argument = argument_of(command);
        let Admin {
            vault,
            random,
            page,
            ..
        } = &mut *self.admin;
        let sticks = self.latches.entropy_sticks;
        match Opcode::from_code(command.opcode).ok_or(Status::BadOpcode)? {
            Opcode::SessionCreate => admin::create(self.contexts, (session, argument.owner), input),
            Opcode::SessionRekey => admin::rekey(self.contexts, session, input),
            Opcode::SessionDestroy => {
                admin::destroy(self.contexts, session, self.latches.keep_keys)
            }
            Opcode::SessionExport => {
                let (vault, random) = ((vault, argument.kek), (random, sticks));
                migrate::export((self.contexts, session), vault, random, output)
            }
            Opcode::SessionImport => {
                let into = (session, argument.owner, replaces(command));
                migrate::import(self.contexts, (vault, argument.kek), into, input)
            }
            Opcode::KekLoad => vault.load(argument.kek, input),
            Opcode::KekOffer => {
                let offer = vault.offer(argument.kek, random.draw(sticks)?)?;
                output.copy_from_slice(&offer.to_bytes());
                Ok(())
            }
            Opcode::KekAccept => {
                let offer = input.first_chunk().ok_or(Status::BadLength)?;
                vault.accept(argument.kek, &KekOffer::from_bytes(offer))
            }
            Opcode::KekDestroy => vault.destroy(argument.kek),
            Opcode::PublicKey => {
                let draw = &mut |bytes: &mut [u8]| random.fill(bytes, sticks);
                public_key::answer(command, input, output, draw)
            }
            Opcode::Random => random.fill(output, sticks),
            Opcode::ReadPage => {
                let len = output.len().min(page.len());
                output[..len].copy_from_slice(&page[..len]);
                Ok(())
            }
            Opcode::Nop
            | Opcode::Process
            | Opcode::DigestBegin
            | Opcode::DigestContinue
            | Opcode::DigestEnd => Err(Status::BadOpcode),
        }
    }
}
