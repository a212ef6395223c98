//! `docs/datasheet.md` says what `regs` says.
//!
//! Every table of the datasheet between `begin` and `end` marks is rendered here from the crate:
//! from the register tables and constants where they are values, from the doc comments where they
//! are words. After a change of `regs`, `UPDATE_DATASHEET=1 cargo test -p tests --test datasheet`
//! writes the tables anew. The prose between them is for people to keep true.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use regs::{
    CipherCode, Command, CommandFlags, Completion, Control, DeviceStatus, DigestCode, FieldInfo,
    Opcode, Register, RingArbitration, RingControl, RingRegister, RingStatus, Segment, Status,
};
use sim::datasheet::{markdown, plain};

const UPDATE: &str = "UPDATE_DATASHEET";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests package is inside the workspace")
}

fn page_path() -> PathBuf {
    root().join("docs/datasheet.md")
}

fn source(file: &str) -> String {
    let path = root().join("device-model/regs/src").join(file);
    std::fs::read_to_string(path).expect("a source file of regs")
}

/// Every generated section by its name.
fn sections() -> Vec<(&'static str, String)> {
    let admin = source("admin.rs");
    vec![
        ("memory-map", markdown::memory_map()),
        ("registers", markdown::registers(Register::TABLE)),
        ("ring-registers", markdown::registers(RingRegister::TABLE)),
        ("control", markdown::fields(Control::FIELDS)),
        ("device-status", markdown::fields(DeviceStatus::FIELDS)),
        ("ring-control", markdown::fields(RingControl::FIELDS)),
        ("ring-status", markdown::fields(RingStatus::FIELDS)),
        (
            "ring-arbitration",
            markdown::fields(RingArbitration::FIELDS),
        ),
        ("command", markdown::structure(Command::LAYOUT)),
        ("opcodes", markdown::codes(Opcode::TABLE, 2)),
        ("command-flags", markdown::fields(CommandFlags::TABLE)),
        ("completion", markdown::structure(Completion::LAYOUT)),
        ("segment", markdown::structure(Segment::LAYOUT)),
        ("status-codes", markdown::codes(Status::TABLE, 4)),
        ("session-block", comment_table(&admin)),
        ("cipher-codes", codes(&admin, "enum CipherCode", 2)),
        ("digest-codes", codes(&admin, "enum DigestCode", 2)),
    ]
}

/// A declaration inside an item of the source, with the doc comment above it.
struct Declared {
    line: String,
    doc: String,
}

/// What the item whose declaration contains `head` declares, line by line.
fn declared(source: &str, head: &str) -> Vec<Declared> {
    let head = format!("{head} {{");
    let lines = source.lines().skip_while(|line| !line.ends_with(&head));
    let body = lines.skip(1).map(str::trim).take_while(|line| *line != "}");
    let mut doc = Vec::new();
    let mut found = Vec::new();
    for line in body {
        match line.strip_prefix("///") {
            Some(text) => doc.push(text.trim()),
            None if line.starts_with("#[default") => {}
            None => {
                let doc = plain(&std::mem::take(&mut doc).join(" "));
                let line = line.to_owned();
                found.push(Declared { line, doc });
            }
        }
    }
    assert!(!found.is_empty(), "the source declares {head}");
    found
}

/// Rows of an enum with explicit codes of `digits` hexadecimal digits.
fn codes(source: &str, head: &str, digits: usize) -> String {
    let mut text = String::from("| code | name | meaning |\n|---|---|---|\n");
    for Declared { line, doc } in declared(source, head) {
        let (name, code) = line.split_once(" = ").expect("an explicit code");
        let code = number(code.trim_end_matches(','));
        let width = digits + 2;
        writeln!(text, "| {code:#0width$x} | {name} | {doc} |").expect("a string takes every row");
    }
    text
}

fn number(text: &str) -> u32 {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.expect("a number")
}

