//! Mappings: the memory of a request while the card has it.
//!
//! Owns the moves between plain memory and mapped memory, and undoes a mapping that failed halfway.
//! Memory that cannot be mapped is copied through the pool. Does not know what the bytes mean
//! (`ocf`).

use dma::PoolBuffer;

use crate::command::Stream;
use crate::{Direction, MapError, Mapped, Transport};

/// A buffer while the card has it.
#[derive(Debug)]
pub(crate) enum Hold {
    /// There is no buffer.
    Nothing,
    /// Mapped where it is.
    Whole(Mapped),
    /// Every part mapped where it is, in order.
    Parts(Vec<Mapped>),
    /// A copy of a part of the original.
    Copy(Mapped),
}

/// Why memory was not mapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HoldError {
    /// The transport said so.
    Map(MapError),
    /// No pool memory for a copy.
    Memory,
    /// A copy would exceed the pool.
    TooBig,
}

impl From<MapError> for HoldError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

impl Hold {
    /// Appends `len` mapped bytes, from `start` on, to `stream`.
    ///
    /// # Panics
    /// If they leave the buffer: the framework has checked every region.
    #[inline]
    pub(crate) fn push(&self, start: usize, len: usize, stream: &mut Stream) {
        if len == 0 {
            return;
        }
        match self {
            Self::Nothing => panic!("{len} bytes of a buffer that is not there"),
            Self::Whole(mapped) | Self::Copy(mapped) => push_run(mapped, start, len, stream),
            Self::Parts(parts) => {
                let (mut skip, mut left) = (start, len);
                for mapped in parts {
                    let part_len = mapped.len as usize;
                    let take = part_len.saturating_sub(skip).min(left);
                    if take > 0 {
                        push_run(mapped, skip, take, stream);
                    }
                    skip = skip.saturating_sub(part_len);
                    left -= take;
                }
                assert_eq!(left, 0, "a region leaves its chain");
            }
        }
    }
}

#[inline]
fn push_run(mapped: &Mapped, start: usize, len: usize, stream: &mut Stream) {
    let is_inside = start
        .checked_add(len)
        .is_some_and(|end| end <= mapped.len as usize);
    assert!(is_inside, "a region leaves its buffer");
    stream.push(mapped.addr.offset(start as u64), len as u32);
}

/// Makes and undoes [`Hold`]s; keeps emptied lists, so that chains need no allocation.
#[derive(Debug, Default)]
pub(crate) struct Mapper {
    spare: Vec<Vec<Mapped>>,
}

impl Mapper {
    /// Maps every part and empties `parts`, or maps nothing and leaves `parts` as it was.
    pub(crate) fn hold_parts<T: Transport>(
        &mut self,
        transport: &mut T,
        parts: &mut Vec<PoolBuffer>,
        direction: Direction,
    ) -> Result<Hold, HoldError> {
        let mut held = self.spare.pop().unwrap_or_default();
        parts.reverse();
        while let Some(part) = parts.pop() {
            match transport.map(part, direction) {
                Ok(mapped) => held.push(mapped),
                Err((part, error)) => {
                    parts.push(part);
                    while let Some(mapped) = held.pop() {
                        parts.push(transport.unmap(mapped).buffer);
                    }
                    parts.reverse();
                    self.spare.push(held);
                    return Err(error.into());
                }
            }
        }
        Ok(Hold::Parts(held))
    }

    /// Unmaps every part into `parts`; says whether the card may have written to any.
    pub(crate) fn release_parts<T: Transport>(
        &mut self,
        transport: &mut T,
        mut held: Vec<Mapped>,
        parts: &mut Vec<PoolBuffer>,
    ) -> bool {
        let mut touched = false;
        for mapped in held.drain(..) {
            let unmapped = transport.unmap(mapped);
            touched |= unmapped.touched;
            parts.push(unmapped.buffer);
        }
        self.spare.push(held);
        touched
    }
}

/// Takes `len` bytes of pool memory for a copy.
pub(crate) fn take<T: Transport>(transport: &T, len: usize) -> Result<PoolBuffer, HoldError> {
    let pool = transport.pool();
    pool.take(len).map_err(|_| {
        if len > pool.capacity() {
            HoldError::TooBig
        } else {
            HoldError::Memory
        }
    })
}

/// Maps a copy.
pub(crate) fn hold_copy<T: Transport>(
    transport: &mut T,
    copy: PoolBuffer,
    direction: Direction,
) -> Result<Hold, HoldError> {
    match transport.map(copy, direction) {
        Ok(mapped) => Ok(Hold::Copy(mapped)),
        Err((_, error)) => Err(error.into()),
    }
}
