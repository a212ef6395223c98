//! DMA windows: what one card can reach, and how (an IOMMU).
//!
//! Owns every buffer that is posted to the card: mapping moves the buffer in, unmapping moves it
//! out, so the host cannot touch what the card may touch. A window's address is its number in the
//! upper bits and the offset below. A number is a place in the table and how often that was opened,
//! so a card that uses a stale address meets a fault rather than somebody else's buffer, though the
//! place that was closed last is opened first, because its memory is at hand.

use device_model::DmaFault;
use dma::{Coherent, PoolBuffer};
use driver::{Direction, MapError, Mapped, Unmapped};
use regs::{COMPLETION_LEN, DeviceAddr};

/// Bits of an address that are the offset in its window.
const OFFSET_BITS: u32 = 28;
/// Bits of a window's number that are its place. The others count: a place is opened 4,096 times
/// before a number is used again.
const PLACE_BITS: u32 = 20;
/// Most windows of one card.
const MAX_WINDOWS: usize = 1 << PLACE_BITS;
/// End of the list of closed windows.
const END: u32 = 0;

/// The windows of one card.
#[derive(Debug, Default)]
pub struct WindowTable {
    windows: Vec<Window>,
    /// Closed windows form a list, the one closed last at its head.
    first_closed: u32,
    live: usize,
}

#[derive(Debug)]
struct Window {
    len: u32,
    /// What the card may do; nothing if the window is closed.
    access: u8,
    touched: bool,
    /// The number it was opened under last.
    number: u32,
    /// The next closed window, if this one is closed.
    next_closed: u32,
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    /// Nothing yet, or not any more. After streaming an empty buffer stands here as well.
    Closed,
    Streaming(PoolBuffer),
    Coherent(Coherent),
}

/// The card may read.
const READ: u8 = 1;
/// The card may write.
const WRITE: u8 = 2;

/// Why an access was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum FaultReason {
    /// There never was a window at this place.
    NeverMapped,
    /// The window was closed, and another may be at its place.
    Stale,
    /// The window is live, the direction is wrong.
    Direction,
    /// The access runs past the window's end.
    PastEnd,
}

impl WindowTable {
    /// Opens a window on `buffer` and keeps it.
    ///
    /// # Errors
    /// [`MapError`] with the buffer if the table or the window would be too big.
    #[inline(always)]
    pub fn map(
        &mut self,
        buffer: PoolBuffer,
        direction: Direction,
    ) -> Result<Mapped, (PoolBuffer, MapError)> {
        let len = buffer.len();
        if len >= 1 << OFFSET_BITS {
            return Err((buffer, MapError::TooLong(len)));
        }
        if self.first_closed == END && !self.add_window() {
            return Err((buffer, MapError::NoWindow));
        }
        let number = self.open(Memory::Streaming(buffer), len, direction);
        Ok(Mapped {
            addr: address(number),
            window: number,
            len: len as u32,
        })
    }

    /// Closes a window and gives its buffer back.
    ///
    /// # Panics
    /// If `mapped` is not of this table: a bug of the driver.
    #[inline(always)]
    pub fn unmap(&mut self, mapped: Mapped) -> Unmapped {
        let window = self.close(mapped.window);
        let Memory::Streaming(buffer) = &mut window.memory else {
            panic!("a window that was mapped holds a buffer");
        };
        Unmapped {
            buffer: std::mem::take(buffer),
            touched: window.touched,
        }
    }

    /// Opens a window on a coherent block.
    ///
    /// # Errors
    /// [`MapError`] if the table or the window would be too big.
    pub fn share(
        &mut self,
        block: &Coherent,
        direction: Direction,
    ) -> Result<DeviceAddr, MapError> {
        if block.len() >= 1 << OFFSET_BITS {
            return Err(MapError::TooLong(block.len()));
        }
        if self.first_closed == END && !self.add_window() {
            return Err(MapError::NoWindow);
        }
        let memory = Memory::Coherent(block.clone());
        Ok(address(self.open(memory, block.len(), direction)))
    }

