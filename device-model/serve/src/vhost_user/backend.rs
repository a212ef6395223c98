//! The device, its rings and the client's memory.

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};

use device_model::virtio::{Finished, VirtioCrypto};
use device_model::{Latch, Profile, ProfileError};
use regs::virtio::{CryptoConfig, CryptoOpcode, CryptoStatus, SESSION_MESSAGE_LEN};
use rustix::io::Errno;
use timebase::{Span, Time};

use super::memory::{Memory, MemoryError};
use super::place::Place;
use super::ring::{Ring, Room, Taken};
use super::wire::{MemoryRegion, RingAddress};
use crate::clock::{Clock, Pacing};
use crate::control::{Ordered, Told};
use crate::recording::Recorder;

/// Most bytes that requests on the card may hold. One more is taken even if it has that many.
const MAX_HELD: usize = 16 << 20;
/// What a request holds beside its bytes, and each part of its room.
const REQUEST_COST: usize = 256;
/// What a request with a key of two halves holds instead: it may take this machine a second, and
/// all that is on the card is finished before its client is forgotten.
const KEY_COST: usize = 256 << 10;
/// Most requests that are taken or finished before others get their turn.
const BURST: u32 = 64;

/// A request on the card.
#[derive(Debug)]
struct InFlight {
    ring: usize,
    head: u16,
    room: Room,
    cost: usize,
}

/// A virtio crypto device with rings in a client's memory.
#[derive(Debug)]
pub struct Backend {
    place: Place,
    clock: Clock,
    memory: Memory,
    /// Data queues, then the control queue.
    rings: Vec<Ring>,
    has_control: bool,
    in_flight: BTreeMap<u64, InFlight>,
    held: usize,
    next_token: u64,
    /// The ring that is looked at next.
    next: usize,
}

impl Backend {
    /// A backend with a device that is made from `profile`, and as many data queues, at least one.
    ///
    /// # Errors
    /// [`ProfileError`] if `profile` describes no card.
    pub fn new(profile: Profile, pacing: Pacing, data_queues: u16) -> Result<Self, ProfileError> {
        let rings = usize::from(data_queues.max(1)) + 1;
        Ok(Self {
            place: Place::new(profile)?,
            clock: Clock::new(pacing),
            memory: Memory::default(),
            rings: (0..rings).map(|_| Ring::new()).collect(),
            has_control: false,
            in_flight: BTreeMap::new(),
            held: 0,
            next_token: 0,
            next: 0,
        })
    }

