//! D9: an algorithm cannot be unregistered.
//!
//! A condition was the wrong way round: the call failed for exactly those algorithms that were
//! registered, so that no driver ever left this way.

use framework::Errno;

use crate::card::classic_toy;
use crate::hand::NOW;

fn old_unregister(registered: &[u32], algorithm: u32) -> Result<(), Errno> {
    if registered.contains(&algorithm) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

#[test]
fn the_old_call_refuses_what_is_registered() {
    assert_eq!(old_unregister(&[11, 7], 11), Err(Errno::EINVAL));
    assert_eq!(old_unregister(&[11, 7], 1), Ok(()));
}

#[test]
fn a_driver_leaves_algorithm_by_algorithm() {
    let (mut classic, hid) = classic_toy();
    assert_eq!(classic.crypto_unregister(NOW, hid, 1), Err(Errno::EINVAL));
    assert_eq!(classic.crypto_unregister(NOW, hid, 11), Ok(()));
    assert_eq!(classic.crypto_find_driver("toy"), Some(hid));
    assert_eq!(classic.crypto_unregister(NOW, hid, 7), Ok(()));
    assert_eq!(classic.crypto_find_driver("toy"), None);
}
