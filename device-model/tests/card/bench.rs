//! A bench with one card in it: memory with windows, a log, and a driver's half of the rings.

use device_model::pci::{BarAccess, ConfigAccess, Message};
use device_model::{Card, CardEvent, DmaFault, FaultKind, Host, Profile};
use regs::pci::{
    ConfigRegister, Field, MSIX_ADDRESS_LOW, MSIX_BAR, MSIX_DATA, MSIX_ENTRY_LEN,
    MSIX_VECTOR_CONTROL, express, header, msix,
};
use regs::{
    CardSession, CipherCode, Command, CommandFlags, Completion, Control, DeviceAddr, DigestCode,
    Doorbell, FunctionId, Opcode, Register, RingControl, RingId, RingRegister, SESSION_BLOCK_LEN,
    SessionBlock, Slot, Status, Vector,
};
use timebase::{Span, Time};

/// Where the bench's memory begins.
pub(crate) const BASE: u64 = 0x10_0000;
const MEMORY: usize = 0x8_0000;
/// Memory for payloads; rings lie below.
pub(crate) const DATA: u64 = BASE + 0x4_0000;
const RING_SPACE: u64 = 0x4000;
/// Where the bench lets interrupt messages go; their data is the vector.
pub(crate) const MESSAGES: DeviceAddr = DeviceAddr(0xFEE0_0000);
/// Memory space and bus mastering.
pub(crate) const ENABLES: u32 = header::MEMORY_SPACE.mask() | header::BUS_MASTER.mask();
/// Reads as long as they may be, and packets as large as the reference card takes.
const SIZES: u32 = express::MAX_READ_REQUEST.bits(5) | express::MAX_PAYLOAD.bits(1);

/// Memory behind the card and what it saw.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) memory: Vec<u8>,
    /// Addresses that the card may not read, and may not write.
    pub(crate) no_read: std::ops::Range<u64>,
    pub(crate) no_write: std::ops::Range<u64>,
    pub(crate) in_place: bool,
    /// How the machine refuses.
    pub(crate) fault_kind: FaultKind,
    /// Memory that belongs to a virtual function.
    pub(crate) domains: Vec<(std::ops::Range<u64>, FunctionId)>,
    pub(crate) log: Vec<(Time, CardEvent)>,
    pub(crate) interrupts: Vec<(Time, Vector)>,
    pub(crate) virtual_interrupts: Vec<(FunctionId, Vector)>,
    pub(crate) intx: Vec<(Time, bool)>,
    pub(crate) reads: u64,
    pub(crate) refused: Vec<u64>,
}

impl Machine {
    fn fault(&self, addr: DeviceAddr) -> DmaFault {
        let kind = self.fault_kind;
        DmaFault { addr, kind }
    }

    fn find(
        &self,
        (function, addr): (FunctionId, DeviceAddr),
        len: usize,
        closed: &std::ops::Range<u64>,
    ) -> Option<usize> {
        let owner = self
            .domains
            .iter()
            .find(|(range, _)| range.contains(&addr.0));
        if owner.map_or(FunctionId::PHYSICAL, |&(_, owner)| owner) != function {
            return None;
        }
        let end = addr.0.checked_add(len as u64)?;
        let overlaps = addr.0 < closed.end && closed.start < end;
        let inside = addr.0 >= BASE && end <= BASE + MEMORY as u64;
        (inside && !overlaps).then(|| (addr.0 - BASE) as usize)
    }
}

impl Host for Machine {
    fn read(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &mut [u8],
    ) -> Result<(), DmaFault> {
        self.reads += 1;
        let Some(at) = self.find((function, addr), bytes.len(), &self.no_read) else {
            self.refused.push(addr.0);
            return Err(self.fault(addr));
        };
        bytes.copy_from_slice(&self.memory[at..at + bytes.len()]);
        Ok(())
    }

