//! Bytes that are read as choices.

/// A run of bytes read from the front; past its end it reads zeros.
#[derive(Clone, Copy, Debug)]
pub struct Story<'a> {
    rest: &'a [u8],
}

impl<'a> Story<'a> {
    /// The story that `bytes` tell.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether it is told.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `N` bytes.
    pub fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let len = self.rest.len().min(N);
        bytes[..len].copy_from_slice(&self.rest[..len]);
        self.rest = &self.rest[len..];
        bytes
    }

    /// Up to `len` next bytes.
    pub fn run(&mut self, len: usize) -> &'a [u8] {
        let (run, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        run
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    /// The next two bytes.
    pub fn half(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    /// The next four bytes.
    pub fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}
