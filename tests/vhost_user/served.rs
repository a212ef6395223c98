//! A backend that is served by a thread of this process, on a socket of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use device_model::virtio::VirtioCrypto;
use device_model::{Latch, Profile};
use serve::Pacing;
use serve::listen::Stopper;
use serve::vhost_user::{Backend, Server};

static NEXT: AtomicU32 = AtomicU32::new(0);
/// Data queues of every backend here.
pub(crate) const QUEUES: u16 = 2;

/// A path that nothing else of these tests uses.
pub(crate) fn socket_path() -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ringside-crypto-{}-{number}.sock", std::process::id());
    std::env::temp_dir().join(name)
}

/// A server that ends when this does.
#[derive(Debug)]
pub(crate) struct Served {
    path: PathBuf,
    stopper: Stopper,
    /// Why each client left, and the sessions that are left.
    ends: mpsc::Receiver<String>,
    thread: Option<JoinHandle<usize>>,
}

impl Served {
    pub(crate) fn new() -> Self {
        Self::with(Pacing::Free, &[])
    }

    pub(crate) fn with(pacing: Pacing, latches: &[Latch]) -> Self {
        let path = socket_path();
        let (started, wait) = mpsc::channel();
        let (told, ends) = mpsc::channel();
        let socket = path.clone();
        let latches = latches.to_vec();
        let thread = std::thread::spawn(move || {
            let backend = Backend::new(Profile::reference(), pacing, QUEUES);
            let mut backend = backend.expect("a valid profile");
            for latch in latches {
                assert!(
                    backend.latch(latch),
                    "{latch:?} means nothing to the device"
                );
            }
            let mut server = Server::new(&socket, backend).expect("a socket");
            let stopper = server.stopper().expect("a descriptor");
            started.send(stopper).expect("a listener");
            let run = server.run(|ended| {
                let _ = told.send(ended.to_string());
            });
            run.expect("a server that ends when it is told");
            let device = server.backend().device();
            device.map_or(0, VirtioCrypto::sessions)
        });
        Self {
            path,
            stopper: wait.recv().expect("a server"),
            ends,
            thread: Some(thread),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Why the next client left; waits for it.
    pub(crate) fn end(&self) -> String {
        self.ends.recv().expect("a server that runs")
    }

    /// Ends the server; gives the number of sessions that it had then.
    pub(crate) fn kill(&mut self) -> usize {
        self.stopper.stop();
        let thread = self.thread.take().expect("a server that runs");
        thread.join().expect("a server without a panic")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().expect("a server without a panic");
        }
    }
}
