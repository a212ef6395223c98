//! Advanced error reporting: what is logged, and which message is sent.
//!
//! Follows the flow of *PCI Express Base Specification* 5.0, section 6.2.5, with role-based error
//! reporting. Section 6.2.3.2.4 says which errors are advisory: somebody else tells of them, so the
//! function sends `ERR_COR` at most.

use regs::pci::{Field, aer, express, header};

use super::cells::Cells;

/// What went wrong on the link or inside the card, as PCI Express names it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorCause {
    /// The data link broke its rules.
    DataLinkProtocol,
    /// A packet came with bad data and said so.
    Poisoned,
    /// Flow control broke its rules.
    FlowControl,
    /// A read was never answered.
    CompletionTimeout,
    /// The function refused a request that broke its rules.
    CompleterAbort,
    /// An answer came that nobody had asked for.
    UnexpectedCompletion,
    /// More came than there was room for.
    ReceiverOverflow,
    /// A packet made no sense.
    Malformed,
    /// The end-to-end checksum of a packet was wrong.
    Ecrc,
    /// A request came that the function does not serve.
    UnsupportedRequest,
    /// The card failed inside.
    Internal,
    /// Correctable: a bad symbol.
    Receiver,
    /// Correctable: a packet with a bad checksum, which was sent again.
    BadPacket,
    /// Correctable: a packet of the data link with a bad checksum.
    BadLinkPacket,
    /// Correctable: a packet was sent again too often.
    ReplayRollover,
    /// Correctable: a packet was not acknowledged in time.
    ReplayTimeout,
    /// Correctable: the card mended an error inside.
    CorrectedInternal,
}

impl ErrorCause {
    /// Every cause.
    pub const ALL: [Self; 17] = [
        Self::DataLinkProtocol,
        Self::Poisoned,
        Self::FlowControl,
        Self::CompletionTimeout,
        Self::CompleterAbort,
        Self::UnexpectedCompletion,
        Self::ReceiverOverflow,
        Self::Malformed,
        Self::Ecrc,
        Self::UnsupportedRequest,
        Self::Internal,
        Self::Receiver,
        Self::BadPacket,
        Self::BadLinkPacket,
        Self::ReplayRollover,
        Self::ReplayTimeout,
        Self::CorrectedInternal,
    ];

    /// Its status bit.
    #[must_use]
    pub const fn status(self) -> Field {
        match self {
            Self::DataLinkProtocol => aer::DATA_LINK_PROTOCOL,
            Self::Poisoned => aer::POISONED,
            Self::FlowControl => aer::FLOW_CONTROL,
            Self::CompletionTimeout => aer::COMPLETION_TIMEOUT,
            Self::CompleterAbort => aer::COMPLETER_ABORT,
            Self::UnexpectedCompletion => aer::UNEXPECTED_COMPLETION,
            Self::ReceiverOverflow => aer::RECEIVER_OVERFLOW,
            Self::Malformed => aer::MALFORMED,
            Self::Ecrc => aer::ECRC,
            Self::UnsupportedRequest => aer::UNSUPPORTED_REQUEST,
            Self::Internal => aer::INTERNAL,
            Self::Receiver => aer::RECEIVER,
            Self::BadPacket => aer::BAD_PACKET,
            Self::BadLinkPacket => aer::BAD_LINK_PACKET,
            Self::ReplayRollover => aer::REPLAY_ROLLOVER,
            Self::ReplayTimeout => aer::REPLAY_TIMEOUT,
            Self::CorrectedInternal => aer::CORRECTED_INTERNAL,
        }
    }

    /// Whether hardware has mended it already.
    #[must_use]
    pub const fn is_correctable(self) -> bool {
        self.status().offset == aer::CORRECTABLE_STATUS.offset
    }

    /// Whether the header of a packet belongs to it.
    const fn has_header(self) -> bool {
        matches!(
            self,
            Self::Poisoned
                | Self::CompleterAbort
                | Self::UnexpectedCompletion
                | Self::Malformed
                | Self::Ecrc
                | Self::UnsupportedRequest
        )
    }
}

