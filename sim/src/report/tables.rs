//! Tables and words of the page: drivers, checks, violations, set-up, replay.

use maud::{Markup, html};
use timebase::Span;

use super::course::{SOFTWARE, hue};
use crate::outcome::Outcome;
use crate::scenario::{CardSpec, Scenario};
use crate::summary::Replay;
use crate::summary::faults::story;
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

/// Each fault with how far it came; nothing if there is none.
pub(super) fn faults(outcome: &Outcome) -> Markup {
    let faults = &outcome.summary.faults;
    if faults.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Faults" }
            p class="lead" {
                "Armed: the seed left it in the run. Fired: how often it struck. Observed: signs of "
                "it that drivers, requests or checks gave."
            }
            div class="scroll" {
                table class="numbers faults" {
                    thead {
                        tr {
                            th { "Fault" } th { "Armed" } th { "Fired" } th { "Observed" }
                            th { "First sign" }
                        }
                    }
                    tbody {
                        @for (number, fault) in (1..).zip(faults) {
                            tr {
                                th { (number) ". " (fault.fault) }
                                td { (count(fault.armed)) }
                                td { (count(fault.fired)) }
                                td { (count(fault.observed)) }
                                td { (fault.first_sign.as_deref().unwrap_or("–")) }
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
                            @for fault in &scenario.faults { li { (story(scenario, fault)) } }
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
