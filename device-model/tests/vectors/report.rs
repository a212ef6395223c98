//! How many vectors ran, and why others did not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Counts by algorithm, source and end.
#[derive(Default)]
pub(crate) struct Report {
    rows: BTreeMap<(String, String, String), usize>,
}

impl Report {
    /// Counts one vector of `algorithm` from `source` that `ended` like this.
    pub(crate) fn count(&mut self, algorithm: &str, source: &str, ended: &str) {
        let row = (algorithm.to_owned(), source.to_owned(), ended.to_owned());
        *self.rows.entry(row).or_default() += 1;
    }

    /// Vectors of `algorithm`, alone or with another, that ran.
    pub(crate) fn ran(&self, algorithm: &str) -> usize {
        let is_it = |name: &str| name.split(" + ").any(|part| part == algorithm);
        let rows = self.rows.iter();
        let ran = rows.filter(|((name, _, ended), _)| is_it(name) && !ended.starts_with("skipped"));
        ran.map(|(_, count)| count).sum()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for ((algorithm, source, ended), count) in &self.rows {
            writeln!(text, "{algorithm}; {source}; {ended}: {count}").unwrap();
        }
        text
    }

    /// Prints the counts and holds them against the file that says what they must be.
    pub(crate) fn compare(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/report.txt");
        let text = self.text();
        print!("{text}");
        if std::env::var_os("UPDATE_VECTORS").is_some() {
            std::fs::write(path, &text).unwrap();
            return;
        }
        let expected = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            text, expected,
            "the vectors that ran are not those of report.txt"
        );
    }
}
