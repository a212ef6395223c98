//! Virtual functions: what each has of the card, and that none reaches what another has.

use device_model::CardEvent;
use device_model::pci::{BarAccess, ConfigAccess, Width};
use regs::pci::{
    ConfigRegister, MSIX_ADDRESS_LOW, MSIX_BAR, MSIX_DATA, MSIX_ENTRY_LEN, MSIX_VECTOR_CONTROL,
    NOBODY, REGISTER_BAR, RETRY_VENDOR, aer, express, header, msix, sriov,
};
use regs::{
    COMMAND_LEN, COMPLETION_LEN, CardSession, Command, Completion, Control, DEVICE_ID, DeviceAddr,
    DeviceStatus, Doorbell, FunctionId, INTERRUPT_LINK_ERROR, INTERRUPT_MAILBOX, Opcode, Register,
    RingControl, RingId, RingRegister, SESSION_BLOCK_LEN, SessionBlock, Slot, Status, Vector,
};
use timebase::Span;

use crate::bench::{BASE, Bench, DATA, MESSAGES, create, encrypt, eta_block, nop, null_block};

/// Memory of the first virtual function; those of the others follow.
const SHARE: u64 = 0x4000;
const SHARES: u64 = BASE + 0x2_8000;
const ENTRIES: u32 = 8;

/// A driver of one virtual function.
pub(crate) struct Guest {
    pub(crate) id: FunctionId,
    tails: [Slot; 3],
    heads: [Slot; 3],
}

/// Turns `count` virtual functions on, and lets them come out of their reset.
pub(crate) fn enable(bench: &mut Bench, count: u32) {
    bench.configure(sriov::NUM_VFS, count);
    let on = sriov::VF_ENABLE.mask() | sriov::VF_MEMORY_SPACE.mask();
    bench.configure(sriov::SRIOV_CONTROL, on);
    bench.settle();
}

impl Guest {
    pub(crate) fn new(bench: &mut Bench, index: u16) -> Self {
        let guest = Self {
            id: FunctionId::of_virtual(index),
            tails: [Slot(0); 3],
            heads: [Slot(0); 3],
        };
        let base = guest.base();
        bench.machine.domains.push((base..base + SHARE, guest.id));
        guest
    }

    /// Brings up rings 0 and 1, and vectors.
    pub(crate) fn started(bench: &mut Bench, index: u16) -> Self {
        let mut guest = Self::new(bench, index);
        guest.start(bench);
        guest
    }

    pub(crate) fn start(&mut self, bench: &mut Bench) {
        self.configure(bench, header::COMMAND, header::BUS_MASTER.mask());
        self.configure(bench, msix::MSIX_CONTROL, msix::ENABLE.mask());
        for vector in 0..3 {
            let words = [
                (MSIX_ADDRESS_LOW, MESSAGES.0 as u32),
                (MSIX_DATA, vector),
                (MSIX_VECTOR_CONTROL, 0),
            ];
            for (at, value) in words {
                self.access(bench, MSIX_BAR, vector * MSIX_ENTRY_LEN + at, Some(value));
            }
        }
        self.open(bench, 0);
        self.open(bench, 1);
        let enabled = Control::new().with_enabled(true).into_bits();
        self.write(bench, Register::Control.offset(), enabled);
    }

    fn base(&self) -> u64 {
        SHARES + u64::from(self.id.0 - 1) * SHARE
    }

    fn ring_base(&self, ring: u16) -> u64 {
        self.base() + u64::from(ring) * 0x800
    }

    pub(crate) fn data(&self) -> u64 {
        self.base() + 0x2000
    }

    fn access(&self, bench: &mut Bench, bar: u8, offset: u32, value: Option<u32>) -> u32 {
        let at = BarAccess {
            function: self.id,
            ..BarAccess::physical(bar, offset)
        };
        match value {
            None => bench.card.bar_read(bench.now, at, &mut bench.machine),
            Some(value) => {
                bench
                    .card
                    .bar_write(bench.now, at, value, &mut bench.machine);
                0
            }
        }
    }

    pub(crate) fn read(&self, bench: &mut Bench, offset: u32) -> u32 {
        self.access(bench, REGISTER_BAR, offset, None)
    }

    pub(crate) fn write(&self, bench: &mut Bench, offset: u32, value: u32) {
        self.access(bench, REGISTER_BAR, offset, Some(value));
    }

