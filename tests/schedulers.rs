//! Sweeps on the schedulers that others wrote: what their shards find is what one big run finds.
//!
//! Slurm and GNU parallel come from the distribution's packages, so their tests run only when they
//! are asked for, as `./test` does where the packages can be had and the user is root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tests::program;

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const SEEDS: &str = "0..60";

/// A folder for one test, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// What the packages of both schedulers would bring, fetched once.
fn packages() -> &'static Path {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("schedulers");
        let fetch = Command::new(format!("{HERE}/schedulers/fetch"))
            .arg(&folder)
            .output()
            .expect("a shell");
        assert!(fetch.status.success(), "{}", text(&fetch.stderr));
        folder
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(command: &mut Command) -> Output {
    command.output().expect("a program that runs")
}

/// A scenario in `folder` of which some seeds fail: a card flips a bit in one of its last results.
fn sometimes_wrong(folder: &Path) -> PathBuf {
    let brief = fs::read_to_string(format!("{HERE}/../sim/scenarios/failover-brief.toml"));
    let fault = "\n[[fault]]\nat_us = 2\n\
                 latch = { card = \"card1\", kind = \"corrupt-output\", nth = 60 }\n";
    let file = folder.join("sometimes-wrong.toml");
    fs::write(&file, brief.expect("a scenario") + fault).expect("a disk");
    file
}

/// The file of one big sweep, and its status.
fn one_big_run(folder: &Path, scenario: &Path) -> (Vec<u8>, Option<i32>) {
    let file = folder.join("big.jsonl");
    let mut sweep = Command::new(program());
    sweep
        .arg("sweep")
        .arg(scenario)
        .args(["--seeds", SEEDS, "--out"]);
    let output = run(sweep.arg(&file));
    (fs::read(file).expect("results"), output.status.code())
}

/// Runs what is added to it in `folder`, where both schedulers are.
fn one_node(folder: &Path) -> Command {
    let mut command = Command::new(format!("{HERE}/schedulers/one_node"));
    command.arg(packages()).arg(folder.join("node"));
    command.env("RINGSIDE", program()).current_dir(folder);
    command
}

#[test]
#[ignore = "fetches Slurm, and needs root"]
fn an_array_of_jobs_finds_what_one_big_run_finds() {
    let folder = folder("slurm");
    for (scenario, status) in [
        (PathBuf::from("failover-brief"), 0),
        (sometimes_wrong(&folder), 1),
    ] {
        let mut slurm = one_node(&folder);
        slurm.args(["sbatch", "--wait", "--array=1-3"]);
        slurm.arg(format!("{HERE}/../sim/sweep/slurm"));
        let output = run(slurm.arg(&scenario).args(["--seeds", SEEDS]));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains("Submitted batch job"), "{said}");

        let mut merge = Command::new(program());
        merge
            .current_dir(&folder)
            .args(["merge", "--out", "merged.jsonl"]);
        merge.args((1..=3).map(|shard| format!("sweep-{shard}.jsonl")));
        let merged = run(&mut merge);
        assert_eq!(
            merged.status.code(),
            Some(status),
            "{}",
            text(&merged.stderr)
        );
        let (big, big_status) = one_big_run(&folder, &scenario);
        assert_eq!(big_status, Some(status));
        assert!(fs::read(folder.join("merged.jsonl")).expect("results") == big);
        for shard in 1..=3 {
            fs::remove_file(folder.join(format!("sweep-{shard}.jsonl"))).expect("a shard");
        }
    }
}

#[test]
#[ignore = "fetches GNU parallel, and needs root"]
fn gnu_parallel_finds_what_one_big_run_finds_and_goes_on_where_it_was() {
    let folder = folder("parallel");
    let sweep = |shards: &str, scenario: &Path| {
        let mut parallel = one_node(&folder);
        parallel.arg(format!("{HERE}/../sim/sweep/parallel"));
        parallel.arg(shards).arg(scenario).args(["--seeds", SEEDS]);
        run(parallel.env("HOME", &folder))
    };
    for (scenario, status) in [
        (PathBuf::from("failover-brief"), 0),
        (sometimes_wrong(&folder), 1),
    ] {
        let output = sweep("4", &scenario);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{said}");
        let (big, big_status) = one_big_run(&folder, &scenario);
        assert_eq!(big_status, Some(status));
        assert!(fs::read(folder.join("sweep.jsonl")).expect("results") == big);

        // An interruption: a shard is gone, another ends in the middle of a line.
        fs::remove_file(folder.join("sweep-2.jsonl")).expect("a shard");
        let third = fs::read(folder.join("sweep-3.jsonl")).expect("a shard");
        fs::write(folder.join("sweep-3.jsonl"), &third[..third.len() - 9]).expect("a disk");
        assert_eq!(sweep("4", &scenario).status.code(), Some(status));
        assert!(fs::read(folder.join("sweep.jsonl")).expect("results") == big);
        for shard in 1..=4 {
            fs::remove_file(folder.join(format!("sweep-{shard}.jsonl"))).expect("a shard");
        }
    }
}

/// The lines of the book's matrix that are run, by the word before them.
fn matrix_lines() -> Vec<String> {
    let page = fs::read_to_string(format!("{HERE}/../docs/failures.md")).expect("a page");
    let matrix = page.split("```yaml\n").nth(1).expect("a matrix");
    let matrix = matrix.split("```").next().expect("an end");
    let lines = matrix.lines().map(str::trim);
    let runs = lines.filter_map(|line| line.trim_start_matches("- ").strip_prefix("run: "));
    runs.map(str::to_owned).collect()
}

#[test]
fn the_matrix_in_the_book_finds_what_one_big_run_finds() {
    let folder = folder("matrix");
    let lines = matrix_lines();
    let [shard, merge] = &lines[..] else {
        panic!("two commands: {lines:?}");
    };
    let shell = |line: &str| {
        let name = program().to_str().expect("text");
        let line = line.replacen("ringside", name, 1);
        let line = line.replace("0..100000", SEEDS);
        run(Command::new("sh").args(["-c", &line]).current_dir(&folder))
    };
    for number in 1..=4 {
        let line = shard.replace("${{ matrix.shard }}", &number.to_string());
        assert!(!line.contains("${{"), "{line}");
        let output = shell(&line);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{line}: {}",
            text(&output.stderr)
        );
        let cases = fs::read_to_string(folder.join(format!("sweep-{number}.xml")));
        assert!(cases.expect("JUnit").contains("<testcase"));
    }
    let output = shell(merge);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let (big, _) = one_big_run(&folder, Path::new("failover-brief"));
    assert!(fs::read(folder.join("all.jsonl")).expect("results") == big);
}
