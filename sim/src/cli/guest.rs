//! `ringside qemu`, `ringside guest-check`, `ringside guest-bench`: the whole stack in a guest.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use dma::Pool;
use driver::vfio_user::VfioUser;
use timebase::Span;

use super::{CliError, STATUS_FAILED, print};
use crate::guest::cache::Cache;
use crate::guest::machine::{Line, Machine, virtio_crypto};
use crate::guest::{Figure, POOL_BYTES, Path, Plan, RING_ENTRIES, Rig, bench, check, ratios};
#[cfg(feature = "vfio")]
use crate::guest::{Found, find, give_to_vfio};

/// Slots of the rings that are measured.
const BENCH_ENTRIES: u32 = 256;
/// Exit status of a guest that went before its command ended.
const STATUS_GONE: u8 = 3;

const QEMU_EXAMPLES: &str = "\
Examples:
  ringside qemu                                  a shell in a guest with one card
  ringside qemu --cards 2                        the same with two
  ringside qemu ringside guest-check             check the card from inside, then switch off
  ringside qemu --doorbells shared ringside guest-bench
  ringside qemu --no-msix                        a card to unplug: Ctrl-A C, device_del card0

The first time, QEMU and a Debian kernel are fetched into the cache with this machine's package
manager; nothing is installed. The CPU is always emulated, never KVM. What runs in the guest as
`ringside` is this program: to check a card there, build it with --features vfio.";

const CHECK_EXAMPLES: &str = "\
Examples:
  ringside guest-check                           cards in slots, through vfio-pci
  ringside guest-check --socket card0.sock       a served card, without a guest
  ringside guest-check --json                    one JSON object a line, the verdict last

Exit status:
  0  every check held
  1  a check did not hold
  2  no check was made: no card, or one that cannot be used";

/// Boot a guest with cards in it, and a shell or one command
#[derive(Args, Debug)]
#[command(after_help = QEMU_EXAMPLES)]
pub(super) struct Qemu {
    /// Number of cards
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=8))]
    cards: u8,
    /// Name of a built-in profile, or path of a profile file
    #[arg(long, value_name = "PROFILE|FILE", default_value = "reference")]
    profile: String,
    /// How the cards' time passes: free or timed
    #[arg(long, value_name = "HOW", default_value = "free")]
    pacing: String,
    /// How the guest rings doorbells: trapped or shared
    #[arg(long, value_name = "HOW", default_value = "trapped")]
    doorbells: String,
    /// Hide MSI-X and put each card behind a port of its own, so that QEMU can unplug it
    #[arg(long)]
    no_msix: bool,
    /// Where QEMU's machine protocol (QMP) listens
    #[arg(long, value_name = "PATH")]
    monitor: Option<PathBuf>,
    /// Put two virtio crypto devices into the guest too, to compare: QEMU's own and a served one
    #[arg(long)]
    crypto: bool,
    /// Program to put into the guest as `ringside` [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Folder for QEMU and the kernel [default: ringside in the user's cache]
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Fetch what is missing, and do no more
    #[arg(long)]
    fetch_only: bool,
    /// Seconds after which a command in the guest is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
    /// Command to run in the guest instead of a shell
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

/// Which cards there are to work with.
#[derive(Args, Debug)]
struct Cards {
    /// Socket of a served card, instead of the cards in slots; may be given again
    #[arg(long, value_name = "PATH")]
    socket: Vec<PathBuf>,
}

/// Check the whole stack with the cards of this machine
#[derive(Args, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub(super) struct GuestCheck {
    #[command(flatten)]
    cards: Cards,
    /// Print one JSON object for each check, and one for the verdict
    #[arg(long)]
    json: bool,
    /// Where all chance comes from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Seconds that a single check may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// At the end, wait until a card is taken away, and see that nothing is lost with it
    #[arg(long)]
    await_loss: bool,
    /// After that, wait until a card comes into a slot, and see that it is put to work
    #[arg(long, requires = "await_loss", conflicts_with = "socket")]
    await_return: bool,
}

/// Measure what a request costs with the cards of this machine
#[derive(Args, Debug)]
pub(super) struct GuestBench {
    #[command(flatten)]
    cards: Cards,
    /// Print one JSON object for each figure
    #[arg(long)]
    json: bool,
    /// Milliseconds for each figure
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    time: u64,
    /// Microseconds to look for a completion before sleeping until an interrupt, if the last one
    /// came so soon
    #[arg(long, value_name = "US", default_value_t = 200)]
    poll: u64,
}

fn failed(error: impl Into<Box<dyn Error>>) -> CliError {
    CliError::Guest(error.into())
}

impl Cards {
    fn open(&self, ring_entries: u32) -> Result<Rig, CliError> {
        let pool = Pool::shared(POOL_BYTES).map_err(failed)?;
        let paths = if self.socket.is_empty() {
            in_slots(&pool)?
        } else {
            let connect = |path: &PathBuf| VfioUser::connect(path, pool.clone()).map(Path::from);
            let paths: Result<Vec<_>, _> = self.socket.iter().map(connect).collect();
            paths.map_err(failed)?
        };
        Rig::new(paths, pool, ring_entries).map_err(failed)
    }
}

