//! The error numbers of the manual pages, by name: each typed error says which it stands for.
//!
//! Numbers differ from system to system, so none stands here; a front end that must answer with one
//! knows its own.

use std::fmt;

use crate::{
    CancelError, DriverError, KeyError, KeyInvalid, NoSuchDriver, OpenError, ParamsError,
    RegisterError, RequestError, RequestInvalid, SessionError,
};

/// An error number of errno(2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Errno {
    /// Beyond a limit of the driver.
    E2BIG,
    /// The session moved; dispatch again.
    EAGAIN,
    /// A digest does not match.
    EBADMSG,
    /// Busy with something else.
    EBUSY,
    /// Cancelled.
    ECANCELED,
    /// More than the algorithm can work on.
    EMSGSIZE,
    /// More parameters than there may be.
    EFBIG,
    /// An invalid field or parameter.
    EINVAL,
    /// The device failed.
    EIO,
    /// No driver is left.
    ENODEV,
    /// No such session, request or driver.
    ENOENT,
    /// A limit on memory, queues or sessions.
    ENOMEM,
    /// No driver can serve it.
    EOPNOTSUPP,
    /// A result that does not fit.
    ERANGE,
    /// The time is over.
    ETIMEDOUT,
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl ParamsError {
    /// What `crypto_newsession` returns for any rule that is broken.
    #[must_use]
    pub const fn errno(self) -> Errno {
        Errno::EINVAL
    }
}

impl SessionError {
    /// What `crypto_newsession` and `crypto_freesession` return.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::Params(error) => error.errno(),
            Self::NoDriver => Errno::EOPNOTSUPP,
            Self::Open(error) => error.errno(),
            Self::TooMany(_) => Errno::ENOMEM,
            Self::NoSession => Errno::ENOENT,
            Self::Busy => Errno::EBUSY,
        }
    }
}

impl OpenError {
    /// What a driver's `newsession` returns.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoRoom => Errno::ENOMEM,
            Self::Unsupported => Errno::EINVAL,
            Self::Device => Errno::EIO,
        }
    }
}

impl NoSuchDriver {
    /// What `crypto_unregister_all` returns.
    #[must_use]
    pub const fn errno(self) -> Errno {
        Errno::EINVAL
    }
}

impl RegisterError {
    /// What stands for the -1 of `crypto_get_driverid`.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoKind(_) => Errno::EINVAL,
            Self::TooMany(_) => Errno::ENOMEM,
        }
    }
}

impl CancelError {
    /// Nothing of the kind is there to cancel.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoSession => Errno::ENOENT,
            Self::NotWaiting => Errno::EBUSY,
        }
    }
}

impl RequestInvalid {
    /// What `crypto_dispatch` returns.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoSession => Errno::ENOENT,
            Self::QueueFull => Errno::ENOMEM,
            Self::PayloadTooLong { .. } => Errno::EMSGSIZE,
            Self::Operation(_)
            | Self::OutputForbidden
            | Self::SeparateAad
            | Self::Aad { .. }
            | Self::IvNotSeparate
            | Self::Iv(_)
            | Self::Payload { .. }
            | Self::PayloadOutput(_)
            | Self::BlockMultiple { .. }
            | Self::Digest(_)
            | Self::VerifyOutput
            | Self::State
            | Self::KeyMissing
            | Self::KeyLength(_) => Errno::EINVAL,
        }
    }
}

impl RequestError {
    /// What `crp_etype` says.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::Moved(_) | Self::BeginAnew => Errno::EAGAIN,
            Self::DigestMismatch => Errno::EBADMSG,
            Self::TooBig => Errno::E2BIG,
            Self::BadData => Errno::EINVAL,
            Self::Interrupted(_) | Self::Device => Errno::EIO,
            Self::Cancelled => Errno::ECANCELED,
            Self::TimedOut => Errno::ETIMEDOUT,
            Self::NoDriver => Errno::ENODEV,
        }
    }
}

impl KeyInvalid {
    /// What `crypto_kdispatch` makes of it.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::TooMany(_) => Errno::EFBIG,
            Self::QueueFull => Errno::ENOMEM,
            Self::Count { .. } | Self::Bits(_) | Self::Bytes { .. } | Self::ExcessBits(_) => {
                Errno::EINVAL
            }
        }
    }
}

impl KeyError {
    /// What `krp_status` says.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::Mismatch => Errno::EBADMSG,
            Self::Undefined => Errno::EINVAL,
            Self::NoRoom => Errno::ERANGE,
            Self::TooBig => Errno::E2BIG,
            Self::Device => Errno::EIO,
            Self::NoDriver => Errno::ENODEV,
        }
    }
}

impl DriverError {
    /// What a driver sets `crp_etype` to.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::DigestMismatch => Errno::EBADMSG,
            Self::TooBig => Errno::E2BIG,
            Self::BadData => Errno::EINVAL,
            Self::BadState => Errno::EAGAIN,
            Self::Device | Self::Lost { .. } => Errno::EIO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionId;

    #[test]
    fn errors_have_the_numbers_of_the_manual_pages() {
        let session = SessionId::default();
        for (errno, expected) in [
            (
                SessionError::Params(ParamsError::CipherKind).errno(),
                "EINVAL",
            ),
            (SessionError::NoDriver.errno(), "EOPNOTSUPP"),
            (RequestInvalid::KeyMissing.errno(), "EINVAL"),
            (RequestInvalid::QueueFull.errno(), "ENOMEM"),
            (RequestError::Moved(session).errno(), "EAGAIN"),
            (RequestError::DigestMismatch.errno(), "EBADMSG"),
            (RequestError::TooBig.errno(), "E2BIG"),
            (RequestError::Device.errno(), "EIO"),
            (DriverError::BadData.errno(), "EINVAL"),
            (RequestInvalid::State.errno(), "EINVAL"),
            (RequestError::BeginAnew.errno(), "EAGAIN"),
        ] {
            assert_eq!(errno.to_string(), expected);
        }
    }
}
