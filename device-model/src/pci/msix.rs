//! MSI-X: the table of messages, the pending bits, and the gate that enable and mask make.

use regs::pci::{
    MSIX_ADDRESS_HIGH, MSIX_ADDRESS_LOW, MSIX_DATA, MSIX_ENTRY_LEN, MSIX_PENDING,
    MSIX_VECTOR_CONTROL,
};
use regs::{DeviceAddr, Errata, FunctionId, RingId, Vector};

use crate::snapshot::{Check, check};

/// An interrupt message as it goes over the link: a write of one dword.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Message {
    /// Function that sends it.
    pub function: FunctionId,
    /// Where it is written.
    pub addr: DeviceAddr,
    /// What is written.
    pub data: u32,
}

/// What enable and function mask let through.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(super) enum Gate {
    /// MSI-X is off: nothing is sent, and nothing waits.
    #[default]
    Off,
    /// Everything waits.
    Closed,
    /// What is not masked by itself is sent.
    Open,
}

/// One entry of the table.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Entry {
    addr: u64,
    data: u32,
    is_masked: bool,
    /// Ring pair whose message waits.
    ring: RingId,
}

const RESET: Entry = Entry {
    addr: 0,
    data: 0,
    is_masked: true,
    ring: RingId::ADMIN,
};

/// The vectors of one function.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct VectorTable {
    function: FunctionId,
    entries: Vec<Entry>,
    /// Bit `n` for vector `n`.
    pending: u128,
    gate: Gate,
    order: Order,
}

/// Which entries were programmed, of a card that is particular about their order. Bit `n` for
/// vector `n`.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Order {
    /// Whether the card is.
    matters: bool,
    written: u128,
    /// These came too early and send nothing.
    mute: u128,
}

impl Order {
    /// An entry is written.
    fn write(&mut self, vector: u32) {
        let entry = 1 << vector;
        let below = entry - 1;
        if self.matters && self.written & entry == 0 && self.written & below != below {
            self.mute |= entry;
        }
        self.written |= entry;
    }

    /// No entry was programmed.
    fn clear(&mut self) {
        (self.written, self.mute) = (0, 0);
    }
}

impl VectorTable {
    /// A table of up to 128 vectors; of a card with `errata`.
    pub(super) fn new(function: FunctionId, vectors: u16, errata: Errata) -> Self {
        Self {
            function,
            entries: vec![RESET; vectors.into()],
            pending: 0,
            gate: Gate::Off,
            order: Order {
                matters: errata.contains(Errata::VECTOR_ORDER),
                ..Order::default()
            },
        }
    }

    /// As after power-on.
    pub(super) fn clear(&mut self) {
        self.clear_entries();
        self.gate = Gate::Off;
    }

    /// Every vector is masked and has no message; nothing waits.
    pub(super) fn clear_entries(&mut self) {
        self.entries.fill(RESET);
        self.pending = 0;
        self.order.clear();
    }

    /// Forgets the messages that wait.
    pub(super) fn forget_pending(&mut self) {
        self.pending = 0;
    }

    pub(super) fn is_off(&self) -> bool {
        self.gate == Gate::Off
    }

    /// Turning MSI-X off forgets the messages that wait.
    pub(super) fn set_gate(&mut self, gate: Gate) {
        self.gate = gate;
        if gate == Gate::Off {
            self.pending = 0;
        }
    }

    /// `ring` has something to tell on `vector`: the message to send now, if it need not wait. A
    /// vector that the function lacks, or that is mute, sends nothing.
    pub(super) fn signal(&mut self, vector: u32, ring: RingId) -> Option<Message> {
        let entry = self.entries.get_mut(vector as usize)?;
        if self.order.mute >> vector & 1 != 0 {
            return None;
        }
        if self.gate == Gate::Open && !entry.is_masked {
            return Some(Message {
                function: self.function,
                addr: DeviceAddr(entry.addr),
                data: entry.data,
            });
        }
        if self.gate != Gate::Off {
            entry.ring = ring;
            self.pending |= 1 << vector;
        }
        None
    }

    /// The next message that waited and need not wait any more.
    pub(super) fn release(&mut self) -> Option<(RingId, Vector, Message)> {
        if self.gate != Gate::Open || self.pending == 0 {
            return None;
        }
        let waits = |&(vector, entry): &(usize, &Entry)| {
            self.pending >> vector & 1 != 0 && !entry.is_masked
        };
        let (vector, entry) = self.entries.iter().enumerate().find(waits)?;
        self.pending &= !(1 << vector);
        let message = Message {
            function: self.function,
            addr: DeviceAddr(entry.addr),
            data: entry.data,
        };
        Some((entry.ring, Vector(vector as u16), message))
    }

