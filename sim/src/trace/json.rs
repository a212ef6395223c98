//! The trace event format: one JSON object an event, written as it comes.
//!
//! Times are whole nanoseconds, written as microseconds with three decimals. Knows nothing of
//! cards.

use std::io::{self, Write};
use std::ops::Range;

use timebase::Time;

/// Bytes from which on events are written.
const PART_LEN: usize = 1 << 16;

/// The numbers below a hundred with two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// Numbers that belong to an event.
pub(super) type Args<'a> = &'a [(&'a str, u64)];

/// A thread of a process, which is what the format calls a track.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Track {
    /// Its process.
    pub(super) process: u32,
    /// Its number, unique among all processes.
    pub(super) thread: u32,
}

/// What an event is called.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'a> {
    /// This.
    Text(&'a str),
    /// This, a space and a number: no text has to be made for each.
    Numbered(&'a str, u64),
}

impl<'a> From<&'a str> for Name<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

/// Writes events. There are a few for each event of a run, so a line is put together without a
/// formatter and without memory of its own.
pub(super) struct Writer<W: Write> {
    out: W,
    /// Events that are not written yet.
    line: Line,
    is_first: bool,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        Ok(Self {
            out,
            line: Line(Vec::new()),
            is_first: true,
        })
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write_part()?;
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }

    /// Names a process; processes are shown in order of number.
    pub(super) fn process(&mut self, process: u32, name: &str) -> io::Result<()> {
        self.begin_line()
            .piece(b"\"ph\":\"M\",\"pid\":")
            .number(process.into())
            .piece(b",\"name\":\"process_name\",\"args\":{\"name\":")
            .quoted(name.into())
            .piece(b"}");
        self.end_line()?;
        self.begin_line()
            .piece(b"\"ph\":\"M\",\"pid\":")
            .number(process.into())
            .piece(b",\"name\":\"process_sort_index\"")
            .args(&[("sort_index", process.into())]);
        self.end_line()
    }

    /// Names a track; tracks of a process are shown in order of `position`.
    pub(super) fn track(&mut self, track: Track, name: &str, position: u32) -> io::Result<()> {
        self.begin_line()
            .piece(b"\"ph\":\"M\",")
            .place(track)
            .piece(b",\"name\":\"thread_name\",\"args\":{\"name\":")
            .quoted(name.into())
            .piece(b"}");
        self.end_line()?;
        self.begin_line()
            .piece(b"\"ph\":\"M\",")
            .place(track)
            .piece(b",\"name\":\"thread_sort_index\"")
            .args(&[("sort_index", position.into())]);
        self.end_line()
    }

    pub(super) fn begin<'a>(
        &mut self,
        track: Track,
        at: Time,
        name: impl Into<Name<'a>>,
        args: Args<'_>,
    ) -> io::Result<()> {
        self.begin_line()
            .piece(b"\"ph\":\"B\",")
            .place(track)
            .stamp(at)
            .name(name.into())
            .args(args);
        self.end_line()
    }

    /// Ends the slice that began last on `track`; `how` says how, if that is worth a word.
    pub(super) fn end(&mut self, track: Track, at: Time, how: Option<&str>) -> io::Result<()> {
        let line = self.begin_line();
        line.piece(b"\"ph\":\"E\",").place(track).stamp(at);
        if let Some(how) = how {
            line.piece(b",\"args\":{\"end\":")
                .quoted(how.into())
                .piece(b"}");
        }
        self.end_line()
    }

    /// A slice whose end is known.
    pub(super) fn complete<'a>(
        &mut self,
        track: Track,
        when: Range<Time>,
        name: impl Into<Name<'a>>,
        args: Args<'_>,
    ) -> io::Result<()> {
        self.begin_line()
            .piece(b"\"ph\":\"X\",")
            .place(track)
            .stamp(when.start)
            .piece(b",\"dur\":")
            .micros(when.end.as_ns() - when.start.as_ns())
            .name(name.into())
            .args(args);
        self.end_line()
    }

    pub(super) fn instant(
        &mut self,
        track: Track,
        at: Time,
        name: &str,
        args: Args<'_>,
    ) -> io::Result<()> {
        self.begin_line()
            .piece(b"\"ph\":\"i\",\"s\":\"t\",")
            .place(track)
            .stamp(at)
            .name(name.into())
            .args(args);
        self.end_line()
    }

    pub(super) fn counter(
        &mut self,
        process: u32,
        at: Time,
        name: &str,
        value: u64,
    ) -> io::Result<()> {
        self.begin_line()
            .piece(b"\"ph\":\"C\",\"pid\":")
            .number(process.into())
            .stamp(at)
            .name(name.into())
            .args(&[("value", value)]);
        self.end_line()
    }

    /// Begins flow `id` in the slice that is open on `track`.
    pub(super) fn flow_start(&mut self, track: Track, at: Time, id: u64) -> io::Result<()> {
        self.flow(b"s", track, at, id)
    }

    /// Leads flow `id` through the slice that is open on `track`.
    pub(super) fn flow_step(&mut self, track: Track, at: Time, id: u64) -> io::Result<()> {
        self.flow(b"t", track, at, id)
    }

    /// Ends flow `id` in the slice that is open on `track`; to be called before the slice ends.
    pub(super) fn flow_end(&mut self, track: Track, at: Time, id: u64) -> io::Result<()> {
        self.flow(b"f", track, at, id)
    }

    fn flow(&mut self, phase: &[u8; 1], track: Track, at: Time, id: u64) -> io::Result<()> {
        self.begin_line()
            .piece(b"\"ph\":\"")
            .piece(phase)
            .piece(b"\",\"bp\":\"e\",")
            .place(track)
            .stamp(at)
            .piece(b",\"id\":")
            .number(id)
            .piece(b",\"cat\":\"request\",\"name\":\"request\"");
        self.end_line()
    }

    fn begin_line(&mut self) -> &mut Line {
        let is_first = std::mem::replace(&mut self.is_first, false);
        if is_first {
            self.line.piece(b"{")
        } else {
            self.line.piece(b",\n{")
        }
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.line.piece(b"}");
        if self.line.0.len() < PART_LEN {
            return Ok(());
        }
        self.write_part()
    }

    #[cold]
    fn write_part(&mut self) -> io::Result<()> {
        self.out.write_all(&self.line.0)?;
        self.line.0.clear();
        Ok(())
    }
}

