//! What there is: drivers, sessions and counters, as values and as pages of text.
//!
//! The page for people shows what the kernel debugger's `show crypto` does; JSON and the text
//! format of Prometheus are for programs. Does no I/O: whoever wants a page asks for a
//! [`Listing`] and writes it where it belongs.

use std::fmt::{self, Display, Write};

use crate::framework::Framework;
use crate::registry::{DriverId, DriverState};
use crate::stats::Counter;
use crate::table::Phase;
use crate::{
    CryptoDriver, DriverFlags, DriverStats, FrameworkStats, MigrationPolicy, Mode, SessionId,
    SessionParams,
};

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionState {
    /// Opens or moves: requests wait.
    Waiting,
    /// Requests go to its driver.
    Ready,
    /// No driver serves it.
    Homeless,
    /// Freed, with requests still on their way.
    Closing,
}

/// A driver as it is now.
#[derive(Clone, Debug)]
pub struct DriverListing {
    /// Its id.
    pub id: DriverId,
    /// Its name for people.
    pub name: String,
    /// What kind it is.
    pub flags: DriverFlags,
    /// How far it is from leaving.
    pub state: DriverState,
    /// Whether it refuses requests now.
    pub blocked: bool,
    /// Its counters.
    pub stats: DriverStats,
}

/// A session as it is now. Shows no key.
#[derive(Clone, Debug)]
pub struct SessionListing {
    /// Its name.
    pub id: SessionId,
    /// Where it is in its life.
    pub state: SessionState,
    /// Its driver, if it has one.
    pub driver: Option<DriverId>,
    /// Its algorithms, such as `aes-cbc-128+hmac-sha256`.
    pub algorithms: String,
    /// Who learns that it moved.
    pub policy: MigrationPolicy,
    /// Requests that a driver has.
    pub in_flight: usize,
    /// Requests that wait with the session.
    pub waiting: usize,
}

/// Everything there is at one moment. [`Display`] is the page for people.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The framework's counters.
    pub stats: FrameworkStats,
    /// Every driver, by index.
    pub drivers: Vec<DriverListing>,
    /// Every session, by place.
    pub sessions: Vec<SessionListing>,
}

impl<D: CryptoDriver + ?Sized> Framework<D> {
    /// Everything there is now.
    #[must_use]
    pub fn listing(&self) -> Listing {
        let drivers = self.drivers().map(|driver| DriverListing {
            id: driver.id,
            name: driver.name.to_owned(),
            flags: driver.flags,
            state: driver.state,
            blocked: driver.blocked,
            stats: driver.stats,
        });
        let places = 0..self.table.hot.len();
        Listing {
            stats: *self.stats(),
            drivers: drivers.collect(),
            sessions: places.filter_map(|at| self.list_session(at)).collect(),
        }
    }

    fn list_session(&self, index: usize) -> Option<SessionListing> {
        let (hot, cold) = (&self.table.hot[index], &self.table.cold[index]);
        let state = match hot.phase {
            Phase::Vacant => return None,
            Phase::Waiting => SessionState::Waiting,
            Phase::Ready => SessionState::Ready,
            Phase::Homeless => SessionState::Homeless,
            Phase::Closing => SessionState::Closing,
        };
        let driver = usize::from(hot.driver);
        Some(SessionListing {
            id: self.table.name(index),
            state,
            driver: self
                .registry
                .get(driver)
                .filter(|_| hot.bound)
                .map(|slot| slot.id),
            algorithms: algorithms(&cold.params()),
            policy: hot.policy,
            in_flight: hot.in_flight as usize,
            waiting: cold.waiting_len(),
        })
    }
}

/// The algorithms of a session with the lengths of their keys in bits.
fn algorithms(params: &SessionParams) -> String {
    if let Mode::Compress(algorithm) = params.mode {
        return algorithm.name().to_owned();
    }
    let named = |name: &str, key_len: usize| match key_len {
        0 => name.to_owned(),
        len => format!("{name}-{}", 8 * len),
    };
    let cipher = params
        .cipher
        .map(|it| named(it.info().name, params.cipher_key_len));
    let digest = params.digest.map(|it| it.info().name.to_owned());
    let all: Vec<String> = cipher.into_iter().chain(digest).collect();
    all.join("+")
}

