//! Any bus traffic at all around one card: registers, doorbells, memory, time and latches.

use device_model::pci::{ConfigAccess, Message};
use device_model::{Card, CardEvent, DmaFault, Host, Latch, Profile};
use regs::pci::{ConfigRegister, header, sriov};
use regs::{
    BAR0_LEN, COMMAND_LEN, CardSession, CipherCode, Command, CommandFlags, Control, DeviceAddr,
    DigestCode, Doorbell, Errata, FunctionId, Opcode, Register, RingControl, RingId, RingRegister,
    SESSION_BLOCK_LEN, SessionBlock, Slot,
};
use timebase::{Span, Time};

use super::Story;
use super::config::config_at;

/// Where memory begins.
const BASE: u64 = 0x10_0000;
const MEMORY: usize = 0x4_0000;
/// Rings lie below, data above.
const DATA: u64 = BASE + 0x2_0000;
const RING_SPACE: u64 = 0x4000;
const ENTRIES: u32 = 16;
const RINGS: u16 = 3;
/// Key bytes that nothing else is made of.
const KEY: [u8; 16] = *b"~A hostile key!~";
/// More steps than any work on the card takes.
const PATIENCE: usize = 1 << 20;

/// Memory that refuses what lies outside.
#[derive(Clone, Debug)]
struct Machine {
    memory: Vec<u8>,
    is_direct: bool,
    fetched: u64,
    completed: u64,
}

impl Machine {
    fn find(addr: DeviceAddr, len: usize) -> Result<usize, DmaFault> {
        let end = addr.0.checked_add(len as u64);
        let is_inside = addr.0 >= BASE && end.is_some_and(|end| end <= BASE + MEMORY as u64);
        if is_inside {
            Ok((addr.0 - BASE) as usize)
        } else {
            Err(DmaFault::refused(addr))
        }
    }
}

impl Host for Machine {
    fn read(
        &mut self,
        _function: FunctionId,
        addr: DeviceAddr,
        bytes: &mut [u8],
    ) -> Result<(), DmaFault> {
        let at = Self::find(addr, bytes.len())?;
        bytes.copy_from_slice(&self.memory[at..at + bytes.len()]);
        Ok(())
    }

    fn write(
        &mut self,
        _function: FunctionId,
        addr: DeviceAddr,
        bytes: &[u8],
    ) -> Result<(), DmaFault> {
        let at = Self::find(addr, bytes.len())?;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn in_place(
        &mut self,
        _function: FunctionId,
        addr: DeviceAddr,
        len: usize,
    ) -> Result<Option<&mut [u8]>, DmaFault> {
        if !self.is_direct {
            return Ok(None);
        }
        let at = Self::find(addr, len)?;
        Ok(Some(&mut self.memory[at..at + len]))
    }

    fn interrupt(&mut self, _at: Time, _message: Message) {}

    fn observe(&mut self, _at: Time, event: CardEvent) {
        match event {
            CardEvent::Fetched { count, .. } => self.fetched += u64::from(count),
            CardEvent::Completed { .. } => self.completed += 1,
            _ => {}
        }
    }
}

/// A card, its machine, and a driver's idea of where its rings are.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) card: Card,
    machine: Machine,
    now: Time,
    tails: [Slot; RINGS as usize],
}

/// Does to a card what the bytes say, then lets it come to rest and resets it; gives the number of
/// commands completed.
///
/// # Panics
/// If the card does not come to rest, completes more than it fetched, or keeps a key over a reset.
pub fn card(bytes: &[u8]) -> u64 {
    let mut story = Story::new(bytes);
    let kind = story.byte();
    let errata = match kind & 2 {
        0 => Errata::empty(),
        _ => Errata::from_bits_truncate(story.word()),
    };
    let mut bench = Bench::new(errata);
    bench.machine.is_direct = kind & 1 != 0;
    bench.live(&mut story)
}

