//! A C compiler reads the generated header as Rust reads the crate it is generated from.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};

use regs::{
    CardSession, Command, CommandFlags, Completion, DeviceAddr, Opcode, RingId, RingRegister, Slot,
    Status,
};
use sim::datasheet::header;

const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-I."];

/// A folder of its own for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("ringside_card.h"), header::render()).expect("the header");
    folder
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let output = Process::new(program)
        .args(arguments)
        .current_dir(folder)
        .output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {complaints}"
    );
    output
}

const PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>
#include "ringside_card.h"

static void dump(const void *data, size_t len)
{
	const unsigned char *bytes = data;
	size_t i;

	for (i = 0; i < len; i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

int main(void)
{
	struct ringside_command command;
	struct ringside_completion completion;

	memset(&command, 0, sizeof(command));
	command.opcode = RINGSIDE_OPCODE_PROCESS;
	command.flags = RINGSIDE_COMMAND_ENCRYPT | RINGSIDE_COMMAND_FENCE;
	command.aad_len = 0x1234;
	command.session = 7;
	command.cookie = 0x0123456789abcdefull;
	command.source = 0x1122334455667788ull;
	command.destination = 0x99aabbccddeeff00ull;
	command.source_len = 64;
	command.destination_len = 80;
	command.payload_len = 48;
	memcpy(command.iv, "0123456789abcdef", sizeof(command.iv));
	dump(&command, sizeof(command));

	memset(&completion, 0, sizeof(completion));
	completion.cookie = 5;
	completion.command_head = 9;
	completion.status = (uint32_t)RINGSIDE_STATUS_READ_FAULT << 16 | 1;
	dump(&completion, sizeof(completion));

	printf("%x %x\n",
	       RINGSIDE_RING_REGISTER(3, RINGSIDE_RING_REG_ENTRIES),
	       RINGSIDE_COMPLETION_DOORBELL_OF(3));
	return 0;
}
"#;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every byte");
        text
    })
}

#[test]
fn a_c_program_writes_what_rust_writes() {
    let folder = folder("c");
    std::fs::write(folder.join("main.c"), PROGRAM).expect("the program");
    for standard in ["-std=c99", "-std=c11"] {
        let arguments = [&[standard, "main.c", "-o", "main"][..], &STRICT].concat();
        run(&folder, "cc", &arguments);
    }
    let command = Command {
        opcode: Opcode::Process as u8,
        flags: CommandFlags::ENCRYPT | CommandFlags::FENCE,
        aad_len: 0x1234,
        session: CardSession(7),
        cookie: 0x0123_4567_89AB_CDEF,
        source: DeviceAddr(0x1122_3344_5566_7788),
        destination: DeviceAddr(0x99AA_BBCC_DDEE_FF00),
        source_len: 64,
        destination_len: 80,
        payload_len: 48,
        iv: *b"0123456789abcdef",
        ..Command::default()
    };
    let completion = Completion {
        cookie: 5,
        command_head: Slot(9),
        status: Status::ReadFault as u16,
        phase: true,
        ..Completion::default()
    };
    let ring = RingId(3);
    let expected = format!(
        "{}\n{}\n{:x} {:x}\n",
        hex(&command.to_bytes()),
        hex(&completion.to_bytes()),
        ring.register(RingRegister::Entries),
        ring.completion_doorbell()
    );
    let output = run(&folder, "./main", &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn the_header_is_cpp_as_well() {
    let folder = folder("cpp");
    std::fs::write(folder.join("main.cc"), "#include \"ringside_card.h\"\n").expect("the file");
    let arguments = [&["-std=c++11", "-fsyntax-only", "main.cc"][..], &STRICT].concat();
    run(&folder, "c++", &arguments);
}

#[test]
fn an_assertion_of_the_header_can_fail() {
    let folder = folder("fail");
    let wrong = header::render().replace("uint8_t opcode", "uint64_t opcode");
    std::fs::write(folder.join("ringside_card.h"), wrong).expect("the header");
    std::fs::write(folder.join("main.c"), "#include \"ringside_card.h\"\n").expect("the file");
    let arguments = ["-std=c11", "-fsyntax-only", "main.c"];
    let output = Process::new("cc")
        .args(arguments)
        .current_dir(&folder)
        .output();
    assert!(!output.expect("a compiler").status.success());
}
