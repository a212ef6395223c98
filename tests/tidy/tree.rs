//! The files of the workspace, as the rules see them.
//!
//! Owns the walk and the shape of a finding. Leaves out what git ignores by a `/name` line, and
//! files that are not text.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// A text file; `path` is relative to the workspace, with `/` between its parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// What the rules are fed by their own tests.
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// A finding about line `line` of this file.
    pub(crate) fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }

    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// The folder the file is in, without a slash at the end; empty for the workspace itself.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// One thing a rule found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// The workspace: its text files, and the paths of all files and folders.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    pub(crate) paths: BTreeSet<String>,
    pub(crate) top_folders: BTreeSet<String>,
}

impl Tree {
    /// Reads the workspace this test belongs to.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the tests package is inside the workspace");
        let ignored = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let mut skipped: BTreeSet<String> = ignored
            .lines()
            .filter_map(|line| line.strip_prefix('/'))
            .map(|name| name.trim_end_matches('/').to_owned())
            .collect();
        skipped.insert(".git".to_owned());
        let mut tree = Self::default();
        tree.walk(root, "", &skipped);
        tree
    }

    fn walk(&mut self, folder: &Path, prefix: &str, skipped: &BTreeSet<String>) {
        let entries = std::fs::read_dir(folder).expect("a folder of the workspace");
        let mut entries: Vec<_> = entries.map(|entry| entry.expect("an entry")).collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if skipped.contains(&path) {
                continue;
            }
            self.paths.insert(path.clone());
            if entry.path().is_dir() {
                if prefix.is_empty() && !name.starts_with('.') {
                    self.top_folders.insert(name);
                }
                self.walk(&entry.path(), &format!("{path}/"), skipped);
            } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
                self.files.push(File { path, text });
            }
        }
    }

    /// The text file at `path`.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Everything `rule` finds in the files whose name ends in `.extension`.
    pub(crate) fn check(&self, extension: &str, rule: fn(&File) -> Vec<Finding>) -> Vec<Finding> {
        let files = self.files.iter().filter(|f| f.has_extension(extension));
        files.flat_map(rule).collect()
    }
}
