//! A made-up outcome to draw: two cards, one of them pulled out, and the software driver.

use super::*;
use crate::outcome::{
    CheckSummary, DriverSummary, Latency, Mark, MarkKind, Sample, Summary, Violation,
};

const STEPS: u64 = 240;
const STEP: Span = Span::from_us(52);
const OUT: std::ops::Range<u64> = 84..143;

/// Numbers that look like chance and never change.
fn noise(seed: u64) -> f64 {
    let mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 40) as f64 / (1_u64 << 24) as f64
}

fn sample(card: u64, at: u64) -> Sample {
    let is_out = OUT.contains(&at);
    let load = match card {
        0 if is_out => 0.0,
        0 => 2.4e9,
        1 if is_out => 3.1e9,
        1 => 2.2e9,
        _ if is_out => 0.9e9,
        _ => 0.0,
    };
    let fading = if at > 228 {
        (STEPS - at) as f64 / 14.0
    } else {
        1.0
    };
    let bytes = load * STEP.as_secs_f64() * fading * (0.8 + 0.4 * noise(at * 3 + card));
    let slow = if is_out && card == 1 { 2.2 } else { 1.0 };
    let p50 = 11_000.0 * slow * (0.9 + 0.3 * noise(at * 7 + card)) / (1.0 + card as f64 * 0.4);
    let p99 = p50 * (2.0 + 3.0 * noise(at * 11 + card));
    let full: f64 = if card == 0 { 14.0 } else { 30.0 };
    let used = if load == 0.0 {
        0.0
    } else {
        (full * (0.55 + 0.6 * noise(at * 13 + card))).min(full)
    };
    Sample {
        bytes: bytes as u64,
        requests: (bytes / 3_000.0) as u64,
        latency_p50: Span::from_ns(p50 as u64),
        latency_p99: Span::from_ns(p99 as u64),
        occupancy_max: if card == 2 { 0 } else { used as u32 },
    }
}

fn marks() -> Vec<Mark> {
    let mark = |at: Time, kind, driver: &str, text: String| Mark {
        at,
        kind,
        driver: driver.to_owned(),
        text,
    };
    let mut marks = Vec::new();
    for at in 0..STEPS * 4 {
        let time = Time::ZERO + STEP * at / 4;
        let card = at % 2;
        if OUT.contains(&(at / 4)) && card == 0 || noise(at) < 0.6 {
            continue;
        }
        let name = format!("card{card}");
        let end = time + STEP * (1 + at % 5) / 30;
        marks.push(mark(time, MarkKind::Block, &name, "ring full".to_owned()));
        marks.push(mark(end, MarkKind::Unblock, &name, "room again".to_owned()));
    }
    let out = Time::ZERO + STEP * OUT.start;
    let back = Time::ZERO + STEP * OUT.end;
    marks.push(mark(
        out,
        MarkKind::Unplug,
        "card0",
        "card0 pulled out, ring full".to_owned(),
    ));
    marks.push(mark(
        back,
        MarkKind::Plug,
        "card0",
        "card0 put in".to_owned(),
    ));
    for session in 0..12_u64 {
        let to = if session < 9 { "card1" } else { "software" };
        let text = format!("session {session} moved from card0 to {to}");
        marks.push(mark(
            out + Span::from_us(20 + session),
            MarkKind::Migrate,
            to,
            text,
        ));
        let text = format!("session {session} moved to card0");
        let at = back + Span::from_us(500 + session * 4);
        marks.push(mark(at, MarkKind::Migrate, "card0", text));
    }
    marks.sort_by_key(|mark| mark.at);
    marks
}

/// The made-up outcome.
pub(crate) fn outcome() -> Outcome {
    let series: Vec<Series> = ["card0", "card1", "software"]
        .into_iter()
        .zip(0..)
        .map(|(name, card)| Series {
            name: name.to_owned(),
            step: STEP,
            samples: (0..STEPS).map(|at| sample(card, at)).collect(),
            ring_slots: [14, 30, 0][card as usize],
        })
        .collect();
    let drivers: Vec<DriverSummary> = series
        .iter()
        .map(|driver| DriverSummary {
            name: driver.name.clone(),
            requests: driver.samples.iter().map(|sample| sample.requests).sum(),
            bytes: driver.samples.iter().map(|sample| sample.bytes).sum(),
            refusals: 612,
            utilisation_permille: if driver.ring_slots == 0 {
                0
            } else {
                500 + u64::from(driver.ring_slots) * 10
            },
            interrupts: 3_121,
            bounced: 804,
        })
        .collect();
    Outcome {
        summary: summary(drivers),
        series,
        marks: marks(),
        log: Vec::new(),
        coverage: None,
        violations: Vec::new(),

        faults: Vec::new(),
    }
}

fn summary(drivers: Vec<DriverSummary>) -> Summary {
    let check = |name: &str| CheckSummary {
        name: name.to_owned(),
        looked: 48_213,
        violations: 0,
    };
    let names = [
        "exactly once",
        "data right",
        "order per session",
        "DMA windows",
        "liveness",
    ];
    Summary {
        scenario: "failover".to_owned(),
        seed: 7,
        timing_only: false,
        requests: drivers.iter().map(|driver| driver.requests).sum(),
        bytes: drivers.iter().map(|driver| driver.bytes).sum(),
        pieces: 9_411,
        refusals: 1_204,
        blocks: 312,
        unblocks: 312,
        migrations: 24,
        moved: 8,
        interrupted: 6,
        resubmitted: 22,
        tampered_caught: 101,
        unplugs: 1,
        plugs: 1,
        elapsed_ps: (STEP * STEPS).as_ps(),
        latency: Latency {
            p50_ns: 10_900,
            p90_ns: 24_000,
            p99_ns: 51_200,
            p999_ns: 88_000,
            max_ns: 1_310_000,
        },
        drivers,
        checks: names.map(check).to_vec(),
        faults: Vec::new(),
        events: 312_334,
        digest: "9f86d081884c7d65".to_owned(),
    }
}

/// The same with a check that did not hold.
pub(crate) fn failed() -> Outcome {
    let mut outcome = outcome();
    outcome.summary.checks[0].violations = 1;
    let at = Time::ZERO + STEP * 100;
    let message = "request 4711 called back twice: first at 5.198 ms by card0, slot 3 of ring 1; \
                   then by card1, slot 9 of ring 2";
    outcome.marks.push(Mark {
        at,
        kind: MarkKind::Violation,
        driver: String::new(),
        text: "exactly once".to_owned(),
    });
    outcome.violations.push(Violation {
        check: "exactly once".to_owned(),
        at_ps: at.as_ps(),
        message: message.to_owned(),
    });
    outcome
}
