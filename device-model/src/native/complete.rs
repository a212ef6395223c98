//! Results go out: the completion entry, the interrupt, and what a completed command sets free.
//!
//! Order in memory: destination data first, then the completion entry, its status word last. The
//! entry is one aligned 32-byte write, hence one packet, whose bytes become visible in order of
//! address; the status word is its highest.

use exhibit::{Exhibit, on};
use regs::{
    Completion, DeviceAddr, Errata, ErrorEntry, INTERRUPT_LINK_ERROR, RingId, Status, Vector,
};
use timebase::Time;

use super::command::{Fault, Identity, Outcome, Task, Work};
use super::execute::Shop;
use super::ledger::count_failure;
use super::schedule::Aftermath;
use super::transfer::Bus;
use crate::card::Card;
use crate::host::{CardEvent, Host};
use crate::interrupt::{Coalesced, cause_of};

/// What a completion entry tells.
#[derive(Clone, Copy)]
struct Entry {
    cookie: u64,
    is_quiet: bool,
    status: Status,
    output_len: u32,
    fault_addr: u64,
}

impl Card {
    /// The next result becomes visible.
    #[inline]
    pub(crate) fn complete<H: Host>(&mut self, host: &mut H) -> Aftermath {
        let Some(work) = self.agenda.queue.result() else {
            return Aftermath::Changed;
        };
        let Task::Identity(identity) = work.task else {
            return self.run_and_complete(host);
        };
        let (at, ring) = (work.at, usize::from(work.ring));
        let entry = Entry {
            cookie: work.cookie,
            is_quiet: work.is_quiet,
            status: Status::Success,
            output_len: identity.len,
            fault_addr: 0,
        };
        if !self.leaves_untouched(ring, identity, host) {
            return self.run_and_complete(host);
        }
        self.agenda.queue.drop_result();
        self.leave(at, ring, entry, host)
    }

    /// Runs an identity that has nothing to do: its context is there, the host lets the card work
    /// where the payload lies, and no latch waits. Gives whether it was one.
    #[inline]
    fn leaves_untouched<H: Host>(&mut self, ring: usize, identity: Identity, host: &mut H) -> bool {
        let len = identity.len;
        let pair = &mut self.rings[ring];
        let mut bus = Bus {
            master: pair.owner.master,
            host,
        };
        if self.contexts.identity(identity.session) != Some(identity.generation)
            || self.latches.may_strike()
            || on(Exhibit::StatusFirst)
            || bus.in_place(identity.addr, len as usize).is_none()
        {
            return false;
        }
        self.stats.payload_bytes += u64::from(len);
        self.stats.output_bytes += u64::from(len);
        self.stats.in_place += 1;
        pair.counters.payload_bytes += u64::from(len);
        pair.counters.output_bytes += u64::from(len);
        true
    }

    /// Runs what the next result comes from, and completes it.
    #[inline(never)]
    fn run_and_complete<H: Host>(&mut self, host: &mut H) -> Aftermath {
        let Some(&Work {
            at,
            cookie,
            ring,
            is_quiet,
            task,
            ..
        }) = self.agenda.queue.result()
        else {
            return Aftermath::Changed;
        };
        let ring = usize::from(ring);
        let opcode = self.opcode_of(task);
        let before = (self.stats.payload_bytes, self.stats.output_bytes);
        let Outcome {
            status,
            output_len,
            fault,
        } = match task {
            Task::Service(id) => self.run_service((at, ring), (task, id), host),
            Task::Settled(_) | Task::Identity(_) | Task::Timed(_) | Task::Process(_) => {
                self.run(ring, task, host)
            }
        };
        self.agenda.queue.drop_result();
        let counters = &mut self.rings[ring].counters;
        counters.payload_bytes += self.stats.payload_bytes - before.0;
        counters.output_bytes += self.stats.output_bytes - before.1;
        if status != Status::Success && opcode != ErrorEntry::NO_OPCODE {
            self.note_failure((at, ring), (opcode, cookie), (status, fault));
        }
        let entry = Entry {
            cookie,
            is_quiet,
            status,
            output_len,
            fault_addr: fault.map_or(0, |fault| fault.fault.addr.0),
        };
        let is_rare = self.latches.may_strike() || on(Exhibit::StatusFirst);
        if self.rings[ring].owner.is_admin() || fault.is_some() || is_rare {
            return self.leave_with_care((at, ring), (entry, fault), host);
        }
        self.leave(at, ring, entry, host)
    }

