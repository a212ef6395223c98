//! Packed requests: each stream copied to one run of memory, for a card that faults on some lists.
//!
//! The way of last resort: it costs two copies and pool memory for both streams, and needs no
//! segment list. The request keeps its buffers meanwhile.

use framework::{Digest, Region, Request};
use regs::{DIGEST_STATE_LEN, Segment, SessionBlock};
use zeroize::Zeroize;

use super::CardDriver;
use super::layout::Regions;
use super::request::{Job, Trouble, gather_keys};
use super::state::{brought, hand_over};
use crate::command::{KEYS_MAX, Work};
use crate::mapping::{self, HoldError};
use crate::ring::Post;
use crate::session::Facts;
use crate::stats::Counters;
use crate::{Direction, Mapped, Transport};

/// The copies of a request while the card has them.
#[derive(Debug)]
pub(super) struct Packed {
    source: Mapped,
    destination: Option<Mapped>,
    written: [Region; 2],
    /// Of a part of a message.
    in_parts: Option<Digest>,
}

impl<T: Transport> CardDriver<T> {
    /// Posts a copy of a request to its ring, which has room.
    #[cold]
    pub(super) fn submit_packed(
        &mut self,
        (facts, in_parts): (Facts, Option<Digest>),
        request: Box<Request>,
        work: &Work,
        follows: bool,
    ) -> Result<(), (Box<Request>, Trouble)> {
        let card = &mut self.card;
        let block = card.sessions.block(work.session);
        let block = block.expect("an open session keeps its block");
        let regions = Regions::of(&request, facts.has_cipher, facts.digest_len);
        let packed = match pack(&mut card.transport, (&request, regions), (work, block)) {
            Ok(packed) => Packed { in_parts, ..packed },
            Err(error) => return Err((request, error.into())),
        };
        let run = |mapped: &Mapped| Segment {
            addr: mapped.addr,
            len: mapped.len,
        };
        let destination = packed.destination.as_ref().map(run).unwrap_or_default();
        card.counters
            .bounces
            .add(1 + u64::from(packed.destination.is_some()));
        card.counters.bounced_bytes.add(packed.source.len.into());
        let post = Post {
            command: work.direct(run(&packed.source), destination),
            area: None,
            request: Some(request.id.0),
            job: Job::Packed {
                request,
                packed: Box::new(packed),
            },
        };
        card.post(usize::from(facts.ring), post, follows);
        Ok(())
    }
}

/// Copies the source stream and maps both copies.
fn pack<T: Transport>(
    transport: &mut T,
    (request, regions): (&Request, Regions),
    (work, block): (&Work, &SessionBlock),
) -> Result<Packed, HoldError> {
    let sum = |regions: &[Region]| regions.iter().map(|region| region.len).sum::<usize>();
    let aad_len = request.separate_aad.as_ref().map_or(0, |aad| aad.len());
    let front_len = work.front_len as usize;
    let state = brought(request).map_or(&[][..], |state| state);
    let source_len = front_len + aad_len + state.len() + sum(&regions.read);
    let mut source = mapping::take(transport, source_len)?;
    let (front, rest) = source.split_at_mut(front_len);
    write_front(front, request, (work, block));
    let (aad, rest) = rest.split_at_mut(aad_len);
    let (state_copy, mut rest) = rest.split_at_mut(state.len());
    state_copy.copy_from_slice(state);
    if let Some(buffer) = &request.separate_aad {
        buffer.copy_out(0, aad);
    }
    for region in regions.read {
        let (part, behind) = rest.split_at_mut(region.len);
        if region.len > 0 {
            request.buffer.copy_out(region.start, part);
        }
        rest = behind;
    }
    let state_len = usize::from(request.operation.leaves_state()) * DIGEST_STATE_LEN;
    let room = match sum(&regions.written) + state_len {
        0 => None,
        len => Some(mapping::take(transport, len)?),
    };
    let mapped = transport.map(source, Direction::ToDevice);
    let source = mapped.map_err(|(_, error)| HoldError::from(error))?;
    let destination = match room.map(|room| transport.map(room, Direction::FromDevice)) {
        None => None,
        Some(Ok(mapped)) => Some(mapped),
        Some(Err((_, error))) => {
            let _ = transport.unmap(source);
            return Err(error.into());
        }
    };
    Ok(Packed {
        source,
        destination,
        written: regions.written,
        in_parts: None,
    })
}

/// Writes what the source stream begins with: request keys, then the rest of the IV.
fn write_front(front: &mut [u8], request: &Request, (work, block): (&Work, &SessionBlock)) {
    let mut keys_len = 0;
    if work.has_keys() {
        let mut keys = [0; KEYS_MAX];
        keys_len = gather_keys(request, block, &mut keys);
        front[..keys_len].copy_from_slice(&keys[..keys_len]);
        keys.zeroize();
    }
    let rest_len = front.len() - keys_len;
    front[keys_len..].copy_from_slice(&work.iv_rest[..rest_len]);
}

impl Packed {
    /// Unmaps the copies. With `copy_out` results are copied to where they belong.
    #[cold]
    pub(super) fn release<T: Transport>(
        self,
        transport: &mut T,
        request: &mut Request,
        copy_out: Option<&Counters>,
    ) {
        let _ = transport.unmap(self.source);
        let room = self.destination.map(|room| transport.unmap(room).buffer);
        let Some(counters) = copy_out else {
            return;
        };
        let copy = room.as_deref().unwrap_or_default();
        if let Some(digest) = self.in_parts {
            hand_over(request, digest, copy);
        }
        let buffer = request.output.as_mut().unwrap_or(&mut request.buffer);
        let mut at = 0;
        for Region { start, len } in self.written.into_iter().filter(|region| region.len > 0) {
            buffer.copy_in(start, &copy[at..at + len]);
            at += len;
        }
        counters.bounced_bytes.add(at as u64);
    }
}
