//! Tables and words of the page: drivers, checks, violations, set-up, replay.

use maud::{Markup, html};
use timebase::Span;

use super::course::{SOFTWARE, hue};
use crate::outcome::Outcome;
use crate::scenario::{Action, CardSpec, FaultSpec, Scenario, Trigger};
use crate::summary::Replay;
use crate::summary::units::{bytes, count, counted, share, time};

/// Most violations on the page.
const MAX_VIOLATIONS: usize = 100;

/// Each driver's part.
pub(super) fn drivers(outcome: &Outcome) -> Markup {
    const HEADS: [&str; 8] = [
        "Driver",
        "Requests",
        "Share",
        "Data",
        "Refused",
        "Engines busy",
        "Interrupts",
        "Bounced",
    ];
    let total: u64 = outcome
        .summary
        .drivers
        .iter()
        .map(|driver| driver.requests)
        .sum();
    html! {
        section {
            h2 { "Drivers" }
            div class="scroll" {
                table class="numbers" {
                    thead { tr { @for head in HEADS { th { (head) } } } }
                    tbody {
                        @for (number, driver) in outcome.summary.drivers.iter().enumerate() {
                            @let is_card = driver.name != SOFTWARE;
                            @let hue = hue(number, &driver.name);
                            @let of_card = |text: String| if is_card { text } else { "–".into() };
                            tr {
                                th { i class=(format!("swatch {hue}")) {}
                                    (driver.name) }
                                td { (count(driver.requests)) }
                                td { (share(driver.requests, total)) }
                                td { (bytes(driver.bytes)) }
                                td { (of_card(count(driver.refusals))) }
                                td {
                                    (of_card(share(driver.utilisation_permille, 1_000)))
                                    @if is_card {
                                        (meter(driver.utilisation_permille, &hue))
                                    }
                                }
                                td { (of_card(count(driver.interrupts))) }
                                td { (of_card(count(driver.bounced))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn meter(permille: u64, hue: &str) -> Markup {
    let width = permille.min(1_000) as f64 / 10.0;
    html! {
        span class="meter" { i class=(hue) style=(format!("width:{width}%")) {} }
    }
}

/// Each check with how often it looked.
pub(super) fn checks(outcome: &Outcome) -> Markup {
    html! {
        section {
            h2 { "Checks" }
            @if outcome.summary.checks.is_empty() { p { "No check watched this run." } }
            ul class="checks" {
                @for check in &outcome.summary.checks {
                    li class=(if check.violations == 0 { "good" } else { "bad" }) {
                        b { (check.name) }
                        span {
                            "looked " (counted(check.looked, "time"))
                            @if check.violations > 0 {
                                ", " strong { (counted(check.violations, "violation")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What went wrong; nothing if nothing did.
pub(super) fn violations(outcome: &Outcome) -> Markup {
    let violations = &outcome.violations;
    if violations.is_empty() {
        return html! {};
    }
    html! {
        section class="violations" {
            h2 { "What went wrong" }
            ol {
                @for violation in violations.iter().take(MAX_VIOLATIONS) {
                    li {
                        p {
                            b { (violation.check) }
                            " at " (Span::from_ps(violation.at_ps).to_string())
                        }
                        pre { (violation.message) }
                    }
                }
            }
            @if violations.len() > MAX_VIOLATIONS {
                p { "and " (count((violations.len() - MAX_VIOLATIONS) as u64)) " more" }
            }
        }
    }
}

/// What was in the machine, what was asked of it, and what went wrong on purpose.
pub(super) fn set_up(scenario: &Scenario) -> Markup {
    let workload = &scenario.workload;
    html! {
        section {
            h2 { "Set-up" }
            div class="columns" {
                div {
                    h3 { "Machine" }
                    ul {
                        @for card in &scenario.cards {
                            li { b { (card.name) } " " (describe(card)) }
                        }
                        @if scenario.software {
                            li { b { "software" } " the driver without a card" }
                        }
                    }
                }
                div {
                    h3 { "Load" }
                    p {
                        (counted(u64::from(workload.consumers), "consumer")) " with "
                        (counted(u64::from(workload.depth), "request")) " in flight each, "
                        (workload.transparent_percent) "% of them moved without noticing."
                    }
                    p class="chips" {
                        @for suite in &workload.suites { code { (suite.to_string()) } " " }
                    }
                    p class="chips" {
                        @for &(size, weight) in &workload.sizes {
                            span { (bytes(u64::from(size))) " × " (weight) } " "
                        }
                    }
                }
                @if !scenario.faults.is_empty() {
                    div {
                        h3 { "Faults" }
                        ol {
                            @for fault in &scenario.faults { li { (fault_story(scenario, fault)) } }
                        }
                    }
                }
            }
        }
    }
}

fn describe(card: &CardSpec) -> String {
    let rings = counted(u64::from(card.profile.ring_pairs), "ring pair");
    let presence = if card.present {
        ""
    } else {
        ", not in its slot at first"
    };
    format!(
        "profile {}, {rings} of {} entries, interrupt after {} or {}{presence}",
        card.profile.name,
        card.ring_entries,
        counted(u64::from(card.coalesce_count.max(1)), "completion"),
        time(card.coalesce_timer),
    )
}

fn fault_story(scenario: &Scenario, fault: &FaultSpec) -> String {
    let name = |card: usize| {
        scenario
            .cards
            .get(card)
            .map_or("?", |card| card.name.as_str())
    };
    let when = match fault.trigger {
        Trigger::At(at) => format!("at {at}"),
        Trigger::AfterRequests(requests) => format!("after {}", counted(requests, "request")),
        Trigger::RingFull { card, nth: 1 } => format!("when a ring of {} is full", name(card)),
        Trigger::RingFull { card, nth } => {
            format!("when a ring of {} is full, time {}", name(card), count(nth))
        }
        Trigger::AfterPrevious(span) => format!("{} later", time(span)),
        Trigger::Message { card, rule } => {
            let (nth, kind) = (rule.skip + 1, rule.message.name());
            format!("at {kind} {nth} of {}", name(card))
        }
        Trigger::Event {
            card, moment, nth, ..
        } => format!("at event `{}` {nth} of {}", moment.name(), name(card)),
    };
    let what = match fault.action {
        Action::Unplug { card } => format!("pull {} out", name(card)),
        Action::Plug { card } => format!("put {} in", name(card)),
        Action::Detach { card } => format!("take {} out of service", name(card)),
        Action::Reset { card } => format!("reset the link of {}", name(card)),
        Action::Sleep { card } => format!("send {} to D3hot", name(card)),
        Action::Wake { card } => format!("bring {} back to D0", name(card)),
        Action::Interrupt {
            card,
            vector,
            count,
            ..
        } => {
            let many = counted(count.into(), "interrupt");
            format!("{many} {} of {} from nowhere", vector.0, name(card))
        }
        Action::Write {
            card,
            offset,
            value,
        } => format!(
            "write {value:#x} to {offset:#x} of {} from nowhere",
            name(card)
        ),
        Action::Rebalance => "spread the sessions again".to_owned(),
        Action::Message { card, rule } => {
            let (kind, fate) = (rule.message.name(), rule.fate.name());
            let (from, number) = (count(rule.skip + 1), count(rule.count));
            format!(
                "{}: {fate} {number} {kind}, from the {from}th on",
                name(card)
            )
        }
        Action::Latch { card, latch } => format!("{} misbehaves: {latch:?}", name(card)),
    };
    format!("{when}: {what}")
}

/// The command that gives the same run again.
pub(super) fn how_to_replay(replay: &Replay) -> Markup {
    html! {
        section {
            h2 { "The same run again" }
            p {
                "Nothing here depends on a clock or a thread: the same program, scenario, seed and "
                "input give the same events and the same digest."
            }
            pre { (replay.to_string()) }
            p { "With every event, to open in " code { "ui.perfetto.dev" } ":" }
            pre { (replay.to_string()) " --trace trace.json" }
        }
    }
}
