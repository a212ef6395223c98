//! The card: power, registers, doorbells.
//!
//! Owns every part and decodes BAR 0; configuration space and the other BAR belong to `pci`. What
//! happens over time is `native::schedule`. Register accesses catch up first, so they see the card
//! as it is at `now`.

use exhibit::{Exhibit, on};
use regs::pci::NOBODY;
use regs::{
    BAR0_LEN, COMMAND_LEN, COMPLETION_LEN, CardSession, Control, DEVICE_ID, DeviceStatus, Doorbell,
    Errata, FunctionId, INTERRUPT_LINK_ERROR, INTERRUPT_MAILBOX, Register, RingArbitration,
    RingControl, RingId, RingRegister, Status, Target, decode,
};
use timebase::{Span, Time};

use crate::engine::Group;
use crate::fault::{Latch, Latches};
use crate::function::Function;
use crate::host::{CardEvent, Host};
use crate::interrupt::cause_of;
use crate::native::admin::Admin;
use crate::native::arbiter::{Arbiter, RingSet};
use crate::native::context::{ContextCache, ContextTable};
use crate::native::errata;
use crate::native::execute::Scratch;
use crate::native::ring::Ring;
use crate::native::schedule::Agenda;
use crate::profile::{Profile, ProfileError};
use crate::provisioning::Provisioning;
use crate::stats::{CardStats, RingOccupancy};
use crate::timing::service::ServiceLines;
use crate::timing::{Lines, Link, LinkBacklog};

/// A card: registers and rings in front, engines behind, in its own virtual time.
///
/// Power-on leaves it ready, with memory decoding and bus mastering off.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub struct Card {
    pub(crate) profile: Profile,
    /// The physical function, then the virtual ones.
    pub(crate) functions: Vec<Function>,
    /// When the next function is ready after a reset, or the next late write is due.
    pub(crate) ready_at: Time,
    /// Those of each function in turn.
    pub(crate) rings: Vec<Ring>,
    /// Pairs with commands on the card.
    pub(crate) busy: RingSet,
    /// Which pair fetches next.
    pub(crate) arbiter: Arbiter,
    pub(crate) agenda: Agenda,
    pub(crate) link: Link,
    pub(crate) lines: Lines,
    pub(crate) service_lines: ServiceLines,
    /// Time of a completion entry on the wire.
    pub(crate) completion_time: Span,
    pub(crate) contexts: ContextTable,
    pub(crate) cache: ContextCache,
    #[serde(skip)]
    pub(crate) scratch: Scratch,
    pub(crate) admin: Admin,
    /// Descriptors of one fetch.
    #[serde(skip)]
    pub(crate) descriptors: Vec<u8>,
    pub(crate) latches: Latches,
    pub(crate) errata: errata::Memory,
    pub(crate) stats: CardStats,
    pub(crate) timing_only: bool,
}

impl Card {
    /// A card as it comes out of the box, with power, and without a root key.
    ///
    /// # Errors
    /// [`ProfileError`] if `profile` describes no card.
    pub fn new(profile: Profile) -> Result<Self, ProfileError> {
        Self::provisioned(profile, &Provisioning::default())
    }

    /// A card with a serial number, a root key and an entropy source of its own.
    ///
    /// # Errors
    /// [`ProfileError`] if `profile` describes no card.
    pub fn provisioned(
        profile: Profile,
        provisioning: &Provisioning,
    ) -> Result<Self, ProfileError> {
        profile.validate()?;
        let physical = Function::physical(&profile, provisioning.serial);
        let mut link = Link::new(&profile.link, physical.pci.traffic_sizes());
        let mut stats = CardStats::default();
        let engines = &profile.engines;
        stats.groups[Group::Cipher as usize].lanes = engines.cipher.lanes;
        stats.groups[Group::Digest as usize].lanes = engines.digest.lanes;
        stats.groups[Group::Combined as usize].lanes = engines.combined.lanes;
        stats.public_key.lanes = profile.public_key.map_or(0, |engine| engine.lanes);
        let owned = physical.rings.clone();
        let rings = owned.len();
        Ok(Self {
            rings: owned.map(|ring| Ring::of(physical.owner(ring))).collect(),
            functions: vec![physical],
            ready_at: Time::NEVER,
            busy: RingSet::default(),
            arbiter: Arbiter::new(rings),
            agenda: Agenda::default(),
            completion_time: link.write_time(COMPLETION_LEN as u32),
            link,
            lines: Lines::new(&profile),
            service_lines: ServiceLines::new(&profile),
            contexts: ContextTable::new(profile.all_sessions()),
            cache: ContextCache::new(profile.context_cache_entries),
            scratch: Scratch::new(profile.errata),
            admin: Admin::new(provisioning),
            descriptors: vec![0; profile.fetch_burst as usize * COMMAND_LEN],
            latches: Latches::of(profile.errata),
            errata: errata::Memory::default(),
            stats,
            timing_only: false,
            profile,
        })
    }

