//! Admin commands: sessions come and go.

use regs::{CardSession, SESSION_BLOCK_LEN, SessionBlock, SessionBlockError, Status};

use super::command::Outcome;
use super::context::{ContextTable, StoreError};
use crate::engine::Context;

/// Makes the context of `session` from the session block in `staging`, which the caller zeroes.
pub(super) fn create(
    contexts: &mut ContextTable,
    session: CardSession,
    staging: &[u8; SESSION_BLOCK_LEN],
) -> Outcome {
    let created = contexts
        .check_free(session)
        .map_err(refusal)
        .and_then(|()| read_context(staging))
        .and_then(|context| contexts.store(session, context).map_err(refusal));
    match created {
        Ok(()) => Status::Success.into(),
        Err(status) => status.into(),
    }
}

/// Zeroes the context of `session`.
pub(super) fn destroy(
    contexts: &mut ContextTable,
    session: CardSession,
    keep_keys: bool,
) -> Outcome {
    if contexts.destroy(session, keep_keys) {
        Status::Success.into()
    } else {
        Status::BadSession.into()
    }
}

fn read_context(staging: &[u8; SESSION_BLOCK_LEN]) -> Result<Context, Status> {
    let block = SessionBlock::from_bytes(staging).map_err(|error| match error {
        SessionBlockError::Reserved => Status::ReservedBits,
        SessionBlockError::Cipher(_)
        | SessionBlockError::Digest(_)
        | SessionBlockError::KeyLength(_) => Status::BadParameters,
    })?;
    Context::new(&block)
}

const fn refusal(error: StoreError) -> Status {
    match error {
        StoreError::OutOfTable => Status::BadSession,
        StoreError::Taken => Status::SessionExists,
    }
}
