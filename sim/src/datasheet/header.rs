//! The datasheet as a C header, so that a driver can be written in C.
//!
//! C99, no other header than `stdint.h`. Names begin with `RINGSIDE_` or `ringside_`. Structures
//! need no packing: every field lies at a multiple of its size, and assertions say so.

use std::fmt::Write as _;

use regs::pci::ConfigPage;
use regs::{FieldInfo, RegisterInfo, WireInfo};

use super::{CODES, CONSTANTS, FLAGS, PAGES, STRUCTURES, Structure, plain, screaming, snake};

const INFALLIBLE: &str = "a string takes every line";

/// The whole header.
#[must_use]
pub fn render() -> String {
    let mut text = String::from(HEAD);
    for (name, value) in CONSTANTS {
        define(&mut text, name, &format!("{value:#x}"), "");
    }
    for page in regs::pci::PAGES {
        config_lines(&mut text, page);
    }
    for page in PAGES {
        comment(&mut text, page.description);
        for register in page.registers {
            register_lines(&mut text, page.name, register);
        }
    }
    for set in CODES {
        comment(&mut text, &format!("Codes: {}", snake(set.name)));
        for row in set.codes {
            let name = format!("{}_{}", screaming(set.name), screaming(row.name));
            define(
                &mut text,
                &name,
                &format!("{:#x}", row.code),
                row.description,
            );
        }
    }
    for set in FLAGS {
        comment(&mut text, &format!("Flags: {}", snake(set.name)));
        for flag in set.flags {
            let name = format!("{}_{}", screaming(set.name), flag.name);
            define(
                &mut text,
                &name,
                &format!("(1u << {})", flag.low),
                flag.description,
            );
        }
    }
    for structure in STRUCTURES {
        structure_lines(&mut text, &structure);
    }
    text + TAIL
}

const HEAD: &str = "\
/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Generated from the card's register tables by `ringside datasheet c`. Do not edit. */
#ifndef RINGSIDE_CARD_H
#define RINGSIDE_CARD_H

#include <stdint.h>

#if defined(__cplusplus)
#define RINGSIDE_ASSERT(what) static_assert(what, #what)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define RINGSIDE_ASSERT(what) _Static_assert(what, #what)
#else
#define RINGSIDE_ASSERT(what) struct ringside_assert
#endif

/* All numbers on the bus and in memory are little-endian. */
";

const TAIL: &str = "
/* Offset in BAR 0 of a register of ring pair `ring`. */
#define RINGSIDE_RING_REGISTER(ring, register) \\
\t(RINGSIDE_RING_PAGE + (ring) * RINGSIDE_RING_STRIDE + (register))
/* Offset in BAR 0 of the doorbells of ring pair `ring`. */
#define RINGSIDE_COMMAND_DOORBELL_OF(ring) \\
\t(RINGSIDE_DOORBELL_PAGE + (ring) * RINGSIDE_DOORBELL_STRIDE)
#define RINGSIDE_COMPLETION_DOORBELL_OF(ring) \\
\t(RINGSIDE_COMMAND_DOORBELL_OF(ring) + RINGSIDE_COMPLETION_DOORBELL)
/* Bit of the completion doorbell that arms the interrupt. */
#define RINGSIDE_DOORBELL_ARM (1u << 31)
/* Phase bit and status code of the status word of a completion. */
#define RINGSIDE_COMPLETION_PHASE(status) ((status) & 1u)
#define RINGSIDE_COMPLETION_STATUS(status) ((status) >> 16)

#endif
";

fn comment(text: &mut String, what: &str) {
    writeln!(text, "\n/* {} */", plain(what)).expect(INFALLIBLE);
}

fn define(text: &mut String, name: &str, value: &str, what: &str) {
    if what.is_empty() {
        writeln!(text, "#define RINGSIDE_{name} {value}")
    } else {
        writeln!(
            text,
            "#define RINGSIDE_{name} {value} /* {} */",
            plain(what)
        )
    }
    .expect(INFALLIBLE);
}

fn register_lines(text: &mut String, page: &str, register: &RegisterInfo) {
    let name = format!("{}_REG_{}", screaming(page), screaming(register.name));
    let offset = format!("{:#05x}", register.offset);
    define(text, &name, &offset, register.description);
    if register.reset != 0 {
        let reset = format!("{:#010x}u", register.reset);
        define(text, &format!("{name}_RESET"), &reset, "");
    }
    for field in register.fields.iter().filter(|field| !field.is_reserved()) {
        field_lines(text, &screaming(register.name), field);
    }
}

/// A page of configuration space. A register is named by its offset, a field by its mask.
fn config_lines(text: &mut String, page: &ConfigPage) {
    comment(text, &format!("Configuration space: {}", page.name));
    for register in page.registers {
        let name = format!("PCI_REG_{}", register.name);
        let offset = format!("{:#05x}", register.offset);
        define(text, &name, &offset, register.description);
        for field in register.fields {
            let name = format!("PCI_{}_{}", register.name, field.name);
            let mask = format!("{:#010x}u", field.mask());
            define(text, &name, &mask, field.description);
        }
    }
}

fn field_lines(text: &mut String, register: &str, field: &FieldInfo) {
    let name = format!("{register}_{}", field.name.to_uppercase());
    let ones = u32::MAX >> (32 - field.width);
    let mask = format!("{:#010x}u", ones << field.low);
    define(text, &name, &mask, field.description);
    if field.width > 1 {
        define(text, &format!("{name}_SHIFT"), &field.low.to_string(), "");
    }
}

fn structure_lines(text: &mut String, structure: &Structure) {
    let name = snake(structure.name);
    comment(text, structure.description);
    writeln!(text, "struct ringside_{name} {{").expect(INFALLIBLE);
    for field in structure.fields {
        let what = field.description.trim();
        writeln!(text, "\t{}; /* {what} */", declaration(field)).expect(INFALLIBLE);
    }
    writeln!(text, "}};").expect(INFALLIBLE);
    let len = structure.len();
    writeln!(
        text,
        "RINGSIDE_ASSERT(sizeof(struct ringside_{name}) == {len});"
    )
    .expect(INFALLIBLE);
}

fn declaration(field: &WireInfo) -> String {
    let name = if field.is_reserved() {
        format!("reserved{}", field.offset)
    } else {
        field.name.to_owned()
    };
    match field.len {
        len @ (1 | 2 | 4 | 8) => format!("uint{}_t {name}", len * 8),
        len => format!("uint8_t {name}[{len}]"),
    }
}