    /// The profile the card was made from.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Whether the physical function answers in its memory space: that is switched on, and the
    /// function is in D0 (PCI Express Base Specification, 7.5.1.1.3 and 5.3.1).
    #[must_use]
    pub fn answers_memory(&self) -> bool {
        self.functions[0].pci.memory_enabled()
    }

    /// Counters since power-on.
    #[must_use]
    pub const fn stats(&self) -> &CardStats {
        &self.stats
    }

    /// How full each ring pair is: those of the physical function, its admin ring first, then those
    /// of each virtual function.
    pub fn rings(&self) -> impl ExactSizeIterator<Item = RingOccupancy> {
        let occupancy = |(id, ring): (usize, &Ring)| RingOccupancy {
            ring: RingId(id as u16),
            is_running: ring.is_running(),
            published: ring.published(),
            fetched: ring.outstanding,
            held: ring.held.len() as u32,
            unreaped: ring.unreaped(),
        };
        self.rings.iter().enumerate().map(occupancy)
    }

    /// Makes the silicon misbehave.
    pub fn latch(&mut self, latch: Latch) {
        self.latches.pull(latch);
    }

    /// Leaves the work of data commands out that are fetched from now on, or puts it in again: they
    /// take their time and end well, but no byte of payload is read or written. Sessions are made
    /// as ever.
    pub const fn set_timing_only(&mut self, timing_only: bool) {
        self.timing_only = timing_only;
    }

    /// How long the link is taken, for a card that shares it with others.
    #[must_use]
    pub const fn link_backlog(&self) -> LinkBacklog {
        self.link.backlog()
    }

    /// Makes the link as taken as `backlog` says: the last word of whoever shares it.
    pub const fn set_link_backlog(&mut self, backlog: LinkBacklog) {
        self.link.set_backlog(backlog);
    }

    /// Shows every byte array on the card that can hold key or payload bytes, with the name of the
    /// memory it is in. What the card was made with is in fuses, and not shown.
    pub fn visit_memory(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.contexts.visit(visit);
        self.scratch.visit(visit);
        self.admin.visit(visit);
    }

    /// Whether `session` has a context now.
    #[must_use]
    pub fn has_session(&self, session: CardSession) -> bool {
        self.contexts.get(session).is_some()
    }

    /// Reads the dword at `offset` bytes into BAR 0 of the physical function; as
    /// [`bar_read`](Self::bar_read) otherwise.
    pub fn mmio_read<H: Host>(&mut self, now: Time, offset: u32, host: &mut H) -> u32 {
        self.advance(now, host);
        self.read_register(now, (FunctionId::PHYSICAL, offset), host)
    }

    /// Writes the dword at `offset` bytes into BAR 0 of the physical function; as
    /// [`bar_write`](Self::bar_write) otherwise. Everything ignores it while a reset is under way.
    pub fn mmio_write<H: Host>(&mut self, now: Time, offset: u32, value: u32, host: &mut H) {
        self.advance(now, host);
        self.write_register(now, (FunctionId::PHYSICAL, offset), value, host);
    }

