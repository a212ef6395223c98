//! Accesses by the host: configuration space and BARs, and what they set in motion.

use regs::pci::{ConfigRegister, MSIX_BAR, MSIX_BAR_LEN, NOBODY, REGISTER_BAR, express, header};
use regs::{BAR0_LEN, FunctionId, RingId, Vector};
use timebase::Time;

use super::error::{BusError, ErrorCause, PacketHeader};
use super::msix::Message;
use super::space::Effect;
use crate::card::Card;
use crate::host::{CardEvent, FaultKind, Host};
use crate::native::command::Fault;

/// How many bytes an access has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Width {
    /// One byte.
    Byte,
    /// Two bytes.
    Word,
    /// Four bytes.
    Dword,
}

impl Width {
    /// Number of bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Word => 2,
            Self::Dword => 4,
        }
    }

    /// The bits of a value of this width.
    #[must_use]
    pub const fn mask(self) -> u32 {
        u32::MAX >> (32 - 8 * self.bytes() as u32)
    }

    /// Whether an access at `offset` is aligned and ends within `len` bytes.
    pub(super) const fn fits(self, offset: u32, len: u32) -> bool {
        let bytes = self.bytes() as u32;
        offset.is_multiple_of(bytes) && offset < len && len - offset >= bytes
    }
}

/// A place in configuration space.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct ConfigAccess {
    /// Whose configuration space.
    pub function: FunctionId,
    /// Offset in bytes, 0 to 4095.
    pub offset: u16,
    /// How much.
    pub width: Width,
}

impl ConfigAccess {
    /// A register of `function`.
    #[must_use]
    pub const fn of(function: FunctionId, register: ConfigRegister) -> Self {
        Self {
            function,
            offset: register.offset,
            width: match register.width {
                1 => Width::Byte,
                2 => Width::Word,
                _ => Width::Dword,
            },
        }
    }
}

/// A place in a BAR.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct BarAccess {
    /// Whose BAR.
    pub function: FunctionId,
    /// Number of the BAR: 0 for registers and doorbells, 2 for the MSI-X table.
    pub bar: u8,
    /// Offset in bytes.
    pub offset: u32,
    /// How much; anything but an aligned dword is refused.
    pub width: Width,
}

impl BarAccess {
    /// The dword at `offset` of `bar` of the physical function.
    #[must_use]
    pub const fn physical(bar: u8, offset: u32) -> Self {
        Self {
            function: FunctionId::PHYSICAL,
            bar,
            offset,
            width: Width::Dword,
        }
    }
}

impl Card {
    /// Reads configuration space. All ones if no function answers, or the access is not aligned or
    /// beyond 4 KiB. While a reset other than that of the control register is under way, the vendor
    /// id reads as [`RETRY_VENDOR`](regs::pci::RETRY_VENDOR) and everything else as all ones.
    pub fn config_read<H: Host>(&mut self, now: Time, at: ConfigAccess, host: &mut H) -> u32 {
        self.advance(now, host);
        if !self.has_function(at.function) {
            return NOBODY & at.width.mask();
        }
        let is_pending = self.has_work(at.function);
        let space = &mut self.function_mut(at.function).pci;
        space.set_transactions_pending(is_pending);
        space.read(at.offset, at.width)
    }

    /// Writes configuration space; bits that cannot be written stay, and what a read would answer
    /// with all ones is dropped.
    pub fn config_write<H: Host>(&mut self, now: Time, at: ConfigAccess, value: u32, host: &mut H) {
        self.advance(now, host);
        if !self.has_function(at.function) {
            return;
        }
        let id = at.function;
        let space = &mut self.function_mut(id).pci;
        match space.write(at.offset, at.width, value) {
            Effect::None => {}
            Effect::FunctionReset => self.function_level_reset(now, id, host),
            Effect::Sleep => self.fall_asleep(now, host),
            Effect::WakeUp => self.function_level_reset(now, FunctionId::PHYSICAL, host),
            Effect::VirtualFunctions(count) => self.set_virtual_functions(now, count, host),
        }
        self.apply_configuration(now, host);
    }

    /// Lets every part of the card know what configuration space says.
    pub(super) fn apply_configuration<H: Host>(&mut self, now: Time, host: &mut H) {
        let physical = &self.functions[0].pci;
        self.link.set_sizes(physical.traffic_sizes());
        let parent = physical.as_parent();
        for function in self.functions.iter_mut().skip(1) {
            function.pci.set_parent(parent);
        }
        for id in (0..self.functions.len() as u16).map(FunctionId) {
            self.tell_rings(id);
            self.release_messages(now, id, host);
            self.update_intx(now, id, host);
        }
    }

