//! Results go out: the completion entry, the interrupt, and what a completed command sets free.
//!
//! Order in memory: destination data first, then the completion entry, its status word last. The
//! entry is one aligned 32-byte write, hence one packet, whose bytes become visible in order of
//! address; the status word is its highest.

use regs::{Completion, DeviceAddr, INTERRUPT_LINK_ERROR, Opcode, RingId, Slot, Status, Vector};
use timebase::Time;

use super::command::{Fault, Outcome, Task, Work};
use super::execute::Shop;
use super::queue::Due;
use super::schedule::{Aftermath, Agenda};
use super::transfer::Bus;
use crate::card::{Card, LastError};
use crate::host::{CardEvent, Host};
use crate::interrupt::cause_of;

impl Card {
    /// Runs the first `count` commands that go out.
    pub(crate) fn run_batch<H: Host>(&mut self, count: usize, host: &mut H) {
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
        for due in &writing.as_slice()[..count] {
            let work = &mut works[due.work as usize];
            if work.outcome.is_none() {
                work.outcome = Some(shop.run(work, &mut bus));
            }
        }
    }

    /// A command's result becomes visible.
    #[inline]
    pub(crate) fn complete<H: Host>(&mut self, due: Due, host: &mut H) -> Aftermath {
        let work = *self.agenda.work(due.work);
        self.agenda.release(due.work);
        let outcome = work.outcome.unwrap_or_default();
        let ring = usize::from(work.ring);
        if let Some(fault) = outcome.fault {
            self.observe_fault(due.at, ring, fault, host);
            self.latch_error(due.at, ring, (outcome.status, Some(fault.fault.addr)), host);
        }
        if ring == 0 {
            self.observe_session(due.at, &work, outcome.status, host);
        }
        self.rings[ring].writing -= 1;
        self.rings[ring].outstanding -= 1;

        let mut written = Aftermath::Quiet;
        for _ in 0..self.entries_for(ring) {
            written = self.write_completion(due.at, &work, &outcome, host);
        }
        match self.command_left(due.at, ring, host) {
            Aftermath::Quiet => written,
            Aftermath::Changed => Aftermath::Changed,
        }
    }

    /// How many entries a completion of `ring` gets: one, unless a latch says otherwise.
    #[inline]
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
    #[inline]
    fn write_completion<H: Host>(
        &mut self,
        at: Time,
        work: &Work,
        outcome: &Outcome,
        host: &mut H,
    ) -> Aftermath {
        let ring = usize::from(work.ring);
        let pair = &mut self.rings[ring];
        if !pair.is_running() {
            return Aftermath::Changed;
        }
        let (slot, addr, phase) = pair.completion_slot();
        let entry = Completion {
            cookie: work.command.cookie,
            command_head: pair.command_head(),
            output_len: outcome.output_len,
            fault_addr: outcome.fault.map_or(0, |fault| fault.fault.addr.0),
            status: outcome.status as u16,
            phase,
        };
        let mut bus = Bus {
            is_master: self.pci.bus_master(),
            host: &mut *host,
        };
        if let Err(fault) = bus.write(addr, &entry.to_bytes()) {
            self.observe_fault(at, ring, fault, host);
            self.fail_ring(at, ring, Status::WriteFault, host);
            return Aftermath::Changed;
        }
        pair.completed();
        self.stats.completions += 1;
        self.stats.endings.count(outcome.status);
        host.observe(
            at,
            CardEvent::Completed {
                ring: RingId(work.ring),
                slot,
                cookie: work.command.cookie,
                status: outcome.status,
            },
        );
        self.count_completion(at, ring, (slot, work), host)
    }

    #[inline]
    fn count_completion<H: Host>(
        &mut self,
        at: Time,
        ring: usize,
        (slot, work): (Slot, &Work),
        host: &mut H,
    ) -> Aftermath {
        let counted = !work
            .command
            .flags
            .contains(regs::CommandFlags::NO_INTERRUPT);
        let coalescer = &mut self.rings[ring].coalescer;
        let before = coalescer.expiry();
        let fires = coalescer.complete(at, slot.0, counted);
        let timer_changed = coalescer.expiry() != before;
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

    /// A command of `ring` left the card: a fence may fall, a fetch may begin.
    #[inline]
    fn command_left<H: Host>(&mut self, at: Time, ring: usize, host: &mut H) -> Aftermath {
        let pair = &self.rings[ring];
        if pair.outstanding == 0 {
            self.busy.set(ring, false);
        }
        if pair.fenced.is_empty() && (pair.published() == 0 || pair.fetching != 0) {
            return Aftermath::Quiet;
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

    fn observe_session<H: Host>(&mut self, at: Time, work: &Work, status: Status, host: &mut H) {
        if status != Status::Success {
            return;
        }
        let session = work.command.session;
        match work.task {
            Task::Create => host.observe(at, CardEvent::SessionCreated { session: session.0 }),
            Task::Destroy => {
                self.cache.forget(session);
                host.observe(at, CardEvent::SessionDestroyed { session: session.0 });
            }
            Task::Settled(_) | Task::Process(_) => {
                debug_assert_ne!(work.command.opcode, Opcode::SessionCreate as u8);
            }
        }
    }

    /// Counts and reports a refused DMA access.
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
