//! Memory of the client: which ranges the card may reach, and how.
//!
//! A range comes with a file, or without. A file that can not shrink is mapped once, however many
//! ranges lie in it: behind an IOMMU every page is a range of its own. One that might shrink is
//! read and written through its descriptor, because a mapping of what is gone kills the process. A
//! range without a file is reached by messages.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::rc::{Rc, Weak};

use device_model::{DmaFault, FaultKind};
use regs::DeviceAddr;
use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::io::Errno;
use vm_memory::{FileOffset, MmapRegion, VolatileMemory, VolatileSlice};

/// Most ranges at once: the protocol's default.
pub const MAX_RANGES: usize = 65_535;

/// Memory that is reached by asking for it.
pub trait Far {
    /// Reads from `addr` on.
    ///
    /// # Errors
    /// [`FaultKind`] if the other end refuses, or does not answer.
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> Result<(), FaultKind>;

    /// Writes from `addr` on.
    ///
    /// # Errors
    /// [`FaultKind`] if the other end refuses, or does not answer.
    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), FaultKind>;
}

/// Nobody is there to ask for memory.
pub(crate) struct Nobody;

impl Far for Nobody {
    fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), FaultKind> {
        Err(FaultKind::Unanswered)
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), FaultKind> {
        Err(FaultKind::Unanswered)
    }
}

/// What a card may do in a range.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rights {
    /// It may read.
    pub read: bool,
    /// It may write.
    pub write: bool,
}

impl Rights {
    const fn include(self, is_write: bool) -> bool {
        if is_write { self.write } else { self.read }
    }
}

/// The ranges of one client.
#[derive(Debug, Default)]
pub struct ClientMemory {
    /// By first address. They do not overlap.
    ranges: BTreeMap<u64, Range>,
    /// Files with a range in them, by device and inode.
    files: BTreeMap<(u64, u64), Weak<Backing>>,
}

#[derive(Debug)]
struct Range {
    len: u64,
    rights: Rights,
    /// The file and where in it the range begins; none if it is far.
    backing: Option<(Rc<Backing>, u64)>,
}

/// A file of the client.
#[derive(Debug)]
struct Backing {
    file: File,
    /// All of it, if it can not shrink.
    mapping: Option<MmapRegion>,
}

impl Backing {
    fn new(fd: OwnedFd, len: u64) -> Self {
        let file = File::from(fd);
        let cannot_shrink =
            fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
        let mapping = cannot_shrink.then(|| Self::map(&file, len)).flatten();
        Self { file, mapping }
    }

    /// All of the file; without a mapping it is read and written through its descriptor.
    fn map(file: &File, len: u64) -> Option<MmapRegion> {
        let file = file.try_clone().ok()?;
        MmapRegion::from_file(FileOffset::new(file, 0), usize::try_from(len).ok()?).ok()
    }

    fn slice(&self, at: u64, len: usize) -> Option<VolatileSlice<'_>> {
        self.mapping.as_ref()?.get_slice(at as usize, len).ok()
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<(), FaultKind> {
        if let Some(slice) = self.slice(at, bytes.len()) {
            slice.copy_to(bytes);
            return Ok(());
        }
        let read = self.file.read_exact_at(bytes, at);
        read.map_err(|_| FaultKind::Aborted)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), FaultKind> {
        if let Some(slice) = self.slice(at, bytes.len()) {
            slice.copy_from(bytes);
            return Ok(());
        }
        let written = self.file.write_all_at(bytes, at);
        written.map_err(|_| FaultKind::Aborted)
    }
}

