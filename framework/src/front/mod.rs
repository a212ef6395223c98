//! Other faces of the framework, for consumers and drivers that know another interface.
//!
//! A front end is an adapter: it uses the public interface of the framework and of seam 1, and
//! nothing else. `framework/tests/front_without_private.rs` compiles each outside the crate.

pub mod classic;
