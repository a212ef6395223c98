//! `docs/datasheet.md` says what `regs` says.
//!
//! Every table of the datasheet between `begin` and `end` marks is rendered here from the crate's
//! tables and constants. After a change of `regs`, `UPDATE_DATASHEET=1 cargo test -p tests --test
//! datasheet` writes the tables anew. The prose between them is for people to keep true.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use regs::{
    AlgorithmEntry, Argument, ArgumentFlags, BlobHeader, CipherCode, Command, CommandFlags,
    Completion, Control, DIGEST_STATE_LAYOUT, DeviceStatus, DigestCode, Erratum, ErrorEntry,
    ErrorLog, FieldInfo, Health, Identity, KekOffer, Opcode, PageCode, PublicKeyFlags, PublicKeyOp,
    Register, RingArbitration, RingControl, RingRegister, RingStatistics, RingStatus, Segment,
    SessionBlock, SessionBlockFlags, Statistics, Status, StatusCount,
};
use sim::datasheet::markdown;

const UPDATE: &str = "UPDATE_DATASHEET";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests package is inside the workspace")
}

fn page_path() -> PathBuf {
    root().join("docs/datasheet.md")
}

/// Every generated section by its name.
fn sections() -> Vec<(&'static str, String)> {
    let config = regs::pci::PAGES.map(|page| (page.name, markdown::config(page)));
    let mut sections = vec![
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
        ("public-key-ops", markdown::codes(PublicKeyOp::TABLE, 2)),
        ("public-key-flags", markdown::fields(PublicKeyFlags::TABLE)),
        ("pages", markdown::codes(PageCode::TABLE, 4)),
        ("identity", markdown::structure(Identity::LAYOUT)),
        ("algorithm", markdown::structure(AlgorithmEntry::LAYOUT)),
        ("error-log", markdown::structure(ErrorLog::LAYOUT)),
        ("error-entry", markdown::structure(ErrorEntry::LAYOUT)),
        ("health", markdown::structure(Health::LAYOUT)),
        ("statistics", markdown::structure(Statistics::LAYOUT)),
        (
            "ring-statistics",
            markdown::structure(RingStatistics::LAYOUT),
        ),
        ("status-count", markdown::structure(StatusCount::LAYOUT)),
        ("argument", markdown::structure(Argument::LAYOUT)),
        ("argument-flags", markdown::fields(ArgumentFlags::TABLE)),
        ("blob-header", markdown::structure(BlobHeader::LAYOUT)),
        ("kek-offer", markdown::structure(KekOffer::LAYOUT)),
        ("session-block", markdown::structure(SessionBlock::LAYOUT)),
        ("session-flags", markdown::fields(SessionBlockFlags::TABLE)),
        ("cipher-codes", markdown::codes(CipherCode::TABLE, 2)),
        ("digest-codes", markdown::codes(DigestCode::TABLE, 2)),
        ("digest-state", markdown::structure(DIGEST_STATE_LAYOUT)),
        ("errata", markdown::errata(&Erratum::SHEET)),
        ("ciphers", ciphers()),
        ("digests", digests()),
    ];
    sections.extend(config);
    sections
}

fn ciphers() -> String {
    let mut text = String::from("| cipher | key | IV | block | tag |\n|---|---|---|---|---|\n");
    for info in regs::CIPHERS {
        let (code, key, iv, tag) = (info.code, info.key, info.iv, info.tag);
        let block_len = info.block_len;
        writeln!(text, "| {code:?} | {key} | {iv} | {block_len} | {tag} |")
            .expect("a string takes every row");
    }
    text
}

fn digests() -> String {
    let mut text = String::from(
        "| digest | key | nonce | block | digest | parts |\n|---|---|---|---|---|---|\n",
    );
    for info in regs::DIGESTS.iter().filter(|info| !info.code.is_empty()) {
        let (code, key, nonce, digest) = (info.code, info.key, info.iv, info.digest);
        let block_len = info.block_len;
        let parts = if info.has_state { "yes" } else { "no" };
        writeln!(
            text,
            "| {code:?} | {key} | {nonce} | {block_len} | {digest} | {parts} |"
        )
        .expect("a string takes every row");
    }
    text
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
