//! Another implementation's client: what it reads is what the card is.

use std::os::fd::AsRawFd;

use device_model::Profile;
use dma::Pool;
use regs::pci::{CONFIG_LEN, MSIX_BAR_LEN, PCI_DEVICE, PCI_VENDOR, header};
use regs::{BAR0_LEN, DEVICE_ID, DOORBELL_PAGE, Register};
use rustix::event::{EventfdFlags, eventfd};
use vfio_bindings::bindings::vfio;
use vfio_user::Client;

use crate::served::{Doorbells, Served};

const BAR0: u32 = vfio::VFIO_PCI_BAR0_REGION_INDEX;
const CONFIG: u32 = vfio::VFIO_PCI_CONFIG_REGION_INDEX;

fn register(client: &mut Client, register: Register) -> u32 {
    let mut bytes = [0; 4];
    let offset = u64::from(register.offset());
    client
        .region_read(BAR0, offset, &mut bytes)
        .expect("a register");
    u32::from_le_bytes(bytes)
}

fn enable_memory(client: &mut Client) {
    let command = header::MEMORY_SPACE.mask() | header::BUS_MASTER.mask();
    let offset = u64::from(header::COMMAND.offset);
    let bytes = &command.to_le_bytes()[..2];
    client.region_write(CONFIG, offset, bytes).expect("a write");
}

#[test]
fn another_client_finds_the_card_its_regions_and_its_interrupts() {
    let served = Served::new(Profile::reference(), Doorbells::Shared);
    let mut client = Client::new(served.path()).expect("a session");
    let size = |index| client.region(index).expect("a region").size;
    assert_eq!(size(BAR0), u64::from(BAR0_LEN));
    assert_eq!(
        size(vfio::VFIO_PCI_BAR2_REGION_INDEX),
        u64::from(MSIX_BAR_LEN)
    );
    assert_eq!(size(CONFIG), CONFIG_LEN as u64);
    assert_eq!(size(vfio::VFIO_PCI_ROM_REGION_INDEX), 0);
    let areas = &client.region(BAR0).expect("a region").sparse_areas;
    let areas: Vec<_> = areas.iter().map(|area| (area.offset, area.size)).collect();
    assert_eq!(areas, [(u64::from(DOORBELL_PAGE), 4096)]);
    let info = client
        .get_irq_info(vfio::VFIO_PCI_MSIX_IRQ_INDEX)
        .expect("vectors");
    assert_eq!(info.count, u32::from(Profile::reference().ring_pairs) + 1);
}

#[test]
fn another_client_reads_configuration_space_byte_by_byte_and_sizes_a_bar() {
    let served = Served::new(Profile::reference(), Doorbells::Trapped);
    let mut client = Client::new(served.path()).expect("a session");
    let mut whole = vec![0; CONFIG_LEN];
    client
        .region_read(CONFIG, 0, &mut whole)
        .expect("all of it");
    assert_eq!(whole[..2], PCI_VENDOR.to_le_bytes());
    assert_eq!(whole[2..4], PCI_DEVICE.to_le_bytes());
    for at in [0, 1, 2, 3, 0x34, 0xFF, 0x100, 0xFFF] {
        let mut byte = [0];
        client.region_read(CONFIG, at, &mut byte).expect("a byte");
        assert_eq!(byte[0], whole[at as usize], "byte {at:#x}");
    }
    let bar = u64::from(header::BAR0_LOW.offset);
    client
        .region_write(CONFIG, bar, &[0xFF; 4])
        .expect("a write");
    let mut mask = [0; 4];
    client.region_read(CONFIG, bar, &mut mask).expect("a mask");
    assert_eq!(!(u32::from_le_bytes(mask) & !0xF), BAR0_LEN - 1);
}

