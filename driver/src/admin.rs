//! What a card is asked beside sessions and requests: pages, keys, sessions that move, numbers.
//!
//! A handle is asked from outside and gives a ticket; the answer is picked up with it once the
//! driver was serviced. Owns the orders and answers between the two; how an order becomes a command
//! of the admin ring is the session table's business (`session`). Nothing calls back.
//!
//! Orders that a card had not done when it was reset or lost end as [`AdminError::Lost`]. One whose
//! completion it wrote before that ends as the completion says, though a reset undid much of what
//! orders change on a card: that is as if the reset had come a moment later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regs::{
    AlgorithmEntry, Argument, ArgumentFlags, BLOB_LEN, CardSession, Command, ErrorEntry, ErrorLog,
    Health, Identity, KekOffer, Opcode, PAGE_MAX, PageCode, PublicKeyParams, RANDOM_MAX,
    RingStatistics, Statistics, Status,
};
use zeroize::Zeroizing;

/// Why a card gave no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AdminError {
    /// The card refused, or failed.
    #[error("the card says {0:?}")]
    Card(Status),
    /// The card said something that means nothing.
    #[error("the card's answer means nothing")]
    Nonsense,
    /// The card was reset or went away before it said that it is done.
    #[error("the card went away")]
    Lost,
    /// There is no memory that the card can reach.
    #[error("no memory for the card")]
    NoMemory,
    /// The session is not open, or the driver does not know its keys.
    #[error("no such session is open")]
    NoSession,
    /// A length that no command has.
    #[error("{0} bytes are not what the command takes")]
    Length(usize),
}

/// The identity page, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identification {
    /// What the card is and can do.
    pub identity: Identity,
    /// Every algorithm.
    pub algorithms: Vec<AlgorithmEntry>,
}

/// The error log, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Errors {
    /// Its beginning.
    pub log: ErrorLog,
    /// Newest first.
    pub entries: Vec<ErrorEntry>,
}

/// The statistics page, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CardStatistics {
    /// Counters of the card.
    pub card: Statistics,
    /// Counters of each ring pair, the admin ring first.
    pub rings: Vec<RingStatistics>,
}

/// What an order changes in the driver once the card has done it.
pub(crate) enum Effect {
    Nothing,
    /// The session has these keys now.
    Rekeyed(CardSession, Zeroizing<Vec<u8>>, usize),
    /// The session has keys that only the card knows.
    Imported(CardSession),
}

impl Order {
    /// Whether the card may take far longer for it than for anything else.
    pub(crate) const fn is_slow(&self) -> bool {
        self.command.opcode == Opcode::PublicKey as u8
            || self.command.opcode == Opcode::Random as u8
    }