impl Listing {
    /// What there is in two frameworks that share their drivers. A driver is as far from leaving as
    /// it is in the one that lists it first.
    #[must_use]
    pub fn together(mut self, other: Self) -> Self {
        self.stats = self.stats.together(other.stats);
        for driver in other.drivers {
            match self.drivers.iter_mut().find(|it| it.id == driver.id) {
                Some(same) => {
                    same.blocked |= driver.blocked;
                    same.stats = same.stats.together(driver.stats);
                }
                None => self.drivers.push(driver),
            }
        }
        self.sessions.extend(other.sessions);
        self
    }

    /// The listing as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let drivers = self.drivers.iter().map(|driver| {
            object([
                ("id", quoted(driver.id)),
                ("name", quoted(&driver.name)),
                ("flags", quoted(kinds(driver.flags))),
                ("state", quoted(format_args!("{:?}", driver.state))),
                ("blocked", driver.blocked.to_string()),
                ("stats", counters(&driver.stats.counters())),
            ])
        });
        let sessions = self.sessions.iter().map(|session| {
            object([
                ("id", session.id.as_u64().to_string()),
                ("state", quoted(format_args!("{:?}", session.state))),
                ("driver", session.driver.map_or("null".to_owned(), quoted)),
                ("algorithms", quoted(&session.algorithms)),
                ("policy", quoted(format_args!("{:?}", session.policy))),
                ("in_flight", session.in_flight.to_string()),
                ("waiting", session.waiting.to_string()),
            ])
        });
        object([
            ("stats", counters(&self.stats.counters())),
            ("drivers", list(drivers)),
            ("sessions", list(sessions)),
        ])
    }

    /// The counters in the text format of Prometheus, version 0.0.4.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut page = String::new();
        for counter in self.stats.counters() {
            head(&mut page, "crypto", &counter);
            line(&mut page, "crypto", &counter, "");
        }
        let all: Vec<(String, Vec<Counter>)> = self
            .drivers
            .iter()
            .map(|driver| {
                let name = escaped(&driver.name);
                let labels = format!("{{driver=\"{name}\",id=\"{}\"}}", driver.id);
                let blocked = Counter {
                    name: "blocked",
                    help: "Whether the driver refuses requests now.",
                    is_gauge: true,
                    value: driver.blocked.into(),
                };
                let mut counters = driver.stats.counters();
                counters.push(blocked);
                (labels, counters)
            })
            .collect();
        let len = all.first().map_or(0, |(_, counters)| counters.len());
        for at in 0..len {
            head(&mut page, "crypto_driver", &all[0].1[at]);
            for (labels, counters) in &all {
                line(&mut page, "crypto_driver", &counters[at], labels);
            }
        }
        page
    }
}

impl Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "drivers")?;
        for driver in &self.drivers {
            let blocked = if driver.blocked { ", blocked" } else { "" };
            let (id, name, state) = (driver.id, &driver.name, driver.state);
            writeln!(
                f,
                "  {id} {name}: {}, {state:?}{blocked}",
                kinds(driver.flags)
            )?;
            write_counters(f, &driver.stats.counters())?;
        }
        writeln!(f, "sessions")?;
        for session in &self.sessions {
            let SessionListing { id, state, .. } = session;
            let driver = session
                .driver
                .map_or("nowhere".to_owned(), |id| format!("on {id}"));
            writeln!(
                f,
                "  {:#x} {}: {state:?} {driver}, {} in flight, {} waiting",
                id.as_u64(),
                session.algorithms,
                session.in_flight,
                session.waiting
            )?;
        }
        writeln!(f, "counters")?;
        write_counters(f, &self.stats.counters())
    }
}

/// The counters that are not zero, on one line.
fn write_counters(f: &mut fmt::Formatter<'_>, counters: &[Counter]) -> fmt::Result {
    let used = counters.iter().filter(|counter| counter.value != 0);
    let texts: Vec<String> = used
        .map(|counter| format!("{} {}", counter.name, counter.value))
        .collect();
    if texts.is_empty() {
        return Ok(());
    }
    writeln!(f, "    {}", texts.join(", "))
}

