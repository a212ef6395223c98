//! A card that does what the test says: rings and registers, no crypto.

use std::collections::{BTreeMap, BTreeSet};

use dma::{Coherent, Pool, PoolBuffer};
use regs::{
    COMMAND_LEN, COMPLETION_LEN, Command, Completion, Control, DEVICE_ID, DeviceAddr, DeviceStatus,
    Doorbell, Errata, Opcode, Register, RingId, RingRegister, RingStatus, SEGMENT_LEN, Segment,
    Slot, Status, Target, decode,
};

use crate::{Direction, DriverEvent, MapError, Mapped, Transport, Unmapped};

/// Data rings of the fake.
pub(super) const PAIRS: u16 = 2;

/// One ring pair as the card sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeRing {
    registers: BTreeMap<u32, u32>,
    pub(super) is_enabled: bool,
    has_error: bool,
    head: u32,
    pub(super) tail: u32,
    completion_tail: u32,
    pub(super) acknowledged: u32,
    lap: bool,
    pub(super) is_armed: bool,
    /// Fetched and not completed, oldest first.
    pub(super) pending: Vec<Command>,
}

impl FakeRing {
    fn register(&self, register: RingRegister) -> u32 {
        let offset = register.offset();
        self.registers.get(&offset).copied().unwrap_or_default()
    }

    fn entries(&self) -> u32 {
        self.register(RingRegister::Entries)
    }
}

struct Window {
    buffer: PoolBuffer,
    direction: Direction,
    touched: bool,
}

/// The scripted card.
pub(super) struct FakeCard {
    pub(super) pool: Pool,
    pub(super) rings: Vec<FakeRing>,
    windows: BTreeMap<u32, Window>,
    shared: BTreeMap<u64, (Coherent, Direction)>,
    next: u32,
    pub(super) is_alive: bool,
    pub(super) is_present: bool,
    pub(super) device_id: u32,
    pub(super) errata: Errata,
    /// Looks at the heartbeat at which it does not count yet.
    pub(super) still_beats: u32,
    beats: u32,
    /// Pairs that were on at the last reset.
    pub(super) enabled_at_reset: usize,
    /// Doorbells that are still to be lost.
    pub(super) doorbells_to_lose: u32,
    /// Times that the vectors were programmed anew.
    pub(super) restored: u32,
    pub(super) session_capacity: u32,
    pub(super) max_windows: usize,
    pub(super) vectors: u16,
    /// Looks at the status register until a reset is over; `None` never ends.
    pub(super) reset_looks: Option<u32>,
    looks_left: u32,
    is_on: bool,
    pub(super) sends_interrupts: bool,
    pub(super) loses_doorbells: bool,
    pub(super) admin_status: Status,
    pub(super) sessions: BTreeSet<u32>,
    pub(super) interrupts: u128,
    pub(super) causes: u32,
    pub(super) resets: u32,
    pub(super) reads: u32,
    pub(super) doorbells: u32,
    pub(super) events: Vec<DriverEvent>,
}

impl FakeCard {
    pub(super) fn new() -> Self {
        Self {
            pool: Pool::new(1 << 24).unwrap(),
            rings: vec![FakeRing::default(); usize::from(PAIRS) + 1],
            windows: BTreeMap::new(),
            shared: BTreeMap::new(),
            next: 1,
            is_alive: true,
            is_present: true,
            device_id: DEVICE_ID,
            errata: Errata::empty(),
            still_beats: 0,
            beats: 0,
            enabled_at_reset: 0,
            doorbells_to_lose: 0,
            restored: 0,
            session_capacity: 1000,
            max_windows: 100_000,
            vectors: 8,
            reset_looks: Some(3),
            looks_left: 0,
            is_on: false,
            sends_interrupts: true,
            loses_doorbells: false,
            admin_status: Status::Success,
            sessions: BTreeSet::new(),
            interrupts: 0,
            causes: 0,
            resets: 0,
            reads: 0,
            doorbells: 0,
            events: Vec::new(),
        }
    }

    pub(super) fn ring(&mut self, ring: u16) -> &mut FakeRing {
        &mut self.rings[usize::from(ring)]
    }

