//! A session that moves: `EAGAIN`, and what a consumer does about it.

use framework::front::classic::{crypto_sid_caps, crypto_sid_hid, crypto_sid_lid};
use framework::{DriverChoice, DriverFlags, DriverId};

use super::*;

/// Two software drivers; every session goes to the first.
fn two() -> (Classic, DriverId, DriverId) {
    let mut classic = empty(IvPolicy::Random);
    let framework = classic.framework_mut();
    let first = framework.register(Box::new(SoftwareDriver::new("soft0")));
    let second = framework.register(Box::new(SoftwareDriver::new("soft1")));
    (classic, first, second)
}

#[test]
fn a_request_under_an_old_number_learns_the_new_one_with_its_data_untouched() {
    let (mut classic, first, _) = two();
    let old = classic.crypto_newsession(NOW, &[aes()], Crid(0)).unwrap();
    let hid = classic.crypto_find_driver("soft0");
    assert_eq!(hid, Some(crypto_sid_hid(old)));
    classic.framework_mut().unregister(NOW, first).unwrap();
    let bytes = [0xEE; 32];
    let seal = [part(&aes(), (16, 16), 0, ENCRYPT)];
    let mut told = run(&mut classic, request(old, &bytes, &seal));
    assert_eq!(told.crp_etype, Some(Errno::EAGAIN));
    assert_eq!(told.crp_buf.to_vec(), bytes, "not even the IV is written");
    let new = told.crp_sid;
    assert_ne!(new, old);
    assert_eq!(crypto_sid_lid(new), crypto_sid_lid(old));
    assert_eq!(
        classic.crypto_find_driver("soft1"),
        Some(crypto_sid_hid(new))
    );
    // As it is: the marks of the first end are taken off by dispatch.
    told = run(&mut classic, told);
    assert_eq!((told.crp_etype, told.crp_sid), (None, new));
    assert_ne!(told.crp_buf.to_vec(), bytes);
    assert_eq!(
        classic.crypto_freesession(NOW, old),
        Ok(()),
        "an old number frees it too"
    );
    assert_eq!(classic.crypto_freesession(NOW, new), Err(Errno::ENOENT));
}

#[test]
fn a_session_that_lost_its_only_driver_says_so_and_finds_another_one_later() {
    let (mut classic, first, second) = two();
    let sid = classic
        .crypto_newsession(NOW, &[aes()], Crid::SOFTWARE)
        .unwrap();
    for id in [first, second] {
        classic.framework_mut().unregister(NOW, id).unwrap();
    }
    let seal = [part(&aes(), (0, 16), 0, ENCRYPT | IV_PRESENT)];
    let mut request = run(&mut classic, request(sid, &[0; 16], &seal));
    while request.crp_etype == Some(Errno::EAGAIN) {
        request = run(&mut classic, request);
    }
    assert_eq!(request.crp_etype, Some(Errno::ENODEV));
    let framework = classic.framework_mut();
    framework.register(Box::new(SoftwareDriver::new("soft2")));
    while request.crp_etype.is_some() {
        request = run(&mut classic, request);
        assert!(matches!(request.crp_etype, None | Some(Errno::EAGAIN)));
    }
    assert_eq!(
        crypto_sid_caps(request.crp_sid) & DriverFlags::SOFTWARE,
        DriverFlags::SOFTWARE
    );
}

#[test]
fn a_part_of_a_session_moves_without_anybody_being_told() {
    let (mut classic, _, second) = two();
    let sid = classic
        .crypto_newsession(NOW, &[aes(), hmac()], Crid::ANY)
        .unwrap();
    let digest = [part(&hmac(), (0, 16), 16, 0)];
    let before = outcome(&mut classic, sid, &[1; 28], &digest);
    // The part went to the driver with fewer sessions.
    assert_eq!(
        classic
            .framework_mut()
            .driver_stats(second)
            .unwrap()
            .sessions,
        1
    );
    classic.framework_mut().unregister(NOW, second).unwrap();
    let after = run(&mut classic, request(sid, &[1; 28], &digest));
    assert_eq!((after.crp_etype, after.crp_sid), (None, sid));
    assert_eq!(before, (None, after.crp_buf.to_vec()));
    let choice = DriverChoice::any();
    assert!(!classic.framework_mut().key_operations(choice).is_empty());
}
