//! Orders, a line each.

use std::str::FromStr;

use timebase::{Span, Time};

/// What the debugger is told to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// So many events on.
    Step(u64),
    /// So many events back.
    Back(u64),
    /// To where so many events have happened.
    Go(u64),
    /// To the last event before a time.
    GoToTime(Time),
    /// To the first violation.
    GoToViolation,
    /// On to the next event whose line has all of these words.
    Until(Vec<String>),
    /// Back to the last event whose line has all of these words.
    BackUntil(Vec<String>),
    /// Show every event whose line has all of these words.
    Find(Vec<String>),
    /// Show the events around the position.
    List,
    /// Show the event at the position.
    Where,
    /// Show a part of the state.
    Print(String),
    /// Show what orders there are.
    Help,
    /// Enough.
    Quit,
}

/// Why a line is no order.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OrderError {
    /// Nothing begins with this word.
    #[error("`{0}` is no order; `help` lists them")]
    Unknown(String),
    /// What follows the first word does not fit.
    #[error("`{order}` {expected}, and `{found}` is none")]
    Argument {
        /// The first word.
        order: String,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        found: String,
    },
}

/// The list of orders.
pub(super) const HELP: &str = "\
step [N]          N events on (1)
back [N]          N events back (1)
go N              to where N events have happened
go TIME           to the last event before a time, such as 12.5us
go violation      to the first violation
until WORD...     on to the next event whose line has all these words
back-until WORD...
                  back to the last one
find WORD...      every event whose line has all these words
list              the events around here
where             the event here
print NAME        the state here of a card, `framework` or `consumers`
help              this list
quit              enough
Words stand in a line as they are: card0, posted, request=17. An order may be shortened to its first
letters, and an empty line is the last order again.
";

/// Orders by their first word; one that is shortened is the first that fits.
const WORDS: [&str; 11] = [
    "step",
    "back",
    "go",
    "until",
    "back-until",
    "find",
    "list",
    "where",
    "print",
    "help",
    "quit",
];

impl FromStr for Order {
    type Err = OrderError;

    fn from_str(line: &str) -> Result<Self, OrderError> {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let rest: Vec<String> = words.map(str::to_owned).collect();
        let unknown = || OrderError::Unknown(first.to_owned());
        let fits = |word: &&&str| !first.is_empty() && word.starts_with(first);
        let known = WORDS.iter().find(fits).ok_or_else(unknown)?;
        let wrong = |expected| OrderError::Argument {
            order: (*known).to_owned(),
            expected,
            found: rest.join(" "),
        };
        let count = || match &rest[..] {
            [] => Ok(1),
            [one] => one.parse().map_err(|_| wrong("takes a number of events")),
            _ => Err(wrong("takes one number of events")),
        };
        let some = || match &rest[..] {
            [] => Err(wrong("takes words of an event's line")),
            words => Ok(words.to_vec()),
        };
        Ok(match *known {
            "step" => Self::Step(count()?),
            "back" => Self::Back(count()?),
            "go" => match &rest[..] {
                [one] if one == "violation" => Self::GoToViolation,
                [one] => match (one.parse(), time(one)) {
                    (Ok(event), _) => Self::Go(event),
                    (_, Some(time)) => Self::GoToTime(time),
                    _ => return Err(wrong("takes a number, a time or `violation`")),
                },
                _ => return Err(wrong("takes a number, a time or `violation`")),
            },
            "until" => Self::Until(some()?),
            "back-until" => Self::BackUntil(some()?),
            "find" => Self::Find(some()?),
            "print" => match &rest[..] {
                [one] => Self::Print(one.clone()),
                _ => return Err(wrong("takes a name")),
            },
            _ if !rest.is_empty() => return Err(wrong("takes nothing")),
            "list" => Self::List,
            "where" => Self::Where,
            "help" => Self::Help,
            _ => Self::Quit,
        })
    }
}

/// A time with its unit, such as `12.5us`.
fn time(text: &str) -> Option<Time> {
    const UNITS: [(&str, u64); 6] = [
        ("ps", 1),
        ("ns", 1_000),
        ("us", 1_000_000),
        ("µs", 1_000_000),
        ("ms", 1_000_000_000),
        ("s", 1_000_000_000_000),
    ];
    let found = UNITS
        .iter()
        .find_map(|&(unit, ps)| Some((text.strip_suffix(unit)?, ps)));
    let (number, ps) = found?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 12 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(ps)?;
    let scale = 10_u64.pow(part.len() as u32);
    let part = if part.is_empty() {
        0
    } else {
        part.parse::<u64>().ok()?
    };
    let part = u128::from(part) * u128::from(ps) / u128::from(scale);
    let ps = whole.checked_add(part as u64)?;
    Some(Time::ZERO + Span::from_ps(ps))
}
