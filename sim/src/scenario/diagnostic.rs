//! What is wrong with a scenario or profile file, and where.
//!
//! Owns the text of the complaint: place, line with a caret, what was found, what was expected,
//! what may have been meant. Does not know what a scenario is.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Most characters of a source line that are shown; a longer line is cut around the caret.
const SHOWN_CHARS: usize = 100;
/// Characters shown before the caret in a line that is cut.
const SHOWN_BEFORE: usize = 40;
/// Most alternatives that are listed.
const LISTED: usize = 12;

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read scenario {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Neither a built-in scenario nor a file has this name.
    #[error("no scenario `{name}`, built in or as a file{}", did_you_mean(nearest.as_deref()))]
    Unknown {
        /// The name.
        name: String,
        /// The built-in scenario with a name most like it.
        nearest: Option<String>,
    },
    /// The profile file cannot be read.
    #[error("cannot read profile {path}")]
    UnreadableProfile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Neither a built-in profile nor a file has this name.
    #[error("no profile `{name}`, built in or as a file{}", or_profile(nearest.as_deref()))]
    NoProfile {
        /// The name.
        name: String,
        /// The built-in profile with a name most like it.
        nearest: Option<String>,
    },
    /// The file does not describe a scenario.
    #[error(transparent)]
    Invalid(Box<Diagnostic>),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `ringside list` shows those built in".to_owned(),
        |name| format!("; did you mean `{name}`?"),
    )
}

fn or_profile(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `ringside profile list` shows those built in".to_owned(),
        |name| format!("; did you mean `{name}`?"),
    )
}

/// One complaint about a place in a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// File, or name of what is built in.
    pub origin: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was found.
    pub found: String,
    /// What was expected there.
    pub expected: String,
    /// What may have been meant or what to do, if anything comes to mind.
    pub help: Option<String>,
    /// The line, cut if it is long.
    shown: String,
    /// Characters of `shown` before the caret.
    indent: usize,
    /// Number of carets.
    carets: usize,
}

impl std::error::Error for Diagnostic {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = number.len();
        writeln!(f, "{}", self.found)?;
        let Self {
            origin,
            line,
            column,
            ..
        } = self;
        writeln!(f, "{:gutter$}--> {origin}:{line}:{column}", "")?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{number} | {}", self.shown)?;
        let carets = "^".repeat(self.carets);
        write!(
            f,
            "{:gutter$} | {:indent$}{carets}",
            "",
            "",
            indent = self.indent
        )?;
        if !self.expected.is_empty() {
            write!(f, " expected {}", self.expected)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{:gutter$} = help: {help}", "")?;
        }
        Ok(())
    }
}

/// A text and where it comes from: makes complaints about places in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// The whole text.
    pub(crate) text: &'a str,
    /// File, or name of what is built in.
    pub(crate) origin: &'a str,
}

impl Source<'_> {
    /// The complaint that `found` stands at `at` where something `expected` should be.
    pub(crate) fn error(
        &self,
        at: Range<usize>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> ScenarioError {
        ScenarioError::Invalid(Box::new(self.diagnostic(at, found.into(), expected.into())))
    }

    fn diagnostic(&self, at: Range<usize>, found: String, expected: String) -> Diagnostic {
        let start = floor_boundary(self.text, at.start);
        let line_start = self.text[..start]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let rest = &self.text[line_start..];
        let line = rest
            .split('\n')
            .next()
            .unwrap_or_default()
            .trim_end_matches('\r');
        let end = floor_boundary(self.text, at.end)
            .clamp(start, line_start + line.len().max(start - line_start));
        let before = self.text[line_start..start].chars().count();
        let width = self.text[start..end].chars().count().max(1);

        let skip = if line.chars().count() > SHOWN_CHARS {
            before.saturating_sub(SHOWN_BEFORE)
        } else {
            0
        };
        let shown: String = line
            .chars()
            .skip(skip)
            .take(SHOWN_CHARS)
            .map(printable)
            .collect();
        let indent = before - skip;
        Diagnostic {
            origin: self.origin.to_owned(),
            line: self.text[..start].matches('\n').count() + 1,
            column: before + 1,
            found,
            expected,
            help: None,
            carets: width.min(SHOWN_CHARS.saturating_sub(indent).max(1)),
            shown: shown.trim_end().to_owned(),
            indent,
        }
    }
}

