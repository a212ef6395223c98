//! The data of a request; crypto_buffer(9).

use dma::PoolBuffer;

/// Where the bytes of a request are.
#[derive(Debug)]
pub enum Buffer {
    /// Memory that cards can reach: processed where it is.
    Pooled(PoolBuffer),
    /// A scatter/gather list of such memory, in order.
    Chain(Vec<PoolBuffer>),
    /// Any other memory: hardware drivers copy it through the pool and count the copy.
    Memory(Vec<u8>),
}

impl Buffer {
    /// Total length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Pooled(buffer) => buffer.len(),
            Self::Chain(parts) => chain_len(parts),
            Self::Memory(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` for each contiguous part of `start..start + len`, in order.
    ///
    /// # Panics
    /// If the range leaves the buffer.
    pub fn for_each_part(&self, start: usize, len: usize, mut visit: impl FnMut(&[u8])) {
        assert!(
            start.checked_add(len).is_some_and(|end| end <= self.len()),
            "range in the buffer"
        );
        match self {
            Self::Pooled(buffer) => visit(&buffer[start..start + len]),
            Self::Memory(bytes) => visit(&bytes[start..start + len]),
            Self::Chain(parts) => {
                let (mut skip, mut left) = (start, len);
                for part in parts {
                    let take = part.len().saturating_sub(skip).min(left);
                    if take > 0 {
                        visit(&part[skip..skip + take]);
                    }
                    skip = skip.saturating_sub(part.len());
                    left -= take;
                }
            }
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
        assert!(
            start.checked_add(len).is_some_and(|end| end <= self.len()),
            "range in the buffer"
        );
        match self {
            Self::Pooled(buffer) => visit(&mut buffer[start..start + len]),
            Self::Memory(bytes) => visit(&mut bytes[start..start + len]),
            Self::Chain(parts) => {
                let (mut skip, mut left) = (start, len);
                for part in parts {
                    let part_len = part.len();
                    let take = part_len.saturating_sub(skip).min(left);
                    if take > 0 {
                        visit(&mut part[skip..skip + take]);
                    }
                    skip = skip.saturating_sub(part_len);
                    left -= take;
                }
            }
        }
    }

    /// The bytes `start..start + len` if they are contiguous.
    #[must_use]
    pub fn contiguous_mut(&mut self, start: usize, len: usize) -> Option<&mut [u8]> {
        let end = start.checked_add(len)?;
        match self {
            Self::Pooled(buffer) => buffer.get_mut(start..end),
            Self::Memory(bytes) => bytes.get_mut(start..end),
            Self::Chain(parts) => {
                let mut skip = start;
                for part in parts {
                    if skip < part.len() || (len == 0 && skip == part.len()) {
                        return part.get_mut(skip..skip + len);
                    }
                    skip -= part.len();
                }
                None
            }
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
}

/// Apart from [`Buffer::len`], which every request passes several times, mostly without a chain.
#[inline(never)]
fn chain_len(parts: &[PoolBuffer]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(parts: &[usize]) -> Buffer {
        let pool = dma::Pool::new(1 << 16).unwrap();
        Buffer::Chain(parts.iter().map(|&len| pool.take(len).unwrap()).collect())
    }

    #[test]
    fn every_range_of_a_chain_copies_in_and_out() {
        for parts in [&[10][..], &[1, 2, 3, 4], &[0, 5, 0, 5, 0]] {
            let mut buffer = chain(parts);
            let data: Vec<u8> = (0..10).collect();
            buffer.copy_in(0, &data);
            for start in 0..=10 {
                for len in 0..=10 - start {
                    let mut out = vec![0xFF; len];
                    buffer.copy_out(start, &mut out);
                    assert_eq!(out, data[start..start + len]);
                    if let Some(bytes) = buffer.contiguous_mut(start, len) {
                        assert_eq!(bytes, &data[start..start + len]);
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "range in the buffer")]
    fn a_range_past_the_end_is_a_bug_of_the_caller() {
        chain(&[4, 4]).copy_out(7, &mut [0; 2]);
    }
}
