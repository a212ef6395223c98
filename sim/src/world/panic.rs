//! A run that panics names itself.
//!
//! A release build aborts at the first panic, and a sweep has many runs under way: without their
//! names nobody could find the one again.

use std::cell::RefCell;
use std::io::Write as _;
use std::panic;

thread_local! {
    static RUNNING: RefCell<Option<(String, u64)>> = const { RefCell::new(None) };
}

/// A run under way on this thread, until it is dropped.
pub(super) struct Running(Option<(String, u64)>);

impl Running {
    /// The run of `scenario` with `seed` begins.
    pub(super) fn new(scenario: &str, seed: u64) -> Self {
        Self(RUNNING.replace(Some((scenario.to_owned(), seed))))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let before = self.0.take();
        // A thread that ends may have lost the place already.
        let _ = RUNNING.try_with(|running| running.replace(before));
    }
}

/// What is said of the run under way on this thread, if there is one.
fn epitaph() -> Option<String> {
    let running = RUNNING.try_with(|running| running.borrow().clone());
    let (scenario, seed) = running.ok().flatten()?;
    Some(format!(
        "This is a bug of ringside. The run was of scenario `{scenario}` with seed {seed}; the same \
         scenario, seed and data show it\nagain.\n"
    ))
}

/// From now on, a panic within a run says on standard error which run it was, after what is said
/// of every panic.
pub fn name_runs_that_panic() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        if let Some(text) = epitaph() {
            // Nothing is left to be done if standard error is gone too.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_under_way_is_named_and_no_other() {
        assert_eq!(epitaph(), None);
        let outer = Running::new("outer", 1);
        {
            let _inner = Running::new("inner", 7);
            let text = epitaph().expect("a run is under way");
            assert!(text.contains("`inner` with seed 7"), "{text}");
            let other = std::thread::spawn(epitaph).join();
            assert_eq!(other.expect("a thread that ends"), None);
        }
        assert!(epitaph().is_some_and(|text| text.contains("`outer` with seed 1")));
        drop(outer);
        assert_eq!(epitaph(), None);
    }

    #[test]
    fn a_run_that_panics_is_named_while_it_does_and_not_after() {
        let caught = std::thread::spawn(|| {
            let result = panic::catch_unwind(|| {
                let _running = Running::new("falls", 3);
                panic!("on purpose");
            });
            (result.is_err(), epitaph())
        });
        assert_eq!(caught.join().expect("caught"), (true, None));
    }
}