    /// Closes the window of a coherent block.
    ///
    /// # Panics
    /// If no block is shared at `addr`: a bug of the driver.
    pub fn unshare(&mut self, addr: DeviceAddr) {
        let number = (addr.0 >> OFFSET_BITS) as u32;
        let memory = &mut self.close(number).memory;
        let Memory::Coherent(_) = std::mem::replace(memory, Memory::Closed) else {
            panic!("no block is shared at {addr}");
        };
    }

    /// Windows that are open.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// Reads through a window.
    ///
    /// # Errors
    /// [`DmaFault`] if the range is not inside one live window that the card may read.
    #[inline]
    pub fn read(&mut self, addr: DeviceAddr, bytes: &mut [u8]) -> Result<(), DmaFault> {
        let (window, at) = self.reach(addr, bytes.len(), READ)?;
        match &window.memory {
            Memory::Streaming(buffer) => bytes.copy_from_slice(&buffer[at..at + bytes.len()]),
            Memory::Coherent(block) => block.read(at, bytes),
            Memory::Closed => unreachable!("reach finds live windows only"),
        }
        Ok(())
    }

    /// Writes through a window.
    ///
    /// # Errors
    /// [`DmaFault`] if the range is not inside one live window that the card may write.
    #[inline(always)]
    pub fn write(&mut self, addr: DeviceAddr, bytes: &[u8]) -> Result<(), DmaFault> {
        let (window, at) = self.reach(addr, bytes.len(), WRITE)?;
        window.touched = true;
        match &mut window.memory {
            Memory::Streaming(buffer) => buffer[at..at + bytes.len()].copy_from_slice(bytes),
            Memory::Coherent(block) => match <&[u8; COMPLETION_LEN]>::try_from(bytes) {
                Ok(entry) => block.write_array(at, entry),
                Err(_) => block.write(at, bytes),
            },
            Memory::Closed => unreachable!("reach finds live windows only"),
        }
        Ok(())
    }

    /// Streaming memory to work on in place; `None` for a coherent block.
    ///
    /// # Errors
    /// [`DmaFault`] if the range is not inside one live window that the card may read and write.
    #[inline]
    pub fn in_place(
        &mut self,
        addr: DeviceAddr,
        len: usize,
    ) -> Result<Option<&mut [u8]>, DmaFault> {
        let (window, at) = self.reach(addr, len, READ | WRITE)?;
        window.touched = true;
        match &mut window.memory {
            Memory::Streaming(buffer) => Ok(Some(&mut buffer[at..at + len])),
            Memory::Coherent(_) => Ok(None),
            Memory::Closed => unreachable!("reach finds live windows only"),
        }
    }

    /// Whether [`in_place`](Self::in_place) would work.
    ///
    /// # Errors
    /// [`DmaFault`] if it would not.
    #[inline]
    pub fn check_in_place(&mut self, addr: DeviceAddr, len: usize) -> Result<(), DmaFault> {
        self.reach(addr, len, READ | WRITE).map(drop)
    }

    /// Whether a write of `len` bytes at `addr` would be taken; what it touches is not noted.
    ///
    /// # Errors
    /// [`DmaFault`] if it would not.
    pub fn check_write(&mut self, addr: DeviceAddr, len: usize) -> Result<(), DmaFault> {
        self.reach(addr, len, WRITE).map(drop)
    }

    /// Why an access of `len` bytes at `addr` is refused; `None` if the address is good (so only
    /// the direction can be wrong).
    #[must_use]
    pub fn explain(&self, addr: DeviceAddr) -> FaultReason {
        let number = addr.0 >> OFFSET_BITS;
        let is_number = number >> u32::BITS == 0 && place_of(number) != 0;
        let window = self.windows.get(place_of(number)).filter(|_| is_number);
        let Some(window) = window else {
            return FaultReason::NeverMapped;
        };
        let at = (addr.0 & ((1 << OFFSET_BITS) - 1)) as usize;
        match window.access {
            _ if u64::from(window.number) != number => FaultReason::Stale,
            0 => FaultReason::Stale,
            _ if at >= window.len as usize => FaultReason::PastEnd,
            access if access == READ | WRITE => FaultReason::PastEnd,
            _ => FaultReason::Direction,
        }
    }

