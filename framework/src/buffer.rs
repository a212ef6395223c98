//! The data of a request; crypto_buffer(9).
//!
//! Owns the memory meanwhile. [`Cursor`] walks through it; which bytes mean what is the request's
//! business.

mod cursor;
mod scattered;

use dma::PoolBuffer;

pub use cursor::{Cursor, CursorMut};
pub use scattered::{BufferError, Mbuf, PAGE_SIZE, Page, Scattered};

/// Where the bytes of a request are.
#[derive(Debug)]
pub enum Buffer {
    /// Memory that cards can reach: processed where it is.
    Pooled(PoolBuffer),
    /// A scatter/gather list of such memory, in order.
    Chain(Vec<PoolBuffer>),
    /// Any other memory: hardware drivers copy it through the pool and count the copy.
    Memory(Vec<u8>),
    /// Any other memory in pieces; copied likewise.
    Scattered(Box<Scattered>),
}

impl Buffer {
    /// A list of I/O vectors, in order; `crypto_use_uio`.
    #[must_use]
    pub fn vectors(vectors: Vec<Vec<u8>>) -> Self {
        Self::Scattered(Box::new(Scattered::vectors(vectors)))
    }

    /// A chain of mbufs; `crypto_use_mbuf`. Decompression may make it grow to `max_len` bytes.
    #[must_use]
    pub fn mbufs(chain: Vec<Mbuf>, max_len: usize) -> Self {
        Self::Scattered(Box::new(Scattered::mbufs(chain, max_len)))
    }

    /// One mbuf and never another (`CRYPTO_BUF_SINGLE_MBUF`). It grows into its own room only.
    #[must_use]
    pub fn single_mbuf(mbuf: Mbuf) -> Self {
        Self::Scattered(Box::new(Scattered::single_mbuf(mbuf)))
    }

    /// `len` bytes that begin `offset` bytes into the first of `pages`; `crypto_use_vmpage`.
    ///
    /// # Errors
    /// [`BufferError`] if the data does not begin in the first page or leaves the last.
    pub fn pages(pages: Vec<Page>, offset: usize, len: usize) -> Result<Self, BufferError> {
        Scattered::pages(pages, offset, len).map(|pages| Self::Scattered(Box::new(pages)))
    }

