//! What a run leaves behind: the summary, the time series and the marks for a report.

use serde::Serialize;
use timebase::{Span, Time};

/// Everything a run leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// Counts, latencies, checks, digest.
    pub summary: Summary,
    /// One series for each slot with a card, then one for the software driver if there is one.
    pub series: Vec<Series>,
    /// What happened when, for the time axis.
    pub marks: Vec<Mark>,
    /// Every event, if the run was asked to keep them; in order of time as recorded.
    pub log: Vec<crate::event::Record>,
    /// In which states faults struck, if the run was asked to follow them.
    pub coverage: Option<crate::coverage::Coverage>,
    /// What went wrong, if anything; in order of time.
    pub violations: Vec<Violation>,
    /// When each fault of the scenario happened, from the beginning of the workload; `None` if it
    /// did not.
    pub faults: Vec<Option<Span>>,
}

impl Outcome {
    /// Whether every check and every expectation held.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }
}

/// The answer at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Scenario that ran.
    pub scenario: String,
    /// Seed it ran with.
    pub seed: u64,
    /// Whether cards left the work out: no result was made or checked.
    pub timing_only: bool,
    /// Requests that called back.
    pub requests: u64,
    /// Payload bytes of those requests.
    pub bytes: u64,
    /// Pieces of input processed and found right.
    pub pieces: u64,
    /// Requests handed back by a driver (ERESTART).
    pub refusals: u64,
    /// Times a driver went from free to blocked.
    pub blocks: u64,
    /// Times a blocked driver was free again.
    pub unblocks: u64,
    /// Sessions that moved to another driver.
    pub migrations: u64,
    /// Requests that ended with the session's new name (EAGAIN).
    pub moved: u64,
    /// Requests that ended with their buffer in doubt (EIO) and were made anew by the consumer.
    pub interrupted: u64,
    /// Requests that the framework resubmitted by itself.
    pub resubmitted: u64,
    /// Falsified digests that were found out (EBADMSG), as they must be.
    pub tampered_caught: u64,
    /// Cards pulled out.
    pub unplugs: u64,
    /// Cards put in.
    pub plugs: u64,
    /// Virtual time from the first dispatch to the last callback, in picoseconds.
    pub elapsed_ps: u64,
    /// Latency from dispatch to callback, virtual.
    pub latency: Latency,
    /// Each card, then the software driver.
    pub drivers: Vec<DriverSummary>,
    /// Each check by name, with how often it looked.
    pub checks: Vec<CheckSummary>,
    /// Each fault of the scenario, with how far it came.
    pub faults: Vec<FaultSummary>,
    /// Events recorded.
    pub events: u64,
    /// Digest of every event of the run, 16 hexadecimal digits.
    pub digest: String,
}

/// Latency percentiles, in nanoseconds of virtual time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half are faster.
    pub p50_ns: u64,
    /// 90 of 100 are faster.
    pub p90_ns: u64,
    /// 99 of 100 are faster.
    pub p99_ns: u64,
    /// 999 of 1,000 are faster.
    pub p999_ns: u64,
    /// The slowest.
    pub max_ns: u64,
}

/// One driver's part.
#[derive(Clone, Debug, Serialize)]
pub struct DriverSummary {
    /// Name of the slot, or `software`.
    pub name: String,
    /// Requests it finished.
    pub requests: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Requests it handed back.
    pub refusals: u64,
    /// Thousandths of the run in which an engine lane was busy, mean over lanes; zero for software.
    pub utilisation_permille: u64,
    /// Interrupts it took; zero for software.
    pub interrupts: u64,
    /// Requests whose data was copied because no card could reach it.
    pub bounced: u64,
}

/// One check's part.
#[derive(Clone, Debug, Serialize)]
pub struct CheckSummary {
    /// Name of the check.
    pub name: String,
    /// How often it looked.
    pub looked: u64,
    /// How often it found something wrong.
    pub violations: u64,
}

/// How far one fault came; `docs/faults.md` defines the three counts.
#[derive(Clone, Debug, Serialize)]
pub struct FaultSummary {
    /// When it happens and what it does, in words.
    pub fault: String,
    /// 1 if the seed left it in the run, otherwise 0.
    pub armed: u64,
    /// How often it struck: messages for a rule on messages, 1 for anything else that happened.
    pub fired: u64,
    /// Signs that somebody outside of the link gave of it.
    pub observed: u64,
    /// The first of them.
    pub first_sign: Option<String>,
}

/// A check or expectation that did not hold.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// Name of the check.
    pub check: String,
    /// When, in picoseconds of virtual time.
    pub at_ps: u64,
    /// What was seen and what was expected.
    pub message: String,
}

/// One driver's course over virtual time, in equal steps.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name of the slot, or `software`.
    pub name: String,
    /// Length of one step.
    pub step: Span,
    /// One sample a step, from time zero.
    pub samples: Vec<Sample>,
    /// Ring slots the driver has in all, for the scale of occupancy; zero for software.
    pub ring_slots: u32,
}

/// One step of a driver's course.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Payload bytes finished in the step.
    pub bytes: u64,
    /// Requests finished in the step.
    pub requests: u64,
    /// Median latency of those requests.
    pub latency_p50: Span,
    /// 99th percentile of those requests.
    pub latency_p99: Span,
    /// Most ring slots in use at once during the step.
    pub occupancy_max: u32,
}

/// Something worth a mark on the time axis.
#[derive(Clone, Debug)]
pub struct Mark {
    /// When.
    pub at: Time,
    /// What kind.
    pub kind: MarkKind,
    /// Slot name of the driver concerned, or empty.
    pub driver: String,
    /// One line for people.
    pub text: String,
}

/// Kinds of marks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MarkKind {
    /// A driver refused and is blocked.
    Block,
    /// A blocked driver is free again.
    Unblock,
    /// A card was pulled out.
    Unplug,
    /// A card was put in.
    Plug,
    /// Sessions moved.
    Migrate,
    /// A fault other than a removal.
    Fault,
    /// A check did not hold.
    Violation,
}
