//! Rules for manifests: which crate may know which, and what every crate says about itself.
//!
//! The table below is the one in `docs/architecture.md`. A new crate needs a row here first.

use std::collections::BTreeSet;

use crate::tree::{File, Finding};

/// Which of the workspace's own crates a crate may know.
const ARROWS: [(&str, &[&str]); 13] = [
    ("regs", &[]),
    ("timebase", &[]),
    ("dma", &[]),
    ("exhibit", &[]),
    ("device-model", &["exhibit", "regs", "timebase"]),
    ("protocol", &[]),
    ("serve", &["device-model", "protocol", "regs", "timebase"]),
    ("framework", &["dma", "exhibit", "timebase"]),
    (
        "driver",
        &[
            "dma",
            "exhibit",
            "framework",
            "protocol",
            "regs",
            "timebase",
        ],
    ),
    (
        "sim",
        &[
            "device-model",
            "dma",
            "driver",
            "exhibit",
            "framework",
            "regs",
            "serve",
            "timebase",
        ],
    ),
    ("capi", &["regs", "sim", "timebase"]),
    ("fuzz", &["tests"]),
    (
        "tests",
        &[
            "device-model",
            "dma",
            "driver",
            "exhibit",
            "framework",
            "protocol",
            "regs",
            "serve",
            "sim",
            "timebase",
        ],
    ),
];

/// Families of other people's crates, and which of ours may use them.
const RESERVED: [(&str, &[&str]); 15] = [
    // Chance belongs to the world.
    ("rand", &["sim", "tests"]),
    // Card and software driver take their cryptography from two families, so that one checks the
    // other.
    ("aws-lc", &["framework", "tests"]),
    ("crypto-bigint", &["framework", "tests"]),
    ("cryptoxide", &["framework", "tests"]),
    ("md5", &["framework", "tests"]),
    ("miniz_oxide", &["framework", "tests"]),
    ("num-bigint", &["device-model", "tests"]),
    ("aes", &["device-model", "tests"]),
    ("cbc", &["device-model", "tests"]),
    ("ctr", &["device-model", "tests"]),
    ("hmac", &["device-model", "tests"]),
    // Software digests messages in parts with the card's family: its own library does not say what
    // the state of a hash is. Whole messages are digested by aws-lc, and `tests/digest_parts.rs`
    // holds the one against the other.
    ("md_5", &["framework"]),
    ("ripemd", &["device-model", "framework", "tests"]),
    ("sha1", &["device-model", "framework", "tests"]),
    ("sha2", &["device-model", "framework", "tests"]),
];

/// Crates that may say for themselves how unsafe code is linted.
const OWN_LINTS: [&str; 5] = ["capi", "dma", "driver", "fuzz", "tests"];

/// One line of a manifest that names a dependency.
struct Dependency {
    name: String,
    line: usize,
}

/// The sections of a manifest that matter here.
#[derive(Default)]
struct Manifest {
    name: String,
    description: String,
    takes_workspace_lints: bool,
    dependencies: Vec<Dependency>,
    levels_of_allow: Vec<usize>,
}

impl Manifest {
    /// Reads the subset of TOML that manifests here are written in: one key on a line.
    fn read(file: &File) -> Self {
        let mut manifest = Self::default();
        let mut section = "";
        for (index, line) in file.text.lines().enumerate() {
            let line = line.trim();
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']');
                if let Some((_, name)) = section.split_once("dependencies.") {
                    manifest.depend(name, index + 1);
                }
                continue;
            }
            if let Some((key, value)) = line.split_once('=') {
                manifest.entry(section, key.trim(), value.trim(), index + 1);
            }
        }
        manifest
    }

    fn entry(&mut self, section: &str, key: &str, value: &str, line: usize) {
        let text = value.trim_matches('"');
        match (section, key) {
            ("package", "name") => text.clone_into(&mut self.name),
            ("package", "description") => text.clone_into(&mut self.description),
            ("lints", "workspace") => self.takes_workspace_lints = text == "true",
            _ if section.ends_with("dependencies") && !section.starts_with("workspace") => {
                self.depend(key, line);
            }
            _ if section.contains("lints") && value.contains("\"allow\"") => {
                self.levels_of_allow.push(line);
            }
            _ => {}
        }
    }

    fn depend(&mut self, key: &str, line: usize) {
        let name = key.split('.').next().unwrap_or(key).trim_matches('"');
        self.dependencies.push(Dependency {
            name: name.to_owned(),
            line,
        });
    }
}

/// A crate knows only those its row of the table names.
pub(crate) fn arrows(file: &File) -> Vec<Finding> {
    let manifest = Manifest::read(file);
    if manifest.name.is_empty() {
        return Vec::new();
    }
    let ours: BTreeSet<&str> = ARROWS.iter().map(|&(name, _)| name).collect();
    let row = ARROWS.iter().find(|&&(name, _)| name == manifest.name);
    let Some((_, known)) = row else {
        return vec![file.finding(1, format!("crate {} has no arrows yet", manifest.name))];
    };
    let name = &manifest.name;
    let wrong = manifest.dependencies.iter().filter(|dependency| {
        let other = dependency.name.as_str();
        ours.contains(other) && !known.contains(&other)
    });
    wrong
        .map(|other| file.finding(other.line, format!("{name} must not know {}", other.name)))
        .collect()
}

