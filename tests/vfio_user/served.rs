//! A card that is served by a thread of this process, on a socket of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use device_model::{Card, Profile};
use serve::doorbell::DoorbellPage;
use serve::listen::Stopper;
use serve::vfio_user::Server;
use serve::{Pacing, Slot};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// How clients ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Doorbells {
    /// With messages.
    Trapped,
    /// In shared memory.
    Shared,
}

/// A path that nothing else of these tests uses.
pub(crate) fn socket_path() -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ringside-{}-{number}.sock", std::process::id());
    std::env::temp_dir().join(name)
}

/// A server that ends when this does.
#[derive(Debug)]
pub(crate) struct Served {
    path: PathBuf,
    stopper: Stopper,
    /// Why each client left.
    ends: mpsc::Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn new(profile: Profile, doorbells: Doorbells) -> Self {
        Self::with(profile, doorbells, |_| {})
    }

    /// A server of a card that `change` was done to.
    pub(crate) fn with(
        profile: Profile,
        doorbells: Doorbells,
        change: impl FnOnce(&mut Card) + Send + 'static,
    ) -> Self {
        Self::serve(move || {
            let page = (doorbells == Doorbells::Shared)
                .then(|| DoorbellPage::new(profile.ring_pairs + 1).expect("a page"));
            let mut card = Card::new(profile).expect("a valid profile");
            change(&mut card);
            Slot::new(card, Pacing::Free, page)
        })
    }

    /// A server of a card that has its interrupt line and no vectors.
    pub(crate) fn without_msix(profile: Profile) -> Self {
        Self::serve(move || {
            let card = Card::new(profile).expect("a valid profile");
            let mut slot = Slot::new(card, Pacing::Free, None);
            slot.hide_msix();
            slot
        })
    }

    fn serve(make: impl FnOnce() -> Slot + Send + 'static) -> Self {
        let path = socket_path();
        let (started, wait) = mpsc::channel();
        let (told, ends) = mpsc::channel();
        let socket = path.clone();
        let thread = std::thread::spawn(move || {
            let mut server = Server::new(&socket, make()).expect("a socket");
            started
                .send(server.stopper().expect("a descriptor"))
                .expect("a listener");
            let run = server.run(|ended| {
                let _ = told.send(ended.to_string());
            });
            run.expect("a server that ends when it is told");
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

    /// Ends the server as a process ends: its sockets close.
    pub(crate) fn kill(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a server without a panic");
        }
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
