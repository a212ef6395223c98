//! The virtio crypto device on a vhost-user socket: a frontend of its own, bad frontends, and QEMU
//! with a stock guest.

mod alg;
mod ciphers;
mod frontend;
mod guest;
mod hostile;
mod lives;
mod orders;
#[path = "../vfio_user/program.rs"]
mod program;
mod served;
mod services;