/// The table that stands in a doc comment of the source.
fn comment_table(source: &str) -> String {
    let rows = source.lines().filter_map(|line| {
        let text = line.strip_prefix("///").or(line.strip_prefix("//!"))?;
        text.trim().starts_with('|').then(|| text.trim())
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 2, "the source has a table in a comment");
    rows.join("\n") + "\n"
}

/// `page` with what stands between the marks of section `name` replaced; `None` without marks.
fn replaced(page: &str, name: &str, body: &str) -> Option<String> {
    let begin = format!("<!-- begin {name} -->\n");
    let end = format!("<!-- end {name} -->");
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{body}{end}{after}"))
}

/// The page as it should be, and the names of the sections it lacks.
fn rendered(page: &str, sections: &[(&'static str, String)]) -> (String, Vec<&'static str>) {
    let mut page = page.to_owned();
    let mut missing = Vec::new();
    for (name, body) in sections {
        match replaced(&page, name, body) {
            Some(changed) => page = changed,
            None => missing.push(*name),
        }
    }
    (page, missing)
}

/// The first line in which two pages differ, with its number.
fn difference(found: &str, expected: &str) -> Option<(usize, String)> {
    let count = found.lines().count().max(expected.lines().count());
    let pairs = (0..count).map(|index| (found.lines().nth(index), expected.lines().nth(index)));
    let mut pairs = pairs.enumerate();
    let (index, (_, line)) = pairs.find(|(_, (found, expected))| found != expected)?;
    Some((index + 1, line.unwrap_or("(the end)").to_owned()))
}

#[test]
fn the_datasheet_shows_the_tables_of_regs() {
    let page = std::fs::read_to_string(page_path()).expect("the datasheet");
    let (expected, missing) = rendered(&page, &sections());
    assert!(missing.is_empty(), "sections without marks: {missing:?}");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(page_path(), &expected).expect("the datasheet can be written");
        return;
    }
    if let Some((line, expected)) = difference(&page, &expected) {
        panic!("docs/datasheet.md:{line} should read:\n{expected}\nset {UPDATE}=1 to rewrite it");
    }
}

#[test]
fn codes_in_the_datasheet_are_the_codes_of_the_crate() {
    for cipher in CipherCode::ALL {
        let row = format!("| {:#04x} | {cipher:?} |", cipher as u8);
        assert!(codes(&source("admin.rs"), "enum CipherCode", 2).contains(&row));
    }
    for digest in DigestCode::ALL {
        let row = format!("| {:#04x} | {digest:?} |", digest as u8);
        assert!(codes(&source("admin.rs"), "enum DigestCode", 2).contains(&row));
    }
}

#[test]
fn fields_fill_their_register_and_lie_where_the_accessors_put_them() {
    let tables = [
        Control::FIELDS,
        DeviceStatus::FIELDS,
        RingControl::FIELDS,
        RingStatus::FIELDS,
        RingArbitration::FIELDS,
    ];
    for fields in tables {
        let mut next = 0;
        for field in fields {
            assert_eq!(field.low, next, "{}", field.name);
            next += field.width;
        }
        assert_eq!(next, 32);
    }
    let low = |fields: &[FieldInfo], name: &str| {
        let field = fields.iter().find(|field| field.name == name);
        1 << field.expect("a field").low
    };
    let reset = Control::new().with_reset(true).into_bits();
    assert_eq!(low(Control::FIELDS, "reset"), reset);
    let full = RingStatus::new().with_completion_full(true).into_bits();
    assert_eq!(low(RingStatus::FIELDS, "completion_full"), full);
}

#[test]
fn a_changed_row_and_a_lost_section_are_found() {
    let page = "# Datasheet\n<!-- begin a -->\n| old |\n<!-- end a -->\nend\n";
    let sections = [("a", "| new |\n".to_owned()), ("b", String::new())];
    let (expected, missing) = rendered(page, &sections);
    assert_eq!(missing, ["b"]);
    assert_eq!(difference(page, &expected), Some((3, "| new |".to_owned())));
    assert_eq!(difference(&expected, &expected), None);
    assert!(difference(page, "").is_some(), "a lost page");
}
