//! The trace event format: one JSON object an event, written as it comes.
//!
//! Times are whole nanoseconds, written as microseconds with three decimals. Knows nothing of
//! cards.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::Range;

use timebase::Time;

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

/// Writes events.
pub(super) struct Writer<W: Write> {
    out: W,
    /// One event, used again for each.
    line: String,
    is_first: bool,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        Ok(Self {
            out,
            line: String::new(),
            is_first: true,
        })
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }

    /// Names a process; processes are shown in order of number.
    pub(super) fn process(&mut self, process: u32, name: &str) -> io::Result<()> {
        let name = quoted(name);
        let args = braced(&[("sort_index", process.into())]);
        self.event(format_args!(
            r#""ph":"M","pid":{process},"name":"process_name","args":{{"name":{name}}}"#
        ))?;
        self.event(format_args!(
            r#""ph":"M","pid":{process},"name":"process_sort_index","args":{args}"#
        ))
    }

    /// Names a track; tracks of a process are shown in order of `position`.
    pub(super) fn track(&mut self, track: Track, name: &str, position: u32) -> io::Result<()> {
        let (place, name) = (place(track), quoted(name));
        self.event(format_args!(
            r#""ph":"M",{place},"name":"thread_name","args":{{"name":{name}}}"#
        ))?;
        self.event(format_args!(
            r#""ph":"M",{place},"name":"thread_sort_index","args":{{"sort_index":{position}}}"#
        ))
    }

    pub(super) fn begin(
        &mut self,
        track: Track,
        at: Time,
        name: &str,
        args: Args<'_>,
    ) -> io::Result<()> {
        let (place, at, name, args) = (place(track), stamp(at), quoted(name), braced(args));
        self.event(format_args!(
            r#""ph":"B",{place},"ts":{at},"name":{name},"args":{args}"#
        ))
    }

    /// Ends the slice that began last on `track`; `how` says how, if that is worth a word.
    pub(super) fn end(&mut self, track: Track, at: Time, how: Option<&str>) -> io::Result<()> {
        let (place, at) = (place(track), stamp(at));
        match how.map(quoted) {
            None => self.event(format_args!(r#""ph":"E",{place},"ts":{at}"#)),
            Some(how) => self.event(format_args!(
                r#""ph":"E",{place},"ts":{at},"args":{{"end":{how}}}"#
            )),
        }
    }

    /// A slice whose end is known.
    pub(super) fn complete(
        &mut self,
        track: Track,
        when: Range<Time>,
        name: &str,
        args: Args<'_>,
    ) -> io::Result<()> {
        let (place, name, args) = (place(track), quoted(name), braced(args));
        let (at, dur) = (
            stamp(when.start),
            micros(when.end.as_ns() - when.start.as_ns()),
        );
        self.event(format_args!(
            r#""ph":"X",{place},"ts":{at},"dur":{dur},"name":{name},"args":{args}"#
        ))
    }

    pub(super) fn instant(
        &mut self,
        track: Track,
        at: Time,
        name: &str,
        args: Args<'_>,
    ) -> io::Result<()> {
        let (place, at, name, args) = (place(track), stamp(at), quoted(name), braced(args));
        self.event(format_args!(
            r#""ph":"i","s":"t",{place},"ts":{at},"name":{name},"args":{args}"#
        ))
    }

    pub(super) fn counter(
        &mut self,
        process: u32,
        at: Time,
        name: &str,
        value: u64,
    ) -> io::Result<()> {
        let (at, name) = (stamp(at), quoted(name));
        self.event(format_args!(
            r#""ph":"C","pid":{process},"ts":{at},"name":{name},"args":{{"value":{value}}}"#
        ))
    }

    /// Begins flow `id` in the slice that is open on `track`.
    pub(super) fn flow_start(&mut self, track: Track, at: Time, id: u64) -> io::Result<()> {
        self.flow('s', track, at, id)
    }

    /// Leads flow `id` through the slice that is open on `track`.
    pub(super) fn flow_step(&mut self, track: Track, at: Time, id: u64) -> io::Result<()> {
        self.flow('t', track, at, id)
    }

    /// Ends flow `id` in the slice that is open on `track`; to be called before the slice ends.
    pub(super) fn flow_end(&mut self, track: Track, at: Time, id: u64) -> io::Result<()> {
        self.flow('f', track, at, id)
    }

    fn flow(&mut self, phase: char, track: Track, at: Time, id: u64) -> io::Result<()> {
        let (place, at) = (place(track), stamp(at));
        let what = r#""cat":"request","name":"request""#;
        self.event(format_args!(
            r#""ph":"{phase}","bp":"e",{place},"ts":{at},"id":{id},{what}"#
        ))
    }

    fn event(&mut self, fields: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.line.clear();
        if !self.is_first {
            self.line.push_str(",\n");
        }
        self.is_first = false;
        write!(self.line, "{{{fields}}}").expect("a string takes any text");
        self.out.write_all(self.line.as_bytes())
    }
}

fn place(track: Track) -> String {
    format!(r#""pid":{},"tid":{}"#, track.process, track.thread)
}

fn stamp(at: Time) -> String {
    micros(at.as_ns())
}

fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000, ns % 1_000)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn braced(args: Args<'_>) -> String {
    let pairs: Vec<String> = args
        .iter()
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect();
    format!("{{{}}}", pairs.join(","))
}
