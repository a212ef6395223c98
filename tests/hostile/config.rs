//! Any accesses at all to configuration space.

use device_model::{Card, Profile};

use super::Story;

/// Bytes of configuration space that a dword access can reach.
const LAST_DWORD: u16 = 0xFFC;

/// Reads and writes configuration space as the bytes say; gives the number of writes.
///
/// # Panics
/// If what must not change does: the identity, and a value that is written twice.
pub fn config(bytes: &[u8]) -> u64 {
    let mut card = Card::new(Profile::reference()).expect("the reference profile is a card");
    let identity = card.config_read(0);
    let class = card.config_read(8);
    let mut story = Story::new(bytes);
    let mut writes = 0;
    while !story.is_over() {
        let offset = story.half() & LAST_DWORD;
        let value = story.word();
        card.config_write(offset, value);
        writes += 1;
        let first = card.config_read(offset);
        assert_eq!(
            card.config_read(offset),
            first,
            "a read changed {offset:#x}"
        );
        assert_eq!(card.config_read(0), identity, "a write to {offset:#x}");
        assert_eq!(card.config_read(8), class, "a write to {offset:#x}");
    }
    writes
}
