//! A driver in C runs on a card in virtual time, survives what happens to the card, and is what its
//! tutorial shows. The header and the library are one.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tests::{program, static_library};

const PAGE: &str = include_str!("../docs/tutorial-c-world.md");
const HEADER: &str = include_str!("../capi/ringside_world.h");
const SOURCES: [&str; 2] = [include_str!("../docs/c/simulated_driver.c"), HEADER];

/// Hands NULL, nonsense and numbers out of range to every function: prints each code.
const ABUSE: &str = r#"
#include <stdio.h>
#include <string.h>
#include "ringside_world.h"

#define SHOW(call) printf("%d %s\n", (call), #call)

int main(void)
{
	struct ringside_world *w = NULL;
	uint32_t value;
	uint64_t number, vectors[2];
	void *memory;
	char text[8];
	size_t count;

	SHOW(ringside_world_new(NULL, 0, NULL));
	SHOW(ringside_world_new("name = ", 0, &w));
	SHOW(ringside_world_new("\xff", 0, &w));
	SHOW(ringside_world_new("[[card]]\n[[card]]\n", 0, &w));
	SHOW(ringside_world_read32(w, 0, &value));
	SHOW(ringside_world_write32(w, 0, 0));
	SHOW(ringside_world_allocate(w, 1, &memory, &number));
	SHOW(ringside_world_release(w, 0));
	SHOW(ringside_world_now(w, &number));
	SHOW(ringside_world_advance(w, 1));
	SHOW(ringside_world_wait(w, 1, vectors));
	SHOW(ringside_world_fault(w, ""));
	SHOW(ringside_world_violations(w, text, sizeof(text), &count));
	SHOW(ringside_world_digest(w, &number));
	ringside_world_free(w);
	SHOW(ringside_world_new(NULL, 0, &w));
	SHOW(ringside_world_read32(w, 0, NULL));
	SHOW(ringside_world_read32(w, 2, &value));
	SHOW(ringside_world_write32(w, 0xfffffffc, 0));
	SHOW(ringside_world_allocate(w, 0, &memory, &number));
	SHOW(ringside_world_allocate(w, (size_t)-1, &memory, &number));
	SHOW(ringside_world_allocate(w, 1, NULL, &number));
	SHOW(ringside_world_allocate(w, 1, &memory, NULL));
	SHOW(ringside_world_release(w, 12345));
	SHOW(ringside_world_now(w, NULL));
	SHOW(ringside_world_advance(w, UINT64_MAX));
	SHOW(ringside_world_wait(w, UINT64_MAX, vectors));
	SHOW(ringside_world_wait(w, 0, NULL));
	SHOW(ringside_world_fault(w, NULL));
	SHOW(ringside_world_fault(w, "fault = 3"));
	SHOW(ringside_world_fault(w, "fault = [{ at_us = 1, rebalance = true }]"));
	SHOW(ringside_world_violations(w, NULL, 1, &count));
	SHOW(ringside_world_violations(w, text, 1, NULL));
	SHOW(ringside_world_digest(w, NULL));
	/* The world is as good as before, and finds what is wrong with its driver. */
	SHOW(ringside_world_write32(w, 0x08, 1));
	SHOW(ringside_world_violations(w, text, sizeof(text), &count));
	printf("%zu of %zu\n", strlen(text), count);
	SHOW(ringside_world_violations(w, NULL, 0, &count));
	printf("%d\n", strlen(ringside_world_why()) > 0);
	ringside_world_free(w);
	return 0;
}
"#;

/// A folder with nothing in it but links to what the page names.
struct Desk(PathBuf);

impl Desk {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let library = static_library().to_owned();
        for (name, target) in [
            ("docs", root.join("docs")),
            ("capi", root.join("capi")),
            ("libringside_world.a", library),
        ] {
            symlink(target, folder.join(name)).expect("a link");
        }
        Self(folder)
    }

    /// One with the page's program in it.
    fn with_program(name: &str) -> Self {
        let desk = Self::new(name);
        for (command, _) in commands().iter().take(2) {
            assert_eq!(desk.said(command), "", "{command}");
        }
        desk
    }

    fn run(&self, line: &str) -> Output {
        let folders = std::env::var("PATH").expect("folders of programs");
        let ours = program().parent().expect("a folder").display();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).stdin(Stdio::null());
        shell.env("PATH", format!("{ours}:{folders}"));
        shell.current_dir(&self.0).output().expect("a shell")
    }

    /// What `line` says, its complaints included.
    fn said(&self, line: &str) -> String {
        let Output { stdout, stderr, .. } = self.run(line);
        String::from_utf8([stdout, stderr].concat()).expect("text")
    }
}

/// The commands of the page, each with what it shows them to say.
fn commands() -> Vec<(&'static str, String)> {
    let mut commands: Vec<(&str, String)> = Vec::new();
    for block in PAGE.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").expect("a block that ends");
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => commands.push((command, String::new())),
                None => {
                    let (_, said) = commands.last_mut().expect("a command first");
                    said.push_str(line);
                    said.push('\n');
                }
            }
        }
    }
    commands
}

