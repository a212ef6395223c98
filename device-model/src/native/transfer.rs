//! Streams: runs of host memory that a command reads from or writes to.
//!
//! A stream is one run, or a list of up to [`MAX_SEGMENTS`] of them. Owns no payload; gathers into
//! and scatters from buffers it is given, one host access for each run.

use regs::{DeviceAddr, FunctionId, MAX_SEGMENTS, SEGMENT_LEN, Segment, Status};

use super::command::{Fault, Outcome};
use super::errata::SHORTEST_LAST;
use crate::host::{DmaFault, Host};

const SEGMENTS: usize = MAX_SEGMENTS as usize;

/// Host memory as the card reaches it: for a function that is bus master, or not at all.
pub(crate) struct Bus<'a, H> {
    pub(crate) host: &'a mut H,
    pub(crate) master: Option<FunctionId>,
}

impl<H: Host> Bus<'_, H> {
    #[inline]
    pub(crate) fn read(&mut self, addr: DeviceAddr, bytes: &mut [u8]) -> Result<(), Fault> {
        let read = match self.master {
            Some(function) => self.host.read(function, addr, bytes),
            None => Err(DmaFault::refused(addr)),
        };
        read.map_err(|fault| Fault {
            fault,
            is_write: false,
        })
    }

    #[inline]
    pub(crate) fn write(&mut self, addr: DeviceAddr, bytes: &[u8]) -> Result<(), Fault> {
        let written = match self.master {
            Some(function) => self.host.write(function, addr, bytes),
            None => Err(DmaFault::refused(addr)),
        };
        written.map_err(|fault| Fault {
            fault,
            is_write: true,
        })
    }

    /// Host memory to work on in place. `None` also when it was refused: reading and writing then
    /// find out which of the two is not allowed.
    #[inline]
    pub(crate) fn in_place(&mut self, addr: DeviceAddr, len: usize) -> Option<&mut [u8]> {
        let function = self.master?;
        self.host.in_place(function, addr, len).ok().flatten()
    }
}

/// Where a stream is and how long it must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamRef {
    pub(crate) addr: DeviceAddr,
    /// Number of segments if `addr` is the address of a list.
    pub(crate) segments: Option<u32>,
    /// Bytes of the stream.
    pub(crate) len: u32,
}

/// What a command does with a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    /// Reads it.
    Source,
    /// Writes it.
    Destination,
}

/// The runs of a stream, in order.
#[derive(Debug)]
pub(crate) struct Stream {
    runs: [Segment; SEGMENTS],
    count: usize,
    /// On a card that faults on a short last segment: which way it wants to use it.
    faults: Option<Side>,
}

impl Stream {
    /// An empty stream; `faults` if a list that ends with a short segment faults.
    pub(super) fn new(faults: Option<Side>) -> Self {
        Self {
            runs: [Segment::default(); SEGMENTS],
            count: 0,
            faults,
        }
    }

    /// Becomes the stream that `at` names, reading the list if there is one.
    #[inline]
    pub(crate) fn load<H: Host>(
        &mut self,
        at: StreamRef,
        bus: &mut Bus<'_, H>,
    ) -> Result<(), Outcome> {
        if self.load_any(at, bus)? == u64::from(at.len) {
            Ok(())
        } else {
            Err(Status::BadLength.into())
        }
    }

    /// Becomes the stream that `at` names, which a list may make of another length; gives the
    /// bytes of the stream.
    #[inline]
    pub(crate) fn load_any<H: Host>(
        &mut self,
        at: StreamRef,
        bus: &mut Bus<'_, H>,
    ) -> Result<u64, Outcome> {
        match at.segments {
            None => {
                self.runs[0] = Segment {
                    addr: at.addr,
                    len: at.len,
                };
                self.count = 1;
                Ok(u64::from(at.len))
            }
            Some(count) => self.load_list(at, count as usize, bus),
        }
    }

    fn load_list<H: Host>(
        &mut self,
        at: StreamRef,
        count: usize,
        bus: &mut Bus<'_, H>,
    ) -> Result<u64, Outcome> {
        if count == 0 || count > SEGMENTS {
            return Err(Status::BadSegments.into());
        }
        let mut list = [0; SEGMENTS * SEGMENT_LEN];
        let list = &mut list[..count * SEGMENT_LEN];
        bus.read(at.addr, list)?;
        let (entries, _) = list.as_chunks::<SEGMENT_LEN>();
        let mut total = 0u64;
        for (run, entry) in self.runs.iter_mut().zip(entries) {
            *run = Segment::from_bytes(entry).ok_or(Outcome::from(Status::BadSegments))?;
            total += u64::from(run.len);
        }
        self.count = count;
        let last = self.runs[count - 1];
        match self.faults {
            Some(side) if last.len < SHORTEST_LAST => Err(Outcome::from(Fault {
                fault: DmaFault::refused(last.addr),
                is_write: side == Side::Destination,
            })),
            Some(_) | None => Ok(total),
        }
    }

    /// The address of `len` bytes at `offset`, if they are one run.
    #[inline]
    pub(crate) fn run_at(&self, offset: u32, len: u32) -> Option<DeviceAddr> {
        let mut skip = offset;
        for run in &self.runs[..self.count] {
            if skip < run.len {
                return (run.len - skip >= len).then(|| run.addr.offset(u64::from(skip)));
            }
            skip -= run.len;
        }
        None
    }

    /// Reads `bytes.len()` bytes from `offset` on.
    #[inline(always)]
    pub(crate) fn gather<H: Host>(
        &self,
        offset: u32,
        bytes: &mut [u8],
        bus: &mut Bus<'_, H>,
    ) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self.run_at(offset, bytes.len() as u32) {
            Some(addr) => bus.read(addr, bytes),
            None => self.gather_parts(offset, bytes, bus),
        }
    }

    #[cold]
    fn gather_parts<H: Host>(
        &self,
        offset: u32,
        bytes: &mut [u8],
        bus: &mut Bus<'_, H>,
    ) -> Result<(), Fault> {
        let mut done = 0;
        let mut skip = offset as usize;
        for run in &self.runs[..self.count] {
            let len = run.len as usize;
            if skip < len && done < bytes.len() {
                let part = (len - skip).min(bytes.len() - done);
                let addr = run.addr.offset(skip as u64);
                bus.read(addr, &mut bytes[done..done + part])?;
                done += part;
            }
            skip = skip.saturating_sub(len);
        }
        Ok(())
    }

    /// Writes `bytes` from `offset` on.
    #[inline(always)]
    pub(crate) fn scatter<H: Host>(
        &self,
        offset: u32,
        bytes: &[u8],
        bus: &mut Bus<'_, H>,
    ) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self.run_at(offset, bytes.len() as u32) {
            Some(addr) => bus.write(addr, bytes),
            None => self.scatter_parts(offset, bytes, bus),
        }
    }

    #[cold]
    fn scatter_parts<H: Host>(
        &self,
        offset: u32,
        bytes: &[u8],
        bus: &mut Bus<'_, H>,
    ) -> Result<(), Fault> {
        let mut done = 0;
        let mut skip = offset as usize;
        for run in &self.runs[..self.count] {
            let len = run.len as usize;
            if skip < len && done < bytes.len() {
                let part = (len - skip).min(bytes.len() - done);
                let addr = run.addr.offset(skip as u64);
                bus.write(addr, &bytes[done..done + part])?;
                done += part;
            }
            skip = skip.saturating_sub(len);
        }
        Ok(())
    }
}
