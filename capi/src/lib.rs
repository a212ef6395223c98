//! A card in virtual time, for drivers in C: `sim::solo` behind the header `ringside_world.h`.
//!
//! Owns nothing but the edge: pointers and texts are looked at here, once, and whatever is wrong
//! becomes a code and a sentence. Behind it no pointer of C is known.

#![expect(unsafe_code, reason = "what C hands over are pointers")]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use regs::DeviceAddr;
use sim::solo::{Solo, SoloError};
use timebase::Time;

/// How a call ended; the header says what each means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum Code {
    /// Well.
    Ok = 0,
    /// A pointer is null that must not be.
    Pointer = 1,
    /// No register can be there.
    Offset = 2,
    /// No such memory.
    Memory = 3,
    /// A text is not what it should be.
    Text = 4,
    /// Beyond virtual time.
    Time = 5,
    /// A bug of this library.
    Bug = 6,
}

/// Why a call failed.
struct Refusal(Code, String);

impl From<SoloError> for Refusal {
    fn from(error: SoloError) -> Self {
        let code = match error {
            SoloError::Offset(_) => Code::Offset,
            SoloError::Pool(_) | SoloError::Map(_) => Code::Memory,
            SoloError::NoBytes | SoloError::Address(_) => Code::Memory,
            SoloError::Time(_) => Code::Time,
            SoloError::Scenario(_) | SoloError::Slots(_) => Code::Text,
            SoloError::Profile(_) | SoloError::Fault(_) => Code::Text,
        };
        Self(code, error.to_string())
    }
}

thread_local! {
    static WHY: RefCell<CString> = RefCell::default();
}

/// Makes a code of what came out, and keeps the reason. A panic does not get into C.
fn call(act: impl FnOnce() -> Result<(), Refusal>) -> c_int {
    let refusal = match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(())) => return Code::Ok as c_int,
        Ok(Err(refusal)) => refusal,
        Err(_) => Refusal(Code::Bug, "a bug of this library".to_owned()),
    };
    let Refusal(code, text) = refusal;
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    WHY.with_borrow_mut(|why| *why = text);
    code as c_int
}

fn null(what: &str) -> Refusal {
    Refusal(Code::Pointer, format!("{what} is NULL"))
}

/// # Safety
/// `world` is null, or comes from `ringside_world_new` and was not freed, and nobody else has it.
unsafe fn world<'a>(world: *mut Solo) -> Result<&'a mut Solo, Refusal> {
    // SAFETY: the caller passes on what it promises.
    unsafe { world.as_mut() }.ok_or_else(|| null("world"))
}

/// # Safety
/// `text` is null, or points to a text that ends with a zero byte and stays as it is.
unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Refusal> {
    if text.is_null() {
        return Err(null(what));
    }
    // SAFETY: it is not null, and the caller promises the rest.
    let text = unsafe { CStr::from_ptr(text) };
    let text = text.to_str();
    text.map_err(|_| Refusal(Code::Text, format!("{what} is not UTF-8")))
}

fn check<T>(place: *mut T, what: &str) -> Result<(), Refusal> {
    match place.is_null() {
        true => Err(null(what)),
        false => Ok(()),
    }
}

/// Makes a world; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_new(
    scenario: *const c_char,
    seed: u64,
    place: *mut *mut Solo,
) -> c_int {
    call(|| {
        check(place, "world")?;
        let scenario = match scenario.is_null() {
            true => None,
            // SAFETY: it is not null, and the caller promises the rest.
            false => Some(unsafe { text(scenario, "scenario") }?),
        };
        let solo = Box::new(Solo::new(scenario, seed)?);
        // SAFETY: it is not null, and the caller promises that it can be written.
        unsafe { place.write_unaligned(Box::into_raw(solo)) };
        Ok(())
    })
}

/// Ends a world; see the header.
///
/// # Safety
/// `world` is null, or comes from [`ringside_world_new`] and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_free(world: *mut Solo) {
    if !world.is_null() {
        // SAFETY: it was made by `Box::into_raw`, and this is the only time that it is freed.
        let world = unsafe { Box::from_raw(world) };
        call(|| {
            drop(world);
            Ok(())
        });
    }
}

/// Why the last call failed; see the header.
// SAFETY: nothing else in a program is called like this.
#[unsafe(no_mangle)]
pub extern "C" fn ringside_world_why() -> *const c_char {
    WHY.with_borrow(|why| why.as_ptr())
}

