//! Coverage pages, of a sweep in one piece and in shards, and of a single run.

use super::*;

#[test]
fn the_coverage_page_of_shards_put_together_is_that_of_the_sweep_in_one_piece() {
    let fault = "[[fault]]\nat_us = 5\npercent = 50\nlatch = { card = \"card0\", \
                 kind = \"corrupt-output\", nth = 9999 }\n";
    let file = scratch("cover.toml", &format!("{SMALL}{fault}"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let page = |name: &str| folder.join(format!("cover-{name}.html"));
    let line = |name: &str| folder.join(format!("cover-{name}.jsonl"));
    let sweep = |name: &str, extra: &[&str]| {
        let (page, line) = (page(name), line(name));
        let files = ["--coverage", text_of(&page), "--out", text_of(&line)];
        let what = ["sweep", text_of(&file), "--seeds", "3..11"];
        let output = ringside(&[&what[..], &files, extra].concat());
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        fs::read(&page).expect("a page")
    };
    let one = sweep("one", &["--jobs", "1"]);
    assert_eq!(sweep("two", &["--jobs", "2"]), one);
    let (first, second) = (
        sweep("a", &["--shard", "1/2"]),
        sweep("b", &["--shard", "2/2"]),
    );
    assert!(first != one && second != one);
    let (a, b, merged) = (line("a"), line("b"), page("merged"));
    let files = [
        "merge",
        text_of(&a),
        text_of(&b),
        "--coverage",
        text_of(&merged),
    ];
    let output = ringside(&files);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(fs::read(&merged).expect("a page"), one);
    // Shards that were run without it have nothing to show.
    let plain = folder.join("cover-plain.jsonl");
    let what = [
        "sweep",
        text_of(&file),
        "--seeds",
        "3..5",
        "--out",
        text_of(&plain),
    ];
    assert_eq!(status(&ringside(&what)), 0);
    let output = ringside(&["merge", text_of(&plain), "--coverage", text_of(&merged)]);
    assert_eq!(status(&output), 2);
    assert!(
        stderr(&output).contains("run without --coverage"),
        "{}",
        stderr(&output)
    );
    // A single run has a page as well.
    let single = page("single");
    let output = ringside(&["run", text_of(&file), "-q", "--coverage", text_of(&single)]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let single = fs::read_to_string(&single).expect("a page");
    assert!(single.contains("Coverage of small") && single.contains("Never visited"));
}