    /// Runs `task` of `ring`; its order, if it has one, is done with.
    #[inline]
    pub(super) fn run<H: Host>(&mut self, ring: usize, task: Task, host: &mut H) -> Outcome {
        let mut bus = Bus {
            master: self.rings[ring].owner.master,
            host,
        };
        let mut shop = Shop {
            contexts: &mut self.contexts,
            scratch: &mut self.scratch,
            admin: &mut self.admin,
            latches: &mut self.latches,
            stats: &mut self.stats,
        };
        let outcome = shop.run(task, &self.agenda.orders, &mut bus);
        if let Task::Process(id) | Task::Service(id) = task {
            self.agenda.orders.remove(id);
        }
        outcome
    }

    /// A command of a data ring leaves the card with `entry`.
    #[inline(always)]
    fn leave<H: Host>(&mut self, at: Time, ring: usize, entry: Entry, host: &mut H) -> Aftermath {
        let pair = &mut self.rings[ring];
        pair.outstanding -= 1;
        let nothing_waits = pair.outstanding != 0 && !pair.waits_for_room();
        let written = self.write_completion(at, ring, (entry, false), host);
        if nothing_waits && written == Aftermath::Quiet {
            return Aftermath::Quiet;
        }
        self.command_left(at, ring, written, host)
    }

    /// A command of the admin ring leaves, one with a DMA fault, or one that latches may wait for.
    #[cold]
    fn leave_with_care<H: Host>(
        &mut self,
        (at, ring): (Time, usize),
        (entry, fault): (Entry, Option<Fault>),
        host: &mut H,
    ) -> Aftermath {
        if let Some(fault) = fault {
            self.observe_fault(at, ring, fault, host);
            let error = (entry.status, Some(fault.fault.addr));
            self.latch_error(at, ring, error, host);
        }
        self.rings[ring].outstanding -= 1;
        let mut written = Aftermath::Quiet;
        for _ in 0..self.entries_for(ring) {
            written = self.write_completion(at, ring, (entry, true), host);
        }
        self.command_left(at, ring, written, host)
    }

    /// How many entries a completion of `ring` gets: one, unless a latch says otherwise.
    fn entries_for(&mut self, ring: usize) -> u32 {
        let pair = &mut self.rings[ring];
        if self.latches.drop_completion.strikes() {
            pair.give_room_back();
            pair.counters.forgotten += 1;
            return 0;
        }
        if self.latches.duplicate_completion.strikes() && pair.promise_room() {
            return 2;
        }
        1
    }

    /// Writes a completion entry into the next slot; a fault there stops the pair. One `with_care`
    /// may be torn.
    #[inline(always)]
    fn write_completion<H: Host>(
        &mut self,
        at: Time,
        ring: usize,
        (entry, with_care): (Entry, bool),
        host: &mut H,
    ) -> Aftermath {
        let pair = &mut self.rings[ring];
        if !pair.is_running() {
            return Aftermath::Changed;
        }
        let (slot, addr, phase) = pair.completion_slot();
        let cookie = match on(Exhibit::ForeignCompletion) && slot.0 == 0 && !pair.owner.is_admin() {
            true => entry.cookie ^ 1 << 16,
            false => entry.cookie,
        };
        let completion = Completion {
            cookie,
            command_head: pair.command_head(),
            output_len: entry.output_len,
            fault_addr: entry.fault_addr,
            status: entry.status as u16,
            phase,
        };
        let mut bus = Bus {
            master: pair.owner.master,
            host: &mut *host,
        };
        let bytes = completion.to_bytes();
        let written = if with_care {
            self.write_with_care((at, ring), (addr, &bytes), host)
        } else {
            bus.write(addr, &bytes)
        };
        if let Err(fault) = written {
            self.observe_fault(at, ring, fault, host);
            self.fail_ring(at, ring, Status::WriteFault, host);
            return Aftermath::Changed;
        }
        let pair = &mut self.rings[ring];
        pair.completed();
        self.stats.completions += 1;
        if entry.status == Status::Success {
            self.stats.endings.success += 1;
        } else {
            count_failure(&mut self.stats, (pair, &mut self.functions), entry.status);
        }
        let event = CardEvent::Completed {
            ring: RingId(ring as u16),
            slot,
            cookie: entry.cookie,
            status: entry.status,
        };
        host.observe(at, event);
        let coalesced = pair.coalescer.complete(at, slot.0, !entry.is_quiet);
        match coalesced {
            Coalesced::Waits => Aftermath::Quiet,
            Coalesced::Acts {
                fires,
                timer_changed,
            } => self.coalesced(at, ring, (fires, timer_changed), host),
        }
    }