    pub(crate) fn config(&self, bench: &mut Bench, register: ConfigRegister) -> u32 {
        let at = ConfigAccess::of(self.id, register);
        bench.card.config_read(bench.now, at, &mut bench.machine)
    }

    pub(crate) fn configure(&self, bench: &mut Bench, register: ConfigRegister, value: u32) {
        let at = ConfigAccess::of(self.id, register);
        bench
            .card
            .config_write(bench.now, at, value, &mut bench.machine);
    }

    fn open(&mut self, bench: &mut Bench, ring: u16) {
        let base = self.ring_base(ring);
        bench.put(base + 0x400, &[0; ENTRIES as usize * COMPLETION_LEN]);
        self.tails[usize::from(ring)] = Slot(0);
        self.heads[usize::from(ring)] = Slot(0);
        for (register, value) in [
            (RingRegister::CommandBaseLow, base as u32),
            (RingRegister::CompletionBaseLow, base as u32 + 0x400),
            (RingRegister::Entries, ENTRIES),
            (RingRegister::RingVector, ring.into()),
            (
                RingRegister::RingControl,
                RingControl::new().with_enabled(true).into_bits(),
            ),
        ] {
            self.write(bench, RingId(ring).register(register), value);
        }
    }

    fn submit(&mut self, bench: &mut Bench, ring: u16, command: Command) {
        let at = self.ring_base(ring);
        let tail = &mut self.tails[usize::from(ring)];
        bench.put(
            at + u64::from(tail.0) * COMMAND_LEN as u64,
            &command.to_bytes(),
        );
        *tail = tail.next(ENTRIES);
        let doorbell = Doorbell {
            slot: *tail,
            arm: false,
        };
        let offset = RingId(ring).command_doorbell();
        self.write(bench, offset, doorbell.into_bits());
    }

    /// Submits, waits and reaps one command of the first lap.
    pub(crate) fn status(&mut self, bench: &mut Bench, ring: u16, command: Command) -> Status {
        self.submit(bench, ring, command);
        bench.settle();
        let head = self.heads[usize::from(ring)];
        let at = self.ring_base(ring) + 0x400 + u64::from(head.0) * COMPLETION_LEN as u64;
        let bytes = bench.get(at, COMPLETION_LEN);
        let entry = Completion::from_bytes(bytes.try_into().unwrap());
        assert!(entry.phase, "a completion of the first lap");
        self.heads[usize::from(ring)] = head.next(ENTRIES);
        Status::from_code(entry.status).unwrap()
    }

    pub(crate) fn create(
        &mut self,
        bench: &mut Bench,
        session: u32,
        block: &SessionBlock,
    ) -> Status {
        let mut bytes = [0; SESSION_BLOCK_LEN];
        block.write_to(&mut bytes);
        let data = self.data();
        bench.put(data, &bytes);
        let command = Command {
            source: DeviceAddr(data),
            ..create(session)
        };
        self.status(bench, 0, command)
    }

    /// Encrypts 64 bytes of its own memory in place.
    pub(crate) fn encrypt(&mut self, bench: &mut Bench, session: u32) -> Status {
        let command = Command {
            session: CardSession(session),
            ..encrypt(self.data(), 64)
        };
        self.status(bench, 1, command)
    }
}

fn key_of(byte: u8) -> SessionBlock {
    let mut block = eta_block();
    block.set_keys(&[byte; 16], &[byte; 20]).unwrap();
    block
}

#[test]
fn virtual_functions_come_with_their_enable_and_after_a_reset() {
    let mut bench = Bench::new();
    let first = Guest::new(&mut bench, 0);
    assert_eq!(
        first.config(&mut bench, header::COMMAND),
        0xFFFF,
        "none yet"
    );
    bench.configure(sriov::NUM_VFS, 3);
    bench.configure(
        sriov::SRIOV_CONTROL,
        sriov::VF_ENABLE.mask() | sriov::VF_MEMORY_SPACE.mask(),
    );
    assert_eq!(
        first.config(&mut bench, header::VENDOR_ID),
        RETRY_VENDOR.into()
    );
    assert_eq!(first.read(&mut bench, 0), NOBODY);
    bench.settle();
    assert_eq!(first.config(&mut bench, header::VENDOR_ID), 0xFFFF);
    assert_eq!(first.config(&mut bench, header::BASE_CLASS), 0x10);
    assert_eq!(first.read(&mut bench, 0), DEVICE_ID);
    let number = Register::FunctionNumber.offset();
    for index in 0..3 {
        let guest = Guest::new(&mut bench, index);
        assert_eq!(guest.read(&mut bench, number), u32::from(index) + 1);
        assert_eq!(guest.read(&mut bench, Register::RingPairs.offset()), 2);
        assert_eq!(
            guest.read(&mut bench, Register::SessionCapacity.offset()),
            1_024
        );
        assert_eq!(bench.card.routing_offset(guest.id), index + 1);
    }
    assert!(!bench.card.has_function(FunctionId::of_virtual(3)));
    bench.configure(sriov::SRIOV_CONTROL, 0);
    assert_eq!(first.config(&mut bench, header::BASE_CLASS), 0xFF, "gone");
    assert_eq!(first.read(&mut bench, 0), NOBODY);
    assert_eq!(bench.read(0), DEVICE_ID, "the physical one stays");
}

