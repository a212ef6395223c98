//! The paths that lead to a card in real time, and what they have to tell besides.

use std::os::fd::BorrowedFd;

use dma::{Coherent, Pool, PoolBuffer};
#[cfg(feature = "vfio")]
use driver::vfio::Vfio;
use driver::vfio_user::VfioUser;
use driver::{Direction, MapError, Mapped, Transport, Unmapped};
use regs::DeviceAddr;

/// A path to a card, with its interrupts counted.
pub(crate) struct Path {
    link: Link,
    /// How often each vector fired.
    pub(crate) interrupts: Vec<u64>,
}

enum Link {
    #[cfg(feature = "vfio")]
    Slot(Box<Vfio>),
    Socket(Box<VfioUser>),
}

#[cfg(feature = "vfio")]
impl From<Vfio> for Path {
    fn from(link: Vfio) -> Self {
        Self::new(link.vectors(), Link::Slot(Box::new(link)))
    }
}

impl From<VfioUser> for Path {
    fn from(link: VfioUser) -> Self {
        Self::new(link.vectors(), Link::Socket(Box::new(link)))
    }
}

impl Path {
    fn new(vectors: u16, link: Link) -> Self {
        let interrupts = vec![0; usize::from(vectors)];
        Self { link, interrupts }
    }

    /// What has something to say when an interrupt comes or the card goes.
    pub(crate) fn ends(&self) -> Vec<BorrowedFd<'_>> {
        match &self.link {
            #[cfg(feature = "vfio")]
            Link::Slot(slot) => slot.ends().collect(),
            Link::Socket(socket) => socket.ends().collect(),
        }
    }

    /// Resets the card from outside.
    pub(crate) fn reset(&mut self) {
        match &mut self.link {
            #[cfg(feature = "vfio")]
            Link::Slot(slot) => slot.reset(),
            Link::Socket(socket) => socket.reset(),
        }
    }

    fn link(&self) -> &dyn Transport {
        match &self.link {
            #[cfg(feature = "vfio")]
            Link::Slot(slot) => slot.as_ref(),
            Link::Socket(socket) => socket.as_ref(),
        }
    }

    fn link_mut(&mut self) -> &mut dyn Transport {
        match &mut self.link {
            #[cfg(feature = "vfio")]
            Link::Slot(slot) => slot.as_mut(),
            Link::Socket(socket) => socket.as_mut(),
        }
    }
}

impl Transport for Path {
    fn read(&mut self, offset: u32) -> u32 {
        self.link_mut().read(offset)
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.link_mut().write(offset, value);
    }

    fn barrier(&mut self) {
        self.link_mut().barrier();
    }

    fn map(
        &mut self,
        buffer: PoolBuffer,
        direction: Direction,
    ) -> Result<Mapped, (PoolBuffer, MapError)> {
        self.link_mut().map(buffer, direction)
    }

    fn unmap(&mut self, mapped: Mapped) -> Unmapped {
        self.link_mut().unmap(mapped)
    }

    fn share(&mut self, block: &Coherent, direction: Direction) -> Result<DeviceAddr, MapError> {
        self.link_mut().share(block, direction)
    }

    fn unshare(&mut self, addr: DeviceAddr) {
        self.link_mut().unshare(addr);
    }

    fn pool(&self) -> &Pool {
        self.link().pool()
    }

    fn vectors(&self) -> u16 {
        self.link().vectors()
    }

    fn take_interrupts(&mut self) -> u128 {
        let fired = self.link_mut().take_interrupts();
        for (vector, count) in self.interrupts.iter_mut().enumerate() {
            *count += (fired >> vector & 1) as u64;
        }
        fired
    }

    fn restore_vectors(&mut self) {
        self.link_mut().restore_vectors();
    }

    fn is_present(&self) -> bool {
        self.link().is_present()
    }
}