    /// Reads BAR 0 of a function that the card has.
    pub(crate) fn read_register<H: Host>(
        &mut self,
        now: Time,
        (id, offset): (FunctionId, u32),
        host: &mut H,
    ) -> u32 {
        self.errata.register_read();
        if self.has(Errata::POLLED_RESET) {
            self.read_in_reset(now, id);
        }
        let function = self.function(id);
        if !function.pci.memory_enabled() || !offset.is_multiple_of(4) || offset >= BAR0_LEN {
            self.refuse_register(now, (id, offset, false), host);
            return NOBODY;
        }
        match decode(offset, function.last_ring()) {
            Some(Target::Control(register)) => self.read_control(now, id, register),
            Some(Target::Ring(ring, register)) => self.read_ring(function.ring(ring), register),
            Some(Target::CommandDoorbell(_) | Target::CompletionDoorbell(_)) | None => 0,
        }
    }

    /// Writes BAR 0 of a function that the card has.
    #[inline]
    pub(crate) fn write_register<H: Host>(
        &mut self,
        now: Time,
        (id, offset): (FunctionId, u32),
        value: u32,
        host: &mut H,
    ) {
        let function = self.function(id);
        if !function.pci.memory_enabled() {
            self.refuse_register(now, (id, offset, true), host);
            return;
        }
        if function.resetting_until.is_some() {
            return;
        }
        let (place, target) = match decode(offset, function.last_ring()) {
            Some(Target::Control(register)) => {
                return self.write_control(now, (id, register), value, host);
            }
            Some(
                target @ (Target::Ring(ring, _)
                | Target::CommandDoorbell(ring)
                | Target::CompletionDoorbell(ring)),
            ) => (function.ring(ring), target),
            None => return self.refuse_register(now, (id, offset, true), host),
        };
        match target {
            Target::Control(_) => {}
            Target::Ring(_, register) => self.write_ring(now, (place, register), value, host),
            Target::CommandDoorbell(_) => {
                self.ring_command(now, place, Doorbell::from_bits(value), host);
            }
            Target::CompletionDoorbell(_) => {
                self.ring_completion(now, place, Doorbell::from_bits(value), host);
            }
        }
    }

    /// A function that the card has.
    #[inline]
    pub(crate) fn function(&self, FunctionId(id): FunctionId) -> &Function {
        &self.functions[usize::from(id)]
    }

    /// A function that the card has.
    #[inline]
    pub(crate) fn function_mut(&mut self, FunctionId(id): FunctionId) -> &mut Function {
        &mut self.functions[usize::from(id)]
    }

    /// The function that `ring` belongs to.
    #[inline]
    pub(crate) fn owner_mut(&mut self, ring: usize) -> &mut Function {
        self.function_mut(self.rings[ring].owner.function)
    }

    fn read_control(&mut self, now: Time, id: FunctionId, register: Register) -> u32 {
        let scheduler_hangs = self.latches.scheduler_hangs;
        let is_early = self.has(Errata::EARLY_READY) || on(Exhibit::ReadyTooEarly);
        let selected = self.selected_error(id);
        let received = self.received_word(id);
        let function = self.function_mut(id);
        match register {
            Register::DeviceId => DEVICE_ID,
            Register::Version => Register::Version.reset_value(),
            Register::RingPairs => u32::from(function.ring_pairs()),
            Register::SessionCapacity => function.session_capacity(),
            Register::Control => function.control.into_bits(),
            Register::DeviceStatus => {
                let resetting = function.resetting_until.is_some() && !is_early;
                let status = DeviceStatus::new().with_ready(!resetting);
                status.with_resetting(resetting).into_bits()
            }
            Register::InterruptStatus => function.causes.latched(),
            Register::InterruptMask => function.causes.mask(),
            Register::Heartbeat => function.heartbeat(now, scheduler_hangs),
            Register::ErrorRing => function.last_error.ring,
            Register::ErrorStatus => function.last_error.status,
            Register::ErrorAddressLow => function.last_error.addr.0 as u32,
            Register::ErrorAddressHigh => (function.last_error.addr.0 >> 32) as u32,
            Register::FunctionNumber => id.0.into(),
            Register::MailboxSelect => function.mailbox.selected.into(),
            Register::MailboxSend => 0,
            Register::MailboxReceived => received,
            Register::MailboxWaiting => function.mailbox.waiting,
            Register::SelectedErrorRing => selected.ring,
            Register::SelectedErrorStatus => selected.status,
            Register::ContextCacheEntries => self.profile.context_cache_entries,
            Register::Errata => self.profile.errata.bits(),
        }
    }

