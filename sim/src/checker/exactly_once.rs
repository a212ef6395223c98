//! Exactly once: every request that was dispatched calls back once, not zero times, not twice.

use timebase::Time;

use super::Findings;
use crate::event::{Event, Record};

/// Watches dispatches and callbacks.
#[derive(Debug)]
pub struct ExactlyOnce {
    /// What it saw.
    pub findings: Findings,
    /// When each request was dispatched, by number; `None` once it called back.
    outstanding: Vec<State>,
    open: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Unknown,
    Dispatched(Time),
    CalledBack,
}

impl Default for ExactlyOnce {
    fn default() -> Self {
        Self {
            findings: Findings::new("exactly once"),
            outstanding: Vec::new(),
            open: 0,
        }
    }
}

impl ExactlyOnce {
    /// Requests dispatched that have not called back.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open
    }

    #[inline]
    pub(super) fn observe(&mut self, record: &Record) {
        match record.event {
            Event::Dispatch { request, .. } => self.dispatched(record.at, request),
            Event::Callback { request, .. } => self.called_back(record.at, request),
            _ => {}
        }
    }

    fn dispatched(&mut self, at: Time, request: u64) {
        let state = self.state(request);
        if *state == State::Unknown {
            *state = State::Dispatched(at);
            self.open += 1;
        } else {
            self.findings
                .violation(at, || format!("request {request} was dispatched twice"));
        }
    }

    fn called_back(&mut self, at: Time, request: u64) {
        self.findings.look();
        let state = self.state(request);
        match *state {
            State::Dispatched(_) => {
                *state = State::CalledBack;
                self.open -= 1;
            }
            State::CalledBack => {
                self.findings
                    .violation(at, || format!("request {request} called back twice"));
            }
            State::Unknown => self
                .findings
                .violation(at, || format!("request {request} called back undispatched")),
        }
    }

    /// The run is over: whatever has not called back is lost.
    pub fn finish(&mut self, at: Time) {
        if self.open == 0 {
            return;
        }
        for (request, state) in self.outstanding.iter().enumerate() {
            if let State::Dispatched(when) = *state {
                self.findings.violation(at, || {
                    format!("request {request}, dispatched at {when}, never called back")
                });
            }
        }
    }

    fn state(&mut self, request: u64) -> &mut State {
        let index = request as usize;
        if index >= self.outstanding.len() {
            self.outstanding.resize(index + 1, State::Unknown);
        }
        &mut self.outstanding[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(events: &[(bool, u64)]) -> ExactlyOnce {
        let mut check = ExactlyOnce::default();
        for &(is_dispatch, request) in events {
            let event = if is_dispatch {
                Event::Dispatch {
                    request,
                    consumer: 0,
                    session: 0,
                    bytes: 0,
                }
            } else {
                Event::Callback {
                    request,
                    consumer: 0,
                    outcome: 0,
                }
            };
            check.observe(&Record {
                at: Time::ZERO,
                event,
            });
        }
        check.finish(Time::ZERO);
        check
    }

    #[test]
    fn once_is_right() {
        let check = watch(&[(true, 1), (true, 2), (false, 2), (false, 1)]);
        assert_eq!(check.findings.violations(), 0);
    }

    #[test]
    fn twice_never_and_unasked_are_found() {
        let twice = watch(&[(true, 1), (false, 1), (false, 1)]);
        assert_eq!(twice.findings.messages(), ["request 1 called back twice"]);
        let never = watch(&[(true, 1), (true, 2), (false, 2)]);
        assert!(never.findings.messages()[0].contains("request 1"));
        assert!(never.findings.messages()[0].contains("never called back"));
        let unasked = watch(&[(false, 9)]);
        assert_eq!(
            unasked.findings.messages(),
            ["request 9 called back undispatched"]
        );
    }
}
