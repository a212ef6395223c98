//! Drivers' side: `crypto_get_driverid`, `crypto_register` and what undoes them.
//!
//! A driver gets a number first and registers its algorithms one by one. With the first it hands
//! itself over, and becomes a driver of the framework.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bitflags::bitflags;
use timebase::Time;

use super::bridge::Bridge;
use super::sid::HID_END;
use super::{Classic, ClassicDriver};
use crate::{Cipher, Compression, Digest, DriverFlags, DriverId, Errno, KeyOp, KeyOps};

bitflags! {
    /// Which of a driver's two queues; the last argument of `crypto_unblock`.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct Queues: u32 {
        /// Requests. `CRYPTO_SYMQ`.
        const SYMQ = 0x1;
        /// Key operations. `CRYPTO_ASYMQ`.
        const ASYMQ = 0x2;
    }
}

/// What a classic driver registered, which the framework's side of it reads.
#[derive(Debug, Default)]
pub(super) struct Offer {
    /// Algorithms by number, with the longest key in bits, zero for any.
    pub(super) algorithms: BTreeMap<u32, u16>,
    pub(super) key_ops: KeyOps,
    /// Rise with `crypto_unblock`.
    pub(super) generation: u64,
    pub(super) key_generation: u64,
}

impl Offer {
    pub(super) fn unblock(&mut self, what: Queues) {
        self.generation += u64::from(what.contains(Queues::SYMQ));
        self.key_generation += u64::from(what.contains(Queues::ASYMQ));
    }
}

/// A driver that has a number.
pub(super) struct Entry {
    /// Its name in the framework, from the first registration on.
    id: Option<DriverId>,
    /// What it registered, if it came this way.
    offer: Option<(DriverFlags, Rc<RefCell<Offer>>)>,
}

impl Classic {
    /// Gives a driver its number. `flags` is zero for hardware, or `CRYPTOCAP_F_HARDWARE`,
    /// `_SOFTWARE` and `_SYNC`. `None` (-1 on the page) if they make no sense or no number is left.
    pub fn crypto_get_driverid(&mut self, flags: DriverFlags) -> Option<u32> {
        let kinds = DriverFlags::HARDWARE | DriverFlags::SOFTWARE;
        if !DriverFlags::all().contains(flags) || flags.contains(kinds) {
            return None;
        }
        let flags = if flags.intersects(kinds) {
            flags
        } else {
            flags | DriverFlags::HARDWARE
        };
        let hid = self.next_hid()?;
        self.drivers.push(Entry {
            id: None,
            offer: Some((flags, Rc::default())),
        });
        Some(hid)
    }

    /// Registers an algorithm of driver `hid`, for keys of at most `max_key_bits` bits, zero for
    /// any. The driver itself is given with the first registration and ignored in later ones.
    ///
    /// # Errors
    /// `EINVAL` for an unknown driver or algorithm, or a first registration without the driver.
    pub fn crypto_register(
        &mut self,
        hid: u32,
        algorithm: u32,
        max_key_bits: u16,
        driver: Option<Box<dyn ClassicDriver>>,
    ) -> Result<(), Errno> {
        let number = u8::try_from(algorithm).map_err(|_| Errno::EINVAL)?;
        let is_known = Cipher::from_number(number).is_some()
            || Digest::from_number(number).is_some()
            || Compression::ALL.into_iter().any(|it| it.number() == number);
        let offer = self.offer(hid).filter(|_| is_known).ok_or(Errno::EINVAL)?;
        offer
            .borrow_mut()
            .algorithms
            .insert(algorithm, max_key_bits);
        self.adopt(hid, driver)
    }

    /// Registers a key operation of driver `hid`, by its code. For the driver itself see
    /// [`crypto_register`](Self::crypto_register).
    ///
    /// # Errors
    /// `EINVAL` for an unknown driver or operation, or a first registration without the driver.
    pub fn crypto_kregister(
        &mut self,
        hid: u32,
        operation: u32,
        driver: Option<Box<dyn ClassicDriver>>,
    ) -> Result<(), Errno> {
        let op = KeyOp::from_code(operation).ok_or(Errno::EINVAL)?;
        let offer = self.offer(hid).ok_or(Errno::EINVAL)?;
        offer.borrow_mut().key_ops |= op.into();
        self.adopt(hid, driver)
    }

