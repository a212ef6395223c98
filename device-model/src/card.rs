//! The card: power, registers, doorbells.
//!
//! Owns every part and decodes BAR 0. What happens over time is `native::schedule`. Register
//! accesses catch up first, so they see the card as it is at `now`.

use regs::{
    COMMAND_LEN, COMPLETION_LEN, CardSession, Control, DEVICE_ID, DeviceAddr, DeviceStatus,
    Doorbell, INTERRUPT_LINK_ERROR, Register, RingArbitration, RingControl, RingId, RingRegister,
    Status, Target, decode,
};
use timebase::{Span, Time};

use crate::engine::Group;
use crate::fault::{Latch, Latches};
use crate::host::{CardEvent, Host};
use crate::interrupt::{Causes, cause_of};
use crate::native::admin::Admin;
use crate::native::arbiter::{Arbiter, RingSet};
use crate::native::context::{ContextCache, ContextTable};
use crate::native::execute::Scratch;
use crate::native::ring::Ring;
use crate::native::schedule::Agenda;
use crate::pci::ConfigSpace;
use crate::profile::{Profile, ProfileError};
use crate::provisioning::Provisioning;
use crate::stats::{CardStats, RingOccupancy};
use crate::timing::service::ServiceLines;
use crate::timing::{Lines, Link, LinkBacklog};

/// What a read gives that nobody answers.
const NOBODY: u32 = u32::MAX;
/// Value of the error-ring register when there was no error.
const NO_RING: u32 = u32::MAX;

/// The error registers.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct LastError {
    pub(crate) ring: u32,
    pub(crate) status: u32,
    pub(crate) addr: DeviceAddr,
}

impl Default for LastError {
    fn default() -> Self {
        Self {
            ring: NO_RING,
            status: 0,
            addr: DeviceAddr(0),
        }
    }
}

