//! Rules for one file of Rust, and for any text a person writes.
//!
//! Each rule takes a file and returns what it found; none knows the workspace.

use crate::lexer::{closing, code_of, functions, is_word, line_of, word_after, words};
use crate::tree::{File, Finding};

/// Most lines of a function, signature and braces included.
pub(crate) const FUNCTION_LINES: usize = 70;
/// Most lines of a file without its unit tests.
pub(crate) const FILE_LINES: usize = 600;
/// Most columns of a line.
pub(crate) const COLUMNS: usize = 100;

/// Folders and files whose code may be unsafe; `docs/architecture.md` says why each.
const UNSAFE_ADDRESSES: [&str; 4] = [
    "capi/src/",
    "dma/src/",
    "driver/src/transport/vfio.rs",
    "tests/steady_state.rs",
];

/// Words that mark unfinished work. Spelt in halves, so that this file does not find itself.
const MARKERS: [&str; 3] = [
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
];

/// Beginnings of paths that exist on one machine only, spelt in halves for the same reason.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/tm", "p/"),
];

/// Functions stay under a bound that fits a screen.
pub(crate) fn short_functions(file: &File) -> Vec<Finding> {
    let long = functions(&code_of(&file.text));
    let long = long.into_iter().filter(|f| f.lines() > FUNCTION_LINES);
    long.map(|f| {
        let message = format!(
            "function {} has {} lines, at most {FUNCTION_LINES}",
            f.name,
            f.lines()
        );
        file.finding(f.first_line, message)
    })
    .collect()
}

/// Files stay under a bound, their unit tests not counted.
pub(crate) fn short_files(file: &File) -> Vec<Finding> {
    if file.path.ends_with("/tests.rs") {
        return Vec::new();
    }
    let code = code_of(&file.text);
    let all = file.text.lines().count();
    let lines = all - lines_of_tests(&code);
    if lines <= FILE_LINES {
        return Vec::new();
    }
    let message = format!("{lines} lines without tests, at most {FILE_LINES}");
    vec![file.finding(1, message)]
}

/// Lines of the modules that exist in test builds only.
fn lines_of_tests(code: &[char]) -> usize {
    let mark: Vec<char> = "#[cfg(test)]".chars().collect();
    let mut lines = 0;
    let mut at = 0;
    while at + mark.len() <= code.len() {
        if !code[at..].starts_with(&mark) {
            at += 1;
            continue;
        }
        let item: String = code[at + mark.len()..].iter().take(400).collect();
        let is_module = item.trim_start().starts_with("mod ");
        let open = item.find(['{', ';']).filter(|_| is_module);
        // `find` counts bytes and the lexer characters; up to the brace of a module both are ASCII.
        let Some(open) = open.map(|open| at + mark.len() + open) else {
            at += mark.len();
            continue;
        };
        let end = if code[open] == '{' {
            closing(code, open)
        } else {
            open
        };
        lines += line_of(code, end) - line_of(code, at) + 1;
        at = end + 1;
    }
    lines
}

/// Lines fit the width; a line with a link, or that is one literal, cannot be broken.
pub(crate) fn narrow_lines(file: &File) -> Vec<Finding> {
    let wide = |line: &str| {
        let text = line.trim_start();
        let unbreakable = text.contains("://") || text.starts_with('"') || text.starts_with("r\"");
        line.chars().count() > COLUMNS && !unbreakable
    };
    let lines = file.text.lines().enumerate();
    let wide = lines.filter(|(_, line)| wide(line));
    wide.map(|(index, line)| {
        let columns = line.chars().count();
        file.finding(
            index + 1,
            format!("{columns} columns wide, at most {COLUMNS}"),
        )
    })
    .collect()
}

/// Nothing on the main branch is marked as unfinished.
pub(crate) fn no_markers(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let line: Vec<char> = line.chars().collect();
        for marker in MARKERS {
            if !words(&line, marker).is_empty() {
                findings.push(file.finding(index + 1, format!("marker {marker}")));
            }
        }
    }
    findings
}

