//! The front ends know nothing of the framework that other crates cannot know: here their sources
//! are compiled in another crate.

#![expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "compiling is the test"
)]

// What `crate::` means in those sources.
use framework::*;

#[path = "../src/front/classic/mod.rs"]
mod classic;

#[test]
fn the_classic_front_compiles_outside() {
    let random: classic::RandomBytes = Box::new(|_| {});
    let front = classic::Classic::new(
        Framework::new(Limits::default()),
        classic::IvPolicy::Random,
        random,
    );
    assert_eq!(front.crypto_getfeat(), KeyOps::empty());
}
