//! Counters of the framework and of each driver; `struct cryptostats`.

/// One number of the statistics, with its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counter {
    /// Its name, in words joined by underscores.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Whether it may fall.
    pub is_gauge: bool,
    /// Its value.
    pub value: u64,
}

const fn total(name: &'static str, help: &'static str, value: u64) -> Counter {
    Counter {
        name,
        help,
        is_gauge: false,
        value,
    }
}

const fn gauge(name: &'static str, help: &'static str, value: usize) -> Counter {
    Counter {
        name,
        help,
        is_gauge: true,
        value: value as u64,
    }
}

/// Counters since the framework was made. Numbers of requests unless said otherwise.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FrameworkStats {
    /// Accepted by dispatch (`cs_ops`).
    pub ops: u64,
    /// Ended with an error (`cs_errs`).
    pub errors: u64,
    /// Payload accepted, in bytes.
    pub bytes: u64,
    /// Handed back by dispatch because a field was invalid or a queue full.
    pub rejected: u64,
    /// Handed back by dispatch because a queue was full; part of `rejected` (`cs_drops`).
    pub queue_full: u64,
    /// Times a driver refused (ERESTART).
    pub refusals: u64,
    /// Times a driver became blocked (`cs_blocks`).
    pub blocks: u64,
    /// Waited in a driver's queue or in their session.
    pub queued: u64,
    /// Longest queue of a driver so far.
    pub queued_max: usize,
    /// Accepted and not yet ended.
    pub in_flight: usize,
    /// Most of `in_flight` so far.
    pub in_flight_max: usize,
    /// Sessions that exist now, closing ones included.
    pub sessions: usize,
    /// Sessions that went to another driver because theirs was lost, left or failed to open them.
    pub migrations: u64,
    /// Sessions that went to another driver on request.
    pub moves: u64,
    /// Times a driver's queue was looked at (`cs_intrs`).
    pub drains: u64,
    /// Times a driver returned requests, any number at once (`cs_rets`).
    pub returns: u64,
    /// Cancelled on request while they waited.
    pub cancelled: u64,
    /// Ended with `TimedOut`.
    pub timed_out: u64,
    /// Ended with `Moved`.
    pub moved: u64,
    /// Key operations accepted (`cs_kops`).
    pub key_ops: u64,
    /// Key operations that ended with an error (`cs_kerrs`).
    pub key_errors: u64,
    /// Times a driver became blocked for key operations (`cs_kblocks`).
    pub key_blocks: u64,
    /// Submitted again by the framework.
    pub resubmitted: u64,
    /// Copies taken of what a request overwrites.
    pub undo_copies: u64,
    /// Length of those copies, in bytes.
    pub undo_bytes: u64,
    /// Copies put back.
    pub undo_restores: u64,
}

impl FrameworkStats {
    /// Every counter under its name.
    #[must_use]
    pub fn counters(&self) -> Vec<Counter> {
        [self.counters_of_dispatch(), self.counters_of_the_rest()].concat()
    }

    fn counters_of_dispatch(&self) -> Vec<Counter> {
        vec![
            total("ops", "Requests accepted.", self.ops),
            total("errors", "Requests that ended with an error.", self.errors),
            total("bytes", "Payload accepted, in bytes.", self.bytes),
            total(
                "rejected",
                "Requests handed back by dispatch.",
                self.rejected,
            ),
            total(
                "queue_full",
                "Requests handed back because a queue was full.",
                self.queue_full,
            ),
            total(
                "refusals",
                "Times a driver refused a request.",
                self.refusals,
            ),
            total("blocks", "Times a driver became blocked.", self.blocks),
            total("queued", "Requests that waited.", self.queued),
            gauge(
                "queued_max",
                "Longest queue of a driver so far.",
                self.queued_max,
            ),
            gauge(
                "in_flight",
                "Requests accepted and not yet ended.",
                self.in_flight,
            ),
            gauge(
                "in_flight_max",
                "Most requests in flight so far.",
                self.in_flight_max,
            ),
        ]
    }

