//! `ringside serve`: a card on a socket, in real time.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use device_model::Card;
use serve::doorbell::DoorbellPage;
use serve::vfio_user::Server;
use serve::{Pacing, Slot};

use super::{CliError, print};
use crate::profile::Device;

const EXAMPLES: &str = "\
Examples:
  ringside serve vfio-user --socket card0.sock
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
        let Protocol::VfioUser(vfio_user) = &self.protocol;
        vfio_user.execute()
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
        let slot = Slot::new(card, pacing, page);
        let server = Server::new(&self.socket, slot);
        let mut server = server.map_err(|error| CliError::Serve(Box::new(error)))?;
        print(&format!("{name} on {}\n", self.socket.display()))?;
        let run = server.run(|ended| eprintln!("client left: {ended}"));
        run.map_err(|error| CliError::Serve(Box::new(error)))?;
        Ok(ExitCode::SUCCESS)
    }
}
