//! The two formats.

use std::io::{self, BufWriter, Seek, Write};

use fst_writer::{
    FstFileType, FstHeaderWriter, FstInfo, FstScopeType, FstSignalType, FstVarDirection,
    FstVarType, FstWriteError,
};
use timebase::Time;
use vcd::{TimescaleUnit, Value};

use super::signals::{Signal, Waves};

/// The module around everything, which viewers want to have.
const ROOT: &str = "ringside";
/// Buffered changes, in bytes, from which on a part of an FST file is written.
const PART_LEN: usize = 8 << 20;

pub(super) fn write_vcd<W: Write>(out: W, waves: &Waves) -> io::Result<()> {
    let mut buffered = BufWriter::new(out);
    let mut out = vcd::Writer::new(&mut buffered);
    out.version(ROOT)?;
    out.timescale(1, TimescaleUnit::PS)?;
    out.add_module(ROOT)?;
    let mut codes = Vec::with_capacity(waves.signals.len());
    let mut open: &[String] = &[];
    for signal in &waves.signals {
        let shared = shared(open, &signal.scopes);
        for _ in shared..open.len() {
            out.upscope()?;
        }
        for scope in &signal.scopes[shared..] {
            out.add_module(scope)?;
        }
        open = &signal.scopes;
        codes.push(out.add_wire(signal.width, &signal.name)?);
    }
    for _ in 0..=open.len() {
        out.upscope()?;
    }
    out.enddefinitions()?;
    let change = |out: &mut vcd::Writer<_>, index: usize, value| {
        let Signal { width, .. } = waves.signals[index];
        match width {
            1 => out.change_scalar(codes[index], value != 0),
            _ => out.change_vector(codes[index], bits(value, width).map(Value::from)),
        }
    };
    let mut now = Time::ZERO;
    out.timestamp(0)?;
    out.begin(vcd::SimulationCommand::Dumpvars)?;
    for (index, &value) in waves.initial.iter().enumerate() {
        change(&mut out, index, value)?;
    }
    out.end()?;
    for one in &waves.changes {
        if one.at != now {
            now = one.at;
            out.timestamp(now.as_ps())?;
        }
        change(&mut out, one.signal, one.value)?;
    }
    buffered.flush()
}

pub(super) fn write_fst<W: Write + Seek>(out: W, waves: &Waves) -> io::Result<()> {
    let mut buffered = BufWriter::new(out);
    fst(&mut buffered, waves).map_err(|error| match error {
        FstWriteError::Io(error) => error,
        other => io::Error::other(other),
    })?;
    buffered.flush()
}

fn fst<W: Write + Seek>(out: W, waves: &Waves) -> fst_writer::Result<()> {
    let info = FstInfo {
        start_time: 0,
        timescale_exponent: -12,
        version: ROOT.to_owned(),
        // The same run gives the same file.
        date: String::new(),
        file_type: FstFileType::Verilog,
    };
    let mut out = FstHeaderWriter::new(out, &info)?;
    out.scope(ROOT, "", FstScopeType::Module)?;
    let mut ids = Vec::with_capacity(waves.signals.len());
    let mut open: &[String] = &[];
    for signal in &waves.signals {
        let shared = shared(open, &signal.scopes);
        for _ in shared..open.len() {
            out.up_scope()?;
        }
        for scope in &signal.scopes[shared..] {
            out.scope(scope, "", FstScopeType::Module)?;
        }
        open = &signal.scopes;
        let kind = FstSignalType::bit_vec(signal.width);
        let direction = FstVarDirection::Implicit;
        ids.push(out.var(&signal.name, kind, FstVarType::Wire, direction, None)?);
    }
    for _ in 0..=open.len() {
        out.up_scope()?;
    }
    let mut out = out.finish()?;
    let mut now = Time::ZERO;
    let mut text = [0; 32];
    out.time_change(0)?;
    let signals = ids.iter().zip(&waves.signals);
    for ((id, signal), &value) in signals.zip(&waves.initial) {
        out.signal_change(*id, spell(&mut text, value, signal.width))?;
    }
    for one in &waves.changes {
        if one.at != now {
            now = one.at;
            if out.size() > PART_LEN {
                out.flush()?;
            }
            out.time_change(now.as_ps())?;
        }
        let width = waves.signals[one.signal].width;
        out.signal_change(ids[one.signal], spell(&mut text, one.value, width))?;
    }
    out.finish()?;
    Ok(())
}

/// The lowest `width` bits of `value` as digits, in `text`.
fn spell(text: &mut [u8; 32], value: u32, width: u32) -> &[u8] {
    let digits = &mut text[..width as usize];
    for (digit, bit) in digits.iter_mut().zip(bits(value, width)) {
        *digit = b'0' + u8::from(bit);
    }
    digits
}

/// How many scopes the two have in common, from the outermost on.
fn shared(open: &[String], next: &[String]) -> usize {
    let pairs = open.iter().zip(next);
    pairs.take_while(|(left, right)| left == right).count()
}

/// The lowest `width` bits of `value`, highest first.
fn bits(value: u32, width: u32) -> impl Iterator<Item = bool> {
    (0..width).rev().map(move |bit| value >> bit & 1 != 0)
}
