//! The card on a vfio-user socket: another implementation's client and ours, bad clients, and the
//! whole stack with the card in another process.

mod between;
mod hostile;
mod hostile_server;
mod interrupts;
mod peer;
mod peer_server;
mod processes;
mod program;
mod qemu;
mod served;
mod stack;