    fn write_control<H: Host>(
        &mut self,
        now: Time,
        (id, register): (FunctionId, Register),
        value: u32,
        host: &mut H,
    ) {
        match register {
            Register::Control => {
                self.function_mut(id).ledger.speak(now);
                let control = Control::from_bits(value);
                if control.reset() {
                    self.soft_reset(now, id, host);
                } else {
                    let function = self.function_mut(id);
                    function.control = Control::new().with_enabled(control.enabled());
                    self.tell_rings(id);
                    self.reconsider_fetches(now);
                }
            }
            Register::InterruptStatus => {
                self.function_mut(id).causes.clear(value);
                self.update_intx(now, id, host);
            }
            Register::InterruptMask => self.set_mask(now, id, value, host),
            Register::MailboxSelect => self.select_mailbox(id, value),
            Register::MailboxSend => self.send_word(now, id, value, host),
            Register::MailboxWaiting => self.function_mut(id).mailbox.waiting &= !value,
            Register::DeviceId
            | Register::Version
            | Register::RingPairs
            | Register::SessionCapacity
            | Register::DeviceStatus
            | Register::Heartbeat
            | Register::ErrorRing
            | Register::ErrorStatus
            | Register::ErrorAddressLow
            | Register::ErrorAddressHigh
            | Register::FunctionNumber
            | Register::MailboxReceived
            | Register::SelectedErrorRing
            | Register::SelectedErrorStatus
            | Register::ContextCacheEntries
            | Register::Errata => {}
        }
    }

    /// Sets the mask of causes; what was latched behind it sends its message now.
    fn set_mask<H: Host>(&mut self, now: Time, id: FunctionId, mask: u32, host: &mut H) {
        let function = self.function_mut(id);
        let uncovered = function.causes.set_mask(mask);
        let rings = function.rings.clone();
        if uncovered & (INTERRUPT_LINK_ERROR | INTERRUPT_MAILBOX) != 0 {
            self.send(now, rings.start, host);
        }
        for ring in rings {
            if uncovered & cause_of(self.rings[ring].owner.local) != 0 {
                self.send(now, ring, host);
            }
        }
        self.update_intx(now, id, host);
    }

    fn read_ring(&self, place: usize, register: RingRegister) -> u32 {
        let ring = &self.rings[place];
        match register {
            RingRegister::CommandBaseLow => ring.setup.command_base as u32,
            RingRegister::CommandBaseHigh => (ring.setup.command_base >> 32) as u32,
            RingRegister::CompletionBaseLow => ring.setup.completion_base as u32,
            RingRegister::CompletionBaseHigh => (ring.setup.completion_base >> 32) as u32,
            RingRegister::Entries => ring.setup.entries,
            RingRegister::RingControl => ring.control().into_bits(),
            RingRegister::RingStatus => ring.status().into_bits(),
            RingRegister::CommandHead => ring.command_head().0,
            RingRegister::CommandTail => ring.command_tail().0,
            RingRegister::CompletionHead => ring.completion_head().0,
            RingRegister::CompletionTail => ring.completion_tail().0,
            RingRegister::CoalesceCount => ring.coalescer.count(),
            RingRegister::CoalesceTimer => ring.coalescer.timer_ns(),
            RingRegister::RingVector => ring.setup.vector,
            RingRegister::RingArbitration => self.arbiter.setting(place).into_bits(),
        }
    }

    fn write_ring<H: Host>(
        &mut self,
        now: Time,
        (index, register): (usize, RingRegister),
        value: u32,
        host: &mut H,
    ) {
        let ring = &mut self.rings[index];
        match register {
            RingRegister::CommandBaseLow => ring.setup.set_command_low(value),
            RingRegister::CommandBaseHigh => ring.setup.set_command_high(value),
            RingRegister::CompletionBaseLow => ring.setup.set_completion_low(value),
            RingRegister::CompletionBaseHigh => ring.setup.set_completion_high(value),
            RingRegister::Entries => ring.setup.entries = value,
            RingRegister::RingVector => ring.setup.vector = value,
            RingRegister::RingArbitration => {
                self.arbiter
                    .configure(index, RingArbitration::from_bits(value));
            }
            RingRegister::RingControl => {
                self.write_ring_control(now, index, RingControl::from_bits(value), host);
            }
            RingRegister::CoalesceCount => {
                let fires = ring.coalescer.set_count(value);
                self.timer_changed(index);
                if fires {
                    self.raise_ring(now, index, host);
                }
            }
            RingRegister::CoalesceTimer => {
                ring.coalescer.set_timer(now, value);
                self.timer_changed(index);
            }
            RingRegister::RingStatus
            | RingRegister::CommandHead
            | RingRegister::CommandTail
            | RingRegister::CompletionHead
            | RingRegister::CompletionTail => {}
        }
    }