#[cfg(feature = "vfio")]
fn in_slots(pool: &Pool) -> Result<Vec<Path>, CliError> {
    let found = find().map_err(failed)?;
    if found.is_empty() {
        return Err(failed("no card in any slot of this machine"));
    }
    let paths: Result<Vec<_>, _> = found.iter().map(|card| attach(card, pool)).collect();
    paths.map_err(CliError::Guest)
}

#[cfg(feature = "vfio")]
fn attach((path, _): &Found, pool: &Pool) -> Result<Path, Box<dyn Error>> {
    give_to_vfio(path)?;
    Ok(driver::vfio::Vfio::attach(path, pool.clone()).map(Path::from)?)
}

/// Looks for a card that none of `known` is. One that the kernel is not done with yet is none.
#[cfg(feature = "vfio")]
fn look(known: &mut Vec<Found>, pool: &Pool) -> Option<Path> {
    let found = find().ok()?;
    let fresh = found.into_iter().find(|card| !known.contains(card))?;
    let path = attach(&fresh, pool).ok()?;
    known.push(fresh);
    Some(path)
}

#[cfg(not(feature = "vfio"))]
fn in_slots(_pool: &Pool) -> Result<Vec<Path>, CliError> {
    Err(failed(
        "this program was built without the feature vfio: name a served card with --socket",
    ))
}

impl GuestCheck {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let mut rig = self.cards.open(RING_ENTRIES)?;
        let plan = Plan {
            patience: Span::from_ms(self.patience.saturating_mul(1000)),
            await_loss: self.await_loss,
            await_return: self.await_return,
            seed: self.seed,
        };
        let mut trouble = None;
        let mut checks = 0;
        #[cfg(feature = "vfio")]
        let mut known = find().map_err(failed)?;
        #[cfg(feature = "vfio")]
        let mut look = |pool: &Pool| look(&mut known, pool);
        #[cfg(not(feature = "vfio"))]
        let mut look = |_: &Pool| None;
        let passed = check(&mut rig, plan, &mut look, &mut |finding| {
            checks += 1;
            let text = if self.json {
                serde_json::to_string(finding).expect("a finding is plain data")
            } else if finding.detail.is_empty() {
                format!("..    {:24} this waits for you", finding.check)
            } else {
                let word = if finding.passed { "ok  " } else { "FAIL" };
                let (check, detail) = (&finding.check, &finding.detail);
                let (requests, interrupts) = (finding.requests, finding.interrupts);
                format!(
                    "{word}  {check:24} {requests:6} requests {interrupts:6} interrupts  {detail}"
                )
            };
            if let Err(error) = print(&(text + "\n")) {
                trouble = Some(error);
            }
        });
        trouble.map_or(Ok(()), Err)?;
        let verdict = if passed { "passed" } else { "failed" };
        if self.json {
            print(&format!(
                "{}\n",
                serde_json::json!({ "verdict": verdict, "checks": checks })
            ))?;
        } else {
            print(&format!("{verdict}\n"))?;
        }
        Ok(ExitCode::from(if passed { 0 } else { STATUS_FAILED }))
    }
}

impl GuestBench {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let mut rig = self.cards.open(BENCH_ENTRIES)?;
        rig.patience = Span::from_us(self.poll);
        let mut trouble = None;
        if !self.json {
            print(
                "through    suite         bytes  in flight   µs a request      MB/s  interrupts\n",
            )?;
        }
        let mut figures = Vec::new();
        let done = bench(&mut rig, Span::from_ms(self.time), &mut |figure| {
            let text = if self.json {
                serde_json::to_string(figure).expect("a figure is plain data")
            } else {
                let interrupts = figure.interrupts_percent;
                let interrupts = interrupts.map_or("-".to_owned(), |it| format!("{it:.1} %"));
                format!(
                    "{:10} {:12} {:6} {:10} {:14.2} {:9.2} {interrupts:>11}",
                    figure.through,
                    figure.suite,
                    figure.bytes,
                    figure.in_flight,
                    figure.request_us,
                    figure.megabytes_per_s,
                )
            };
            figures.push(figure.clone());
            if let Err(error) = print(&(text + "\n")) {
                trouble = Some(error);
            }
        });
        done.map_err(failed)?;
        trouble.map_or(Ok(()), Err)?;
        self.compare(&figures)
    }
}