    /// A completion of `ring` started the timer, or its interrupt is due.
    #[inline(never)]
    fn coalesced<H: Host>(
        &mut self,
        at: Time,
        ring: usize,
        (fires, timer_changed): (bool, bool),
        host: &mut H,
    ) -> Aftermath {
        if timer_changed {
            self.timer_changed(ring);
        }
        if fires {
            self.raise_ring(at, ring, host);
        }
        if timer_changed {
            Aftermath::Changed
        } else {
            Aftermath::Quiet
        }
    }

    /// A command of `ring` left the card, its completion `written`: a fence may fall, a fetch may
    /// begin.
    #[inline(never)]
    fn command_left<H: Host>(
        &mut self,
        at: Time,
        ring: usize,
        written: Aftermath,
        host: &mut H,
    ) -> Aftermath {
        let pair = &self.rings[ring];
        if pair.outstanding == 0 {
            self.busy.set(ring, false);
            self.ran_dry(at, ring, host);
        }
        if !self.rings[ring].waits_for_room() {
            return written;
        }
        self.drop_fence(at, ring, host);
        self.update_wanting(ring);
        self.begin_fetches(at);
        Aftermath::Changed
    }

    /// Counts and reports a refused DMA access.
    #[cold]
    pub(crate) fn observe_fault<H: Host>(
        &mut self,
        at: Time,
        ring: usize,
        fault: Fault,
        host: &mut H,
    ) {
        self.stats.dma_faults += 1;
        let owner = self.rings[ring].owner.function;
        let function = self.function_mut(owner);
        function.last_error.addr = fault.fault.addr;
        function.ledger.count_fault(&fault);
        self.note_dma_fault(at, (owner, fault), host);
        host.observe(
            at,
            CardEvent::DmaFault {
                ring: RingId(ring as u16),
                addr: fault.fault.addr,
                is_write: fault.is_write,
            },
        );
    }

    /// Stops `ring` on an error and forgets what it had on the card.
    #[cold]
    pub(crate) fn fail_ring<H: Host>(
        &mut self,
        at: Time,
        ring: usize,
        status: Status,
        host: &mut H,
    ) {
        self.agenda.forget(ring, &self.rings[ring].held);
        self.note_stop(at, ring, status);
        self.rings[ring].fail();
        self.recount_retired();
        self.busy.set(ring, false);
        self.arbiter.set_wanting(ring, false);
        self.timer_changed(ring);
        self.forget_late(ring);
        self.latch_error(at, ring, (status, None), host);
    }

    /// Latches the error registers and sends the function's error interrupt, once until it is
    /// cleared.
    fn latch_error<H: Host>(
        &mut self,
        at: Time,
        ring: usize,
        (status, addr): (Status, Option<DeviceAddr>),
        host: &mut H,
    ) {
        let function = self.owner_mut(ring);
        function.note_error(ring, status, addr);
        let is_new = function.causes.latched() & INTERRUPT_LINK_ERROR == 0;
        if function.causes.latch(INTERRUPT_LINK_ERROR) && is_new {
            let admin = function.rings.start;
            self.send(at, admin, host);
        }
    }

    /// `ring` has completions to tell of.
    pub(crate) fn raise_ring<H: Host>(&mut self, at: Time, ring: usize, host: &mut H) {
        let cause = cause_of(self.rings[ring].owner.local);
        let may_send = self.owner_mut(ring).causes.latch(cause);
        let may_send = may_send || self.has(Errata::SPURIOUS_INTERRUPT);
        if may_send && !self.loses_message(ring) {
            self.send(at, ring, host);
        }
    }

    /// Sends the message of `ring`, or lets it wait while it may not leave.
    pub(crate) fn send<H: Host>(&mut self, at: Time, ring: usize, host: &mut H) {
        let vector = self.rings[ring].setup.vector;
        let id = RingId(ring as u16);
        let owner = self.rings[ring].owner.function;
        match self.owner_mut(ring).pci.signal(vector, id) {
            Some(message) => self.send_message(at, (id, Vector(vector as u16)), message, host),
            None => self.update_intx(at, owner, host),
        }
    }
}