/// The first four dwords of a packet.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PacketHeader(pub [u32; 4]);

impl PacketHeader {
    /// The header of a completion with data, as it begins; the rest depends on the request.
    #[must_use]
    pub const fn of_answer() -> Self {
        const COMPLETION_WITH_DATA: u32 = 0b010 << 29 | 0b01010 << 24;
        Self([COMPLETION_WITH_DATA, 0, 0, 0])
    }

    /// The header of a memory read or write of one dword by the host, whose requester id and tag
    /// are zero.
    #[must_use]
    pub const fn of_request(is_write: bool, addr: u64, enables: u8) -> Self {
        const WRITE: u32 = 0b010 << 29;
        const LONG: u32 = 0b001 << 29;
        const ONE_DWORD: u32 = 1;
        let kind = if is_write { WRITE } else { 0 } | ONE_DWORD;
        let low = addr as u32 & !3;
        match (addr >> 32) as u32 {
            0 => Self([kind, enables as u32, low, 0]),
            high => Self([kind | LONG, enables as u32, high, low]),
        }
    }
}

/// An error as it is reported to a function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BusError {
    /// What it is.
    pub cause: ErrorCause,
    /// The packet it came with; not looked at where none belongs to the cause.
    pub header: PacketHeader,
    /// Whether the other side learns of it too, or the card copes. Such an error is told as a
    /// correctable one, unless it is fatal.
    pub is_advisory: bool,
}

/// A message that tells the root complex of an error.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ErrorMessage {
    /// `ERR_COR`.
    Correctable,
    /// `ERR_NONFATAL`.
    NonFatal,
    /// `ERR_FATAL`.
    Fatal,
}

/// What software set for error reporting: the physical function's settings, for every function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    uncorrectable_mask: u32,
    severity: u32,
    correctable_mask: u32,
    correctable: bool,
    non_fatal: bool,
    fatal: bool,
    unsupported: bool,
    serr: bool,
}

/// All bits of a register as one field.
const fn whole(offset: u16) -> Field {
    Field {
        offset,
        ..aer::HEADER_LOG_0_BITS
    }
}

const UNCORRECTABLE_STATUS: Field = whole(aer::UNCORRECTABLE_STATUS.offset);
const HEADER_LOG: [Field; 4] = [
    aer::HEADER_LOG_0_BITS,
    aer::HEADER_LOG_1_BITS,
    aer::HEADER_LOG_2_BITS,
    aer::HEADER_LOG_3_BITS,
];

impl Settings {
    pub(super) fn of(cells: &Cells) -> Self {
        Self {
            uncorrectable_mask: cells.get(whole(aer::UNCORRECTABLE_MASK.offset)),
            severity: cells.get(whole(aer::UNCORRECTABLE_SEVERITY.offset)),
            correctable_mask: cells.get(whole(aer::CORRECTABLE_MASK.offset)),
            correctable: cells.is_set(express::CORRECTABLE_REPORTING),
            non_fatal: cells.is_set(express::NON_FATAL_REPORTING),
            fatal: cells.is_set(express::FATAL_REPORTING),
            unsupported: cells.is_set(express::UNSUPPORTED_REQUEST_REPORTING),
            serr: cells.is_set(header::SERR_ENABLE),
        }
    }
}

