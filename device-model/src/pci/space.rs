//! Configuration space of one function, and what its fields mean to the rest of the card.

use regs::pci::{
    Field, FieldAccess, MSIX_BAR_LEN, NOBODY, PAGES, RETRY_VENDOR, VF_PAGES, aer, ari, express,
    header, msix, power, serial, sriov, vendor,
};
use regs::{BAR0_LEN, FunctionId, RingId, Vector};

use super::access::Width;
use super::cells::Cells;
use super::error::{self, BusError, ErrorMessage, Settings};
use super::msix::{Gate, Message, VectorTable};
use crate::profile::Profile;
use crate::snapshot::{Check, check};

/// Gigatransfers and bytes per second of one lane, by generation.
const LANE_BYTES_PER_SECOND: [u64; 6] = [
    250_000_000,
    500_000_000,
    984_615_385,
    1_969_230_769,
    3_938_461_538,
    7_563_000_000,
];
/// Widths a link can have.
const WIDTHS: [u64; 5] = [1, 2, 4, 8, 16];
/// What a payload or read size of zero stands for, in bytes.
const SIZE_UNIT: u32 = 128;
/// Largest code of a payload or read size: 4096 bytes.
const SIZE_CODE_MAX: u32 = 5;
/// Code of D3hot.
const D3_HOT: u32 = 3;
/// Most virtual functions whose numbers fit beside the physical one on its bus.
const NEIGHBOURS: u32 = 7;
/// Distance to the next bus in routing-ids.
const NEXT_BUS: u32 = 256;

/// What a function-level reset and the way back from D3hot leave alone, besides sticky fields.
pub(super) const KEPT_WHILE_LINKED: [Field; 6] = [
    express::MAX_PAYLOAD,
    express::ASPM_CONTROL,
    express::READ_COMPLETION_BOUNDARY,
    express::COMMON_CLOCK,
    express::EXTENDED_SYNCH,
    express::TARGET_SPEED,
];

/// Sizes that shape the card's traffic, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct TrafficSizes {
    /// Largest payload of a packet.
    pub(crate) max_payload: u32,
    /// Largest read asked for at once.
    pub(crate) max_read: u32,
    /// Reads under way at once.
    pub(crate) tags: u32,
}

/// What a configuration write makes the card do besides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    None,
    FunctionReset,
    Sleep,
    WakeUp,
    /// Virtual functions come, as many as this, or go.
    VirtualFunctions(u16),
}

/// Configuration space of one function.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct ConfigSpace {
    cells: Cells,
    vectors: VectorTable,
    /// A reset is under way that configuration space takes part in.
    is_retrying: bool,
    #[serde(skip)]
    answers_memory: bool,
    #[serde(skip)]
    master: Option<FunctionId>,
    intx: bool,
    function: FunctionId,
    /// Virtual functions are gated by the physical one: whether it lets them answer at all.
    #[serde(skip)]
    parent: Parent,
}

/// What the physical function lets a virtual one do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Parent {
    pub(crate) is_awake: bool,
    pub(crate) memory_space: bool,
}

/// Whether `field` does anything in a virtual function: the rest is the physical one's business.
fn is_alive_in_virtual(field: &Field) -> bool {
    const WRITABLE: [Field; 4] = [
        header::BUS_MASTER,
        msix::FUNCTION_MASK,
        msix::ENABLE,
        express::INITIATE_FLR,
    ];
    matches!(
        field.access,
        FieldAccess::WriteOneToClear
            | FieldAccess::StickyWriteOneToClear
            | FieldAccess::Live
            | FieldAccess::StickyLive
    ) || WRITABLE.contains(field)
}

impl ConfigSpace {
    pub(crate) fn physical(profile: &Profile, serial: u64) -> Self {
        let mut cells = Cells::new(&PAGES, |_| true);
        let total = u32::from(profile.virtual_functions);
        for (field, value) in [
            (serial::SERIAL_LOW_BITS, serial as u32),
            (serial::SERIAL_HIGH_BITS, (serial >> 32) as u32),
            (sriov::INITIAL_VF_COUNT, total),
            (sriov::TOTAL_VF_COUNT, total),
            (sriov::FIRST_OFFSET, first_offset(total, false)),
        ] {
            cells.preset(field, value);
        }
        Self::new(cells, profile, (FunctionId::PHYSICAL, profile.ring_pairs))
    }