impl ClientMemory {
    /// Number of ranges.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// Number of files that are held open.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files
            .values()
            .filter(|file| file.strong_count() > 0)
            .count()
    }

    /// Lets the card reach `len` bytes from `addr` on: those from `offset` on in `file`, or without
    /// a file those that messages reach.
    ///
    /// # Errors
    /// `EINVAL` if the range is empty, goes beyond the end of addresses or of the file, or nothing
    /// may be done in it; `EEXIST` if it overlaps another; `ENOSPC` if there are [`MAX_RANGES`].
    pub fn map(
        &mut self,
        (addr, len): (u64, u64),
        rights: Rights,
        file: Option<(OwnedFd, u64)>,
    ) -> Result<(), Errno> {
        let last = len.checked_sub(1).and_then(|rest| addr.checked_add(rest));
        let last = last.ok_or(Errno::INVAL)?;
        if !rights.read && !rights.write {
            return Err(Errno::INVAL);
        }
        if self.overlapping(addr, last).next().is_some() {
            return Err(Errno::EXIST);
        }
        if self.ranges.len() >= MAX_RANGES {
            return Err(Errno::NOSPC);
        }
        let backing = file.map(|(fd, offset)| self.open(fd, offset, len));
        let range = Range {
            len,
            rights,
            backing: backing.transpose()?,
        };
        self.ranges.insert(addr, range);
        Ok(())
    }

    /// The file behind `fd`, which has `len` bytes from `offset` on. A file that is there already
    /// is not opened again.
    fn open(&mut self, fd: OwnedFd, offset: u64, len: u64) -> Result<(Rc<Backing>, u64), Errno> {
        let stat = fstat(&fd)?;
        let size = stat.st_size as u64;
        let end = offset.checked_add(len).ok_or(Errno::INVAL)?;
        if end > size {
            return Err(Errno::INVAL);
        }
        let key = (stat.st_dev, stat.st_ino);
        let known = self.files.get(&key).and_then(Weak::upgrade);
        let known = known.filter(|known| known.slice(offset, len as usize).is_some());
        if let Some(known) = known {
            return Ok((known, offset));
        }
        let backing = Rc::new(Backing::new(fd, size));
        self.files.insert(key, Rc::downgrade(&backing));
        Ok((backing, offset))
    }

    /// Ranges that share an address with `first` to `last`.
    fn overlapping(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, &Range)> {
        let before = self.ranges.range(..=last).rev();
        before
            .map(|(&addr, range)| (addr, range))
            .take_while(move |&(addr, range)| addr + (range.len - 1) >= first)
    }

    /// Ends every range that lies in the `len` bytes from `addr` on; zero bytes or a length that
    /// goes beyond the end of addresses end there. None is fine too: behind an IOMMU, more is
    /// unmapped than was mapped.
    ///
    /// # Errors
    /// `EINVAL` if a range lies there in part.
    pub fn unmap(&mut self, addr: u64, len: u64) -> Result<(), Errno> {
        let last = addr.saturating_add(len.saturating_sub(1));
        let mut ended = Vec::new();
        for (first, range) in self.overlapping(addr, last) {
            if first < addr || first + (range.len - 1) > last {
                return Err(Errno::INVAL);
            }
            ended.push(first);
        }
        for first in ended {
            self.ranges.remove(&first);
        }
        self.files.retain(|_, file| file.strong_count() > 0);
        Ok(())
    }

    /// Ends every range.
    pub fn clear(&mut self) {
        self.ranges.clear();
        self.files.clear();
    }

    /// The part of an access that begins `done` bytes after `addr` and lies in one range.
    fn part(
        &self,
        (addr, done, len): (DeviceAddr, usize, usize),
        is_write: bool,
    ) -> Result<Part<'_>, DmaFault> {
        let refused = DmaFault::refused(addr);
        let at = addr.0.checked_add(done as u64).ok_or(refused)?;
        let (&first, range) = self.ranges.range(..=at).next_back().ok_or(refused)?;
        let inside = at - first;
        if inside >= range.len || !range.rights.include(is_write) {
            return Err(refused);
        }
        let count = (range.len - inside).min((len - done) as u64) as usize;
        let backing = range.backing.as_ref();
        Ok(Part {
            addr: at,
            bytes: done..done + count,
            file: backing.map(|(file, offset)| (&**file, offset + inside)),
        })
    }

    /// Calls `act` for each part of an access, in order, once all of them are found.
    fn for_parts(
        &self,
        addr: DeviceAddr,
        len: usize,
        is_write: bool,
        mut act: impl FnMut(Part<'_>) -> Result<(), FaultKind>,
    ) -> Result<(), DmaFault> {
        let mut done = 0;
        while done < len {
            done = self.part((addr, done, len), is_write)?.bytes.end;
        }
        done = 0;
        while done < len {
            let part = self.part((addr, done, len), is_write)?;
            done = part.bytes.end;
            act(part).map_err(|kind| DmaFault { addr, kind })?;
        }
        Ok(())
    }

    /// Reads from `addr` on.
    ///
    /// # Errors
    /// [`DmaFault`] if any byte is in no range that may be read, or could not be had.
    pub fn read(
        &self,
        addr: DeviceAddr,
        bytes: &mut [u8],
        far: &mut dyn Far,
    ) -> Result<(), DmaFault> {
        let len = bytes.len();
        self.for_parts(addr, len, false, |part| match part.file {
            Some((file, at)) => file.read(at, &mut bytes[part.bytes]),
            None => far.read(part.addr, &mut bytes[part.bytes]),
        })
    }

    /// Writes from `addr` on.
    ///
    /// # Errors
    /// [`DmaFault`] if any byte is in no range that may be written (nothing is written then), or
    /// could not be written.
    pub fn write(&self, addr: DeviceAddr, bytes: &[u8], far: &mut dyn Far) -> Result<(), DmaFault> {
        self.for_parts(addr, bytes.len(), true, |part| match part.file {
            Some((file, at)) => file.write(at, &bytes[part.bytes]),
            None => far.write(part.addr, &bytes[part.bytes]),
        })
    }
}