/// Nothing names a path of one machine.
pub(crate) fn no_machine_paths(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for path in MACHINE_PATHS {
            let found = line.match_indices(path).map(|(at, _)| &line[..at]);
            // `https://host/home/` and `docs/tmp/` are no paths of a machine.
            let alone = |before: &str| !before.ends_with(|c: char| is_word(c) || c == '.');
            if found.into_iter().any(alone) {
                findings.push(file.finding(index + 1, format!("machine path {path}")));
            }
        }
    }
    findings
}

/// Lints are expected with a reason, never allowed.
pub(crate) fn no_allow(file: &File) -> Vec<Finding> {
    let code = code_of(&file.text);
    let mut findings = Vec::new();
    for at in words(&code, "allow") {
        let line: String = line_around(&code, at);
        let is_called = code.get(at + "allow".len()) == Some(&'(');
        let is_method = at.checked_sub(1).is_some_and(|before| code[before] == '.');
        if is_called && !is_method && !line.contains("fn allow") {
            let message = "attribute allow; write expect with a reason";
            findings.push(file.finding(line_of(&code, at), message));
        }
    }
    findings
}

fn line_around(code: &[char], at: usize) -> String {
    let start = code[..at].iter().rposition(|&c| c == '\n');
    let line = code[start.map_or(0, |start| start + 1)..].iter();
    line.take_while(|&&c| c != '\n').collect()
}

/// Unsafe code stays at its addresses, and argues.
pub(crate) fn unsafe_at_its_address(file: &File) -> Vec<Finding> {
    let code = code_of(&file.text);
    let lines: Vec<&str> = file.text.lines().collect();
    let allowed = UNSAFE_ADDRESSES
        .iter()
        .any(|address| file.path.starts_with(address));
    let mut findings = Vec::new();
    for at in words(&code, "unsafe") {
        let line = line_of(&code, at);
        // An unsafe function passes its obligation on; whoever calls it argues.
        let passes_on = word_after(&code, at + "unsafe".len()).is_some_and(|word| word == "fn");
        if !allowed {
            findings.push(file.finding(line, "unsafe outside its addresses"));
        } else if !passes_on && !argues(&lines[..line - 1]) {
            findings.push(file.finding(line, "unsafe without a SAFETY comment above it"));
        }
    }
    findings
}

/// Whether the comments and attributes at the end of `above` argue for what follows.
fn argues(above: &[&str]) -> bool {
    let mut near = above
        .iter()
        .rev()
        .map(|line| line.trim_start())
        .take_while(|line| line.starts_with("//") || line.starts_with("#["));
    near.any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
}

/// A module opens with what it owns; unit tests in a file of their own belong to the module above.
pub(crate) fn opens_with_docs(file: &File) -> Vec<Finding> {
    if file.text.starts_with("//!") || file.path.ends_with("/tests.rs") {
        return Vec::new();
    }
    vec![file.finding(1, "does not open with a `//!` line")]
}