/// Reads a register; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_read32(
    solo: *mut Solo,
    offset: u32,
    place: *mut u32,
) -> c_int {
    call(|| {
        // SAFETY: the caller promises what is asked for.
        let solo = unsafe { world(solo) }?;
        check(place, "value")?;
        let value = solo.read(offset)?;
        // SAFETY: it is not null, and the caller promises that it can be written.
        unsafe { place.write_unaligned(value) };
        Ok(())
    })
}

/// Writes a register; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_write32(solo: *mut Solo, offset: u32, value: u32) -> c_int {
    // SAFETY: the caller promises what is asked for.
    call(|| Ok(unsafe { world(solo) }?.write(offset, value)?))
}

/// Gives out memory; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_allocate(
    solo: *mut Solo,
    len: usize,
    memory: *mut *mut c_void,
    address: *mut u64,
) -> c_int {
    call(|| {
        // SAFETY: the caller promises what is asked for.
        let solo = unsafe { world(solo) }?;
        check(memory, "memory")?;
        check(address, "address")?;
        let block = solo.allocate(len)?;
        let start = solo.pool().as_ptr().wrapping_add(block.offset);
        // SAFETY: neither is null, and the caller promises that they can be written.
        unsafe {
            memory.write_unaligned(start.cast());
            address.write_unaligned(block.addr.0);
        }
        Ok(())
    })
}

/// Takes memory back; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_release(solo: *mut Solo, address: u64) -> c_int {
    // SAFETY: the caller promises what is asked for.
    call(|| Ok(unsafe { world(solo) }?.release(DeviceAddr(address))?))
}

/// Virtual time; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_now(solo: *const Solo, ns: *mut u64) -> c_int {
    call(|| {
        // SAFETY: the caller promises what is asked for.
        let solo = unsafe { world(solo.cast_mut()) }?;
        check(ns, "ns")?;
        // SAFETY: it is not null, and the caller promises that it can be written.
        unsafe { ns.write_unaligned(solo.now().as_ns()) };
        Ok(())
    })
}

/// Lets time go by; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_advance(solo: *mut Solo, ns: u64) -> c_int {
    // SAFETY: the caller promises what is asked for.
    call(|| Ok(unsafe { world(solo) }?.advance(ns)?))
}

/// Waits for an interrupt; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_wait(
    solo: *mut Solo,
    ns: u64,
    vectors: *mut [u64; 2],
) -> c_int {
    call(|| {
        // SAFETY: the caller promises what is asked for.
        let solo = unsafe { world(solo) }?;
        check(vectors, "vectors")?;
        let taken = solo.wait(ns)?;
        // SAFETY: it is not null, and the caller promises that it can be written.
        unsafe { vectors.write_unaligned([taken as u64, (taken >> 64) as u64]) };
        Ok(())
    })
}

/// Lists faults; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_fault(solo: *mut Solo, faults: *const c_char) -> c_int {
    call(|| {
        // SAFETY: the caller promises what is asked for.
        let (solo, faults) = unsafe { (world(solo)?, text(faults, "faults")?) };
        Ok(solo.fault(faults)?)
    })
}

/// What the checkers found; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_violations(
    solo: *const Solo,
    place: *mut c_char,
    len: usize,
    count: *mut usize,
) -> c_int {
    call(|| {
        // SAFETY: the caller promises what is asked for.
        let solo = unsafe { world(solo.cast_mut()) }?;
        check(count, "count")?;
        if len > 0 {
            check(place, "text")?;
        }
        let violations = solo.violations();
        let mut text = String::new();
        for violation in &violations {
            let at = Time::from_ps(violation.at_ps);
            let line = (&violation.check, &violation.message);
            let _ = writeln!(text, "{at} {}: {}", line.0, line.1);
        }
        let room = len.saturating_sub(1);
        let kept = &text.as_bytes()[..text.floor_char_boundary(room)];
        // SAFETY: `count` is not null. `place` is not null if there are bytes, and then the caller
        // promises that `len` of them can be written; one more than is kept is not beyond that.
        unsafe {
            count.write_unaligned(violations.len());
            if len > 0 {
                place.copy_from_nonoverlapping(kept.as_ptr().cast(), kept.len());
                place.add(kept.len()).write(0);
            }
        }
        Ok(())
    })
}

/// Digest of all that has happened; see the header.
///
/// # Safety
/// Pointers are null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringside_world_digest(solo: *const Solo, digest: *mut u64) -> c_int {
    call(|| {
        // SAFETY: the caller promises what is asked for.
        let solo = unsafe { world(solo.cast_mut()) }?;
        check(digest, "digest")?;
        // SAFETY: it is not null, and the caller promises that it can be written.
        unsafe { digest.write_unaligned(solo.digest()) };
        Ok(())
    })
}
