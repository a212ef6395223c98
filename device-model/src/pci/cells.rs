//! The bytes of configuration space, and what a write may do to each bit.

use regs::pci::{CONFIG_LEN, ConfigPage, Field, FieldAccess};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::access::Width;
use crate::snapshot::{Check, check};

/// One byte and its rules. A bit that is neither writable nor cleared by a one is read-only.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    value: u8,
    /// Value after power-on.
    reset: u8,
    writable: u8,
    /// Cleared by writing a one.
    clears: u8,
    /// Outlives every reset but power-on.
    sticky: u8,
    /// Changed by the card itself.
    live: u8,
}

/// Configuration space as a block of bytes.
#[derive(Clone, Debug)]
pub(super) struct Cells(Box<[Cell; CONFIG_LEN]>);

impl Cells {
    /// What `pages` declare; fields that are not `alive` are read-only.
    pub(super) fn new(pages: &[&ConfigPage], alive: impl Fn(&Field) -> bool) -> Self {
        let mut cells = Self(Box::new([Cell::default(); CONFIG_LEN]));
        for register in pages.iter().flat_map(|page| page.registers) {
            let at = usize::from(register.offset);
            let bytes = register.reset.to_le_bytes();
            for (cell, reset) in cells.0[at..at + usize::from(register.width)]
                .iter_mut()
                .zip(bytes)
            {
                cell.reset = reset;
                cell.value = reset;
            }
            for field in register.fields.iter().filter(|field| alive(field)) {
                cells.allow(field);
            }
        }
        cells
    }

    fn allow(&mut self, field: &Field) {
        let mask = field.mask().to_le_bytes();
        for (cell, mask) in self.0[usize::from(field.offset)..].iter_mut().zip(mask) {
            match field.access {
                FieldAccess::ReadOnly => {}
                FieldAccess::Live | FieldAccess::StickyLive => cell.live |= mask,
                FieldAccess::ReadWrite | FieldAccess::StickyReadWrite | FieldAccess::Action => {
                    cell.writable |= mask;
                }
                FieldAccess::WriteOneToClear | FieldAccess::StickyWriteOneToClear => {
                    cell.clears |= mask;
                }
            }
            if field.access.is_sticky() {
                cell.sticky |= mask;
            }
        }
    }

    /// Gives `field` a value that it has from power-on.
    pub(super) fn preset(&mut self, field: Field, value: u32) {
        self.set(field, value);
        let (mask, bits) = (field.mask().to_le_bytes(), field.bits(value).to_le_bytes());
        let cells = self.0[usize::from(field.offset)..].iter_mut();
        for (cell, (mask, bits)) in cells.zip(mask.into_iter().zip(bits)) {
            cell.reset = (cell.reset & !mask) | bits;
        }
    }

    /// The dword that begins with the register at `offset`.
    fn dword(&self, offset: u16) -> u32 {
        let mut bytes = [0; 4];
        let cells = &self.0[usize::from(offset)..];
        for (byte, cell) in bytes.iter_mut().zip(cells) {
            *byte = cell.value;
        }
        u32::from_le_bytes(bytes)
    }

    /// The value of `field`.
    pub(super) fn get(&self, field: Field) -> u32 {
        field.of(self.dword(field.offset))
    }

    /// Whether any bit of `field` is set.
    pub(super) fn is_set(&self, field: Field) -> bool {
        self.get(field) != 0
    }

    /// The card itself changes `field`.
    pub(super) fn set(&mut self, field: Field, value: u32) {
        let (mask, bits) = (field.mask().to_le_bytes(), field.bits(value).to_le_bytes());
        let cells = self.0[usize::from(field.offset)..].iter_mut();
        for (cell, (mask, bits)) in cells.zip(mask.into_iter().zip(bits)) {
            cell.value = (cell.value & !mask) | bits;
        }
    }

    /// Whether a one was written to the action `field` since the last call.
    pub(super) fn take(&mut self, field: Field) -> bool {
        let is_set = self.is_set(field);
        self.set(field, 0);
        is_set
    }

    /// Reads an access that [`Width::fits`].
    pub(super) fn read(&self, offset: u16, width: Width) -> u32 {
        let mut bytes = [0; 4];
        let at = usize::from(offset);
        for (byte, cell) in bytes.iter_mut().zip(&self.0[at..at + width.bytes()]) {
            *byte = cell.value;
        }
        u32::from_le_bytes(bytes)
    }

    /// Writes an access that [`Width::fits`].
    pub(super) fn write(&mut self, offset: u16, width: Width, value: u32) {
        let at = usize::from(offset);
        let cells = self.0[at..at + width.bytes()].iter_mut();
        for (cell, byte) in cells.zip(value.to_le_bytes()) {
            cell.value = (cell.value & !cell.writable) | (byte & cell.writable);
            cell.value &= !(byte & cell.clears);
        }
    }