    /// Windows and shared blocks that are open.
    pub(super) fn open_mappings(&self) -> usize {
        self.windows.len() + self.shared.len()
    }

    pub(super) fn open_windows(&self) -> usize {
        self.windows.len()
    }

    /// How the window at `addr` was mapped.
    pub(super) fn direction_of(&self, addr: DeviceAddr) -> Direction {
        self.windows[&window_of(addr)].direction
    }

    /// Reads device memory, streaming or coherent.
    pub(super) fn dma_read(&self, addr: DeviceAddr, len: usize) -> Vec<u8> {
        let at = offset_of(addr);
        if let Some(window) = self.windows.get(&window_of(addr)) {
            assert_ne!(
                window.direction,
                Direction::FromDevice,
                "the card reads {addr}"
            );
            return window.buffer[at..at + len].to_vec();
        }
        let (block, direction) = &self.shared[&(addr.0 & !0xFFF_FFFF)];
        assert_ne!(*direction, Direction::FromDevice, "the card reads {addr}");
        let mut bytes = vec![0; len];
        block.read(at, &mut bytes);
        bytes
    }

    /// Writes device memory of a request.
    pub(super) fn dma_write(&mut self, addr: DeviceAddr, bytes: &[u8]) {
        let window = self
            .windows
            .get_mut(&window_of(addr))
            .expect("a live window");
        assert_ne!(
            window.direction,
            Direction::ToDevice,
            "the card writes {addr}"
        );
        window.touched = true;
        let at = offset_of(addr);
        window.buffer[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The runs of a stream.
    pub(super) fn runs(&self, addr: DeviceAddr, len: u32, is_list: bool) -> Vec<Segment> {
        if !is_list {
            return if len == 0 {
                vec![]
            } else {
                vec![Segment { addr, len }]
            };
        }
        let list = self.dma_read(addr, len as usize * SEGMENT_LEN);
        let (entries, _) = list.as_chunks::<SEGMENT_LEN>();
        entries
            .iter()
            .map(|entry| Segment::from_bytes(entry).unwrap())
            .collect()
    }

    /// Fetches what was published.
    pub(super) fn fetch(&mut self, ring: u16) {
        if !self.is_on || !self.ring(ring).is_enabled {
            return;
        }
        let base = self.base(ring, RingRegister::CommandBaseLow);
        while self.ring(ring).head != self.ring(ring).tail {
            let at = base.offset(u64::from(self.ring(ring).head) * COMMAND_LEN as u64);
            let bytes = self.dma_read(at, COMMAND_LEN);
            let command = Command::from_bytes(bytes.as_slice().try_into().unwrap());
            let ring = self.ring(ring);
            ring.pending.push(command);
            ring.head = Slot(ring.head).next(ring.entries()).0;
        }
    }

    /// Completes the pending command at `index`.
    pub(super) fn complete(&mut self, ring: u16, index: usize, status: Status) -> Command {
        let command = self.ring(ring).pending.remove(index);
        self.write_completion(ring, command.cookie, status as u16);
        command
    }

    /// Writes a completion, whether or not anything stands for it.
    pub(super) fn write_completion(&mut self, ring: u16, cookie: u64, status: u16) {
        let base = self.base(ring, RingRegister::CompletionBaseLow);
        let state = self.ring(ring);
        let slot = state.completion_tail;
        let next = Slot(slot).next(state.entries()).0;
        assert_ne!(next, state.acknowledged, "the completion ring overflows");
        let entry = Completion {
            cookie,
            command_head: Slot(state.head),
            status,
            phase: !state.lap,
            ..Completion::default()
        };
        state.completion_tail = next;
        state.lap ^= next == 0;
        let (block, _) = &self.shared[&(base.0 & !0xFFF_FFFF)];
        block.write(slot as usize * COMPLETION_LEN, &entry.to_bytes());
        self.interrupt(ring);
    }

    /// Writes the status word of the next completion alone; gives where the rest belongs.
    pub(super) fn tear_completion(&mut self, ring: u16, status: u16) -> (u64, usize) {
        let base = self.base(ring, RingRegister::CompletionBaseLow).0 & !0xFFF_FFFF;
        let at = self.ring(ring).completion_tail as usize * COMPLETION_LEN;
        let mut before = [0; Completion::STATUS_AT];
        self.shared[&base].0.read(at, &mut before);
        self.write_completion(ring, 0, status);
        self.shared[&base].0.write(at, &before);
        (base, at)
    }

    /// Writes the cookie of a completion that was torn.
    pub(super) fn mend_completion(&mut self, (base, at): (u64, usize), cookie: u64) {
        self.shared[&base].0.write(at, &cookie.to_le_bytes());
    }

    fn interrupt(&mut self, ring: u16) {
        let vector = self.ring(ring).register(RingRegister::RingVector);
        let is_armed = std::mem::take(&mut self.ring(ring).is_armed);
        if self.sends_interrupts && is_armed {
            self.interrupts |= 1 << vector;
        }
    }

    /// Fetches and completes every admin command.
    pub(super) fn serve_admin(&mut self) {
        self.fetch(0);
        while let Some(command) = self.ring(0).pending.first().copied() {
            let mut status = self.admin_status;
            if status == Status::Success {
                let session = command.session.0;
                let did = match Opcode::from_code(command.opcode) {
                    Some(Opcode::SessionCreate) => self.sessions.insert(session),
                    Some(Opcode::SessionRekey) => self.sessions.contains(&session),
                    _ => self.sessions.remove(&session),
                };
                if !did {
                    status = Status::BadSession;
                }
            }
            self.complete(0, 0, status);
        }
    }

    /// Fetches and completes everything, in order.
    pub(super) fn serve(&mut self) {
        self.serve_admin();
        for ring in 1..=PAIRS {
            self.fetch(ring);
            while !self.ring(ring).pending.is_empty() {
                self.complete(ring, 0, Status::Success);
            }
        }
    }

    /// A ring stops on an error, and the function says so.
    pub(super) fn fail_ring(&mut self, ring: u16) {
        self.ring(ring).has_error = true;
        self.causes |= regs::INTERRUPT_LINK_ERROR;
        self.interrupts |= 1;
    }

    fn base(&mut self, ring: u16, low: RingRegister) -> DeviceAddr {
        let at = low.offset();
        let register = |at: u32| u64::from(self.rings[usize::from(ring)].registers[&at]);
        DeviceAddr(register(at) | register(at + 4) << 32)
    }

    fn reset(&mut self) {
        self.resets += 1;
        self.enabled_at_reset = self.rings.iter().filter(|ring| ring.is_enabled).count();
        self.is_on = false;
        self.looks_left = self.reset_looks.unwrap_or(u32::MAX);
        self.sessions.clear();
        self.interrupts = 0;
        self.rings.fill(FakeRing::default());
    }

    fn write_ring(&mut self, ring: RingId, register: RingRegister, value: u32) {
        let ring = self.ring(ring.0);
        ring.registers.insert(register.offset(), value);
        if register == RingRegister::RingControl {
            let registers = std::mem::take(&mut ring.registers);
            *ring = FakeRing {
                registers,
                is_enabled: value & 1 != 0,
                ..FakeRing::default()
            };
        }
    }

    fn open(&mut self) -> u32 {
        self.next += 1;
        // Above what 32 bits hold, so that both halves of an address count.
        self.next + 16
    }
}

fn window_of(addr: DeviceAddr) -> u32 {
    (addr.0 >> 28) as u32
}

fn offset_of(addr: DeviceAddr) -> usize {
    (addr.0 & 0xFFF_FFFF) as usize
}

fn addr_of(window: u32) -> DeviceAddr {
    DeviceAddr(u64::from(window) << 28)
}

impl Transport for FakeCard {
    fn read(&mut self, offset: u32) -> u32 {
        self.reads += 1;
        if !self.is_alive {
            return u32::MAX;
        }
        match decode(offset, RingId(PAIRS)) {
            Some(Target::Control(Register::DeviceId)) => self.device_id,
            Some(Target::Control(Register::Errata)) => self.errata.bits(),
            Some(Target::Control(Register::Heartbeat)) => {
                match self.still_beats.checked_sub(1) {
                    Some(left) => self.still_beats = left,
                    None => self.beats += 1,
                }
                self.beats
            }
            Some(Target::Ring(ring, RingRegister::CommandTail)) => self.ring(ring.0).tail,
            Some(Target::Control(Register::RingPairs)) => u32::from(PAIRS),
            Some(Target::Control(Register::SessionCapacity)) => self.session_capacity,
            Some(Target::Control(Register::InterruptStatus)) => self.causes,
            Some(Target::Control(Register::ErrorRing)) => {
                let failed = self.rings.iter().position(|ring| ring.has_error);
                failed.map_or(u32::MAX, |ring| ring as u32)
            }
            Some(Target::Control(Register::DeviceStatus)) => {
                let is_ready = self.looks_left == 0;
                self.looks_left = self.looks_left.saturating_sub(1);
                DeviceStatus::new()
                    .with_ready(is_ready)
                    .with_resetting(!is_ready)
                    .into_bits()
            }
            Some(Target::Ring(ring, RingRegister::RingStatus)) => {
                let error = self.ring(ring.0).has_error;
                RingStatus::new().with_error(error).into_bits()
            }
            other => panic!("the fake has no {other:?}"),
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        if !self.is_alive {
            return;
        }
        match decode(offset, RingId(PAIRS)) {
            Some(Target::Control(Register::Control)) => {
                let control = Control::from_bits(value);
                self.is_on = control.enabled();
                if control.reset() {
                    self.reset();
                }
            }
            Some(Target::Control(Register::InterruptStatus)) => self.causes &= !value,
            Some(Target::Ring(ring, register)) => self.write_ring(ring, register, value),
            Some(Target::CommandDoorbell(ring)) => {
                self.doorbells += 1;
                let left = self.doorbells_to_lose.checked_sub(1);
                self.doorbells_to_lose = left.unwrap_or(0);
                if !self.loses_doorbells && left.is_none() {
                    let slot = Doorbell::from_bits(value).slot.0;
                    assert!(slot < self.ring(ring.0).entries(), "a slot of the ring");
                    self.ring(ring.0).tail = slot;
                }
            }
            Some(Target::CompletionDoorbell(ring)) => {
                let doorbell = Doorbell::from_bits(value);
                let state = self.ring(ring.0);
                state.acknowledged = doorbell.slot.0;
                state.is_armed |= doorbell.arm;
                if state.acknowledged != state.completion_tail {
                    self.interrupt(ring.0);
                }
            }
            other => panic!("a write to {other:?}"),
        }
    }

    fn barrier(&mut self) {}

    fn map(
        &mut self,
        buffer: PoolBuffer,
        direction: Direction,
    ) -> Result<Mapped, (PoolBuffer, MapError)> {
        if self.windows.len() >= self.max_windows {
            return Err((buffer, MapError::NoWindow));
        }
        let window = self.open();
        let len = buffer.len() as u32;
        let entry = Window {
            buffer,
            direction,
            touched: false,
        };
        self.windows.insert(window, entry);
        Ok(Mapped {
            addr: addr_of(window),
            window,
            len,
        })
    }

    fn unmap(&mut self, mapped: Mapped) -> Unmapped {
        let window = self.windows.remove(&mapped.window).expect("a live window");
        Unmapped {
            buffer: window.buffer,
            touched: window.touched,
        }
    }

    fn share(&mut self, block: &Coherent, direction: Direction) -> Result<DeviceAddr, MapError> {
        if self.shared.len() >= self.max_windows {
            return Err(MapError::NoWindow);
        }
        let addr = addr_of(self.open());
        self.shared.insert(addr.0, (block.clone(), direction));
        Ok(addr)
    }

    fn unshare(&mut self, addr: DeviceAddr) {
        self.shared.remove(&addr.0).expect("a shared block");
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn vectors(&self) -> u16 {
        self.vectors
    }

    fn take_interrupts(&mut self) -> u128 {
        std::mem::take(&mut self.interrupts)
    }

    fn restore_vectors(&mut self) {
        self.restored += 1;
    }

    fn is_present(&self) -> bool {
        self.is_present
    }

    fn observe(&mut self, event: DriverEvent) {
        self.events.push(event);
    }
}
