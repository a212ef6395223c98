//! The card on a vfio-user socket: another implementation's client and ours, bad clients, and the
//! whole stack with the card in another process.

mod hostile;
mod peer;
mod served;
mod stack;
