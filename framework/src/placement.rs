//! Where sessions go: which driver gets a new one, and when an open one is better off elsewhere.
//!
//! What may serve a session is not decided here: a driver that its choice does not accept, or that
//! does not probe, is no candidate. Which of the others is best is a policy, and can be replaced.

use std::fmt::Debug;

use crate::registry::DriverId;
use crate::{DriverFlags, ProbeScore, SessionParams};

/// A driver that could serve a session, and how busy it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// Which driver.
    pub driver: DriverId,
    /// What kind it is.
    pub flags: DriverFlags,
    /// What it said when it was probed for the session; the larger, the better.
    pub score: ProbeScore,
    /// Sessions on it now.
    pub sessions: usize,
    /// Requests that it has now.
    pub in_flight: usize,
    /// Requests that wait for it now.
    pub waiting: usize,
}

/// A policy. Called when a session is opened or has lost its driver, and for each open session when
/// [`Framework::rebalance`](crate::Framework::rebalance) is asked for; so it should be quick, and
/// the same candidates must give the same answer for runs to be repeatable.
pub trait Placement: Debug + Send {
    /// Whether a session with `params` had better go to `other` than to `best`, which comes first
    /// in the order of registration.
    fn prefers(&self, params: &SessionParams, other: &Candidate, best: &Candidate) -> bool;

    /// Whether a session with `params`, which has `load` requests in flight, had better
    /// move from where it is to `to`. What has begun to move is counted where it goes. A policy
    /// that says yes to both directions moves sessions forth and back.
    fn moves(&self, params: &SessionParams, load: usize, from: &Candidate, to: &Candidate) -> bool;
}

/// Larger probe score, then fewer sessions: what a framework begins with, and crypto(9)'s rule.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FewestSessions;

impl Placement for FewestSessions {
    fn prefers(&self, _: &SessionParams, other: &Candidate, best: &Candidate) -> bool {
        other.score > best.score || (other.score == best.score && other.sessions < best.sessions)
    }

    fn moves(&self, _: &SessionParams, _: usize, from: &Candidate, to: &Candidate) -> bool {
        to.score > from.score || (to.score == from.score && to.sessions + 1 < from.sessions)
    }
}

/// Larger probe score, then fewer requests in flight and waiting, then fewer sessions: for sessions
/// that differ in what they send.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LeastLoaded;

impl LeastLoaded {
    const fn load(candidate: &Candidate) -> (usize, usize) {
        (candidate.in_flight + candidate.waiting, candidate.sessions)
    }
}

impl Placement for LeastLoaded {
    fn prefers(&self, _: &SessionParams, other: &Candidate, best: &Candidate) -> bool {
        other.score > best.score
            || (other.score == best.score && Self::load(other) < Self::load(best))
    }

    fn moves(&self, _: &SessionParams, load: usize, from: &Candidate, to: &Candidate) -> bool {
        // A session that takes all the load along would only carry it to and fro.
        let left = Self::load(from).0.saturating_sub(load);
        let gained = load > 0 && Self::load(to).0 + load <= left;
        to.score > from.score || (to.score == from.score && gained)
    }
}