#[test]
fn how_many_and_how_large_is_settled_before_they_come() {
    let mut bench = Bench::new();
    assert_eq!(bench.config(sriov::TOTAL_VFS), 4);
    bench.configure(sriov::NUM_VFS, 5);
    assert_eq!(bench.config(sriov::NUM_VFS), 0, "more than there are");
    bench.configure(sriov::NUM_VFS, 2);
    for (value, kept) in [(0x10, 0x10), (3, 0x10), (2, 2), (0, 2), (1 << 8, 1 << 8)] {
        bench.configure(sriov::SYSTEM_PAGE_SIZE, value);
        assert_eq!(bench.config(sriov::SYSTEM_PAGE_SIZE), kept, "{value:#x}");
    }
    bench.configure(sriov::VF_BAR0_LOW, u32::MAX);
    let low = bench.config(sriov::VF_BAR0_LOW);
    assert_eq!(low, 0xFFF0_0004, "a page of 1 MiB");
    bench.configure(sriov::SRIOV_CONTROL, sriov::VF_ENABLE.mask());
    bench.configure(sriov::NUM_VFS, 4);
    bench.configure(sriov::SYSTEM_PAGE_SIZE, 1);
    assert_eq!(bench.config(sriov::NUM_VFS), 2);
    assert_eq!(bench.config(sriov::SYSTEM_PAGE_SIZE), 1 << 8);
}

#[test]
fn bars_of_virtual_functions_follow_each_other() {
    let mut bench = Bench::new();
    bench.configure(sriov::VF_BAR0_LOW, 0x8000_0000);
    bench.configure(sriov::VF_BAR0_HIGH, 3);
    bench.configure(sriov::VF_BAR2_LOW, 0x9000_0000);
    enable(&mut bench, 4);
    let claimed = |bench: &Bench, addr| {
        let at = bench.card.claim(addr)?;
        Some((at.function.0, at.bar, at.offset))
    };
    assert_eq!(claimed(&bench, 0x3_8000_0010), Some((1, 0, 0x10)));
    assert_eq!(claimed(&bench, 0x3_8006_0000), Some((4, 0, 0)));
    assert_eq!(claimed(&bench, 0x3_8008_0000), None);
    assert_eq!(claimed(&bench, 0x9000_2004), Some((2, 2, 4)));
    bench.configure(sriov::SRIOV_CONTROL, sriov::VF_ENABLE.mask());
    assert_eq!(claimed(&bench, 0x9000_2004), None, "no memory space");
}

#[test]
fn many_functions_need_another_bus_or_alternative_routing() {
    let mut profile = crate::bench::profile();
    profile.virtual_functions = 32;
    let mut bench = Bench::with(profile);
    assert_eq!(bench.config(sriov::FIRST_VF_OFFSET), 256);
    bench.configure(sriov::SRIOV_CONTROL, sriov::ARI_HIERARCHY.mask());
    assert_eq!(bench.config(sriov::FIRST_VF_OFFSET), 1);
    bench.configure(sriov::NUM_VFS, 32);
    let on = sriov::ARI_HIERARCHY.mask() | sriov::VF_ENABLE.mask() | sriov::VF_MEMORY_SPACE.mask();
    bench.configure(sriov::SRIOV_CONTROL, on);
    bench.settle();
    let last = Guest::new(&mut bench, 31);
    assert_eq!(last.read(&mut bench, 0), DEVICE_ID);
    assert_eq!(bench.card.routing_offset(last.id), 32);
}

