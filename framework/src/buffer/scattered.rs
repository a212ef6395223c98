//! Memory in pieces that is not the pool's: lists of I/O vectors, pages and mbufs.
//!
//! Owns the pieces and how their length changes: a list is shortened from its end, and a chain of
//! mbufs grows into free space at its end, and by further mbufs as far as its owner allows. Knows
//! nothing of requests.

/// Size of a page, in bytes.
pub const PAGE_SIZE: usize = 4096;
/// Room of an mbuf that a chain grows by, in bytes (`MCLBYTES`).
const CLUSTER: usize = 2048;

/// A page of memory; `vm_page_t`.
pub type Page = Box<[u8; PAGE_SIZE]>;

/// A network buffer: some data in memory that has room before and behind it; `struct mbuf`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mbuf {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Mbuf {
    /// A buffer that holds `data`, with `leading` bytes of room before and `trailing` behind it.
    #[must_use]
    pub fn new(data: &[u8], leading: usize, trailing: usize) -> Self {
        let mut memory = vec![0; leading + data.len() + trailing];
        memory[leading..leading + data.len()].copy_from_slice(data);
        Self {
            memory,
            start: leading,
            len: data.len(),
        }
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    /// Bytes of room behind the data.
    #[must_use]
    pub fn trailing(&self) -> usize {
        self.memory.len() - self.start - self.len
    }
}

/// What a request cannot be given as a buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BufferError {
    /// The data must begin in the first page.
    #[error("data begins {0} bytes into the pages, beyond the first")]
    PageOffset(usize),
    /// The pages do not hold the data.
    #[error("{len} bytes from {offset} on leave {pages} pages")]
    PageLength {
        /// First byte.
        offset: usize,
        /// Number of bytes.
        len: usize,
        /// Number of pages.
        pages: usize,
    },
}

/// Which kind of pieces these are, and so how they change their length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Vectors,
    Pages,
    /// May grow to `max_len` bytes in all.
    Mbufs {
        max_len: usize,
    },
    SingleMbuf,
}

/// Memory in pieces.
#[derive(Clone, Debug)]
pub struct Scattered {
    kind: Kind,
    pieces: Vec<Mbuf>,
    len: usize,
}

impl Scattered {
    fn new(kind: Kind, pieces: Vec<Mbuf>) -> Self {
        let len = pieces.iter().map(|piece| piece.len).sum();
        Self { kind, pieces, len }
    }

    pub(super) fn vectors(vectors: Vec<Vec<u8>>) -> Self {
        let piece = |memory: Vec<u8>| {
            let (start, len) = (0, memory.len());
            Mbuf { memory, start, len }
        };
        Self::new(Kind::Vectors, vectors.into_iter().map(piece).collect())
    }

    pub(super) fn mbufs(chain: Vec<Mbuf>, max_len: usize) -> Self {
        Self::new(Kind::Mbufs { max_len }, chain)
    }

    pub(super) fn single_mbuf(mbuf: Mbuf) -> Self {
        Self::new(Kind::SingleMbuf, vec![mbuf])
    }

    pub(super) fn pages(pages: Vec<Page>, offset: usize, len: usize) -> Result<Self, BufferError> {
        if offset >= PAGE_SIZE {
            return Err(BufferError::PageOffset(offset));
        }
        let end = offset.checked_add(len);
        if end.is_none_or(|end| end > pages.len() * PAGE_SIZE) {
            let pages = pages.len();
            return Err(BufferError::PageLength { offset, len, pages });
        }
        let (mut start, mut left) = (offset, len);
        let piece = |page: Page| {
            let piece = Mbuf {
                memory: (page as Box<[u8]>).into_vec(),
                start,
                len: left.min(PAGE_SIZE - start),
            };
            start = 0;
            left -= piece.len;
            piece
        };
        Ok(Self::new(
            Kind::Pages,
            pages.into_iter().map(piece).collect(),
        ))
    }

    /// Total length in bytes.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "the buffer says whether it is empty"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The data of each piece, in order; empty ones too.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(Mbuf::data)
    }

    pub(super) fn piece(&self, number: usize) -> Option<&[u8]> {
        self.pieces.get(number).map(Mbuf::data)
    }

    pub(super) fn piece_mut(&mut self, number: usize) -> Option<&mut [u8]> {
        self.pieces.get_mut(number).map(Mbuf::data_mut)
    }

    /// The memory itself: each vector, page or mbuf, in order, with those that were added.
    #[must_use]
    pub fn into_mbufs(self) -> Vec<Mbuf> {
        self.pieces
    }

    /// The longest that the whole can become.
    pub(super) fn len_max(&self) -> usize {
        match self.kind {
            Kind::Vectors | Kind::Pages => self.len,
            Kind::Mbufs { max_len } => self.len.max(max_len),
            Kind::SingleMbuf => {
                let room = self.pieces.last().map_or(0, Mbuf::trailing);
                self.len + room
            }
        }
    }

    /// Whether the end follows the data. The pages of a list stay as they are.
    pub(super) fn is_cut(&self) -> bool {
        self.kind != Kind::Pages
    }

    /// Makes the whole `len` bytes long, at most [`len_max`](Self::len_max). New bytes are zero.
    pub(super) fn set_len(&mut self, len: usize) {
        assert!(len <= self.len_max(), "a length within what was asked for");
        while self.len > len {
            let Some(piece) = self.pieces.iter_mut().rev().find(|piece| piece.len > 0) else {
                unreachable!("a length of more than nothing");
            };
            let cut = piece.len.min(self.len - len);
            piece.len -= cut;
            self.len -= cut;
        }
        while self.len < len {
            let room = self.pieces.last().map_or(0, Mbuf::trailing);
            if room == 0 {
                self.pieces.push(Mbuf::new(&[], 0, CLUSTER));
                continue;
            }
            let grown = room.min(len - self.len);
            if let Some(piece) = self.pieces.last_mut() {
                let end = piece.start + piece.len;
                piece.memory[end..end + grown].fill(0);
                piece.len += grown;
            }
            self.len += grown;
        }
    }
}
