//! `cargo bench` for the benchmark in `examples/ratios/main.rs`.
//!
//! Cargo builds benchmarks for unwinding, whatever the profile says, and what ships aborts. So this
//! has the benchmark built and run as what ships is, with the same arguments.

use std::env;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "tests"])
        .args(["--example", "ratios", "--"])
        // Cargo passes `--bench`, and a filter if one was given.
        .args(env::args_os().skip(1).filter(|it| it != "--bench"))
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}