#[test]
fn a_virtual_function_works_with_rings_memory_and_vectors_of_its_own() {
    let mut bench = Bench::new();
    enable(&mut bench, 2);
    let mut guest = Guest::started(&mut bench, 1);
    assert_eq!(guest.create(&mut bench, 7, &null_block()), Status::Success);
    assert_eq!(guest.encrypt(&mut bench, 7), Status::Success);
    let vectors: Vec<_> = bench.machine.virtual_interrupts.clone();
    assert_eq!(vectors, [(guest.id, Vector(0)), (guest.id, Vector(1))]);
    assert_eq!(bench.machine.interrupts, []);
    // What belongs to the physical function is out of reach.
    let mut stranger = Guest::started(&mut bench, 0);
    stranger.create(&mut bench, 7, &null_block());
    let command = Command {
        session: CardSession(7),
        ..encrypt(DATA, 64)
    };
    assert_eq!(stranger.status(&mut bench, 1, command), Status::ReadFault);
    let seen = stranger.config(&mut bench, header::STATUS);
    assert_ne!(header::RECEIVED_MASTER_ABORT.of(seen), 0);
    let seen = guest.config(&mut bench, header::STATUS);
    assert_eq!(header::RECEIVED_MASTER_ABORT.of(seen), 0);
}

#[test]
fn sessions_of_one_function_are_no_sessions_of_another() {
    let mut bench = Bench::with_null_session(8);
    enable(&mut bench, 2);
    let mut guests = [0, 1].map(|index| Guest::started(&mut bench, index));
    for (guest, byte) in guests.iter_mut().zip([0x11, 0x22]) {
        let created = guest.create(&mut bench, 0, &key_of(byte));
        assert_eq!(created, Status::Success);
    }
    assert_eq!(bench.key_bytes_on_the_card(), 2 * 36);
    let [first, second] = &mut guests;
    assert_eq!(
        first.create(&mut bench, 1_024, &null_block()),
        Status::BadSession,
        "beyond its share"
    );
    assert_eq!(first.create(&mut bench, 5, &null_block()), Status::Success);
    assert_eq!(second.encrypt(&mut bench, 5), Status::BadSession);
    let behind = bench.card.profile().session_capacity;
    for session in [behind, behind + 5, u32::MAX] {
        let command = Command {
            session: CardSession(session),
            ..encrypt(DATA, 64)
        };
        assert_eq!(bench.status(1, command), Status::BadSession, "{session}");
    }
}

#[test]
fn a_virtual_function_has_no_rings_but_its_own() {
    let mut bench = Bench::with_null_session(8);
    enable(&mut bench, 2);
    let guest = Guest::started(&mut bench, 0);
    let beyond = RingId(3);
    guest.write(&mut bench, beyond.register(RingRegister::Entries), 8);
    assert_eq!(
        guest.read(&mut bench, beyond.register(RingRegister::Entries)),
        0
    );
    guest.write(&mut bench, beyond.command_doorbell(), 1);
    let ring = RingId(1);
    guest.write(&mut bench, ring.register(RingRegister::CoalesceCount), 9);
    for other in [ring, beyond] {
        let offset = other.register(RingRegister::CoalesceCount);
        assert_eq!(bench.read(offset), 1, "the physical function's");
    }
    let neighbour = Guest::new(&mut bench, 1);
    let offset = ring.register(RingRegister::CoalesceCount);
    assert_eq!(neighbour.read(&mut bench, offset), 1);
}

#[test]
fn what_belongs_to_the_card_is_refused_to_a_virtual_function() {
    let mut bench = Bench::new();
    enable(&mut bench, 1);
    let mut guest = Guest::started(&mut bench, 0);
    for opcode in [
        Opcode::KekLoad,
        Opcode::KekOffer,
        Opcode::KekDestroy,
        Opcode::SessionExport,
        Opcode::SessionImport,
    ] {
        let command = Command {
            opcode: opcode as u8,
            ..nop()
        };
        let status = guest.status(&mut bench, 0, command);
        assert_eq!(status, Status::BadOpcode, "{opcode:?}");
    }
}

