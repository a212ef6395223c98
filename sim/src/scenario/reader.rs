//! Typed reading of a TOML document in which every value knows its place.
//!
//! A [`Section`] refuses keys that it does not know before anything is read from it, so a slip of
//! the pen is never taken for a missing key. Knows TOML; does not know what a scenario is.

use std::ops::{Range, RangeInclusive};

use timebase::Span;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ScenarioError;
use super::diagnostic::{Source, alternatives};

/// Reads `source` as a document whose top level has `keys`, and hands its top section to `read`.
pub(crate) fn read_document<T>(
    source: Source<'_>,
    keys: &'static [&'static str],
    read: impl FnOnce(&Section<'_>) -> Result<T, ScenarioError>,
) -> Result<T, ScenarioError> {
    let document = DeTable::parse(source.text).map_err(|error| {
        let end = source.text.len();
        let (found, expected) = match error.message().split_once(", expected ") {
            Some((found, expected)) => (found, expected),
            None => (error.message(), ""),
        };
        source.error(
            error.span().unwrap_or(end..end),
            format!("not TOML: {found}"),
            expected,
        )
    })?;
    let section = Section {
        source,
        name: "top level".to_owned(),
        header: 0..0,
        table: document.get_ref(),
    };
    section.refuse_unknown(keys)?;
    read(&section)
}

/// A table of the document.
pub(crate) struct Section<'a> {
    source: Source<'a>,
    name: String,
    header: Range<usize>,
    table: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    /// The value of `key`, if it is given.
    pub(crate) fn get(&self, key: &str) -> Option<Item<'a>> {
        let (key, value) = self.table.get_key_value(key)?;
        Some(Item {
            source: self.source,
            name: key.get_ref().to_string(),
            key: key.span(),
            value,
        })
    }

    /// The value of `key`, which must be given.
    pub(crate) fn require(&self, key: &str) -> Result<Item<'a>, ScenarioError> {
        self.get(key).ok_or_else(|| {
            self.error(
                format!("no `{key}` in {}", self.name),
                format!("a key `{key}`"),
            )
        })
    }

    /// A whole number in `range`, or `default`.
    pub(crate) fn integer(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, ScenarioError> {
        self.get(key)
            .map_or(Ok(default), |item| item.integer(range))
    }

    /// True, false or `default`.
    pub(crate) fn boolean(&self, key: &str, default: bool) -> Result<bool, ScenarioError> {
        self.get(key).map_or(Ok(default), |item| item.boolean())
    }

    /// A percentage, zero if it is not given.
    pub(crate) fn percent(&self, key: &str, default: u8) -> Result<u8, ScenarioError> {
        let percent = self.integer(key, 0..=100, u64::from(default))?;
        Ok(u8::try_from(percent).expect("at most 100"))
    }

    /// The sections `[[key]]`, none if there are none.
    pub(crate) fn sections(
        &self,
        key: &str,
        keys: &'static [&'static str],
    ) -> Result<Vec<Section<'a>>, ScenarioError> {
        let Some(item) = self.get(key) else {
            return Ok(Vec::new());
        };
        let DeValue::Array(_) = item.value.get_ref() else {
            return Err(item.error(format!("sections, each headed `[[{key}]]`")));
        };
        item.list()?
            .into_iter()
            .map(|element| element.titled_section(format!("[[{key}]]"), keys))
            .collect()
    }

    /// Every key with its value, in order of place in the text.
    pub(crate) fn items(&self) -> Vec<Item<'a>> {
        let mut items: Vec<Item<'a>> = self
            .table
            .keys()
            .filter_map(|key| self.get(key.get_ref()))
            .collect();
        items.sort_by_key(|item| item.key.start);
        items
    }

    /// The one key among `keys` that is given.
    pub(crate) fn exactly_one(&self, keys: &[&str], what: &str) -> Result<Item<'a>, ScenarioError> {
        let mut given: Vec<Item<'a>> = self
            .items()
            .into_iter()
            .filter(|item| keys.contains(&item.name.as_str()))
            .collect();
        if given.len() > 1 {
            let (first, second) = (&given[0].name, &given[1]);
            let found = format!("{what} `{}` after {what} `{first}`", second.name);
            return Err(self.source.error(
                second.key.clone(),
                found,
                format!("one {what} in each {}", self.name),
            ));
        }
        given.pop().ok_or_else(|| {
            let found = format!("no {what} in {}", self.name);
            self.error(found, format!("one of {}", alternatives(keys)))
        })
    }

    /// The complaint that the section as a whole is wrong.
    pub(crate) fn error(
        &self,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> ScenarioError {
        self.source.error(self.header.clone(), found, expected)
    }

    fn refuse_unknown(&self, keys: &'static [&'static str]) -> Result<(), ScenarioError> {
        let unknown = self
            .items()
            .into_iter()
            .find(|item| !keys.contains(&item.name.as_str()));
        unknown.map_or(Ok(()), |item| {
            let found = format!(
                "unknown key `{}` in {}",
                item.name.escape_debug(),
                self.name
            );
            let expected = alternatives(keys);
            Err(self
                .source
                .error(item.key.clone(), found, expected)
                .with_nearest(&item.name, keys))
        })
    }
}