/// Logs `error` in `cells`; gives the message to send, if any.
pub(super) fn log(cells: &mut Cells, settings: &Settings, error: BusError) -> Option<ErrorMessage> {
    let bit = error.cause.status().mask();
    if error.cause.is_correctable() {
        return log_correctable(cells, settings, error.cause.status());
    }
    let is_unsupported = error.cause == ErrorCause::UnsupportedRequest;
    if is_unsupported {
        cells.set(express::UNSUPPORTED_REQUEST_DETECTED, 1);
    }
    let is_fatal = settings.severity & bit != 0;
    if error.is_advisory && !is_fatal {
        let message = log_correctable(cells, settings, aer::ADVISORY_NON_FATAL);
        if settings.correctable_mask & aer::ADVISORY_NON_FATAL.mask() == 0 {
            log_first(cells, settings, error);
        }
        return message.filter(|_| !is_unsupported || settings.unsupported);
    }
    let detected = if is_fatal {
        express::FATAL_DETECTED
    } else {
        express::NON_FATAL_DETECTED
    };
    cells.set(detected, 1);
    log_first(cells, settings, error);
    let (is_reported, message) = if is_fatal {
        (settings.fatal, ErrorMessage::Fatal)
    } else {
        (settings.non_fatal, ErrorMessage::NonFatal)
    };
    let is_silenced = is_unsupported && !settings.unsupported;
    let is_sent = settings.serr || (is_reported && !is_silenced);
    if settings.uncorrectable_mask & bit != 0 || !is_sent {
        return None;
    }
    if settings.serr {
        cells.set(header::SIGNALED_SYSTEM_ERROR, 1);
    }
    Some(message)
}

fn log_correctable(cells: &mut Cells, settings: &Settings, status: Field) -> Option<ErrorMessage> {
    cells.set(express::CORRECTABLE_DETECTED, 1);
    cells.set(status, 1);
    let is_masked = settings.correctable_mask & status.mask() != 0;
    (settings.correctable && !is_masked).then_some(ErrorMessage::Correctable)
}