/// A test is a sentence; its name does not say that it is a test.
pub(crate) fn no_test_prefix(file: &File) -> Vec<Finding> {
    let named = functions(&code_of(&file.text));
    let named = named.into_iter().filter(|f| f.name.starts_with("test_"));
    named
        .map(|f| {
            file.finding(
                f.first_line,
                format!("function {} says it is a test", f.name),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&File) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        let findings = rule(&File::new(path, text));
        findings.into_iter().map(|finding| finding.line).collect()
    }

    fn function_of(lines: usize) -> String {
        format!("\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_of_71_lines_is_found() {
        assert!(lines(short_functions, "a.rs", &function_of(70)).is_empty());
        assert_eq!(lines(short_functions, "a.rs", &function_of(71)), [2]);
    }

    #[test]
    fn a_file_of_601_lines_is_found_and_tests_do_not_count() {
        let long = "//! A.\n".repeat(601);
        assert_eq!(lines(short_files, "a.rs", &long), [1]);
        assert!(lines(short_files, "a.rs", &"//! A.\n".repeat(600)).is_empty());
        assert!(lines(short_files, "a/tests.rs", &long).is_empty());

        let tests = "#[cfg(test)]\nmod tests {\n    fn a() {}\n}\n";
        let with_tests = format!("{}{}", "//! A.\n".repeat(600), tests);
        assert!(lines(short_files, "a.rs", &with_tests).is_empty());
        let one_item = format!("{}#[cfg(test)]\nfn a() {{}}\n", "//! A.\n".repeat(599));
        assert_eq!(lines(short_files, "a.rs", &one_item), [1]);
    }

    #[test]
    fn a_line_of_101_columns_is_found_unless_it_cannot_be_broken() {
        let wide = "é".repeat(101);
        assert_eq!(lines(narrow_lines, "a.rs", &format!("//\n{wide}")), [2]);
        assert!(lines(narrow_lines, "a.rs", &"é".repeat(100)).is_empty());
        assert!(lines(narrow_lines, "a.rs", &format!("    \"{wide}\",")).is_empty());
        assert!(lines(narrow_lines, "a.rs", &format!("// https://{wide}")).is_empty());
    }

    #[test]
    fn every_marker_is_found_as_a_word() {
        for marker in MARKERS {
            let text = format!("//!\n// {marker}: later\n");
            assert_eq!(lines(no_markers, "a.rs", &text), [2], "{marker}");
            let part = format!("mktemp {marker}{marker}\n");
            assert!(lines(no_markers, "a.sh", &part).is_empty(), "{marker}");
        }
    }

    #[test]
    fn every_machine_path_is_found() {
        for path in MACHINE_PATHS {
            let text = format!("ok\ncp {path}x y\n");
            assert_eq!(lines(no_machine_paths, "a.md", &text), [2], "{path}");
            let link = format!("https://example.org{path}x\n");
            assert!(lines(no_machine_paths, "a.md", &link).is_empty(), "{path}");
        }
    }

    #[test]
    fn every_way_to_allow_a_lint_is_found() {
        for attribute in [
            "#[allow(dead_code)]",
            "#![allow(dead_code)]",
            "#[cfg_attr(test, allow(dead_code))]",
        ] {
            let text = format!("//!\n{attribute}\nfn f() {{}}\n");
            assert_eq!(lines(no_allow, "a.rs", &text), [2], "{attribute}");
        }
        let innocent = "// #[allow(x)]\nfn allow(x: u8) {}\nfn f() { a.allow(1); }\n";
        assert!(lines(no_allow, "a.rs", innocent).is_empty());
    }

    #[test]
    fn unsafe_is_found_outside_its_address_and_without_an_argument() {
        let argued = "fn f() {\n    // SAFETY: it is.\n    #[x]\n    unsafe { g() }\n}\n";
        let bare = "fn f() {\n    unsafe { g() }\n}\n";
        let far = "// SAFETY: it is.\nfn f() {\n    unsafe { g() }\n}\n";
        let words = "// unsafe\n#[expect(unsafe_code)]\nfn f() { \"unsafe\" }\n";
        let rule = unsafe_at_its_address;
        assert_eq!(lines(rule, "sim/src/a.rs", argued), [4]);
        assert_eq!(lines(rule, "sim/src/a.rs", "unsafe fn f() {}\n"), [1]);
        assert!(lines(rule, "dma/src/a.rs", argued).is_empty());
        assert_eq!(lines(rule, "dma/src/a.rs", bare), [2]);
        assert!(lines(rule, "dma/src/a.rs", "unsafe fn f() {}\n").is_empty());
        assert_eq!(lines(rule, "dma/src/a.rs", far), [3]);
        assert!(lines(rule, "sim/src/a.rs", words).is_empty());
    }

    #[test]
    fn a_module_without_opening_docs_is_found() {
        assert_eq!(lines(opens_with_docs, "a.rs", "use a;\n//! late\n"), [1]);
        assert_eq!(lines(opens_with_docs, "a.rs", ""), [1]);
        assert!(lines(opens_with_docs, "a.rs", "//! A.\n").is_empty());
        assert!(lines(opens_with_docs, "a/tests.rs", "use super::*;\n").is_empty());
    }

    #[test]
    fn a_test_that_says_it_is_one_is_found() {
        let text = "#[test]\nfn test_it() {}\nfn tests_of() {}\n";
        assert_eq!(lines(no_test_prefix, "a.rs", text), [2]);
    }
}