impl Bench {
    pub(super) fn new(errata: Errata) -> Self {
        let profile = Profile {
            ring_pairs: RINGS - 1,
            session_capacity: 8,
            context_cache_entries: 2,
            errata,
            ..Profile::reference()
        };
        let mut bench = Self {
            card: Card::new(profile).expect("a small card"),
            machine: Machine {
                memory: vec![0; MEMORY],
                is_direct: false,
                fetched: 0,
                completed: 0,
            },
            now: Time::ZERO,
            tails: [Slot(0); RINGS as usize],
        };
        bench.bring_up();
        bench
    }

    /// Gives the card sessions, functions and work of many kinds, and lets no time pass after it.
    pub(super) fn work(&mut self) {
        self.write_config(sriov::NUM_VFS, 2);
        let on = sriov::VF_ENABLE.mask() | sriov::VF_MEMORY_SPACE.mask();
        self.write_config(sriov::SRIOV_CONTROL, on);
        self.wait(Span::from_ms(200));
        let (gcm, cbc) = (CipherCode::AesGcm as u8, CipherCode::AesCbc as u8);
        let hmac = DigestCode::HmacSha256 as u8;
        for session in [[0, gcm, 0, 16, 12, 16, 0], [1, cbc, hmac, 32, 16, 16, 32]] {
            self.create_session(&mut Story::new(&session));
        }
        self.write(RingId(2).register(RingRegister::CoalesceCount), 3);
        self.write(RingId(2).register(RingRegister::CoalesceTimer), 3_000);
        self.card.latch(Latch::DuplicateCompletion { nth: 2 });
        self.card.latch(Latch::CorruptOutput { nth: 4 });
        for index in 0..12_u8 {
            let is_gcm = index % 3 == 0;
            let digest_len = if is_gcm { 16 } else { 32 };
            let payload_len = 64 << (index % 4);
            let command = Command {
                opcode: Opcode::Process as u8,
                flags: match index {
                    5 => CommandFlags::ENCRYPT | CommandFlags::FENCE,
                    _ => CommandFlags::ENCRYPT,
                },
                session: CardSession(u32::from(!is_gcm)),
                cookie: u64::from(index),
                source: DeviceAddr(DATA + u64::from(index) * 0x800),
                destination: DeviceAddr(DATA + u64::from(index) * 0x800),
                source_len: payload_len,
                destination_len: payload_len + digest_len,
                payload_len,
                ..Command::default()
            };
            self.post(command.to_bytes(), &mut Story::new(&[index % 2 + 1]));
        }
    }

    /// Goes on to the next thing that happens, if anything does.
    pub(super) fn go_on(&mut self) {
        let next = self.card.next_internal();
        if next != Time::NEVER {
            self.wait(next.since(self.now));
        }
    }

    /// Does what the rest of the story says, then lets the card come to rest and resets it; gives
    /// the number of commands completed.
    pub(super) fn live(mut self, story: &mut Story<'_>) -> u64 {
        while !story.is_over() {
            self.step(story);
        }
        self.rest();
        self.reset();
        self.machine.completed
    }

    /// The same machine with another card in it, which may complete what nobody saw it fetch.
    pub(super) fn with_card(&self, card: Card) -> Self {
        let machine = Machine {
            fetched: u64::MAX / 2,
            completed: 0,
            ..self.machine.clone()
        };
        let mut bench = Self {
            card,
            machine,
            ..*self
        };
        bench.wait(Span::ZERO);
        bench
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.card
            .mmio_write(self.now, offset, value, &mut self.machine);
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.card.mmio_read(self.now, offset, &mut self.machine)
    }

    fn write_config(&mut self, register: ConfigRegister, value: u32) {
        let at = ConfigAccess::of(FunctionId::PHYSICAL, register);
        self.card
            .config_write(self.now, at, value, &mut self.machine);
    }

    fn enable(&mut self) {
        let command = header::MEMORY_SPACE.mask() | header::BUS_MASTER.mask();
        self.write_config(header::COMMAND, command);
    }

