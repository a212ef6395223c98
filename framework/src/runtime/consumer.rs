//! The consumer's face of the threaded way.

use std::collections::VecDeque;

use super::Inner;
use super::shard::{Inboxes, Owner, Shard};
use crate::sync::Arc;
use crate::{
    CancelError, DriverChoice, DriverId, Finished, KeyFinished, KeyOps, KeyRejected, KeyRequest,
    MigrationPolicy, Rejected, Request, RequestId, SessionError, SessionId, SessionParams,
};

/// Whoever is called back when something ends. Called without a lock of the runtime, so it may
/// open, submit and cancel; while it runs, other callbacks of its shard wait.
pub trait Callbacks: Send + Sync {
    /// A request ended. Called by a worker, unless [`Finished::delivery`] says at once: then by
    /// whoever found it ended, perhaps before the call that submitted it returns, and to be as
    /// short as an interrupt handler. What it submits itself is called back after it returned.
    fn finished(&self, finished: Finished);

    /// A key operation ended. Always called by a worker.
    fn key_finished(&self, finished: KeyFinished) {
        drop(finished);
    }
}

/// Opens sessions, submits requests and learns how they ended, from any thread and from several at
/// once. All its sessions are in one shard: two consumers do not wait for each other, and one that
/// is to use several CPUs is several.
///
/// What it submitted ends even if it is dropped. Its sessions live until they are freed or the
/// runtime shuts down; afterwards nothing is accepted any more.
#[derive(Clone)]
pub struct Consumer {
    pub(super) inner: Arc<Inner>,
    pub(super) shard: usize,
    pub(super) owner: Owner,
}

impl Consumer {
    fn shard(&self) -> &Shard {
        &self.inner.shards[self.shard]
    }

    fn inboxes(&self) -> Option<&Inboxes> {
        match &self.owner {
            Owner::Inbox(inboxes) => Some(inboxes),
            Owner::Callbacks(_) => None,
        }
    }

    /// Opens a session; see [`Framework::open_session`](crate::Framework::open_session).
    ///
    /// # Errors
    /// The same.
    pub fn open_session(
        &self,
        params: SessionParams,
        choice: DriverChoice,
        policy: MigrationPolicy,
    ) -> Result<SessionId, SessionError> {
        self.shard().with(self.inner.clock(), |core, now| {
            let session = core.framework.open_session(now, params, choice, policy)?;
            core.own(session, self.owner.clone());
            Ok(session)
        })
    }

    /// Frees a session; see [`Framework::close_session`](crate::Framework::close_session).
    ///
    /// # Errors
    /// The same.
    pub fn close_session(&self, session: SessionId) -> Result<(), SessionError> {
        self.shard().with(self.inner.clock(), |core, now| {
            core.framework.close_session(now, session)
        })
    }

    /// Moves a session to another driver; see
    /// [`Framework::move_session`](crate::Framework::move_session).
    ///
    /// # Errors
    /// The same.
    pub fn move_session(&self, session: SessionId, target: DriverId) -> Result<(), SessionError> {
        self.shard().with(self.inner.clock(), |core, now| {
            core.framework.move_session(now, session, target)
        })
    }

    /// Accepts a request or hands it back; see [`Framework::dispatch`](crate::Framework::dispatch).
    /// A driver that works within its `process` does the work here, unless the request asks for
    /// [`ASYNC`](crate::RequestFlags::ASYNC).
    ///
    /// # Errors
    /// The same.
    pub fn submit(&self, request: Box<Request>) -> Result<RequestId, Rejected> {
        self.shard().with(self.inner.clock(), |core, now| {
            let outcome = core.framework.dispatch(now, request);
            self.expect(usize::from(outcome.is_ok()));
            outcome
        })
    }

    /// Accepts requests from the front of `requests`; see
    /// [`Framework::dispatch_batch`](crate::Framework::dispatch_batch).
    ///
    /// # Errors
    /// The same.
    pub fn submit_batch(&self, requests: &mut VecDeque<Box<Request>>) -> Result<usize, Rejected> {
        let offered = requests.len();
        self.shard().with(self.inner.clock(), |core, now| {
            let outcome = core.framework.dispatch_batch(now, requests);
            let refused = requests.len() + usize::from(outcome.is_err());
            self.expect(offered - refused);
            outcome
        })
    }

    /// Accepts a key operation; see [`Framework::dispatch_key`](crate::Framework::dispatch_key).
    ///
    /// # Errors
    /// The same.
    pub fn submit_key(&self, request: Box<KeyRequest>) -> Result<RequestId, KeyRejected> {
        self.shard().with(self.inner.clock(), |core, now| {
            let id = core.framework.dispatch_key(now, request)?;
            core.own_key(id, self.owner.clone());
            if let Some(inboxes) = self.inboxes() {
                inboxes.keys.expect(1);
            }
            Ok(id)
        })
    }

    #[inline]
    fn expect(&self, count: usize) {
        if let Some(inboxes) = self.inboxes() {
            inboxes.requests.expect(count);
        }
    }

    /// Ends a request that still waits; see [`Framework::cancel`](crate::Framework::cancel).
    ///
    /// # Errors
    /// The same.
    pub fn cancel(&self, session: SessionId, id: RequestId) -> Result<(), CancelError> {
        self.shard().with(self.inner.clock(), |core, _| {
            core.framework.cancel(session, id)
        })
    }

    /// The driver that serves a session; see
    /// [`Framework::session_driver`](crate::Framework::session_driver).
    #[must_use]
    pub fn session_driver(&self, session: SessionId) -> Option<DriverId> {
        self.shard().with(self.inner.clock(), |core, _| {
            core.framework.session_driver(session)
        })
    }

    /// The current name of a session; see
    /// [`Framework::session_current`](crate::Framework::session_current).
    #[must_use]
    pub fn session_current(&self, session: SessionId) -> Option<SessionId> {
        self.shard().with(self.inner.clock(), |core, _| {
            core.framework.session_current(session)
        })
    }

    /// The key operations that some driver of `choice` offers; see
    /// [`Framework::key_operations`](crate::Framework::key_operations).
    #[must_use]
    pub fn key_operations(&self, choice: DriverChoice) -> KeyOps {
        self.shard().with(self.inner.clock(), |core, _| {
            core.framework.key_operations(choice)
        })
    }

    /// Waits for the next request that ends; `None` if all that was accepted ended and was taken.
    /// Always `None` for a consumer with callbacks.
    #[must_use]
    pub fn wait(&self) -> Option<Finished> {
        self.inboxes()?.requests.take(|_| true)
    }

    /// Waits for this request; `None` if it was taken already, or was never accepted, once nothing
    /// else is under way.
    #[must_use]
    pub fn wait_for(&self, id: RequestId) -> Option<Finished> {
        let is_wanted = |finished: &Finished| finished.request.id == id;
        self.inboxes()?.requests.take(is_wanted)
    }

    /// The next request that ended, if there is one now.
    #[must_use]
    pub fn try_wait(&self) -> Option<Finished> {
        self.inboxes()?.requests.try_take(|_| true)
    }

    /// Waits for the next key operation that ends; `None` if none is under way.
    #[must_use]
    pub fn wait_key(&self) -> Option<KeyFinished> {
        self.inboxes()?.keys.take(|_| true)
    }

    /// The next key operation that ended, if there is one now.
    #[must_use]
    pub fn try_wait_key(&self) -> Option<KeyFinished> {
        self.inboxes()?.keys.try_take(|_| true)
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}