    fn write(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &[u8],
    ) -> Result<(), DmaFault> {
        let Some(at) = self.find((function, addr), bytes.len(), &self.no_write) else {
            self.refused.push(addr.0);
            return Err(self.fault(addr));
        };
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn in_place(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        len: usize,
    ) -> Result<Option<&mut [u8]>, DmaFault> {
        if !self.in_place {
            return Ok(None);
        }
        let readable = self.find((function, addr), len, &self.no_read);
        let writable = self.find((function, addr), len, &self.no_write);
        match readable.and(writable) {
            Some(at) => Ok(Some(&mut self.memory[at..at + len])),
            None => Err(self.fault(addr)),
        }
    }

    fn interrupt(&mut self, at: Time, message: Message) {
        assert_eq!(message.addr, MESSAGES);
        let vector = Vector(message.data as u16);
        if message.function.is_physical() {
            self.interrupts.push((at, vector));
        } else {
            self.virtual_interrupts.push((message.function, vector));
        }
    }

    fn intx(&mut self, at: Time, _function: FunctionId, is_asserted: bool) {
        self.intx.push((at, is_asserted));
    }

    fn observe(&mut self, at: Time, event: CardEvent) {
        self.log.push((at, event));
    }
}

#[derive(Clone, Copy, Default)]
struct DriverRing {
    entries: u32,
    tail: Slot,
    head: Slot,
    phase: bool,
}

/// A card, its machine, and a driver that believes what it reads.
pub(crate) struct Bench {
    pub(crate) card: Card,
    pub(crate) machine: Machine,
    pub(crate) now: Time,
    rings: Vec<DriverRing>,
    cookie: u64,
}

/// A profile whose numbers are easy to add up.
pub(crate) fn profile() -> Profile {
    Profile::reference()
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(profile())
    }

    /// A bench whose card is enabled and whose rings are off.
    pub(crate) fn with(profile: Profile) -> Self {
        Self::around(Card::new(profile).unwrap())
    }

    /// A bench with this card in it, enabled, its rings off.
    pub(crate) fn around(card: Card) -> Self {
        let rings = usize::from(card.profile().ring_pairs) + 1;
        let mut bench = Self {
            card,
            machine: Machine {
                memory: vec![0; MEMORY],
                no_read: 0..0,
                no_write: 0..0,
                in_place: true,
                fault_kind: FaultKind::Refused,
                domains: Vec::new(),
                log: Vec::new(),
                interrupts: Vec::new(),
                virtual_interrupts: Vec::new(),
                intx: Vec::new(),
                reads: 0,
                refused: Vec::new(),
            },
            now: Time::ZERO,
            rings: vec![DriverRing::default(); rings],
            cookie: 0,
        };
        bench.plug_in();
        bench
    }

    /// The same bench with another card in it.
    pub(crate) fn with_card(&self, card: Card) -> Self {
        Self {
            card,
            machine: self.machine.clone(),
            now: self.now,
            rings: self.rings.clone(),
            cookie: self.cookie,
        }
    }

    /// What a machine's firmware and driver do before anything else.
    pub(crate) fn plug_in(&mut self) {
        let vectors = msix::TABLE_SIZE.of(self.config(msix::MSIX_CONTROL)) + 1;
        self.plug_in_with(0..vectors);
    }

    /// The same, with these vectors programmed in this order.
    pub(crate) fn plug_in_with(&mut self, vectors: impl IntoIterator<Item = u32>) {
        self.configure(header::COMMAND, ENABLES);
        let control = self.config(express::DEVICE_CONTROL);
        self.configure(express::DEVICE_CONTROL, control | SIZES);
        self.configure(msix::MSIX_CONTROL, msix::ENABLE.mask());
        for vector in vectors {
            self.set_vector(vector, MSIX_ADDRESS_LOW, MESSAGES.0 as u32);
            self.set_vector(vector, MSIX_DATA, vector);
            self.set_vector(vector, MSIX_VECTOR_CONTROL, 0);
        }
        self.write(
            Register::Control.offset(),
            Control::new().with_enabled(true).into_bits(),
        );
    }

    /// Writes one dword of an entry of the MSI-X table.
    pub(crate) fn set_vector(&mut self, vector: u32, at: u32, value: u32) {
        let at = BarAccess::physical(MSIX_BAR, vector * MSIX_ENTRY_LEN + at);
        self.card.bar_write(self.now, at, value, &mut self.machine);
    }