    #[inline]
    fn reach(
        &mut self,
        addr: DeviceAddr,
        len: usize,
        access: u8,
    ) -> Result<(&mut Window, usize), DmaFault> {
        let fault = DmaFault::refused(addr);
        let at = (addr.0 & ((1 << OFFSET_BITS) - 1)) as usize;
        let number = addr.0 >> OFFSET_BITS;
        let window = self.windows.get_mut(place_of(number)).ok_or(fault)?;
        let window_len = window.len as usize;
        let is_inside = len <= window_len && at <= window_len - len;
        let is_it = u64::from(window.number) == number && window.access & access == access;
        if !is_inside || !is_it {
            return Err(fault);
        }
        Ok((window, at))
    }

    /// Opens the window that was closed last; there is one. Returns its number.
    #[inline(always)]
    fn open(&mut self, memory: Memory, len: usize, direction: Direction) -> u32 {
        let window = &mut self.windows[self.first_closed as usize];
        self.first_closed = window.next_closed;
        self.live += 1;
        window.number = window.number.wrapping_add(1 << PLACE_BITS);
        window.len = len as u32;
        window.access = match direction {
            Direction::ToDevice => READ,
            Direction::FromDevice => WRITE,
            Direction::Bidirectional => READ | WRITE,
        };
        window.touched = false;
        // What a closed window holds needs no dropping; saying so keeps the call off the hot path.
        std::mem::forget(std::mem::replace(&mut window.memory, memory));
        window.number
    }

    /// Closes a window; the caller takes its memory out.
    #[inline(always)]
    fn close(&mut self, number: u32) -> &mut Window {
        let place = place_of(number.into());
        let window = &mut self.windows[place];
        let is_open = window.access != 0 && window.number == number;
        assert!(is_open, "a window is closed once");
        (window.access, window.next_closed) = (0, self.first_closed);
        self.first_closed = place as u32;
        self.live -= 1;
        window
    }

    /// Adds a closed window, when there is none, while there are places left. Whether there is a
    /// window to open.
    #[cold]
    fn add_window(&mut self) -> bool {
        if self.windows.is_empty() {
            // Number 0 is never opened: a null address is never mapped, and 0 ends the list.
            self.windows.push(Window::closed(0));
        }
        let has_place = self.windows.len() < MAX_WINDOWS;
        if has_place {
            self.first_closed = self.windows.len() as u32;
            self.windows.push(Window::closed(self.first_closed));
        }
        has_place
    }
}

impl Window {
    const fn closed(number: u32) -> Self {
        Self {
            len: 0,
            access: 0,
            touched: false,
            number,
            next_closed: END,
            memory: Memory::Closed,
        }
    }
}

const fn address(number: u32) -> DeviceAddr {
    DeviceAddr((number as u64) << OFFSET_BITS)
}