    /// Writes all that crosses the device's edge to `recorder` from now on. To be called before the
    /// first client comes.
    pub fn record(&mut self, recorder: Recorder) {
        self.place.record(recorder);
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// Why it was not written to the end.
    pub fn end_recording(&mut self) -> std::io::Result<()> {
        self.place.end_recording()
    }

    /// The device, if there is one.
    #[must_use]
    pub const fn device(&self) -> Option<&VirtioCrypto> {
        self.place.device()
    }

    /// Makes the device misbehave; gives whether there is one that can like that.
    pub fn latch(&mut self, latch: Latch) -> bool {
        let now = self.clock.now();
        self.place.latch(now, latch)
    }

    /// What the device says of itself.
    pub(super) fn config(&self) -> CryptoConfig {
        self.place.config(self.data_queues())
    }

    /// Opens the session that a message asks for; gives its number.
    pub(super) fn open(
        &mut self,
        message: &[u8; SESSION_MESSAGE_LEN],
    ) -> Result<u64, CryptoStatus> {
        let now = self.clock.now();
        self.place.open(now, message)
    }

    /// Closes a session, if there is one.
    pub(super) fn close(&mut self, session: u64) {
        let now = self.clock.now();
        self.place.close(now, session);
    }

    /// Number of data queues.
    pub(super) fn data_queues(&self) -> u32 {
        self.rings.len() as u32 - 1
    }

    /// Number of rings that the client may use.
    pub(super) fn queues(&self) -> u32 {
        self.data_queues() + u32::from(self.has_control)
    }

    /// Whether the ring behind the data queues is a control queue.
    pub(super) const fn set_control(&mut self, has_control: bool) {
        self.has_control = has_control;
    }

    /// A ring that the client may use.
    pub(super) fn ring(&mut self, number: u64) -> Result<&mut Ring, Errno> {
        let is_there = number < u64::from(self.queues());
        let ring = usize::try_from(number).ok().filter(|_| is_there);
        let ring = ring.and_then(|number| self.rings.get_mut(number));
        ring.ok_or(Errno::INVAL)
    }

    pub(super) fn set_address(&mut self, address: RingAddress) -> Result<(), Errno> {
        self.ring(address.ring.get().into())?.set_address(address);
        Ok(())
    }

    /// Takes requests from a ring from now on.
    pub(super) fn start(
        &mut self,
        number: u64,
        kick: Option<OwnedFd>,
        has_event_index: bool,
    ) -> Result<(), Errno> {
        let memory = self.memory.clone();
        self.ring(number)?.start(kick, has_event_index, &memory)
    }

    /// Lets what is on the card come to its end, then takes no more from a ring; gives the entry at
    /// which it goes on.
    pub(super) fn stop(&mut self, number: u64) -> Result<u16, Errno> {
        self.ring(number)?;
        self.drain();
        Ok(self.ring(number)?.stop())
    }

    /// Lets the device reach other memory.
    pub(super) fn set_memory(
        &mut self,
        regions: &[MemoryRegion],
        fds: Vec<OwnedFd>,
    ) -> Result<(), MemoryError> {
        let memory = Memory::new(regions, fds)?;
        // What is on the card belongs to the memory that was.
        self.drain();
        self.memory = memory;
        for ring in &mut self.rings {
            ring.find_again(&self.memory);
        }
        Ok(())
    }

    /// The client is gone, or begins anew: what is on the card comes to its end in memory that is
    /// still there, and nothing of the client is kept.
    pub fn release(&mut self) {
        self.drain();
        self.in_flight.clear();
        self.held = 0;
        let now = self.clock.now();
        self.place.reset(now);
        self.memory = Memory::default();
        self.has_control = false;
        self.rings.fill_with(Ring::new);
    }

    /// Descriptors that wake the server.
    pub(super) fn kicks(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        let rings = self.rings.iter().enumerate();
        rings.filter_map(|(number, ring)| Some((number, ring.kick()?)))
    }

    /// Forgets that a ring was kicked.
    pub(super) fn calm(&mut self, number: usize) {
        self.rings[number].calm();
    }

    /// Whether a ring is to be looked at without a kick.
    pub(super) fn is_polled(&self) -> bool {
        self.rings.iter().any(Ring::is_polled)
    }

    /// How long until the device does something by itself; `None` if it waits for others.
    pub(super) fn wait(&mut self) -> Option<Span> {
        self.place.flush();
        let at = self.place.next_internal();
        self.clock.until(at)
    }

    /// Takes requests, and lets the device do what is due. Returns whether anything happened.
    pub fn advance(&mut self) -> bool {
        let mut is_busy = self.take();
        for _ in 0..BURST {
            let next = self.place.next_internal();
            let now = self.clock.reach(next);
            if next > now {
                break;
            }
            is_busy = true;
            self.finish(now);
        }
        self.tell();
        is_busy
    }

    /// Takes requests from the rings in turn, as long as the card may hold more.
    fn take(&mut self) -> bool {
        let mut is_busy = false;
        let mut empty = 0;
        for _ in 0..BURST {
            if self.held >= MAX_HELD || empty == self.rings.len() {
                break;
            }
            let ring = self.next;
            self.next = (ring + 1) % self.rings.len();
            match self.rings[ring].take(&self.memory.guest) {
                Some(taken) => {
                    empty = 0;
                    is_busy = true;
                    self.submit(ring, taken);
                }
                None => empty += 1,
            }
        }
        is_busy
    }

    fn submit(&mut self, ring: usize, taken: Taken) {
        let Taken { head, bytes, room } = taken;
        if ring as u32 == self.data_queues() {
            let now = self.clock.now();
            let output = self.place.control(now, bytes, room.len());
            let len = room.fill(&output, None, &self.memory.guest);
            self.rings[ring].put(head, len, &self.memory.guest);
            return;
        }
        let token = self.next_token;
        self.next_token += 1;
        let opcode = bytes.first_chunk().copied().map(u32::from_le_bytes);
        let has_key = opcode >= Some(CryptoOpcode::AkcipherEncrypt as u32);
        let base = if has_key { KEY_COST } else { REQUEST_COST };
        let cost = base + bytes.len() + room.cost();
        self.held += cost;
        // One byte of the room is the status.
        let len = room.len().saturating_sub(1);
        let flight = InFlight {
            ring,
            head,
            room,
            cost,
        };
        self.in_flight.insert(token, flight);
        let now = self.clock.now();
        if !self.place.submit(now, token, bytes, len) {
            self.fail(token);
        }
    }

    /// Puts back what has ended by `now`.
    fn finish(&mut self, now: Time) {
        for finished in self.place.finish(now) {
            self.put(&finished);
        }
    }

    /// Answers a request in the stead of a device that is gone.
    fn fail(&mut self, token: u64) {
        self.put(&Finished {
            token,
            status: CryptoStatus::Error,
            output: Vec::new(),
        });
    }

    fn put(&mut self, finished: &Finished) {
        let Some(flight) = self.in_flight.remove(&finished.token) else {
            return;
        };
        self.held -= flight.cost;
        let status = Some(finished.status as u8);
        let memory = &self.memory.guest;
        let len = flight.room.fill(&finished.output, status, memory);
        self.rings[flight.ring].put(flight.head, len, memory);
    }

    /// Lets everything on the card come to its end, whatever time it is.
    fn drain(&mut self) {
        loop {
            let next = self.place.next_internal();
            if next == Time::NEVER {
                break;
            }
            self.clock.jump(next);
            let now = self.clock.now();
            self.finish(now);
        }
        self.tell();
    }

    fn tell(&mut self) {
        for ring in &mut self.rings {
            ring.tell(&self.memory.guest);
        }
    }
}

impl Ordered for Backend {
    fn told(&mut self) -> Told<'_> {
        self.place.flush();
        Told {
            profile: &self.place.profile().name,
            is_present: self.place.device().is_some(),
            ranges: self.memory.ranges(),
            stats: self.place.device().map(VirtioCrypto::stats),
        }
    }

    fn plug(&mut self) -> Result<(), ProfileError> {
        self.place.plug()
    }

    fn pull_out(&mut self) {
        self.place.pull_out();
        let tokens: Vec<u64> = self.in_flight.keys().copied().collect();
        tokens.into_iter().for_each(|token| self.fail(token));
        self.tell();
    }

    fn request_removal(&mut self) -> bool {
        // vhost-user has no message for it.
        false
    }

    fn latch(&mut self, latch: Latch) -> bool {
        Self::latch(self, latch)
    }
}