    /// Lets the rings of `id` know what their function may do.
    pub(crate) fn tell_rings(&mut self, id: FunctionId) {
        let function = &self.functions[usize::from(id.0)];
        for place in function.rings.clone() {
            self.rings[place].owner = function.owner(place);
        }
    }

    /// Whether the card has `function` now.
    #[must_use]
    pub fn has_function(&self, function: FunctionId) -> bool {
        usize::from(function.0) < self.functions.len()
    }

    /// Routing-id of a function, counted from that of the physical one; what an IOMMU knows it by.
    #[must_use]
    pub fn routing_offset(&self, function: FunctionId) -> u16 {
        self.functions[0].pci.routing_offset(function)
    }

    /// The BAR and the offset in it that the bus address `addr` names, if a function answers there.
    #[must_use]
    pub fn claim(&self, addr: u64) -> Option<BarAccess> {
        let physical = &self.functions[0].pci;
        let bars = [(REGISTER_BAR, BAR0_LEN), (MSIX_BAR, MSIX_BAR_LEN)];
        let answering = self.functions.iter().filter(|f| f.pci.memory_enabled());
        answering
            .flat_map(|function| bars.map(|(bar, len)| (function.id, bar, len)))
            .find_map(|(function, bar, len)| {
                let base = match function.virtual_index() {
                    None => physical.bar(bar),
                    Some(index) => physical.virtual_bar(index, bar),
                };
                let offset = addr.checked_sub(base?)?;
                (offset < len.into()).then_some(BarAccess {
                    function,
                    bar,
                    offset: offset as u32,
                    width: Width::Dword,
                })
            })
    }

    /// Reads a BAR. Holes and doorbells read zero. All ones, and an error is logged, if the
    /// function does not answer there or the access is not an aligned dword.
    pub fn bar_read<H: Host>(&mut self, now: Time, at: BarAccess, host: &mut H) -> u32 {
        self.advance(now, host);
        match self.answering_bar(at) {
            Ok(REGISTER_BAR) => self.read_register(now, (at.function, at.offset), host),
            Ok(_) => self.function(at.function).pci.read_vectors(at.offset),
            Err(cause) => {
                self.refuse(now, (at, false), cause, host);
                NOBODY & at.width.mask()
            }
        }
    }

    /// Writes a BAR. Holes and read-only registers ignore it. It is dropped, and an error is
    /// logged, where a read would give all ones.
    pub fn bar_write<H: Host>(&mut self, now: Time, at: BarAccess, value: u32, host: &mut H) {
        self.advance(now, host);
        match self.answering_bar(at) {
            Ok(REGISTER_BAR) => self.write_register(now, (at.function, at.offset), value, host),
            Ok(_) => {
                let space = &mut self.function_mut(at.function).pci;
                space.write_vectors(at.offset, value);
                self.release_messages(now, at.function, host);
            }
            Err(cause) => self.refuse(now, (at, true), cause, host),
        }
    }

    /// The BAR that answers `at`, or why none does.
    fn answering_bar(&self, at: BarAccess) -> Result<u8, ErrorCause> {
        let len = match at.bar {
            REGISTER_BAR => BAR0_LEN,
            MSIX_BAR => MSIX_BAR_LEN,
            _ => 0,
        };
        let function = self.functions.get(usize::from(at.function.0));
        let is_there = function.is_some_and(|function| function.pci.memory_enabled());
        if !is_there || at.offset >= len {
            Err(ErrorCause::UnsupportedRequest)
        } else if at.width != Width::Dword || !at.width.fits(at.offset, len) {
            Err(ErrorCause::CompleterAbort)
        } else {
            Ok(at.bar)
        }
    }

    /// Logs an access to BAR 0 that nothing answers.
    #[cold]
    pub(crate) fn refuse_register<H: Host>(
        &mut self,
        now: Time,
        (function, offset, is_write): (FunctionId, u32, bool),
        host: &mut H,
    ) {
        let at = BarAccess {
            function,
            ..BarAccess::physical(REGISTER_BAR, offset)
        };
        if let Err(cause) = self.answering_bar(at) {
            self.refuse(now, (at, is_write), cause, host);
        }
    }