    /// Whether a table made as `fresh` was can be in this state.
    pub(super) fn check(&self, fresh: &Self) -> Check {
        let count = fresh.entries.len();
        let is_like = self.function == fresh.function
            && self.entries.len() == count
            && self.order.matters == fresh.order.matters;
        check(is_like, "vectors of a function")?;
        let is_known = self.pending.checked_shr(count as u32).unwrap_or(0) == 0;
        check(is_known, "vectors that wait")?;
        let order = self.order;
        let is_mute = order.mute & !order.written == 0 && self.pending & order.mute == 0;
        check(is_mute, "vectors that are mute")
    }

    /// Reads the aligned dword at `offset` of the table's BAR; holes read zero.
    pub(super) fn read(&self, offset: u32) -> u32 {
        if let Some(word) = offset.checked_sub(MSIX_PENDING) {
            return self.pending.checked_shr(word * 8).unwrap_or(0) as u32;
        }
        let Some(entry) = self.entries.get((offset / MSIX_ENTRY_LEN) as usize) else {
            return 0;
        };
        match offset % MSIX_ENTRY_LEN {
            MSIX_ADDRESS_LOW => entry.addr as u32,
            MSIX_ADDRESS_HIGH => (entry.addr >> 32) as u32,
            MSIX_DATA => entry.data,
            MSIX_VECTOR_CONTROL => entry.is_masked.into(),
            _ => 0,
        }
    }

    /// Writes the aligned dword at `offset` of the table's BAR; holes and pending bits ignore it.
    pub(super) fn write(&mut self, offset: u32, value: u32) {
        const LOW: u64 = 0xFFFF_FFFF;
        if offset >= MSIX_PENDING {
            return;
        }
        let vector = offset / MSIX_ENTRY_LEN;
        let Some(entry) = self.entries.get_mut(vector as usize) else {
            return;
        };
        self.order.write(vector);
        self.pending &= !self.order.mute;
        match offset % MSIX_ENTRY_LEN {
            // The message is one aligned dword.
            MSIX_ADDRESS_LOW => entry.addr = (entry.addr & !LOW) | u64::from(value & !3),
            MSIX_ADDRESS_HIGH => entry.addr = (entry.addr & LOW) | (u64::from(value) << 32),
            MSIX_DATA => entry.data = value,
            MSIX_VECTOR_CONTROL => entry.is_masked = value & 1 != 0,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> VectorTable {
        let mut table = VectorTable::new(FunctionId::PHYSICAL, 3, Errata::empty());
        table.set_gate(Gate::Open);
        table.write(MSIX_ENTRY_LEN + MSIX_ADDRESS_LOW, 0xFEE0_1003);
        table.write(MSIX_ENTRY_LEN + MSIX_ADDRESS_HIGH, 7);
        table.write(MSIX_ENTRY_LEN + MSIX_DATA, 0x41);
        table
    }

    const MESSAGE: Message = Message {
        function: FunctionId::PHYSICAL,
        addr: DeviceAddr(0x7_FEE0_1000),
        data: 0x41,
    };
    const CONTROL: u32 = MSIX_ENTRY_LEN + MSIX_VECTOR_CONTROL;

    #[test]
    fn a_vector_is_masked_until_it_is_unmasked_and_waits_meanwhile() {
        let mut table = table();
        assert_eq!(table.read(CONTROL), 1, "masked after reset");
        assert_eq!(table.signal(1, RingId(4)), None);
        assert_eq!(table.read(MSIX_PENDING), 0b10);
        assert_eq!(table.release(), None);
        table.write(CONTROL, 0xFFFF_FFFE);
        assert_eq!(table.release(), Some((RingId(4), Vector(1), MESSAGE)));
        assert_eq!(table.read(MSIX_PENDING), 0);
        assert_eq!(table.release(), None);
        assert_eq!(table.signal(1, RingId(4)), Some(MESSAGE));
    }

    #[test]
    fn the_function_mask_keeps_every_vector_back_and_off_forgets() {
        let mut table = table();
        table.write(CONTROL, 0);
        table.set_gate(Gate::Closed);
        assert_eq!(table.signal(1, RingId(4)), None);
        table.set_gate(Gate::Open);
        assert_eq!(table.release(), Some((RingId(4), Vector(1), MESSAGE)));
        table.set_gate(Gate::Closed);
        assert_eq!(table.signal(1, RingId(4)), None);
        table.set_gate(Gate::Off);
        assert_eq!(table.signal(1, RingId(4)), None);
        table.set_gate(Gate::Open);
        assert_eq!(table.release(), None);
    }

    #[test]
    fn vectors_and_offsets_that_the_table_lacks_do_nothing() {
        let mut table = table();
        assert_eq!(table.signal(3, RingId(1)), None);
        assert_eq!(table.signal(u32::MAX, RingId(1)), None);
        table.write(3 * MSIX_ENTRY_LEN, u32::MAX);
        table.write(MSIX_PENDING, u32::MAX);
        assert_eq!(table.read(3 * MSIX_ENTRY_LEN), 0);
        assert_eq!(table.read(MSIX_PENDING), 0);
        assert_eq!(table.read(MSIX_PENDING + 0xFFC), 0);
    }
}
