//! The coverage page: what was visited, and what never.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Card, Coverage, Driver, NO_FAULT, kinds};
use crate::report::STYLE;
use crate::summary::units::{count, counted};

/// The page about `coverage` of what `name` names. Nothing in it comes from outside of it.
#[must_use]
pub fn render(name: &str, coverage: &Coverage) -> String {
    let kinds = kinds();
    let (seen, unseen): (Vec<&String>, Vec<&String>) = kinds
        .iter()
        .partition(|kind| coverage.never_struck(kind) != coverage.pairs());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Ringside: coverage of " (name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p class="brand" { "Ringside" }
                    h1 { "Coverage of " (name) }
                    p class="lead" {
                        "In which states of a driver and its card each kind of fault struck. "
                        (counted(coverage.pairs().len() as u64, "pair")) " of states entered, "
                        (counted(seen.len() as u64, "kind")) " of fault struck, of "
                        (kinds.len()) "."
                    }
                }
                (states(coverage))
                (faults(coverage, &seen))
                (never(coverage, &seen, &unseen))
            }
        }
    };
    page.into_string()
}

/// How often each pair of states was entered.
fn states(coverage: &Coverage) -> Markup {
    html! {
        section {
            h2 { "Driver and card" }
            p class="lead" { "How often each pair of states was entered." }
            div class="scroll" {
                table class="cover" {
                    thead {
                        tr {
                            th { "driver \\ card" }
                            @for card in Card::ALL { th { (card.name()) } }
                        }
                    }
                    tbody {
                        @for driver in Driver::ALL {
                            tr {
                                th { (driver.name()) }
                                @for card in Card::ALL {
                                    (cell(coverage.visits((driver, card), NO_FAULT)))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How often each kind struck in each pair that was entered.
fn faults(coverage: &Coverage, seen: &[&String]) -> Markup {
    let pairs = coverage.pairs();
    html! {
        section {
            h2 { "Faults" }
            p class="lead" {
                "How often each kind struck in each pair of states: driver above, card below."
            }
            @if seen.is_empty() { p { "No fault struck." } }
            @else {
                div class="scroll" {
                    table class="cover" {
                        thead {
                            tr {
                                th { "fault" }
                                @for (driver, card) in &pairs {
                                    th { (driver.name()) br; (card.name()) }
                                }
                            }
                        }
                        tbody {
                            @for kind in seen {
                                tr {
                                    th { (kind) }
                                    @for &pair in &pairs { (cell(coverage.visits(pair, kind))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Shade and number; the shade grows with the logarithm.
fn cell(visits: u64) -> Markup {
    if visits == 0 {
        return html! { td class="never" { "·" } };
    }
    let shade = 18 + 9 * visits.ilog10().min(6);
    html! { td style=(format!("--it:{shade}%")) { (count(visits)) } }
}

/// Everything that was not visited.
fn never(coverage: &Coverage, seen: &[&String], unseen: &[&String]) -> Markup {
    html! {
        section {
            h2 { "Never visited" }
            h3 { "Pairs of driver and card that were never entered (some cannot be)" }
            p class="chips" { (pairs(&coverage.never_entered())) }
            h3 { "Kinds of fault that never struck" }
            p class="chips" { @for kind in unseen { code { (kind) } " " } }
            @for kind in seen {
                @let missing = coverage.never_struck(kind);
                @if !missing.is_empty() {
                    h3 { (kind) " never struck in these pairs, which were entered" }
                    p class="chips" { (pairs(&missing)) }
                }
            }
        }
    }
}

fn pairs(pairs: &[(Driver, Card)]) -> Markup {
    html! {
        @for (driver, card) in pairs { code { (driver.name()) " / " (card.name()) } " " }
    }
}
