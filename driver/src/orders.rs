//! Orders of the desk as commands of the admin ring.
//!
//! Owns the way of an order between desk and ring: one pooled buffer with source and destination,
//! mapped while the card has it, and what a success changes in the session table.

use regs::{Command, SESSION_BLOCK_LEN, Status};
use timebase::Span;
use zeroize::Zeroizing;

use crate::admin::{AdminError, Answer, Effect, Order};
use crate::card::{Card, Phase};
use crate::ring::{Post, Verdict};
use crate::session::{AdminJob, Openness};
use crate::{Direction, Mapped, Transport};

/// Slots of the admin ring that orders leave to sessions.
const KEPT_FOR_SESSIONS: u32 = 32;
/// What a card may take for one slow order, beyond the watchdog's time.
pub(crate) const SLOW_ORDER: Span = Span::from_ms(2_000);

/// An order that the card has.
#[derive(Debug)]
pub(crate) struct OrderJob {
    order: Box<Order>,
    mapped: Option<Mapped>,
}

impl<T: Transport, J> Card<T, J> {
    /// Whether an order that waits can go somewhere now.
    #[inline]
    pub(crate) fn takes_orders(&self) -> bool {
        match self.phase {
            Phase::Running => self.sessions.ring.room() > KEPT_FOR_SESSIONS,
            Phase::Detaching(_) | Phase::Lost => true,
            Phase::Resetting { .. } | Phase::Restoring => false,
        }
    }

    /// Takes orders from the desk as far as there is room; true if any was posted.
    #[cold]
    pub(crate) fn take_orders(&mut self) -> bool {
        if matches!(self.phase, Phase::Detaching(_) | Phase::Lost) {
            self.desk.close();
            return false;
        }
        let mut has_posted = false;
        while self.takes_orders()
            && let Some(order) = self.desk.take_order()
        {
            match self.post_order(order) {
                Ok(()) => {
                    self.counters.admin_posted.add(1);
                    has_posted = true;
                }
                Err((order, error)) => self.desk.answer(&order, Err(error)),
            }
        }
        if has_posted {
            self.sessions.ring.publish(&mut self.transport);
            self.counters.doorbells.add(1);
        }
        has_posted
    }

    fn post_order(&mut self, mut order: Box<Order>) -> Result<(), (Box<Order>, AdminError)> {
        if let Err(error) = self.prepare(&mut order) {
            return Err((order, error));
        }
        let (source_len, destination_len) = (order.source.len(), order.destination_len);
        let mapped = match self.map_streams(&order.source, destination_len) {
            Ok(mapped) => mapped,
            Err(error) => return Err((order, error)),
        };
        let addr = mapped
            .as_ref()
            .map(|mapped| mapped.addr)
            .unwrap_or_default();
        let command = Command {
            source: addr,
            source_len: source_len as u32,
            destination: addr.offset(source_len as u64),
            destination_len: destination_len as u32,
            ..order.command
        };
        self.slow_orders += u32::from(order.is_slow());
        let post = Post {
            command,
            job: AdminJob::Order(Box::new(OrderJob { order, mapped })),
            area: None,
            request: None,
        };
        self.sessions.ring.post(&mut self.transport, post);
        Ok(())
    }

    /// Looks whether the session is open, and makes the session block of a rekey.
    fn prepare(&self, order: &mut Order) -> Result<(), AdminError> {
        if order.needs_session()
            && self.sessions.facts(order.command.session).openness == Openness::Closed
        {
            return Err(AdminError::NoSession);
        }
        let Effect::Rekeyed(session, keys, cipher_len) = &order.effect else {
            return Ok(());
        };
        let block = self.sessions.block(*session).ok_or(AdminError::NoSession)?;
        let mut block = block.clone();
        let (cipher, digest) = keys.split_at(*cipher_len);
        let is_set = block.set_keys(cipher, digest);
        is_set.map_err(|_| AdminError::Length(keys.len()))?;
        let mut bytes = Zeroizing::new([0; SESSION_BLOCK_LEN]);
        block.write_to(&mut bytes);
        order.source = Zeroizing::new(bytes.to_vec());
        Ok(())
    }

    /// One buffer for both streams, with the source in it; none if both are empty.
    fn map_streams(
        &mut self,
        source: &[u8],
        destination_len: usize,
    ) -> Result<Option<Mapped>, AdminError> {
        let len = source.len() + destination_len;
        if len == 0 {
            return Ok(None);
        }
        let buffer = self.transport.pool().take(len);
        let mut buffer = buffer.map_err(|_| AdminError::NoMemory)?;
        buffer[..source.len()].copy_from_slice(source);
        let mapped = self.transport.map(buffer, Direction::Bidirectional);
        mapped.map(Some).map_err(|_| AdminError::NoMemory)
    }

    /// An order ended.
    pub(crate) fn finish_order(&mut self, job: OrderJob, verdict: Verdict) {
        let OrderJob { mut order, mapped } = job;
        self.slow_orders -= u32::from(order.is_slow());
        let unmapped = mapped.map(|mapped| self.transport.unmap(mapped));
        let answer: Answer = match verdict {
            Verdict::Card(Status::Success) => Ok(Zeroizing::new(match &unmapped {
                Some(unmapped) => unmapped.buffer[order.source.len()..].to_vec(),
                None => Vec::new(),
            })),
            Verdict::Card(Status::Aborted) | Verdict::Lost => Err(AdminError::Lost),
            Verdict::Card(status) => Err(AdminError::Card(status)),
            Verdict::Nonsense => Err(AdminError::Nonsense),
        };
        if answer.is_err() {
            self.counters.admin_failed.add(1);
        } else {
            let effect = std::mem::replace(&mut order.effect, Effect::Nothing);
            self.apply(effect);
        }
        self.desk.answer(&order, answer);
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::Imported(session) => self.sessions.forget_keys_of_open(session),
            Effect::Rekeyed(session, keys, cipher_len) => {
                let (cipher, digest) = keys.split_at(cipher_len);
                self.sessions.set_keys(session, cipher, digest);
            }
        }
    }
}
