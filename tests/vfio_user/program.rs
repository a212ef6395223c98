//! The program itself, and cards that it serves in processes of their own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tests::program;

use crate::served::socket_path;

pub(crate) fn run(args: &[&str]) -> Output {
    let output = Command::new(program()).args(args).output();
    output.expect("a program that runs")
}

/// `ringside serve` in a process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) control: PathBuf,
}

impl Process {
    /// One that speaks `protocol`, on a socket of its own.
    pub(crate) fn new(protocol: &str, more: &[&str]) -> Self {
        Self::at(protocol, &socket_path(), more)
    }

    /// One on `socket`.
    pub(crate) fn at(protocol: &str, socket: &Path, more: &[&str]) -> Self {
        let control = socket.with_extension("ctl");
        let mut serve = Command::new(program());
        serve.args(["serve", protocol, "--socket"]).arg(socket);
        serve.arg("--control").arg(&control).args(more);
        let mut child = serve
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        // It says where it listens when it does.
        let mut said = [0; 1];
        let out = child.stdout.as_mut().expect("a pipe");
        std::io::Read::read_exact(out, &mut said).expect("a server that starts");
        Self {
            child,
            socket: socket.to_owned(),
            control,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process to tell");
    }

    /// Gives an order; what `ringside ctl` says of it.
    pub(crate) fn order(&self, words: &[&str]) -> Output {
        let control = self.control.to_str().expect("text");
        run(&[&["ctl", "--socket", control], words].concat())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
        let _ = std::fs::remove_file(&self.control);
    }
}
