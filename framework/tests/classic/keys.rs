//! Key operations by their codes.

use framework::front::classic::Cryptkop;
use framework::{DriverFlags, KeyOps, KeyParam};

use super::*;

fn number(value: u64) -> KeyParam {
    KeyParam::from_le_bytes(&value.to_le_bytes())
}

fn operation(code: u32, inputs: &[u64], outputs: usize) -> Box<Cryptkop> {
    let mut params: Vec<KeyParam> = inputs.iter().map(|&value| number(value)).collect();
    params.resize(inputs.len() + outputs, KeyParam::room(64));
    Box::new(Cryptkop {
        krp_op: code,
        krp_status: None,
        krp_iparams: inputs.len(),
        krp_oparams: outputs,
        krp_crid: Crid::ANY,
        krp_hid: None,
        krp_param: params,
        krp_opaque: 7,
        krp_callback: Some(Callback(1)),
    })
}

fn run_key(classic: &mut Classic, operation: Box<Cryptkop>) -> Box<Cryptkop> {
    classic.crypto_kdispatch(NOW, Some(operation)).unwrap();
    match classic.take_done(NOW) {
        Some(Done::Key(operation)) => operation,
        other => panic!("no key operation is done: {other:?}"),
    }
}

#[test]
fn an_operation_gives_its_results_behind_its_inputs() {
    let mut classic = software();
    let done = run_key(&mut classic, operation(0, &[3, 5, 100], 1));
    assert_eq!((done.krp_status, done.krp_opaque), (None, 7));
    assert_eq!(done.krp_param[3].bytes(), 43_u64.to_le_bytes());
    assert_eq!(done.krp_hid, classic.crypto_find_driver("soft0"));
    assert_eq!(done.krp_param[0], number(3), "inputs stay");
}

#[test]
fn every_end_has_its_number() {
    let mut classic = software();
    let mut end = |operation| run_key(&mut classic, operation).krp_status;
    assert_eq!(end(operation(11, &[1, 1], 1)), Some(Errno::EINVAL));
    assert_eq!(end(operation(0, &[1, 1], 1)), Some(Errno::EINVAL));
    assert_eq!(end(operation(0, &[1; 8], 1)), Some(Errno::EFBIG));
    assert_eq!(end(operation(10, &[1, 0], 1)), Some(Errno::EINVAL));
    assert_eq!(
        end(operation(3, &[1, 23, 11, 2, 3, 4, 6], 0)),
        Some(Errno::EBADMSG)
    );
    let mut narrow = operation(10, &[200, 255], 1);
    narrow.krp_param[2] = KeyParam::room(7);
    assert_eq!(end(narrow), Some(Errno::ERANGE));
    let mut long = operation(10, &[1, 2], 1);
    long.krp_param[0] = KeyParam::new(65_537, vec![0; 8193]);
    assert_eq!(end(long), Some(Errno::EINVAL));
    let mut hardware = operation(0, &[3, 5, 7], 1);
    hardware.krp_crid = Crid::HARDWARE;
    assert_eq!(end(hardware), Some(Errno::ENODEV));
    let mut short = operation(0, &[3, 5, 7], 1);
    short.krp_param.pop();
    assert_eq!(end(short), Some(Errno::EINVAL));
}

#[test]
fn only_an_operation_without_a_callback_is_refused_at_once() {
    let mut classic = software();
    assert!(classic.crypto_kdispatch(NOW, None).is_err());
    let mut silent = operation(0, &[3, 5, 7], 1);
    silent.krp_callback = None;
    let refused = classic.crypto_kdispatch(NOW, Some(silent)).unwrap_err();
    assert_eq!(
        (refused.errno, refused.request.is_some()),
        (Errno::EINVAL, true)
    );
}

#[test]
fn software_does_key_operations_only_if_it_may() {
    let mut classic = software();
    assert_eq!(classic.crypto_getfeat(), KeyOps::all());
    classic.set_allow_soft(false);
    assert_eq!(classic.crypto_getfeat(), KeyOps::empty());
    let nobody = run_key(&mut classic, operation(0, &[3, 5, 7], 1));
    assert_eq!(nobody.krp_status, Some(Errno::ENODEV));
    let mut named = operation(0, &[3, 5, 7], 1);
    named.krp_crid = Crid(classic.crypto_find_driver("soft0").unwrap());
    let named = run_key(&mut classic, named);
    assert_eq!(named.krp_status, Some(Errno::ENODEV));
    classic.set_allow_soft(true);
    let named = run_key(&mut classic, named);
    assert_eq!(named.krp_status, None);
    let flags = classic
        .framework_mut()
        .drivers()
        .next()
        .map(|driver| driver.flags);
    assert_eq!(flags, Some(DriverFlags::SOFTWARE | DriverFlags::SYNC));
}