    pub(crate) fn config(&mut self, register: ConfigRegister) -> u32 {
        let at = ConfigAccess::of(FunctionId::PHYSICAL, register);
        self.card.config_read(self.now, at, &mut self.machine)
    }

    pub(crate) fn configure(&mut self, register: ConfigRegister, value: u32) {
        let at = ConfigAccess::of(FunctionId::PHYSICAL, register);
        self.card
            .config_write(self.now, at, value, &mut self.machine);
    }

    /// Whether any bit of `field` of `register` is set.
    pub(crate) fn is_set(&mut self, register: ConfigRegister, field: Field) -> bool {
        assert_eq!(field.offset, register.offset);
        field.of(self.config(register)) != 0
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        self.card
            .mmio_write(self.now, offset, value, &mut self.machine);
    }

    pub(crate) fn read(&mut self, offset: u32) -> u32 {
        self.card.mmio_read(self.now, offset, &mut self.machine)
    }

    pub(crate) fn write_ring(&mut self, ring: u16, register: RingRegister, value: u32) {
        self.write(RingId(ring).register(register), value);
    }

    pub(crate) fn read_ring(&mut self, ring: u16, register: RingRegister) -> u32 {
        self.read(RingId(ring).register(register))
    }

    pub(crate) fn command_base(ring: u16) -> u64 {
        BASE + u64::from(ring) * 2 * RING_SPACE
    }

    pub(crate) fn completion_base(ring: u16) -> u64 {
        Self::command_base(ring) + RING_SPACE
    }

    /// Turns a pair on; it begins at slot zero.
    pub(crate) fn open(&mut self, ring: u16, entries: u32) {
        let at = (Self::completion_base(ring) - BASE) as usize;
        self.machine.memory[at..at + entries as usize * 32].fill(0);
        self.rings[usize::from(ring)] = DriverRing {
            entries,
            phase: true,
            ..DriverRing::default()
        };
        let base = Self::command_base(ring) as u32;
        self.write_ring(ring, RingRegister::CommandBaseLow, base);
        let base = Self::completion_base(ring) as u32;
        self.write_ring(ring, RingRegister::CompletionBaseLow, base);
        self.write_ring(ring, RingRegister::Entries, entries);
        self.write_ring(ring, RingRegister::RingVector, ring.into());
        let on = RingControl::new().with_enabled(true).into_bits();
        self.write_ring(ring, RingRegister::RingControl, on);
    }

    /// Writes a command into the next slot, with a cookie of the bench's own.
    pub(crate) fn post(&mut self, ring: u16, mut command: Command) -> u64 {
        self.cookie += 1;
        command.cookie = self.cookie;
        let state = &mut self.rings[usize::from(ring)];
        let at = Self::command_base(ring) - BASE + u64::from(state.tail.0) * 64;
        state.tail = state.tail.next(state.entries);
        let at = at as usize;
        self.machine.memory[at..at + 64].copy_from_slice(&command.to_bytes());
        self.cookie
    }

    /// Rings the command doorbell for everything posted.
    pub(crate) fn publish(&mut self, ring: u16) {
        let slot = self.rings[usize::from(ring)].tail;
        let doorbell = Doorbell { slot, arm: false };
        self.write(RingId(ring).command_doorbell(), doorbell.into_bits());
    }

    pub(crate) fn submit(&mut self, ring: u16, command: Command) -> u64 {
        let cookie = self.post(ring, command);
        self.publish(ring);
        cookie
    }

    /// Lets time pass until the card has nothing left to do.
    pub(crate) fn settle(&mut self) {
        while self.card.next_internal() != Time::NEVER {
            self.now = self.now.max(self.card.next_internal());
            self.card.advance(self.now, &mut self.machine);
        }
    }

    pub(crate) fn wait(&mut self, span: Span) {
        self.now += span;
        self.card.advance(self.now, &mut self.machine);
    }