/// A value of the document.
pub(crate) struct Item<'a> {
    source: Source<'a>,
    name: String,
    key: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Item<'a> {
    /// The key.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A whole number in `range`.
    pub(crate) fn integer(&self, range: RangeInclusive<u64>) -> Result<u64, ScenarioError> {
        let DeValue::Integer(integer) = self.value.get_ref() else {
            return Err(self.error("a whole number"));
        };
        i128::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| self.error(bounds(&range)))
    }

    /// A whole number that counts something, in `range`.
    pub(crate) fn count(&self, range: RangeInclusive<u32>) -> Result<u32, ScenarioError> {
        let number = self.integer(u64::from(*range.start())..=u64::from(*range.end()))?;
        Ok(u32::try_from(number).expect("within a range of 32 bits"))
    }

    /// True or false.
    pub(crate) fn boolean(&self) -> Result<bool, ScenarioError> {
        let boolean = self.value.get_ref().as_bool();
        boolean.ok_or_else(|| self.error("`true` or `false`"))
    }

    /// A string.
    pub(crate) fn text(&self) -> Result<&'a str, ScenarioError> {
        let value: &'a DeValue<'a> = self.value.get_ref();
        value
            .as_str()
            .ok_or_else(|| self.error("a string in quotes"))
    }

    /// The position in `names` of a string.
    pub(crate) fn one_of(&self, what: &str, names: &[&str]) -> Result<usize, ScenarioError> {
        let Some(text) = self.value.get_ref().as_str() else {
            return Err(self.error(format!("{what} in quotes: {}", alternatives(names))));
        };
        names.iter().position(|&name| name == text).ok_or_else(|| {
            let expected = alternatives(names);
            self.unknown(what, text, &expected)
                .with_nearest(text, names)
        })
    }

    /// Elements of a list.
    pub(crate) fn list(&self) -> Result<Vec<Item<'a>>, ScenarioError> {
        let DeValue::Array(array) = self.value.get_ref() else {
            return Err(self.error("a list"));
        };
        let element = |value: &'a Spanned<DeValue<'a>>| Item {
            source: self.source,
            name: self.name.clone(),
            key: value.span(),
            value,
        };
        Ok(array.iter().map(element).collect())
    }

    /// Elements of a list that is not empty.
    pub(crate) fn filled_list(&self, what: &str) -> Result<Vec<Item<'a>>, ScenarioError> {
        let list = self.list()?;
        if list.is_empty() {
            return Err(self.error(format!("at least one {what}")));
        }
        Ok(list)
    }

    /// `[shortest, longest]` in a unit of `unit` picoseconds.
    pub(crate) fn span_range(&self, unit: u64, most: u64) -> Result<(Span, Span), ScenarioError> {
        let expected = "two whole numbers: [shortest, longest]";
        let list = self.list().map_err(|_| self.error(expected))?;
        let [shortest, longest] = list.as_slice() else {
            return Err(self.error(expected));
        };
        let low = shortest.integer(0..=most)?;
        let high = longest.integer(0..=most)?;
        if high < low {
            return Err(longest.error(format!("a number not below {low}")));
        }
        Ok((Span::from_ps(low * unit), Span::from_ps(high * unit)))
    }

    /// Whether it is a table.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Table(_))
    }

    /// A table with `keys`.
    pub(crate) fn section(
        &self,
        keys: &'static [&'static str],
    ) -> Result<Section<'a>, ScenarioError> {
        self.titled_section(format!("`{}`", self.name), keys)
    }

    fn titled_section(
        &self,
        title: String,
        keys: &'static [&'static str],
    ) -> Result<Section<'a>, ScenarioError> {
        let DeValue::Table(table) = self.value.get_ref() else {
            return Err(self.error(format!("a table with {}", alternatives(keys))));
        };
        let section = Section {
            source: self.source,
            name: title,
            header: self.value.span(),
            table,
        };
        section.refuse_unknown(keys)?;
        Ok(section)
    }

    /// The values of a table, none if it is no table.
    pub(crate) fn children(&self) -> Vec<Item<'a>> {
        let DeValue::Table(table) = self.value.get_ref() else {
            return Vec::new();
        };
        let (source, name) = (self.source, self.name.clone());
        Section {
            source,
            name,
            header: self.value.span(),
            table,
        }
        .items()
    }

    /// The complaint that the value is not what was `expected`.
    pub(crate) fn error(&self, expected: impl Into<String>) -> ScenarioError {
        let found = format!("{} is {}", self.name, self.describe());
        self.source.error(self.value.span(), found, expected)
    }

    /// The complaint `found` about the value.
    pub(crate) fn complain(
        &self,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> ScenarioError {
        self.source.error(self.value.span(), found, expected)
    }

    /// The complaint that there is no `what` called `name`.
    pub(crate) fn unknown(&self, what: &str, name: &str, expected: &str) -> ScenarioError {
        self.complain(
            format!("unknown {what} `{}`", name.escape_debug()),
            expected,
        )
    }

    fn describe(&self) -> String {
        match self.value.get_ref() {
            DeValue::String(text) => format!("the string \"{}\"", clipped(text).escape_debug()),
            DeValue::Integer(number) => clipped(&number.to_string()),
            DeValue::Float(number) => format!("the fraction {}", clipped(number.as_str())),
            DeValue::Boolean(boolean) => boolean.to_string(),
            DeValue::Datetime(datetime) => format!("the date {datetime}"),
            DeValue::Array(array) if array.is_empty() => "an empty list".to_owned(),
            DeValue::Array(array) => format!("a list of {}", array.len()),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }
}

fn clipped(text: &str) -> String {
    const MOST: usize = 40;
    if text.chars().count() > MOST {
        text.chars().take(MOST).chain(['…']).collect()
    } else {
        text.to_owned()
    }
}

fn bounds(range: &RangeInclusive<u64>) -> String {
    match (*range.start(), *range.end()) {
        (low, u64::MAX) => format!("a whole number from {low}"),
        (low, high) => format!("a whole number from {low} to {high}"),
    }
}
