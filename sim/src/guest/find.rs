//! Cards in the slots of this machine: they are looked for in sysfs and given to vfio-pci.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use regs::pci::{PCI_DEVICE, PCI_VENDOR};

/// Where the kernel lists devices.
const DEVICES: &str = "/sys/bus/pci/devices";
/// The kernel's driver that hands a device to a process.
const DRIVER: &str = "vfio-pci";

/// Every card of this machine, by address, given to vfio-pci if it is not there yet.
///
/// # Errors
/// If sysfs cannot be read, or refuses to give a card to vfio-pci.
pub(crate) fn find() -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(DEVICES)? {
        let path = entry?.path();
        if read_id(&path, "vendor")? == PCI_VENDOR && read_id(&path, "device")? == PCI_DEVICE {
            found.push(path);
        }
    }
    found.sort();
    for path in &found {
        give_to_vfio(path)?;
    }
    Ok(found)
}

fn read_id(device: &Path, name: &str) -> io::Result<u16> {
    let text = fs::read_to_string(device.join(name))?;
    let digits = text.trim().trim_start_matches("0x");
    u16::from_str_radix(digits, 16).map_err(io::Error::other)
}

fn give_to_vfio(device: &Path) -> io::Result<()> {
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
