//! Changes numbers in the text of a profile file and leaves everything else, comments included, as
//! it is.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Why a number was not changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EditError {
    /// The text is no TOML.
    #[error("not TOML: {0}")]
    NotToml(String),
    /// Nothing has this key.
    #[error("no number `{0}` in the profile")]
    NoNumber(String),
}

/// The number at `key`, tables separated by dots.
///
/// # Errors
/// [`EditError`] if there is none.
pub(super) fn number(text: &str, key: &str) -> Result<u64, EditError> {
    let at = place(&parse(text)?, key)?;
    let digits = text[at].replace('_', "");
    digits
        .parse()
        .map_err(|_| EditError::NoNumber(key.to_owned()))
}

/// `text` with each number of `edits` at its key.
///
/// # Errors
/// [`EditError`] if there is no number to change.
pub(super) fn with_numbers(text: &str, edits: &[(String, u64)]) -> Result<String, EditError> {
    let table = parse(text)?;
    let mut places = Vec::with_capacity(edits.len());
    for (key, value) in edits {
        places.push((place(&table, key)?, *value));
    }
    places.sort_by_key(|(at, _)| at.start);
    let mut edited = text.to_owned();
    for (at, value) in places.into_iter().rev() {
        edited.replace_range(at, &grouped(value));
    }
    Ok(edited)
}

fn parse(text: &str) -> Result<DeTable<'_>, EditError> {
    let table = DeTable::parse(text);
    let table = table.map_err(|error| EditError::NotToml(error.message().to_owned()))?;
    Ok(table.into_inner())
}

fn place(table: &DeTable<'_>, key: &str) -> Result<Range<usize>, EditError> {
    let none = || EditError::NoNumber(key.to_owned());
    let mut table = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        let value = table.get(part).ok_or_else(none)?;
        match (value.get_ref(), parts.peek()) {
            (DeValue::Integer(_), None) => return Ok(value.span()),
            (DeValue::Table(inner), Some(_)) => table = inner,
            _ => return Err(none()),
        }
    }
    Err(none())
}

/// A number with a stroke between groups of three digits.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# first\na = 1 # one\n[b]\nc = 2_000\nd = \"x\"\n[b.e]\nf = 3\n";

    fn edits(list: &[(&str, u64)]) -> Vec<(String, u64)> {
        list.iter().map(|&(key, to)| (key.to_owned(), to)).collect()
    }

    #[test]
    fn only_the_numbers_change() {
        let edited = with_numbers(TEXT, &edits(&[("b.e.f", 1_234_567), ("a", 42)]));
        let expected = TEXT
            .replace("a = 1", "a = 42")
            .replace("= 3", "= 1_234_567");
        assert_eq!(edited.unwrap(), expected);
        assert_eq!(number(TEXT, "b.c"), Ok(2_000));
    }

    #[test]
    fn what_is_no_number_is_named() {
        for key in ["x", "b", "b.d", "b.c.d", "b.e.x", ""] {
            let none = Err(EditError::NoNumber(key.to_owned()));
            assert_eq!(with_numbers(TEXT, &edits(&[(key, 1)])), none, "{key}");
        }
        assert!(matches!(number("=", "a"), Err(EditError::NotToml(_))));
    }
}
