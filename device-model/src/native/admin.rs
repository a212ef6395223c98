//! The admin processor: what it keeps, and what becomes of sessions.

use regs::{CardSession, SESSION_BLOCK_LEN, SessionBlock, SessionBlockError, Status};

use super::context::{ContextTable, Passport, StoreError};
use super::kek::Vault;
use crate::engine::{Context, RandomSource};
use crate::provisioning::Provisioning;
use crate::snapshot::{Check, check, is_plausible};

/// Errors in context memory.
#[derive(Clone, Copy, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct ContextErrors {
    pub(super) corrected: u64,
    pub(super) others: u64,
}

/// What the admin processor keeps.
#[derive(serde::Deserialize, serde::Serialize)]
pub(crate) struct Admin {
    pub(super) vault: Vault,
    pub(super) random: RandomSource,
    /// Errors in context memory, since power came.
    pub(super) context_errors: ContextErrors,
    /// The page that is being read.
    #[serde(skip)]
    pub(super) page: Vec<u8>,
}

impl Admin {
    pub(crate) fn new(provisioning: &Provisioning) -> Self {
        Self {
            vault: Vault::new(provisioning),
            random: RandomSource::new(&provisioning.entropy_seed),
            context_errors: ContextErrors::default(),
            page: Vec::new(),
        }
    }

    /// Whether this part of a card can be in this state.
    pub(crate) fn check(&self) -> Check {
        let ContextErrors { corrected, others } = self.context_errors;
        let are_plausible = is_plausible(corrected) && is_plausible(others);
        check(are_plausible, "errors in context memory")?;
        self.vault.check()
    }

    /// What a reset or loss of power does.
    pub(crate) fn clear(&mut self) {
        self.vault.clear();
        self.random.restart();
    }

    /// What loss of power does beside a reset.
    pub(crate) fn lose_power(&mut self) {
        self.context_errors = ContextErrors::default();
    }

    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.vault.visit(visit);
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// Makes the context of `session`, which belongs to `owner`, from the session block in `bytes`,
/// which the caller zeroes.
pub(super) fn create(
    contexts: &mut ContextTable,
    (session, owner): (CardSession, u64),
    bytes: &[u8],
) -> Result<(), Status> {
    contexts.check_free(session).map_err(refusal)?;
    let context = Context::new(&read_block(bytes)?)?;
    contexts.store(session, context).map_err(refusal)?;
    contexts.set_passport(session, Passport { owner, epoch: 0 });
    Ok(())
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
    contexts.replace(session, context);
    let mut passport = contexts.passport(session);
    passport.epoch = passport.epoch.saturating_add(1);
    contexts.set_passport(session, passport);
    Ok(())
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

pub(super) fn read_block(bytes: &[u8]) -> Result<SessionBlock, Status> {
    let bytes: &[u8; SESSION_BLOCK_LEN] = bytes.try_into().map_err(|_| Status::BadLength)?;
    SessionBlock::from_bytes(bytes).map_err(|error| match error {
        SessionBlockError::Reserved => Status::ReservedBits,
        SessionBlockError::Cipher(_)
        | SessionBlockError::Digest(_)
        | SessionBlockError::KeyLength(_) => Status::BadParameters,
    })
}

pub(super) const fn refusal(error: StoreError) -> Status {
    match error {
        StoreError::OutOfTable => Status::BadSession,
        StoreError::Taken => Status::SessionExists,
    }
}
