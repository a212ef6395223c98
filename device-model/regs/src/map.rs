//! The macro that declares a page of registers once.
//!
//! From one table it makes the enum, its offset decoder, the access kind and reset value of each
//! register, and the rows the datasheet is checked against.

/// What a register does with a read and a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Writes are ignored.
    ReadOnly,
    /// Reads give the value last written.
    ReadWrite,
    /// Writing a one clears that bit; writing a zero leaves it.
    WriteOneToClear,
    /// Writes act; reads give zero.
    Doorbell,
}

/// A run of bits of a register.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FieldInfo {
    /// Name as in the datasheet; begins with an underscore if the bits are reserved.
    pub name: &'static str,
    /// Lowest bit.
    pub low: u32,
    /// Number of bits.
    pub width: u32,
    /// First paragraph of the field's description.
    pub description: &'static str,
}

impl FieldInfo {
    /// Whether the bits have no meaning: they are written as zero.
    #[must_use]
    pub const fn is_reserved(&self) -> bool {
        self.name.as_bytes()[0] == b'_'
    }
}

/// One row of the register table.
#[derive(Clone, Copy, Debug)]
pub struct RegisterInfo {
    /// Offset in bytes from the start of the register's page.
    pub offset: u32,
    /// Name as in the datasheet.
    pub name: &'static str,
    /// What reads and writes do.
    pub access: Access,
    /// Value after reset.
    pub reset: u32,
    /// First paragraph of the register's description.
    pub description: &'static str,
    /// Its fields from bit 0 up; empty if it is one number.
    pub fields: &'static [FieldInfo],
}

impl RegisterInfo {
    /// The bits that mean something: those that no reserved field covers.
    #[must_use]
    pub fn meaning_mask(&self) -> u32 {
        let reserved = self.fields.iter().filter(|field| field.is_reserved());
        let bits = reserved.map(|field| (u32::MAX >> (32 - field.width)) << field.low);
        !bits.fold(0, |mask, bits| mask | bits)
    }
}

/// One code of a field that names things.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CodeInfo {
    /// The value on the wire.
    pub code: u32,
    /// Name as in the datasheet.
    pub name: &'static str,
    /// First paragraph of the code's description.
    pub description: &'static str,
}

/// One field of a structure in memory. All numbers are little-endian.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WireInfo {
    /// Offset in bytes from the start of the structure.
    pub offset: usize,
    /// Length in bytes; 1, 2, 4 or 8 is a number, all else an array of bytes.
    pub len: usize,
    /// Name as in the datasheet; begins with an underscore if the bytes are reserved.
    pub name: &'static str,
    /// What it says.
    pub description: &'static str,
}

impl WireInfo {
    /// Whether the bytes have no meaning: they are written as zero.
    #[must_use]
    pub const fn is_reserved(&self) -> bool {
        self.name.as_bytes()[0] == b'_'
    }
}

macro_rules! register_map {
    (
        $(#[$enum_doc:meta])*
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $offset:literal $register:ident $(($fields:ty))? : $access:ident = $reset:expr;
            )+
        }
    ) => {
        $(#[$enum_doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $name {
            $( $(#[doc = $doc])+ $register, )+
        }

        impl $name {
            /// Every register of the page, in order of offset.
            pub const ALL: &'static [$name] = &[$($name::$register),+];

            /// The rows of the datasheet, in order of offset.
            pub const TABLE: &'static [$crate::RegisterInfo] = &[
                $( $crate::RegisterInfo {
                    offset: $offset,
                    name: stringify!($register),
                    access: $crate::Access::$access,
                    reset: $reset,
                    description: concat!($($doc),+),
                    fields: $crate::map::fields![$($fields)?],
                }, )+
            ];

            /// The register at `offset` bytes into its page, if there is one.
            #[must_use]
            pub const fn at(offset: u32) -> Option<Self> {
                match offset {
                    $( $offset => Some(Self::$register), )+
                    _ => None,
                }
            }

            /// The register's row in the table.
            #[must_use]
            pub const fn info(self) -> &'static $crate::RegisterInfo {
                &Self::TABLE[self as usize]
            }

            /// Offset in bytes from the start of the page.
            #[must_use]
            pub const fn offset(self) -> u32 {
                self.info().offset
            }

            /// Value after reset.
            #[must_use]
            pub const fn reset_value(self) -> u32 {
                self.info().reset
            }
        }

        // Offsets ascend by at least four: nothing overlaps, nothing is unaligned.
        const _: () = {
            let table = $name::TABLE;
            let mut i = 0;
            while i < table.len() {
                assert!(table[i].offset % 4 == 0);
                assert!(i == 0 || table[i].offset >= table[i - 1].offset + 4);
                i += 1;
            }
        };
    };
}
pub(crate) use register_map;

