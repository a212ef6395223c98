//! Which exhibit is shown to a thread.

use std::cell::Cell;

use crate::{Closed, Exhibit};

thread_local! {
    static SHOWN: Cell<Option<Exhibit>> = const { Cell::new(None) };
}

/// An exhibit that is shown to the thread, until this is dropped.
#[derive(Debug)]
pub struct Shown {
    before: Option<Exhibit>,
}

impl Exhibit {
    /// Shows the exhibit to this thread, in place of any other, until the answer is dropped.
    ///
    /// # Errors
    /// [`Closed`] in a build without the feature `museum`.
    pub fn show(self) -> Result<Shown, Closed> {
        let before = SHOWN.replace(Some(self));
        Ok(Shown { before })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        SHOWN.set(self.before);
    }
}

/// Whether the bug is switched on for this thread.
#[must_use]
#[inline]
pub fn on(exhibit: Exhibit) -> bool {
    SHOWN.get() == Some(exhibit)
}
