//! Seam 3: what a card asks of the machine it sits in.

use regs::{DeviceAddr, FunctionId, RingId, Slot, Status, Vector};
use timebase::Time;

use crate::pci::{ErrorMessage, Message};

/// Why a DMA access failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum FaultKind {
    /// Outside a live window, or in the wrong direction: unsupported request.
    Refused,
    /// The host answered with completer abort.
    Aborted,
    /// The host's answer came with bad data and said so.
    Poisoned,
    /// The host never answered.
    Unanswered,
}

/// A DMA access failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct DmaFault {
    /// First address of the access.
    pub addr: DeviceAddr,
    /// Why.
    pub kind: FaultKind,
}

impl DmaFault {
    /// The access at `addr` is outside a live window, or in the wrong direction.
    #[must_use]
    pub const fn refused(addr: DeviceAddr) -> Self {
        Self {
            addr,
            kind: FaultKind::Refused,
        }
    }
}

/// What a card did, for logs and checkers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CardEvent {
    /// A command doorbell arrived.
    Doorbell {
        /// Ring pair.
        ring: RingId,
        /// First slot not yet published.
        tail: Slot,
    },
    /// Commands arrived on the card.
    Fetched {
        /// Ring pair.
        ring: RingId,
        /// First slot.
        first: Slot,
        /// Number of slots.
        count: u32,
    },
    /// An engine lane works on a command until `finish`.
    Started {
        /// Ring pair.
        ring: RingId,
        /// Cookie of the command.
        cookie: u64,
        /// Engine group.
        group: u8,
        /// Lane of the group.
        lane: u8,
        /// When the lane is free again.
        finish: Time,
    },
    /// A completion entry was written.
    Completed {
        /// Ring pair.
        ring: RingId,
        /// Slot of the completion ring.
        slot: Slot,
        /// Cookie of the command.
        cookie: u64,
        /// How it ended.
        status: Status,
    },
    /// An interrupt message was sent.
    Interrupt {
        /// Ring pair.
        ring: RingId,
        /// MSI-X vector.
        vector: Vector,
    },
    /// A DMA access was refused by the host.
    DmaFault {
        /// Ring pair.
        ring: RingId,
        /// First address of the access.
        addr: DeviceAddr,
        /// Whether the card wanted to write.
        is_write: bool,
    },
    /// A session's context was created.
    SessionCreated {
        /// Its number.
        session: u32,
    },
    /// A session has other keys.
    SessionRekeyed {
        /// Its number.
        session: u32,
    },
    /// A session's context was zeroed.
    SessionDestroyed {
        /// Its number.
        session: u32,
    },
    /// The physical function was reset, and everything with it.
    Reset,
    /// A virtual function was reset.
    FunctionReset {
        /// Which one.
        function: FunctionId,
    },
    /// A message told the root complex of an error.
    ErrorMessage {
        /// Function that saw it.
        function: FunctionId,
        /// How bad it is.
        message: ErrorMessage,
    },
}

/// The machine around a card.
pub trait Host {
    /// Reads host memory for `function`.
    ///
    /// # Errors
    /// [`DmaFault`] if any byte is outside a live window that the function may read, or could not
    /// be had; `bytes` is then unspecified.
    fn read(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &mut [u8],
    ) -> Result<(), DmaFault>;

    /// Writes host memory for `function`.
    ///
    /// # Errors
    /// [`DmaFault`] if any byte is outside a live window that the function may write; nothing is
    /// written.
    fn write(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &[u8],
    ) -> Result<(), DmaFault>;

    /// Host memory for `function` to work on in place, or `None` if this host has no direct way
    /// (then read and write).
    ///
    /// # Errors
    /// [`DmaFault`] if any byte is outside a live window that the function may read and write.
    fn in_place(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        len: usize,
    ) -> Result<Option<&mut [u8]>, DmaFault> {
        let _ = (function, addr, len);
        Ok(None)
    }

    /// An interrupt message left the card at `at`.
    fn interrupt(&mut self, at: Time, message: Message);

    /// `function` asserts INTx at `at`, or takes it back.
    fn intx(&mut self, at: Time, function: FunctionId, is_asserted: bool) {
        let _ = (at, function, is_asserted);
    }

    /// Tells logs and checkers what the card did at `at`.
    fn observe(&mut self, at: Time, event: CardEvent) {
        let _ = (at, event);
    }
}
