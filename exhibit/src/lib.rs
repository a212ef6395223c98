//! Exhibits of the bug museum: real bugs, each of which can be switched on where it would be.
//!
//! A crate asks [`on`] at the place of the bug. Without the feature `museum` the answer is the
//! constant `false`, and what is built is what would be built without the question. With it, one
//! exhibit at a time is shown to the thread that asks for it ([`Exhibit::show`]). Knows nothing of
//! card, driver or framework.

mod catalogue;
#[cfg(feature = "museum")]
mod shown;

use std::fmt;

pub use catalogue::Exhibit;
#[cfg(feature = "museum")]
pub use shown::{Shown, on};

/// Whose code the bug is put into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// The crypto framework.
    Framework,
    /// The driver of the card.
    Driver,
    /// The card itself.
    Card,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Framework => "framework",
            Self::Driver => "driver",
            Self::Card => "card",
        })
    }
}

/// Exhibits cannot be shown: this program was built without them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this program was built without bugs: build it with `--features museum`")
    }
}

impl std::error::Error for Closed {}

impl Exhibit {
    /// The exhibit called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.name() == name)
    }
}

/// An exhibit that is shown. Nothing is, in a build without the feature `museum`.
#[cfg(not(feature = "museum"))]
#[derive(Debug)]
pub struct Shown(std::convert::Infallible);

#[cfg(not(feature = "museum"))]
impl Exhibit {
    /// Shows the exhibit to this thread until the answer is dropped.
    ///
    /// # Errors
    /// [`Closed`] in a build without the feature `museum`.
    pub fn show(self) -> Result<Shown, Closed> {
        Err(Closed)
    }
}

/// Whether the bug is switched on for this thread.
#[cfg(not(feature = "museum"))]
#[must_use]
#[inline(always)]
pub const fn on(_: Exhibit) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_exhibit_has_a_name_of_its_own_and_is_found_by_it() {
        let names: BTreeSet<&str> = Exhibit::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), Exhibit::ALL.len());
        for exhibit in Exhibit::ALL {
            assert_eq!(Exhibit::named(exhibit.name()), Some(*exhibit));
            assert!(!exhibit.bug().is_empty() && !exhibit.case().is_empty());
        }
        assert_eq!(Exhibit::named("no such bug"), None);
    }

    #[test]
    fn nothing_is_on_unless_it_is_shown_to_this_thread() {
        let is_off = || Exhibit::ALL.iter().all(|&it| !on(it));
        assert!(is_off());
        {
            let shown = Exhibit::ALL[0].show();
            assert_eq!(shown.is_ok(), cfg!(feature = "museum"));
            assert_eq!(on(Exhibit::ALL[0]), shown.is_ok());
            assert!(!on(Exhibit::ALL[1]));
            std::thread::scope(|scope| {
                assert!(scope.spawn(is_off).join().expect("a thread that ends"));
            });
        }
        assert!(is_off());
    }
}
