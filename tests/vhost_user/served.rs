//! A backend that is served by a thread of this process, on a socket of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use device_model::virtio::VirtioCrypto;
use device_model::{Latch, Profile, Provisioning};
use serve::Pacing;
use serve::listen::Stopper;
use serve::vhost_user::{Backend, Server};

static NEXT: AtomicU32 = AtomicU32::new(0);
/// Data queues of every backend here.
pub(crate) const QUEUES: u16 = 2;

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
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringside-crypto-{}-{number}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let (started, wait) = mpsc::channel();
        let (told, ends) = mpsc::channel();
        let socket = path.clone();
        let latches = latches.to_vec();
        let thread = std::thread::spawn(move || {
            let device = VirtioCrypto::new(Profile::reference(), &Provisioning::default());
            let mut device = device.expect("a valid profile");
            latches.into_iter().for_each(|latch| device.latch(latch));
            let backend = Backend::new(device, pacing, QUEUES);
            let mut server = Server::new(&socket, backend).expect("a socket");
            let stopper = server.stopper().expect("a descriptor");
            started.send(stopper).expect("a listener");
            let run = server.run(|ended| {
                let _ = told.send(ended.to_string());
            });
            run.expect("a server that ends when it is told");
            server.backend().device().sessions()
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