/// Lines while they are put together.
struct Line(Vec<u8>);

impl Line {
    /// Text that is known here: its length is too, so it is copied without a call.
    #[inline(always)]
    fn piece<const N: usize>(&mut self, text: &[u8; N]) -> &mut Self {
        self.0.extend_from_slice(text);
        self
    }

    #[inline]
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(&mut self, mut value: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        while value >= 100 {
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
            value /= 100;
        }
        if value >= 10 {
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[value as usize]);
        } else {
            at -= 1;
            digits[at] = b'0' + value as u8;
        }
        self.0.extend_from_slice(&digits[at..]);
        self
    }

    fn place(&mut self, track: Track) -> &mut Self {
        self.piece(b"\"pid\":")
            .number(track.process.into())
            .piece(b",\"tid\":")
            .number(track.thread.into())
    }

    fn stamp(&mut self, at: Time) -> &mut Self {
        self.piece(b",\"ts\":").micros(at.as_ns())
    }

    /// Nanoseconds as microseconds with three decimals.
    fn micros(&mut self, ns: u64) -> &mut Self {
        let rest = ns % 1_000;
        let digit = |value: u64| b'0' + (value % 10) as u8;
        self.number(ns / 1_000).0.extend_from_slice(&[
            b'.',
            digit(rest / 100),
            digit(rest / 10),
            digit(rest),
        ]);
        self
    }

    fn name(&mut self, name: Name<'_>) -> &mut Self {
        self.piece(b",\"name\":").quoted(name)
    }

    fn quoted(&mut self, name: Name<'_>) -> &mut Self {
        let (Name::Text(text) | Name::Numbered(text, _)) = name;
        let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if text.bytes().all(is_plain) {
            self.piece(b"\"").text(text);
        } else {
            let quoted = serde_json::Value::from(text).to_string();
            self.text(&quoted[..quoted.len() - 1]);
        }
        if let Name::Numbered(_, number) = name {
            self.piece(b" ").number(number);
        }
        self.piece(b"\"")
    }

    fn args(&mut self, args: Args<'_>) -> &mut Self {
        self.piece(b",\"args\":{");
        for (index, (key, value)) in args.iter().enumerate() {
            if index > 0 {
                self.piece(b",");
            }
            self.piece(b"\"").text(key).piece(b"\":").number(*value);
        }
        self.piece(b"}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_names_are_written_as_a_formatter_would() {
        for value in [0, 9, 10, 999, 1_000, 12_345_678_901, u64::MAX] {
            let mut line = Line(Vec::new());
            line.number(value);
            assert_eq!(line.0, value.to_string().into_bytes());
            let mut line = Line(Vec::new());
            line.micros(value);
            let wanted = format!("{}.{:03}", value / 1_000, value % 1_000);
            assert_eq!(line.0, wanted.into_bytes());
        }
        for name in ["plain", "a \"quote\"", "back\\slash", "new\nline", "µ", ""] {
            let mut line = Line(Vec::new());
            line.quoted(name.into());
            let wanted = serde_json::Value::from(name).to_string();
            assert_eq!(line.0, wanted.into_bytes());
        }
        let mut line = Line(Vec::new());
        line.quoted(Name::Numbered("request", 17));
        assert_eq!(line.0, b"\"request 17\"");
    }
}
