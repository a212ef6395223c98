//! Capabilities in the first 256 bytes: power management, MSI-X, PCI Express, vendor-specific.

use super::map::config_page;
use super::{MSIX_BAR, MSIX_PENDING, MSIX_TABLE, REGISTER_BAR};
use crate::register::{DOORBELL_PAGE, DOORBELL_STRIDE, Register};

config_page! {
    /// Power management: D0 and D3hot. PCI Express Base Specification 7.5.2.
    power "power management" {
        /// Power management.
        0x040 POWER_ID: 1 = 0x01;
        /// MSI-X follows.
        0x041 POWER_NEXT: 1 = 0x50;
        /// Version 3; neither D1 nor D2, and no power management events.
        0x042 POWER_CAPABILITIES: 2 = 0x0003;
        /// The power state.
        0x044 POWER_CONTROL: 2 = 0; {
            /// 0 is D0, 3 is D3hot; a write of 1 or 2 is dropped.
            [1:0] POWER_STATE: ReadWrite;
            /// Zero: the way from D3hot to D0 is a reset.
            [3:3] NO_SOFT_RESET: ReadOnly;
        };
    }
}

config_page! {
    /// MSI-X. PCI Express Base Specification 7.7.2.
    msix "MSI-X" {
        /// MSI-X.
        0x050 MSIX_ID: 1 = 0x11;
        /// PCI Express follows.
        0x051 MSIX_NEXT: 1 = 0x60;
        /// Enable and mask.
        0x052 MSIX_CONTROL: 2 = 0; {
            /// Vectors of the function, less one. Depends on the card.
            [10:0] TABLE_SIZE: ReadOnly;
            /// Keeps every vector back.
            [14:14] FUNCTION_MASK: ReadWrite;
            /// The function sends messages, and asserts no INTx.
            [15:15] ENABLE: ReadWrite;
        };
        /// Where the table is: BAR in bits 2..0, offset in the rest.
        0x054 TABLE: 4 = super::MSIX_TABLE | super::MSIX_BAR as u32;
        /// Where the pending bits are: BAR in bits 2..0, offset in the rest.
        0x058 PENDING: 4 = super::MSIX_PENDING | super::MSIX_BAR as u32;
    }
}

