//! Commands: streams of device memory and the descriptor that names them.
//!
//! Owns the rules of a stream: runs that touch are one run, empty runs are none, a single run is
//! named directly, several by a segment list in the slot's area, and what exceeds the card's limits
//! is refused before anything is posted. Does not know requests (`ocf`) or slots (`ring`).

use regs::{
    CIPHER_KEY_MAX, CardSession, Command, CommandFlags, DIGEST_KEY_MAX, DeviceAddr, IV_MAX,
    MAX_SEGMENTS, Opcode, SEGMENT_LEN, Segment,
};

/// Longest payload of a command, in bytes. Datasheet: data commands.
pub(crate) const PAYLOAD_MAX: u32 = 1 << 20;
/// Bytes of IV that a command itself holds.
pub(crate) const COMMAND_IV_LEN: usize = 16;
/// Most bytes of IV beyond those of the command.
pub(crate) const IV_REST_MAX: usize = IV_MAX - COMMAND_IV_LEN;
/// Most key bytes of a command: cipher key and digest key.
pub(crate) const KEYS_MAX: usize = CIPHER_KEY_MAX + DIGEST_KEY_MAX;
/// Offset of the source's segment list in an area, in bytes; keys and the rest of an IV stand
/// before it.
pub(crate) const SOURCE_LIST_AT: usize = (KEYS_MAX + IV_REST_MAX).next_multiple_of(64);
/// Offset of the destination's segment list in an area, in bytes.
pub(crate) const DESTINATION_LIST_AT: usize = SOURCE_LIST_AT + LIST_LEN;
/// Size of the area of a data command, in bytes.
pub(crate) const AREA_LEN: usize = DESTINATION_LIST_AT + LIST_LEN;

const LIST_LEN: usize = MAX_SEGMENTS as usize * SEGMENT_LEN;

/// A stream exceeds the card: too many segments, or more bytes than a length field holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooBig;

/// A stream under construction.
#[derive(Debug)]
pub(crate) struct Stream {
    segments: [Segment; MAX_SEGMENTS as usize],
    count: usize,
    len: u64,
    overflows: bool,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self {
            segments: [Segment::default(); MAX_SEGMENTS as usize],
            count: 0,
            len: 0,
            overflows: false,
        }
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.len = 0;
        self.overflows = false;
    }

    /// Appends `len` bytes at `addr`.
    #[inline]
    pub(crate) fn push(&mut self, addr: DeviceAddr, len: u32) {
        if len == 0 {
            return;
        }
        self.len += u64::from(len);
        if let Some(last) = self.count.checked_sub(1).map(|at| &mut self.segments[at])
            && last.addr.offset(u64::from(last.len)) == addr
            && let Some(sum) = last.len.checked_add(len)
        {
            last.len = sum;
            return;
        }
        match self.segments.get_mut(self.count) {
            Some(segment) => {
                *segment = Segment { addr, len };
                self.count += 1;
            }
            None => self.overflows = true,
        }
    }

    /// Whether the card takes the stream.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), TooBig> {
        if self.overflows || self.len > u64::from(u32::MAX) {
            Err(TooBig)
        } else {
            Ok(())
        }
    }

    /// Whether the stream needs a segment list.
    #[inline]
    pub(crate) fn needs_list(&self) -> bool {
        self.count > 1
    }

    /// Whether the stream needs a list that ends with less than `len` bytes.
    pub(crate) fn ends_below(&self, len: u32) -> bool {
        self.needs_list()
            && self.segments[..self.count]
                .last()
                .is_some_and(|last| last.len < len)
    }

    /// The run of a stream that needs no list; an empty stream is zero bytes at address zero.
    #[inline]
    fn run(&self) -> Segment {
        if self.count == 0 {
            Segment::default()
        } else {
            self.segments[0]
        }
    }

    /// Writes the segment list with `write`, which takes an offset in bytes and bytes.
    pub(crate) fn write_list(&self, mut write: impl FnMut(usize, &[u8])) {
        for (index, segment) in self.segments[..self.count].iter().enumerate() {
            write(index * SEGMENT_LEN, &segment.to_bytes());
        }
    }
}

/// What a data command does, apart from its streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) opcode: Opcode,
    pub(crate) session: CardSession,
    pub(crate) flags: CommandFlags,
    pub(crate) aad_len: u16,
    pub(crate) payload_len: u32,
    pub(crate) iv: [u8; COMMAND_IV_LEN],
    /// What the IV has beyond these bytes.
    pub(crate) iv_rest: [u8; IV_REST_MAX],
    pub(crate) esn: [u8; 4],
    /// Bytes that the source stream has before everything else: keys, then the rest of the IV.
    pub(crate) front_len: u32,
}

