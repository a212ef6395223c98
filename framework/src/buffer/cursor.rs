//! A place in a buffer that moves on; the cursors of crypto_buffer(9).

use crate::Buffer;

/// Where a cursor stands: a piece, and a byte of it.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    piece: usize,
    at: usize,
}

impl Place {
    /// Moves on by `len` bytes; `piece_len` tells how long a piece is, `None` beyond the last.
    fn advance(&mut self, mut len: usize, piece_len: impl Fn(usize) -> Option<usize>) {
        loop {
            let Some(end) = piece_len(self.piece) else {
                assert!(len == 0, "a cursor leaves its buffer by {len} bytes");
                return;
            };
            let step = len.min(end - self.at);
            self.at += step;
            len -= step;
            // A cursor stands on a byte wherever there is one: empty pieces are passed.
            if self.at < end {
                return;
            }
            *self = Self {
                piece: self.piece + 1,
                at: 0,
            };
        }
    }
}

/// Reads a buffer from front to back; `struct crypto_buffer_cursor`.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    buffer: &'a Buffer,
    place: Place,
}

impl<'a> Cursor<'a> {
    /// A cursor on the first byte of `buffer`; `crypto_cursor_init`.
    #[must_use]
    pub fn new(buffer: &'a Buffer) -> Self {
        let mut cursor = Self {
            buffer,
            place: Place::default(),
        };
        cursor.advance(0);
        cursor
    }

    /// Moves on; `crypto_cursor_advance`.
    ///
    /// # Panics
    /// If fewer than `len` bytes are left.
    pub fn advance(&mut self, len: usize) {
        let buffer = self.buffer;
        self.place
            .advance(len, |piece| buffer.piece(piece).map(<[u8]>::len));
    }

    /// The bytes from here on that are contiguous, empty only at the end; `crypto_cursor_segment`.
    #[must_use]
    pub fn segment(&self) -> &'a [u8] {
        let piece = self.buffer.piece(self.place.piece);
        piece.map_or(&[], |bytes| &bytes[self.place.at..])
    }

    /// Copies bytes out and moves on behind them; `crypto_cursor_copydata`.
    ///
    /// # Panics
    /// If fewer bytes are left.
    pub fn copy_out(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let segment = self.segment();
            assert!(!segment.is_empty(), "a cursor leaves its buffer");
            let len = segment.len().min(bytes.len());
            let (now, later) = bytes.split_at_mut(len);
            now.copy_from_slice(&segment[..len]);
            bytes = later;
            self.advance(len);
        }
    }

    /// Copies bytes out and stays; `crypto_cursor_copydata_noadv`.
    ///
    /// # Panics
    /// If fewer bytes are left.
    pub fn peek(&self, bytes: &mut [u8]) {
        self.clone().copy_out(bytes);
    }
}

/// Writes a buffer from front to back.
#[derive(Debug)]
pub struct CursorMut<'a> {
    buffer: &'a mut Buffer,
    place: Place,
}

impl<'a> CursorMut<'a> {
    /// A cursor on the first byte of `buffer`; `crypto_cursor_init`.
    #[must_use]
    pub fn new(buffer: &'a mut Buffer) -> Self {
        let mut cursor = Self {
            buffer,
            place: Place::default(),
        };
        cursor.advance(0);
        cursor
    }

    /// Moves on; `crypto_cursor_advance`.
    ///
    /// # Panics
    /// If fewer than `len` bytes are left.
    pub fn advance(&mut self, len: usize) {
        let buffer = &*self.buffer;
        self.place
            .advance(len, |piece| buffer.piece(piece).map(<[u8]>::len));
    }

    /// The bytes from here on that are contiguous, empty only at the end; `crypto_cursor_segment`.
    #[must_use]
    pub fn segment(&mut self) -> &mut [u8] {
        let at = self.place.at;
        let piece = self.buffer.piece_mut(self.place.piece);
        piece.map_or(&mut [], |bytes| &mut bytes[at..])
    }

    /// Copies `bytes` in and moves on behind them; `crypto_cursor_copyback`.
    ///
    /// # Panics
    /// If fewer bytes are left.
    pub fn copy_in(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let segment = self.segment();
            assert!(!segment.is_empty(), "a cursor leaves its buffer");
            let len = segment.len().min(bytes.len());
            let (now, later) = bytes.split_at(len);
            segment[..len].copy_from_slice(now);
            bytes = later;
            self.advance(len);
        }
    }
}
