//! Extended capabilities: errors, serial number, alternative routing-ids, virtual functions.

use super::PCI_VF_DEVICE;
use super::map::config_page;

/// Header of an extended capability.
const fn extended(id: u16, version: u8, next: u16) -> u32 {
    (id as u32) | ((version as u32) << 16) | ((next as u32) << 20)
}

config_page! {
    /// Advanced error reporting. PCI Express Base Specification 7.8.4.
    aer "advanced error reporting" {
        /// Advanced error reporting, version 2; the serial number follows.
        0x100 AER_HEADER: 4 = super::extended(0x0001, 2, 0x150);
        /// Uncorrectable errors that were seen.
        0x104 UNCORRECTABLE_STATUS: 4 = 0; {
            /// The data link broke its rules.
            [4:4] DATA_LINK_PROTOCOL: StickyWriteOneToClear;
            /// A packet came with bad data and said so.
            [12:12] POISONED: StickyWriteOneToClear;
            /// Flow control broke its rules.
            [13:13] FLOW_CONTROL: StickyWriteOneToClear;
            /// A read was never answered.
            [14:14] COMPLETION_TIMEOUT: StickyWriteOneToClear;
            /// The function refused a request that broke its rules.
            [15:15] COMPLETER_ABORT: StickyWriteOneToClear;
            /// An answer came that nobody had asked for.
            [16:16] UNEXPECTED_COMPLETION: StickyWriteOneToClear;
            /// More came than there was room for.
            [17:17] RECEIVER_OVERFLOW: StickyWriteOneToClear;
            /// A packet made no sense.
            [18:18] MALFORMED: StickyWriteOneToClear;
            /// The end-to-end checksum of a packet was wrong.
            [19:19] ECRC: StickyWriteOneToClear;
            /// A request came that the function does not serve.
            [20:20] UNSUPPORTED_REQUEST: StickyWriteOneToClear;
            /// The card failed inside.
            [22:22] INTERNAL: StickyWriteOneToClear;
        };
        /// Uncorrectable errors that are not told.
        0x108 UNCORRECTABLE_MASK: 4 = 0x0040_0000; {
            /// Bits as in `UNCORRECTABLE_STATUS`.
            [4:4] MASK_DATA_LINK_PROTOCOL: StickyReadWrite;
            /// Bits as in `UNCORRECTABLE_STATUS`.
            [20:12] MASK_TRANSACTIONS: StickyReadWrite;
            /// Bit as in `UNCORRECTABLE_STATUS`.
            [22:22] MASK_INTERNAL: StickyReadWrite;
        };
        /// Uncorrectable errors that are fatal.
        0x10C UNCORRECTABLE_SEVERITY: 4 = 0x0046_2010; {
            /// Bit as in `UNCORRECTABLE_STATUS`.
            [4:4] SEVERITY_DATA_LINK_PROTOCOL: StickyReadWrite;
            /// Bits as in `UNCORRECTABLE_STATUS`.
            [20:12] SEVERITY_TRANSACTIONS: StickyReadWrite;
            /// Bit as in `UNCORRECTABLE_STATUS`.
            [22:22] SEVERITY_INTERNAL: StickyReadWrite;
        };
        /// Correctable errors that were seen.
        0x110 CORRECTABLE_STATUS: 4 = 0; {
            /// The receiver saw a bad symbol.
            [0:0] RECEIVER: StickyWriteOneToClear;
            /// A packet came with a bad checksum, and was sent again.
            [6:6] BAD_PACKET: StickyWriteOneToClear;
            /// A packet of the data link came with a bad checksum.
            [7:7] BAD_LINK_PACKET: StickyWriteOneToClear;
            /// A packet was sent again too often.
            [8:8] REPLAY_ROLLOVER: StickyWriteOneToClear;
            /// A packet was not acknowledged in time.
            [12:12] REPLAY_TIMEOUT: StickyWriteOneToClear;
            /// An uncorrectable error that is left to others to tell.
            [13:13] ADVISORY_NON_FATAL: StickyWriteOneToClear;
            /// The card mended an error inside.
            [14:14] CORRECTED_INTERNAL: StickyWriteOneToClear;
        };
        /// Correctable errors that are not told.
        0x114 CORRECTABLE_MASK: 4 = 0x6000; {
            /// Bit as in `CORRECTABLE_STATUS`.
            [0:0] MASK_RECEIVER: StickyReadWrite;
            /// Bits as in `CORRECTABLE_STATUS`.
            [8:6] MASK_LINK: StickyReadWrite;
            /// Bits as in `CORRECTABLE_STATUS`.
            [14:12] MASK_OTHERS: StickyReadWrite;
        };
        /// Which error came first. No end-to-end checksums.
        0x118 AER_CONTROL: 4 = 0; {
            /// Bit of `UNCORRECTABLE_STATUS` that `HEADER_LOG` belongs to, while that bit is set.
            [4:0] FIRST_ERROR: StickyLive;
        };
        /// First dword of the header of the packet that made the first error.
        0x11C HEADER_LOG_0: 4 = 0; {
            /// Format, type and length.
            [31:0] HEADER_LOG_0_BITS: StickyLive;
        };
        /// Second dword of the header.
        0x120 HEADER_LOG_1: 4 = 0; {
            /// Requester, tag and byte enables.
            [31:0] HEADER_LOG_1_BITS: StickyLive;
        };
        /// Third dword of the header.
        0x124 HEADER_LOG_2: 4 = 0; {
            /// Address, or its high half if the header has four dwords.
            [31:0] HEADER_LOG_2_BITS: StickyLive;
        };
        /// Fourth dword of the header.
        0x128 HEADER_LOG_3: 4 = 0; {
            /// Low half of the address, if the header has four dwords.
            [31:0] HEADER_LOG_3_BITS: StickyLive;
        };
    }
}