    /// Enables the function and starts every ring, as a driver would.
    fn bring_up(&mut self) {
        self.enable();
        for ring in 0..RINGS {
            let ring = RingId(ring);
            let base = Self::ring_base(ring);
            let registers = [
                (RingRegister::CommandBaseLow, base as u32),
                (RingRegister::CommandBaseHigh, 0),
                (
                    RingRegister::CompletionBaseLow,
                    (base + RING_SPACE / 2) as u32,
                ),
                (RingRegister::CompletionBaseHigh, 0),
                (RingRegister::Entries, ENTRIES),
                (RingRegister::RingVector, u32::from(ring.0)),
                (
                    RingRegister::RingControl,
                    RingControl::new().with_enabled(true).into_bits(),
                ),
            ];
            for (register, value) in registers {
                self.write(ring.register(register), value);
            }
            self.tails[usize::from(ring.0)] = Slot(0);
        }
        let enabled = Control::new().with_enabled(true).into_bits();
        self.write(Register::Control.offset(), enabled);
    }

    const fn ring_base(ring: RingId) -> u64 {
        BASE + ring.0 as u64 * RING_SPACE
    }

    fn step(&mut self, story: &mut Story<'_>) {
        match story.byte() % 14 {
            0 => self.write(story.word() % (BAR0_LEN + 8), story.word()),
            1 => {
                self.read(story.word() % (BAR0_LEN + 8));
            }
            2 => self.set_up(story),
            3 => self.ring_doorbell(story),
            4 => self.poke(story),
            5 => self.post(story.take(), story),
            6 => self.post_plausible(story),
            7 => self.create_session(story),
            8 | 9 => self.wait(Span::from_ns(u64::from(story.half()) * 16)),
            10 => {
                let at = config_at(story);
                self.card
                    .config_write(self.now, at, story.word(), &mut self.machine);
            }
            11 => self.latch(story),
            12 => self.bring_up(),
            _ => self.reap(story),
        }
    }

    fn any_ring(story: &mut Story<'_>) -> RingId {
        RingId(u16::from(story.byte()) % RINGS)
    }

    fn set_up(&mut self, story: &mut Story<'_>) {
        let ring = Self::any_ring(story);
        let register = RingRegister::ALL[usize::from(story.byte()) % RingRegister::ALL.len()];
        let value = story.word();
        self.write(ring.register(register), value);
    }

    fn ring_doorbell(&mut self, story: &mut Story<'_>) {
        let ring = Self::any_ring(story);
        let bits = story.half();
        let doorbell = Doorbell {
            slot: Slot(u32::from(bits >> 2)),
            arm: bits & 1 != 0,
        };
        let offset = if bits & 2 != 0 {
            ring.command_doorbell()
        } else {
            ring.completion_doorbell()
        };
        self.write(offset, doorbell.into_bits());
    }

