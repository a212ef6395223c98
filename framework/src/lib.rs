//! OpenCrypto in user space: the contract of crypto_request(9), crypto_session(9) and crypto_driver(9)
//! as a crate.
//!
//! Owns sessions and their keys, the choice of a driver, queues, completion order and migration. Knows
//! no hardware: a card is reached through [`CryptoDriver`] (seam 1). Has no clock and no thread: every
//! call takes `now`, and what happened comes out as data.

mod algorithm;
mod buffer;
mod driver;
mod error;
mod key;
mod request;
mod session;

pub use algorithm::{Cipher, Digest};
pub use buffer::Buffer;
pub use driver::{
    Blocked, Completed, CryptoDriver, DriverError, DriverFlags, DriverOutput, DriverSession, Hint,
    OpenError, ProbeScore,
};
pub use error::{ParamsError, RequestError, RequestInvalid};
pub use key::Key;
pub use request::{Operation, Region, Request, RequestFlags, RequestId};
pub use session::{Mode, SessionFlags, SessionId, SessionParams};
