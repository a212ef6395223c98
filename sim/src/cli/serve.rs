//! `ringside serve`: a card on a socket, in real time.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use device_model::Card;
use serve::doorbell::DoorbellPage;
use serve::recording::{Recorder, ReplayError, Replayed, replay};
use serve::vfio_user::Server;
use serve::{Pacing, Slot};

use super::{CliError, STATUS_FAILED, print};
use crate::profile::Device;

const EXAMPLES: &str = "\
Examples:
  ringside serve vfio-user --socket card0.sock
  ringside serve vfio-user --socket card0.sock --control card0.ctl --record card0.bus
  ringside serve replay card0.bus
  qemu-system-x86_64 -machine q35,memory-backend=mem0 -m 512 \\
      -object memory-backend-memfd,id=mem0,size=512M,share=on \\
      -device '{\"driver\":\"vfio-user-pci\",\"socket\":\
{\"type\":\"unix\",\"path\":\"card0.sock\"}}'";

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(subcommand)]
    protocol: Protocol,
}

#[derive(Debug, Subcommand)]
enum Protocol {
    /// A PCI Express function for QEMU's vfio-user-pci, or for a driver in another process
    VfioUser(VfioUser),
    /// Do to a card in this process what was recorded, and compare all that it does, to the bit
    Replay(Recording),
}

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct VfioUser {
    /// Where to listen; a socket that a dead server left is taken over
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Name of a built-in profile, or path of a profile file
    #[arg(long, value_name = "PROFILE|FILE", default_value = "reference")]
    profile: String,
    /// How the card's time passes
    #[arg(long, value_enum, default_value_t)]
    pacing: PacingArg,
    /// How clients ring doorbells
    #[arg(long, value_enum, default_value_t)]
    doorbells: Doorbells,
    /// Where to take the orders of `ringside ctl`
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Write all that crosses the card's edge to a new file, keys and data included
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Recording {
    /// What `ringside serve vfio-user --record` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PacingArg {
    /// As fast as this machine can
    #[default]
    Free,
    /// As the profile says
    Timed,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Doorbells {
    /// With a message each
    #[default]
    Trapped,
    /// In memory that they map, at which the server looks all the time
    Shared,
}

impl Serve {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        match &self.protocol {
            Protocol::VfioUser(vfio_user) => vfio_user.execute(),
            Protocol::Replay(recording) => recording.execute(),
        }
    }
}

impl VfioUser {
    fn execute(&self) -> Result<ExitCode, CliError> {
        let profile = Device::find(&self.profile)?.profile;
        let name = profile.name.clone();
        let rings = profile.ring_pairs + 1;
        let card = Card::new(profile).map_err(|error| CliError::Serve(Box::new(error)))?;
        let page = (self.doorbells == Doorbells::Shared).then(|| DoorbellPage::new(rings));
        let page = page.transpose();
        let page = page.map_err(|error| CliError::Serve(Box::new(error)))?;
        let pacing = match self.pacing {
            PacingArg::Free => Pacing::Free,
            PacingArg::Timed => Pacing::Timed,
        };
        let mut slot = Slot::new(card, pacing, page);
        if let Some(path) = &self.record {
            let recorder = Recorder::new(path);
            slot.record(recorder.map_err(|source| CliError::Write {
                path: path.clone(),
                source,
            })?);
        }
        let mut server = Server::new(&self.socket, slot);
        if let Some(path) = &self.control {
            server = server.and_then(|server| server.with_control(path));
        }
        let mut server = server.map_err(|error| CliError::Serve(Box::new(error)))?;
        print(&format!("{name} on {}\n", self.socket.display()))?;
        let run = server.run(|ended| eprintln!("client left: {ended}"));
        run.map_err(|error| CliError::Serve(Box::new(error)))?;
        let ended = server.slot().end_recording();
        ended.map_err(|source| CliError::Write {
            path: self.record.clone().unwrap_or_default(),
            source,
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Recording {
    fn execute(&self) -> Result<ExitCode, CliError> {
        let failed = |error: ReplayError| CliError::Serve(Box::new(error));
        let file = File::open(&self.file).map_err(|error| failed(error.into()))?;
        let found = match replay(BufReader::new(file)) {
            Ok(found) => found,
            Err(error @ ReplayError::Diverged { .. }) => {
                print(&format!("FAILED  {error}\n"))?;
                return Ok(ExitCode::from(STATUS_FAILED));
            }
            Err(error) => return Err(failed(error)),
        };
        let cut = match found.is_cut {
            true => "; its end was not written",
            false => "",
        };
        let Replayed { inputs, events, .. } = found;
        print(&format!(
            "PASSED  {inputs} inputs, {events} events, all as recorded{cut}\n"
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