config_page! {
    /// PCI Express, version 2, endpoint. PCI Express Base Specification 7.5.3.
    express "PCI Express" {
        /// PCI Express.
        0x060 EXPRESS_ID: 1 = 0x10;
        /// The vendor-specific capability follows.
        0x061 EXPRESS_NEXT: 1 = 0xA0;
        /// Version 2, endpoint.
        0x062 EXPRESS_CAPABILITIES: 2 = 0x0002;
        /// What the function can do.
        0x064 DEVICE_CAPABILITIES: 4 = 0x1000_8020; {
            /// Largest payload of a packet, 128 bytes shifted left by this. Depends on the card.
            [2:0] MAX_PAYLOAD_SUPPORTED: ReadOnly;
            /// Tags of 8 bits.
            [5:5] EXTENDED_TAG_SUPPORTED: ReadOnly;
            /// Errors are told as their role asks for.
            [15:15] ROLE_BASED_ERRORS: ReadOnly;
            /// There is a function-level reset.
            [28:28] FLR_CAPABLE: ReadOnly;
        };
        /// What the function may do. The physical function's sizes and reporting count for the
        /// virtual ones too.
        0x068 DEVICE_CONTROL: 2 = 0x2910; {
            /// `ERR_COR` is sent.
            [0:0] CORRECTABLE_REPORTING: ReadWrite;
            /// `ERR_NONFATAL` is sent.
            [1:1] NON_FATAL_REPORTING: ReadWrite;
            /// `ERR_FATAL` is sent.
            [2:2] FATAL_REPORTING: ReadWrite;
            /// Unsupported requests are told by a message too.
            [3:3] UNSUPPORTED_REQUEST_REPORTING: ReadWrite;
            /// Without effect here.
            [4:4] RELAXED_ORDERING: ReadWrite;
            /// Largest payload of a packet the card sends, 128 bytes shifted left by this. Outlives
            /// a function-level reset. Larger than supported counts as supported.
            [7:5] MAX_PAYLOAD: ReadWrite;
            /// The card has 256 reads under way and not 32.
            [8:8] EXTENDED_TAG: ReadWrite;
            /// Without effect here.
            [11:11] NO_SNOOP: ReadWrite;
            /// Largest read the card asks for at once, 128 bytes shifted left by this.
            [14:12] MAX_READ_REQUEST: ReadWrite;
            /// Resets the function.
            [15:15] INITIATE_FLR: Action;
        };
        /// What went wrong.
        0x06A DEVICE_STATUS: 2 = 0; {
            /// A correctable error was seen.
            [0:0] CORRECTABLE_DETECTED: WriteOneToClear;
            /// A non-fatal error was seen.
            [1:1] NON_FATAL_DETECTED: WriteOneToClear;
            /// A fatal error was seen.
            [2:2] FATAL_DETECTED: WriteOneToClear;
            /// An unsupported request was seen.
            [3:3] UNSUPPORTED_REQUEST_DETECTED: WriteOneToClear;
            /// Reads of the function are under way.
            [5:5] TRANSACTIONS_PENDING: Live;
        };
        /// What the link can do.
        0x06C LINK_CAPABILITIES: 4 = 0; {
            /// Generation of the link. Depends on the card.
            [3:0] MAX_LINK_SPEED: ReadOnly;
            /// Lanes of the link. Depends on the card.
            [9:4] MAX_LINK_WIDTH: ReadOnly;
        };
        /// Settings of the link; none of them has an effect here, and all outlive a function-level
        /// reset.
        0x070 LINK_CONTROL: 2 = 0; {
            /// Active-state power management.
            [1:0] ASPM_CONTROL: ReadWrite;
            /// Boundary at which completions of reads are cut.
            [3:3] READ_COMPLETION_BOUNDARY: ReadWrite;
            /// Both ends share a clock.
            [6:6] COMMON_CLOCK: ReadWrite;
            /// Longer training sequences.
            [7:7] EXTENDED_SYNCH: ReadWrite;
        };
        /// What the link does.
        0x072 LINK_STATUS: 2 = 0; {
            /// Generation of the link. Depends on the card.
            [3:0] LINK_SPEED: ReadOnly;
            /// Lanes of the link. Depends on the card.
            [9:4] LINK_WIDTH: ReadOnly;
        };
        /// What the function can do besides.
        0x084 DEVICE_CAPABILITIES_2: 4 = 0x10; {
            /// Zero: the time after which a read counts as lost cannot be set.
            [3:0] COMPLETION_TIMEOUT_RANGES: ReadOnly;
            /// Completion timeouts can be turned off.
            [4:4] COMPLETION_TIMEOUT_DISABLE_SUPPORTED: ReadOnly;
        };
        /// What the function may do besides.
        0x088 DEVICE_CONTROL_2: 2 = 0; {
            /// A lost read is not told as an error.
            [4:4] COMPLETION_TIMEOUT_DISABLE: ReadWrite;
        };
        /// Speeds of the link.
        0x08C LINK_CAPABILITIES_2: 4 = 0; {
            /// Bit `n` stands for generation `n` + 1. Depends on the card.
            [7:1] SUPPORTED_SPEEDS: ReadOnly;
        };
        /// Settings of the link.
        0x090 LINK_CONTROL_2: 2 = 0; {
            /// Without effect here.
            [3:0] TARGET_SPEED: StickyReadWrite;
        };
    }
}

config_page! {
    /// The card's own capability: where the doorbells are.
    vendor "vendor-specific" {
        /// Vendor-specific.
        0x0A0 VENDOR_CAPABILITY: 1 = 0x09;
        /// The last capability of the list.
        0x0A1 VENDOR_NEXT: 1 = 0;
        /// Length of the capability in bytes.
        0x0A2 VENDOR_LENGTH: 1 = 0x14;
        /// What the rest says: doorbells.
        0x0A3 VENDOR_KIND: 1 = 1;
        /// Where the doorbell page is: BAR in bits 2..0, offset in the rest.
        0x0A4 DOORBELLS: 4 = super::DOORBELL_PAGE | super::REGISTER_BAR as u32;
        /// Bytes of the doorbell page.
        0x0A8 DOORBELL_BYTES: 4 = 0x1000;
        /// Bytes from one ring's doorbells to the next.
        0x0AC DOORBELL_DISTANCE: 2 = super::DOORBELL_STRIDE;
        /// Data ring pairs of the function.
        0x0AE DATA_RING_PAIRS: 2 = 0; {
            /// Depends on the card.
            [15:0] DATA_RING_PAIR_COUNT: ReadOnly;
        };
        /// As register `Version` of BAR 0.
        0x0B0 INTERFACE_VERSION: 4 = super::Register::Version.reset_value();
    }
}