    fn poke(&mut self, story: &mut Story<'_>) {
        let at = story.word() as usize % MEMORY;
        let len = usize::from(story.byte());
        let bytes = story.run(len.min(MEMORY - at));
        self.machine.memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Puts a descriptor into the next slot and rings.
    fn post(&mut self, descriptor: [u8; COMMAND_LEN], story: &mut Story<'_>) {
        let ring = Self::any_ring(story);
        let tail = &mut self.tails[usize::from(ring.0)];
        let at = (Self::ring_base(ring) - BASE) as usize + tail.0 as usize * COMMAND_LEN;
        self.machine.memory[at..at + COMMAND_LEN].copy_from_slice(&descriptor);
        *tail = tail.next(ENTRIES);
        let doorbell = Doorbell {
            slot: *tail,
            arm: false,
        };
        self.write(ring.command_doorbell(), doorbell.into_bits());
    }

    /// A descriptor that is nearly right.
    fn post_plausible(&mut self, story: &mut Story<'_>) {
        let payload_len = u32::from(story.half());
        let extra = u32::from(story.byte());
        let command = Command {
            opcode: story.byte() % 4,
            flags: CommandFlags::from_bits_retain(story.byte()),
            aad_len: u16::from(story.byte()),
            session: CardSession(u32::from(story.byte() % 10)),
            cookie: u64::from(story.byte()),
            source: DeviceAddr(DATA + u64::from(story.half())),
            destination: DeviceAddr(DATA + u64::from(story.half())),
            source_len: payload_len + extra,
            destination_len: payload_len + u32::from(story.byte()),
            payload_len,
            esn: [0; 4],
            iv: story.take(),
        };
        self.post(command.to_bytes(), story);
    }

    fn create_session(&mut self, story: &mut Story<'_>) {
        let session = CardSession(u32::from(story.byte() % 10));
        let cipher = CipherCode::from_code(story.byte()).unwrap_or(CipherCode::AesGcm);
        let digest = DigestCode::from_code(story.byte()).unwrap_or_default();
        let mut block = SessionBlock::new(cipher, digest);
        block.digest_len = story.byte();
        block.iv_len = story.byte();
        let lens = story.take::<2>().map(usize::from);
        let keys = KEY.repeat(8);
        let _ = block.set_keys(&keys[..lens[0] % 65], &keys[..lens[1] % 129]);
        let mut bytes = [0; SESSION_BLOCK_LEN];
        block.write_to(&mut bytes);
        let at = (DATA - BASE) as usize;
        self.machine.memory[at..at + SESSION_BLOCK_LEN].copy_from_slice(&bytes);
        let command = Command {
            opcode: Opcode::SessionCreate as u8,
            session,
            source: DeviceAddr(DATA),
            source_len: SESSION_BLOCK_LEN as u32,
            ..Command::default()
        };
        self.post(command.to_bytes(), &mut Story::new(&[0]));
        self.wait(Span::from_ns(100_000));
        self.machine.memory[at..at + SESSION_BLOCK_LEN].fill(0);
    }

    fn reap(&mut self, story: &mut Story<'_>) {
        let ring = Self::any_ring(story);
        let slot = Slot(self.read(ring.register(RingRegister::CompletionTail)));
        let arm = story.byte() & 1 != 0;
        self.write(
            ring.completion_doorbell(),
            Doorbell { slot, arm }.into_bits(),
        );
    }

    fn latch(&mut self, story: &mut Story<'_>) {
        let nth = u64::from(story.byte() % 4);
        let latch = match story.byte() % 5 {
            0 => Latch::HangEngines,
            1 => Latch::HangScheduler,
            2 => Latch::DropCompletion { nth },
            3 => Latch::CorruptOutput { nth },
            _ => Latch::WriteOutsideWindow { nth },
        };
        self.card.latch(latch);
    }

    fn wait(&mut self, span: Span) {
        self.now += span;
        self.card.advance(self.now, &mut self.machine);
        assert!(self.card.next_internal() > self.now, "left undone");
        let Machine {
            fetched, completed, ..
        } = self.machine;
        assert!(completed <= fetched, "{completed} of {fetched}");
    }

    /// Advances until nothing more will happen.
    fn rest(&mut self) {
        for _ in 0..PATIENCE {
            let next = self.card.next_internal();
            if next == Time::NEVER {
                return;
            }
            assert!(next >= self.now, "an event in the past");
            self.now = next;
            self.card.advance(self.now, &mut self.machine);
        }
        panic!("the card never rests");
    }

    /// After a reset no key is left on the card.
    fn reset(&mut self) {
        self.enable();
        let reset = Control::new().with_reset(true).into_bits();
        self.write(Register::Control.offset(), reset);
        self.rest();
        self.card.visit_memory(&mut |name, bytes| {
            let found = bytes.windows(KEY.len()).any(|window| window == KEY);
            assert!(!found, "a key is left in {name}");
        });
    }
}
