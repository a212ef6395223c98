//! The `ringside` program from outside: exit status, what stands where, files that are written.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

#[path = "cli/coverage.rs"]
mod coverage;

/// A scenario that is over at once.
const SMALL: &str = r#"name = "small"
[[card]]
ring_entries = 8
[workload]
consumers = 2
pieces = 20
sizes = [{ bytes = 256 }]
suites = ["aes-128-gcm", "sha256"]
"#;

fn ringside(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringside"))
        .args(args)
        .env_remove("NO_COLOR")
        .output()
        .expect("the program starts")
}

#[track_caller]
fn status(output: &Output) -> i32 {
    output.status.code().expect("an exit, not a signal")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A file of its own for a test.
fn scratch(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("a scratch file");
    path
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_run_that_holds_exits_with_zero_and_says_how_to_replay_it() {
    let file = scratch("holds.toml", SMALL);
    let output = ringside(&["run", text_of(&file), "--seed", "7"]);
    assert_eq!(status(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("PASSED  small, seed 7"), "{text}");
    assert!(
        text.contains(&format!("ringside run {} --seed 7", file.display())),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}'),
        "no colour without a terminal: {text}"
    );
}

#[test]
fn a_run_that_does_not_hold_exits_with_one() {
    let text = format!("{SMALL}[expect]\nunplugs = {{ at_least = 1 }}\n");
    let file = scratch("broken.toml", &text);
    let output = ringside(&["run", text_of(&file), "--quiet"]);
    assert_eq!(status(&output), 1, "{}", stderr(&output));
    assert!(
        stdout(&output).starts_with("FAILED  small, seed 1"),
        "{}",
        stdout(&output)
    );
    assert_eq!(stdout(&output).lines().count(), 1);
}

#[test]
fn a_mistake_in_a_scenario_exits_with_two_and_is_pointed_at() {
    let file = scratch("mistake.toml", &SMALL.replace("consumers", "consumer"));
    let output = ringside(&["run", text_of(&file)]);
    assert_eq!(status(&output), 2);
    let text = stderr(&output);
    assert!(text.starts_with("error: unknown key `consumer`"), "{text}");
    assert!(text.contains("mistake.toml:5:1"), "{text}");
    assert!(text.contains("did you mean `consumers`?"), "{text}");
    assert!(stdout(&output).is_empty());
}

#[test]
fn whatever_keeps_a_run_from_beginning_exits_with_two() {
    let file = scratch("well.toml", SMALL);
    let well = text_of(&file);
    for (args, said) in [
        (&["run", "failovr"][..], "did you mean `failover`?"),
        (
            &["run", "no/such.toml"],
            "cannot read scenario no/such.toml",
        ),
        (
            &["run", well, "--input", "no/such/input"],
            "cannot read no/such/input",
        ),
        (
            &["run", well, "--report", "no/such/folder/x.html"],
            "cannot write no/such/folder",
        ),
        (
            &["run", well, "--report", "x", "--trace", "x"],
            "two options name x",
        ),
        (
            &["run", well, "--waves", "x.vcd", "--trace", "x.vcd"],
            "two options name x.vcd",
        ),
        (
            &["run", well, "--waves", "x.json"],
            "--waves x.json: the name of the file ends in .vcd or .fst",
        ),
        (&["run", well, "--seed", "x"], "invalid value 'x'"),
        (&["run", well, "--sed", "1"], "--seed"),
        (&["run"], "Usage"),
        (&[], "Usage"),
    ] {
        let output = ringside(args);
        assert_eq!(status(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(said),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn machines_get_one_json_object() {
    let file = scratch("json.toml", SMALL);
    let output = ringside(&["run", text_of(&file), "--json"]);
    let object: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(object["passed"], true, "{object}");
    assert_eq!(object["seed"], 1);
    assert_eq!(object["violations"], Value::Array(Vec::new()));
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn the_same_seed_gives_the_same_digest_and_another_seed_another() {
    let file = scratch("replay.toml", SMALL);
    let digest = |seed: &str| {
        let output = ringside(&["run", text_of(&file), "--json", "--seed", seed]);
        let object: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        object["digest"].as_str().expect("a digest").to_owned()
    };
    assert_eq!(digest("3"), digest("3"));
    assert_ne!(digest("3"), digest("4"));
}

#[test]
fn report_and_trace_are_written() {
    let file = scratch("written.toml", SMALL);
    let page = scratch("written.html", "");
    let trace = scratch("written.json", "");
    let waves = scratch("written.vcd", "");
    let files = ["--report", text_of(&page), "--trace", text_of(&trace)];
    let waved = ["--waves", text_of(&waves)];
    let output = ringside(&[&["run", text_of(&file)][..], &files, &waved].concat());
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let waves = fs::read_to_string(waves).expect("waveforms");
    assert!(waves.contains("$enddefinitions") && waves.contains("$timescale 1 ps"));
    let page = fs::read_to_string(page).expect("a page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    let trace: Value = serde_json::from_slice(&fs::read(trace).expect("a trace")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    let count = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
    assert!(
        count("s") >= 40 && count("s") == count("f"),
        "a flow for each request"
    );
    assert_eq!(count("B"), count("E"));
}

#[test]
fn empty_input_is_a_run_of_nothing() {
    let file = scratch("empty.toml", &SMALL.replace("pieces = 20\n", ""));
    let input = scratch("empty.bin", "");
    let output = ringside(&["run", text_of(&file), "--input", text_of(&input)]);
    let text = stdout(&output);
    assert_eq!(status(&output), 0, "{text}{}", stderr(&output));
    assert!(text.contains("0 called back"), "{text}");
    assert!(!text.contains("NaN"), "{text}");
}

#[test]
fn colour_can_be_asked_for() {
    let file = scratch("colour.toml", SMALL);
    let args = ["run", text_of(&file), "--quiet", "--color"];
    let output = ringside(&[&args[..], &["always"]].concat());
    assert!(
        stdout(&output).contains("\u{1b}[1;32mPASSED"),
        "{}",
        stdout(&output)
    );
    let output = ringside(&[&args[..], &["never"]].concat());
    assert!(!stdout(&output).contains('\u{1b}'));
}

#[test]
fn the_list_and_the_help_say_what_there_is() {
    let list = ringside(&["list"]);
    assert_eq!(status(&list), 0);
    for name in [
        "failover",
        "failover-brief",
        "backpressure",
        "single",
        "migrate-under-load",
        "unplug-storm",
        "errata",
        "swarm",
    ] {
        assert!(stdout(&list).contains(name), "{name}");
    }
    let json: Value = serde_json::from_slice(&ringside(&["list", "--json"]).stdout).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(8));
    for args in [&["--help"][..], &["run", "--help"]] {
        let help = ringside(args);
        assert_eq!(status(&help), 0);
        assert!(stdout(&help).contains("Exit status:"), "{}", stdout(&help));
    }
}

#[test]
fn a_card_is_served_on_a_socket_until_its_process_ends() {
    let socket = Path::new(env!("CARGO_TARGET_TMPDIR")).join("served.sock");
    let _ = fs::remove_file(&socket);
    let mut server = Command::new(env!("CARGO_BIN_EXE_ringside"))
        .args(["serve", "vfio-user", "--socket", text_of(&socket)])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let told = BufReader::new(server.stdout.take().expect("its output")).read_line(&mut line);
    assert!(told.is_ok());
    assert_eq!(line, format!("reference on {}\n", socket.display()));
    let second = ringside(&["serve", "vfio-user", "--socket", text_of(&socket)]);
    assert_eq!(status(&second), 2);
    let complaint = stderr(&second);
    assert!(
        complaint.contains("another server listens there"),
        "{complaint}"
    );
    server.kill().expect("it runs");
    server.wait().expect("it ends");
    let nowhere = ringside(&["serve", "vfio-user", "--socket", "/no/such/folder/socket"]);
    assert_eq!(status(&nowhere), 2);
    let complaint = stderr(&nowhere);
    assert!(
        complaint.contains("cannot listen on /no/such/folder/socket"),
        "{complaint}"
    );
}

#[test]
fn the_whole_stack_is_checked_over_a_socket_and_without_a_card_there_is_no_check() {
    let socket = Path::new(env!("CARGO_TARGET_TMPDIR")).join("checked.sock");
    let _ = fs::remove_file(&socket);
    let nobody = ringside(&["guest-check", "--socket", text_of(&socket)]);
    assert_eq!(status(&nobody), 2);
    assert!(
        stderr(&nobody).contains("cannot connect"),
        "{}",
        stderr(&nobody)
    );
    // With vectors, and with nothing but the interrupt line.
    for more in [&[][..], &["--no-msix"]] {
        let mut server = Command::new(env!("CARGO_BIN_EXE_ringside"))
            .args(["serve", "vfio-user", "--socket", text_of(&socket)])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let told = BufReader::new(server.stdout.take().expect("its output")).read_line(&mut line);
        assert!(told.is_ok());
        let checked = ringside(&["guest-check", "--json", "--socket", text_of(&socket)]);
        server.kill().expect("it runs");
        server.wait().expect("it ends");
        let text = stdout(&checked);
        assert_eq!(status(&checked), 0, "{text}{}", stderr(&checked));
        let last = text.lines().last().expect("a verdict");
        let verdict: Value = serde_json::from_str(last).expect("JSON");
        assert_eq!(verdict["verdict"], "passed");
        assert_eq!(verdict["checks"], 12);
    }
}

/// A scenario whose card flips a bit, among much that does not matter.
fn broken() -> String {
    format!(
        "{SMALL}tampered_percent = 20\n[[fault]]\nafter_requests = 3\nrebalance = true\n\
         [[fault]]\nat_us = 1\nlatch = {{ card = \"card0\", kind = \"corrupt-output\", nth = 4 }}\n"
    )
}

#[test]
fn a_failing_seed_becomes_a_short_file_that_fails_again_to_the_bit() {
    let file = scratch("shrinks.toml", &broken());
    let replay = scratch("shrunk.toml", "");
    let output = ringside(&[
        "shrink",
        text_of(&file),
        "--seed",
        "9",
        "--out",
        text_of(&replay),
    ]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let text = fs::read_to_string(&replay).expect("a replay");
    assert!(text.lines().count() <= 30, "{text}");
    assert!(text.contains("pieces = 1\n"), "{text}");
    assert_eq!(text.matches("[[fault]]").count(), 1, "{text}");

    let output = ringside(&["replay", text_of(&replay)]);
    assert_eq!(status(&output), 0, "{}", stdout(&output));
    assert!(stdout(&output).contains("SAME   to the bit"), "{output:?}");
    let story = stdout(&ringside(&["explain", text_of(&replay)]));
    for part in ["dispatches it", "posts it", "FOUND by `data right`"] {
        assert!(story.contains(part), "{story}");
    }

    let other = text.replacen("digest = \"", "digest = \"0", 1);
    let at = other.find("digest = \"").expect("a digest") + 27;
    let other = scratch("other.toml", &(other[..at - 1].to_owned() + &other[at..]));
    let output = ringside(&["replay", text_of(&other)]);
    assert_eq!(status(&output), 1, "{output:?}");
    assert!(stdout(&output).contains("OTHER"), "{output:?}");
    let healed = text.replacen("corrupt-output", "drop-completion", 1);
    let healed = scratch("healed.toml", &healed);
    let output = ringside(&["replay", text_of(&healed)]);
    assert_eq!(status(&output), 1, "{output:?}");
    assert!(stdout(&output).contains("GONE"), "{output:?}");
}

#[test]
fn a_sweep_finds_the_seeds_that_fail_goes_on_and_is_merged() {
    let file = scratch("sweeps.toml", &broken());
    let sweep = |out: &Path, more: &[&str]| {
        let args = [
            "sweep",
            text_of(&file),
            "--seeds",
            "0..12",
            "--out",
            text_of(out),
        ];
        ringside(&[&args, more].concat())
    };
    let whole = scratch("whole.jsonl", "");
    let xml = scratch("whole.xml", "");
    let output = sweep(&whole, &["--jobs", "2", "--junit", text_of(&xml)]);
    assert_eq!(status(&output), 1, "{output:?}");
    assert!(
        stdout(&output).contains("failed: data right: "),
        "{output:?}"
    );
    let text = fs::read_to_string(&whole).expect("results");
    assert_eq!(text.lines().count(), 13);
    let xml = fs::read_to_string(&xml).expect("results for CI");
    assert!(xml.contains("tests=\"12\""), "{xml}");

    let part = scratch("part.jsonl", &text[..text.len() / 2]);
    assert_eq!(status(&sweep(&part, &["--resume"])), 1);
    assert_eq!(fs::read_to_string(&part).expect("results"), text);
    let output = sweep(&part, &["--resume", "--pieces", "3"]);
    assert_eq!(status(&output), 2, "{output:?}");
    assert!(stderr(&output).contains("another sweep"), "{output:?}");

    let shards = ["1/2", "2/2"].map(|shard| {
        let out = scratch(&format!("shard{}.jsonl", &shard[..1]), "");
        assert!(status(&sweep(&out, &["--shard", shard])) < 2);
        out
    });
    let merged = scratch("merged.jsonl", "");
    let merge = |files: &[&str]| ringside(&[&["merge", "--out", text_of(&merged)], files].concat());
    assert_eq!(
        status(&merge(&[text_of(&shards[1]), text_of(&shards[0])])),
        1
    );
    assert_eq!(fs::read_to_string(&merged).expect("results"), text);
    let output = merge(&[text_of(&shards[1])]);
    assert_eq!(status(&output), 2);
    assert!(
        stderr(&output).contains("missing of 2: shard 1"),
        "{output:?}"
    );
}

#[test]
fn a_sweep_without_failures_exits_with_zero_and_bad_ranges_are_refused() {
    let file = scratch("sound.toml", SMALL);
    let output = ringside(&["sweep", text_of(&file), "--seeds", "3..6", "--fail-fast"]);
    assert_eq!(status(&output), 0, "{output:?}");
    assert!(
        stdout(&output).contains("0 of 3 seeds failed"),
        "{output:?}"
    );
    for (option, value) in [
        ("--seeds", "6..3"),
        ("--seeds", "6"),
        ("--shard", "0/4"),
        ("--shard", "5/4"),
        ("--jobs", "0"),
    ] {
        let output = ringside(&["sweep", text_of(&file), option, value]);
        assert_eq!(status(&output), 2, "{output:?}");
        assert!(stderr(&output).contains(value), "{output:?}");
    }
    let output = ringside(&["shrink", text_of(&file), "--seed", "3"]);
    assert_eq!(status(&output), 2, "{output:?}");
    assert!(stderr(&output).contains("nothing to shrink"), "{output:?}");
}

/// The blocks of the book's page about failures that are TOML.
fn blocks_of_the_book() -> Vec<&'static str> {
    let page = include_str!("../../docs/failures.md");
    let blocks = page.split("```toml\n").skip(1);
    blocks
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect()
}

#[test]
fn the_replay_file_in_the_book_still_fails_as_the_book_says() {
    let blocks = blocks_of_the_book();
    let replay = scratch("book.toml", blocks[0]);
    let output = ringside(&["replay", text_of(&replay)]);
    let text = stdout(&output);
    // The digest in the book is that of the day it was written.
    assert!(
        text.contains("SAME ") || text.contains("OTHER "),
        "{output:?}"
    );
    let story = stdout(&ringside(&["explain", text_of(&replay)]));
    for part in [
        "posts it in slot 0",
        "writes its completion: Success",
        "FOUND by `data right`",
    ] {
        assert!(story.contains(part), "{story}");
    }
}

#[test]
fn the_rule_in_the_book_strikes_and_the_driver_survives_it() {
    let rule = blocks_of_the_book()[1];
    let file = scratch(
        "book-rule.toml",
        &SMALL.replace("pieces = 20", "pieces = 200"),
    );
    let text = fs::read_to_string(&file).expect("a scenario") + rule;
    fs::write(&file, text).expect("a scratch file");
    let output = ringside(&["run", text_of(&file)]);
    assert_eq!(status(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let unread = fs::read_to_string(&file).expect("a scenario");
    fs::write(&file, unread.replace("nth = 3", "nth = 300_000")).expect("a scratch file");
    let output = ringside(&["run", text_of(&file)]);
    assert_eq!(status(&output), 1, "{}", stdout(&output));
    assert!(
        stdout(&output).contains("struck no interrupt of card0"),
        "{output:?}"
    );
}

#[test]
fn a_run_of_the_project_s_source_that_fails_can_be_shrunk_by_its_seed() {
    let output = ringside(&["shrink", "failover"]);
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("--seed"), "{output:?}");
    let file = scratch("largest-seed.toml", &broken());
    let largest = u64::MAX.to_string();
    let text = stdout(&ringside(&[
        "shrink",
        text_of(&file),
        "--seed",
        &largest,
        "--budget",
        "0",
    ]));
    assert!(text.contains(&format!("seed = \"{largest}\"")), "{text}");
    let replay = scratch("largest-seed-replay.toml", &text);
    assert_eq!(status(&ringside(&["replay", text_of(&replay)])), 0);
}

#[test]
fn a_run_is_looked_at_by_orders_on_the_command_line_and_on_standard_input() {
    let orders = ["-c", "until card0 completed", "-c", "print card0"];
    let run = ["debug", "failover-brief", "--seed", "5"];
    let output = ringside(&[&run[..], &orders].concat());
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let told = stdout(&output);
    assert!(told.contains("card0 card completed ring="), "{told}");
    assert!(told.contains("counters of its driver"), "{told}");
    // What is no order ends a script, and is only told to whoever types.
    let output = ringside(&[&run[..], &["-c", "jump"]].concat());
    assert_eq!(status(&output), 2);
    assert!(
        stderr(&output).contains("`jump` is no order"),
        "{}",
        stderr(&output)
    );
    let mut typed = Command::new(env!("CARGO_BIN_EXE_ringside"))
        .args(run)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = typed.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"step 3\njump\n\nwhere\nquit\nstep\n")
        .expect("a reader");
    drop(stdin);
    let output = typed.wait_with_output().expect("an end");
    assert_eq!(status(&output), 0);
    assert!(
        stderr(&output).contains("`jump` is no order"),
        "{}",
        stderr(&output)
    );
    // The empty line is the last order again.
    let numbers: Vec<_> = stdout(&output)
        .lines()
        .filter_map(|line| {
            line.strip_prefix('>')?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .collect::<Vec<u32>>();
    assert_eq!(numbers, [3, 6, 6]);
}
