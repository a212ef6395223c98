//! From the text of a profile file to a [`Device`], or to a complaint that points at the mistake.

use std::path::Path;

use timebase::Span;

use super::data::published;
use super::edit::number;
use super::load::Load;
use super::{Device, Goal, Host, Parameter, Series, Use};
use crate::scenario::builtin::read_bounded;
use crate::scenario::diagnostic::{Source, nearest};
use crate::scenario::profile::{BUILTINS, KEYS, read_profile};
use crate::scenario::reader::{Item, Section, read_document};
use crate::scenario::{ScenarioError, Suite};

const HOST_KEYS: [&str; 5] = [
    "submit_ns",
    "complete_ns",
    "copy_ps_per_byte",
    "partial_line_ns",
    "notice_tick_ns",
];
const GOAL_KEYS: [&str; 4] = [
    "fitted_mean_permille",
    "fitted_max_permille",
    "predicted_mean_permille",
    "predicted_max_permille",
];
const SERIES_KEYS: [&str; 11] = [
    "data",
    "series",
    "use",
    "suite",
    "cards",
    "threads",
    "depth",
    "burst",
    "aad",
    "shared_link",
    "set",
];
const FIT_KEYS: [&str; 1] = ["parameters"];
const PARAMETER_KEYS: [&str; 2] = ["keys", "range"];

/// Longest time of a host, in its unit.
const MAX_HOST: u64 = 1_000_000_000;

impl Device {
    /// The built-in profile called `name`.
    ///
    /// # Panics
    /// Never: the texts are part of the program and its tests read each.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        let &(name, text) = BUILTINS.iter().find(|(builtin, _)| *builtin == name)?;
        match Self::from_toml(text, &format!("{name}.toml")) {
            Ok(device) => Some(device),
            Err(error) => panic!("built-in profile {name}: {error}"),
        }
    }

    /// The built-in profile called `name`, or else the one in the file of that name.
    ///
    /// # Errors
    /// [`ScenarioError`] if there is neither, or the file is no profile.
    pub fn find(name: &str) -> Result<Self, ScenarioError> {
        if let Some(device) = Self::builtin(name) {
            return Ok(device);
        }
        let path = Path::new(name);
        if !name.ends_with(".toml") && !path.exists() {
            let known = BUILTINS.map(|(name, _)| name);
            return Err(ScenarioError::NoProfile {
                name: name.to_owned(),
                nearest: nearest(name, &known).first().map(|&name| name.to_owned()),
            });
        }
        let text = read_bounded(path).map_err(|source| ScenarioError::UnreadableProfile {
            path: path.to_owned(),
            source,
        })?;
        Self::from_toml(&text, name)
    }

    /// The device that `text` describes; `origin` names it in complaints.
    ///
    /// # Errors
    /// [`ScenarioError`] if the text is no profile.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, ScenarioError> {
        read_document(Source { text, origin }, &KEYS, |top| {
            let about = top.get("about").map_or(Ok(""), |item| item.text())?;
            Ok(Self {
                text: text.to_owned(),
                origin: origin.to_owned(),
                about: about.to_owned(),
                profile: read_profile(top)?,
                host: read_host(top)?,
                goal: read_goal(top)?,
                series: read_series(top)?,
                parameters: read_parameters(top, text)?,
            })
        })
    }
}

fn read_host(top: &Section<'_>) -> Result<Host, ScenarioError> {
    let Some(host) = top.get("host") else {
        return Ok(Host::default());
    };
    let host = host.section(&HOST_KEYS)?;
    let span = |key, unit: fn(u64) -> Span| Ok(unit(host.integer(key, 0..=MAX_HOST, 0)?));
    Ok(Host {
        submit: span("submit_ns", Span::from_ns)?,
        complete: span("complete_ns", Span::from_ns)?,
        copy_per_byte: span("copy_ps_per_byte", Span::from_ps)?,
        partial_line: span("partial_line_ns", Span::from_ns)?,
        notice_tick: span("notice_tick_ns", Span::from_ns)?,
    })
}

