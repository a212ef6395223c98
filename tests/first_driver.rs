//! A driver in C, made from nothing but the generated header, drives a served card, says what
//! fails on one that misbehaves, and is what its tutorial shows.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sim::datasheet::header;
use tests::program;

const PAGE: &str = include_str!("../docs/tutorial-c.md");
const SOURCES: [&str; 3] = [
    include_str!("../docs/c/first_driver.c"),
    include_str!("../docs/c/vfio_user.c"),
    include_str!("../docs/c/vfio_user.h"),
];

/// A folder with nothing in it but a link to `docs`.
struct Desk {
    folder: PathBuf,
    /// Servers that were started there.
    servers: Vec<Child>,
}

impl Desk {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        symlink(docs, folder.join("docs")).expect("a link");
        Self {
            folder,
            servers: Vec::new(),
        }
    }

    /// One with the program in it, compiled with `header`.
    fn with_program(name: &str, header: &str) -> Self {
        let desk = Self::new(name);
        std::fs::write(desk.folder.join("ringside_card.h"), header).expect("a header");
        let compile = "cc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -I. \
                       -o first_driver docs/c/first_driver.c docs/c/vfio_user.c";
        assert_eq!(desk.said(compile), "");
        desk
    }

    /// `line` as a shell runs it there, with `ringside` where programs are found. `exec`, so that
    /// whoever ends it ends the program.
    fn shell(&self, line: &str) -> Command {
        let folders = std::env::var("PATH").expect("folders of programs");
        let ours = program().parent().expect("a folder").display();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec {line} 2>&1"));
        shell.env("PATH", format!("{ours}:{folders}"));
        shell.current_dir(&self.folder).stdin(Stdio::null());
        shell
    }

    fn run(&self, line: &str) -> Output {
        self.shell(line).output().expect("a shell")
    }

    /// What `line` says, its complaints included.
    fn said(&self, line: &str) -> String {
        String::from_utf8(self.run(line).stdout).expect("text")
    }

    /// Starts a server, and waits for its first line.
    fn serve(&mut self, line: &str) -> String {
        let mut server = self.shell(line);
        let server = server.stdout(Stdio::piped()).spawn();
        let mut server = server.expect("a shell");
        let mut said = String::new();
        let output = server.stdout.as_mut().expect("a pipe");
        let read = BufReader::new(output).read_line(&mut said);
        read.expect("a server that says where it listens");
        self.servers.push(server);
        said
    }

    /// Runs the driver against `card0.sock`: its last line, and its exit status.
    fn drive(&self) -> (String, Option<i32>) {
        let output = self.run("./first_driver card0.sock");
        let said = String::from_utf8(output.stdout).expect("text");
        let last = said.lines().last().unwrap_or_default();
        (last.to_owned(), output.status.code())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Blocks of the page in `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let blocks = PAGE.split(&begin).skip(1);
    let end = |block: &'static str| block.split_once("```").expect("a block that ends").0;
    blocks.map(end).collect()
}

/// The commands of the page, each with what it shows them to say.
fn commands() -> Vec<(&'static str, String)> {
    let mut commands: Vec<(&str, String)> = Vec::new();
    for line in blocks("console").into_iter().flat_map(str::lines) {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command, String::new())),
            None => {
                let (_, said) = commands.last_mut().expect("a command before its output");
                said.push_str(line);
                said.push('\n');
            }
        }
    }
    commands
}

#[test]
fn the_tutorial_shows_the_program_as_it_is() {
    let blocks = blocks("c");
    assert!(blocks.len() >= 12, "a tutorial has examples");
    for block in blocks {
        let is_there = SOURCES.iter().any(|source| source.contains(block));
        assert!(is_there, "in none of the files:\n{block}");
    }
}

#[test]
fn the_commands_of_the_tutorial_say_what_it_shows() {
    let mut desk = Desk::new("tutorial");
    let commands = commands();
    assert!(commands.len() >= 12, "a tutorial has commands");
    for (command, expected) in commands {
        let said = match command.strip_suffix(" &") {
            Some(server) => desk.serve(server),
            // The shell's own redirection is that of the first output only.
            None if command.contains('>') => desk.said(&format!("sh -c '{command}'")),
            None => desk.said(command),
        };
        assert_eq!(said, expected, "{command}");
    }
}

#[test]
fn the_program_names_what_a_card_does_wrong() {
    let header = header::render();
    let mut desk = Desk::with_program("faults", &header);
    desk.serve("ringside serve vfio-user --socket card0.sock --control card0.ctl");
    let passed = ("PASSED".to_owned(), Some(0));
    let faults = [
        (
            "corrupt-output 1",
            "FAILED  the right ciphertext: byte 0 is 0xc5 and not 0xc4",
        ),
        (
            "drop-completion 2",
            "FAILED  an encryption: no completion, and no interrupt either",
        ),
        (
            "duplicate-completion 1",
            "FAILED  the end of a session: the completion is that of another command",
        ),
        (
            "corrupt-context 1",
            "FAILED  an encryption: the card answered status 0x0030 and not 0x0000",
        ),
    ];
    for (fault, expected) in faults {
        assert_eq!(desk.drive(), passed, "before {fault}");
        let order = format!("ringside ctl --socket card0.ctl fault {fault}");
        assert_eq!(desk.said(&order), "ok\n");
        assert_eq!(desk.drive(), (expected.to_owned(), Some(1)), "{fault}");
    }
    assert_eq!(desk.drive(), passed, "a reset heals all of them");
}

#[test]
fn the_program_takes_no_card_that_it_does_not_know() {
    let header = header::render();
    let other = header.replace("DEVICE_ID_RESET 0x52494e47u", "DEVICE_ID_RESET 0x52494e48u");
    assert_ne!(header, other);
    let mut desk = Desk::with_program("magic", &other);
    desk.serve("ringside serve vfio-user --socket card0.sock");
    let expected = "FAILED  a card: register DeviceId reads 0x52494e47 and not 0x52494e48";
    assert_eq!(desk.drive(), (expected.to_owned(), Some(1)));

    let mut desk = Desk::with_program("errata", &header);
    desk.serve("ringside serve vfio-user --socket card0.sock --profile errata");
    let expected = "FAILED  a card without errata: register Errata reads 0xfff";
    assert_eq!(desk.drive(), (expected.to_owned(), Some(1)));
}

#[test]
fn the_program_waits_for_no_server_for_ever() {
    let desk = Desk::with_program("silence", &header::render());
    let expected = "FAILED  the server: card0.sock: No such file or directory";
    assert_eq!(desk.drive(), (expected.to_owned(), Some(1)));
    // Somebody listens, and says nothing.
    let silent = std::os::unix::net::UnixListener::bind(desk.folder.join("card0.sock"));
    let _silent = silent.expect("a socket");
    let expected = "FAILED  a version of the protocol: the server does not answer";
    assert_eq!(desk.drive(), (expected.to_owned(), Some(1)));
    assert_eq!(desk.run("./first_driver").status.code(), Some(2));
}