    /// Whether it is about a session that must be open.
    pub(crate) const fn needs_session(&self) -> bool {
        let opcode = self.command.opcode;
        opcode == Opcode::SessionRekey as u8
            || opcode == Opcode::SessionExport as u8
            || opcode == Opcode::SessionImport as u8
    }
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

/// Something to be asked of the card.
pub(crate) struct Order {
    ticket: u64,
    /// All but streams and cookie.
    pub(crate) command: Command,
    /// The source stream; the session block of a rekey is made from the stored one.
    pub(crate) source: Zeroizing<Vec<u8>>,
    pub(crate) destination_len: usize,
    pub(crate) effect: Effect,
}

/// How an order ended: the destination stream.
pub(crate) type Answer = Result<Zeroizing<Vec<u8>>, AdminError>;

#[derive(Default)]
struct Book {
    next_ticket: u64,
    orders: VecDeque<Box<Order>>,
    /// Of tickets that somebody still holds; none while the order is on its way.
    answers: BTreeMap<u64, Option<Answer>>,
}

/// Orders on their way to the driver, and answers on their way back.
#[derive(Default)]
pub(crate) struct Desk {
    /// Orders that the driver has not taken, so that it need not lock to see that there are none.
    waiting: AtomicUsize,
    book: Mutex<Book>,
}

impl Desk {
    /// Whether an order waits for the driver.
    #[inline]
    pub(crate) fn has_orders(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// The oldest order.
    pub(crate) fn take_order(&self) -> Option<Box<Order>> {
        let order = self.book().orders.pop_front()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(order)
    }

    /// Answers an order. Nobody may hold its ticket any more.
    pub(crate) fn answer(&self, order: &Order, answer: Answer) {
        if let Some(place) = self.book().answers.get_mut(&order.ticket) {
            *place = Some(answer);
        }
    }

    /// Ends every order that waits.
    pub(crate) fn close(&self) {
        while let Some(order) = self.take_order() {
            self.answer(&order, Err(AdminError::Lost));
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // The book is whole between any two of its changes.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to an answer.
pub struct Ticket<T> {
    desk: Arc<Desk>,
    number: u64,
    read: fn(&[u8]) -> Option<T>,
}

impl<T> Ticket<T> {
    /// The answer, once it is there; after that, never again.
    ///
    /// # Errors
    /// [`AdminError`] if the card gave none.
    pub fn take(&self) -> Option<Result<T, AdminError>> {
        let mut book = self.desk.book();
        let answer = book.answers.get_mut(&self.number)?.take()?;
        book.answers.remove(&self.number);
        Some(answer.and_then(|bytes| (self.read)(&bytes).ok_or(AdminError::Nonsense)))
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.desk.book().answers.remove(&self.number);
    }
}

impl<T> std::fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Asks one card. Outlives a move of its driver into a registry.
///
/// Orders are done one after the other, in order; whoever drives the driver sees its deadline move
/// up when one waits.
#[derive(Clone)]
pub struct AdminHandle(pub(crate) Arc<Desk>);

impl std::fmt::Debug for AdminHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminHandle").finish_non_exhaustive()
    }
}

/// What an order asks, before it is one.
struct Ask {
    command: Command,
    source: Zeroizing<Vec<u8>>,
    destination_len: usize,
    effect: Effect,
}

impl Ask {
    fn new(opcode: Opcode) -> Self {
        Self {
            command: Command {
                opcode: opcode as u8,
                ..Command::default()
            },
            source: Zeroizing::default(),
            destination_len: 0,
            effect: Effect::Nothing,
        }
    }

    fn with(mut self, argument: Argument) -> Self {
        self.command.iv = argument.to_bytes();
        self
    }

    fn on(mut self, session: CardSession) -> Self {
        self.command.session = session;
        self
    }

    fn sends(mut self, source: &[u8]) -> Self {
        self.source = Zeroizing::new(source.to_vec());
        self
    }

    fn gets(mut self, len: usize) -> Self {
        self.destination_len = len;
        self
    }

    fn page(code: PageCode, clear: bool) -> Self {
        let flags = if clear {
            ArgumentFlags::CLEAR
        } else {
            ArgumentFlags::empty()
        };
        let mut ask = Self::new(Opcode::ReadPage).with(Argument {
            page: code as u16,
            flags: flags.bits(),
            ..Argument::default()
        });
        ask.command.payload_len = PAGE_MAX;
        ask.gets(PAGE_MAX as usize)
    }
}

impl AdminHandle {
    fn ask<T>(&self, ask: Ask, read: fn(&[u8]) -> Option<T>) -> Ticket<T> {
        let mut book = self.0.book();
        let number = book.next_ticket;
        book.next_ticket += 1;
        book.answers.insert(number, None);
        book.orders.push_back(Box::new(Order {
            ticket: number,
            command: ask.command,
            source: ask.source,
            destination_len: ask.destination_len,
            effect: ask.effect,
        }));
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        drop(book);
        Ticket {
            desk: Arc::clone(&self.0),
            number,
            read,
        }
    }

    /// What the card is and can do.
    #[must_use]
    pub fn identify(&self) -> Ticket<Identification> {
        self.ask(Ask::page(PageCode::Identity, false), |page| {
            let (head, rest) = page.split_first_chunk()?;
            let identity = Identity::from_bytes(head);
            Some(Identification {
                identity,
                algorithms: table(rest, identity.algorithms, AlgorithmEntry::from_bytes)?,
            })
        })
    }

    /// The last errors; with `clear` the log is empty afterwards.
    #[must_use]
    pub fn errors(&self, clear: bool) -> Ticket<Errors> {
        self.ask(Ask::page(PageCode::Errors, clear), |page| {
            let (head, rest) = page.split_first_chunk()?;
            let log = ErrorLog::from_bytes(head);
            Some(Errors {
                log,
                entries: table(rest, log.entries, ErrorEntry::from_bytes)?,
            })
        })
    }

    /// How the card fares.
    #[must_use]
    pub fn health(&self) -> Ticket<Health> {
        self.ask(Ask::page(PageCode::Health, false), |page| {
            Some(Health::from_bytes(page.first_chunk()?))
        })
    }

    /// What the card did; with `clear` all counters are zero afterwards.
    #[must_use]
    pub fn statistics(&self, clear: bool) -> Ticket<CardStatistics> {
        self.ask(Ask::page(PageCode::Statistics, clear), |page| {
            let (head, rest) = page.split_first_chunk()?;
            let card = Statistics::from_bytes(head);
            Some(CardStatistics {
                card,
                rings: table(rest, card.rings, RingStatistics::from_bytes)?,
            })
        })
    }

    /// Gives a session other keys, of the lengths of the old ones. Requests posted before the
    /// ticket's answer is there may work with either.
    #[must_use]
    pub fn rekey(&self, session: CardSession, cipher: &[u8], digest: &[u8]) -> Ticket<()> {
        let mut ask = Ask::new(Opcode::SessionRekey).on(session);
        let keys = Zeroizing::new([cipher, digest].concat());
        ask.effect = Effect::Rekeyed(session, keys, cipher.len());
        self.ask(ask, nothing)
    }

    /// A session as a blob under the key-encryption key in slot `kek`.
    #[must_use]
    pub fn export(&self, session: CardSession, kek: u8) -> Ticket<Vec<u8>> {
        let ask = Ask::new(Opcode::SessionExport).on(session).with(slot(kek));
        self.ask(ask.gets(BLOB_LEN), |blob| Some(blob.to_vec()))
    }

    /// Gives an open session the keys in `blob`, which another card exported under the
    /// key-encryption key in slot `kek`. The driver never learns these keys: after a reset of the
    /// card the session is broken, and the framework moves it like any other that failed.
    #[must_use]
    pub fn import(&self, session: CardSession, kek: u8, blob: &[u8]) -> Ticket<()> {
        let argument = Argument {
            flags: ArgumentFlags::REPLACE.bits(),
            ..slot(kek)
        };
        let mut ask = Ask::new(Opcode::SessionImport).on(session).with(argument);
        ask.effect = Effect::Imported(session);
        self.ask(ask.sends(blob), nothing)
    }

    /// Loads a key-encryption key that is wrapped under the root key into slot `kek`.
    #[must_use]
    pub fn load_kek(&self, kek: u8, wrapped: &[u8]) -> Ticket<()> {
        let ask = Ask::new(Opcode::KekLoad).with(slot(kek));
        self.ask(ask.sends(wrapped), nothing)
    }

    /// Begins an agreement in slot `kek`: the offer is for the other card.
    #[must_use]
    pub fn offer_kek(&self, kek: u8) -> Ticket<KekOffer> {
        let ask = Ask::new(Opcode::KekOffer).with(slot(kek));
        self.ask(ask.gets(KekOffer::LEN), |bytes| {
            Some(KekOffer::from_bytes(bytes.first_chunk()?))
        })
    }

    /// Ends an agreement in slot `kek` with the other card's offer.
    #[must_use]
    pub fn accept_kek(&self, kek: u8, offer: &KekOffer) -> Ticket<()> {
        let ask = Ask::new(Opcode::KekAccept).with(slot(kek));
        self.ask(ask.sends(&offer.to_bytes()), nothing)
    }

    /// Zeroes the key-encryption key in slot `kek`.
    #[must_use]
    pub fn destroy_kek(&self, kek: u8) -> Ticket<()> {
        self.ask(Ask::new(Opcode::KekDestroy).with(slot(kek)), nothing)
    }

    /// Random bytes, 1 to 65,536 of them.
    #[must_use]
    pub fn random(&self, len: u32) -> Ticket<Zeroizing<Vec<u8>>> {
        let len = len.min(RANDOM_MAX + 1);
        let mut ask = Ask::new(Opcode::Random);
        ask.command.payload_len = len;
        self.ask(ask.gets(len as usize), |bytes| {
            Some(Zeroizing::new(bytes.to_vec()))
        })
    }

    /// Computes with long numbers: `inputs` one behind the other, each in as many bytes as its bits
    /// need; the answer is the outputs in the same form.
    #[must_use]
    pub fn compute(&self, params: &PublicKeyParams, inputs: &[u8]) -> Ticket<Zeroizing<Vec<u8>>> {
        let mut ask = Ask::new(Opcode::PublicKey);
        params.write_to(&mut ask.command);
        let ask = ask.sends(inputs).gets(params.destination_len() as usize);
        self.ask(ask, |bytes| Some(Zeroizing::new(bytes.to_vec())))
    }
}

fn slot(kek: u8) -> Argument {
    Argument {
        kek,
        ..Argument::default()
    }
}

fn nothing(_: &[u8]) -> Option<()> {
    Some(())
}

/// The first `count` entries of `N` bytes in `bytes`; `None` if there are not as many.
fn table<const N: usize, T>(bytes: &[u8], count: u32, read: fn(&[u8; N]) -> T) -> Option<Vec<T>> {
    let (entries, _) = bytes.as_chunks::<N>();
    let entries = entries.get(..count as usize)?;
    Some(entries.iter().map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_finds_its_ticket_and_a_dropped_ticket_wants_none() {
        let handle = AdminHandle(Arc::default());
        let (kept, dropped) = (handle.random(2), handle.random(2));
        assert!(handle.0.has_orders());
        assert!(kept.take().is_none());
        drop(dropped);
        let orders: Vec<_> = std::iter::from_fn(|| handle.0.take_order()).collect();
        assert!(!handle.0.has_orders());
        for order in &orders {
            handle.0.answer(order, Ok(Zeroizing::new(vec![7, 8])));
        }
        assert_eq!(kept.take(), Some(Ok(Zeroizing::new(vec![7, 8]))));
        assert!(kept.take().is_none(), "once");
        assert!(handle.0.book().answers.is_empty());
    }

    #[test]
    fn a_page_that_ends_too_soon_means_nothing() {
        let handle = AdminHandle(Arc::default());
        let ticket = handle.identify();
        let order = handle.0.take_order().unwrap();
        let mut identity = Identity {
            algorithms: 2,
            ..Identity::default()
        };
        let mut page = identity.to_bytes().to_vec();
        page.resize(Identity::LEN + 2 * AlgorithmEntry::LEN - 1, 0);
        handle.0.answer(&order, Ok(Zeroizing::new(page.clone())));
        assert_eq!(ticket.take(), Some(Err(AdminError::Nonsense)));
        identity.algorithms = 1;
        page[..Identity::LEN].copy_from_slice(&identity.to_bytes());
        let ticket = handle.identify();
        let order = handle.0.take_order().unwrap();
        handle.0.answer(&order, Ok(Zeroizing::new(page)));
        assert_eq!(ticket.take().unwrap().unwrap().algorithms.len(), 1);
    }

    #[test]
    fn a_desk_that_closes_ends_what_waits() {
        let handle = AdminHandle(Arc::default());
        let ticket = handle.health();
        handle.0.close();
        assert_eq!(ticket.take(), Some(Err(AdminError::Lost)));
    }
}
