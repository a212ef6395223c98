//! Sessions come, change keys and go.

use regs::{CardSession, SESSION_BLOCK_LEN, SessionBlock, SessionBlockError, Status};

use super::context::{ContextTable, StoreError};
use crate::engine::Context;

/// Makes the context of `session` from the session block in `bytes`, which the caller zeroes.
pub(super) fn create(
    contexts: &mut ContextTable,
    session: CardSession,
    bytes: &[u8],
) -> Result<(), Status> {
    contexts.check_free(session).map_err(refusal)?;
    let context = Context::new(&read_block(bytes)?)?;
    contexts.store(session, context).map_err(refusal)
}

/// Gives `session` the keys of the session block in `bytes`, which the caller zeroes. Whatever is
/// not a key must be as it is.
pub(super) fn rekey(
    contexts: &mut ContextTable,
    session: CardSession,
    bytes: &[u8],
) -> Result<(), Status> {
    let (old, _) = contexts.get(session).ok_or(Status::BadSession)?;
    let block = read_block(bytes)?;
    if !old.differs_in_keys_alone(&block) {
        return Err(Status::BadParameters);
    }
    let context = Context::new(&block)?;
    if contexts.replace(session, context) {
        Ok(())
    } else {
        Err(Status::BadSession)
    }
}

/// Zeroes the context of `session`.
pub(super) fn destroy(
    contexts: &mut ContextTable,
    session: CardSession,
    keep_keys: bool,
) -> Result<(), Status> {
    if contexts.destroy(session, keep_keys) {
        Ok(())
    } else {
        Err(Status::BadSession)
    }
}

fn read_block(bytes: &[u8]) -> Result<SessionBlock, Status> {
    let bytes: &[u8; SESSION_BLOCK_LEN] = bytes.try_into().map_err(|_| Status::BadLength)?;
    SessionBlock::from_bytes(bytes).map_err(|error| match error {
        SessionBlockError::Reserved => Status::ReservedBits,
        SessionBlockError::Cipher(_)
        | SessionBlockError::Digest(_)
        | SessionBlockError::KeyLength(_) => Status::BadParameters,
    })
}

const fn refusal(error: StoreError) -> Status {
    match error {
        StoreError::OutOfTable => Status::BadSession,
        StoreError::Taken => Status::SessionExists,
    }
}
