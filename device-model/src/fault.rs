//! Latches: what silicon itself does wrong, pulled from outside.
//!
//! A latch shows that a checker can fail, or gives a driver's recovery something to recover from.
//! What goes wrong around the card (on the link, in memory) is not here; that is a layer around a
//! seam.
//!
//! Latches that name the `nth` event count from the moment they are pulled, beginning with zero,
//! and act once. Of each kind, the last one pulled counts.

use regs::{DeviceAddr, Errata};

/// One misbehaviour of the card.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Latch {
    /// From now on, a destroyed session leaves its raw keys in context memory. A function reset or
    /// loss of power still cleans it.
    KeepKeysOnDestroy,
    /// No command finishes any more. A function reset heals it.
    HangEngines,
    /// The scheduler stops: nothing is fetched and the heartbeat stands still. A function reset
    /// heals it.
    HangScheduler,
    /// A command runs, but its completion is never written.
    DropCompletion {
        /// Which completion.
        nth: u64,
    },
    /// A completion is written twice, if the ring has room for two.
    DuplicateCompletion {
        /// Which completion.
        nth: u64,
    },
    /// One bit of a command's output is flipped.
    CorruptOutput {
        /// Which command, among those that write output.
        nth: u64,
    },
    /// Context memory gives a context with an error in it.
    ContextError {
        /// Which command, among those that use a context.
        nth: u64,
        /// Whether one bit is wrong, which the card corrects, or more, which fails the command.
        is_corrected: bool,
    },
    /// The noise of the entropy source stands still.
    StickEntropy,
    /// A command also writes to [`STRAY_ADDR`], which the card was never given.
    WriteOutsideWindow {
        /// Which command, among those that reach the engine.
        nth: u64,
    },
}

impl Latch {
    /// What the latches are called in scenarios and tools.
    pub const NAMES: [&str; 10] = [
        "keep-keys-on-destroy",
        "hang-engines",
        "hang-scheduler",
        "drop-completion",
        "duplicate-completion",
        "corrupt-output",
        "corrected-context",
        "corrupt-context",
        "stick-entropy",
        "write-outside-window",
    ];

    /// The latch called `name`; those that count act on the `nth` event, from zero. `None` if none
    /// is called that.
    #[must_use]
    pub fn named(name: &str, nth: u64) -> Option<Self> {
        Some(match name {
            "keep-keys-on-destroy" => Self::KeepKeysOnDestroy,
            "hang-engines" => Self::HangEngines,
            "hang-scheduler" => Self::HangScheduler,
            "drop-completion" => Self::DropCompletion { nth },
            "duplicate-completion" => Self::DuplicateCompletion { nth },
            "corrupt-output" => Self::CorruptOutput { nth },
            "corrected-context" | "corrupt-context" => Self::ContextError {
                nth,
                is_corrected: name == "corrected-context",
            },
            "stick-entropy" => Self::StickEntropy,
            "write-outside-window" => Self::WriteOutsideWindow { nth },
            _ => return None,
        })
    }

    /// What the latch is called; one of [`NAMES`](Self::NAMES).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeepKeysOnDestroy => "keep-keys-on-destroy",
            Self::HangEngines => "hang-engines",
            Self::HangScheduler => "hang-scheduler",
            Self::DropCompletion { .. } => "drop-completion",
            Self::DuplicateCompletion { .. } => "duplicate-completion",
            Self::CorruptOutput { .. } => "corrupt-output",
            Self::ContextError {
                is_corrected: true, ..
            } => "corrected-context",
            Self::ContextError { .. } => "corrupt-context",
            Self::StickEntropy => "stick-entropy",
            Self::WriteOutsideWindow { .. } => "write-outside-window",
        }
    }

    /// The event it acts on, counted from zero; `None` if it acts at once.
    #[must_use]
    pub const fn nth(self) -> Option<u64> {
        match self {
            Self::KeepKeysOnDestroy
            | Self::HangEngines
            | Self::HangScheduler
            | Self::StickEntropy => None,
            Self::DropCompletion { nth }
            | Self::DuplicateCompletion { nth }
            | Self::CorruptOutput { nth }
            | Self::ContextError { nth, .. }
            | Self::WriteOutsideWindow { nth } => Some(nth),
        }
    }

    /// Whether it acts on an event that is counted, and not at once.
    #[must_use]
    pub const fn counts(self) -> bool {
        self.nth().is_some()
    }
}

/// Where [`Latch::WriteOutsideWindow`] writes.
pub const STRAY_ADDR: DeviceAddr = DeviceAddr(0x0BAD_0BAD_0000);

/// Counts down to the event that a latch names.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Countdown(Option<u64>);

impl Countdown {
    /// Whether this event is the one.
    #[inline]
    pub(crate) fn strikes(&mut self) -> bool {
        match self.0 {
            None => false,
            Some(0) => {
                self.0 = None;
                true
            }
            Some(left) => {
                self.0 = Some(left - 1);
                false
            }
        }
    }
}

/// The latches of a card.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Latches {
    pub(crate) keep_keys: bool,
    pub(crate) engines_hang: bool,
    pub(crate) scheduler_hangs: bool,
    pub(crate) entropy_sticks: bool,
    may_strike: bool,
    pub(crate) drop_completion: Countdown,
    pub(crate) duplicate_completion: Countdown,
    pub(crate) corrupt_output: Countdown,
    pub(crate) stray_write: Countdown,
    pub(crate) context_error: Countdown,
    pub(crate) context_error_is_corrected: bool,
}

impl Latches {
    /// Those of a card that comes with `errata`: none is pulled, but completions are looked at if
    /// one of them may be torn.
    pub(crate) fn of(errata: Errata) -> Self {
        Self {
            may_strike: errata.contains(Errata::EARLY_STATUS),
            ..Self::default()
        }
    }

    pub(crate) fn pull(&mut self, latch: Latch) {
        self.may_strike = true;
        match latch {
            Latch::KeepKeysOnDestroy => self.keep_keys = true,
            Latch::HangEngines => self.engines_hang = true,
            Latch::HangScheduler => self.scheduler_hangs = true,
            Latch::StickEntropy => self.entropy_sticks = true,
            Latch::DropCompletion { nth } => self.drop_completion = Countdown(Some(nth)),
            Latch::DuplicateCompletion { nth } => self.duplicate_completion = Countdown(Some(nth)),
            Latch::CorruptOutput { nth } => self.corrupt_output = Countdown(Some(nth)),
            Latch::ContextError { nth, is_corrected } => {
                self.context_error = Countdown(Some(nth));
                self.context_error_is_corrected = is_corrected;
            }
            Latch::WriteOutsideWindow { nth } => self.stray_write = Countdown(Some(nth)),
        }
    }

    /// Whether any latch was pulled or an erratum is like one, so that they are worth a look.
    #[inline]
    pub(crate) const fn may_strike(&self) -> bool {
        self.may_strike
    }

    /// What a function reset heals.
    pub(crate) fn reset(&mut self) {
        self.engines_hang = false;
        self.scheduler_hangs = false;
    }
}
