//! The native card's datasheet in forms that other tools read.
//!
//! Everything here is drawn from the tables of `regs`, which card and driver are built on; nothing
//! is written twice. Owns the list of what there is to show: register pages, structures in memory,
//! codes and flags. How it is shown belongs to [`markdown`], [`header`] and [`svd`].

pub mod header;
pub mod markdown;
pub mod svd;

use regs::{
    AlgorithmEntry, Argument, ArgumentFlags, BlobHeader, CipherCode, CodeInfo, Command,
    CommandFlags, Completion, DIGEST_STATE_LAYOUT, DigestCode, Errata, ErrorEntry, ErrorLog,
    FieldInfo, Health, Identity, KekOffer, Opcode, PageCode, PublicKeyFlags, PublicKeyOp, Register,
    RegisterInfo, RingRegister, RingStatistics, Segment, SessionBlock, SessionBlockFlags,
    Statistics, Status, StatusCount, WireInfo,
};

/// A page of registers in BAR 0, repeated for each ring where it is a ring's.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Name of the page.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Offset of the first one in BAR 0, in bytes.
    pub offset: u32,
    /// How many there are.
    pub count: u32,
    /// Distance between neighbours, in bytes.
    pub stride: u32,
    /// Its registers.
    pub registers: &'static [RegisterInfo],
}

/// Every page of registers, in order of offset.
pub const PAGES: [Page; 2] = [
    Page {
        name: "Control",
        description: "Registers of the control page",
        offset: 0,
        count: 1,
        stride: regs::RING_PAGE,
        registers: Register::TABLE,
    },
    Page {
        name: "Ring",
        description: "Registers of one ring pair; pair 0 is the admin ring",
        offset: regs::RING_PAGE,
        count: regs::MAX_RING_PAIRS + 1,
        stride: regs::RING_STRIDE,
        registers: RingRegister::TABLE,
    },
];

/// A structure in host memory.
#[derive(Clone, Copy, Debug)]
pub struct Structure {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Its fields, without gaps.
    pub fields: &'static [WireInfo],
}

impl Structure {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.iter().map(|field| field.len).sum()
    }

    /// Whether it has no fields.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// Every structure in host memory.
pub const STRUCTURES: [Structure; 16] = [
    Structure {
        name: "Command",
        description: "Command descriptor, one entry of a command ring",
        fields: Command::LAYOUT,
    },
    Structure {
        name: "Segment",
        description: "Entry of a scatter/gather list",
        fields: Segment::LAYOUT,
    },
    Structure {
        name: "Completion",
        description: "One entry of a completion ring",
        fields: Completion::LAYOUT,
    },
    Structure {
        name: "SessionBlock",
        description: "What a session is: the source stream of `SessionCreate`",
        fields: SessionBlock::LAYOUT,
    },
    Structure {
        name: "DigestState",
        description: "State of a hash between two parts of a message",
        fields: DIGEST_STATE_LAYOUT,
    },
    Structure {
        name: "Argument",
        description: "Bytes 48 to 63 of the descriptor of a service command",
        fields: Argument::LAYOUT,
    },
    Structure {
        name: "BlobHeader",
        description: "Beginning of a session blob",
        fields: BlobHeader::LAYOUT,
    },
    Structure {
        name: "KekOffer",
        description: "One card's half of an agreement on a key-encryption key",
        fields: KekOffer::LAYOUT,
    },
    Structure {
        name: "Identity",
        description: "Beginning of the identity page",
        fields: Identity::LAYOUT,
    },
    Structure {
        name: "AlgorithmEntry",
        description: "One algorithm of the identity page",
        fields: AlgorithmEntry::LAYOUT,
    },
    Structure {
        name: "ErrorLog",
        description: "Beginning of the error log",
        fields: ErrorLog::LAYOUT,
    },
    Structure {
        name: "ErrorEntry",
        description: "One error of the error log",
        fields: ErrorEntry::LAYOUT,
    },
    Structure {
        name: "Health",
        description: "Health page",
        fields: Health::LAYOUT,
    },
    Structure {
        name: "Statistics",
        description: "Beginning of the statistics page",
        fields: Statistics::LAYOUT,
    },
    Structure {
        name: "RingStatistics",
        description: "One ring pair of the statistics page",
        fields: RingStatistics::LAYOUT,
    },
    Structure {
        name: "StatusCount",
        description: "One status of the statistics page",
        fields: StatusCount::LAYOUT,
    },
];

/// A set of codes.
#[derive(Clone, Copy, Debug)]
pub struct Codes {
    /// What they are codes of.
    pub name: &'static str,
    /// The codes in ascending order.
    pub codes: &'static [CodeInfo],
}