impl ScenarioError {
    /// The same complaint with a hint.
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        if let Self::Invalid(diagnostic) = &mut self {
            diagnostic.help = Some(help.into());
        }
        self
    }

    /// The same complaint with the `known` names nearest to `name`, if any is near.
    pub(crate) fn with_nearest(self, name: &str, known: &[&str]) -> Self {
        let near = nearest(name, known);
        if near.is_empty() {
            self
        } else {
            let help = format!("did you mean {}?", alternatives(&near));
            self.with_help(help)
        }
    }
}

/// `names` in backquotes, as a sentence lists them; a long list is cut.
pub(crate) fn alternatives(names: &[&str]) -> String {
    let mut quoted: Vec<String> = names
        .iter()
        .take(LISTED)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > LISTED {
        quoted.push(format!("{} more", names.len() - LISTED));
    }
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// The `known` names that `name` may be a slip of the pen for, best first, at most three.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Vec<&'a str> {
    let name: String = name.to_lowercase().chars().take(64).collect();
    let reach = (name.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|&candidate| (edits(&name, candidate), candidate))
        .filter(|&(edits, candidate)| {
            edits <= reach
                || (name.len() >= 3 && (candidate.contains(&name) || name.contains(candidate)))
        })
        .collect();
    near.sort();
    near.truncate(3);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Fewest insertions, removals and replacements that turn `from` into `to`.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

/// `char` if it leaves the terminal as it is, one column wide.
fn printable(char: char) -> char {
    match char {
        '\t' => ' ',
        control if control.is_control() => '\u{fffd}',
        other => other,
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_shows_place_line_and_caret() {
        let source = Source {
            text: "a = 1\nbé = [2,\n 3]\n",
            origin: "x.toml",
        };
        let at = source.text.find('[').expect("a bracket");
        let error = source
            .error(at..at + 9, "a list", "a number")
            .with_help("try 3");
        assert_eq!(
            error.to_string(),
            "a list\n --> x.toml:2:6\n  |\n2 | bé = [2,\n  |      ^^^ expected a number\n  \
             = help: try 3"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret_and_control_characters_do_not_escape() {
        let text = format!("{}\u{1b}[31mX{}", "-".repeat(500), "+".repeat(500));
        let at = text.find('X').expect("an X");
        let source = Source {
            text: &text,
            origin: "x",
        };
        let message = source.error(at..at + 1, "X", "").to_string();
        assert!(message.contains("x:1:506"), "{message}");
        assert!(!message.contains('\u{1b}'), "{message}");
        let lines: Vec<&str> = message.lines().collect();
        let column = lines[4].chars().position(|c| c == '^').expect("a caret");
        assert_eq!(lines[3].chars().nth(column), Some('X'), "{message}");
    }

    #[test]
    fn places_outside_the_text_are_brought_inside() {
        for text in ["", "é", "\n", "a\r\n"] {
            let source = Source { text, origin: "x" };
            for start in 0..4 {
                for end in 0..6 {
                    let _ = source.error(start..end, "", "").to_string();
                }
            }
        }
    }

    #[test]
    fn slips_of_the_pen_find_what_was_meant() {
        let known = ["consumers", "depth", "suites", "aes-128-gcm"];
        assert_eq!(nearest("consumer", &known), ["consumers"]);
        assert_eq!(nearest("dept", &known), ["depth"]);
        assert_eq!(nearest("AES-128-GCM", &known), ["aes-128-gcm"]);
        assert_eq!(nearest("gcm", &known), ["aes-128-gcm"]);
        assert!(nearest("zzzzzz", &known).is_empty());
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(alternatives(&["a"]), "`a`");
        assert_eq!(alternatives(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert!(alternatives(&["x"; 20]).ends_with("or 8 more"));
    }
}
