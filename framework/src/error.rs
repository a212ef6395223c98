//! What can go wrong, by who is told: the opener of a session, the caller of dispatch, the
//! callback.

use crate::{DriverFlags, DriverId, OpenError, Operation, SessionId};

/// Why session parameters are refused; the rules of `check_csp`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParamsError {
    /// The mode needs a cipher, or one of another kind.
    #[error("this mode needs a cipher of its kind")]
    CipherKind,
    /// The mode has no cipher.
    #[error("this mode takes no cipher, cipher key or cipher key length")]
    CipherForbidden,
    /// The mode needs a digest.
    #[error("this mode needs a digest")]
    DigestMissing,
    /// The mode has no digest of its own.
    #[error("this mode takes no digest, digest key or digest key length")]
    DigestForbidden,
    /// The cipher takes no key of this length.
    #[error("cipher keys of {0} bytes do not fit the cipher")]
    CipherKeyLength(usize),
    /// A keyed digest needs a key, a plain one takes none.
    #[error("digest keys of {0} bytes do not fit the digest")]
    AuthKeyLength(usize),
    /// The key given is not as long as the length given.
    #[error("a key of {actual} bytes was given where the length says {expected}")]
    KeyMismatch {
        /// The length parameter.
        expected: usize,
        /// The key's own length.
        actual: usize,
    },
    /// The algorithms take no IV of this length.
    #[error("IVs of {0} bytes do not fit the algorithms")]
    IvLength(usize),
    /// The digest cannot be cut to this length.
    #[error("the digest cannot be cut to {0} bytes")]
    DigestLength(usize),
    /// The mode does not allow this flag.
    #[error("separate AAD needs a mode with AAD")]
    SeparateAad,
    /// Only encrypt-then-authenticate digests a sequence number.
    #[error("an extended sequence number needs mode encrypt-then-authenticate")]
    Esn,
    /// Only some digests, alone, take messages in parts.
    #[error("messages in parts need mode digest and a digest that takes them")]
    Parts,
    /// Compression is done in place.
    #[error("compression takes no separate output")]
    SeparateOutput,
    /// A flag nobody knows.
    #[error("session flags {0:#x} are not all known")]
    Flags(u32),
}

/// Why a session was not opened, closed or moved.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SessionError {
    /// The parameters break a rule (EINVAL).
    #[error("invalid session parameters")]
    Params(#[source] ParamsError),
    /// No driver that the choice accepts can serve the parameters (EOPNOTSUPP).
    #[error("no accepted driver can serve the session")]
    NoDriver,
    /// Every driver that could serve the session failed to open it; this is what the last one said.
    #[error("no driver opened the session")]
    Open(#[source] OpenError),
    /// The limit on sessions is reached.
    #[error("there are already {0} sessions")]
    TooMany(usize),
    /// No such session, or it was freed.
    #[error("no such session")]
    NoSession,
    /// The session is opening or already moving; ask again when it is open.
    #[error("the session is not settled on a driver")]
    Busy,
}

/// Why a request was not cancelled.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CancelError {
    /// No such session, or it was freed.
    #[error("no such session")]
    NoSession,
    /// Nothing of this number waits in the session: a driver has the request, or it ended.
    #[error("the request does not wait")]
    NotWaiting,
}

/// Why a driver was not registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RegisterError {
    /// A driver is of hardware or of software.
    #[error("a driver with flags {0:?} is neither hardware nor software")]
    NoKind(DriverFlags),
    /// No id is left.
    #[error("there are already {0} drivers")]
    TooMany(usize),
}

/// No driver is registered under this id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no driver {0} is registered")]
pub struct NoSuchDriver(pub DriverId);