/// The fields of a register's type, or none.
macro_rules! fields {
    [] => { &[] };
    [$fields:ty] => { <$fields>::FIELDS };
}
pub(crate) use fields;

/// Declares the value of a register: its fields from bit 0 up, each with its width in bits. Fields
/// whose name begins with an underscore are reserved.
macro_rules! register_fields {
    (
        $(#[$doc_of_value:meta])*
        $name:ident : $bits:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $type:ident [$width:tt];
            )+
        }
    ) => {
        $(#[$doc_of_value])*
        #[bitfield_struct::bitfield($bits)]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
        #[derive(Eq, PartialEq)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                #[bits($width)]
                pub $field: $type,
            )+
        }

        impl $name {
            /// The fields from bit 0 up, reserved ones too.
            pub const FIELDS: &'static [$crate::FieldInfo] = &{
                let widths = [$($width),+];
                let mut table = [$( $crate::FieldInfo {
                    name: stringify!($field),
                    low: 0,
                    width: $width,
                    description: concat!($($doc),+),
                } ),+];
                let mut i = 1;
                while i < table.len() {
                    table[i].low = table[i - 1].low + widths[i - 1];
                    i += 1;
                }
                table
            };
        }
    };
}
pub(crate) use register_fields;

/// Declares an enum of codes: its decoder, the list of its values and the rows of the datasheet.
/// The first value is the default.
macro_rules! codes {
    (
        $(#[$doc_of_enum:meta])*
        $name:ident : $repr:ident {
            $(
                $(#[doc = $doc:literal])+
                $variant:ident = $code:literal,
            )+
        }
    ) => {
        $(#[$doc_of_enum])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
        #[repr($repr)]
        pub enum $name {
            $( $(#[doc = $doc])+ $variant = $code, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self::ALL[0]
            }
        }

        impl $name {
            /// Every value, in order of code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The rows of the datasheet, in order of code.
            pub const TABLE: &'static [$crate::CodeInfo] = &[
                $( $crate::CodeInfo {
                    code: $code,
                    name: stringify!($variant),
                    description: concat!($($doc),+),
                }, )+
            ];

            /// The value that `code` stands for.
            #[must_use]
            #[inline]
            pub const fn from_code(code: $repr) -> Option<Self> {
                match code {
                    $( $code => Some(Self::$variant), )+
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use codes;

/// Declares the layout of a structure in memory: fields without gaps from byte 0 up, each with its
/// length in bytes. Fields whose name begins with an underscore are reserved.
macro_rules! layout {
    ( $( $field:ident [$len:expr] $doc:literal ),+ $(,)? ) => {
        &{
            let mut table = [$( $crate::WireInfo {
                offset: 0,
                len: $len,
                name: stringify!($field),
                description: $doc,
            } ),+];
            let mut i = 1;
            while i < table.len() {
                table[i].offset = table[i - 1].offset + table[i - 1].len;
                i += 1;
            }
            table
        }
    };
}
pub(crate) use layout;

/// Declares a set of flags: each its bit number, in ascending order.
macro_rules! flags {
    (
        $(#[$doc_of_set:meta])*
        $name:ident : $bits:ident {
            $(
                $(#[doc = $doc:literal])+
                $bit:literal $flag:ident,
            )+
        }
    ) => {
        bitflags::bitflags! {
            $(#[$doc_of_set])*
            #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
            #[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
            pub struct $name: $bits {
                $( $(#[doc = $doc])+ const $flag = 1 << $bit; )+
            }
        }

        impl $name {
            /// The rows of the datasheet, in order of bit.
            pub const TABLE: &'static [$crate::FieldInfo] = &[
                $( $crate::FieldInfo {
                    name: stringify!($flag),
                    low: $bit,
                    width: 1,
                    description: concat!($($doc),+),
                }, )+
            ];
        }
    };
}
pub(crate) use flags;