    /// Stops the pair on a reset or when it turns off, then starts it when it turns on. A pair that
    /// failed needs the reset first.
    fn write_ring_control<H: Host>(
        &mut self,
        now: Time,
        ring: usize,
        control: RingControl,
        host: &mut H,
    ) {
        let is_running = self.rings[ring].is_running();
        if control.reset() && !is_running {
            self.flush_prefetched(ring);
        }
        if control.reset() || (is_running && !control.enabled()) {
            self.keep_prefetched(ring, host);
            self.stop_ring(ring);
            self.rings[ring].counters.resets += 1;
            self.recount_retired();
            self.begin_fetches(now);
        }
        let pair = &mut self.rings[ring];
        pair.set_starve_interrupt(control.starve_interrupt());
        if !control.enabled() || pair.has_failed() {
            return;
        }
        if pair.is_running() {
            self.drain(now, ring, control, host);
        } else if pair.start().is_err() {
            self.fail_ring(now, ring, Status::BadParameters, host);
        }
    }

    /// Stops `ring` and forgets what it had on the card.
    pub(crate) fn stop_ring(&mut self, ring: usize) {
        self.agenda.forget(ring, &self.rings[ring].held);
        self.rings[ring].stop();
        self.busy.set(ring, false);
        self.arbiter.set_wanting(ring, false);
        self.timer_changed(ring);
        self.forget_late(ring);
    }

    #[inline]
    fn ring_command<H: Host>(&mut self, now: Time, ring: usize, doorbell: Doorbell, host: &mut H) {
        if !self.rings[ring].is_running() {
            return;
        }
        let collides = self.has(Errata::DOORBELL_COLLISION) || on(Exhibit::DoorbellLost);
        if collides && self.loses_doorbell(now, ring) {
            return;
        }
        host.observe(
            now,
            CardEvent::Doorbell {
                ring: RingId(ring as u16),
                tail: doorbell.slot,
            },
        );
        if doorbell.arm || self.rings[ring].publish(doorbell.slot).is_err() {
            self.fail_ring(now, ring, Status::BadParameters, host);
            return;
        }
        self.update_wanting(ring);
        self.begin_fetches(now);
    }

    #[inline]
    fn ring_completion<H: Host>(
        &mut self,
        now: Time,
        ring: usize,
        doorbell: Doorbell,
        host: &mut H,
    ) {
        let pair = &mut self.rings[ring];
        if !pair.is_running() {
            return;
        }
        let acknowledged = pair.completion_head();
        if pair.acknowledge(doorbell.slot).is_err() {
            self.fail_ring(now, ring, Status::BadParameters, host);
            return;
        }
        let (head, tail) = (pair.completion_head().0, pair.completion_tail().0);
        let entries = pair.entries();
        let before = pair.coalescer.expiry();
        pair.coalescer.acknowledge(now, head, tail, entries);
        let mut fires = doorbell.arm && pair.coalescer.arm(now);
        if doorbell.arm && self.profile.errata.contains(Errata::SPURIOUS_INTERRUPT) {
            fires |= pair.fires_for_nothing(acknowledged);
        }
        if pair.coalescer.expiry() != before {
            self.timer_changed(ring);
        }
        if fires {
            self.raise_ring(now, ring, host);
        }
        self.release_held(now, ring);
    }

    pub(crate) fn reconsider_fetches(&mut self, now: Time) {
        for ring in 0..self.rings.len() {
            self.update_wanting(ring);
        }
        self.begin_fetches(now);
    }
}
