//! The tables of `docs/datasheet.md`.

use std::fmt::Write as _;

use regs::pci::{ConfigPage, FieldAccess};
use regs::{Access, CodeInfo, Erratum, FieldInfo, RegisterInfo, WireInfo};

use super::plain;

const INFALLIBLE: &str = "a string takes every row";

/// Where things lie in BAR 0.
///
/// # Panics
/// Never: a string takes every row.
#[must_use]
pub fn memory_map() -> String {
    let pairs = regs::MAX_RING_PAIRS;
    let rings = format!(
        "register slices of rings 0 to {pairs}, {:#x} bytes each",
        regs::RING_STRIDE
    );
    let doorbells = format!(
        "doorbells of rings 0 to {pairs}, {} bytes each: command at +0, completion at +{}",
        regs::DOORBELL_STRIDE,
        regs::COMPLETION_DOORBELL
    );
    let rows = [
        (0, "control page"),
        (regs::RING_PAGE, rings.as_str()),
        (regs::DOORBELL_PAGE, doorbells.as_str()),
        (regs::BAR0_LEN, "end of BAR 0"),
    ];
    let mut text = String::from("| offset | what |\n|---|---|\n");
    for (offset, what) in rows {
        writeln!(text, "| {offset:#08x} | {what} |").expect(INFALLIBLE);
    }
    text
}

/// A page of registers.
///
/// # Panics
/// Never: a string takes every row.
#[must_use]
pub fn registers(table: &[RegisterInfo]) -> String {
    let mut text =
        String::from("| offset | name | access | reset | meaning |\n|---|---|---|---|---|\n");
    for row in table {
        let access = match row.access {
            Access::ReadOnly => "read only",
            Access::ReadWrite => "read, write",
            Access::WriteOneToClear => "write one to clear",
            Access::Doorbell => "doorbell",
        };
        let (offset, name, reset) = (row.offset, row.name, row.reset);
        let meaning = plain(row.description);
        writeln!(
            text,
            "| {offset:#05x} | {name} | {access} | {reset:#010x} | {meaning} |"
        )
        .expect(INFALLIBLE);
    }
    text
}

/// The fields of a register.
///
/// # Panics
/// Never: a string takes every row.
#[must_use]
pub fn fields(fields: &[FieldInfo]) -> String {
    let mut text = String::from("| bits | name | meaning |\n|---|---|---|\n");
    for field in fields {
        let low = field.low;
        let bits = match low + field.width - 1 {
            high if high == low => low.to_string(),
            high => format!("{high}..{low}"),
        };
        let name = if field.is_reserved() { "" } else { field.name };
        let meaning = plain(field.description);
        writeln!(text, "| {bits} | {name} | {meaning} |").expect(INFALLIBLE);
    }
    text
}

/// Codes of `digits` hexadecimal digits.
///
/// # Panics
/// Never: a string takes every row.
#[must_use]
pub fn codes(codes: &[CodeInfo], digits: usize) -> String {
    let mut text = String::from("| code | name | meaning |\n|---|---|---|\n");
    let width = digits + 2;
    for row in codes {
        let meaning = plain(row.description);
        let (code, name) = (row.code, row.name);
        writeln!(text, "| {code:#0width$x} | {name} | {meaning} |").expect(INFALLIBLE);
    }
    text
}

/// The errata sheet: a table of all, then each in full.
///
/// # Panics
/// Never: a string takes every row.
#[must_use]
pub fn errata(sheet: &[Erratum]) -> String {
    let mut text = String::from("| number | bit | name | what it is |\n|---|---|---|---|\n");
    for erratum in sheet {
        let (number, name, title) = (erratum.number(), erratum.name, plain(erratum.title()));
        let bit = number - 1;
        writeln!(text, "| {number} | {bit} | {name} | {title} |").expect(INFALLIBLE);
    }
    for erratum in sheet {
        let (number, title) = (erratum.number(), plain(erratum.title()));
        let title = title.trim_end_matches('.');
        writeln!(text, "\n### Erratum {number}: {title}\n").expect(INFALLIBLE);
        for (what, says) in [
            ("Condition", erratum.condition),
            ("Effect", erratum.effect),
            ("Work-around", erratum.workaround),
            ("Status", erratum.status),
        ] {
            writeln!(text, "- *{what}*: {says}").expect(INFALLIBLE);
        }
    }
    text
}

/// A structure in memory.
///
/// # Panics
/// Never: a string takes every row.
#[must_use]
pub fn structure(fields: &[WireInfo]) -> String {
    let mut text = String::from("| byte | bytes | field | meaning |\n|---|---|---|---|\n");
    for field in fields {
        let (offset, len, meaning) = (field.offset, field.len, field.description.trim());
        let name = if field.is_reserved() { "" } else { field.name };
        writeln!(text, "| {offset} | {len} | {name} | {meaning} |").expect(INFALLIBLE);
    }
    text
}

/// A page of configuration space: each register, then its fields.
///
/// # Panics
/// Never: a string takes every row.
#[must_use]
pub fn config(page: &ConfigPage) -> String {
    let mut text = String::from(
        "| offset | name | bits | access | reset | meaning |\n|---|---|---|---|---|---|\n",
    );
    for register in page.registers {
        let width = usize::from(register.width) * 2 + 2;
        let (offset, name, reset) = (register.offset, register.name, register.reset);
        let meaning = plain(register.description);
        writeln!(
            text,
            "| {offset:#05x} | {name} | | | {reset:#0width$x} | {meaning} |"
        )
        .expect(INFALLIBLE);
        for field in register.fields {
            let bits = match (field.high, field.low) {
                (high, low) if high == low => low.to_string(),
                (high, low) => format!("{high}..{low}"),
            };
            let access = match field.access {
                FieldAccess::ReadOnly => "read only",
                FieldAccess::ReadWrite => "read, write",
                FieldAccess::WriteOneToClear => "write one to clear",
                FieldAccess::Action => "write one to act",
                FieldAccess::Live => "read only, live",
                FieldAccess::StickyLive => "read only, live, sticky",
                FieldAccess::StickyReadWrite => "read, write, sticky",
                FieldAccess::StickyWriteOneToClear => "write one to clear, sticky",
            };
            let (name, meaning) = (field.name, plain(field.description));
            writeln!(text, "| | {name} | {bits} | {access} | | {meaning} |").expect(INFALLIBLE);
        }
    }
    text
}
