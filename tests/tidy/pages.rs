//! Rules for what people read: README, change log and the pages of the book.

use std::collections::BTreeSet;

use crate::tree::{File, Finding, Tree};

/// Lines of a page outside fenced code, with their numbers.
fn prose(file: &File) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// Text between backticks in `line`.
fn code_spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// Targets of the links in `line`, outside code.
fn links(line: &str) -> Vec<String> {
    let text: String = line.split('`').step_by(2).collect();
    let targets = text.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// `target` as seen from `folder`; `None` if it leaves the workspace.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Names under which the headings of a page can be linked to.
fn anchors(file: &File) -> BTreeSet<String> {
    let headings = prose(file).into_iter().filter_map(|(_, line)| {
        let text = line.trim_start_matches('#');
        (text.len() < line.len() && text.starts_with(' ')).then_some(text.trim())
    });
    headings.map(anchor).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|&c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    let joined: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
    joined.to_lowercase()
}

/// Every relative link leads to a file, and to a heading of it; pages of the book link inside it.
pub(crate) fn links_resolve(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension("md")) {
        for (line, text) in prose(file) {
            for target in links(text) {
                if let Err(message) = follow(tree, file, &target) {
                    findings.push(file.finding(line, message));
                }
            }
        }
    }
    findings
}

fn follow(tree: &Tree, from: &File, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() {
        Some(from.path.clone())
    } else {
        resolve(from.folder(), path)
    };
    let path = path.filter(|path| tree.paths.contains(path));
    let Some(path) = path else {
        return Err(format!("link to {target} leads nowhere"));
    };
    if from.folder() == "docs" && !path.starts_with("docs/") {
        return Err(format!("link to {target} leaves the book"));
    }
    let known = tree.file(&path).map(anchors).unwrap_or_default();
    if heading.is_empty() || known.contains(heading) {
        Ok(())
    } else {
        Err(format!("{path} has no heading for #{heading}"))
    }
}

/// What a page names by its path exists: `folder/file` in code, from a top folder on.
pub(crate) fn named_paths_exist(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension("md")) {
        for (line, text) in prose(file) {
            for span in code_spans(text) {
                let path = span.split("::").next().unwrap_or(span);
                let path = path.trim_end_matches('/');
                let (top, _) = span.split_once('/').unwrap_or_default();
                let is_path = tree.top_folders.contains(top) && !path.contains([' ', '<', '*']);
                if is_path && !tree.paths.contains(path) {
                    findings.push(file.finding(line, format!("{path} does not exist")));
                }
            }
        }
    }
    findings
}

/// The table of contents lists every page of the book.
pub(crate) fn summary_lists_pages(tree: &Tree) -> Vec<Finding> {
    let Some(summary) = tree.file("docs/SUMMARY.md") else {
        return vec![File::default().finding(0, "no docs/SUMMARY.md")];
    };
    let listed: BTreeSet<String> = summary.text.lines().flat_map(links).collect();
    let pages = tree.files.iter().filter_map(|file| {
        let page = file.path.strip_prefix("docs/")?;
        (page.ends_with(".md") && page != "SUMMARY.md").then_some(page)
    });
    pages
        .filter(|&page| !listed.contains(page))
        .map(|page| summary.finding(1, format!("{page} is not listed")))
        .collect()
}

/// README names every folder at the top, and every member of the workspace.
pub(crate) fn readme_lists_folders(tree: &Tree) -> Vec<Finding> {
    let Some(readme) = tree.file("README.md") else {
        return vec![File::default().finding(0, "no README.md")];
    };
    let spans: BTreeSet<&str> = readme.text.lines().flat_map(code_spans).collect();
    let named: BTreeSet<&str> = spans
        .iter()
        .map(|span| span.trim_end_matches('/'))
        .collect();
    let members = tree.files.iter().filter_map(|file| {
        let folder = file.path.strip_suffix("/Cargo.toml")?;
        Some(folder.to_owned())
    });
    let folders: BTreeSet<String> = members.chain(tree.top_folders.iter().cloned()).collect();
    folders
        .into_iter()
        .filter(|folder| !named.contains(folder.as_str()))
        .map(|folder| readme.finding(1, format!("folder {folder} is not named")))
        .collect()
}