/// The part of an access that lies in one range.
struct Part<'a> {
    /// Where the card sees it.
    addr: u64,
    /// Which bytes of the access.
    bytes: std::ops::Range<usize>,
    /// The file it lies in and where, unless it is far.
    file: Option<(&'a Backing, u64)>,
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

    use super::*;

    const BOTH: Rights = Rights {
        read: true,
        write: true,
    };

    /// Far memory that keeps what is written, and has only its first bytes.
    struct Shelf(Vec<u8>);

    impl Far for Shelf {
        fn read(&mut self, addr: u64, bytes: &mut [u8]) -> Result<(), FaultKind> {
            let at = addr as usize;
            let kept = self.0.get(at..at + bytes.len());
            bytes.copy_from_slice(kept.ok_or(FaultKind::Unanswered)?);
            Ok(())
        }

        fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), FaultKind> {
            let at = addr as usize;
            let kept = self.0.get_mut(at..at + bytes.len());
            kept.ok_or(FaultKind::Unanswered)?.copy_from_slice(bytes);
            Ok(())
        }
    }

    fn file(len: u64, is_sealed: bool) -> OwnedFd {
        let fd = memfd_create("memory", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC);
        let fd = fd.expect("a file in memory");
        ftruncate(&fd, len).expect("room");
        if is_sealed {
            fcntl_add_seals(&fd, SealFlags::SHRINK).expect("a seal");
        }
        fd
    }

    fn again(fd: &OwnedFd) -> OwnedFd {
        fd.try_clone().expect("a descriptor")
    }

    fn addr(at: u64) -> DeviceAddr {
        DeviceAddr(at)
    }

    #[test]
    fn an_access_goes_through_neighbours_of_every_kind() {
        let mut memory = ClientMemory::default();
        let mut far = Shelf(vec![0; 0x4000]);
        memory
            .map((0x1000, 0x1000), BOTH, Some((file(0x2000, true), 0x1000)))
            .unwrap();
        memory
            .map((0x2000, 0x1000), BOTH, Some((file(0x1000, false), 0)))
            .unwrap();
        memory.map((0x3000, 0x1000), BOTH, None).unwrap();
        let bytes: Vec<u8> = (0..0x2800_u32)
            .map(|at| at as u8 ^ (at >> 8) as u8)
            .collect();
        memory.write(addr(0x1400), &bytes, &mut far).unwrap();
        let mut read = vec![0; bytes.len()];
        memory.read(addr(0x1400), &mut read, &mut far).unwrap();
        assert!(read == bytes);
        assert_eq!(far.0[0x3000..0x3C00], bytes[0x1C00..]);
    }

    #[test]
    fn what_is_in_no_range_or_against_its_rights_is_refused_and_nothing_written() {
        let mut memory = ClientMemory::default();
        let mut far = Shelf(vec![7; 0x4000]);
        let only_read = Rights {
            read: true,
            write: false,
        };
        memory.map((0x1000, 0x1000), BOTH, None).unwrap();
        memory.map((0x2000, 0x1000), only_read, None).unwrap();
        let refused = Err(DmaFault::refused(addr(0x1F00)));
        assert_eq!(memory.write(addr(0x1F00), &[1; 0x200], &mut far), refused);
        assert_eq!(far.0[0x1F00..0x2100], [7; 0x200]);
        let mut bytes = [0; 0x200];
        memory.read(addr(0x1F00), &mut bytes, &mut far).unwrap();
        let refused = Err(DmaFault::refused(addr(0x2F00)));
        assert_eq!(memory.read(addr(0x2F00), &mut bytes, &mut far), refused);
        let end = addr(u64::MAX - 4);
        assert_eq!(
            memory.read(end, &mut bytes, &mut far),
            Err(DmaFault::refused(end))
        );
    }

    #[test]
    fn a_file_in_many_pieces_is_held_and_mapped_once() {
        let mut memory = ClientMemory::default();
        let fd = file(0x10_0000, true);
        for page in 0..256 {
            let at = (255 - page) * 0x1000;
            let place = Some((again(&fd), page * 0x1000));
            memory.map((at, 0x1000), BOTH, place).unwrap();
        }
        assert_eq!((memory.ranges(), memory.files()), (256, 1));
        memory.unmap(0, u64::MAX).unwrap();
        assert_eq!((memory.ranges(), memory.files()), (0, 0));
    }

    #[test]
    fn a_file_that_shrinks_gives_faults_and_nothing_worse() {
        let mut memory = ClientMemory::default();
        let mut far = Shelf(Vec::new());
        let fd = file(0x2000, false);
        memory
            .map((0, 0x2000), BOTH, Some((again(&fd), 0)))
            .unwrap();
        ftruncate(&fd, 0).unwrap();
        let mut bytes = [0; 16];
        let fault = memory.read(addr(0x1000), &mut bytes, &mut far).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Aborted);
    }

    #[test]
    fn a_file_that_only_reads_faults_on_writes() {
        let path = std::env::temp_dir().join(format!("read-only-{}", std::process::id()));
        let mut whole = File::create(&path).unwrap();
        whole.write_all(&[9; 0x1000]).unwrap();
        let fd = OwnedFd::from(File::open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        let mut memory = ClientMemory::default();
        let mut far = Shelf(Vec::new());
        memory.map((0, 0x1000), BOTH, Some((fd, 0))).unwrap();
        let mut bytes = [0; 4];
        memory.read(addr(8), &mut bytes, &mut far).unwrap();
        assert_eq!(bytes, [9; 4]);
        assert!(memory.write(addr(8), &bytes, &mut far).is_err());
    }

    #[test]
    fn ranges_that_make_no_sense_are_refused() {
        let mut memory = ClientMemory::default();
        let map = |memory: &mut ClientMemory, addr, len| memory.map((addr, len), BOTH, None);
        map(&mut memory, 0x1000, 0x1000).unwrap();
        assert_eq!(map(&mut memory, 0x1800, 0x10), Err(Errno::EXIST));
        assert_eq!(map(&mut memory, 0, 0x1001), Err(Errno::EXIST));
        assert_eq!(map(&mut memory, 0, u64::MAX), Err(Errno::EXIST));
        assert_eq!(map(&mut memory, 0, 0), Err(Errno::INVAL));
        assert_eq!(map(&mut memory, u64::MAX, 2), Err(Errno::INVAL));
        assert_eq!(
            memory.map((0, 8), Rights::default(), None),
            Err(Errno::INVAL)
        );
        let beyond = Some((file(0x1000, true), 0x800));
        assert_eq!(memory.map((0, 0x1000), BOTH, beyond), Err(Errno::INVAL));
        assert_eq!(memory.unmap(0x1000, 0x800), Err(Errno::INVAL));
        assert_eq!(memory.unmap(0x8000, 0x1000), Ok(()));
        assert_eq!(memory.unmap(0x1000, 0x1000), Ok(()));
        assert_eq!(memory.ranges(), 0);
    }

    #[test]
    fn no_more_ranges_than_the_protocol_promises() {
        let mut memory = ClientMemory::default();
        for page in 0..MAX_RANGES as u64 {
            memory.map((page * 2, 1), BOTH, None).unwrap();
        }
        assert_eq!(memory.map((1, 1), BOTH, None), Err(Errno::NOSPC));
    }
}