/// Sets the status bit, and keeps the header if no earlier error holds the log.
fn log_first(cells: &mut Cells, settings: &Settings, error: BusError) {
    let status = error.cause.status();
    let before = cells.get(UNCORRECTABLE_STATUS);
    cells.set(status, 1);
    let is_held = before >> cells.get(aer::FIRST_ERROR) & 1 != 0;
    if is_held || settings.uncorrectable_mask & status.mask() != 0 {
        return;
    }
    cells.set(aer::FIRST_ERROR, status.low.into());
    let header = if error.cause.has_header() {
        error.header
    } else {
        PacketHeader::default()
    };
    for (field, dword) in HEADER_LOG.into_iter().zip(header.0) {
        cells.set(field, dword);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regs::pci::PAGES;

    const HEADER: PacketHeader = PacketHeader::of_request(false, 0x12_3456_7890, 0xF);

    fn cells() -> Cells {
        let mut cells = Cells::new(&PAGES, |_| true);
        for field in [
            express::CORRECTABLE_REPORTING,
            express::NON_FATAL_REPORTING,
            express::FATAL_REPORTING,
            express::UNSUPPORTED_REQUEST_REPORTING,
        ] {
            cells.set(field, 1);
        }
        cells.set(whole(aer::UNCORRECTABLE_MASK.offset), 0);
        cells.set(whole(aer::CORRECTABLE_MASK.offset), 0);
        cells
    }

    fn report(cells: &mut Cells, cause: ErrorCause, is_advisory: bool) -> Option<ErrorMessage> {
        let settings = Settings::of(cells);
        let error = BusError {
            cause,
            header: HEADER,
            is_advisory,
        };
        log(cells, &settings, error)
    }

    #[test]
    fn every_cause_has_a_bit_of_its_own_and_the_message_of_its_severity() {
        let mut seen = std::collections::BTreeSet::new();
        for cause in ErrorCause::ALL {
            let mut cells = cells();
            let message = report(&mut cells, cause, false);
            assert!(cells.is_set(cause.status()), "{cause:?}");
            assert!(seen.insert((cause.status().offset, cause.status().low)));
            let (expected, detected) = if cause.is_correctable() {
                (ErrorMessage::Correctable, express::CORRECTABLE_DETECTED)
            } else if matches!(
                cause,
                ErrorCause::DataLinkProtocol
                    | ErrorCause::FlowControl
                    | ErrorCause::ReceiverOverflow
                    | ErrorCause::Malformed
                    | ErrorCause::Internal
            ) {
                (ErrorMessage::Fatal, express::FATAL_DETECTED)
            } else {
                (ErrorMessage::NonFatal, express::NON_FATAL_DETECTED)
            };
            assert_eq!(message, Some(expected), "{cause:?}");
            assert!(cells.is_set(detected), "{cause:?}");
        }
    }

    #[test]
    fn the_first_error_holds_the_log_until_its_bit_is_cleared() {
        let mut cells = cells();
        report(&mut cells, ErrorCause::UnsupportedRequest, false);
        assert_eq!(cells.get(aer::FIRST_ERROR), 20);
        assert_eq!(HEADER_LOG.map(|field| cells.get(field)), HEADER.0);
        report(&mut cells, ErrorCause::CompletionTimeout, false);
        assert_eq!(cells.get(aer::FIRST_ERROR), 20);
        assert!(cells.is_set(aer::COMPLETION_TIMEOUT));
        cells.set(aer::UNSUPPORTED_REQUEST, 0);
        report(&mut cells, ErrorCause::CompletionTimeout, false);
        assert_eq!(cells.get(aer::FIRST_ERROR), 14);
        assert_eq!(HEADER_LOG.map(|field| cells.get(field)), [0; 4]);
    }

    #[test]
    fn an_advisory_error_is_told_as_correctable_unless_it_is_fatal() {
        let mut first = cells();
        let message = report(&mut first, ErrorCause::UnsupportedRequest, true);
        assert_eq!(message, Some(ErrorMessage::Correctable));
        assert!(first.is_set(aer::ADVISORY_NON_FATAL) && first.is_set(aer::UNSUPPORTED_REQUEST));
        assert!(first.is_set(express::UNSUPPORTED_REQUEST_DETECTED));
        assert!(!first.is_set(express::NON_FATAL_DETECTED));

        let mut masked = cells();
        masked.set(whole(aer::CORRECTABLE_MASK.offset), 1 << 13);
        assert_eq!(report(&mut masked, ErrorCause::Poisoned, true), None);
        assert!(!masked.is_set(aer::POISONED), "no further action");

        let mut fatal = cells();
        fatal.set(whole(aer::UNCORRECTABLE_SEVERITY.offset), u32::MAX);
        let message = report(&mut fatal, ErrorCause::Poisoned, true);
        assert_eq!(message, Some(ErrorMessage::Fatal));
    }

    #[test]
    fn masks_and_enables_keep_messages_back_and_serr_does_not_ask() {
        let mut masked = cells();
        masked.set(whole(aer::UNCORRECTABLE_MASK.offset), u32::MAX);
        assert_eq!(report(&mut masked, ErrorCause::Malformed, false), None);
        assert!(masked.is_set(aer::MALFORMED), "status is set all the same");
        assert_eq!(HEADER_LOG.map(|field| masked.get(field)), [0; 4]);

        let mut silent = cells();
        silent.set(express::UNSUPPORTED_REQUEST_REPORTING, 0);
        let unsupported = ErrorCause::UnsupportedRequest;
        assert_eq!(report(&mut silent, unsupported, false), None);
        assert_eq!(report(&mut silent, unsupported, true), None);
        silent.set(header::SERR_ENABLE, 1);
        let message = report(&mut silent, unsupported, false);
        assert_eq!(message, Some(ErrorMessage::NonFatal));
        assert!(silent.is_set(header::SIGNALED_SYSTEM_ERROR));
    }

    #[test]
    fn a_header_has_three_or_four_dwords() {
        let near = PacketHeader::of_request(true, 0xFEDC_BA9B, 0xF);
        assert_eq!(near.0, [0x4000_0001, 0xF, 0xFEDC_BA98, 0]);
        assert_eq!(HEADER.0, [0x2000_0001, 0xF, 0x12, 0x3456_7890]);
    }
}
