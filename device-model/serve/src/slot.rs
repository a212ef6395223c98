//! A machine slot with a card in it, in real time.
//!
//! Owns the card, its clock, the client's memory and the ends of its interrupts. Does what a bus
//! driver does for a driver in userspace: the MSI-X table of the card belongs to the slot, as VFIO
//! has it, and leads each vector to the descriptor that the client named for it.

use device_model::pci::{BarAccess, ConfigAccess, ErrorMessage, Message, Width};
use device_model::{Card, CardEvent, DmaFault, Host, Latch, Profile};
use regs::pci::{
    CONFIG_LEN, ConfigRegister, MSIX_BAR, MSIX_BAR_LEN, MSIX_ENTRY_LEN, MSIX_TABLE, REGISTER_BAR,
    express, header, msix, power,
};
use regs::{BAR0_LEN, DeviceAddr, FunctionId};
use rustix::io::Errno;
use timebase::{Span, Time};

use crate::clock::{Clock, Pacing};
use crate::doorbell::DoorbellPage;
use crate::interrupt::{Action, Interrupts, Kind};
use crate::memory::{ClientMemory, Far, Nobody};
use crate::recording::{Input, Recorder};

/// Where the slot takes interrupt messages; their data is the vector.
const MESSAGES: DeviceAddr = DeviceAddr(0xFEE0_0000);
/// What an empty slot answers, in every byte.
const NOBODY: u8 = 0xFF;
/// What a bus driver keeps over a reset.
const KEPT: [ConfigRegister; 6] = [
    header::BAR0_LOW,
    header::BAR0_HIGH,
    header::BAR2_LOW,
    header::BAR2_HIGH,
    express::DEVICE_CONTROL,
    header::COMMAND,
];
/// Most steps of free time at once, so that a client that never lets the card rest is still heard.
const MAX_STEPS: u32 = 256;

/// A part of the card that a client reads and writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Region {
    /// Registers and doorbells.
    Registers,
    /// The MSI-X table.
    Vectors,
    /// Configuration space.
    Config,
}

impl Region {
    /// Its length, in bytes.
    #[must_use]
    pub const fn len(self) -> u64 {
        match self {
            Self::Registers => BAR0_LEN as u64,
            Self::Vectors => MSIX_BAR_LEN as u64,
            Self::Config => CONFIG_LEN as u64,
        }
    }

    /// No region is.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }

    /// Checks that `len` bytes from `offset` on lie in it.
    fn check(self, offset: u64, len: usize) -> Result<u32, Errno> {
        let end = offset.checked_add(len as u64).ok_or(Errno::INVAL)?;
        if end > self.len() {
            return Err(Errno::INVAL);
        }
        u32::try_from(offset).map_err(|_| Errno::INVAL)
    }
}

/// A slot, with a card or without.
#[derive(Debug)]
pub struct Slot {
    card: Option<Card>,
    /// That of the first card, from which others are made.
    profile: Profile,
    bus: Bus,
    doorbells: Option<DoorbellPage>,
    recorder: Option<Recorder>,
    /// Whether the card has nothing but its interrupt line here.
    hides_msix: bool,
}

/// What the slot has besides the card.
#[derive(Debug)]
struct Bus {
    clock: Clock,
    memory: ClientMemory,
    interrupts: Interrupts,
}

impl Slot {
    /// A slot with `card` in it. With `doorbells` clients may write doorbells to shared memory.
    #[must_use]
    pub fn new(card: Card, pacing: Pacing, doorbells: Option<DoorbellPage>) -> Self {
        let vectors = card.profile().ring_pairs + 1;
        Self {
            profile: card.profile().clone(),
            card: Some(card),
            bus: Bus {
                clock: Clock::new(pacing),
                memory: ClientMemory::default(),
                interrupts: Interrupts::new(vectors),
            },
            doorbells,
            recorder: None,
            hides_msix: false,
        }
    }

    /// Hides MSI-X from clients, as a machine without messages does: the capability is not in the
    /// list, there are no vectors, and the card has its interrupt line.
    pub fn hide_msix(&mut self) {
        self.hides_msix = true;
        self.bus.interrupts = Interrupts::new(0);
    }

