//! Another implementation's server: our driver, and the whole stack over it, reach a card behind
//! it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use device_model::{Card, FaultKind, Profile};
use serve::interrupt::{Action, Kind};
use serve::memory::{Far, Rights};
use serve::slot::Region;
use serve::{Pacing, Slot};
use vfio_bindings::bindings::vfio;
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, Server, ServerBackend, ServerRegion};

use crate::served::socket_path;
use crate::stack::encrypted_comes_back;

const BAR0: u32 = vfio::VFIO_PCI_BAR0_REGION_INDEX;
const CONFIG: u32 = vfio::VFIO_PCI_CONFIG_REGION_INDEX;

/// A card behind another implementation's server.
struct Behind(Slot);

/// Nobody has to be asked for memory: all of it has a file.
struct Nobody;

impl Far for Nobody {
    fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), FaultKind> {
        Err(FaultKind::Unanswered)
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), FaultKind> {
        Err(FaultKind::Unanswered)
    }
}

fn place(region: u32) -> io::Result<Region> {
    match region {
        BAR0 => Ok(Region::Registers),
        CONFIG => Ok(Region::Config),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

impl ServerBackend for Behind {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let read = self.0.read(place(region)?, offset, data, &mut Nobody);
        read.map_err(io::Error::from)
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        let written = self.0.write(place(region)?, offset, data, &mut Nobody);
        while self.0.advance(&mut Nobody) {}
        written.map_err(io::Error::from)
    }

    fn dma_map(
        &mut self,
        _: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        file: Option<File>,
    ) -> io::Result<()> {
        let rights = Rights {
            read: true,
            write: true,
        };
        let file = file.map(|file| (file.into(), offset));
        let mapped = self.0.memory().map((address, size), rights, file);
        mapped.map_err(io::Error::from)
    }

    fn dma_unmap(&mut self, _: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        self.0
            .memory()
            .unmap(address, size)
            .map_err(io::Error::from)
    }

    fn reset(&mut self) -> io::Result<()> {
        self.0.reset(&mut Nobody);
        Ok(())
    }

    fn set_irqs(
        &mut self,
        index: u32,
        _: u32,
        start: u32,
        count: u32,
        files: Vec<File>,
    ) -> io::Result<()> {
        let kind = Kind::ALL[index as usize];
        let action = Action::Assign(files.into_iter().map(OwnedFd::from).collect());
        let set = self
            .0
            .set_interrupts(kind, (start, count), action, &mut Nobody);
        set.map_err(io::Error::from)
    }
}

/// The regions and interrupts of a card with `vectors`, as that server wants them listed.
fn listed(vectors: u32) -> (Vec<IrqInfo>, Vec<ServerRegion>) {
    let interrupts = (0..).zip([1, 0, vectors, 1, 1]);
    let interrupts = interrupts.map(|(index, count)| IrqInfo {
        index,
        flags: vfio::VFIO_IRQ_INFO_EVENTFD,
        count,
    });
    let regions = (0..vfio::VFIO_PCI_NUM_REGIONS).map(|index| ServerRegion {
        region_info: vfio::vfio_region_info {
            argsz: size_of::<vfio::vfio_region_info>() as u32,
            flags: vfio::VFIO_REGION_INFO_FLAG_READ | vfio::VFIO_REGION_INFO_FLAG_WRITE,
            index,
            size: place(index).map_or(0, Region::len),
            ..Default::default()
        },
        sparse_areas: Vec::new(),
        mmap_fd: None,
    });
    (interrupts.collect(), regions.collect())
}

#[test]
fn the_whole_stack_reaches_a_card_behind_another_server() {
    let profile = Profile {
        ring_pairs: 2,
        ..Profile::reference()
    };
    let path = socket_path();
    let (interrupts, regions) = listed(3);
    let server = Server::new(&path, true, interrupts, regions).expect("a socket");
    let serving = std::thread::spawn(move || {
        let card = Card::new(profile).expect("a valid profile");
        let mut card = Behind(Slot::new(card, Pacing::Free, None));
        server.run(&mut card).expect("a client that goes");
        card.0.card().expect("a card").stats().completions
    });
    encrypted_comes_back(&path);
    let completions = serving.join().expect("a server without a panic");
    assert!(completions >= 600, "{completions}");
}