/// The page that draws the arrows draws these.
pub(crate) fn drawn_arrows(page: &File) -> Vec<Finding> {
    let is_drawn = |line: &str| page.text.lines().any(|found| found == line);
    let lines = ARROWS.iter().map(|(name, known)| {
        let known = if known.is_empty() {
            "nothing".to_owned()
        } else {
            known.join(", ")
        };
        format!("{name:<12} -> {known}")
    });
    let missing = lines.filter(|line| !is_drawn(line));
    missing
        .map(|line| page.finding(1, format!("does not draw {line}")))
        .collect()
}

/// Chance and each family of cryptography stay where they belong.
pub(crate) fn reserved_crates(file: &File) -> Vec<Finding> {
    let manifest = Manifest::read(file);
    let name = manifest.name.as_str();
    let wrong = manifest.dependencies.iter().filter(|dependency| {
        let mut reserved = RESERVED.iter();
        reserved.any(|(family, users)| belongs(&dependency.name, family) && !users.contains(&name))
    });
    wrong
        .map(|other| file.finding(other.line, format!("{name} must not use {}", other.name)))
        .collect()
}

/// Whether a crate is `family` or one of those named after it, such as `aes-gcm`.
fn belongs(name: &str, family: &str) -> bool {
    name.strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

/// Every crate says what it is and takes the workspace's lints; no lint is allowed.
pub(crate) fn complete_manifests(file: &File) -> Vec<Finding> {
    let manifest = Manifest::read(file);
    let mut findings: Vec<Finding> = manifest
        .levels_of_allow
        .iter()
        .map(|&line| file.finding(line, "a lint is set to allow"))
        .collect();
    if manifest.name.is_empty() {
        return findings;
    }
    if manifest.description.is_empty() {
        findings.push(file.finding(1, "no description"));
    }
    if !manifest.takes_workspace_lints && !OWN_LINTS.contains(&manifest.name.as_str()) {
        findings.push(file.finding(1, "does not take the lints of the workspace"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, dependencies: &str) -> File {
        let text = format!(
            "[package]\nname = \"{name}\"\ndescription = \"x\"\n[lints]\nworkspace = true\n\
             {dependencies}\n"
        );
        File::new("a/Cargo.toml", &text)
    }

    fn messages(rule: fn(&File) -> Vec<Finding>, file: &File) -> Vec<String> {
        rule(file).into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn every_arrow_the_table_lacks_is_found() {
        for (name, known) in ARROWS {
            for (other, _) in ARROWS {
                let line = format!("[dependencies]\n{other}.workspace = true");
                let found = messages(arrows, &manifest(name, &line));
                assert_eq!(
                    found.is_empty(),
                    known.contains(&other),
                    "{name} -> {other}"
                );
            }
        }
    }

    #[test]
    fn an_arrow_is_found_however_it_is_written() {
        for text in [
            "[dependencies]\ndevice-model = { path = \"../device-model\" }",
            "[dev-dependencies]\ndevice-model.workspace = true",
            "[build-dependencies]\ndevice-model = { workspace = true }",
            "[target.'cfg(unix)'.dependencies]\ndevice-model.workspace = true",
            "[dependencies.device-model]\nworkspace = true",
        ] {
            let found = messages(arrows, &manifest("driver", text));
            assert_eq!(found, ["driver must not know device-model"], "{text}");
        }
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let found = messages(arrows, &manifest("stranger", ""));
        assert_eq!(found, ["crate stranger has no arrows yet"]);
        assert!(arrows(&File::new("Cargo.toml", "[workspace]\n")).is_empty());
    }

    #[test]
    fn an_arrow_that_is_drawn_wrongly_is_found() {
        let page = "regs         -> nothing\ntimebase     -> dma\n";
        let found = messages(drawn_arrows, &File::new("docs/architecture.md", page));
        assert_eq!(found.len(), ARROWS.len() - 1);
        assert_eq!(found[0], "does not draw timebase     -> nothing");
    }

    #[test]
    fn chance_outside_the_world_and_a_shared_crypto_family_are_found() {
        for (name, dependency) in [
            ("device-model", "rand_chacha"),
            ("framework", "rand"),
            ("device-model", "aws-lc-rs"),
            ("framework", "aes-gcm"),
            ("driver", "sha2"),
        ] {
            let line = format!("[dependencies]\n{dependency}.workspace = true");
            assert_eq!(
                messages(reserved_crates, &manifest(name, &line)),
                [format!("{name} must not use {dependency}")]
            );
        }
        let world = manifest("sim", "[dependencies]\nrand.workspace = true");
        assert!(reserved_crates(&world).is_empty());
        let other = manifest("driver", "[dependencies]\nctrlc = \"3\"");
        assert!(reserved_crates(&other).is_empty());
    }

    #[test]
    fn a_manifest_that_says_too_little_or_allows_a_lint_is_found() {
        let bare = File::new("a/Cargo.toml", "[package]\nname = \"a\"\n");
        assert_eq!(complete_manifests(&bare).len(), 2);
        let lax = File::new("Cargo.toml", "[workspace.lints.clippy]\nall = \"allow\"\n");
        assert_eq!(complete_manifests(&lax).len(), 1);
        assert!(complete_manifests(&manifest("a", "")).is_empty());
    }
}