    /// Writes all that crosses the card's edge to `recorder` from now on. What was recorded so far
    /// is whole.
    pub fn record(&mut self, mut recorder: Recorder) {
        if let Some(card) = &self.card {
            recorder.begin(card);
        }
        self.recorder = Some(recorder);
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// Why it was not written to the end.
    pub fn end_recording(&mut self) -> std::io::Result<()> {
        self.recorder.take().map_or(Ok(()), Recorder::end)
    }

    /// The card, if there is one.
    #[must_use]
    pub const fn card(&self) -> Option<&Card> {
        self.card.as_ref()
    }

    /// Makes the card misbehave; `false` without a card.
    pub fn latch(&mut self, latch: Latch) -> bool {
        self.give(&mut Nobody, Input::Latch(latch)).is_some()
    }

    /// What a new card is made from.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The client's memory.
    pub const fn memory(&mut self) -> &mut ClientMemory {
        &mut self.bus.memory
    }

    /// The ends of the interrupts.
    #[must_use]
    pub const fn interrupts(&self) -> &Interrupts {
        &self.bus.interrupts
    }

    /// The page that doorbells are written to, if it is shared.
    #[must_use]
    pub const fn doorbells(&self) -> Option<&DoorbellPage> {
        self.doorbells.as_ref()
    }

    /// Puts a card in, in the place of any that is there.
    pub fn plug(&mut self, card: Card) {
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(&card);
        }
        self.card = Some(card);
    }

    /// Pulls the card out at once; what is under way is lost.
    pub fn unplug(&mut self) -> Option<Card> {
        self.give(&mut Nobody, Input::PullOut)?;
        let card = self.card.take()?;
        self.bus.interrupts.set_intx(false);
        Some(card)
    }

    /// Asks the client to give the card back.
    pub fn request_removal(&mut self) {
        self.bus.interrupts.signal(Kind::Request, 0);
    }

    /// The client is gone: nothing of it is kept. The card stays as it is, but it can reach nothing
    /// any more.
    pub fn release(&mut self) {
        self.bus.memory.clear();
        self.bus.interrupts.clear();
    }