impl Work {
    /// Whether the source stream begins with keys.
    #[inline]
    pub(crate) fn has_keys(&self) -> bool {
        self.flags.contains(CommandFlags::REQUEST_KEYS)
    }

    /// The descriptor for streams of one run each.
    #[inline]
    pub(crate) fn direct(&self, source: Segment, destination: Segment) -> Command {
        Command {
            opcode: self.opcode as u8,
            flags: self.flags,
            aad_len: self.aad_len,
            session: self.session,
            source: source.addr,
            source_len: source.len,
            destination: destination.addr,
            destination_len: destination.len,
            payload_len: self.payload_len,
            iv: self.iv,
            esn: self.esn,
            ..Command::default()
        }
    }

    /// The descriptor for `source` and `destination`, whose lists, if any, stand in the area at
    /// `area`. The ring fills in the cookie.
    pub(crate) fn command(
        &self,
        source: &Stream,
        destination: &Stream,
        area: DeviceAddr,
    ) -> Command {
        let mut command = self.direct(source.run(), destination.run());
        if source.needs_list() {
            command.flags |= CommandFlags::SOURCE_SEGMENTS;
            command.source = area.offset(SOURCE_LIST_AT as u64);
            command.source_len = source.count as u32;
        }
        if destination.needs_list() {
            command.flags |= CommandFlags::DESTINATION_SEGMENTS;
            command.destination = area.offset(DESTINATION_LIST_AT as u64);
            command.destination_len = destination.count as u32;
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(runs: &[(u64, u32)]) -> Stream {
        let mut stream = Stream::new();
        for &(addr, len) in runs {
            stream.push(DeviceAddr(addr), len);
        }
        stream
    }

    #[test]
    fn neighbours_are_one_run_and_empty_runs_are_none() {
        let stream = stream(&[(0x100, 8), (0x108, 0), (0x108, 8), (0x900, 0)]);
        assert!(!stream.needs_list());
        assert_eq!(
            (stream.run().addr, stream.run().len),
            (DeviceAddr(0x100), 16)
        );
    }

    #[test]
    fn thirty_two_segments_fit_and_one_more_does_not() {
        let runs: Vec<_> = (0..33).map(|at| (at * 0x100, 8)).collect();
        assert_eq!(stream(&runs[..32]).check(), Ok(()));
        assert_eq!(stream(&runs).check(), Err(TooBig));
    }

    #[test]
    fn lengths_beyond_the_field_are_too_big() {
        assert_eq!(stream(&[(0, u32::MAX)]).check(), Ok(()));
        assert_eq!(stream(&[(0, u32::MAX), (1 << 32, 1)]).check(), Err(TooBig));
    }

    #[test]
    fn an_empty_stream_is_direct_and_empty() {
        let work = Work {
            opcode: Opcode::Process,
            session: CardSession(1),
            flags: CommandFlags::ENCRYPT,
            aad_len: 0,
            payload_len: 0,
            iv: [0; 16],
            iv_rest: [0; IV_REST_MAX],
            esn: [0; 4],
            front_len: 0,
        };
        let command = work.command(&stream(&[]), &stream(&[]), DeviceAddr(0x1000));
        assert_eq!(command.flags, CommandFlags::ENCRYPT);
        assert_eq!((command.source_len, command.destination_len), (0, 0));
    }

    #[test]
    fn lists_stand_behind_the_keys() {
        let work = Work {
            opcode: Opcode::Process,
            session: CardSession(1),
            flags: CommandFlags::empty(),
            aad_len: 0,
            payload_len: 2,
            iv: [0; 16],
            iv_rest: [0; IV_REST_MAX],
            esn: [0; 4],
            front_len: 0,
        };
        let two = stream(&[(0, 1), (0x100, 1)]);
        let command = work.command(&two, &two, DeviceAddr(0x1000));
        assert_eq!(command.source, DeviceAddr(0x1000 + SOURCE_LIST_AT as u64));
        assert_eq!(
            command.destination,
            DeviceAddr(0x1000 + DESTINATION_LIST_AT as u64)
        );
        assert_eq!((command.source_len, command.destination_len), (2, 2));
        assert!(
            command
                .flags
                .contains(CommandFlags::SOURCE_SEGMENTS | CommandFlags::DESTINATION_SEGMENTS)
        );
    }
}
