//! Published measurements, as they came: one file for each source.
//!
//! A file is text: comment lines that name the source, a heading, then one line for each point.

/// A measured point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Payload of one request.
    pub bytes: u32,
    /// The value as published.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
}

/// Units of throughput.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Requests a second.
    Op,
    /// Millions of requests a second.
    Mop,
    /// Bytes a second.
    B,
    /// Thousands of bytes a second.
    Kb,
    /// Millions of bytes a second.
    Mb,
    /// Millions of bits a second.
    Mbit,
    /// Thousand millions of bits a second.
    Gbit,
}

/// Why there are no measurements.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DataError {
    /// No data file has this name.
    #[error("no data file `{0}`")]
    NoFile(String),
    /// The file has no such series.
    #[error("no series `{series}` in data file `{file}`")]
    NoSeries {
        /// The file.
        file: String,
        /// The series.
        series: String,
    },
    /// A line that is none.
    #[error("data file `{file}`, line {line}: {what}")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

const HEADING: &str = "series,algorithm,bytes,value,unit";

/// Data files: name and text.
const FILES: [(&str, &str); 9] = [
    ("hifn-7956", include_str!("../../data/hifn-7956.csv")),
    ("kunpeng-sec2", include_str!("../../data/kunpeng-sec2.csv")),
    (
        "microchip-mpfs",
        include_str!("../../data/microchip-mpfs.csv"),
    ),
    (
        "qat-c62x-logs",
        include_str!("../../data/qat-c62x-logs.csv"),
    ),
    (
        "qat-dpdk-report",
        include_str!("../../data/qat-dpdk-report.csv"),
    ),
    (
        "qemu-virtio-crypto",
        include_str!("../../data/qemu-virtio-crypto.csv"),
    ),
    ("qualcomm-qce", include_str!("../../data/qualcomm-qce.csv")),
    (
        "ti-am64x-sa2ul",
        include_str!("../../data/ti-am64x-sa2ul.csv"),
    ),
    (
        "ti-am65x-sa2ul",
        include_str!("../../data/ti-am65x-sa2ul.csv"),
    ),
];

impl Unit {
    const ALL: [(&str, Self); 7] = [
        ("op/s", Self::Op),
        ("Mop/s", Self::Mop),
        ("B/s", Self::B),
        ("kB/s", Self::Kb),
        ("MB/s", Self::Mb),
        ("Mbit/s", Self::Mbit),
        ("Gbit/s", Self::Gbit),
    ];

    /// Its name in files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, unit)| *unit == self);
        found.map_or("", |(name, _)| name)
    }

    /// How many of the unit `requests` of `bytes` bytes in a second are.
    #[must_use]
    pub fn of(self, requests: f64, bytes: u32) -> f64 {
        let (factor, what) = self.parts();
        let each = match what {
            "op/s" => 1.0,
            "bit/s" => f64::from(bytes) * 8.0,
            _ => f64::from(bytes),
        };
        requests * each / factor
    }

    /// The unit without its prefix, and what the prefix stands for.
    #[must_use]
    pub fn parts(self) -> (f64, &'static str) {
        match self {
            Self::Op => (1.0, "op/s"),
            Self::Mop => (1e6, "op/s"),
            Self::B => (1.0, "B/s"),
            Self::Kb => (1e3, "B/s"),
            Self::Mb => (1e6, "B/s"),
            Self::Mbit => (1e6, "bit/s"),
            Self::Gbit => (1e9, "bit/s"),
        }
    }
}

/// The points of `series` in the data file called `file`.
///
/// # Errors
/// [`DataError`] if there are none, or a line is damaged.
pub fn published(file: &str, series: &str) -> Result<Vec<Measurement>, DataError> {
    let found = FILES.iter().find(|(name, _)| *name == file);
    let &(_, text) = found.ok_or_else(|| DataError::NoFile(file.to_owned()))?;
    let mut points = Vec::new();
    for (of, point) in read(file, text)? {
        if of == series {
            points.push(point);
        }
    }
    if points.is_empty() {
        let (file, series) = (file.to_owned(), series.to_owned());
        return Err(DataError::NoSeries { file, series });
    }
    Ok(points)
}

/// Every series there is: the name of its file, and its own.
#[cfg(test)]
pub(super) fn all_series() -> Vec<(&'static str, &'static str)> {
    let mut all = Vec::new();
    for (file, text) in FILES {
        all.extend(
            read(file, text)
                .expect(file)
                .iter()
                .map(|&(name, _)| (file, name)),
        );
    }
    all.dedup();
    all
}

/// Every point of a data file with the name of its series.
fn read<'a>(file: &str, text: &'a str) -> Result<Vec<(&'a str, Measurement)>, DataError> {
    let mut lines = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.starts_with('#') && !line.is_empty());
    let error = |line, what| DataError::Line {
        file: file.to_owned(),
        line,
        what,
    };
    match lines.next() {
        Some((HEADING, _)) => {}
        other => return Err(error(other.map_or(1, |(_, at)| at), "no heading")),
    }
    lines
        .map(|(line, at)| {
            let fields: Vec<&str> = line.split(',').collect();
            let [series, _algorithm, bytes, value, unit] = fields[..] else {
                return Err(error(at, "not five fields"));
            };
            let bytes = bytes.parse().map_err(|_| error(at, "no size"))?;
            let value: f64 = value.parse().map_err(|_| error(at, "no value"))?;
            if !(value.is_finite() && value > 0.0) || bytes == 0 {
                return Err(error(at, "nothing above zero"));
            }
            let unit = Unit::ALL.iter().find(|(name, _)| *name == unit);
            let &(_, unit) = unit.ok_or_else(|| error(at, "unknown unit"))?;
            Ok((series, Measurement { bytes, value, unit }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_data_file_names_its_source_and_reads() {
        let mut points = 0;
        for (name, text) in FILES {
            assert!(text.contains("# Source: "), "{name}");
            points += read(name, text).expect(name).len();
        }
        assert_eq!(points, 139);
    }

    #[test]
    fn a_damaged_line_is_named() {
        for (line, what) in [
            ("a,b,16,1.5", "not five fields"),
            ("a,b,x,1.5,B/s", "no size"),
            ("a,b,16,x,B/s", "no value"),
            ("a,b,16,-1,B/s", "nothing above zero"),
            ("a,b,0,1,B/s", "nothing above zero"),
            ("a,b,16,1,furlongs", "unknown unit"),
        ] {
            let text = format!("# comment\n{HEADING}\n{line}\n");
            let error = read("x", &text).unwrap_err();
            let line = 3;
            let file = "x".to_owned();
            assert_eq!(error, DataError::Line { file, line, what });
        }
        assert!(read("x", "a,b,16,1,B/s\n").is_err());
        assert!(published("x", "y").is_err());
        assert!(published("hifn-7956", "y").is_err());
    }

    #[test]
    fn units_are_what_they_say() {
        assert_eq!(Unit::Gbit.of(1e6, 1000), 8.0);
        assert_eq!(Unit::Mop.of(2e6, 64), 2.0);
        assert_eq!(Unit::Kb.of(10.0, 100), 1.0);
    }
}