    /// The virtual function `index`, counted from zero.
    pub(crate) fn of_virtual(profile: &Profile, index: u16) -> Self {
        let mut cells = Cells::new(&VF_PAGES, is_alive_in_virtual);
        let last_header = u32::from(ari::ARI_HEADER.offset) << 20;
        let aer_header = aer::AER_HEADER.reset & 0x000F_FFFF;
        for (register, value) in [
            // A virtual function is found by its capability, not by its identity.
            (header::VENDOR_ID, 0xFFFF),
            (header::DEVICE_ID, 0xFFFF),
            (header::BAR0_LOW, 0),
            (header::BAR2_LOW, 0),
            (header::CAPABILITIES_POINTER, msix::MSIX_ID.offset.into()),
            (header::INTERRUPT_LINE, 0),
            (header::INTERRUPT_PIN, 0),
            (express::DEVICE_CONTROL, 0),
            (aer::AER_HEADER, last_header | aer_header),
            (aer::UNCORRECTABLE_MASK, 0),
            (aer::UNCORRECTABLE_SEVERITY, 0),
            (aer::CORRECTABLE_MASK, 0),
            (ari::ARI_HEADER, ari::ARI_HEADER.reset & 0x000F_FFFF),
        ] {
            cells.preset(register.whole(), value);
        }
        let id = FunctionId::of_virtual(index);
        Self::new(cells, profile, (id, profile.virtual_ring_pairs))
    }

    fn new(cells: Cells, profile: &Profile, (function, pairs): (FunctionId, u16)) -> Self {
        let mut cells = cells;
        let payload = profile.link.max_payload.max(SIZE_UNIT) / SIZE_UNIT;
        let (speed, width) = link_shape(profile.link.bytes_per_second);
        for (field, value) in [
            (msix::TABLE_SIZE, u32::from(pairs)),
            (express::MAX_PAYLOAD_SUPPORTED, payload.ilog2()),
            (express::MAX_LINK_SPEED, speed),
            (express::LINK_SPEED, speed),
            (express::MAX_LINK_WIDTH, width),
            (express::LINK_WIDTH, width),
            (express::SUPPORTED_SPEEDS, (1 << speed) - 1),
            (express::TARGET_SPEED, speed),
            (vendor::DATA_RING_PAIR_COUNT, pairs.into()),
        ] {
            cells.preset(field, value);
        }
        Self {
            cells,
            vectors: VectorTable::new(function, pairs + 1, profile.errata),
            is_retrying: false,
            answers_memory: false,
            master: None,
            intx: false,
            function,
            parent: Parent {
                is_awake: true,
                memory_space: false,
            },
        }
    }