const fn place_of(number: u64) -> usize {
    number as usize & (MAX_WINDOWS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn table_with(len: usize, direction: Direction) -> (WindowTable, Mapped) {
        let pool = dma::Pool::new(1 << 16).unwrap();
        let mut table = WindowTable::default();
        let mapped = table.map(pool.take(len).unwrap(), direction).unwrap();
        (table, mapped)
    }

    #[test]
    #[should_panic(expected = "a window is closed once")]
    fn a_buffer_unmapped_twice_is_a_bug_of_the_driver() {
        let mut table = WindowTable::default();
        let buffer = dma::Pool::new(4096).unwrap().take(64).unwrap();
        let mapped = table.map(buffer, Direction::ToDevice).unwrap();
        let Mapped { addr, window, len } = mapped;
        let _ = table.unmap(mapped);
        let _ = table.unmap(Mapped { addr, window, len });
    }

    #[test]
    fn a_window_is_exact_to_the_byte() {
        let (mut table, mapped) = table_with(100, Direction::Bidirectional);
        assert!(table.write(mapped.addr, &[1; 100]).is_ok());
        assert!(table.write(mapped.addr, &[1; 101]).is_err());
        assert!(table.write(mapped.addr.offset(99), &[1]).is_ok());
        assert!(table.write(mapped.addr.offset(100), &[1]).is_err());
        assert_eq!(table.explain(mapped.addr.offset(100)), FaultReason::PastEnd);
    }

    #[test]
    fn a_window_is_open_in_its_direction_only() {
        let (mut table, mapped) = table_with(64, Direction::ToDevice);
        assert!(table.read(mapped.addr, &mut [0; 64]).is_ok());
        assert!(table.write(mapped.addr, &[0; 1]).is_err());
        assert!(table.in_place(mapped.addr, 1).is_err());
        assert_eq!(table.explain(mapped.addr), FaultReason::Direction);
        let (mut table, mapped) = table_with(64, Direction::FromDevice);
        assert!(table.read(mapped.addr, &mut [0; 64]).is_err());
        assert!(table.write(mapped.addr, &[0; 1]).is_ok());
    }

    #[test]
    fn a_stale_address_faults_and_the_buffer_comes_back() {
        let (mut table, mapped) = table_with(64, Direction::Bidirectional);
        let addr = mapped.addr;
        table.write(addr, &[7; 64]).unwrap();
        let unmapped = table.unmap(mapped);
        assert!(unmapped.touched);
        assert_eq!(unmapped.buffer[..], [7; 64]);
        assert_eq!(table.read(addr, &mut [0; 1]), Err(DmaFault::refused(addr)));
        assert_eq!(table.explain(addr), FaultReason::Stale);
        let again = table
            .map(unmapped.buffer, Direction::Bidirectional)
            .unwrap();
        assert_ne!(again.addr, addr, "an address is not used again soon");
    }

    #[test]
    fn an_unused_buffer_is_known_to_be_untouched() {
        let (mut table, mapped) = table_with(64, Direction::Bidirectional);
        table.read(mapped.addr, &mut [0; 64]).unwrap();
        assert!(!table.unmap(mapped).touched);
        assert_eq!(table.live(), 0);
    }

    #[test]
    fn places_are_used_again_at_once_and_numbers_late() {
        let pool = dma::Pool::new(1 << 20).unwrap();
        let mut table = WindowTable::default();
        let mut open = VecDeque::new();
        let mut last_use = std::collections::BTreeMap::new();
        for round in 0..20_000_u64 {
            let buffer = pool.take(64).unwrap();
            let mapped = table.map(buffer, Direction::Bidirectional).unwrap();
            if let Some(before) = last_use.insert(mapped.window, round) {
                assert!(round - before >= 4096, "window {}", mapped.window);
            }
            open.push_back(mapped);
            if open.len() > 1 + (round % 50) as usize {
                let _ = table.unmap(open.pop_front().unwrap());
            }
            assert_eq!(table.live(), open.len());
        }
        assert!(table.windows.len() < 60, "{} windows", table.windows.len());
    }

    #[test]
    fn hostile_addresses_fault() {
        let (mut table, mapped) = table_with(64, Direction::Bidirectional);
        for addr in [0, 1, u64::MAX, 1 << 60, mapped.addr.0 + (1 << OFFSET_BITS)] {
            assert!(
                table.read(DeviceAddr(addr), &mut [0; 4]).is_err(),
                "{addr:#x}"
            );
            assert_eq!(table.explain(DeviceAddr(addr)), FaultReason::NeverMapped);
        }
    }
}