/// A card: registers and rings in front, engines behind, in its own virtual time.
///
/// Power-on leaves it ready, with memory decoding and bus mastering off.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub struct Card {
    pub(crate) profile: Profile,
    pub(crate) pci: ConfigSpace,
    pub(crate) control: Control,
    pub(crate) causes: Causes,
    pub(crate) last_error: LastError,
    pub(crate) resetting_until: Option<Time>,
    /// Ring 0 is the admin ring.
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
    pub(crate) stats: CardStats,
    pub(crate) timing_only: bool,
    heartbeat_stopped: Option<u32>,
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
        let mut link = Link::new(&profile.link);
        let mut stats = CardStats::default();
        let engines = &profile.engines;
        stats.groups[Group::Cipher as usize].lanes = engines.cipher.lanes;
        stats.groups[Group::Digest as usize].lanes = engines.digest.lanes;
        stats.groups[Group::Combined as usize].lanes = engines.combined.lanes;
        stats.public_key.lanes = profile.public_key.map_or(0, |engine| engine.lanes);
        let rings = usize::from(profile.ring_pairs) + 1;
        Ok(Self {
            pci: ConfigSpace::new(&profile),
            control: Control::new(),
            causes: Causes::default(),
            last_error: LastError::default(),
            resetting_until: None,
            rings: (0..rings).map(|_| Ring::default()).collect(),
            busy: RingSet::default(),
            arbiter: Arbiter::new(rings),
            agenda: Agenda::default(),
            completion_time: link.write_time(COMPLETION_LEN as u32),
            link,
            lines: Lines::new(&profile),
            service_lines: ServiceLines::new(&profile),
            contexts: ContextTable::new(profile.session_capacity),
            cache: ContextCache::new(profile.context_cache_entries),
            scratch: Scratch::default(),
            admin: Admin::new(provisioning),
            descriptors: vec![0; profile.fetch_burst as usize * COMMAND_LEN],
            latches: Latches::default(),
            stats,
            timing_only: false,
            heartbeat_stopped: None,
            profile,
        })
    }

    /// The profile the card was made from.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Counters since power-on.
    #[must_use]
    pub const fn stats(&self) -> &CardStats {
        &self.stats
    }

    /// How full each ring pair is, the admin ring first.
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

    /// Reads a dword of configuration space; `offset` in bytes is rounded down to a dword. What the
    /// header does not have reads zero.
    #[must_use]
    pub fn config_read(&self, offset: u16) -> u32 {
        self.pci.read(offset)
    }

    /// Writes a dword of configuration space; bits that cannot be written stay.
    pub fn config_write(&mut self, offset: u16, value: u32) {
        self.pci.write(offset, value);
    }

    /// Surprise removal: power is lost and nothing volatile survives, keys and configuration
    /// included. The counters stay with whoever counts.
    pub fn pull_out(&mut self) {
        self.forget_everything();
        self.pci.clear();
        self.latches = Latches::default();
        self.resetting_until = None;
        self.heartbeat_stopped = None;
    }

    /// Makes the silicon misbehave.
    pub fn latch(&mut self, latch: Latch) {
        self.latches.pull(latch);
    }

    /// Leaves the work of data commands out, or puts it in again: they take their time and end
    /// well, but no byte of payload is read or written. Sessions are made as ever.
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

    /// Reads the dword at `offset` bytes into BAR 0. Holes and doorbells read zero; all ones if
    /// memory decoding is off.
    pub fn mmio_read<H: Host>(&mut self, now: Time, offset: u32, host: &mut H) -> u32 {
        self.advance(now, host);
        if !self.pci.memory_enabled() {
            return NOBODY;
        }
        match decode(offset, self.last_ring()) {
            Some(Target::Control(register)) => self.read_control(now, register),
            Some(Target::Ring(ring, register)) => self.read_ring(ring, register),
            Some(Target::CommandDoorbell(_) | Target::CompletionDoorbell(_)) | None => 0,
        }
    }

    /// Writes the dword at `offset` bytes into BAR 0. Holes and read-only registers ignore it, as
    /// does everything while a reset is under way or memory decoding is off.
    pub fn mmio_write<H: Host>(&mut self, now: Time, offset: u32, value: u32, host: &mut H) {
        self.advance(now, host);
        if !self.pci.memory_enabled() || self.resetting_until.is_some() {
            return;
        }
        match decode(offset, self.last_ring()) {
            Some(Target::Control(register)) => self.write_control(now, register, value, host),
            Some(Target::Ring(ring, register)) => {
                self.write_ring(now, (ring, register), value, host);
            }
            Some(Target::CommandDoorbell(ring)) => {
                self.ring_command(now, ring, Doorbell::from_bits(value), host);
            }
            Some(Target::CompletionDoorbell(ring)) => {
                self.ring_completion(now, ring, Doorbell::from_bits(value), host);
            }
            None => {}
        }
    }

    /// Whether the card may fetch.
    #[inline]
    pub(crate) fn is_scheduling(&self) -> bool {
        self.control.enabled() && !self.latches.scheduler_hangs
    }

    fn last_ring(&self) -> RingId {
        RingId(self.profile.ring_pairs)
    }

    fn read_control(&mut self, now: Time, register: Register) -> u32 {
        match register {
            Register::DeviceId => DEVICE_ID,
            Register::Version => Register::Version.reset_value(),
            Register::RingPairs => u32::from(self.profile.ring_pairs),
            Register::SessionCapacity => self.profile.session_capacity,
            Register::Control => self.control.into_bits(),
            Register::DeviceStatus => {
                let resetting = self.resetting_until.is_some();
                let status = DeviceStatus::new().with_ready(!resetting);
                status.with_resetting(resetting).into_bits()
            }
            Register::InterruptStatus => self.causes.latched(),
            Register::InterruptMask => self.causes.mask(),
            Register::Heartbeat => self.heartbeat(now),
            Register::ErrorRing => self.last_error.ring,
            Register::ErrorStatus => self.last_error.status,
            Register::ErrorAddressLow => self.last_error.addr.0 as u32,
            Register::ErrorAddressHigh => (self.last_error.addr.0 >> 32) as u32,
            Register::ContextCacheEntries => self.profile.context_cache_entries,
        }
    }

    /// A scheduler that hangs shows the count at which it was first seen hanging.
    fn heartbeat(&mut self, now: Time) -> u32 {
        let running = (now.as_ns() / 1_000) as u32;
        if self.latches.scheduler_hangs || self.resetting_until.is_some() {
            *self.heartbeat_stopped.get_or_insert(running)
        } else {
            self.heartbeat_stopped = None;
            running
        }
    }

    fn write_control<H: Host>(&mut self, now: Time, register: Register, value: u32, host: &mut H) {
        match register {
            Register::Control => {
                let control = Control::from_bits(value);
                if control.reset() {
                    self.reset(now, host);
                } else {
                    self.control = Control::new().with_enabled(control.enabled());
                    self.reconsider_fetches(now);
                }
            }
            Register::InterruptStatus => self.causes.clear(value),
            Register::InterruptMask => {
                let uncovered = self.causes.set_mask(value);
                if uncovered & INTERRUPT_LINK_ERROR != 0 {
                    self.send(now, 0, host);
                }
                for ring in 0..self.rings.len() {
                    if uncovered & cause_of(RingId(ring as u16)) != 0 {
                        self.send(now, ring, host);
                    }
                }
            }
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
            | Register::ContextCacheEntries => {}
        }
    }

    fn read_ring(&self, RingId(id): RingId, register: RingRegister) -> u32 {
        let ring = &self.rings[usize::from(id)];
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
            RingRegister::RingArbitration => self.arbiter.setting(id.into()).into_bits(),
        }
    }

    fn write_ring<H: Host>(
        &mut self,
        now: Time,
        (id, register): (RingId, RingRegister),
        value: u32,
        host: &mut H,
    ) {
        let index = usize::from(id.0);
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
        let turns_off = self.rings[ring].is_running() && !control.enabled();
        if control.reset() || turns_off {
            self.agenda.forget(ring, &self.rings[ring].held);
            self.rings[ring].stop();
            self.recount_retired();
            self.busy.set(ring, false);
            self.arbiter.set_wanting(ring, false);
            self.timer_changed(ring);
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

    #[inline]
    fn ring_command<H: Host>(&mut self, now: Time, id: RingId, doorbell: Doorbell, host: &mut H) {
        let ring = usize::from(id.0);
        if !self.rings[ring].is_running() {
            return;
        }
        host.observe(
            now,
            CardEvent::Doorbell {
                ring: id,
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
        id: RingId,
        doorbell: Doorbell,
        host: &mut H,
    ) {
        let ring = usize::from(id.0);
        let pair = &mut self.rings[ring];
        if !pair.is_running() {
            return;
        }
        if pair.acknowledge(doorbell.slot).is_err() {
            self.fail_ring(now, ring, Status::BadParameters, host);
            return;
        }
        let (head, tail) = (pair.completion_head().0, pair.completion_tail().0);
        let entries = pair.entries();
        let before = pair.coalescer.expiry();
        pair.coalescer.acknowledge(now, head, tail, entries);
        let fires = doorbell.arm && pair.coalescer.arm(now);
        if pair.coalescer.expiry() != before {
            self.timer_changed(ring);
        }
        if fires {
            self.raise_ring(now, ring, host);
        }
        self.release_held(now, ring);
    }

    /// Resets the function: rings stop, contexts and keys are zeroed. Configuration space stays.
    fn reset<H: Host>(&mut self, now: Time, host: &mut H) {
        self.heartbeat_stopped = None;
        self.forget_everything();
        self.latches.reset();
        self.stats.resets += 1;
        self.resetting_until = Some(now + self.profile.reset_time);
        self.heartbeat(now);
        host.observe(now, CardEvent::Reset);
    }

    fn forget_everything(&mut self) {
        self.agenda.clear();
        for ring in &mut self.rings {
            *ring = Ring::default();
        }
        self.contexts.clear();
        self.cache.clear();
        self.scratch.clear();
        self.admin.clear();
        self.descriptors.fill(0);
        self.lines.clear();
        self.service_lines.clear();
        self.control = Control::new();
        self.causes = Causes::default();
        self.last_error = LastError::default();
        self.busy = RingSet::default();
        self.arbiter.reset();
    }

    fn reconsider_fetches(&mut self, now: Time) {
        for ring in 0..self.rings.len() {
            self.update_wanting(ring);
        }
        self.begin_fetches(now);
    }
}