    /// A function that the card does not have answers nothing; the physical one tells of it.
    #[cold]
    fn refuse<H: Host>(
        &mut self,
        now: Time,
        (at, is_write): (BarAccess, bool),
        cause: ErrorCause,
        host: &mut H,
    ) {
        let physical = &self.functions[0].pci;
        let base = match at.function.virtual_index() {
            None => physical.bar(at.bar),
            Some(index) => physical.virtual_bar(index, at.bar),
        };
        let addr = base.unwrap_or(0).wrapping_add(at.offset.into());
        let enables = (0xF >> (4 - at.width.bytes())) << (at.offset % 4) & 0xF;
        let id = if self.has_function(at.function) {
            at.function
        } else {
            FunctionId::PHYSICAL
        };
        if cause == ErrorCause::CompleterAbort && !is_write {
            let space = &mut self.function_mut(id).pci;
            space.note(header::SIGNALED_TARGET_ABORT);
        }
        let error = BusError {
            cause,
            header: PacketHeader::of_request(is_write, addr, enables as u8),
            // A read is answered, and whoever asked learns of it.
            is_advisory: !is_write,
        };
        self.bus_error(now, id, error, host);
    }

    /// Logs an error of `function`, which the link or the card itself found, and tells the root
    /// complex if it is to be told. Ignored without such a function, and while its reset is under
    /// way.
    pub fn bus_error<H: Host>(
        &mut self,
        now: Time,
        function: FunctionId,
        error: BusError,
        host: &mut H,
    ) {
        if !self.has_function(function) || self.function(function).resetting_until.is_some() {
            return;
        }
        let settings = self.functions[0].pci.error_settings();
        let space = &mut self.function_mut(function).pci;
        if error.cause == ErrorCause::Poisoned {
            space.note(header::DETECTED_PARITY_ERROR);
            if space.is_set(header::PARITY_ERROR_RESPONSE) {
                space.note(header::MASTER_DATA_PARITY_ERROR);
            }
        }
        if let Some(message) = space.log(&settings, error) {
            host.observe(now, CardEvent::ErrorMessage { function, message });
        }
    }

    /// Notes in configuration space what a DMA fault of `id` is there. A refused write is posted:
    /// nothing comes back, and nothing is noted.
    #[cold]
    pub(crate) fn note_dma_fault<H: Host>(
        &mut self,
        now: Time,
        (id, fault): (FunctionId, Fault),
        host: &mut H,
    ) {
        let tells_timeout = !self.functions[0]
            .pci
            .is_set(express::COMPLETION_TIMEOUT_DISABLE);
        let space = &mut self.function_mut(id).pci;
        if fault.is_write || space.master().is_none() {
            return;
        }
        let (cause, is_advisory) = match fault.fault.kind {
            FaultKind::Refused => return space.note(header::RECEIVED_MASTER_ABORT),
            FaultKind::Aborted => return space.note(header::RECEIVED_TARGET_ABORT),
            // The command fails, and the card goes on.
            FaultKind::Poisoned => (ErrorCause::Poisoned, true),
            FaultKind::Unanswered if !tells_timeout => return,
            FaultKind::Unanswered => (ErrorCause::CompletionTimeout, false),
        };
        let error = BusError {
            cause,
            header: PacketHeader::of_answer(),
            is_advisory,
        };
        self.bus_error(now, id, error, host);
    }

    /// Sends the messages of `id` that waited and need not wait any more.
    fn release_messages<H: Host>(&mut self, now: Time, id: FunctionId, host: &mut H) {
        while let Some((ring, vector, message)) = self.function_mut(id).pci.release() {
            self.send_message(now, (ring, vector), message, host);
        }
    }

    /// `message` of `ring` leaves the card.
    pub(crate) fn send_message<H: Host>(
        &mut self,
        at: Time,
        (ring, vector): (RingId, Vector),
        message: Message,
        host: &mut H,
    ) {
        let at = at + self.profile.interrupt_delay;
        self.stats.interrupts += 1;
        self.rings[usize::from(ring.0)].counters.interrupts += 1;
        host.observe(at, CardEvent::Interrupt { ring, vector });
        host.interrupt(at, message);
    }

    /// Asserts or takes back INTx of `id` as its causes ask for.
    pub(crate) fn update_intx<H: Host>(&mut self, now: Time, id: FunctionId, host: &mut H) {
        let function = self.function_mut(id);
        let is_raised = function.causes.latched() & !function.causes.mask() != 0;
        if let Some(level) = function.pci.intx_change(is_raised) {
            host.intx(now, id, level);
        }
    }

    /// Whether commands of `id` are on the card or on their way to it.
    fn has_work(&self, id: FunctionId) -> bool {
        let rings = &self.rings[self.function(id).rings.clone()];
        rings
            .iter()
            .any(|ring| ring.outstanding != 0 || ring.fetching != 0)
    }
}