    /// Hands to the system what is recorded so far.
    pub(crate) fn flush(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
        }
    }

    /// How long until the card does something by itself; `None` if it waits for others.
    pub fn wait(&mut self) -> Option<Span> {
        self.flush();
        let at = self.card.as_ref().map_or(Time::NEVER, Card::deadline);
        self.bus.clock.until(at)
    }

    /// Gives `input` to the card, and its answer; `None` without a card.
    fn give(&mut self, far: &mut dyn Far, input: Input) -> Option<u32> {
        let card = self.card.as_mut()?;
        let now = self.bus.clock.now();
        let side = &mut Side {
            memory: &self.bus.memory,
            interrupts: &mut self.bus.interrupts,
            far,
        };
        Some(match &mut self.recorder {
            Some(recorder) => recorder.give(input, card, now, side),
            None => input.give(card, now, side),
        })
    }

    /// Hears the doorbells that were rung in shared memory, and lets the card do what is due.
    /// Returns whether anything happened.
    pub fn advance(&mut self, far: &mut dyn Far) -> bool {
        let mut is_busy = false;
        while let Some((offset, value)) = self.doorbells.as_mut().and_then(DoorbellPage::take) {
            let at = BarAccess::physical(REGISTER_BAR, offset);
            self.give(far, Input::BarWrite(at, value));
            is_busy = true;
        }
        for _ in 0..MAX_STEPS {
            let Some(card) = &self.card else { break };
            let next = card.next_internal();
            if next > self.bus.clock.reach(next) {
                break;
            }
            self.give(far, Input::Advance);
            is_busy = true;
        }
        is_busy
    }

    /// Reads `bytes.len()` bytes from `offset` on. All ones without a card.
    ///
    /// # Errors
    /// `EINVAL` if they do not lie in the region.
    pub fn read(
        &mut self,
        region: Region,
        offset: u64,
        bytes: &mut [u8],
        far: &mut dyn Far,
    ) -> Result<(), Errno> {
        let mut at = region.check(offset, bytes.len())?;
        self.advance(far);
        let mut rest = bytes;
        while !rest.is_empty() {
            let width = widest(at, rest.len());
            let (part, others) = rest.split_at_mut(width.bytes());
            let input = match region {
                Region::Config => Input::ConfigRead(config(at, width)),
                Region::Registers => Input::BarRead(bar(REGISTER_BAR, at, width)),
                Region::Vectors => Input::BarRead(bar(MSIX_BAR, at, width)),
            };
            match self.give(far, input) {
                Some(value) => part.copy_from_slice(&value.to_le_bytes()[..width.bytes()]),
                None => part.fill(NOBODY),
            }
            if self.hides_msix && region == Region::Config && self.card.is_some() {
                take_msix_away(at, part);
            }
            at += width.bytes() as u32;
            rest = others;
        }
        Ok(())
    }

    /// Writes `bytes` from `offset` on. Vanishes without a card. The MSI-X table is the slot's: a
    /// write to it is dropped, as behind VFIO.
    ///
    /// # Errors
    /// `EINVAL` if they do not lie in the region.
    pub fn write(
        &mut self,
        region: Region,
        offset: u64,
        bytes: &[u8],
        far: &mut dyn Far,
    ) -> Result<(), Errno> {
        let mut at = region.check(offset, bytes.len())?;
        self.advance(far);
        let mut rest = bytes;
        while !rest.is_empty() && region != Region::Vectors {
            let width = widest(at, rest.len());
            let (part, others) = rest.split_at(width.bytes());
            let mut dword = [0; 4];
            dword[..part.len()].copy_from_slice(part);
            let value = u32::from_le_bytes(dword);
            let input = if region == Region::Config {
                Input::ConfigWrite(config(at, width), value)
            } else {
                Input::BarWrite(bar(REGISTER_BAR, at, width), value)
            };
            let is_hidden = self.hides_msix && region == Region::Config && is_msix(at);
            if !is_hidden {
                self.give(far, input);
            }
            at += width.bytes() as u32;
            rest = others;
        }
        if region == Region::Config {
            self.arm_vectors(far);
        }
        self.advance(far);
        Ok(())
    }

    /// Resets the card as a function-level reset does, and waits for its end. What a bus driver
    /// keeps of configuration space over a reset is as before.
    pub fn reset(&mut self, far: &mut dyn Far) {
        self.advance(far);
        let kept = KEPT.map(|register| (register, self.config(register, far)));
        self.change_config(express::DEVICE_CONTROL, far, |control| {
            control | express::INITIATE_FLR.mask()
        });
        if let Some(card) = &self.card {
            self.bus.clock.jump(card.next_internal());
        }
        self.give(far, Input::Advance);
        for (register, value) in kept {
            self.change_config(register, far, |_| value);
        }
        if let Some(page) = &mut self.doorbells {
            page.clear();
        }
        self.arm_vectors(far);
    }

    /// Does `action` to interrupts, and enables messages on the card if anybody is told of them.
    ///
    /// # Errors
    /// As [`Interrupts::set`].
    pub fn set_interrupts(
        &mut self,
        kind: Kind,
        range: (u32, u32),
        action: Action,
        far: &mut dyn Far,
    ) -> Result<(), Errno> {
        let was_assigned = self.bus.interrupts.is_assigned(Kind::Msix);
        self.bus.interrupts.set(kind, range, action)?;
        self.arm_vectors(far);
        if was_assigned && !self.bus.interrupts.is_assigned(Kind::Msix) {
            self.change_config(msix::MSIX_CONTROL, far, |control| {
                control & !msix::ENABLE.mask()
            });
        }
        Ok(())
    }

    /// Gives each vector of the card its message and enables them, if anybody is told of one.
    fn arm_vectors(&mut self, far: &mut dyn Far) {
        if !self.bus.interrupts.is_assigned(Kind::Msix) {
            return;
        }
        let vectors = self.bus.interrupts.count(Kind::Msix);
        self.with_memory_space(far, |slot, far| {
            for vector in 0..vectors {
                let entry = [MESSAGES.0 as u32, (MESSAGES.0 >> 32) as u32, vector, 0];
                for (word, value) in (0..).zip(entry) {
                    let offset = MSIX_TABLE + vector * MSIX_ENTRY_LEN + word * 4;
                    let at = BarAccess::physical(MSIX_BAR, offset);
                    slot.give(far, Input::BarWrite(at, value));
                }
            }
        });
        self.change_config(msix::MSIX_CONTROL, far, |control| {
            control | msix::ENABLE.mask()
        });
    }

    /// Does something that needs the BARs to answer, whatever the client has made of them.
    fn with_memory_space(&mut self, far: &mut dyn Far, act: impl FnOnce(&mut Self, &mut dyn Far)) {
        let command = self.config(header::COMMAND, far);
        self.change_config(header::COMMAND, far, |command| {
            command | header::MEMORY_SPACE.mask()
        });
        act(self, far);
        self.change_config(header::COMMAND, far, |_| command);
    }

    fn config(&mut self, register: ConfigRegister, far: &mut dyn Far) -> u32 {
        let at = ConfigAccess::of(FunctionId::PHYSICAL, register);
        self.give(far, Input::ConfigRead(at)).unwrap_or(0)
    }

    fn change_config(
        &mut self,
        register: ConfigRegister,
        far: &mut dyn Far,
        change: impl FnOnce(u32) -> u32,
    ) {
        let at = ConfigAccess::of(FunctionId::PHYSICAL, register);
        let before = self.config(register, far);
        let after = change(before);
        if after != before {
            self.give(far, Input::ConfigWrite(at, after));
        }
    }
}

