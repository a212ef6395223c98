//! The state of a digest in the middle of a message, as a copy that the card reads and writes.
//!
//! What the framework calls a digest state is what the datasheet calls one, byte by byte, so it
//! comes and goes as it is. The request's own stays until the card has made the next.

use dma::PoolBuffer;
use framework::{Digest, DigestState, Request};
use regs::{DIGEST_STATE_LEN, DigestCode, SessionBlock};

use super::params::digest_code;
use crate::command::Stream;
use crate::mapping::{self, HoldError};
use crate::{Direction, Mapped, Transport};

const _: () = assert!(DIGEST_STATE_LEN == framework::DIGEST_STATE_LEN);

/// The digest whose state a request takes or leaves, if it does.
pub(super) fn digest_in_parts(request: &Request, block: &SessionBlock) -> Option<Digest> {
    let operation = request.operation;
    let is_part = operation.leaves_state() || operation.takes_state();
    is_part.then(|| digest_of(block.digest)).flatten()
}

fn digest_of(code: DigestCode) -> Option<Digest> {
    let mut all = Digest::ALL.into_iter();
    all.find(|&digest| digest_code(digest) == code)
}

/// The state that a request brings for the card.
pub(super) fn brought(request: &Request) -> Option<&[u8; DIGEST_STATE_LEN]> {
    let state = request.state.as_ref();
    state
        .filter(|_| request.operation.takes_state())
        .map(|state| state.bytes())
}

/// Gives a request the state that the card made of it, or takes the one that is used up.
pub(super) fn hand_over(request: &mut Request, digest: Digest, made: &[u8]) {
    request.state = request.operation.leaves_state().then(|| {
        let bytes = made.first_chunk().expect("room for a state");
        Box::new(DigestState::new(digest, bytes))
    });
}

/// A copy of a state while the card has it. The card writes the next one in its place.
#[derive(Debug)]
pub(super) struct StateCopy {
    mapped: Mapped,
    digest: Digest,
}

impl StateCopy {
    /// Maps a copy for a request on a part of a message.
    pub(super) fn hold<T: Transport>(
        transport: &mut T,
        request: &Request,
        digest: Digest,
    ) -> Result<Self, HoldError> {
        let mut copy = mapping::take(transport, DIGEST_STATE_LEN)?;
        if let Some(state) = brought(request) {
            copy.copy_from_slice(state);
        }
        match transport.map(copy, Direction::Bidirectional) {
            Ok(mapped) => Ok(Self { mapped, digest }),
            Err((_, error)) => Err(error.into()),
        }
    }

    /// Unmaps it; with `is_good` what the card made is the request's.
    pub(super) fn release<T: Transport>(
        self,
        transport: &mut T,
        request: &mut Request,
        is_good: bool,
    ) {
        let copy: PoolBuffer = transport.unmap(self.mapped).buffer;
        if is_good {
            hand_over(request, self.digest, &copy);
        }
    }

    /// Appends it to `stream`.
    pub(super) fn push(&self, stream: &mut Stream) {
        stream.push(self.mapped.addr, DIGEST_STATE_LEN as u32);
    }
}
