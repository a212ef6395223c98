//! Cards in the slots of this machine: they are looked for in sysfs and given to vfio-pci.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use regs::pci::{PCI_DEVICE, PCI_VENDOR};

/// Where the kernel lists devices.
const DEVICES: &str = "/sys/bus/pci/devices";
/// The kernel's driver that hands a device to a process.
const DRIVER: &str = "vfio-pci";

/// A card, and a number that a card that comes later to the same address does not have.
pub(crate) type Found = (PathBuf, u64);

/// Every card of this machine, by address.
///
/// # Errors
/// If sysfs cannot be read.
pub(crate) fn find() -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(DEVICES)? {
        let path = entry?.path();
        if read_id(&path, "vendor")? == PCI_VENDOR && read_id(&path, "device")? == PCI_DEVICE {
            let number = fs::metadata(&path)?.ino();
            found.push((path, number));
        }
    }
    found.sort();
    Ok(found)
}

fn read_id(device: &Path, name: &str) -> io::Result<u16> {
    let text = fs::read_to_string(device.join(name))?;
    let digits = text.trim().trim_start_matches("0x");
    u16::from_str_radix(digits, 16).map_err(io::Error::other)
}

/// Gives a card to vfio-pci, if it is not there yet.
///
/// # Errors
/// If sysfs refuses to.
pub(crate) fn give_to_vfio(device: &Path) -> io::Result<()> {
    let driver = fs::read_link(device.join("driver")).ok();
    if driver.is_some_and(|driver| driver.ends_with(DRIVER)) {
        return Ok(());
    }
    let address = device.file_name().unwrap_or_default().to_string_lossy();
    fs::write(device.join("driver_override"), DRIVER)?;
    // Another driver that has the card lets go of it; usually none has.
    let _ = fs::write(device.join("driver/unbind"), address.as_bytes());
    fs::write(Path::new("/sys/bus/pci/drivers_probe"), address.as_bytes())?;
    let driver = fs::read_link(device.join("driver")).ok();
    if driver.is_some_and(|driver| driver.ends_with(DRIVER)) {
        return Ok(());
    }
    let reason = format!("{DRIVER} does not take {address}: is it loaded, is there an IOMMU?");
    Err(io::Error::other(reason))
}
