//! What tests of the framework share.

mod bench;
mod script;

pub(crate) use bench::Bench;
pub(crate) use script::{Handle, NOW, Scripted, null_params, request};

use crate::{CryptoDriver, Framework, Limits};

/// Waits for other threads, of which there are none here.
pub(crate) fn settle(_subject: &mut Subject) {}

/// Several frameworks side by side, or as many as there can be here.
pub(crate) fn wide(limits: Limits) -> Subject {
    Subject::new(limits)
}

/// What the tests are about.
pub(crate) type Subject = Framework;
/// What a driver is known as there.
pub(crate) type AnyDriver = dyn CryptoDriver;