/// The change log has a section for what is not released yet, above all others.
pub(crate) fn changelog_has_unreleased(tree: &Tree) -> Vec<Finding> {
    let Some(log) = tree.file("CHANGELOG.md") else {
        return vec![File::default().finding(0, "no CHANGELOG.md")];
    };
    let first = log.text.lines().find(|line| line.starts_with("## "));
    if first.is_some_and(|line| line.starts_with("## [Unreleased]")) {
        return Vec::new();
    }
    vec![log.finding(1, "the first section is not [Unreleased]")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for &(path, text) in files {
            for (at, _) in path.match_indices('/') {
                tree.paths.insert(path[..at].to_owned());
            }
            if let Some((top, _)) = path.split_once('/') {
                tree.top_folders.insert(top.to_owned());
            }
            tree.paths.insert(path.to_owned());
            tree.files.push(File::new(path, text));
        }
        tree
    }

    fn messages(findings: Vec<Finding>) -> Vec<String> {
        findings.into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let page = "[a](b.md) [b](#two-words) [c](../README.md#x)\n## Two words\n\
                    `[no](link)` [web](https://example.org/a)\n```\n[no](link)\n```\n[d](gone.md)";
        let tree = tree(&[("docs/a.md", page), ("docs/b.md", ""), ("README.md", "")]);
        assert_eq!(
            messages(links_resolve(&tree)),
            [
                "link to ../README.md#x leaves the book",
                "link to gone.md leads nowhere"
            ]
        );
    }

    #[test]
    fn a_link_to_a_heading_that_is_gone_is_found() {
        let tree = tree(&[("README.md", "[a](a.md#was) [b](#x)"), ("a.md", "# Is\n")]);
        assert_eq!(
            messages(links_resolve(&tree)),
            [
                "a.md has no heading for #was",
                "README.md has no heading for #x"
            ]
        );
    }

    #[test]
    fn a_link_out_of_the_workspace_is_found() {
        let tree = tree(&[("README.md", "[a](../a.md)")]);
        assert_eq!(
            messages(links_resolve(&tree)),
            ["link to ../a.md leads nowhere"]
        );
    }

    #[test]
    fn a_named_path_that_does_not_exist_is_found() {
        let page = "`sim/src/a.rs` `sim/` `sim/src/b.rs::f` `and/or` `sim/<name>.rs`";
        let tree = tree(&[("README.md", page), ("sim/src/a.rs", "")]);
        assert_eq!(
            messages(named_paths_exist(&tree)),
            ["sim/src/b.rs does not exist"]
        );
    }

    #[test]
    fn a_page_that_is_not_listed_is_found() {
        let files = [
            ("docs/SUMMARY.md", "[a](a.md)"),
            ("docs/a.md", ""),
            ("docs/b.md", ""),
        ];
        let found = messages(summary_lists_pages(&tree(&files)));
        assert_eq!(found, ["b.md is not listed"]);
        assert_eq!(summary_lists_pages(&tree(&[])).len(), 1);
    }

    #[test]
    fn a_folder_that_readme_does_not_name_is_found() {
        let files = [
            ("README.md", "`sim/` and `card`"),
            ("sim/src/a.rs", ""),
            ("card/Cargo.toml", ""),
            ("card/inner/Cargo.toml", ""),
            ("tests/a.rs", ""),
        ];
        assert_eq!(
            messages(readme_lists_folders(&tree(&files))),
            [
                "folder card/inner is not named",
                "folder tests is not named"
            ]
        );
        assert_eq!(readme_lists_folders(&tree(&[])).len(), 1);
    }

    #[test]
    fn a_change_log_without_an_open_section_is_found() {
        let rule = changelog_has_unreleased;
        let open = "# Changes\n## [Unreleased]\n## [0.1.0]\n";
        assert!(rule(&tree(&[("CHANGELOG.md", open)])).is_empty());
        assert_eq!(rule(&tree(&[("CHANGELOG.md", "## [0.1.0]\n")])).len(), 1);
        assert_eq!(rule(&tree(&[])).len(), 1);
    }
}
