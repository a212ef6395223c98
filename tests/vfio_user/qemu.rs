//! What QEMU asks for, and takes amiss: each was seen with QEMU 11.1, and is said here without it.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use device_model::Profile;
use protocol::wire::{Command, DmaMap, DmaUnmap, MAX_FDS, RegionInfo, SparseArea};
use protocol::{Channel, Deadline, Message};
use regs::DOORBELL_PAGE;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use serde_json::{Value, json};
use vfio_bindings::bindings::vfio;
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::served::{Doorbells, Served};

pub(crate) const PATIENCE_MS: u32 = 20_000;

/// Asks; gives the answer, which is no refusal.
fn ask(channel: &mut Channel, command: Command, payload: &[u8]) -> Message {
    let id = channel.command(command, &[payload], &[]).expect("a server");
    let deadline = Deadline::after(PATIENCE_MS);
    let message = channel.receive_by(deadline).expect("an answer");
    assert_eq!(message.header.id.get(), id);
    assert_eq!(message.header.failure(), None, "{command:?}");
    message
}

/// A session whose client can do `capabilities`, and what the server says that it can.
pub(crate) fn agreed(served: &Served, capabilities: &Value) -> (Channel, Value) {
    let socket = UnixStream::connect(served.path()).expect("a server");
    let mut channel = Channel::new(socket, PATIENCE_MS);
    let text = json!({ "capabilities": capabilities }).to_string();
    let payload = [&[0, 0, 1, 0], text.as_bytes(), &[0]].concat();
    let answer = ask(&mut channel, Command::Version, &payload);
    let text = answer.payload[4..].strip_suffix(&[0]).expect("a zero");
    let mut said: Value = serde_json::from_slice(text).expect("JSON");
    (channel, said["capabilities"].take())
}

#[test]
fn a_server_never_promises_more_descriptors_than_its_client_proposed() {
    let served = Served::new(Profile::reference(), Doorbells::Trapped);
    for proposed in [1, 8, 16, u64::MAX] {
        let (_, said) = agreed(&served, &json!({ "max_msg_fds": proposed }));
        assert_eq!(said["max_msg_fds"], proposed.min(MAX_FDS as u64));
        served.end();
    }
    let (_, said) = agreed(&served, &json!({}));
    assert_eq!(said, json!({}), "what nobody proposed is not promised");
}

#[test]
fn where_the_capabilities_of_a_region_begin_is_said_also_to_who_has_no_room_for_them() {
    let served = Served::new(Profile::reference(), Doorbells::Shared);
    let (mut channel, _) = agreed(&served, &json!({}));
    let head = size_of::<RegionInfo>();
    let mut info = |argsz: usize| {
        let asked = RegionInfo {
            argsz: (argsz as u32).into(),
            index: vfio::VFIO_PCI_BAR0_REGION_INDEX.into(),
            ..RegionInfo::default()
        };
        let command = Command::DeviceGetRegionInfo;
        let answer = ask(&mut channel, command, asked.as_bytes());
        let (info, rest) = RegionInfo::read_from_prefix(&answer.payload).expect("an answer");
        let caps = vfio::VFIO_REGION_INFO_FLAG_CAPS | vfio::VFIO_REGION_INFO_FLAG_MMAP;
        assert_eq!(info.flags.get() & caps, caps);
        assert_eq!(info.cap_offset.get() as usize, head);
        let whole = info.argsz.get() as usize;
        (whole, rest.to_vec(), answer.fds.len())
    };
    let (whole, rest, fds) = info(head);
    assert_eq!(
        (whole, rest.len(), fds),
        (head + size_of::<SparseArea>(), 0, 0)
    );
    let (again, rest, fds) = info(whole);
    assert_eq!((again, fds), (whole, 1));
    let area = SparseArea::read_from_bytes(&rest).expect("an area");
    assert_eq!(
        u32::from(area.id.get()),
        vfio::VFIO_REGION_INFO_CAP_SPARSE_MMAP
    );
    assert_eq!(
        (area.version.get(), area.next.get(), area.nr_areas.get()),
        (1, 0, 1)
    );
    assert_eq!(
        (area.offset.get(), area.size.get()),
        (DOORBELL_PAGE.into(), 4096)
    );
}

#[test]
fn memory_comes_without_a_file_and_to_read_only_and_what_was_never_there_may_go() {
    let served = Served::new(Profile::reference(), Doorbells::Trapped);
    let (mut channel, _) = agreed(&served, &json!({}));
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
    let memory = memfd_create("guest", flags).expect("memory");
    ftruncate(&memory, 1 << 20).expect("room");
    fcntl_add_seals(&memory, SealFlags::SHRINK).expect("a seal");
    let map = |address: u64, flags: u32, offset: u64| DmaMap {
        argsz: (size_of::<DmaMap>() as u32).into(),
        flags: flags.into(),
        offset: offset.into(),
        address: address.into(),
        size: 0x1000.into(),
    };
    let read = vfio::VFIO_DMA_MAP_FLAG_READ;
    // The ROM, or a page of the card itself.
    ask(
        &mut channel,
        Command::DmaMap,
        map(0xF000_0000, read, 0).as_bytes(),
    );
    // Behind an IOMMU each page is a range of its own in one file.
    for page in 0..256 {
        let map = map(page * 0x1000, read, page * 0x1000);
        let parts = [map.as_bytes()];
        let fds = [memory.as_fd()];
        channel
            .command(Command::DmaMap, &parts, &fds)
            .expect("a server");
        let answer = channel.receive_by(Deadline::after(PATIENCE_MS));
        assert_eq!(answer.expect("an answer").header.failure(), None);
    }
    for (address, size) in [
        (0x7000_0000, 0x1000),
        (0xFEF0_0000, 0xFFFF_FFFF_0110_0000),
        (0, 1 << 20),
    ] {
        let unmap = DmaUnmap {
            argsz: (size_of::<DmaUnmap>() as u32).into(),
            flags: 0.into(),
            address: u64::into(address),
            size: u64::into(size),
        };
        ask(&mut channel, Command::DmaUnmap, unmap.as_bytes());
    }
}
