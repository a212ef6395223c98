//! The macro that declares a structure in memory once.
//!
//! From one list of fields it makes the type, its layout table, and both ways between value and
//! bytes. For structures whose every byte is a plain number or an array; what has codes, flags or
//! secrets in it is written out by hand.

/// A value with a fixed place in memory.
pub(crate) trait Wire: Sized {
    /// Bytes in memory.
    const LEN: usize;
    /// Writes the value to the first [`LEN`](Self::LEN) of `bytes`.
    fn put(&self, bytes: &mut [u8]);
    /// The value in the first [`LEN`](Self::LEN) of `bytes`.
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! wire_number {
    ( $($type:ident)+ ) => { $(
        impl Wire for $type {
            const LEN: usize = size_of::<Self>();
            fn put(&self, bytes: &mut [u8]) {
                bytes[..Self::LEN].copy_from_slice(&self.to_le_bytes());
            }
            fn get(bytes: &[u8]) -> Self {
                Self::from_le_bytes($crate::command::field(bytes, 0))
            }
        }
    )+ };
}
wire_number!(u8 u16 u32 u64);

impl<T: Wire + Copy + Default, const N: usize> Wire for [T; N] {
    const LEN: usize = N * T::LEN;
    fn put(&self, bytes: &mut [u8]) {
        for (value, place) in self.iter().zip(bytes.chunks_exact_mut(T::LEN)) {
            value.put(place);
        }
    }
    fn get(bytes: &[u8]) -> Self {
        let mut values = [T::default(); N];
        for (value, place) in values.iter_mut().zip(bytes.chunks_exact(T::LEN)) {
            *value = T::get(place);
        }
        values
    }
}

/// Declares a structure in memory: fields without gaps from byte 0 up.
macro_rules! record {
    (
        $(#[$doc_of_record:meta])*
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $type:ty,
            )+
        }
    ) => {
        $(#[$doc_of_record])*
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = 0 $( + <$type as $crate::record::Wire>::LEN )+;

            /// Where the fields stand.
            pub const LAYOUT: &'static [$crate::WireInfo] = &{
                let mut table = [$( $crate::WireInfo {
                    offset: 0,
                    len: <$type as $crate::record::Wire>::LEN,
                    name: stringify!($field),
                    description: concat!($($doc),+),
                } ),+];
                let mut i = 1;
                while i < table.len() {
                    table[i].offset = table[i - 1].offset + table[i - 1].len;
                    i += 1;
                }
                table
            };

            /// The structure as it stands in memory.
            #[must_use]
            pub fn to_bytes(self) -> [u8; Self::LEN] {
                let mut bytes = [0; Self::LEN];
                $crate::record::Wire::put(&self, &mut bytes);
                bytes
            }

            /// The structure that stands in `bytes`.
            #[must_use]
            pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
                <Self as $crate::record::Wire>::get(bytes)
            }
        }

        impl $crate::record::Wire for $name {
            const LEN: usize = Self::LEN;
            fn put(&self, bytes: &mut [u8]) {
                let mut rest = bytes;
                $(
                    let (place, after) =
                        rest.split_at_mut(<$type as $crate::record::Wire>::LEN);
                    $crate::record::Wire::put(&self.$field, place);
                    rest = after;
                )+
                let _ = rest;
            }
            fn get(bytes: &[u8]) -> Self {
                let mut rest = bytes;
                $(
                    let (place, after) = rest.split_at(<$type as $crate::record::Wire>::LEN);
                    let $field = <$type as $crate::record::Wire>::get(place);
                    rest = after;
                )+
                let _ = rest;
                Self { $($field),+ }
            }
        }
    };
}
pub(crate) use record;

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro makes types that others see")]
mod tests {
    record! {
        /// A record of every kind of field.
        Sample {
            /// One.
            byte: u8,
            /// Two.
            array: [u8; 3],
            /// Three.
            word: u32,
            /// Four.
            numbers: [u64; 2],
        }
    }

    #[test]
    fn a_record_survives_memory_and_knows_its_layout() {
        let sample = Sample {
            byte: 1,
            array: [2, 3, 4],
            word: 0x0807_0605,
            numbers: [9, u64::MAX],
        };
        let bytes = sample.to_bytes();
        assert_eq!(&bytes[..9], &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(Sample::from_bytes(&bytes), sample);
        assert_eq!(Sample::LEN, 24);
        let places: Vec<_> = Sample::LAYOUT.iter().map(|row| row.offset).collect();
        assert_eq!(places, [0, 1, 4, 8]);
    }
}