#[test]
fn errors_of_one_function_are_told_to_it_alone() {
    let mut bench = Bench::with_null_session(8);
    enable(&mut bench, 2);
    let guests = [0, 1].map(|index| Guest::started(&mut bench, index));
    let [first, second] = &guests;
    let bad = RingId(2).register(RingRegister::RingControl);
    first.write(&mut bench, bad, 1);
    let error_ring = Register::ErrorRing.offset();
    assert_eq!(first.read(&mut bench, error_ring), 2);
    let causes = Register::InterruptStatus.offset();
    assert_eq!(first.read(&mut bench, causes), INTERRUPT_LINK_ERROR);
    assert_eq!(second.read(&mut bench, error_ring), u32::MAX);
    assert_eq!(second.read(&mut bench, causes), 0);
    assert_eq!(bench.read(error_ring), u32::MAX);
    assert_eq!(bench.read(causes) & INTERRUPT_LINK_ERROR, 0);
    assert_eq!(
        bench.machine.virtual_interrupts,
        [(first.id, Vector(0))],
        "on its own admin ring's vector"
    );
    // The physical function may look.
    bench.write(Register::MailboxSelect.offset(), 1);
    assert_eq!(bench.read(Register::SelectedErrorRing.offset()), 2);
    let status = bench.read(Register::SelectedErrorStatus.offset());
    assert_eq!(status, Status::BadParameters as u32);
    bench.write(Register::MailboxSelect.offset(), 2);
    assert_eq!(bench.read(Register::SelectedErrorRing.offset()), u32::MAX);
}

#[test]
fn an_unserved_access_is_logged_by_the_function_that_it_was_for() {
    let mut bench = Bench::new();
    enable(&mut bench, 2);
    bench.configure(aer::CORRECTABLE_MASK, 0);
    let guest = Guest::new(&mut bench, 1);
    let narrow = BarAccess {
        function: guest.id,
        width: Width::Byte,
        ..BarAccess::physical(REGISTER_BAR, 0)
    };
    bench.card.bar_read(bench.now, narrow, &mut bench.machine);
    let logged = guest.config(&mut bench, aer::UNCORRECTABLE_STATUS);
    assert_eq!(logged, aer::COMPLETER_ABORT.mask());
    assert_eq!(bench.config(aer::UNCORRECTABLE_STATUS), 0);
}

#[test]
fn a_virtual_function_without_its_enables_neither_answers_nor_reaches_out() {
    let mut bench = Bench::new();
    enable(&mut bench, 1);
    let mut guest = Guest::started(&mut bench, 0);
    guest.configure(&mut bench, header::COMMAND, header::MEMORY_SPACE.mask());
    assert_eq!(guest.config(&mut bench, header::COMMAND), 0, "not its own");
    let reads = bench.machine.reads;
    guest.submit(&mut bench, 0, nop());
    bench.settle();
    assert_eq!(bench.machine.reads, reads);
    assert_eq!(bench.machine.virtual_interrupts, []);
    bench.configure(sriov::SRIOV_CONTROL, sriov::VF_ENABLE.mask());
    assert_eq!(guest.read(&mut bench, 0), NOBODY);
}

#[test]
fn a_reset_of_one_virtual_function_leaves_the_others_alone() {
    for is_soft in [false, true] {
        let mut bench = Bench::with_null_session(8);
        enable(&mut bench, 2);
        let mut guests = [0, 1].map(|index| Guest::started(&mut bench, index));
        for guest in &mut guests {
            assert_eq!(guest.create(&mut bench, 0, &eta_block()), Status::Success);
            assert_eq!(guest.create(&mut bench, 1, &null_block()), Status::Success);
        }
        let [first, second] = &mut guests;
        // Work of everybody is on the card.
        let command = |guest: &Guest| Command {
            session: CardSession(1),
            ..encrypt(guest.data(), 64)
        };
        let commands = [command(first), command(second)];
        first.submit(&mut bench, 1, commands[0]);
        second.submit(&mut bench, 1, commands[1]);
        let cookie = bench.submit(1, encrypt(DATA, 64));
        bench.wait(Span::from_ns(700));
        let events = bench.machine.log.len();
        if is_soft {
            let reset = Control::new().with_reset(true).into_bits();
            first.write(&mut bench, Register::Control.offset(), reset);
        } else {
            let flr = express::INITIATE_FLR.mask();
            first.configure(&mut bench, express::DEVICE_CONTROL, flr);
        }
        assert_eq!(bench.key_bytes_on_the_card(), 36, "those of the other");
        bench.settle();
        let completed: Vec<u16> = bench.machine.log[events..]
            .iter()
            .filter_map(|(_, event)| match event {
                CardEvent::Completed { ring, .. } => Some(ring.0),
                _ => None,
            })
            .collect();
        assert_eq!(completed.len(), 2, "its own command is forgotten");
        assert_eq!(bench.reap(1)[0].cookie, cookie);
        second.heads[1] = second.heads[1].next(ENTRIES);
        assert_eq!(second.encrypt(&mut bench, 1), Status::Success);
        let status = first.read(&mut bench, Register::DeviceStatus.offset());
        if is_soft {
            assert!(DeviceStatus::from_bits(status).ready());
        }
        first.start(&mut bench);
        assert_eq!(first.encrypt(&mut bench, 1), Status::BadSession);
        assert_eq!(first.create(&mut bench, 0, &eta_block()), Status::Success);
    }
}

