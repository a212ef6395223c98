//! The event log as waveforms, for GTKWave and Surfer.
//!
//! Owns which signals there are and when they change: presence, registers as the driver wrote them,
//! ring indices, interrupt lines, engine lanes, and what is outstanding. Leaves the two formats to
//! [`vcd`](Format::Vcd) (IEEE 1364, section 18) and [`fst`](Format::Fst) (that of GTKWave).

mod file;
mod signals;
#[cfg(test)]
mod tests;

use std::io::{self, Seek, Write};
use std::path::Path;

use crate::event::Record;
use crate::scenario::Scenario;

/// A format of waveforms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Value change dump, text.
    Vcd,
    /// Fast signal trace, compressed.
    Fst,
}

impl Format {
    /// What the ending of a file's name asks for; `None` if that is neither `vcd` nor `fst`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "vcd" => Some(Self::Vcd),
            "fst" => Some(Self::Fst),
            _ => None,
        }
    }
}

/// Writes `log` to `out` as waveforms. Times are in picoseconds.
///
/// # Errors
/// Whatever `out` says.
pub fn write<W: Write + Seek>(
    out: W,
    format: Format,
    scenario: &Scenario,
    log: &[Record],
) -> io::Result<()> {
    let waves = signals::Waves::of(scenario, log);
    match format {
        Format::Vcd => file::write_vcd(out, &waves),
        Format::Fst => file::write_fst(out, &waves),
    }
}
