//! The house rules that a machine can check, over every file of the workspace.
//!
//! Each rule takes text and returns findings, and sits in `tidy/` beside the tests that prove that
//! it can fail. Here each rule is held against the workspace itself. Not checked here: what the
//! compiler, rustfmt and clippy check.

#[path = "tidy/lexer.rs"]
mod lexer;
#[path = "tidy/manifest.rs"]
mod manifest;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tree.rs"]
mod tree;

use tree::{Finding, Tree};

/// Extensions of what may carry a marker.
const WRITTEN: [&str; 5] = ["rs", "toml", "md", "sh", "yml"];

#[track_caller]
fn assert_none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} findings:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn the_walk_sees_the_workspace() {
    let tree = Tree::read();
    for path in ["Cargo.toml", "tests/tidy.rs", "dma/src/pool.rs", "docs"] {
        assert!(tree.paths.contains(path), "{path}");
    }
    assert!(!tree.paths.iter().any(|path| path.starts_with("target")));
}

#[test]
fn functions_are_short() {
    assert_none(&Tree::read().check("rs", source::short_functions));
}

#[test]
fn files_are_short() {
    assert_none(&Tree::read().check("rs", source::short_files));
}

#[test]
fn lines_are_narrow() {
    assert_none(&Tree::read().check("rs", source::narrow_lines));
}

#[test]
fn nothing_is_marked_as_unfinished() {
    let tree = Tree::read();
    let written = WRITTEN.map(|extension| tree.check(extension, source::no_markers));
    assert_none(&written.concat());
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    let tree = Tree::read();
    let named = tree.files.iter().flat_map(source::no_machine_paths);
    assert_none(&named.collect::<Vec<_>>());
}

#[test]
fn lints_are_expected_not_allowed() {
    assert_none(&Tree::read().check("rs", source::no_allow));
}

#[test]
fn unsafe_has_an_address_and_an_argument() {
    assert_none(&Tree::read().check("rs", source::unsafe_at_its_address));
}

#[test]
fn modules_open_with_what_they_own() {
    assert_none(&Tree::read().check("rs", source::opens_with_docs));
}

#[test]
fn tests_are_sentences() {
    assert_none(&Tree::read().check("rs", source::no_test_prefix));
}

#[test]
fn crates_know_only_what_the_architecture_says() {
    assert_none(&Tree::read().check("toml", manifest::arrows));
}

#[test]
fn the_architecture_draws_the_arrows() {
    let tree = Tree::read();
    let page = tree.file("docs/architecture.md").expect("the architecture");
    assert_none(&manifest::drawn_arrows(page));
}

#[test]
fn chance_and_crypto_families_stay_where_they_belong() {
    assert_none(&Tree::read().check("toml", manifest::reserved_crates));
}

#[test]
fn manifests_are_complete() {
    assert_none(&Tree::read().check("toml", manifest::complete_manifests));
}

#[test]
fn links_lead_somewhere() {
    assert_none(&pages::links_resolve(&Tree::read()));
}

#[test]
fn paths_named_in_pages_exist() {
    assert_none(&pages::named_paths_exist(&Tree::read()));
}

#[test]
fn the_book_lists_every_page() {
    assert_none(&pages::summary_lists_pages(&Tree::read()));
}

#[test]
fn readme_names_every_folder() {
    assert_none(&pages::readme_lists_folders(&Tree::read()));
}

#[test]
fn the_change_log_is_open() {
    assert_none(&pages::changelog_has_unreleased(&Tree::read()));
}