    fn counters_of_the_rest(&self) -> Vec<Counter> {
        vec![
            gauge("sessions", "Sessions that exist now.", self.sessions),
            total(
                "migrations",
                "Sessions whose driver left them.",
                self.migrations,
            ),
            total("moves", "Sessions that moved on request.", self.moves),
            total(
                "drains",
                "Times a driver's queue was looked at.",
                self.drains,
            ),
            total("returns", "Times a driver returned requests.", self.returns),
            total(
                "cancelled",
                "Requests cancelled while they waited.",
                self.cancelled,
            ),
            total(
                "timed_out",
                "Requests that waited too long.",
                self.timed_out,
            ),
            total(
                "moved",
                "Requests that ended with a new session name.",
                self.moved,
            ),
            total("key_ops", "Key operations accepted.", self.key_ops),
            total(
                "key_errors",
                "Key operations that ended with an error.",
                self.key_errors,
            ),
            total(
                "key_blocks",
                "Times a driver became blocked for keys.",
                self.key_blocks,
            ),
            total("resubmitted", "Requests submitted again.", self.resubmitted),
            total("undo_copies", "Undo copies taken.", self.undo_copies),
            total(
                "undo_bytes",
                "Undo copies taken, in bytes.",
                self.undo_bytes,
            ),
            total("undo_restores", "Undo copies put back.", self.undo_restores),
        ]
    }

    /// The counters of two frameworks together; of the greatest numbers the greater.
    #[must_use]
    pub fn together(self, other: Self) -> Self {
        Self {
            ops: self.ops + other.ops,
            errors: self.errors + other.errors,
            bytes: self.bytes + other.bytes,
            rejected: self.rejected + other.rejected,
            queue_full: self.queue_full + other.queue_full,
            refusals: self.refusals + other.refusals,
            blocks: self.blocks + other.blocks,
            queued: self.queued + other.queued,
            queued_max: self.queued_max.max(other.queued_max),
            in_flight: self.in_flight + other.in_flight,
            in_flight_max: self.in_flight_max.max(other.in_flight_max),
            sessions: self.sessions + other.sessions,
            migrations: self.migrations + other.migrations,
            moves: self.moves + other.moves,
            drains: self.drains + other.drains,
            returns: self.returns + other.returns,
            cancelled: self.cancelled + other.cancelled,
            timed_out: self.timed_out + other.timed_out,
            moved: self.moved + other.moved,
            key_ops: self.key_ops + other.key_ops,
            key_errors: self.key_errors + other.key_errors,
            key_blocks: self.key_blocks + other.key_blocks,
            resubmitted: self.resubmitted + other.resubmitted,
            undo_copies: self.undo_copies + other.undo_copies,
            undo_bytes: self.undo_bytes + other.undo_bytes,
            undo_restores: self.undo_restores + other.undo_restores,
        }
    }

    /// Counts requests that dispatch accepted.
    #[inline]
    pub(crate) fn accepted(&mut self, ops: usize, bytes: u64) {
        self.ops += ops as u64;
        self.bytes += bytes;
        self.in_flight += ops;
        self.in_flight_max = self.in_flight_max.max(self.in_flight);
    }
}

/// Counters of one driver. Numbers of requests unless said otherwise.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DriverStats {
    /// Taken by the driver.
    pub ops: u64,
    /// Returned by the driver with an error.
    pub errors: u64,
    /// Payload taken by the driver, in bytes.
    pub bytes: u64,
    /// Refused by the driver (ERESTART).
    pub refusals: u64,
    /// Times the driver became blocked.
    pub blocks: u64,
    /// In the driver now.
    pub in_flight: usize,
    /// In the driver's queue now.
    pub queued: usize,
    /// Sessions on the driver now.
    pub sessions: usize,
}

impl DriverStats {
    /// The counters of a driver in two frameworks together.
    #[must_use]
    pub fn together(self, other: Self) -> Self {
        Self {
            ops: self.ops + other.ops,
            errors: self.errors + other.errors,
            bytes: self.bytes + other.bytes,
            refusals: self.refusals + other.refusals,
            blocks: self.blocks + other.blocks,
            in_flight: self.in_flight + other.in_flight,
            queued: self.queued + other.queued,
            sessions: self.sessions + other.sessions,
        }
    }

    /// Every counter under its name.
    #[must_use]
    pub fn counters(&self) -> Vec<Counter> {
        let Self {
            ops,
            errors,
            bytes,
            refusals,
            blocks,
            in_flight,
            queued,
            sessions,
        } = *self;
        vec![
            total("ops", "Requests taken by the driver.", ops),
            total(
                "errors",
                "Requests the driver returned with an error.",
                errors,
            ),
            total("bytes", "Payload taken by the driver, in bytes.", bytes),
            total("refusals", "Requests the driver refused.", refusals),
            total("blocks", "Times the driver became blocked.", blocks),
            gauge("in_flight", "Requests in the driver now.", in_flight),
            gauge("queued", "Requests in the driver's queue now.", queued),
            gauge("sessions", "Sessions on the driver now.", sessions),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_name() {
        let counters = FrameworkStats::default().counters();
        let each = size_of::<u64>();
        assert_eq!(counters.len(), size_of::<FrameworkStats>() / each);
    }
}