config_page! {
    /// Serial number. PCI Express Base Specification 7.9.3.
    serial "serial number" {
        /// Serial number, version 1; alternative routing-ids follow.
        0x150 SERIAL_HEADER: 4 = super::extended(0x0003, 1, 0x160);
        /// Low half of the number.
        0x154 SERIAL_LOW: 4 = 0; {
            /// Depends on the card.
            [31:0] SERIAL_LOW_BITS: ReadOnly;
        };
        /// High half of the number.
        0x158 SERIAL_HIGH: 4 = 0; {
            /// Depends on the card.
            [31:0] SERIAL_HIGH_BITS: ReadOnly;
        };
    }
}

config_page! {
    /// Alternative routing-ids. PCI Express Base Specification 7.8.8.
    ari "alternative routing-ids" {
        /// Alternative routing-ids, version 1; virtual functions follow.
        0x160 ARI_HEADER: 4 = super::extended(0x000E, 1, 0x180);
        /// No function groups, and no further physical function.
        0x164 ARI_CAPABILITY: 2 = 0;
        /// Nothing to set.
        0x166 ARI_CONTROL: 2 = 0;
    }
}

config_page! {
    /// Virtual functions. PCI Express Base Specification 9.3.3.
    sriov "virtual functions" {
        /// Virtual functions, version 1; the last extended capability.
        0x180 SRIOV_HEADER: 4 = super::extended(0x0010, 1, 0);
        /// No migration.
        0x184 SRIOV_CAPABILITIES: 4 = 0;
        /// Turns virtual functions on.
        0x188 SRIOV_CONTROL: 2 = 0; {
            /// There are virtual functions, as many as `NUM_VFS` says.
            [0:0] VF_ENABLE: ReadWrite;
            /// Virtual functions answer accesses to their BARs.
            [3:3] VF_MEMORY_SPACE: ReadWrite;
            /// Function numbers above 7 need no bus number of their own.
            [4:4] ARI_HIERARCHY: ReadWrite;
        };
        /// No migration.
        0x18A SRIOV_STATUS: 2 = 0;
        /// Virtual functions at first.
        0x18C INITIAL_VFS: 2 = 0; {
            /// Depends on the card.
            [15:0] INITIAL_VF_COUNT: ReadOnly;
        };
        /// Virtual functions at most.
        0x18E TOTAL_VFS: 2 = 0; {
            /// Depends on the card.
            [15:0] TOTAL_VF_COUNT: ReadOnly;
        };
        /// Virtual functions that `VF_ENABLE` turns on.
        0x190 NUM_VFS: 2 = 0; {
            /// At most `TOTAL_VFS`; a larger number, or one written while `VF_ENABLE` is set, is
            /// dropped.
            [15:0] VF_COUNT: ReadWrite;
        };
        /// The physical function depends on itself alone.
        0x192 FUNCTION_DEPENDENCY: 1 = 0;
        /// Routing-id of the first virtual function, counted from the physical one.
        0x194 FIRST_VF_OFFSET: 2 = 1; {
            /// 1 if the function numbers fit: there are at most seven virtual functions, or
            /// `ARI_HIERARCHY` is set. Otherwise 256, the bus number after the card's.
            [15:0] FIRST_OFFSET: Live;
        };
        /// Distance between the routing-ids of neighbouring virtual functions.
        0x196 VF_STRIDE: 2 = 1;
        /// Device id of virtual functions.
        0x19A VF_DEVICE_ID: 2 = super::PCI_VF_DEVICE as u32;
        /// 4 KiB, 8 KiB, 64 KiB, 256 KiB, 1 MiB, 4 MiB.
        0x19C SUPPORTED_PAGE_SIZES: 4 = 0x0553;
        /// Page size of the host, one bit of `SUPPORTED_PAGE_SIZES`. Anything else, or a write
        /// while `VF_ENABLE` is set, is dropped. A virtual function's BARs are at least one page
        /// apart.
        0x1A0 SYSTEM_PAGE_SIZE: 4 = 1; {
            /// 4 KiB shifted left by the bit's number.
            [31:0] SYSTEM_PAGES: ReadWrite;
        };
        /// BAR 0 of the first virtual function; those of the others follow it.
        0x1A4 VF_BAR0_LOW: 4 = 0b0100; {
            /// Low half of the address.
            [31:17] VF_BAR0_ADDRESS: ReadWrite;
        };
        /// High half of the address of BAR 0.
        0x1A8 VF_BAR0_HIGH: 4 = 0; {
            /// High half of the address.
            [31:0] VF_BAR0_ADDRESS_HIGH: ReadWrite;
        };
        /// BAR 2 of the first virtual function; those of the others follow it.
        0x1AC VF_BAR2_LOW: 4 = 0b0100; {
            /// Low half of the address.
            [31:13] VF_BAR2_ADDRESS: ReadWrite;
        };
        /// High half of the address of BAR 2.
        0x1B0 VF_BAR2_HIGH: 4 = 0; {
            /// High half of the address.
            [31:0] VF_BAR2_ADDRESS_HIGH: ReadWrite;
        };
    }
}