#[test]
fn the_commands_of_the_tutorial_say_what_it_shows() {
    let desk = Desk::new("c-world");
    let commands = commands();
    assert!(commands.len() >= 7, "a tutorial has commands");
    for (command, expected) in commands {
        assert_eq!(desk.said(command), expected, "{command}");
    }
}

#[test]
fn the_tutorial_shows_the_program_as_it_is() {
    let blocks: Vec<_> = PAGE.split("```c\n").skip(1).collect();
    assert!(blocks.len() >= 6, "a tutorial has examples");
    for block in blocks {
        let (block, _) = block.split_once("```").expect("a block that ends");
        let is_there = SOURCES.iter().any(|source| source.contains(block));
        assert!(is_there, "in none of the files:\n{block}");
    }
}

#[test]
fn a_card_may_be_pulled_out_at_any_moment_of_a_run() {
    let desk = Desk::with_program("c-unplug");
    // One process for all moments, because starting one takes longer than a run.
    let line = "for at in $(seq 0 7 300); do ./simulated_driver $at \
                \"fault = [{ at_us = $at, unplug = 'card0' }]\" >>said; echo $? >>ends; done; \
                sort ends | uniq -c; grep -c 'checkers: 0' said";
    let said = desk.said(line);
    let words: Vec<&str> = said.split_whitespace().collect();
    let [gone, "3", clean] = words[..] else {
        panic!("every run ends in good order: {said}");
    };
    assert_eq!((gone, clean), ("43", "43"));
}

#[test]
fn one_seed_is_one_run_and_another_seed_is_another() {
    let desk = Desk::new("c-digest");
    let program = r#"
#include <stdio.h>
#include <stdlib.h>
#include "ringside_world.h"

int main(int argc, char **argv)
{
	const char *scenario = "write_jitter_ns = 500\n[[card]]\n";
	struct ringside_world *w;
	uint64_t digest;
	uint32_t at;

	if (argc != 2 || ringside_world_new(scenario, strtoull(argv[1], NULL, 10), &w))
		return 1;
	for (at = 0; at < 20; at++)
		if (ringside_world_write32(w, 0x10, at) || ringside_world_advance(w, 2000))
			return 1;
	if (ringside_world_digest(w, &digest))
		return 1;
	printf("%016llx\n", (unsigned long long)digest);
	ringside_world_free(w);
	return 0;
}
"#;
    desk.compile("digest", program);
    let digests = [1, 1, 2].map(|seed| desk.said(&format!("./digest {seed}")));
    assert_eq!(digests[0].len(), 17, "{}", digests[0]);
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], digests[2]);
}

impl Desk {
    fn compile(&self, name: &str, program: &str) {
        std::fs::write(self.0.join(format!("{name}.c")), program).expect("a program");
        let strict = "-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -Icapi";
        let line = format!("cc {strict} -o {name} {name}.c libringside_world.a -lpthread -ldl -lm");
        assert_eq!(self.said(&line), "");
    }
}

#[test]
fn bad_arguments_are_refused_with_a_code_and_harm_nothing() {
    let desk = Desk::new("c-abuse");
    desk.compile("abuse", ABUSE);
    let output = desk.run("./abuse");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{:?}: {said}", output.status);
    let codes: Vec<&str> = said
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let without_world = ["1", "4", "4", "4"].into_iter().chain(["1"; 10]);
    let with_world = [
        "0", "1", "2", "2", "3", "3", "1", "1", "3", "1", "5", "5", "1", "1", "4", "4", "1", "1",
        "1",
    ];
    let after = ["0", "0", "7", "0", "1"];
    let expected: Vec<&str> = without_world.chain(with_world).chain(after).collect();
    assert_eq!(codes, expected, "{said}");
    assert!(said.contains("7 of 1\n"), "{said}");
}

#[test]
fn the_header_is_cpp_as_well_and_names_every_function_of_the_library() {
    let desk = Desk::new("c-header");
    std::fs::write(desk.0.join("main.cc"), "#include \"ringside_world.h\"\n").expect("a file");
    let strict = "-std=c++11 -Wall -Wextra -pedantic -Werror -Icapi -fsyntax-only";
    assert_eq!(desk.said(&format!("c++ {strict} main.cc")), "");
    let names = |text: &'static str, before: &str| {
        let mut names: Vec<&str> = text
            .split(before)
            .skip(1)
            .filter_map(|rest| rest.split_once('('))
            .map(|(name, _)| name)
            .filter(|name| name.starts_with("ringside_world_"))
            .collect();
        names.sort_unstable();
        names
    };
    let exported = names(include_str!("../capi/src/lib.rs"), "extern \"C\" fn ");
    assert_eq!(exported.len(), 13);
    for name in exported {
        assert!(HEADER.contains(&format!("{name}(")), "{name}");
        let is_used = ABUSE.contains(name) || name == "ringside_world_new";
        assert!(is_used, "{name} is called by a test");
    }
}
