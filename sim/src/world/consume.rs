//! Consumers act: they dispatch what they have ready, and take what comes back.

use framework::{Finished, Request, RequestError, RequestInvalid};
use timebase::Span;

use super::World;
use crate::event::{Event, outcome_code};
use crate::workload::{Phase, Source, below, percent};

/// A consumer whose request met a full queue tries again after this.
const QUEUE_FULL_RETRY: Span = Span::from_us(2);

impl World<'_> {
    /// Keeps `depth` requests of a consumer going.
    pub(super) fn consume(&mut self, index: usize) {
        while self.consumers[index].outstanding < self.scenario.workload.depth {
            if self.consumers[index].ready.is_empty() && !self.begin_piece(index) {
                break;
            }
            let Some(request) = self.consumers[index].ready.pop_front() else {
                break;
            };
            if !self.dispatch(index, request) {
                break;
            }
        }
    }

    fn begin_piece(&mut self, index: usize) -> bool {
        let one_lap = self.scenario.workload.pieces.is_none() || self.input.origin().is_some();
        let enough = self.scenario.workload.pieces.unwrap_or(0);
        if one_lap && self.cursor.laps() > 0 && self.counts.pieces_begun >= enough {
            self.counts.pieces_total = self.counts.pieces_begun;
        }
        if self.counts.pieces_begun >= self.counts.pieces_total {
            return false;
        }
        self.counts.pieces_begun += 1;
        let mut source = Source {
            input: self.input,
            cursor: &mut self.cursor,
            chance: &mut self.chance,
            pool: &self.pool,
        };
        let begun = self.consumers[index].begin(&self.scenario.workload, &mut source);
        if let Err(message) = begun {
            let now = self.now();
            let mut recorder = self.recorder.borrow_mut();
            recorder.checkers().data_right.unexpected(now, || message);
            self.stuck = true;
            return false;
        }
        true
    }

    /// Hands one request to the framework; false if the consumer should pause.
    fn dispatch(&mut self, index: usize, mut request: Box<Request>) -> bool {
        let now = self.now();
        let consumer = &mut self.consumers[index];
        let number = request.opaque as u32;
        request.session = consumer.session;
        request.opaque = (index as u64) << 32 | u64::from(number);
        let job = consumer.job(number);
        job.dispatched_at = now;
        let (bytes, session) = (job.bytes, request.session.as_u64());
        let (phase, piece) = (job.phase, job.number);
        let (iv, len) = (job.iv, request.payload.len);
        match self.framework.dispatch(now, request) {
            Ok(id) => {
                if phase == Phase::Forward {
                    let iv = &iv[..self.consumers[index].params.iv_len];
                    let message = (index as u32, piece);
                    let mut recorder = self.recorder.borrow_mut();
                    recorder.checkers().nonce.used(now, message, iv, len);
                }
                self.consumers[index].outstanding += 1;
                self.first_dispatch.get_or_insert(now);
                let consumer = index as u32;
                self.record(Event::Dispatch {
                    request: id.0,
                    consumer,
                    session,
                    bytes,
                });
                self.recorder.borrow_mut().checkers().liveness.progress(now);
                true
            }
            Err(rejected) => {
                if rejected.reason == RequestInvalid::QueueFull {
                    self.consumers[index].ready.push_front(rejected.request);
                    self.schedule
                        .set(self.consumer_actor(index), now + QUEUE_FULL_RETRY);
                } else {
                    let reason = rejected.reason;
                    let what = self.consumers[index].suite;
                    let mut recorder = self.recorder.borrow_mut();
                    recorder.checkers().data_right.unexpected(now, || {
                        format!("a request of consumer {index} ({what}) was rejected: {reason}")
                    });
                    self.stuck = true;
                }
                false
            }
        }
    }

    /// Takes every finished request to its consumer.
    pub(super) fn take_finished(&mut self) {
        while let Some(finished) = self.framework.take_finished() {
            self.call_back(finished);
        }
    }

    fn call_back(&mut self, finished: Finished) {
        let Finished { request, result } = finished;
        let now = self.now();
        let (index, number) = ((request.opaque >> 32) as usize, request.opaque as u32);
        let consumer = index as u32;
        let outcome = outcome_code(&result);
        self.record(Event::Callback {
            request: request.id.0,
            consumer,
            outcome,
        });
        self.recorder.borrow_mut().checkers().liveness.progress(now);
        self.last_callback = now;
        self.consumers[index].outstanding -= 1;
        self.count_request();
        match result {
            Ok(()) => self.ended_well(index, number, &request),
            Err(RequestError::DigestMismatch) => self.mismatch(index, number, &request),
            Err(RequestError::Moved(session)) => {
                self.counts.moved += 1;
                self.consumers[index].session = session;
                // The promise is that the data is untouched: hold the framework to it.
                self.check_untouched(index, number, &request);
                self.consumers[index].ready.push_back(request);
            }
            Err(RequestError::Interrupted(session)) => {
                self.counts.interrupted += 1;
                self.consumers[index].session = session;
                let pool = self.pool.clone();
                self.consumers[index].make(number, &pool);
            }
            Err(error) => self.failed(index, number, &error),
        }
        let (low, high) = self.scenario.workload.think;
        let think = low + Span::from_ps(below(&mut self.chance, (high - low).as_ps() + 1));
        self.schedule
            .at_latest(self.consumer_actor(index), now + think);
    }

    fn ended_well(&mut self, index: usize, number: u32, request: &Request) {
        let now = self.now();
        let job = self.consumers[index].job(number);
        let (phase, bytes, dispatched_at) = (job.phase, job.bytes, job.dispatched_at);
        let compared = if self.consumers[index].expects_results() {
            self.consumers[index].job(number).compare_result(request)
        } else {
            Vec::new()
        };
        let suite = self.consumers[index].suite;
        {
            let mut recorder = self.recorder.borrow_mut();
            let id = request.id.0;
            recorder
                .course()
                .finished(now, id, now - dispatched_at, bytes);
            let check = &mut recorder.checkers().data_right;
            for part in compared {
                check.compare(now, &part.actual, &part.expected, || {
                    format!(
                        "request {id} of consumer {index} ({suite}, {phase:?}): {}",
                        part.what
                    )
                });
            }
            if phase == Phase::Tampered {
                check.unexpected(now, || {
                    format!("request {id} of consumer {index} ({suite}) verified a false digest")
                });
            }
        }
        self.counts.bytes += u64::from(bytes);
        let pool = self.pool.clone();
        let tampered_percent = self.scenario.workload.tampered_percent;
        match phase {
            Phase::Forward => {
                let tamper =
                    self.consumers[index].verifies() && percent(&mut self.chance, tampered_percent);
                // A card that makes no results finds no false digest either.
                let tamper = tamper && self.consumers[index].expects_results();
                let next = if tamper { Phase::Tampered } else { Phase::Back };
                self.consumers[index].go_on(number, next, &pool);
            }
            Phase::Tampered | Phase::Back => {
                self.counts.pieces += 1;
                self.consumers[index].end(number);
            }
        }
    }

    fn mismatch(&mut self, index: usize, number: u32, request: &Request) {
        self.check_untouched(index, number, request);
        let pool = self.pool.clone();
        if self.consumers[index].job(number).phase == Phase::Tampered {
            self.counts.tampered_caught += 1;
            self.consumers[index].go_on(number, Phase::Back, &pool);
        } else {
            self.failed(index, number, &RequestError::DigestMismatch);
        }
    }

    fn check_untouched(&mut self, index: usize, number: u32, request: &Request) {
        let now = self.now();
        let part = self.consumers[index].job(number).compare_input(request);
        let id = request.id.0;
        let mut recorder = self.recorder.borrow_mut();
        recorder
            .checkers()
            .data_right
            .compare(now, &part.actual, &part.expected, || {
                format!(
                    "request {id} of consumer {index}, promised untouched: {}",
                    part.what
                )
            });
    }

    /// A request ended in a way that nothing in the scenario explains: its piece ends here.
    fn failed(&mut self, index: usize, number: u32, error: &RequestError) {
        let now = self.now();
        let suite = self.consumers[index].suite;
        let mut recorder = self.recorder.borrow_mut();
        recorder.checkers().data_right.unexpected(now, || {
            format!("a request of consumer {index} ({suite}) failed: {error}")
        });
        self.consumers[index].end(number);
    }
}