fn kinds(flags: DriverFlags) -> String {
    let names = flags.iter_names().map(|(name, _)| name.to_lowercase());
    names.collect::<Vec<_>>().join("|")
}

/// The text within quotes, as JSON and Prometheus write it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            // Control characters have no business in a name, and only JSON could escape them.
            other if other.is_control() => out.push('?'),
            other => out.push(other),
        }
    }
    out
}

fn quoted(value: impl Display) -> String {
    format!("\"{}\"", escaped(&value.to_string()))
}

fn object<const N: usize>(fields: [(&str, String); N]) -> String {
    let fields = fields.map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", fields.join(","))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn counters(counters: &[Counter]) -> String {
    let fields = counters
        .iter()
        .map(|counter| format!("\"{}\":{}", counter.name, counter.value));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// What precedes the values of a counter.
fn head(page: &mut String, prefix: &str, counter: &Counter) {
    let (name, kind) = (metric(prefix, counter), kind(counter));
    let _ = writeln!(page, "# HELP {name} {}\n# TYPE {name} {kind}", counter.help);
}

fn line(page: &mut String, prefix: &str, counter: &Counter, labels: &str) {
    let name = metric(prefix, counter);
    let _ = writeln!(page, "{name}{labels} {}", counter.value);
}

fn metric(prefix: &str, counter: &Counter) -> String {
    let suffix = if counter.is_gauge { "" } else { "_total" };
    format!("{prefix}_{}{suffix}", counter.name)
}

const fn kind(counter: &Counter) -> &'static str {
    if counter.is_gauge { "gauge" } else { "counter" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{DriverChoice, RequestFlags};

    fn busy() -> Bench {
        let mut bench = Bench::new();
        let (_, card) = bench.card("card \"a\"");
        bench.driver("soft", DriverFlags::SOFTWARE | DriverFlags::SYNC);
        let session = bench.session(MigrationPolicy::Report);
        bench.session_with(DriverChoice::software_only(), MigrationPolicy::Transparent);
        card.set(|script| script.room = 1);
        for _ in 0..3 {
            bench.dispatch_flagged(session, RequestFlags::empty());
        }
        bench
    }

    #[test]
    fn the_page_for_people_shows_drivers_sessions_and_counters() {
        let page = busy().framework.listing().to_string();
        let expected = "drivers
  0 card \"a\": hardware, Active, blocked
    ops 1, bytes 64, refusals 1, blocks 1, in_flight 1, queued 2, sessions 1
  1 soft: software|sync, Active
    sessions 1
sessions
  0x0 null-8: Ready on 0, 1 in flight, 0 waiting
  0x1 null-8: Ready on 1, 0 in flight, 0 waiting
counters
";
        assert_eq!(&page[..expected.len()], expected, "{page}");
    }

    #[test]
    fn json_escapes_names_and_has_every_counter() {
        let bench = busy();
        let json = bench.framework.listing().to_json();
        assert!(json.contains(r#"{"id":"0","name":"card \"a\"","flags":"hardware","#));
        assert!(json.contains(r#""algorithms":"null-8","policy":"Report","in_flight":1"#));
        for counter in bench.framework.stats().counters() {
            let field = format!("\"{}\":{}", counter.name, counter.value);
            assert!(json.contains(&field), "{field}");
        }
        assert!(!json.contains('\n'));
    }

    #[test]
    fn every_line_for_prometheus_is_a_comment_or_a_value() {
        let page = busy().framework.listing().to_prometheus();
        for line in page.lines() {
            let is_value = line.rsplit_once(' ').is_some_and(|(name, value)| {
                name.starts_with("crypto_") && value.parse::<u64>().is_ok()
            });
            assert!(line.starts_with("# ") || is_value, "{line}");
        }
        assert!(page.contains("# TYPE crypto_ops_total counter\ncrypto_ops_total 3\n"));
        let labels = r#"{driver="card \"a\"",id="0"}"#;
        assert!(page.contains(&format!("crypto_driver_blocked{labels} 1\n")));
    }
}
