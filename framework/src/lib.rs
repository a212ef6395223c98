//! OpenCrypto in user space: the contract of crypto_request(9), crypto_session(9) and
//! crypto_driver(9) as a crate.
//!
//! Owns sessions and their keys, the choice of a driver, queues, completion order and migration.
//! Knows no hardware: a card is reached through [`CryptoDriver`] (seam 1). Has no clock and no
//! thread: every call takes `now`, and what happened comes out as data. The feature `runtime` adds
//! a way to run it that has both.

mod algorithm;
mod buffer;
mod choice;
mod completion;
mod digest_state;
mod dispatch;
mod driver;
mod errno;
mod error;
mod event;
mod framework;
pub mod front;
mod key;
mod key_dispatch;
mod key_op;
mod lifecycle;
pub mod listing;
mod migration;
mod placement;
mod registry;
mod request;
#[cfg(feature = "runtime")]
pub mod runtime;
mod session;
pub mod software;
mod stats;
#[cfg(feature = "runtime")]
mod sync;
mod table;
#[cfg(test)]
mod testing;
mod undo;
mod validate;
mod waiting;

pub use algorithm::{
    CIPHERS, Cipher, CipherInfo, Compression, DIGESTS, Digest, DigestInfo, Lengths,
};
pub use buffer::{Buffer, BufferError, Cursor, CursorMut, Mbuf, PAGE_SIZE, Page, Scattered};
pub use choice::{DriverChoice, MigrationPolicy};
pub use completion::{Delivery, Finished};
pub use digest_state::{DIGEST_STATE_LEN, DigestState};
pub use dispatch::Rejected;
pub use driver::{
    Blocked, Completed, CryptoDriver, DriverError, DriverFlags, DriverOutput, DriverSession, Hint,
    OpenError, ProbeScore,
};
pub use errno::Errno;
pub use error::{
    CancelError, NoSuchDriver, ParamsError, RegisterError, RequestError, RequestInvalid,
    SessionError,
};
pub use event::{FrameworkEvent, MoveReason};
pub use framework::{Framework, Limits};
pub use key::Key;
pub use key_op::{
    KEY_BITS_MAX, KEY_PARAMS_MAX, KeyBlocked, KeyCompleted, KeyDriverError, KeyError, KeyFinished,
    KeyInvalid, KeyOp, KeyOps, KeyParam, KeyRejected, KeyRequest,
};
pub use migration::Rebalance;
pub use placement::{Candidate, FewestSessions, LeastLoaded, Placement};
pub use registry::{DriverId, DriverInfo, DriverState};
pub use request::{Operation, Region, Request, RequestDone, RequestFlags, RequestId};
pub use session::{Mode, SessionFlags, SessionId, SessionParams};
pub use stats::{Counter, DriverStats, FrameworkStats};

/// The guide's examples are compiled and run as tests of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../docs/consumers.md")]
struct GuideForConsumers;