impl GuestBench {
    /// Prints what requests cost beside those through QEMU's own virtio crypto device.
    fn compare(&self, figures: &[Figure]) -> Result<ExitCode, CliError> {
        for (figure, ratio) in ratios(figures) {
            let (through, bytes, in_flight) = (figure.through, figure.bytes, figure.in_flight);
            let text = if self.json {
                let ratio = serde_json::json!({
                    "through": through, "bytes": bytes, "in_flight": in_flight,
                    "time_by_builtin": ratio,
                });
                ratio.to_string()
            } else {
                format!(
                    "{through:10} {bytes:6} bytes, {in_flight:2} in flight: \
                     {ratio:.2} of the time of builtin"
                )
            };
            print(&(text + "\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A card that a child of this process serves.
struct Server {
    process: Child,
    socket: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Qemu {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let cache = Cache::prepare(self.cache.as_deref()).map_err(failed)?;
        if self.fetch_only {
            return Ok(ExitCode::SUCCESS);
        }
        let this = std::env::current_exe().map_err(failed)?;
        let servers: Result<Vec<_>, _> = (0..self.cards).map(|n| self.serve(&this, n)).collect();
        let mut servers = servers?;
        let cards = servers.iter().map(|server| server.socket.clone());
        let cards = cards.collect();
        let mut arguments = Vec::new();
        if self.crypto {
            let server = self.serve_crypto(&this)?;
            arguments = virtio_crypto(&server.socket);
            servers.push(server);
        }
        let machine = Machine {
            cards,
            program: Some(self.program.clone().unwrap_or(this)),
            script: (!self.command.is_empty()).then(|| self.script()),
            has_ports: self.no_msix,
            monitor: self.monitor.clone(),
            arguments,
        };
        if self.command.is_empty() {
            let is_well = machine.run_on_terminal(&cache).map_err(failed)?;
            return Ok(ExitCode::from(if is_well { 0 } else { STATUS_GONE }));
        }
        let mut guest = machine.boot(&cache).map_err(failed)?;
        loop {
            match guest.line(Duration::from_secs(self.patience)) {
                Line::Said(line) => print(&(line + "\n"))?,
                Line::Ended(status) => {
                    let _ = guest.power_off();
                    return Ok(ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX)));
                }
                Line::Gone | Line::Late => {
                    print(&guest.log())?;
                    return Ok(ExitCode::from(STATUS_GONE));
                }
            }
        }
    }

    /// The command as the guest's shell takes it, each word as it is.
    fn script(&self) -> String {
        let words = self.command.iter();
        let quoted = words.map(|word| format!("'{}'", word.replace('\'', r"'\''")));
        quoted.collect::<Vec<_>>().join(" ") + " 2>&1"
    }

    fn serve(&self, this: &std::path::Path, number: u8) -> Result<Server, CliError> {
        let name = format!("ringside-{}-card{number}.sock", std::process::id());
        Server::start(self.card(this), &name)
    }

    /// What serves a card, but for its socket.
    fn card(&self, this: &std::path::Path) -> Command {
        let mut command = Command::new(this);
        command.args(["serve", "vfio-user", "--profile", &self.profile]);
        command.args(["--pacing", &self.pacing, "--doorbells", &self.doorbells]);
        command.args(self.no_msix.then_some("--no-msix"));
        command
    }

    fn serve_crypto(&self, this: &std::path::Path) -> Result<Server, CliError> {
        let name = format!("ringside-{}-crypto.sock", std::process::id());
        let mut command = Command::new(this);
        command.args(["serve", "vhost-user-crypto", "--profile", &self.profile]);
        command.args(["--pacing", &self.pacing]);
        Server::start(command, &name)
    }
}

impl Server {
    /// Starts a server that listens on the socket `name`, and waits until it does.
    fn start(mut command: Command, name: &str) -> Result<Self, CliError> {
        let socket = std::env::temp_dir().join(name);
        command.arg("--socket").arg(&socket);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(failed)?;
        // It says its name once it listens.
        let mut said = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output)
                .read_line(&mut said)
                .map_err(failed)?;
        }
        if said.is_empty() {
            let _ = process.wait();
            return Err(failed("the card's server did not start"));
        }
        Ok(Self { process, socket })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        qemu: Qemu,
    }

    fn qemu(words: &[&str]) -> Qemu {
        Line::parse_from([&["qemu"], words].concat()).qemu
    }

    #[test]
    fn words_reach_the_guest_as_they_are() {
        let qemu = qemu(&["echo", "it's", "a b"]);
        assert_eq!(qemu.script(), r"'echo' 'it'\''s' 'a b' 2>&1");
    }

    #[test]
    fn a_card_is_served_as_it_was_asked_for() {
        let served = |words: &[&str]| {
            let command = qemu(words).card(std::path::Path::new("ringside"));
            let words = command.get_args().map(|word| word.to_string_lossy());
            words.collect::<Vec<_>>().join(" ")
        };
        let usual = "serve vfio-user --profile reference --pacing free --doorbells trapped";
        assert_eq!(served(&[]), usual);
        assert_eq!(served(&["--no-msix"]), usual.to_owned() + " --no-msix");
        assert_eq!(
            served(&[
                "--profile",
                "slow",
                "--pacing",
                "timed",
                "--doorbells",
                "shared"
            ]),
            "serve vfio-user --profile slow --pacing timed --doorbells shared"
        );
    }
}
