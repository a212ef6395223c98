//! `ringside serve`: a card on a socket, in real time.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use device_model::Card;
use serve::doorbell::DoorbellPage;
use serve::recording::{Recorder, ReplayError, Replayed, replay};
use serve::{Pacing, Slot, vfio_user, vhost_user};

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

const CRYPTO_EXAMPLES: &str = "\
Examples:
  ringside serve vhost-user-crypto --socket crypto0.sock
  ringside serve vhost-user-crypto --socket crypto0.sock --control crypto0.ctl --record crypto0.bus
  qemu-system-x86_64 -machine q35,memory-backend=mem0 -m 512 \\
      -object memory-backend-memfd,id=mem0,size=512M,share=on \\
      -chardev socket,id=crypto0,path=crypto0.sock \\
      -object cryptodev-vhost-user,id=dev0,chardev=crypto0 \\
      -device virtio-crypto-pci,cryptodev=dev0";

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(subcommand)]
    protocol: Protocol,
}

#[derive(Debug, Subcommand)]
enum Protocol {
    /// A PCI Express function for QEMU's vfio-user-pci, or for a driver in another process
    VfioUser(VfioUser),
    /// A virtio crypto device for QEMU's cryptodev-vhost-user
    VhostUserCrypto(VhostUserCrypto),
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
    /// Hide MSI-X, so that the card has its interrupt line only: QEMU can unplug no other
    #[arg(long)]
    no_msix: bool,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Args, Debug)]
struct Recording {
    /// What `ringside serve ... --record` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args, Debug)]
#[command(after_help = CRYPTO_EXAMPLES)]
struct VhostUserCrypto {
    /// Where to listen; a socket that a dead server left is taken over
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Name of a built-in profile, or path of a profile file: its engines and their timing
    #[arg(long, value_name = "PROFILE|FILE", default_value = "reference")]
    profile: String,
    /// How the card's time passes
    #[arg(long, value_enum, default_value_t)]
    pacing: PacingArg,
    /// Number of data queues; QEMU uses one
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=64))]
    queues: u16,
    #[command(flatten)]
    watch: Watch,
}

/// What all served cards have in common.
#[derive(Args, Debug)]
struct Watch {
    /// Where to take the orders of `ringside ctl`
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Write all that crosses the card's edge to a new file, keys and data included
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl Watch {
    fn recorder(&self) -> Result<Option<Recorder>, CliError> {
        let recorder = self.record.as_deref().map(Recorder::new);
        recorder.transpose().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> CliError {
        CliError::Write {
            path: self.record.clone().unwrap_or_default(),
            source,
        }
    }
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
            Protocol::VhostUserCrypto(crypto) => crypto.execute(),
        }
    }
}

impl From<PacingArg> for Pacing {
    fn from(pacing: PacingArg) -> Self {
        match pacing {
            PacingArg::Free => Self::Free,
            PacingArg::Timed => Self::Timed,
        }
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CliError {
    CliError::Serve(Box::new(error))
}

impl VhostUserCrypto {
    fn execute(&self) -> Result<ExitCode, CliError> {
        let profile = Device::find(&self.profile)?.profile;
        let name = profile.name.clone();
        let backend = vhost_user::Backend::new(profile, self.pacing.into(), self.queues);
        let mut backend = backend.map_err(failed)?;
        if let Some(recorder) = self.watch.recorder()? {
            backend.record(recorder);
        }
        let mut server = vhost_user::Server::new(&self.socket, backend);
        if let Some(path) = &self.watch.control {
            server = server.and_then(|server| server.with_control(path));
        }
        let mut server = server.map_err(failed)?;
        print(&format!("{name} on {}\n", self.socket.display()))?;
        let run = server.run(|ended| eprintln!("client left: {ended}"));
        run.map_err(failed)?;
        let ended = server.backend().end_recording();
        ended.map_err(|source| self.watch.failed(source))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl VfioUser {
    fn execute(&self) -> Result<ExitCode, CliError> {
        let profile = Device::find(&self.profile)?.profile;
        let name = profile.name.clone();
        let rings = profile.ring_pairs + 1;
        let card = Card::new(profile).map_err(failed)?;
        let page = (self.doorbells == Doorbells::Shared).then(|| DoorbellPage::new(rings));
        let page = page.transpose();
        let page = page.map_err(failed)?;
        let mut slot = Slot::new(card, self.pacing.into(), page);
        if self.no_msix {
            slot.hide_msix();
        }
        if let Some(recorder) = self.watch.recorder()? {
            slot.record(recorder);
        }
        let mut server = vfio_user::Server::new(&self.socket, slot);
        if let Some(path) = &self.watch.control {
            server = server.and_then(|server| server.with_control(path));
        }
        let mut server = server.map_err(failed)?;
        print(&format!("{name} on {}\n", self.socket.display()))?;
        let run = server.run(|ended| eprintln!("client left: {ended}"));
        run.map_err(failed)?;
        let ended = server.slot().end_recording();
        ended.map_err(|source| self.watch.failed(source))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Recording {
    fn execute(&self) -> Result<ExitCode, CliError> {
        let file = File::open(&self.file)
            .map_err(ReplayError::from)
            .map_err(failed)?;
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
