use proptest::prelude::*;

use device_model::Latch;
use timebase::Time;

use super::*;
use crate::scenario::{Action, Trigger};

const SMALL: &str = r#"name = "small"
[[card]]
name = "left"
[workload]
sizes = [{ bytes = 64 }]
suites = ["aes-128-gcm"]
"#;

fn complaint(text: &str) -> String {
    match Scenario::from_toml(text, "small.toml") {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// The complaint about [`SMALL`] with `new` in place of `old`.
fn complaint_with(old: &str, new: &str) -> String {
    assert!(SMALL.contains(old), "{old}");
    complaint(&SMALL.replacen(old, new, 1))
}

/// The complaint about [`SMALL`] with lines added to its end.
fn complaint_after(lines: &str) -> String {
    complaint(&format!("{SMALL}{lines}"))
}

#[test]
fn a_small_scenario_gets_sensible_defaults() {
    let small = Scenario::from_toml(SMALL, "small.toml").expect("a scenario");
    assert_eq!(small.name, "small");
    assert!(small.software);
    assert_eq!(small.pool_len, 64 << 20);
    assert_eq!(small.cards[0].profile.name, "reference");
    assert_eq!(small.cards[0].ring_entries, 256);
    assert!(small.cards[0].present);
    assert_eq!(small.workload.sizes, [(64, 1)]);
    assert_eq!(small.workload.pieces, None);
    assert_eq!(small.workload.placement, Placement::Any);
    assert!(small.faults.is_empty() && small.expect.is_empty());
}

/// A scenario with every key.
const ALL: &str = r#"
name = "all"
description = " everything "
pool_mib = 8
software = false
drain_within_us = 7
interrupt_jitter_ns = [1, 2]
write_jitter_ns = 3
memory_jitter_ns = 4
[[card]]
profile = "slow"
ring_pairs = 3
ring_entries = 2
coalesce_count = 5
coalesce_timer_us = 6
watchdog_us = 7
present = false
[workload]
consumers = 3
depth = 2
pieces = 9
sizes = [{ bytes = 16, weight = 7 }]
suites = ["null", "aes-256-xts"]
transparent_percent = 1
separate_output_percent = 2
chain_percent = 3
unpooled_percent = 4
tampered_percent = 5
think_ns = [10, 20]
placement = "hardware"
[[fault]]
at_us = 4
plug = "card0"
[[fault]]
after_requests = 5
detach = "card0"
[[fault]]
ring_full = { card = "card0", nth = 2 }
unplug = "card0"
[[fault]]
after_previous_us = 6
rebalance = true
[expect]
moved = { at_least = 1, at_most = 2 }
refusals = { at_most = 0 }
"#;

fn all() -> Scenario {
    Scenario::from_toml(ALL, "all.toml").expect("a scenario")
}

#[test]
fn every_key_of_machine_and_load_is_read() {
    let all = all();
    assert_eq!(all.description, "everything");
    assert_eq!(all.memory_jitter, Span::from_ns(4));
    assert_eq!(all.interrupt_jitter, (Span::from_ns(1), Span::from_ns(2)));
    let card = &all.cards[0];
    assert_eq!(
        (card.name.as_str(), card.profile.name.as_str()),
        ("card0", "slow")
    );
    assert_eq!(
        (
            card.profile.ring_pairs,
            card.ring_entries,
            card.coalesce_count
        ),
        (3, 2, 5)
    );
    assert_eq!(
        (card.coalesce_timer, card.watchdog),
        (Span::from_us(6), Span::from_us(7))
    );
    assert!(!card.present);
    let work = &all.workload;
    assert_eq!((work.consumers, work.depth, work.pieces), (3, 2, Some(9)));
    assert_eq!(
        (work.transparent_percent, work.separate_output_percent),
        (1, 2)
    );
    assert_eq!(
        (
            work.chain_percent,
            work.unpooled_percent,
            work.tampered_percent
        ),
        (3, 4, 5)
    );
    assert_eq!(work.think, (Span::from_ns(10), Span::from_ns(20)));
    assert_eq!(work.placement, Placement::Hardware);
}

#[test]
fn every_kind_of_fault_and_bound_is_read() {
    let all = all();
    let faults: Vec<(Trigger, Action)> = all
        .faults
        .iter()
        .map(|fault| (fault.trigger, fault.action))
        .collect();
    let us = Span::from_us;
    assert_eq!(
        faults,
        [
            (Trigger::At(Time::ZERO + us(4)), Action::Plug { card: 0 }),
            (Trigger::AfterRequests(5), Action::Detach { card: 0 }),
            (
                Trigger::RingFull { card: 0, nth: 2 },
                Action::Unplug { card: 0 }
            ),
            (Trigger::AfterPrevious(us(6)), Action::Rebalance),
        ]
    );
    assert_eq!(all.expect[0].count, Count::Moved);
    assert_eq!(
        (all.expect[0].at_least, all.expect[0].at_most),
        (1, Some(2))
    );
    assert_eq!(
        (all.expect[1].at_least, all.expect[1].at_most),
        (0, Some(0))
    );
}

#[test]
fn an_unknown_key_is_shown_with_its_nearest() {
    assert_eq!(
        complaint_with("sizes", "size"),
        "unknown key `size` in `workload`
 --> small.toml:5:1
  |
5 | size = [{ bytes = 64 }]
  | ^^^^ expected `consumers`, `depth`, `pieces`, `sizes`, `suites`, `transparent_percent`, \
`separate_output_percent`, `chain_percent`, `unpooled_percent`, `tampered_percent`, `think_ns` \
or `placement`
  = help: did you mean `sizes`?"
    );
}

#[test]
fn a_number_out_of_range_is_shown_with_the_range() {
    assert_eq!(
        complaint_with("[workload]", "ring_entries = 1\n[workload]"),
        "ring_entries is 1
 --> small.toml:4:16
  |
4 | ring_entries = 1
  |                ^ expected a whole number from 2 to 65536"
    );
    for wrong in [
        "70000",
        "-3",
        "0x1_0001",
        "99999999999999999999999999",
        "1.5",
        "\"8\"",
        "[8]",
    ] {
        let message = complaint_with("[workload]", &format!("ring_entries = {wrong}\n[workload]"));
        assert!(message.contains("small.toml:4:16"), "{message}");
        assert!(message.contains("expected a whole number"), "{message}");
    }
    for key in [
        "transparent",
        "separate_output",
        "chain",
        "unpooled",
        "tampered",
    ] {
        let message = complaint_with("sizes", &format!("{key}_percent = 101\nsizes"));
        assert!(
            message.contains("a whole number from 0 to 100"),
            "{message}"
        );
    }
}

#[test]
fn a_value_of_another_type_is_shown_with_both_types() {
    assert_eq!(
        complaint_with("name = \"left\"", "present = \"yes\""),
        "present is the string \"yes\"
 --> small.toml:3:11
  |
3 | present = \"yes\"
  |           ^^^^^ expected `true` or `false`"
    );
    let message = complaint_with("[[card]]", "[card]");
    assert!(
        message.contains("expected sections, each headed `[[card]]`"),
        "{message}"
    );
    let message = complaint_with("{ bytes = 64 }", "64");
    assert!(
        message.contains("expected a table with `bytes` or `weight`"),
        "{message}"
    );
    let message = complaint_with("name = \"small\"", "name = 1979-05-27");
    assert!(message.contains("the date 1979-05-27"), "{message}");
}

#[test]
fn an_unknown_card_in_a_fault_is_shown_with_the_cards_there_are() {
    assert_eq!(
        complaint_after("[[fault]]\nat_us = 5\nunplug = \"lefty\"\n"),
        "unknown card `lefty`
 --> small.toml:9:10
  |
9 | unplug = \"lefty\"
  |          ^^^^^^^ expected `left`
  = help: did you mean `left`?"
    );
    let message =
        complaint_after("[[fault]]\nring_full = { card = \"card7\" }\nunplug = \"left\"\n");
    assert!(message.contains("unknown card `card7`"), "{message}");
    assert!(message.contains("small.toml:8:22"), "{message}");
}

#[test]
fn an_unknown_suite_is_shown_with_its_nearest() {
    assert_eq!(
        complaint_with("aes-128-gcm", "aes-127-gcm"),
        "unknown suite `aes-127-gcm`
 --> small.toml:6:11
  |
6 | suites = [\"aes-127-gcm\"]
  |           ^^^^^^^^^^^^^ expected a suite such as `aes-256-gcm`, `sha256` or \
`aes-128-cbc+hmac-sha256`
  = help: did you mean `aes-128-gcm`, `aes-192-gcm` or `aes-256-gcm`?"
    );
}

#[test]
fn sizes_must_fit_and_weigh_something() {
    let message = complaint_with("bytes = 64 ", "bytes = 64, weight = 0 ");
    assert!(message.contains("weight is 0"), "{message}");
    assert!(message.contains("small.toml:5:33"), "{message}");
    let message = complaint_with("[{ bytes = 64 }]", "[]");
    assert!(message.contains("sizes is an empty list"), "{message}");
    assert!(message.contains("expected at least one size"), "{message}");
    let message = complaint_with("bytes = 64", "bytes = 0");
    assert!(message.contains("a whole number from 1"), "{message}");
    let text = SMALL
        .replace("64", "50")
        .replace("aes-128-gcm", "aes-128-cbc");
    let message = complaint(&text);
    let found = "`aes-128-cbc` works on blocks of 16 bytes and no size fits";
    assert!(message.contains(found), "{message}");
    assert!(message.contains("small.toml:6:11"), "{message}");
}

#[test]
fn a_fault_needs_one_trigger_and_one_action() {
    assert_eq!(
        complaint_after("[[fault]]\nat_us = 5\n"),
        "no action in [[fault]]
 --> small.toml:7:1
  |
7 | [[fault]]
  | ^^^^^^^^^ expected one of `unplug`, `plug`, `detach`, `reset`, `sleep`, `wake`, \
         `interrupt`, `write`, `rebalance`, `message` or `latch`"
    );
    let message = complaint_after("[[fault]]\nunplug = \"left\"\n");
    assert!(message.contains("no trigger in [[fault]]"), "{message}");
    let message = complaint_after("[[fault]]\nat_us = 5\nafter_requests = 3\nrebalance = true\n");
    assert!(
        message.contains("trigger `after_requests` after trigger `at_us`"),
        "{message}"
    );
    assert!(message.contains("small.toml:9:1"), "{message}");
    let message = complaint_after("[[fault]]\nafter_previous_us = 3\nrebalance = true\n");
    assert!(message.contains("no fault before the first"), "{message}");
    let message = complaint_after("[[fault]]\nat_us = 3\nrebalance = false\n");
    assert!(message.contains("rebalance is false"), "{message}");
    let message = complaint_after("[[fault]]\nat_ms = 3\nrebalance = true\n");
    assert!(
        message.contains("unknown key `at_ms` in [[fault]]"),
        "{message}"
    );
    assert!(
        message.contains("did you mean `at_ns` or `at_us`?"),
        "{message}"
    );
}

#[test]
fn a_latch_is_read_and_its_kind_is_checked() {
    let text = |latch: &str| format!("{SMALL}[[fault]]\nat_us = 1\nlatch = {latch}\n");
    let read = |latch: &str| {
        let scenario = Scenario::from_toml(&text(latch), "small.toml").expect("a scenario");
        scenario.faults[0].action
    };
    let card = 0;
    assert_eq!(
        read("{ card = \"left\", kind = \"drop-completion\", nth = 3 }"),
        Action::Latch {
            card,
            latch: Latch::DropCompletion { nth: 2 }
        }
    );
    assert_eq!(
        read("{ card = \"left\", kind = \"hang-engines\" }"),
        Action::Latch {
            card,
            latch: Latch::HangEngines
        }
    );
    for (kind, is_corrected) in [("corrected-context", true), ("corrupt-context", false)] {
        let latch = Latch::ContextError {
            nth: 1,
            is_corrected,
        };
        let text = format!("{{ card = \"left\", kind = \"{kind}\", nth = 2 }}");
        assert_eq!(read(&text), Action::Latch { card, latch });
    }
    let message = complaint(&text("{ card = \"left\", kind = \"hang-engine\" }"));
    assert!(message.contains("did you mean `hang-engines`"), "{message}");
    let message = complaint(&text(
        "{ card = \"left\", kind = \"hang-engines\", nth = 3 }",
    ));
    assert!(message.contains("does not count"), "{message}");
}

#[test]
fn bounds_must_be_possible() {
    let message = complaint_after("[expect]\nmoved = { at_least = 5, at_most = 4 }\n");
    assert!(message.contains("at_most is 4"), "{message}");
    assert!(message.contains("small.toml:8:35"), "{message}");
    let message = complaint_after("[expect]\nmoved = {}\n");
    assert!(
        message.contains("expected `at_least`, `at_most` or both"),
        "{message}"
    );
    let message = complaint_after("[expect]\nmove = { at_least = 1 }\n");
    assert!(message.contains("did you mean `moved`"), "{message}");
    let message = complaint_with("sizes", "think_ns = [5, 4]\nsizes");
    assert!(message.contains("a number not below 5"), "{message}");
    let message = complaint_with("sizes", "think_ns = 5\nsizes");
    assert!(message.contains("[shortest, longest]"), "{message}");
}

#[test]
fn a_machine_without_a_driver_is_refused() {
    let message = complaint_with("[[card]]\nname = \"left\"", "software = false");
    assert!(message.contains("no driver"), "{message}");
    let message = complaint_with(
        "[[card]]\nname = \"left\"\n[workload]",
        "[workload]\nplacement = \"hardware\"",
    );
    assert!(
        message.contains("placement is the string \"hardware\""),
        "{message}"
    );
    assert!(message.contains("expected a [[card]]"), "{message}");
    let message = complaint_with("sizes", "placement = \"cards\"\nsizes");
    assert!(
        message.contains("expected `any`, `hardware` or `software`"),
        "{message}"
    );
}

#[test]
fn two_cards_need_two_names() {
    let message = complaint_with("[workload]", "[[card]]\nname = \"left\"\n[workload]");
    assert!(message.contains("a second card `left`"), "{message}");
    assert!(message.contains("small.toml:5:8"), "{message}");
    let message = complaint_with("name = \"left\"", "name = \"my card\"");
    assert!(
        message.contains("expected a name without blanks"),
        "{message}"
    );
    let message = complaint_with("name = \"left\"", "name = \"software\"");
    assert!(
        message.contains("name is the string \"software\""),
        "{message}"
    );
}

#[test]
fn profiles_are_found_by_name_or_next_to_the_scenario() {
    let message = complaint_with("name = \"left\"", "profile = \"fast\"");
    assert!(message.contains("unknown profile `fast`"), "{message}");
    assert!(
        message.contains("`.toml`, or `reference`, `slow`"),
        "{message}"
    );
    let message = complaint_with("name = \"left\"", "profile = \"no-such.toml\"");
    assert!(
        message.contains("cannot read profile no-such.toml"),
        "{message}"
    );
    assert!(message.contains("small.toml:3:11"), "{message}");
    let text = SMALL.replace("name = \"left\"", "profile = \"../profiles/slow.toml\"");
    let origin = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/here.toml");
    let scenario = Scenario::from_toml(&text, origin).expect("a profile next door");
    assert_eq!(scenario.cards[0].profile.name, "slow");
}

#[test]
fn what_is_not_toml_is_pointed_at() {
    let message = complaint("name = \"x\"\nworkload = {\n");
    assert!(message.contains("not TOML"), "{message}");
    assert!(message.contains("small.toml:"), "{message}");
    let message = complaint("name = \"x\"\nname = \"y\"\n");
    assert!(message.contains("duplicate key"), "{message}");
    assert!(message.contains("small.toml:2:1"), "{message}");
    let message = complaint("");
    assert!(message.contains("no `name` in top level"), "{message}");
    assert!(message.contains("small.toml:1:1"), "{message}");
}

/// A built-in scenario with pieces of it replaced.
fn mutated() -> impl Strategy<Value = String> {
    let texts = [
        SMALL,
        include_str!("../../../scenarios/failover.toml"),
        include_str!("../../../scenarios/unplug-storm.toml"),
    ];
    let piece = prop_oneof![
        Just(String::new()),
        any::<i64>().prop_map(|number| number.to_string()),
        "[\\[\\]{}=\"'.,#\n a-z0-9_-]{0,8}",
        "\\PC{0,4}",
    ];
    let cut = (any::<prop::sample::Index>(), 0..12_usize, piece);
    (
        prop::sample::select(texts.to_vec()),
        prop::collection::vec(cut, 1..6),
    )
        .prop_map(|(text, cuts)| {
            let mut text: Vec<char> = text.chars().collect();
            for (at, len, piece) in cuts {
                let start = at.index(text.len() + 1);
                let end = (start + len).min(text.len());
                text.splice(start..end, piece.chars());
            }
            text.into_iter().collect()
        })
}

/// Reads `text`; whatever is wrong with it must be a complaint about a place inside it.
fn read_or_complain(text: &str) {
    if let Err(ScenarioError::Invalid(complaint)) = Scenario::from_toml(text, "fuzz.toml") {
        let lines = text.split('\n').count();
        assert!((1..=lines).contains(&complaint.line), "{complaint}");
        assert!(complaint.to_string().contains('^'), "{complaint}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*|[\\x00-\\x7f]{0,200}") {
        read_or_complain(&text);
    }

    #[test]
    fn mutated_scenarios_never_panic(text in mutated()) {
        read_or_complain(&text);
    }
}

#[test]
fn timing_alone_and_the_software_driver_exclude_each_other() {
    let message = complaint(&format!("timing_only = true\n{SMALL}"));
    assert!(message.contains("with a software driver"), "{message}");
    let text = format!("timing_only = true\nsoftware = false\n{SMALL}");
    let scenario = Scenario::from_toml(&text, "small.toml").expect("a scenario");
    assert!(scenario.timing_only);
}

#[test]
fn errata_are_ignored_by_name_if_the_card_has_them() {
    let old = "name = \"left\"";
    let with = "profile = \"errata\"\nignore_errata = [\"early-ready\"]";
    let scenario = Scenario::from_toml(&SMALL.replacen(old, with, 1), "small.toml");
    let card = &scenario.expect("a scenario").cards[0];
    assert_eq!(card.ignore_errata, regs::Errata::EARLY_READY);
    assert_eq!(card.profile.errata, regs::Errata::all());

    assert_eq!(
        complaint_with(old, "ignore_errata = [\"early-ready\"]"),
        "the profile has no erratum `early-ready` to ignore
 --> small.toml:3:17
  |
3 | ignore_errata = [\"early-ready\"]
  |                 ^^^^^^^^^^^^^^^ expected errata of the card's profile"
    );
    let message = complaint_with(old, "ignore_errata = [\"early-redy\"]");
    assert!(message.contains("did you mean `early-ready`"), "{message}");
}