    /// Withdraws an algorithm. Sessions that have it stay. With the last algorithm and key
    /// operation the driver goes as in [`crypto_unregister_all`](Self::crypto_unregister_all).
    ///
    /// # Errors
    /// `EINVAL` for an unknown driver or an algorithm that is not registered.
    pub fn crypto_unregister(&mut self, now: Time, hid: u32, algorithm: u32) -> Result<(), Errno> {
        let offer = self.offer(hid).ok_or(Errno::EINVAL)?;
        let removed = offer.borrow_mut().algorithms.remove(&algorithm);
        removed.ok_or(Errno::EINVAL)?;
        let is_last = offer.borrow().algorithms.is_empty() && offer.borrow().key_ops.is_empty();
        if is_last {
            self.crypto_unregister_all(now, hid)?;
        }
        Ok(())
    }

    /// Takes a driver out: no session goes to it any more, those it has move to others, and
    /// requests it has finish there. Returns at once.
    ///
    /// # Errors
    /// `EINVAL` for an unknown driver, or one that is leaving.
    pub fn crypto_unregister_all(&mut self, now: Time, hid: u32) -> Result<(), Errno> {
        let id = self.driver_of(hid).ok_or(Errno::EINVAL)?;
        let left = self.framework.unregister(now, id);
        self.collect(now);
        left.map_err(|_| Errno::EINVAL)
    }

    /// A driver that refused has room again. A call too many does no harm.
    ///
    /// # Errors
    /// `EINVAL` for an unknown driver.
    pub fn crypto_unblock(&mut self, now: Time, hid: u32, what: Queues) -> Result<(), Errno> {
        let id = self.driver_of(hid).ok_or(Errno::EINVAL)?;
        let offer = self.offer(hid).ok_or(Errno::EINVAL)?;
        offer.borrow_mut().unblock(what);
        self.service(now, id);
        Ok(())
    }

    /// The number of the first driver whose name begins with `name`.
    pub fn crypto_find_driver(&mut self, name: &str) -> Option<u32> {
        self.number_drivers();
        let mut drivers = self.framework.drivers();
        let id = drivers.find(|driver| driver.name.starts_with(name))?.id;
        drop(drivers);
        Some(self.hid_of(id))
    }

    fn offer(&self, hid: u32) -> Option<Rc<RefCell<Offer>>> {
        let entry = self.drivers.get(hid as usize)?;
        let (_, offer) = entry.offer.as_ref()?;
        Some(Rc::clone(offer))
    }

    /// Makes a driver known to the framework if it is not yet.
    fn adopt(&mut self, hid: u32, driver: Option<Box<dyn ClassicDriver>>) -> Result<(), Errno> {
        let entry = &mut self.drivers[hid as usize];
        if entry.id.is_some() {
            return Ok(());
        }
        let (flags, offer) = entry.offer.as_ref().ok_or(Errno::EINVAL)?;
        let Some(driver) = driver else {
            *offer.borrow_mut() = Offer::default();
            return Err(Errno::EINVAL);
        };
        let bridge = Bridge::new(driver, (*flags, hid), Rc::clone(offer));
        entry.id = Some(self.framework.register(Box::new(bridge)));
        Ok(())
    }

    /// The framework's name of driver `hid`, if it is there.
    pub(super) fn driver_of(&self, hid: u32) -> Option<DriverId> {
        let id = self.drivers.get(hid as usize)?.id?;
        self.framework.driver(id).map(|_| id)
    }

    /// The number of a driver, given now if it has none: one that was registered below.
    pub(super) fn hid_of(&mut self, id: DriverId) -> u32 {
        let known = self.drivers.iter().position(|entry| entry.id == Some(id));
        let known = known.and_then(|place| u32::try_from(place).ok());
        known.unwrap_or_else(|| {
            let hid = self.next_hid().expect("fewer drivers than numbers");
            let id = Some(id);
            self.drivers.push(Entry { id, offer: None });
            hid
        })
    }

    /// Gives every driver of the framework its number.
    pub(super) fn number_drivers(&mut self) {
        let ids: Vec<DriverId> = self.framework.drivers().map(|driver| driver.id).collect();
        for id in ids {
            self.hid_of(id);
        }
    }

    fn next_hid(&self) -> Option<u32> {
        u32::try_from(self.drivers.len())
            .ok()
            .filter(|&hid| hid < HID_END)
    }
}
