//! The macro that declares a page of configuration space once.
//!
//! From one table it makes a constant for each register and for each field, and the page's list of
//! registers, which the card builds its configuration space from and the datasheet is checked
//! against.

/// What a field of configuration space does with reads and writes. *Sticky* fields outlive a
/// function-level reset, a hot reset and D3hot, and are lost with power only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldAccess {
    /// Writes are ignored.
    ReadOnly,
    /// Reads give what was last written.
    ReadWrite,
    /// Writing a one clears that bit; writing a zero leaves it.
    WriteOneToClear,
    /// Writing a one acts; reads give zero.
    Action,
    /// Writes are ignored; the card changes it.
    Live,
    /// As [`Live`](Self::Live), sticky.
    StickyLive,
    /// As [`ReadWrite`](Self::ReadWrite), sticky.
    StickyReadWrite,
    /// As [`WriteOneToClear`](Self::WriteOneToClear), sticky.
    StickyWriteOneToClear,
}

impl FieldAccess {
    /// Whether the field outlives all resets but loss of power.
    #[must_use]
    pub const fn is_sticky(self) -> bool {
        matches!(
            self,
            Self::StickyLive | Self::StickyReadWrite | Self::StickyWriteOneToClear
        )
    }
}

/// Neighbouring bits of one register of configuration space.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field {
    /// Offset of its register from the start of configuration space, in bytes.
    pub offset: u16,
    /// Lowest bit, counted within the register.
    pub low: u8,
    /// Highest bit, counted within the register.
    pub high: u8,
    /// What reads and writes do.
    pub access: FieldAccess,
    /// Name as in the datasheet.
    pub name: &'static str,
    /// First paragraph of the field's description.
    pub description: &'static str,
}

impl Field {
    /// The field's bits within its register.
    #[must_use]
    pub const fn mask(&self) -> u32 {
        let width = self.high - self.low + 1;
        (u32::MAX >> (32 - width as u32)) << self.low
    }

    /// The field's value in `register`.
    #[must_use]
    pub const fn of(&self, register: u32) -> u32 {
        (register & self.mask()) >> self.low
    }

    /// The register's bits if this field is `value`, cut to the field, and all others are zero.
    #[must_use]
    pub const fn bits(&self, value: u32) -> u32 {
        (value << self.low) & self.mask()
    }
}

/// A register of configuration space. Bits outside its fields keep their reset value.
#[derive(Clone, Copy, Debug)]
pub struct ConfigRegister {
    /// Offset from the start of configuration space, in bytes.
    pub offset: u16,
    /// Width in bytes: one, two or four.
    pub width: u8,
    /// Name as in the datasheet.
    pub name: &'static str,
    /// Value after power-on.
    pub reset: u32,
    /// First paragraph of the register's description.
    pub description: &'static str,
    /// What its bits mean, lowest first.
    pub fields: &'static [Field],
}

impl ConfigRegister {
    /// The whole register as one field, read-only.
    #[must_use]
    pub const fn whole(&self) -> Field {
        Field {
            offset: self.offset,
            low: 0,
            high: self.width * 8 - 1,
            access: FieldAccess::ReadOnly,
            name: self.name,
            description: self.description,
        }
    }

    const fn is_sound(&self) -> bool {
        let mut used = 0;
        let mut i = 0;
        while i < self.fields.len() {
            let field = &self.fields[i];
            let fits = field.high >= field.low && field.high < self.width * 8;
            if !fits || field.mask() & used != 0 {
                return false;
            }
            used |= field.mask();
            i += 1;
        }
        let aligned =
            matches!(self.width, 1 | 2 | 4) && self.offset.is_multiple_of(self.width as u16);
        aligned && (self.width == 4 || self.reset >> (self.width * 8) == 0)
    }
}

/// The header or one capability.
#[derive(Clone, Copy, Debug)]
pub struct ConfigPage {
    /// Name as in the datasheet.
    pub name: &'static str,
    /// Its registers, in order of offset.
    pub registers: &'static [ConfigRegister],
}

impl ConfigPage {
    /// Whether offsets ascend, nothing overlaps, and every field is inside its register.
    pub(crate) const fn is_sound(&self) -> bool {
        let mut end = 0;
        let mut i = 0;
        while i < self.registers.len() {
            let register = &self.registers[i];
            if register.offset < end || !register.is_sound() {
                return false;
            }
            end = register.offset + register.width as u16;
            i += 1;
        }
        end as usize <= super::CONFIG_LEN
    }
}

macro_rules! config_page {
    (
        $(#[doc = $page_doc:literal])+
        $page:ident $title:literal {
            $(
                $(#[doc = $doc:literal])+
                $offset:literal $register:ident : $width:literal = $reset:expr
                $( ; {
                    $(
                        $(#[doc = $field_doc:literal])+
                        [$high:literal : $low:literal] $field:ident : $access:ident;
                    )*
                } )?
            ;)+
        }
    ) => {
        $(#[doc = $page_doc])+
        pub mod $page {
            $(
                $(#[doc = $doc])+
                pub const $register: $crate::pci::ConfigRegister = $crate::pci::ConfigRegister {
                    offset: $offset,
                    width: $width,
                    name: stringify!($register),
                    reset: $reset,
                    description: concat!($($doc),+),
                    fields: &[$( $( $field ),* )?],
                };
                $( $(
                    $(#[doc = $field_doc])+
                    pub const $field: $crate::pci::Field = $crate::pci::Field {
                        offset: $offset,
                        low: $low,
                        high: $high,
                        access: $crate::pci::FieldAccess::$access,
                        name: stringify!($field),
                        description: concat!($($field_doc),+),
                    };
                )* )?
            )+
            /// Every register of the page, in order of offset.
            pub const PAGE: $crate::pci::ConfigPage = $crate::pci::ConfigPage {
                name: $title,
                registers: &[$($register),+],
            };
            const _: () = assert!(PAGE.is_sound());
        }
    };
}
pub(crate) use config_page;