    /// Back to power-on, but for sticky fields and `kept`.
    pub(super) fn reset(&mut self, kept: &[Field]) {
        let before: Vec<u32> = kept.iter().map(|&field| self.get(field)).collect();
        for cell in self.0.iter_mut() {
            cell.value = (cell.value & cell.sticky) | (cell.reset & !cell.sticky);
        }
        for (&field, value) in kept.iter().zip(before) {
            self.set(field, value);
        }
    }

    /// Takes the rules of `fresh`; whether the values can be those of such cells.
    pub(super) fn adopt(&mut self, fresh: &Self) -> Check {
        for (cell, fresh) in self.0.iter_mut().zip(fresh.0.iter()) {
            let changing = fresh.writable | fresh.clears | fresh.live;
            check(
                (cell.value ^ fresh.reset) & !changing == 0,
                "a read-only bit of configuration space",
            )?;
            *cell = Cell {
                value: cell.value,
                ..*fresh
            };
        }
        Ok(())
    }

    /// Power-on.
    pub(super) fn clear(&mut self) {
        for cell in self.0.iter_mut() {
            cell.value = cell.reset;
        }
    }
}

impl Serialize for Cells {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values: Vec<u8> = self.0.iter().map(|cell| cell.value).collect();
        values.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cells {
    /// Values without rules: see [`adopt`](Cells::adopt).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Vec::<u8>::deserialize(deserializer)?;
        if values.len() != CONFIG_LEN {
            return Err(D::Error::invalid_length(values.len(), &"4096 bytes"));
        }
        let mut cells = Self(Box::new([Cell::default(); CONFIG_LEN]));
        for (cell, value) in cells.0.iter_mut().zip(values) {
            cell.value = value;
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regs::pci::{PAGES, aer, express, header};

    fn cells() -> Cells {
        Cells::new(&PAGES, |_| true)
    }

    #[test]
    fn every_field_does_what_its_access_says() {
        for field in PAGES
            .iter()
            .flat_map(|page| page.registers)
            .flat_map(|register| register.fields)
        {
            let mut cells = cells();
            let all = field.of(u32::MAX);
            let before = cells.get(*field);
            let write = |cells: &mut Cells, value: u32| {
                let bytes = field.bits(value).to_le_bytes();
                for (at, byte) in (field.offset..).zip(bytes).take(4) {
                    cells.write(at, Width::Byte, byte.into());
                }
                cells.get(*field)
            };
            match field.access {
                FieldAccess::ReadOnly | FieldAccess::Live | FieldAccess::StickyLive => {
                    assert_eq!(write(&mut cells, !before), before, "{}", field.name);
                }
                FieldAccess::ReadWrite | FieldAccess::StickyReadWrite => {
                    assert_eq!(write(&mut cells, all), all, "{}", field.name);
                    assert_eq!(write(&mut cells, 0), 0, "{}", field.name);
                }
                FieldAccess::WriteOneToClear | FieldAccess::StickyWriteOneToClear => {
                    assert_eq!(write(&mut cells, all), 0, "{}", field.name);
                    cells.set(*field, all);
                    assert_eq!(write(&mut cells, 0), all, "{}", field.name);
                    assert_eq!(write(&mut cells, all), 0, "{}", field.name);
                }
                FieldAccess::Action => {
                    write(&mut cells, all);
                    assert!(cells.take(*field));
                    assert!(!cells.take(*field), "once");
                }
            }
        }
    }

    #[test]
    fn a_reset_keeps_what_is_sticky_and_power_on_does_not() {
        let mut cells = cells();
        cells.set(aer::POISONED, 1);
        cells.set(header::BUS_MASTER, 1);
        cells.set(express::MAX_PAYLOAD, 3);
        cells.reset(&[express::MAX_PAYLOAD]);
        assert!(cells.is_set(aer::POISONED));
        assert!(!cells.is_set(header::BUS_MASTER));
        assert_eq!(cells.get(express::MAX_PAYLOAD), 3);
        cells.clear();
        assert!(!cells.is_set(aer::POISONED));
        assert_eq!(cells.get(express::MAX_PAYLOAD), 0);
    }

    #[test]
    fn a_narrow_write_leaves_its_neighbours_alone() {
        let mut cells = cells();
        cells.write(header::COMMAND.offset, Width::Dword, 0xFFFF_0146);
        let status = cells.read(header::STATUS.offset, Width::Word);
        cells.write(header::COMMAND.offset + 1, Width::Byte, 0);
        assert_eq!(cells.read(header::COMMAND.offset, Width::Word), 0x46);
        assert_eq!(cells.read(header::STATUS.offset, Width::Word), status);
    }
}
