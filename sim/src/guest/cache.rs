//! What guests are made of, in a folder that is filled once.
//!
//! Owns where the folder is; what comes into it, and how, says the script `sim/guest/fetch`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Fills the folder, with the machine's own package manager.
const FETCH: &str = include_str!("../../guest/fetch");
/// Rises when what the script leaves in the folder changes.
const VERSION: u32 = 1;

/// Why there is nothing to make a guest of.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Neither of the variables that lead to a cache is set.
    #[error("neither XDG_CACHE_HOME nor HOME says where a cache may be")]
    NoPlace,
    /// No shell could be run.
    #[error("cannot run the script that fetches QEMU")]
    Run(#[source] io::Error),
    /// The script says why.
    #[error("QEMU and a kernel could not be fetched: {0}")]
    Fetch(String),
}

/// A folder with QEMU, a kernel and an initramfs.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The folder `folder`, or one in the user's cache; fetches what is missing. Uses the network
    /// the first time only.
    ///
    /// # Errors
    /// [`CacheError`] if the machine has no package manager that is known, or no network.
    pub fn prepare(folder: Option<&Path>) -> Result<Self, CacheError> {
        let folder = folder.map_or_else(default_folder, |folder| Ok(folder.to_owned()))?;
        let folder = folder.join(format!("guest-{VERSION}"));
        let mut shell = Command::new("sh");
        shell.args(["-s", "--"]).arg(&folder);
        shell.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut running = shell.spawn().map_err(CacheError::Run)?;
        if let Some(mut stdin) = running.stdin.take() {
            // A shell that stops reading says why by its exit.
            let _ = stdin.write_all(FETCH.as_bytes());
        }
        let ended = running.wait_with_output().map_err(CacheError::Run)?;
        let told = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        if !ended.status.success() {
            return Err(CacheError::Fetch(told));
        }
        if !told.is_empty() {
            // Nobody is left to tell if standard error is closed.
            let _ = writeln!(io::stderr(), "{told}");
        }
        Ok(Self { folder })
    }

    /// A folder that is taken as it is.
    #[cfg(test)]
    pub(crate) fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn default_folder() -> Result<PathBuf, CacheError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")));
    cache
        .map(|cache| cache.join("ringside"))
        .ok_or(CacheError::NoPlace)
}