/// Why dispatch hands a request back; the rules of `crp_sanity`, each in every build.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestInvalid {
    /// No such session, or it was freed.
    #[error("no such session")]
    NoSession,
    /// The operation does not fit the session's mode.
    #[error("operation {0:?} does not fit the session's mode")]
    Operation(Operation),
    /// Separate output without the session's flag.
    #[error("the session does not allow separate output")]
    OutputForbidden,
    /// Separate AAD without the session's flag, with a region too, empty, or in a mode without AAD.
    #[error("separate AAD does not fit the session or the request")]
    SeparateAad,
    /// AAD region outside the input buffer, or in a mode without AAD.
    #[error("AAD region {start}+{len} does not fit the input")]
    Aad {
        /// First byte.
        start: usize,
        /// Number of bytes.
        len: usize,
    },
    /// AEAD without a separate IV.
    #[error("AEAD needs the IV apart from the buffer")]
    IvNotSeparate,
    /// IV given though the session has none, or an IV outside the input buffer.
    #[error("IV at {0} does not fit the session or the input")]
    Iv(usize),
    /// Payload outside the input buffer.
    #[error("payload {start}+{len} leaves the input")]
    Payload {
        /// First byte.
        start: usize,
        /// Number of bytes.
        len: usize,
    },
    /// Output start outside the output buffer, or given without one.
    #[error("payload output at {0} does not fit the output")]
    PayloadOutput(usize),
    /// Payload is no multiple of the cipher's block.
    #[error("payload of {len} bytes is no multiple of {block}")]
    BlockMultiple {
        /// Number of bytes.
        len: usize,
        /// Block of the cipher.
        block: usize,
    },
    /// Payload is longer than the algorithm can count.
    #[error("payload of {len} bytes exceeds {max}, the most for this IV length")]
    PayloadTooLong {
        /// Number of bytes.
        len: usize,
        /// Most bytes.
        max: usize,
    },
    /// Digest outside its buffer, or given in a mode without one.
    #[error("digest at {0} does not fit its buffer or the mode")]
    Digest(usize),
    /// Verify with separate output in mode digest.
    #[error("a digest is not verified into separate output")]
    VerifyOutput,
    /// A part that is not the first without a state, or with one of another digest.
    #[error("no digest state of the session's digest")]
    State,
    /// Neither the session nor the request has the key.
    #[error("no key: neither the session nor the request has one")]
    KeyMissing,
    /// A request key of the wrong length, or for an algorithm the session lacks.
    #[error("a request key of {0} bytes does not fit the session")]
    KeyLength(usize),
    /// The framework's queue for this driver is full.
    #[error("the queue is full")]
    QueueFull,
}

/// Why a request failed, as its callback sees it; `crp_etype`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// The session moved and has a new name; the data is untouched, dispatch again (EAGAIN).
    #[error("the session moved: dispatch again")]
    Moved(SessionId),
    /// The digest does not match; the payload is untouched (EBADMSG).
    #[error("the digest does not match")]
    DigestMismatch,
    /// The card went away while it may have been writing: the buffer's content is unknown (EIO).
    /// The session lives on under this name.
    #[error("the card went away and the buffer may be half written")]
    Interrupted(SessionId),
    /// The driver cannot take a request of this size, or its result has no room (E2BIG). The data
    /// is untouched.
    #[error("the request or its result is too big")]
    TooBig,
    /// The payload is not what the operation works on: no compressed data (EINVAL). It is
    /// untouched.
    #[error("the payload is not what the operation works on")]
    BadData,
    /// The session's driver cannot go on from the request's digest state (EAGAIN): one of a keyed
    /// digest from another kind of driver or under another key, or a damaged one. The message must
    /// begin anew; data and state are untouched.
    #[error("the message must begin anew")]
    BeginAnew,
    /// The driver or the card failed the request (EIO).
    #[error("the device failed the request")]
    Device,
    /// The request was cancelled, or its session freed, before it was done (ECANCELED).
    #[error("the request was cancelled or its session freed")]
    Cancelled,
    /// No driver had the request when its time was over (ETIMEDOUT). The data is untouched.
    #[error("the request waited too long")]
    TimedOut,
    /// No driver is left that can serve the session (ENODEV).
    #[error("no driver can serve the session")]
    NoDriver,
}