    /// Back to the state after power-on.
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.vectors.clear();
        self.is_retrying = false;
        self.refresh();
    }

    /// A reset that configuration space takes part in; it retries until [`ready`](Self::ready).
    pub(super) fn reset(&mut self, kept: &[Field]) {
        self.cells.reset(kept);
        self.vectors.clear();
        self.is_retrying = true;
        self.refresh();
    }

    /// The reset is over.
    pub(crate) fn ready(&mut self) {
        self.is_retrying = false;
        self.refresh();
    }

    /// Messages that wait are forgotten, as the rings that wanted them are.
    pub(crate) fn forget_pending(&mut self) {
        self.vectors.forget_pending();
    }

    /// The MSI-X table is as after power-on; what waits is forgotten.
    pub(crate) fn clear_vectors(&mut self) {
        self.vectors.clear_entries();
    }

    /// Whether the function answers accesses to its BARs.
    #[inline]
    pub(crate) const fn memory_enabled(&self) -> bool {
        self.answers_memory
    }

    /// The function if it reaches memory and sends messages.
    #[inline]
    pub(crate) const fn master(&self) -> Option<FunctionId> {
        self.master
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.cells.get(power::POWER_STATE) == D3_HOT
    }

    /// What shapes the traffic of all functions.
    pub(crate) fn traffic_sizes(&self) -> TrafficSizes {
        let size = |code: u32| SIZE_UNIT << code.min(SIZE_CODE_MAX);
        let supported = self.cells.get(express::MAX_PAYLOAD_SUPPORTED);
        let payload = self.cells.get(express::MAX_PAYLOAD).min(supported);
        let is_extended = self.cells.is_set(express::EXTENDED_TAG);
        TrafficSizes {
            max_payload: size(payload),
            max_read: size(self.cells.get(express::MAX_READ_REQUEST)),
            tags: if is_extended { 256 } else { 32 },
        }
    }

    /// Reads; what is not aligned, beyond the end or behind a reset reads as all ones, but for the
    /// vendor id during a reset.
    pub(super) fn read(&self, offset: u16, width: Width) -> u32 {
        if !width.fits(offset.into(), regs::pci::CONFIG_LEN as u32) {
            return NOBODY & width.mask();
        }
        if !self.is_retrying {
            return self.cells.read(offset, width);
        }
        match (offset, width) {
            (0, Width::Byte) => u32::from(RETRY_VENDOR) & 0xFF,
            (1, Width::Byte) => u32::from(RETRY_VENDOR) >> 8,
            (0, Width::Word) => RETRY_VENDOR.into(),
            (0, Width::Dword) => u32::from(RETRY_VENDOR) | 0xFFFF_0000,
            _ => NOBODY & width.mask(),
        }
    }

    /// Writes; what is not aligned, beyond the end or behind a reset is dropped.
    pub(super) fn write(&mut self, offset: u16, width: Width, value: u32) -> Effect {
        if self.is_retrying || !width.fits(offset.into(), regs::pci::CONFIG_LEN as u32) {
            return Effect::None;
        }
        let state = self.cells.get(power::POWER_STATE);
        let before = self.virtual_settings();
        self.cells.write(offset, width, value);
        let new_state = self.cells.get(power::POWER_STATE);
        if new_state != 0 && new_state != D3_HOT {
            self.cells.set(power::POWER_STATE, state);
        }
        self.settle_virtual(before);
        self.refresh();
        let new_state = self.cells.get(power::POWER_STATE);
        if self.cells.take(express::INITIATE_FLR) {
            Effect::FunctionReset
        } else if new_state != state && new_state == D3_HOT {
            Effect::Sleep
        } else if new_state != state {
            Effect::WakeUp
        } else if self.virtual_functions() != before.functions() {
            Effect::VirtualFunctions(self.virtual_functions())
        } else {
            Effect::None
        }
    }

    fn virtual_settings(&self) -> VirtualSettings {
        VirtualSettings {
            is_on: self.cells.is_set(sriov::VF_ENABLE),
            count: self.cells.get(sriov::VF_COUNT),
            pages: self.cells.get(sriov::SYSTEM_PAGES),
        }
    }

    /// Takes back what a write may not change, and what follows from the rest.
    fn settle_virtual(&mut self, before: VirtualSettings) {
        let now = self.virtual_settings();
        if before.is_on || now.count > self.cells.get(sriov::TOTAL_VF_COUNT) {
            self.cells.set(sriov::VF_COUNT, before.count);
        }
        let is_size =
            now.pages.is_power_of_two() && now.pages & sriov::SUPPORTED_PAGE_SIZES.reset != 0;
        if self.function.is_physical() && (before.is_on || !is_size) {
            self.cells.set(sriov::SYSTEM_PAGES, before.pages);
        }
        let total = self.cells.get(sriov::TOTAL_VF_COUNT);
        let offset = first_offset(total, self.cells.is_set(sriov::ARI_HIERARCHY));
        if self.function.is_physical() {
            self.cells.set(sriov::FIRST_OFFSET, offset);
            for (field, len) in [
                (sriov::VF_BAR0_ADDRESS, BAR0_LEN),
                (sriov::VF_BAR2_ADDRESS, MSIX_BAR_LEN),
            ] {
                let addr = field.bits(self.cells.get(field));
                let kept = addr & !(self.stride(len) - 1);
                self.cells.set(field, field.of(kept));
            }
        }
    }

    /// Bytes from one virtual function's BAR of `len` bytes to the next's.
    fn stride(&self, len: u32) -> u32 {
        const SMALLEST_PAGE: u32 = 4096;
        let pages = self.cells.get(sriov::SYSTEM_PAGES);
        len.max(SMALLEST_PAGE << pages.max(1).ilog2())
    }

    /// Virtual functions there are to be.
    pub(crate) fn virtual_functions(&self) -> u16 {
        self.virtual_settings().functions()
    }

    /// What the physical function lets virtual ones do.
    pub(crate) fn as_parent(&self) -> Parent {
        Parent {
            is_awake: !self.is_asleep() && !self.is_retrying,
            memory_space: self.cells.is_set(sriov::VF_MEMORY_SPACE),
        }
    }

    /// The physical function lets this one do something else.
    pub(crate) fn set_parent(&mut self, parent: Parent) {
        self.parent = parent;
        self.refresh();
    }

    /// Routing-id of `function`, counted from that of the physical one.
    pub(super) fn routing_offset(&self, function: FunctionId) -> u16 {
        match function.virtual_index() {
            None => 0,
            Some(index) => self.cells.get(sriov::FIRST_OFFSET) as u16 + index,
        }
    }

    /// Takes over what the cells say into the flags that are looked at often.
    fn refresh(&mut self) {
        let is_awake = !self.is_asleep() && !self.is_retrying && self.parent.is_awake;
        let memory_space = self.parent.memory_space || self.cells.is_set(header::MEMORY_SPACE);
        self.answers_memory = is_awake && memory_space;
        let is_master = is_awake && self.cells.is_set(header::BUS_MASTER);
        self.master = is_master.then_some(self.function);
        self.vectors.set_gate(if !self.cells.is_set(msix::ENABLE) {
            Gate::Off
        } else if self.cells.is_set(msix::FUNCTION_MASK) || !is_master {
            Gate::Closed
        } else {
            Gate::Open
        });
    }

    /// Address of `bar` of the physical function, if it has it.
    pub(super) fn bar(&self, bar: u8) -> Option<u64> {
        self.bar_at(match bar {
            regs::pci::REGISTER_BAR => (header::BAR0_ADDRESS, header::BAR0_ADDRESS_HIGH),
            regs::pci::MSIX_BAR => (header::BAR2_ADDRESS, header::BAR2_ADDRESS_HIGH),
            _ => return None,
        })
    }

    /// Address of `bar` of the virtual function `index`, counted from zero, as the physical one
    /// has it.
    pub(super) fn virtual_bar(&self, index: u16, bar: u8) -> Option<u64> {
        let (fields, len) = match bar {
            regs::pci::REGISTER_BAR => (
                (sriov::VF_BAR0_ADDRESS, sriov::VF_BAR0_ADDRESS_HIGH),
                BAR0_LEN,
            ),
            regs::pci::MSIX_BAR => (
                (sriov::VF_BAR2_ADDRESS, sriov::VF_BAR2_ADDRESS_HIGH),
                MSIX_BAR_LEN,
            ),
            _ => return None,
        };
        let stride = u64::from(self.stride(len)) * u64::from(index);
        Some(self.bar_at(fields)?.wrapping_add(stride))
    }

    fn bar_at(&self, (low, high): (Field, Field)) -> Option<u64> {
        let low_bits = low.bits(self.cells.get(low));
        Some(u64::from(self.cells.get(high)) << 32 | u64::from(low_bits))
    }

    /// A reset is under way that configuration space takes part in.
    pub(crate) const fn is_retrying(&self) -> bool {
        self.is_retrying
    }

    /// Number of the card.
    pub(crate) fn serial(&self) -> u64 {
        let high = u64::from(self.cells.get(serial::SERIAL_HIGH_BITS));
        high << 32 | u64::from(self.cells.get(serial::SERIAL_LOW_BITS))
    }

    /// Takes over from `fresh` what a snapshot does not hold; whether one made as it was can be in
    /// this state.
    pub(crate) fn adopt(&mut self, fresh: &Self) -> Check {
        check(self.function == fresh.function, "number of a function")?;
        self.cells.adopt(&fresh.cells)?;
        self.vectors.check(&fresh.vectors)?;
        let state = self.cells.get(power::POWER_STATE);
        check(state == 0 || state == D3_HOT, "power state")?;
        if self.function.is_physical() {
            let settings = self.virtual_settings();
            let total = self.cells.get(sriov::TOTAL_VF_COUNT);
            let fits = settings.count <= total && settings.has_page_size();
            check(fits, "settings of virtual functions")?;
        }
        check(!self.cells.is_set(express::INITIATE_FLR), "a reset begun")?;
        self.parent = fresh.parent;
        self.refresh();
        Ok(())
    }

    /// The message of `vector` if it may leave now; it waits otherwise.
    pub(crate) fn signal(&mut self, vector: u32, ring: RingId) -> Option<Message> {
        self.vectors.signal(vector, ring)
    }

    /// The next message that waited and need not wait any more.
    pub(super) fn release(&mut self) -> Option<(RingId, Vector, Message)> {
        self.vectors.release()
    }

    pub(super) fn read_vectors(&self, offset: u32) -> u32 {
        self.vectors.read(offset)
    }

    pub(super) fn write_vectors(&mut self, offset: u32, value: u32) {
        self.vectors.write(offset, value);
    }

    /// The level of INTx if it changes: asserted while a cause that is not masked `is_raised`, with
    /// MSI-X off.
    pub(crate) fn intx_change(&mut self, is_raised: bool) -> Option<bool> {
        let is_raised = is_raised && self.vectors.is_off();
        let shown = is_raised && self.function.is_physical();
        self.cells.set(header::INTX_STATUS, shown.into());
        let level = shown && !self.cells.is_set(header::INTX_DISABLE);
        let changes = level != self.intx;
        self.intx = level;
        changes.then_some(level)
    }

    /// Reads of the function are under way, or not.
    pub(super) fn set_transactions_pending(&mut self, is_pending: bool) {
        self.cells
            .set(express::TRANSACTIONS_PENDING, is_pending.into());
    }

    pub(super) fn error_settings(&self) -> Settings {
        Settings::of(&self.cells)
    }

    /// Logs an error; gives the message to send.
    pub(super) fn log(&mut self, settings: &Settings, error: BusError) -> Option<ErrorMessage> {
        error::log(&mut self.cells, settings, error)
    }

    pub(super) fn is_set(&self, field: Field) -> bool {
        self.cells.is_set(field)
    }

    /// Sets the status bit `field`.
    pub(super) fn note(&mut self, field: Field) {
        self.cells.set(field, 1);
    }
}