fn read_goal(top: &Section<'_>) -> Result<Goal, ScenarioError> {
    let Some(goal) = top.get("goal") else {
        return Ok(Goal::default());
    };
    let goal = goal.section(&GOAL_KEYS)?;
    let bound = |key| {
        let item = goal.get(key);
        let permille = item.map(|item| item.count(0..=10_000)).transpose()?;
        Ok(permille.map(|permille| f64::from(permille) / 1_000.0))
    };
    Ok(Goal {
        fitted_mean: bound(GOAL_KEYS[0])?,
        fitted_max: bound(GOAL_KEYS[1])?,
        predicted_mean: bound(GOAL_KEYS[2])?,
        predicted_max: bound(GOAL_KEYS[3])?,
    })
}

fn read_series(top: &Section<'_>) -> Result<Vec<Series>, ScenarioError> {
    let read = |section: &Section<'_>| {
        let name = section.require("series")?;
        let data = section.require("data")?.text()?.to_owned();
        let points = published(&data, name.text()?)
            .map_err(|error| name.complain(error.to_string(), "a series of a data file"))?;
        let uses = Use::ALL.map(Use::name);
        let purpose = section.require("use")?.one_of("use", &uses)?;
        Ok(Series {
            data,
            name: name.text()?.to_owned(),
            purpose: Use::ALL[purpose],
            load: read_load(section)?,
            set: section
                .get("set")
                .map(flatten)
                .transpose()?
                .unwrap_or_default(),
            points,
        })
    };
    top.sections("measured", &SERIES_KEYS)?
        .iter()
        .map(read)
        .collect()
}

fn read_load(section: &Section<'_>) -> Result<Load, ScenarioError> {
    let count = |key, most: u64| {
        let number = section.integer(key, 1..=most, 1)?;
        Ok::<_, ScenarioError>(u32::try_from(number).expect("small"))
    };
    let suite = section.require("suite")?;
    let parsed: Suite = suite.text()?.parse().map_err(|_| {
        let found = format!("unknown suite `{}`", suite.text().unwrap_or_default());
        suite.complain(found, "a suite such as `aes-128-gcm`")
    })?;
    let depth = count("depth", 1024)?;
    Ok(Load {
        suite: parsed,
        cards: count("cards", 16)?,
        threads: count("threads", 64)?,
        depth,
        burst: count("burst", u64::from(depth))?,
        bytes: 0,
        aad: u32::try_from(section.integer("aad", 0..=4096, 0)?).expect("small"),
        shared_link: section.boolean("shared_link", false)?,
    })
}

/// Numbers of nested tables, with dots between their keys.
fn flatten(item: Item<'_>) -> Result<Vec<(String, u64)>, ScenarioError> {
    let mut flat = Vec::new();
    for child in item.children() {
        let name = child.name().to_owned();
        if child.children().is_empty() {
            flat.push((name, child.integer(0..=u64::MAX)?));
        } else {
            let inner = flatten(child)?;
            flat.extend(
                inner
                    .into_iter()
                    .map(|(key, to)| (format!("{name}.{key}"), to)),
            );
        }
    }
    Ok(flat)
}

fn read_parameters(top: &Section<'_>, text: &str) -> Result<Vec<Parameter>, ScenarioError> {
    let Some(fit) = top.get("fit") else {
        return Ok(Vec::new());
    };
    let fit = fit.section(&FIT_KEYS)?;
    let read = |item: Item<'_>| {
        let section = item.section(&PARAMETER_KEYS)?;
        let keys = section.require("keys")?;
        let mut names = Vec::new();
        let mut value = 0;
        for key in keys.filled_list("key")? {
            let name = key.text()?;
            value = number(text, name)
                .map_err(|error| key.complain(error.to_string(), "the key of a number"))?;
            names.push(name.to_owned());
        }
        let range = section.require("range")?;
        let bounds = range.list()?;
        let [low, high] = bounds.as_slice() else {
            return Err(range.error("two whole numbers: [smallest, largest]"));
        };
        let low = low.integer(1..=u64::from(u32::MAX))?;
        let high = high.integer(low..=u64::MAX)?;
        Ok(Parameter {
            keys: names,
            range: (low, high),
            value,
        })
    };
    let list = fit.require("parameters")?.list()?;
    list.into_iter().map(read).collect()
}