/// Whether the byte `at` of configuration space belongs to the MSI-X capability.
fn is_msix(at: u32) -> bool {
    let end = u32::from(msix::PENDING.offset) + 4;
    (u32::from(msix::MSIX_ID.offset)..end).contains(&at)
}

/// What stands at `at` in configuration space, without MSI-X: whatever led there leads to what
/// follows it, and it reads as zero.
fn take_msix_away(at: u32, bytes: &mut [u8]) {
    for (at, byte) in (at..).zip(bytes) {
        if at == u32::from(power::POWER_NEXT.offset) {
            *byte = msix::MSIX_NEXT.reset as u8;
        } else if is_msix(at) {
            *byte = 0;
        }
    }
}

/// The widest access that is aligned at `offset` and has at most `len` bytes.
fn widest(offset: u32, len: usize) -> Width {
    let widths = [Width::Dword, Width::Word];
    let fits = |width: &Width| width.bytes() <= len && offset.is_multiple_of(width.bytes() as u32);
    widths.into_iter().find(fits).unwrap_or(Width::Byte)
}

const fn config(offset: u32, width: Width) -> ConfigAccess {
    ConfigAccess {
        function: FunctionId::PHYSICAL,
        offset: offset as u16,
        width,
    }
}

const fn bar(bar: u8, offset: u32, width: Width) -> BarAccess {
    BarAccess {
        function: FunctionId::PHYSICAL,
        bar,
        offset,
        width,
    }
}

/// The slot as the card sees it.
struct Side<'a> {
    memory: &'a ClientMemory,
    interrupts: &'a mut Interrupts,
    far: &'a mut dyn Far,
}

impl Host for Side<'_> {
    fn read(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &mut [u8],
    ) -> Result<(), DmaFault> {
        if !function.is_physical() {
            return Err(DmaFault::refused(addr));
        }
        self.memory.read(addr, bytes, self.far)
    }

    fn write(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &[u8],
    ) -> Result<(), DmaFault> {
        if !function.is_physical() {
            return Err(DmaFault::refused(addr));
        }
        self.memory.write(addr, bytes, self.far)
    }

    fn interrupt(&mut self, _at: Time, message: Message) {
        if message.function.is_physical() && message.addr == MESSAGES {
            self.interrupts.signal(Kind::Msix, message.data);
        }
    }

    fn intx(&mut self, _at: Time, function: FunctionId, is_asserted: bool) {
        if function.is_physical() {
            self.interrupts.set_intx(is_asserted);
        }
    }

    fn observe(&mut self, _at: Time, event: CardEvent) {
        if let CardEvent::ErrorMessage { message, .. } = event
            && message != ErrorMessage::Correctable
        {
            self.interrupts.signal(Kind::Error, 0);
        }
    }
}