#[test]
fn registers_answer_once_memory_space_is_enabled_and_a_reset_keeps_that() {
    let served = Served::new(Profile::reference(), Doorbells::Trapped);
    let mut client = Client::new(served.path()).expect("a session");
    assert_eq!(register(&mut client, Register::DeviceId), u32::MAX);
    enable_memory(&mut client);
    assert_eq!(register(&mut client, Register::DeviceId), DEVICE_ID);
    client
        .region_write(BAR0, Register::InterruptMask.offset().into(), &[3, 0, 0, 0])
        .unwrap();
    assert_eq!(register(&mut client, Register::InterruptMask), 3);
    client.reset().expect("a reset");
    assert_eq!(register(&mut client, Register::DeviceId), DEVICE_ID);
    assert_ne!(register(&mut client, Register::InterruptMask), 3);
}

#[test]
fn a_client_that_comes_back_finds_the_card_as_it_left_it_but_without_its_memory() {
    let served = Served::new(Profile::reference(), Doorbells::Trapped);
    let pool = Pool::shared(1 << 20).expect("memory");
    let file = pool.file().expect("a file").as_raw_fd();
    for _ in 0..2 {
        let mut client = Client::new(served.path()).expect("a session");
        enable_memory(&mut client);
        client
            .dma_map(0, 0x10_0000, 1 << 20, file)
            .expect("a range");
        let event = eventfd(0, EventfdFlags::CLOEXEC).expect("an event");
        let flags = vfio::VFIO_IRQ_SET_DATA_EVENTFD | vfio::VFIO_IRQ_SET_ACTION_TRIGGER;
        let index = vfio::VFIO_PCI_MSIX_IRQ_INDEX;
        client
            .set_irqs(index, flags, 0, 1, &[event.as_raw_fd()])
            .expect("an interrupt");
        let flags = vfio::VFIO_IRQ_SET_DATA_NONE | vfio::VFIO_IRQ_SET_ACTION_TRIGGER;
        client.set_irqs(index, flags, 0, 1, &[]).expect("a trigger");
        let mut count = [0; 8];
        assert_eq!(rustix::io::read(&event, &mut count), Ok(8));
        assert_eq!(u64::from_ne_bytes(count), 1);
        drop(client);
        assert_eq!(served.end(), "the other end closed the socket");
    }
    let mut client = Client::new(served.path()).expect("a session");
    assert_eq!(register(&mut client, Register::DeviceId), DEVICE_ID);
}

/// The capabilities of the list in configuration space, and where each begins.
fn capabilities(client: &mut Client) -> Vec<(u8, u64)> {
    let mut found = Vec::new();
    let mut at = [0];
    let pointer = header::CAPABILITIES_POINTER.offset.into();
    client.region_read(CONFIG, pointer, &mut at).unwrap();
    while at[0] != 0 {
        assert!(found.len() < 48, "a list without an end: {found:?}");
        let mut head = [0; 2];
        client.region_read(CONFIG, at[0].into(), &mut head).unwrap();
        found.push((head[0], at[0].into()));
        at[0] = head[1];
    }
    found
}

#[test]
fn a_card_whose_msix_is_hidden_has_a_line_instead_and_nothing_leads_to_the_capability() {
    const MSIX: u8 = 0x11;
    let served = Served::new(Profile::reference(), Doorbells::Trapped);
    let all = capabilities(&mut Client::new(served.path()).expect("a session"));
    let served = Served::without_msix(Profile::reference());
    let mut client = Client::new(served.path()).expect("a session");
    let rest: Vec<_> = all.iter().copied().filter(|&(id, _)| id != MSIX).collect();
    assert_eq!(all.len(), rest.len() + 1);
    assert_eq!(capabilities(&mut client), rest);
    let place = all.iter().find(|&&(id, _)| id == MSIX).expect("MSI-X").1;
    // However it is read and written.
    for len in 1..=12 {
        for at in 0..=12 - len {
            let mut bytes = vec![0xEE; len as usize];
            let write = client.region_write(CONFIG, place + at, &vec![0xFF; len as usize]);
            write.expect("a write");
            client.region_read(CONFIG, place + at, &mut bytes).unwrap();
            assert_eq!(bytes, vec![0; len as usize], "{at} {len}");
        }
    }
    let mut count = |index| client.get_irq_info(index).expect("interrupts").count;
    assert_eq!(count(vfio::VFIO_PCI_MSIX_IRQ_INDEX), 0);
    assert_eq!(count(vfio::VFIO_PCI_INTX_IRQ_INDEX), 1);
}
