//! The software driver with threads of its own: what need not be done in the caller's time is done
//! by a pool of workers; the task queue of `crypto_dispatch_async`.
//!
//! Owns sessions and what the workers have. Serves what [`SoftwareDriver`](crate::software) serves,
//! by the same [`Transform`].

use timebase::Time;

use super::bell::Waker;
use super::{cpus, lock};
use crate::software::{Transform, compute_key};
use crate::sync::channel::{Receiver, Sender, unbounded};
use crate::sync::thread::JoinHandle;
use crate::sync::{Arc, Mutex, spawn};
use crate::{
    Blocked, Completed, CryptoDriver, DriverFlags, DriverOutput, DriverSession, Hint, KeyBlocked,
    KeyCompleted, KeyOps, KeyRequest, OpenError, ProbeScore, Request, RequestFlags, SessionParams,
};

/// Most requests, and most key operations, of one driver that the workers have; more are refused
/// for now.
const BACKLOG_MAX: usize = 1024;

/// Something for a worker to do.
type Job = Box<dyn FnOnce() + Send>;

/// Threads that work for any number of drivers. They end when it is dropped.
#[derive(Debug)]
pub struct Workers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// So many threads, at least one.
    #[must_use]
    pub fn new(count: usize) -> Arc<Self> {
        let (jobs, todo) = unbounded::<Job>();
        let work = |number| {
            let todo: Receiver<Job> = todo.clone();
            spawn(format!("crypto{number}"), move || {
                while let Ok(job) = todo.recv() {
                    job();
                }
            })
        };
        let threads = (0..count.max(1)).map(work).collect();
        let jobs = Some(jobs);
        Arc::new(Self { jobs, threads })
    }

    /// A thread for each CPU this process may use.
    #[must_use]
    pub fn for_each_cpu() -> Arc<Self> {
        Self::new(cpus())
    }

    fn begin(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("open until dropped");
        assert!(jobs.send(job).is_ok(), "workers outlive their drivers");
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            thread.join().expect("a worker that ends in good order");
        }
    }
}

/// What a driver's jobs leave behind.
#[derive(Default)]
struct Done {
    output: DriverOutput,
    /// Requests that workers have.
    requests: usize,
    keys: usize,
    /// The unblock generations.
    generation: u64,
    key_generation: u64,
}

/// The software driver whose [asynchronous](RequestFlags::ASYNC) requests and key operations are
/// done by [`Workers`]; other requests are done when `process` returns. Requests of one session do
/// not overtake each other in being done one at a time, but end in any order.
pub struct PooledSoftware {
    name: String,
    workers: Arc<Workers>,
    waker: Waker,
    sessions: Vec<Option<Arc<Mutex<Transform>>>>,
    free: Vec<u32>,
    output: DriverOutput,
    done: Arc<Mutex<Done>>,
    is_detached: bool,
}

impl PooledSoftware {
    /// A driver without sessions, for one shard. `name` is for people and unique among the
    /// registered drivers.
    #[must_use]
    pub fn new(name: &str, workers: Arc<Workers>, waker: Waker) -> Self {
        Self {
            name: name.to_owned(),
            workers,
            waker,
            sessions: Vec::new(),
            free: Vec::new(),
            output: DriverOutput::default(),
            done: Arc::default(),
            is_detached: false,
        }
    }

    fn session(&self, session: DriverSession) -> &Arc<Mutex<Transform>> {
        let transform = self.sessions[session.0 as usize].as_ref();
        transform.expect("a session that is open")
    }

    /// Has a worker do something and then note what came of it.
    fn begin<R>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
        note: impl FnOnce(&mut Done, R) + Send + 'static,
    ) {
        let (done, waker) = (Arc::clone(&self.done), self.waker.clone());
        self.workers.begin(Box::new(move || {
            let result = work();
            note(&mut lock(&done), result);
            waker.wake();
        }));
    }
}

impl CryptoDriver for PooledSoftware {
    fn name(&self) -> &str {
        &self.name
    }

    fn flags(&self) -> DriverFlags {
        DriverFlags::SOFTWARE | DriverFlags::SYNC
    }

    fn probe_session(&self, _params: &SessionParams) -> Option<ProbeScore> {
        Some(ProbeScore::SOFTWARE)
    }

    fn open_session(
        &mut self,
        _now: Time,
        params: &SessionParams,
    ) -> Result<DriverSession, OpenError> {
        let transform = Transform::new(params).map_err(|_| OpenError::Unsupported)?;
        let number = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            u32::try_from(self.sessions.len() - 1).expect("fewer sessions than numbers")
        });
        self.sessions[number as usize] = Some(Arc::new(Mutex::new(transform)));
        let session = DriverSession(number);
        self.output.opened.push((session, Ok(())));
        Ok(session)
    }

    fn close_session(&mut self, _now: Time, session: DriverSession) {
        let transform = self.sessions[session.0 as usize].take();
        assert!(transform.is_some(), "a session that is open");
        self.free.push(session.0);
    }

    fn process(
        &mut self,
        _now: Time,
        session: DriverSession,
        mut request: Box<Request>,
        _hint: Hint,
    ) -> Result<(), Blocked> {
        if !request.flags.contains(RequestFlags::ASYNC) {
            let result = lock(self.session(session)).process(&mut request);
            self.output.completed.push(Completed { request, result });
            return Ok(());
        }
        {
            let mut done = lock(&self.done);
            if done.requests == BACKLOG_MAX {
                let generation = done.generation;
                return Err(Blocked {
                    request,
                    generation,
                });
            }
            done.requests += 1;
        }
        let transform = Arc::clone(self.session(session));
        self.begin(
            move || {
                let result = lock(&transform).process(&mut request);
                // Before the result is known: then the session may be closed and its keys zeroed.
                drop(transform);
                Completed { request, result }
            },
            |done, completed| {
                done.requests -= 1;
                done.generation += 1;
                done.output.completed.push(completed);
            },
        );
        Ok(())
    }

    fn flush(&mut self, _now: Time) {}

    fn service(&mut self, _now: Time, output: &mut DriverOutput) {
        let mut done = lock(&self.done);
        output.opened.append(&mut self.output.opened);
        output.completed.append(&mut self.output.completed);
        output.completed.append(&mut done.output.completed);
        output.keys.append(&mut done.output.keys);
        output.lost |= self.is_detached && done.requests == 0 && done.keys == 0;
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn unblock_generation(&self) -> u64 {
        lock(&self.done).generation
    }

    fn key_operations(&self) -> KeyOps {
        KeyOps::all()
    }

    fn process_key(&mut self, _now: Time, mut request: Box<KeyRequest>) -> Result<(), KeyBlocked> {
        {
            let mut done = lock(&self.done);
            if done.keys == BACKLOG_MAX {
                let generation = done.key_generation;
                return Err(KeyBlocked {
                    request,
                    generation,
                });
            }
            done.keys += 1;
        }
        self.begin(
            move || {
                let result = compute_key(&mut request);
                KeyCompleted { request, result }
            },
            |done, completed| {
                done.keys -= 1;
                done.key_generation += 1;
                done.output.keys.push(completed);
            },
        );
        Ok(())
    }

    fn key_unblock_generation(&self) -> u64 {
        lock(&self.done).key_generation
    }

    fn detach(&mut self, _now: Time) {
        self.sessions.clear();
        self.free.clear();
        self.is_detached = true;
    }
}
