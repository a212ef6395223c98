//! Counters of the framework and of each driver; `struct cryptostats`.

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
