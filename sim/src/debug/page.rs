//! Parts of a state as text.

use std::fmt::Write as _;

use serde_json::Value;

use crate::world::state::{SlotState, State};

/// The page about `name`; `None` if there is nothing of that name.
pub(super) fn of(state: &State, name: &str) -> Option<String> {
    match name {
        "framework" => Some(state.framework.to_string()),
        "consumers" => Some(consumers(state)),
        _ => {
            let slot = state.slots.iter().find(|slot| slot.name == name)?;
            Some(self::slot(slot))
        }
    }
}

fn consumers(state: &State) -> String {
    let mut page = String::new();
    for (index, consumer) in state.consumers.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "consumer {index}  {}, session {:#x}, {} outstanding, {} ready",
            consumer.suite,
            consumer.session.as_u64(),
            consumer.outstanding,
            consumer.ready
        );
    }
    page
}

fn slot(slot: &SlotState) -> String {
    let mut page = format!("{}, {} DMA windows\n", slot.name, slot.windows);
    match &slot.card {
        None => page += "no card\n",
        Some(card) => {
            for ring in &card.rings {
                let runs = if ring.is_running { "runs" } else { "is off" };
                let _ = writeln!(
                    page,
                    "ring {:<2} {runs}: {} published, {} fetched, {} held, {} unreaped",
                    ring.ring.0, ring.published, ring.fetched, ring.held, ring.unreaped
                );
            }
            page += "counters of the card\n";
            if let Ok(stats) = serde_json::to_value(card.stats) {
                rows(&mut page, "", &stats);
            }
        }
    }
    match &slot.driver {
        None => page += "no driver\n",
        Some(counters) => {
            page += "counters of its driver\n";
            for (name, count) in counters.iter().filter(|(_, count)| *count > 0) {
                let _ = writeln!(page, "  {count:>12}  {}", name.replace('_', " "));
            }
        }
    }
    page
}

/// A row for each number that is not zero.
fn rows(page: &mut String, prefix: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                rows(page, &format!("{prefix} {}", name.replace('_', " ")), value);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                rows(page, &format!("{prefix} {index}"), item);
            }
        }
        Value::Number(number) if number.as_u64() != Some(0) => {
            let _ = writeln!(page, "  {number:>12} {prefix}");
        }
        _ => {}
    }
}
