//! The world: the only owner of time and chance.
