//! The printed summary of a run, for people and for machines.
//!
//! Owns wording, units and alignment. Adds nothing to the numbers of an [`Outcome`], and knows no
//! file and no terminal: the caller says whether to colour.

pub(crate) mod faults;
pub(crate) mod units;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use timebase::Span;

use crate::outcome::{DriverSummary, Outcome, Summary, Violation};
use units::{bytes, count, counted, rate, share, time};

/// Most violations that are printed; the JSON has them all.
const MAX_PRINTED: usize = 20;

/// What it takes to have the same run again.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The scenario, as it was named on the command line.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The input, unless it was the project's own.
    pub input: Option<PathBuf>,
}

/// The command that replays the run.
impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ringside run {} --seed {}",
            shell_word(&self.scenario),
            self.seed
        )?;
        self.input.as_ref().map_or(Ok(()), |input| {
            write!(f, " --input {}", shell_word(&input.display().to_string()))
        })
    }
}

/// The summary of a run as one JSON object.
///
/// # Panics
/// Never: every field of a summary has a place in JSON.
#[must_use]
pub fn render_json(outcome: &Outcome, replay: &Replay) -> String {
    #[derive(Serialize)]
    struct Whole<'a> {
        passed: bool,
        #[serde(flatten)]
        summary: &'a Summary,
        violations: &'a [Violation],
        replay: String,
    }
    let whole = Whole {
        passed: outcome.passed(),
        summary: &outcome.summary,
        violations: &outcome.violations,
        replay: replay.to_string(),
    };
    serde_json::to_string_pretty(&whole).expect("a summary has only names and numbers")
}

/// The verdict in one line.
#[must_use]
pub fn render_verdict(outcome: &Outcome, color: bool) -> String {
    let paint = Paint { color };
    let summary = &outcome.summary;
    let verdict = if outcome.passed() {
        paint.good("PASSED")
    } else {
        paint.bad("FAILED")
    };
    let what = if outcome.passed() {
        format!("{} held", counted(summary.checks.len() as u64, "check"))
    } else {
        counted(outcome.violations.len() as u64, "violation")
    };
    format!(
        "{verdict}  {}, seed {}: {what}, digest {}\n",
        summary.scenario, summary.seed, summary.digest
    )
}

/// The summary of a run for people.
#[must_use]
pub fn render_text(outcome: &Outcome, replay: &Replay, color: bool) -> String {
    let paint = Paint { color };
    let summary = &outcome.summary;
    let mut text = format!(
        "{}, seed {}\n\n",
        paint.strong(&summary.scenario),
        summary.seed
    );
    for (label, line) in overview(summary) {
        text += &format!("  {}  {line}\n", paint.faint(&format!("{label:<12}")));
    }
    text += &drivers(&summary.drivers, &paint);
    text += &checks(summary, &paint);
    text += &faults::table(&summary.faults, &paint);
    text += &violations(&outcome.violations, &paint);
    text += &format!(
        "\n  {}  {}\n  {}  {}\n\n",
        paint.faint("trace digest"),
        paint.strong(&summary.digest),
        paint.faint("replay      "),
        paint.strong(&replay.to_string()),
    );
    text + &render_verdict(outcome, color)
}

/// The lines at the top: a label and what there is to say.
fn overview(summary: &Summary) -> Vec<(&'static str, String)> {
    let elapsed = Span::from_ps(summary.elapsed_ps);
    let found = if summary.timing_only {
        "of input; timing only, no result was made or checked"
    } else {
        "of input found right"
    };
    let mut lines = vec![
        (
            "requests",
            format!(
                "{} called back, {} {found}",
                count(summary.requests),
                counted(summary.pieces, "piece")
            ),
        ),
        (
            "data",
            format!(
                "{} in {} of virtual time, {}",
                bytes(summary.bytes),
                time(elapsed),
                rate(summary.bytes, elapsed)
            ),
        ),
        (
            "backpressure",
            format!(
                "{}, {}, {}",
                counted(summary.refusals, "refusal"),
                counted(summary.blocks, "block"),
                counted(summary.unblocks, "unblock")
            ),
        ),
        (
            "cards",
            format!(
                "{} unplugged, {} plugged in",
                count(summary.unplugs),
                count(summary.plugs)
            ),
        ),
        (
            "sessions",
            format!(
                "{}; requests: {} resubmitted, {} told to move, {} interrupted and made anew",
                counted(summary.migrations, "migration"),
                count(summary.resubmitted),
                count(summary.moved),
                count(summary.interrupted)
            ),
        ),
    ];
    if summary.tampered_caught > 0 {
        let caught = counted(summary.tampered_caught, "falsified digest");
        lines.push(("tampering", format!("{caught} found out")));
    }
    lines.push(("latency", latency(summary)));
    lines
}

