//! Order per session: requests of a session reach a card in the order they were dispatched, and
//! those that asked for it call back in that order.

use driver::DriverEvent;
use timebase::Time;

use super::Findings;
use crate::event::{Event, Record};

/// Watches dispatches, posts and callbacks.
#[derive(Debug)]
pub struct SessionOrder {
    /// What it saw.
    pub findings: Findings,
    /// Consumer of each request, by request number.
    consumers: Vec<u32>,
    /// By consumer: whether its requests ask for ordered callbacks.
    ordered: Vec<bool>,
    /// By consumer: last request posted and last request called back.
    last: Vec<Last>,
    /// By request number: whether it was posted. Who comes back and goes to a card a second time
    /// goes behind others that went there meanwhile.
    posted: Vec<bool>,
    /// Requests posted within their dispatch, which is recorded right after.
    posted_early: Vec<(Time, u64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    posted: Option<u64>,
    called_back: Option<u64>,
}

impl Default for SessionOrder {
    fn default() -> Self {
        Self {
            findings: Findings::new("order per session"),
            consumers: Vec::new(),
            ordered: Vec::new(),
            last: Vec::new(),
            posted: Vec::new(),
            posted_early: Vec::new(),
        }
    }
}

impl SessionOrder {
    /// Says which consumers ask for ordered callbacks. Each consumer has one session.
    pub fn expect(&mut self, ordered: Vec<bool>) {
        self.last = vec![Last::default(); ordered.len()];
        self.ordered = ordered;
    }

    #[inline]
    pub(super) fn observe(&mut self, record: &Record) {
        match record.event {
            Event::Dispatch {
                request, consumer, ..
            } => {
                let index = request as usize;
                if index >= self.consumers.len() {
                    self.consumers.resize(index + 1, u32::MAX);
                }
                self.consumers[index] = consumer;
                if let Some(early) = self.posted_early.iter().position(|&(_, id)| id == request) {
                    let (at, _) = self.posted_early.swap_remove(early);
                    self.posted(at, request);
                }
            }
            Event::Driver {
                event:
                    DriverEvent::Posted {
                        request: Some(request),
                        ..
                    },
                ..
            } => {
                self.posted(record.at, request);
            }
            Event::Callback {
                request, consumer, ..
            } => {
                self.called_back(record.at, request, consumer);
            }
            _ => {}
        }
    }

    fn posted(&mut self, at: Time, request: u64) {
        let consumer = self
            .consumers
            .get(request as usize)
            .copied()
            .unwrap_or(u32::MAX);
        if consumer == u32::MAX {
            self.posted_early.push((at, request));
            return;
        }
        let Some(last) = self.last.get_mut(consumer as usize) else {
            return;
        };
        let index = request as usize;
        if index >= self.posted.len() {
            self.posted.resize(self.consumers.len(), false);
        }
        if std::mem::replace(&mut self.posted[index], true) {
            return;
        }
        self.findings.look();
        if let Some(before) = last.posted.filter(|&before| before > request) {
            self.findings.violation(at, || {
                format!("consumer {consumer}: request {request} reached its card after {before}")
            });
        }
        last.posted = last.posted.max(Some(request));
    }

    fn called_back(&mut self, at: Time, request: u64, consumer: u32) {
        let index = consumer as usize;
        if !self.ordered.get(index).copied().unwrap_or(false) {
            return;
        }
        self.findings.look();
        let last = &mut self.last[index];
        if let Some(before) = last.called_back.filter(|&before| before > request) {
            self.findings.violation(at, || {
                format!("consumer {consumer}: request {request} called back after {before}")
            });
        }
        last.called_back = last.called_back.max(Some(request));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regs::{RingId, Slot};

    fn check() -> SessionOrder {
        let mut check = SessionOrder::default();
        check.expect(vec![true, false]);
        for request in 1..=4 {
            let consumer = u32::from(request > 2);
            let event = Event::Dispatch {
                request,
                consumer,
                session: 0,
                bytes: 0,
            };
            check.observe(&Record {
                at: Time::ZERO,
                event,
            });
        }
        check
    }

    fn call_back(check: &mut SessionOrder, request: u64, consumer: u32) {
        let event = Event::Callback {
            request,
            consumer,
            outcome: 0,
        };
        check.observe(&Record {
            at: Time::ZERO,
            event,
        });
    }

    fn post(check: &mut SessionOrder, request: u64) {
        let event = DriverEvent::Posted {
            ring: RingId(1),
            slot: Slot(0),
            cookie: 0,
            request: Some(request),
        };
        check.observe(&Record {
            at: Time::ZERO,
            event: Event::Driver { card: 0, event },
        });
    }

    #[test]
    fn callbacks_out_of_order_are_found_where_order_was_asked_for() {
        let mut check = check();
        call_back(&mut check, 4, 1);
        call_back(&mut check, 3, 1);
        assert_eq!(
            check.findings.violations(),
            0,
            "consumer 1 asked for no order"
        );
        call_back(&mut check, 2, 0);
        call_back(&mut check, 1, 0);
        assert_eq!(
            check.findings.messages(),
            ["consumer 0: request 1 called back after 2"]
        );
    }

    #[test]
    fn overtaking_on_the_way_to_a_card_is_found() {
        let mut check = check();
        post(&mut check, 2);
        post(&mut check, 1);
        assert_eq!(
            check.findings.messages(),
            ["consumer 0: request 1 reached its card after 2"]
        );
    }

    #[test]
    fn a_resubmitted_request_may_come_again() {
        let mut check = check();
        post(&mut check, 1);
        post(&mut check, 2);
        let event = Event::Resubmitted { request: 1 };
        check.observe(&Record {
            at: Time::ZERO,
            event,
        });
        post(&mut check, 1);
        assert_eq!(check.findings.violations(), 0);
    }
}
