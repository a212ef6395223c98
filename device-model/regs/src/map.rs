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
}

macro_rules! register_map {
    (
        $(#[$enum_doc:meta])*
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $offset:literal $register:ident : $access:ident = $reset:expr;
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
