//! The virtio crypto device on a vhost-user socket: a frontend of its own, bad frontends, and QEMU
//! with a stock guest.

mod alg;
mod frontend;
mod guest;
mod hostile;
mod lives;
mod served;
mod services;