    /// Total length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Pooled(buffer) => buffer.len(),
            Self::Chain(parts) => chain_len(parts),
            Self::Memory(bytes) => bytes.len(),
            Self::Scattered(pieces) => pieces.len(),
        }
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether cards can reach the memory where it is.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        matches!(self, Self::Pooled(_) | Self::Chain(_))
    }

    /// The bytes of one piece, counted from zero; `None` beyond the last.
    fn piece(&self, number: usize) -> Option<&[u8]> {
        match self {
            Self::Pooled(buffer) => (number == 0).then_some(buffer),
            Self::Memory(bytes) => (number == 0).then_some(bytes),
            Self::Chain(parts) => parts.get(number).map(|part| &**part),
            Self::Scattered(pieces) => pieces.piece(number),
        }
    }

    fn piece_mut(&mut self, number: usize) -> Option<&mut [u8]> {
        match self {
            Self::Pooled(buffer) => (number == 0).then_some(buffer),
            Self::Memory(bytes) => (number == 0).then_some(bytes),
            Self::Chain(parts) => parts.get_mut(number).map(|part| &mut **part),
            Self::Scattered(pieces) => pieces.piece_mut(number),
        }
    }

    /// The piece that holds byte `start`, and where in it; the one behind the last at the end.
    fn find(&self, mut start: usize) -> (usize, usize) {
        let mut number = 0;
        while let Some(piece) = self.piece(number)
            && start >= piece.len()
        {
            start -= piece.len();
            number += 1;
        }
        (number, start)
    }

    fn check_range(&self, start: usize, len: usize) {
        assert!(
            start.checked_add(len).is_some_and(|end| end <= self.len()),
            "range in the buffer"
        );
    }

    /// Calls `visit` for each contiguous part of `start..start + len`, in order, until one fails;
    /// `crypto_apply`.
    ///
    /// # Errors
    /// What `visit` returned.
    ///
    /// # Panics
    /// If the range leaves the buffer.
    pub fn apply<E>(
        &self,
        start: usize,
        len: usize,
        mut visit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check_range(start, len);
        let (mut number, mut at) = self.find(start);
        let mut left = len;
        while left > 0
            && let Some(piece) = self.piece(number)
        {
            let take = left.min(piece.len() - at);
            if take > 0 {
                visit(&piece[at..at + take])?;
            }
            left -= take;
            (number, at) = (number + 1, 0);
        }
        Ok(())
    }

    /// Calls `visit` for each contiguous part of `start..start + len`, in order.
    ///
    /// # Panics
    /// If the range leaves the buffer.
    pub fn for_each_part(&self, start: usize, len: usize, mut visit: impl FnMut(&[u8])) {
        let outcome = self.apply(start, len, |part| {
            visit(part);
            Ok::<(), std::convert::Infallible>(())
        });
        match outcome {
            Ok(()) => {}
        }
    }

    /// Calls `visit` for each contiguous part of `start..start + len`, in order, to change it.
    ///
    /// # Panics
    /// If the range leaves the buffer.
    pub fn for_each_part_mut(
        &mut self,
        start: usize,
        len: usize,
        mut visit: impl FnMut(&mut [u8]),
    ) {
        self.check_range(start, len);
        let (mut number, mut at) = self.find(start);
        let mut left = len;
        while left > 0
            && let Some(piece) = self.piece_mut(number)
        {
            let take = left.min(piece.len() - at);
            if take > 0 {
                visit(&mut piece[at..at + take]);
            }
            left -= take;
            (number, at) = (number + 1, 0);
        }
    }

    /// The bytes `start..start + len` if they are contiguous; `crypto_contiguous_subsegment`.
    #[must_use]
    pub fn contiguous(&self, start: usize, len: usize) -> Option<&[u8]> {
        let (number, at) = self.find(start);
        match self.piece(number) {
            Some(piece) => piece.get(at..at.checked_add(len)?),
            // The end of the buffer is a place too, for no bytes.
            None => (at == 0 && len == 0).then_some(&[]),
        }
    }

    /// The bytes `start..start + len`, to change them, if they are contiguous.
    #[must_use]
    pub fn contiguous_mut(&mut self, start: usize, len: usize) -> Option<&mut [u8]> {
        let (number, at) = self.find(start);
        match self.piece_mut(number) {
            Some(piece) => piece.get_mut(at..at.checked_add(len)?),
            None => (at == 0 && len == 0).then_some(&mut []),
        }
    }

    /// Copies `bytes.len()` bytes out, from `start` on; `crypto_copydata`.
    ///
    /// # Panics
    /// If the range leaves the buffer.
    pub fn copy_out(&self, start: usize, bytes: &mut [u8]) {
        let mut done = 0;
        self.for_each_part(start, bytes.len(), |part| {
            bytes[done..done + part.len()].copy_from_slice(part);
            done += part.len();
        });
    }

    /// Copies `bytes` in, from `start` on; `crypto_copyback`.
    ///
    /// # Panics
    /// If the range leaves the buffer.
    pub fn copy_in(&mut self, start: usize, bytes: &[u8]) {
        let mut done = 0;
        self.for_each_part_mut(start, bytes.len(), |part| {
            part.copy_from_slice(&bytes[done..done + part.len()]);
            done += part.len();
        });
    }

    /// The longest result that may stand at `start`: as far as the buffer goes, or grows.
    #[must_use]
    pub fn result_room(&self, start: usize) -> usize {
        let len_max = match self {
            Self::Scattered(pieces) => pieces.len_max(),
            Self::Pooled(_) | Self::Chain(_) | Self::Memory(_) => self.len(),
        };
        len_max.saturating_sub(start)
    }

    /// Writes the result of compression or decompression over `old_len` bytes of payload at
    /// `start`. A result that is longer overwrites what follows, and makes a chain of mbufs grow.
    /// One that is shorter, of a payload at the end of the buffer, shortens lists of vectors, mbufs
    /// and pool buffers; what follows a payload stays where it is.
    ///
    /// # Panics
    /// If the payload leaves the buffer, or the result needs more than
    /// [`result_room`](Self::result_room).
    pub fn put_result(&mut self, start: usize, old_len: usize, result: &[u8]) {
        self.check_range(start, old_len);
        let len = self.len();
        let (end, new_end) = (start + old_len, start + result.len());
        if new_end > len || (end == len && new_end < len) {
            self.set_len(new_end);
        }
        self.copy_in(start, result);
    }

    fn set_len(&mut self, len: usize) {
        match self {
            Self::Scattered(pieces) if pieces.is_cut() => pieces.set_len(len),
            Self::Chain(parts) => {
                let mut left = len;
                for part in parts {
                    let part_len = part.len().min(left);
                    part.set_len(part_len);
                    left -= part_len;
                }
            }
            Self::Pooled(_) | Self::Memory(_) | Self::Scattered(_) => {}
        }
    }

    /// The same bytes in memory of the same kind, but that what is in the pool comes out of it.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        if let Self::Scattered(pieces) = self {
            return Self::Scattered(pieces.clone());
        }
        let mut bytes = vec![0; self.len()];
        self.copy_out(0, &mut bytes);
        Self::Memory(bytes)
    }
}

/// Apart from [`Buffer::len`], which every request passes several times, mostly without a chain.
#[inline(never)]
fn chain_len(parts: &[PoolBuffer]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

#[cfg(test)]
mod tests;
