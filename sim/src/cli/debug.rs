//! `ringside debug`: a run event by event, forwards and backwards.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;

use super::case::Chosen;
use super::{CliError, print};
use crate::debug::{Debugger, Order};

const EXAMPLES: &str = "\
Examples:
  ringside debug bug.toml
  ringside debug failover-brief --seed 4711 -c 'go violation' -c 'print card0'
  ringside debug bug.toml -c 'find request=17'

Exit status:
  0  every order was carried out
  2  no run, or an order on the command line was not carried out";

/// Look at a run event by event, forwards and backwards
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Debug {
    #[command(flatten)]
    chosen: Chosen,
    /// An order, in place of those on standard input; `help` lists them
    #[arg(long = "command", short = 'c', value_name = "ORDER")]
    orders: Vec<String>,
}

impl Debug {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let case = self.chosen.case()?;
        let mut debugger = Debugger::new(case).map_err(failed)?;
        if !self.orders.is_empty() {
            for line in &self.orders {
                let order: Order = line.parse().map_err(failed)?;
                print(&debugger.carry_out(&order).map_err(failed)?)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        converse(&mut debugger)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Takes orders from standard input until it ends. A mistake is told, and the next order taken.
fn converse(debugger: &mut Debugger) -> Result<(), CliError> {
    let is_typed = io::stdin().is_terminal();
    let mut last: Option<Order> = None;
    let mut lines = io::stdin().lock().lines();
    if is_typed {
        let (_, events) = debugger.position();
        print(&format!("{events} events; `help` lists the orders\n"))?;
    }
    loop {
        if is_typed {
            let (position, _) = debugger.position();
            print(&format!("{position}> "))?;
        }
        let Some(line) = lines.next() else {
            return Ok(());
        };
        let line = line.map_err(failed)?;
        let order = match (line.trim().is_empty(), &last) {
            (true, Some(order)) => Ok(order.clone()),
            (true, None) => continue,
            (false, _) => line.parse(),
        };
        let said = match order {
            Ok(Order::Quit) => return Ok(()),
            Ok(order) => {
                let said = debugger
                    .carry_out(&order)
                    .map_err(|error| error.to_string());
                last = Some(order);
                said
            }
            Err(error) => Err(error.to_string()),
        };
        match said {
            Ok(said) => print(&said)?,
            Err(error) => {
                // Nobody is left to tell if standard error is closed.
                let _ = writeln!(io::stderr(), "error: {error}");
            }
        }
    }
}

fn failed(error: impl std::error::Error + 'static) -> CliError {
    CliError::Case(Box::new(error))
}