#[test]
fn a_reset_of_the_physical_function_resets_all() {
    let mut bench = Bench::with_null_session(8);
    enable(&mut bench, 2);
    let mut guest = Guest::started(&mut bench, 1);
    assert_eq!(guest.create(&mut bench, 0, &eta_block()), Status::Success);
    let reset = Control::new().with_reset(true).into_bits();
    bench.write(Register::Control.offset(), reset);
    assert_eq!(bench.key_bytes_on_the_card(), 0);
    let status = guest.read(&mut bench, Register::DeviceStatus.offset());
    assert!(DeviceStatus::from_bits(status).resetting());
    bench.settle();
    guest.start(&mut bench);
    assert_eq!(guest.encrypt(&mut bench, 0), Status::BadSession);
    bench.configure(express::DEVICE_CONTROL, express::INITIATE_FLR.mask());
    bench.settle();
    assert!(!bench.card.has_function(guest.id), "they went with it");
    assert_eq!(bench.card.rings().len(), 5);
    assert_eq!(bench.config(sriov::NUM_VFS), 0);
}

#[test]
fn functions_talk_through_the_mailbox() {
    let mut bench = Bench::new();
    bench.open(0, 8);
    enable(&mut bench, 2);
    let guest = Guest::started(&mut bench, 1);
    let (send, received) = (
        Register::MailboxSend.offset(),
        Register::MailboxReceived.offset(),
    );
    let waiting = Register::MailboxWaiting.offset();
    guest.write(&mut bench, send, 0xCAFE);
    assert_eq!(bench.read(waiting), 0b10, "the second virtual function");
    let causes = Register::InterruptStatus.offset();
    assert_eq!(bench.read(causes), INTERRUPT_MAILBOX);
    assert_eq!(bench.machine.interrupts.len(), 1);
    assert_eq!(bench.read(received), 0, "nobody is selected");
    bench.write(Register::MailboxSelect.offset(), 3);
    assert_eq!(bench.read(Register::MailboxSelect.offset()), 0, "no such");
    bench.write(Register::MailboxSelect.offset(), 2);
    assert_eq!(bench.read(received), 0xCAFE);
    bench.write(waiting, 0b10);
    assert_eq!(bench.read(waiting), 0);
    bench.write(send, 0xBEEF);
    assert_eq!(guest.read(&mut bench, received), 0xBEEF);
    assert_eq!(guest.read(&mut bench, waiting), 1);
    assert_eq!(bench.machine.virtual_interrupts, [(guest.id, Vector(0))]);
    let other = Guest::new(&mut bench, 0);
    assert_eq!(other.read(&mut bench, received), 0);
    guest.write(&mut bench, Register::MailboxSelect.offset(), 1);
    let select = guest.read(&mut bench, Register::MailboxSelect.offset());
    assert_eq!(select, 0, "for the physical function alone");
}

#[test]
fn the_capabilities_of_a_virtual_function_are_those_it_has() {
    let mut bench = Bench::new();
    enable(&mut bench, 1);
    let id = FunctionId::of_virtual(0);
    let mut read = |offset| {
        let at = ConfigAccess {
            function: id,
            offset,
            width: Width::Dword,
        };
        bench.card.config_read(bench.now, at, &mut bench.machine)
    };
    let mut found = Vec::new();
    let mut next = read(0x34) as u16 & 0xFC;
    while next != 0 {
        found.push(read(next) & 0xFF);
        next = (read(next) >> 8) as u16 & 0xFC;
    }
    assert_eq!(found, [0x11, 0x10, 0x09]);
    let mut found = Vec::new();
    let mut next = 0x100;
    while next != 0 {
        found.push(read(next) & 0xFFFF);
        next = (read(next) >> 20) as u16;
    }
    assert_eq!(found, [0x0001, 0x000E]);
}