    /// Reads new completions without telling the card.
    pub(crate) fn reap(&mut self, ring: u16) -> Vec<Completion> {
        let state = &mut self.rings[usize::from(ring)];
        let mut found = Vec::new();
        while state.entries != 0 {
            let at = Self::completion_base(ring) - BASE + u64::from(state.head.0) * 32;
            let bytes = &self.machine.memory[at as usize..at as usize + 32];
            let entry = Completion::from_bytes(bytes.try_into().unwrap());
            if entry.phase != state.phase {
                break;
            }
            found.push(entry);
            state.head = state.head.next(state.entries);
            if state.head == Slot(0) {
                state.phase = !state.phase;
            }
        }
        found
    }

    /// Tells the card what was reaped.
    pub(crate) fn acknowledge(&mut self, ring: u16, arm: bool) {
        let slot = self.rings[usize::from(ring)].head;
        let doorbell = Doorbell { slot, arm };
        self.write(RingId(ring).completion_doorbell(), doorbell.into_bits());
    }

    /// Submits, waits, reaps and acknowledges one command.
    pub(crate) fn run(&mut self, ring: u16, command: Command) -> Completion {
        let cookie = self.submit(ring, command);
        self.settle();
        let found = self.reap(ring);
        self.acknowledge(ring, false);
        assert_eq!(found.len(), 1, "one command, one completion");
        assert_eq!(found[0].cookie, cookie);
        found[0]
    }

    pub(crate) fn status(&mut self, ring: u16, command: Command) -> Status {
        Status::from_code(self.run(ring, command).status).unwrap()
    }

    /// Creates a session through the admin ring, which must be open.
    pub(crate) fn create(&mut self, session: u32, block: &SessionBlock) -> Status {
        let mut bytes = [0; SESSION_BLOCK_LEN];
        block.write_to(&mut bytes);
        self.put(DATA, &bytes);
        self.status(0, create(session))
    }

    /// Opens the admin ring and data ring 1, with a null session of number 0.
    pub(crate) fn with_null_session(entries: u32) -> Self {
        let mut bench = Self::new();
        bench.open(0, 8);
        bench.open(1, entries);
        assert_eq!(bench.create(0, &null_block()), Status::Success);
        bench
    }

    pub(crate) fn put(&mut self, addr: u64, bytes: &[u8]) {
        let at = (addr - BASE) as usize;
        self.machine.memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn get(&self, addr: u64, len: usize) -> &[u8] {
        let at = (addr - BASE) as usize;
        &self.machine.memory[at..at + len]
    }

    pub(crate) fn key_bytes_on_the_card(&self) -> usize {
        let mut bytes = 0;
        self.card
            .visit_memory(&mut |_, memory| bytes += memory.iter().filter(|&&b| b != 0).count());
        bytes
    }
}

pub(crate) fn create(session: u32) -> Command {
    Command {
        opcode: Opcode::SessionCreate as u8,
        session: CardSession(session),
        source: DeviceAddr(DATA),
        source_len: SESSION_BLOCK_LEN as u32,
        ..Command::default()
    }
}

pub(crate) fn destroy(session: u32) -> Command {
    Command {
        opcode: Opcode::SessionDestroy as u8,
        session: CardSession(session),
        ..Command::default()
    }
}

pub(crate) fn null_block() -> SessionBlock {
    let mut block = SessionBlock::default();
    block.cipher = CipherCode::Null;
    block
}

/// AES-128-CBC with HMAC-SHA-256, keys of one byte each.
pub(crate) fn eta_block() -> SessionBlock {
    let mut block = SessionBlock::default();
    block.cipher = CipherCode::AesCbc;
    block.digest = DigestCode::HmacSha256;
    block.digest_len = 16;
    block.iv_len = 16;
    block.set_keys(&[0xC1; 16], &[0xD1; 20]).unwrap();
    block
}

/// Encrypts `len` bytes in place at `addr` with session 0.
pub(crate) fn encrypt(addr: u64, len: u32) -> Command {
    Command {
        opcode: Opcode::Process as u8,
        flags: CommandFlags::ENCRYPT,
        source: DeviceAddr(addr),
        destination: DeviceAddr(addr),
        source_len: len,
        destination_len: len,
        payload_len: len,
        ..Command::default()
    }
}

pub(crate) fn nop() -> Command {
    Command::default()
}