/// Every set of codes.
pub const CODES: [Codes; 6] = [
    Codes {
        name: "Opcode",
        codes: Opcode::TABLE,
    },
    Codes {
        name: "Status",
        codes: Status::TABLE,
    },
    Codes {
        name: "Cipher",
        codes: CipherCode::TABLE,
    },
    Codes {
        name: "Digest",
        codes: DigestCode::TABLE,
    },
    Codes {
        name: "PublicKeyOp",
        codes: PublicKeyOp::TABLE,
    },
    Codes {
        name: "Page",
        codes: PageCode::TABLE,
    },
];

/// A set of flags in one byte or word of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    /// What they are flags of.
    pub name: &'static str,
    /// The flags by ascending bit.
    pub flags: &'static [FieldInfo],
}

/// Every set of flags.
pub const FLAGS: [Flags; 5] = [
    Flags {
        name: "Command",
        flags: CommandFlags::TABLE,
    },
    Flags {
        name: "Session",
        flags: SessionBlockFlags::TABLE,
    },
    Flags {
        name: "Argument",
        flags: ArgumentFlags::TABLE,
    },
    Flags {
        name: "PublicKey",
        flags: PublicKeyFlags::TABLE,
    },
    Flags {
        name: "Errata",
        flags: Errata::TABLE,
    },
];

/// A constant of the memory map or a limit.
pub const CONSTANTS: [(&str, u64); 21] = [
    ("PCI_VENDOR", regs::pci::PCI_VENDOR as u64),
    ("PCI_DEVICE", regs::pci::PCI_DEVICE as u64),
    ("BAR0_LEN", regs::BAR0_LEN as u64),
    ("RING_PAGE", regs::RING_PAGE as u64),
    ("RING_STRIDE", regs::RING_STRIDE as u64),
    ("DOORBELL_PAGE", regs::DOORBELL_PAGE as u64),
    ("DOORBELL_STRIDE", regs::DOORBELL_STRIDE as u64),
    ("COMPLETION_DOORBELL", regs::COMPLETION_DOORBELL as u64),
    ("MAX_RING_PAIRS", regs::MAX_RING_PAIRS as u64),
    ("MIN_RING_ENTRIES", regs::MIN_RING_ENTRIES as u64),
    ("MAX_RING_ENTRIES", regs::MAX_RING_ENTRIES as u64),
    ("MAX_SEGMENTS", regs::MAX_SEGMENTS as u64),
    ("SESSION_BLOCK_LEN", regs::SESSION_BLOCK_LEN as u64),
    ("BLOB_LEN", regs::BLOB_LEN as u64),
    ("BLOB_VERSION", regs::BLOB_VERSION as u64),
    ("KEK_SLOTS", regs::KEK_SLOTS as u64),
    ("WRAPPED_KEK_LEN", regs::WRAPPED_KEK_LEN as u64),
    ("PUBLIC_KEY_BITS_MAX", regs::PUBLIC_KEY_BITS_MAX as u64),
    ("RANDOM_MAX", regs::RANDOM_MAX as u64),
    ("PAGE_MAX", regs::PAGE_MAX as u64),
    ("PAGE_VERSION", regs::PAGE_VERSION as u64),
];

/// A description as plain text: the links of a doc comment become names in backquotes.
#[must_use]
pub fn plain(doc: &str) -> String {
    let mut text = String::new();
    let mut rest = doc.trim();
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else {
            break;
        };
        let target = after.strip_prefix('(').and_then(|t| t.split_once(')'));
        text.push_str(before);
        text.push('`');
        text.push_str(name);
        text.push('`');
        rest = target.map_or(after, |(_, after)| after);
    }
    text + rest
}

/// `CamelCase` as `snake_case`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_uppercase() && index > 0 {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// `CamelCase` as `SCREAMING_SNAKE_CASE`.
fn screaming(name: &str) -> String {
    snake(name).to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_doc_comments_become_plain_names() {
        let doc = " See [`Control`]; a [`Status`](crate::Status) code.";
        assert_eq!(plain(doc), "See `Control`; a `Status` code.");
        assert_eq!(plain("an open [`link"), "an open [`link");
    }

    #[test]
    fn names_change_their_case() {
        assert_eq!(snake("CommandBaseLow"), "command_base_low");
        assert_eq!(screaming("Status"), "STATUS");
    }

    #[test]
    fn pages_do_not_overlap() {
        for pair in PAGES.windows(2) {
            assert!(pair[0].offset + pair[0].count * pair[0].stride <= pair[1].offset);
        }
        for page in PAGES {
            let last = page.registers.last().expect("registers");
            assert!(last.offset + 4 <= page.stride, "{}", page.name);
        }
    }
}
