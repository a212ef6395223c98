//! Results go out: the completion entry, the interrupt, and what a completed command sets free.
//!
//! Order in memory: destination data first, then the completion entry, its status word last. The
//! entry is one aligned 32-byte write, hence one packet, whose bytes become visible in order of
//! address; the status word is its highest.

use regs::{Completion, DeviceAddr, INTERRUPT_LINK_ERROR, RingId, Status, Vector};
use timebase::Time;

use super::command::{Fault, Outcome, Task};
use super::execute::Shop;
use super::queue::Due;
use super::schedule::{Aftermath, Agenda};
use super::transfer::Bus;
use crate::card::{Card, LastError};
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
    /// Runs the commands that go out up to `limit` as one batch; gives their number.
    #[inline]
    pub(crate) fn run_batch<H: Host>(&mut self, limit: Time, host: &mut H) -> usize {
        self.stats.batches += 1;
        let mut bus = Bus {
            is_master: self.pci.bus_master(),
            host,
        };
        let mut shop = Shop {
            contexts: &mut self.contexts,
            scratch: &mut self.scratch,
            latches: &mut self.latches,
            stats: &mut self.stats,
        };
        let Agenda { writing, works, .. } = &mut self.agenda;
        let mut count = 0;
        for due in writing.as_slice() {
            if due.at > limit {
                break;
            }
            count += 1;
            let work = &mut works[due.work as usize];
            if work.outcome.is_some() {
                continue;
            }
            if let Task::Identity(identity) = &work.task
                && shop.leaves_untouched(identity, &mut bus)
            {
                work.outcome = Some(Outcome {
                    status: Status::Success,
                    output_len: identity.len,
                    fault: None,
                });
            } else {
                work.outcome = Some(shop.run(&work.task, &mut bus));
            }
        }
        count
    }

    /// A command's result becomes visible.
    #[inline]
    pub(crate) fn complete<H: Host>(&mut self, due: Due, host: &mut H) -> Aftermath {
        let work = self.agenda.work(due.work);
        let outcome = work.outcome.unwrap_or_default();
        let is_plain = work.ring != 0 && outcome.fault.is_none();
        if !is_plain || self.latches.waits_for_completion() {
            return self.complete_with_care(due, host);
        }
        let ring = usize::from(work.ring);
        let entry = Entry {
            cookie: work.cookie,
            is_quiet: work.is_quiet,
            status: outcome.status,
            output_len: outcome.output_len,
            fault_addr: 0,
        };
        self.agenda.release(due.work);
        let pair = &mut self.rings[ring];
        pair.writing -= 1;
        pair.outstanding -= 1;
        let nothing_waits = pair.outstanding != 0 && !pair.waits_for_room();
        let written = self.write_completion(due.at, ring, entry, host);
        if nothing_waits && written == Aftermath::Quiet {
            return Aftermath::Quiet;
        }
        self.command_left(due.at, ring, written, host)
    }

    /// Completes a command of the admin ring, one with a DMA fault, or one that latches wait for.
    #[cold]
    fn complete_with_care<H: Host>(&mut self, due: Due, host: &mut H) -> Aftermath {
        let work = *self.agenda.work(due.work);
        let outcome = work.outcome.unwrap_or_default();
        let ring = usize::from(work.ring);
        self.agenda.release(due.work);
        if let Some(fault) = outcome.fault {
            self.observe_fault(due.at, ring, fault, host);
            let error = (outcome.status, Some(fault.fault.addr));
            self.latch_error(due.at, ring, error, host);
        }
        if ring == 0 && outcome.status == Status::Success {
            self.observe_session(due.at, work.task, host);
        }
        self.rings[ring].writing -= 1;
        self.rings[ring].outstanding -= 1;
        let entry = Entry {
            cookie: work.cookie,
            is_quiet: work.is_quiet,
            status: outcome.status,
            output_len: outcome.output_len,
            fault_addr: outcome.fault.map_or(0, |fault| fault.fault.addr.0),
        };
        let mut written = Aftermath::Quiet;
        for _ in 0..self.entries_for(ring) {
            written = self.write_completion(due.at, ring, entry, host);
        }
        self.command_left(due.at, ring, written, host)
    }

    /// How many entries a completion of `ring` gets: one, unless a latch says otherwise.
    fn entries_for(&mut self, ring: usize) -> u32 {
        const SPARE: u32 = 2;
        if self.latches.drop_completion.strikes() {
            return 0;
        }
        if self.latches.duplicate_completion.strikes() && self.rings[ring].has_room_for(SPARE) {
            return SPARE;
        }
        1
    }

    /// Writes a completion entry into the next slot; a fault there stops the pair.
    #[inline(always)]
    fn write_completion<H: Host>(
        &mut self,
        at: Time,
        ring: usize,
        entry: Entry,
        host: &mut H,
    ) -> Aftermath {
        let pair = &mut self.rings[ring];
        if !pair.is_running() {
            return Aftermath::Changed;
        }
        let (slot, addr, phase) = pair.completion_slot();
        let completion = Completion {
            cookie: entry.cookie,
            command_head: pair.command_head(),
            output_len: entry.output_len,
            fault_addr: entry.fault_addr,
            status: entry.status as u16,
            phase,
        };
        let mut bus = Bus {
            is_master: self.pci.bus_master(),
            host: &mut *host,
        };
        if let Err(fault) = bus.write(addr, &completion.to_bytes()) {
            self.observe_fault(at, ring, fault, host);
            self.fail_ring(at, ring, Status::WriteFault, host);
            return Aftermath::Changed;
        }
        pair.completed();
        self.stats.completions += 1;
        self.stats.endings.count(entry.status);
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
        }
        if !pair.waits_for_room() {
            return written;
        }
        self.drop_fence(at, ring, host);
        self.update_wanting(ring);
        self.begin_fetches(at);
        Aftermath::Changed
    }

    /// Gives completion slots to results that waited for them.
    pub(crate) fn release_held(&mut self, now: Time, ring: usize) {
        while self.rings[ring].has_completion_room()
            && let Some(work) = self.rings[ring].held.pop_front()
        {
            self.begin_write(now, work);
        }
    }

    fn observe_session<H: Host>(&mut self, at: Time, task: Task, host: &mut H) {
        match task {
            Task::Create(command) => {
                let session = command.session.0;
                host.observe(at, CardEvent::SessionCreated { session });
            }
            Task::Destroy(session) => {
                self.cache.forget(session);
                host.observe(at, CardEvent::SessionDestroyed { session: session.0 });
            }
            Task::Settled(_) | Task::Identity(_) | Task::Process(..) => {}
        }
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
        self.last_error.addr = fault.fault.addr;
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
        self.rings[ring].fail();
        self.busy.set(ring, false);
        self.wanting.set(ring, false);
        self.timer_changed(ring);
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
        self.last_error = LastError {
            ring: ring as u32,
            status: status as u32,
            addr: addr.unwrap_or(self.last_error.addr),
        };
        let is_new = self.causes.latched() & INTERRUPT_LINK_ERROR == 0;
        if self.causes.latch(INTERRUPT_LINK_ERROR) && is_new {
            self.send(at, 0, host);
        }
    }

    /// `ring` has completions to tell of.
    pub(crate) fn raise_ring<H: Host>(&mut self, at: Time, ring: usize, host: &mut H) {
        if self.causes.latch(cause_of(RingId(ring as u16))) {
            self.send(at, ring, host);
        }
    }

    /// Sends the message of `ring`. A vector that the function lacks, or a card that may not write
    /// to the bus, sends nothing.
    pub(crate) fn send<H: Host>(&mut self, at: Time, ring: usize, host: &mut H) {
        let vector = self.rings[ring].setup.vector;
        if vector >= u32::from(self.pci.vectors()) || !self.pci.bus_master() {
            return;
        }
        let vector = Vector(vector as u16);
        let at = at + self.profile.interrupt_delay;
        self.stats.interrupts += 1;
        host.observe(
            at,
            CardEvent::Interrupt {
                ring: RingId(ring as u16),
                vector,
            },
        );
        host.interrupt(at, vector);
    }
}
