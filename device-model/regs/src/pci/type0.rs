//! The type-0 header.

use super::map::config_page;
use super::{PCI_DEVICE, PCI_VENDOR};

config_page! {
    /// The header of a function, type 0. PCI Express Base Specification 7.5.1.
    header "type-0 header" {
        /// Who made the card.
        0x000 VENDOR_ID: 2 = super::PCI_VENDOR as u32;
        /// What it is.
        0x002 DEVICE_ID: 2 = super::PCI_DEVICE as u32;
        /// What the function may do.
        0x004 COMMAND: 2 = 0; {
            /// The function answers accesses to its BARs.
            [1:1] MEMORY_SPACE: ReadWrite;
            /// The function reaches memory and sends interrupt messages.
            [2:2] BUS_MASTER: ReadWrite;
            /// A poisoned packet may set `MASTER_DATA_PARITY_ERROR`.
            [6:6] PARITY_ERROR_RESPONSE: ReadWrite;
            /// Messages of fatal and non-fatal errors are sent, whatever the device control says.
            [8:8] SERR_ENABLE: ReadWrite;
            /// The function asserts no INTx.
            [10:10] INTX_DISABLE: ReadWrite;
        };
        /// What happened on the bus.
        0x006 STATUS: 2 = 0x0010; {
            /// A cause is latched and not masked, and MSI-X is off.
            [3:3] INTX_STATUS: Live;
            /// There is a list of capabilities.
            [4:4] CAPABILITIES_LIST: ReadOnly;
            /// A poisoned completion was received, with `PARITY_ERROR_RESPONSE` set.
            [8:8] MASTER_DATA_PARITY_ERROR: WriteOneToClear;
            /// The function answered a request with completer abort.
            [11:11] SIGNALED_TARGET_ABORT: WriteOneToClear;
            /// A read of the function was answered with completer abort.
            [12:12] RECEIVED_TARGET_ABORT: WriteOneToClear;
            /// A read of the function was answered with unsupported request.
            [13:13] RECEIVED_MASTER_ABORT: WriteOneToClear;
            /// A message of a fatal or non-fatal error was sent, with `SERR_ENABLE` set.
            [14:14] SIGNALED_SYSTEM_ERROR: WriteOneToClear;
            /// A poisoned packet was received.
            [15:15] DETECTED_PARITY_ERROR: WriteOneToClear;
        };
        /// Revision of the card.
        0x008 REVISION_ID: 1 = 1;
        /// Encryption controllers have one programming interface.
        0x009 PROGRAMMING_INTERFACE: 1 = 0;
        /// Of encryption controllers: other.
        0x00A SUB_CLASS: 1 = 0x80;
        /// Encryption controller.
        0x00B BASE_CLASS: 1 = 0x10;
        /// For software only.
        0x00C CACHE_LINE_SIZE: 1 = 0; {
            /// For software only.
            [7:0] CACHE_LINE_DWORDS: ReadWrite;
        };
        /// Header type 0, one physical function.
        0x00E HEADER_TYPE: 1 = 0;
        /// Registers and doorbells: 64-bit memory, not prefetchable.
        0x010 BAR0_LOW: 4 = 0b0100; {
            /// Low half of the address.
            [31:17] BAR0_ADDRESS: ReadWrite;
        };
        /// High half of the address of BAR 0.
        0x014 BAR0_HIGH: 4 = 0; {
            /// High half of the address.
            [31:0] BAR0_ADDRESS_HIGH: ReadWrite;
        };
        /// MSI-X table and pending bits: 64-bit memory, not prefetchable.
        0x018 BAR2_LOW: 4 = 0b0100; {
            /// Low half of the address.
            [31:13] BAR2_ADDRESS: ReadWrite;
        };
        /// High half of the address of BAR 2.
        0x01C BAR2_HIGH: 4 = 0; {
            /// High half of the address.
            [31:0] BAR2_ADDRESS_HIGH: ReadWrite;
        };
        /// As the vendor id.
        0x02C SUBSYSTEM_VENDOR_ID: 2 = super::PCI_VENDOR as u32;
        /// As the device id of the physical function.
        0x02E SUBSYSTEM_ID: 2 = super::PCI_DEVICE as u32;
        /// Offset of the first capability.
        0x034 CAPABILITIES_POINTER: 1 = 0x40;
        /// For software only.
        0x03C INTERRUPT_LINE: 1 = 0xFF; {
            /// For software only.
            [7:0] LINE: ReadWrite;
        };
        /// INTA; zero in a virtual function.
        0x03D INTERRUPT_PIN: 1 = 1;
    }
}
