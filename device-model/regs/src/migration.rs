//! What moves between cards: key-encryption keys and sessions, and how a service command names
//! them.
//!
//! Layouts only. What is in an envelope is the card's business alone; the host sees the header of a
//! [`SessionBlob`](BlobHeader) and carries the rest.

use crate::SESSION_BLOCK_LEN;
use crate::map::flags;
use crate::record::record;

/// Slots for key-encryption keys of a card.
pub const KEK_SLOTS: u8 = 8;
/// Length of a key-encryption key that is wrapped with AES-256 key wrap (RFC 3394), in bytes.
pub const WRAPPED_KEK_LEN: usize = 40;
/// First four bytes of a session blob, and of an offer.
pub const BLOB_MAGIC: u32 = u32::from_le_bytes(*b"RBLB");
/// First four bytes of an offer.
pub const OFFER_MAGIC: u32 = u32::from_le_bytes(*b"ROFR");
/// The version of blobs and offers that this card makes, and the only one it takes.
pub const BLOB_VERSION: u32 = 1;
/// Length of a session blob, in bytes: its header, the session block in an envelope, and a tag.
pub const BLOB_LEN: usize = BlobHeader::LEN + SESSION_BLOCK_LEN + BLOB_TAG_LEN;
/// Length of the tag at the end of a blob, in bytes.
pub const BLOB_TAG_LEN: usize = 16;

flags! {
    /// Flags of an [`Argument`].
    ArgumentFlags: u8 {
        /// The session exists and gets the context of the blob in place of its own.
        0 REPLACE,
        /// What the page shows begins anew when it has been read.
        1 CLEAR,
    }
}

record! {
    /// Bytes 48 to 63 of the descriptor of a service command: what else it names.
    Argument {
        /// Slot of the key-encryption key.
        kek: u8,
        /// Flags, see the argument flags.
        flags: u8,
        /// Which page, see the page codes.
        page: u16,
        /// Zero.
        reserved: u32,
        /// Whose session it is: a number that the host chooses.
        owner: u64,
    }
}

record! {
    /// The beginning of a session blob, readable by all and changeable by none.
    BlobHeader {
        /// "RBLB".
        magic: u32,
        /// Version of the blob.
        version: u32,
        /// Serial number of the card that made it.
        exporter: u64,
        /// Counts the blobs that this card made under this key-encryption key, from one on.
        sequence: u64,
        /// Whose session it is, as told when it was created.
        owner: u64,
        /// How often the session has been given other keys.
        epoch: u32,
        /// Length of the session block in the envelope, in bytes.
        block_len: u32,
        /// The first 16 bytes of the session block: codes and lengths, no keys.
        algorithm: [u8; 16],
        /// Tells key-encryption keys apart, and nothing about them.
        kek_id: [u8; 8],
        /// Random bytes that make the key of this envelope.
        salt: [u8; 16],
    }
}

record! {
    /// One card's half of an agreement on a key-encryption key.
    KekOffer {
        /// "ROFR".
        magic: u32,
        /// Version of the offer.
        version: u32,
        /// Serial number of the card that made it.
        serial: u64,
        /// X25519 public key (RFC 7748), made for this offer.
        public_key: [u8; 32],
        /// HMAC-SHA-256 of the bytes before, under a key that is made from the root key.
        tag: [u8; 32],
    }
}

impl Argument {
    /// The flags; `None` if a reserved bit or byte is not zero.
    #[must_use]
    pub const fn flags(&self) -> Option<ArgumentFlags> {
        if self.reserved != 0 {
            return None;
        }
        ArgumentFlags::from_bits(self.flags)
    }
}

impl KekOffer {
    /// Bytes that the tag is taken over.
    pub const TAGGED: usize = Self::LEN - 32;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_fills_its_place_in_the_descriptor() {
        assert_eq!(Argument::LEN, 16);
        let argument = Argument {
            flags: 4,
            ..Argument::default()
        };
        assert_eq!(argument.flags(), None);
        let argument = Argument {
            reserved: 1,
            ..Argument::default()
        };
        assert_eq!(argument.flags(), None);
        let argument = Argument {
            flags: ArgumentFlags::CLEAR.bits(),
            ..Argument::default()
        };
        assert_eq!(argument.flags(), Some(ArgumentFlags::CLEAR));
    }

    #[test]
    fn fields_lie_at_multiples_of_their_size() {
        for table in [Argument::LAYOUT, BlobHeader::LAYOUT, KekOffer::LAYOUT] {
            for field in table.iter().filter(|field| field.len <= 8) {
                assert!(field.offset.is_multiple_of(field.len), "{}", field.name);
            }
        }
    }
}
