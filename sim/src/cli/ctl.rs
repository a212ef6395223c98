//! `ringside ctl`: orders to a card that is served.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{CliError, STATUS_ERROR, print};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  ringside serve vfio-user --socket card0.sock --control card0.ctl &
  ringside ctl --socket card0.ctl unplug
  ringside ctl --socket card0.ctl plug
  ringside ctl --socket card0.ctl fault drop-completion 3
  ringside ctl --socket card0.ctl stats";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Ctl {
    /// The control socket of the server
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Put a new card into the empty slot
    Plug,
    /// Pull the card out at once; what is under way is lost
    Unplug,
    /// Ask the client to give the card back
    Remove,
    /// Make the card misbehave; the names are those of latches in scenarios
    Fault {
        /// Which way
        name: String,
        /// Which event, for faults that count: 1 is the next
        nth: Option<u64>,
    },
    /// Print what the card did, as JSON
    Stats,
}

impl Ctl {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let answer = self.ask().map_err(|source| CliError::Control {
            path: self.socket.clone(),
            source,
        })?;
        if let Some(why) = answer.strip_prefix("error: ") {
            eprint!("error: the server refused: {why}");
            return Ok(ExitCode::from(STATUS_ERROR));
        }
        print(&answer)?;
        Ok(ExitCode::SUCCESS)
    }

    fn ask(&self) -> io::Result<String> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let line = match &self.order {
            Order::Plug => "plug".to_owned(),
            Order::Unplug => "unplug".to_owned(),
            Order::Remove => "remove".to_owned(),
            Order::Stats => "stats".to_owned(),
            Order::Fault { name, nth: None } => format!("fault {name}"),
            Order::Fault {
                name,
                nth: Some(nth),
            } => format!("fault {name} {nth}"),
        };
        socket.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer)?;
        if answer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }
}