/// What turns virtual functions on.
#[derive(Clone, Copy)]
struct VirtualSettings {
    is_on: bool,
    count: u32,
    pages: u32,
}

impl VirtualSettings {
    const fn functions(self) -> u16 {
        if self.is_on { self.count as u16 } else { 0 }
    }

    const fn has_page_size(self) -> bool {
        self.pages.is_power_of_two() && self.pages & sriov::SUPPORTED_PAGE_SIZES.reset != 0
    }
}

/// Routing-id of the first of `total` virtual functions, counted from that of the physical one.
const fn first_offset(total: u32, is_ari: bool) -> u32 {
    if is_ari || total <= NEIGHBOURS {
        1
    } else {
        NEXT_BUS
    }
}

/// Generation and lanes of the link that comes nearest to `bytes_per_second`; the oldest generation
/// among those that come as near, within a hundredth.
fn link_shape(bytes_per_second: u64) -> (u32, u32) {
    let mut best = (u64::MAX, 1, 1);
    for (generation, lane) in (1..).zip(LANE_BYTES_PER_SECOND) {
        for width in WIDTHS {
            let off = (lane * width).abs_diff(bytes_per_second);
            if off + bytes_per_second / 100 < best.0 {
                best = (off, generation, width as u32);
            }
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_the_one_that_carries_as_much() {
        assert_eq!(
            link_shape(Profile::reference().link.bytes_per_second),
            (3, 8)
        );
        assert_eq!(link_shape(250_000_000), (1, 1));
        assert_eq!(link_shape(1_000_000), (1, 1));
        assert_eq!(link_shape(15_754_000_000), (3, 16));
        assert_eq!(link_shape(63_015_000_000), (5, 16));
        assert_eq!(link_shape(1_000_000_000_000), (6, 16));
    }

    #[test]
    fn sizes_beyond_what_is_supported_count_as_supported() {
        let mut space = ConfigSpace::physical(&Profile::reference(), 0);
        let sizes = space.traffic_sizes();
        assert_eq!(
            (sizes.max_payload, sizes.max_read, sizes.tags),
            (128, 512, 256)
        );
        space.write(express::DEVICE_CONTROL.offset, Width::Word, 0x70E0);
        let sizes = space.traffic_sizes();
        assert_eq!(
            (sizes.max_payload, sizes.max_read, sizes.tags),
            (256, 4096, 32)
        );
    }
}