fn latency(summary: &Summary) -> String {
    if summary.requests == 0 {
        return "none: no request called back".to_owned();
    }
    let ns = |ns: u64| time(Span::from_ns(ns));
    let of = &summary.latency;
    format!(
        "p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        ns(of.p50_ns),
        ns(of.p90_ns),
        ns(of.p99_ns),
        ns(of.p999_ns),
        ns(of.max_ns)
    )
}

fn drivers(drivers: &[DriverSummary], paint: &Paint) -> String {
    const HEAD: [&str; 8] = [
        "driver",
        "requests",
        "data",
        "share",
        "refused",
        "busy",
        "interrupts",
        "bounced",
    ];
    if drivers.is_empty() {
        return String::new();
    }
    let total: u64 = drivers.iter().map(|driver| driver.requests).sum();
    let mut rows = vec![HEAD.map(str::to_owned)];
    for driver in drivers {
        let is_card = driver.name != "software";
        let of_card = |text: String| if is_card { text } else { "-".to_owned() };
        rows.push([
            driver.name.clone(),
            count(driver.requests),
            bytes(driver.bytes),
            share(driver.requests, total),
            of_card(count(driver.refusals)),
            of_card(share(driver.utilisation_permille, 1_000)),
            of_card(count(driver.interrupts)),
            of_card(count(driver.bounced)),
        ]);
    }
    format!("\n{}", table(&rows, paint))
}

/// The rows as text: the first is the head, the first column stands left and the others right.
fn table<const N: usize>(rows: &[[String; N]], paint: &Paint) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        let line = cells.join("  ");
        let line = if at == 0 { paint.faint(&line) } else { line };
        text += &format!("  {line}\n");
    }
    text
}

fn checks(summary: &Summary, paint: &Paint) -> String {
    if summary.checks.is_empty() {
        return String::new();
    }
    let width = summary
        .checks
        .iter()
        .map(|check| check.name.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = format!("\n  {}\n", paint.faint("checks"));
    for check in &summary.checks {
        let looked = format!("looked {} times", count(check.looked));
        let held = if check.violations == 0 {
            paint.good("held ")
        } else {
            paint.bad("broke")
        };
        let broken = if check.violations == 0 {
            String::new()
        } else {
            format!(", {}", counted(check.violations, "violation"))
        };
        text += &format!(
            "  {held}  {:<width$}  {}{broken}\n",
            check.name,
            paint.faint(&looked)
        );
    }
    text
}

fn violations(violations: &[Violation], paint: &Paint) -> String {
    let mut text = String::new();
    if !violations.is_empty() {
        text += &format!("\n  {}\n", paint.bad("what went wrong"));
    }
    for violation in violations.iter().take(MAX_PRINTED) {
        let at = Span::from_ps(violation.at_ps);
        text += &format!(
            "  at {at}, {}: {}\n",
            paint.strong(&violation.check),
            violation.message
        );
    }
    if let Some(more) = violations
        .len()
        .checked_sub(MAX_PRINTED)
        .filter(|&more| more > 0)
    {
        text += &format!("  and {more} more; --json has them all\n");
    }
    text
}

/// `word` so that a shell reads it as one word.
fn shell_word(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./+:@%,=".contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Colours, if there are any.
struct Paint {
    color: bool,
}

impl Paint {
    fn good(&self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    fn bad(&self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    fn strong(&self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn faint(&self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests;
