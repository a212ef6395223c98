use super::*;
use crate::outcome::{MarkKind, Sample};

fn page(outcome: &Outcome) -> String {
    let scenario = Scenario::builtin("failover").expect("built in");
    let replay = Replay {
        scenario: "failover".to_owned(),
        seed: 7,
        input: None,
    };
    render(&scenario, outcome, &replay)
}

/// Elements that are open at the end, after checking that each end meets its beginning.
fn open_elements(page: &str) -> Vec<String> {
    const VOID: [&str; 2] = ["meta", "!DOCTYPE"];
    let mut open: Vec<String> = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest.find('>').expect("an end of the tag");
        let tag = &rest[..end];
        let name = tag
            .trim_start_matches('/')
            .split_whitespace()
            .next()
            .unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
        } else if !VOID.contains(&name) {
            open.push(name.to_owned());
        }
        rest = &rest[end + 1..];
        // What a script or a style holds is no markup.
        if matches!(name, "script" | "style") && !tag.starts_with('/') {
            rest = &rest[rest.find("</").expect("an end of the element")..];
        }
    }
    open
}

#[test]
fn the_page_is_well_formed_and_says_what_ran() {
    let page = page(&sample::outcome());
    assert_eq!(open_elements(&page), Vec::<String>::new());
    for said in [
        "Passed",
        "9f86d081884c7d65",
        "ringside run failover --seed 7",
        "card0",
        "software",
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf\""));
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let page = page(&sample::outcome());
    for reference in ["http:", "https:", "src=", "href=", "@import", "//cdn"] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert!(include_str!("hover.js").lines().count() <= 30);
}

#[test]
fn a_failed_run_says_what_went_wrong() {
    let page = page(&sample::failed());
    assert!(page.contains("Failed"));
    assert!(page.contains("request 4711 called back twice"));
    assert!(page.contains("1 violation"));
}

#[test]
fn many_marks_stay_few_shapes() {
    let mut outcome = sample::outcome();
    let templates = outcome.marks.clone();
    for lap in 0..200_u64 {
        outcome
            .marks
            .extend(templates.iter().cloned().map(|mut mark| {
                mark.at += Span::from_ns(lap * 10);
                mark
            }));
    }
    outcome.marks.sort_by_key(|mark| mark.at);
    let page = page(&outcome);
    assert!(page.matches("class=\"blocked\"").count() < 3_000);
    assert!(page.matches("class=\"mark ").count() < 600);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn names_are_text_and_never_markup() {
    let mut outcome = sample::outcome();
    let name = "</script><script>alert(1)</script>";
    outcome.series[0].name = name.to_owned();
    outcome.summary.drivers[0].name = name.to_owned();
    outcome.summary.scenario = name.to_owned();
    for mark in &mut outcome.marks {
        mark.text = name.to_owned();
    }
    let page = page(&outcome);
    assert!(!page.contains("<script>alert"));
    assert_eq!(open_elements(&page), Vec::<String>::new());
}

#[test]
fn a_run_without_requests_has_a_page_without_plots() {
    let mut outcome = sample::outcome();
    outcome.summary.requests = 0;
    outcome.summary.elapsed_ps = 0;
    outcome.summary.drivers.clear();
    outcome.series.clear();
    outcome.marks.clear();
    let page = page(&outcome);
    assert!(page.contains("nothing to plot"));
    assert!(!page.contains("NaN"));
}

#[test]
fn odd_series_draw_without_nonsense() {
    for samples in [
        vec![Sample::default()],
        vec![
            Sample {
                requests: 1,
                ..Sample::default()
            };
            3
        ],
    ] {
        for step in [Span::ZERO, Span::from_ps(1), Span::from_ms(1)] {
            let mut outcome = sample::outcome();
            outcome.marks.retain(|mark| mark.kind == MarkKind::Unplug);
            for driver in &mut outcome.series {
                driver.step = step;
                driver.samples.clone_from(&samples);
            }
            outcome.series[1].samples.clear();
            let page = page(&outcome);
            assert!(!page.contains("NaN") && !page.contains("inf "), "{step:?}");
        }
    }
}

#[test]
fn a_detached_card_is_neither_blocked_nor_there_until_it_is_put_in() {
    let mut outcome = sample::outcome();
    outcome.marks.retain(|mark| mark.driver == "card1");
    outcome.marks.truncate(1);
    let mut mark = |us, kind| {
        let mut mark = outcome.marks[0].clone();
        (mark.at, mark.kind) = (Time::ZERO + Span::from_us(us), kind);
        outcome.marks.push(mark);
    };
    mark(1_000, MarkKind::Block);
    mark(1_100, MarkKind::Fault);
    mark(9_000, MarkKind::Plug);
    outcome.marks.remove(0);
    let page = page(&outcome);
    assert_eq!(page.matches("class=\"absent\"").count(), 1);
    let blocked = page.matches("card1 became blocked").count();
    assert!((1..=5).contains(&blocked), "{blocked} columns");
}

#[test]
fn a_failed_run_is_shown_enlarged_and_the_window_is_marked_in_every_plot() {
    let (scenario, outcome) = window::tests::run(window::tests::FLIPS);
    let replay = Replay {
        scenario: "single".to_owned(),
        seed: 3,
        input: None,
    };
    let whole = render(&scenario, &outcome, &replay);
    assert_eq!(open_elements(&whole), Vec::<String>::new());
    assert!(!whole.contains("NaN"));
    let large = whole.find("Where it went wrong").expect("the window");
    assert!(large < whole.find("Course over virtual time").expect("the course"));
    assert!(whole.contains("found by data right, "));
    let plots = whole.matches("<svg class=\"plot\"").count();
    assert!(plots >= 4, "{plots}");
    assert_eq!(whole.matches("<rect class=\"window\"").count(), plots);
    let request = window::of(&scenario, &outcome).and_then(|it| it.subject);
    let request = request.expect("a request");
    for said in ["dispatch of", "callback of"] {
        assert!(whole.contains(&format!("{said} {request}")), "{said}");
    }
    // Without events there is nothing to enlarge.
    let plain = page(&sample::failed());
    assert!(!plain.contains("Where it went wrong") && !plain.contains("class=\"window\""));
}
