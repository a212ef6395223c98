use timebase::Time;

use crate::software::SoftwareDriver;
use crate::testing::{Bench, Handle, NOW};
use crate::{
    DriverChoice, DriverFlags, DriverId, KeyDriverError, KeyError, KeyFinished, KeyInvalid, KeyOp,
    KeyOps, KeyParam, KeyRequest, Limits, MigrationPolicy,
};

fn number(value: u64) -> KeyParam {
    KeyParam::from_le_bytes(&value.to_le_bytes())
}

/// 3 to the power of 5, modulo 100.
fn power() -> Box<KeyRequest> {
    let inputs = vec![number(3), number(5), number(100)];
    KeyRequest::new(KeyOp::ModExp, inputs, vec![KeyParam::room(64)])
}

fn on(choice: DriverChoice) -> Box<KeyRequest> {
    let mut request = power();
    request.choice = choice;
    request
}

fn card(bench: &mut Bench, name: &str) -> (DriverId, Handle) {
    bench.key_driver(name, DriverFlags::HARDWARE, KeyOps::MOD_EXP)
}

fn dispatch(bench: &mut Bench, request: Box<KeyRequest>) -> u64 {
    bench.framework.dispatch_key(NOW, request).unwrap().0
}

fn finished(bench: &mut Bench) -> Vec<(u64, Result<(), KeyError>)> {
    std::iter::from_fn(|| bench.framework.take_finished_key())
        .map(|KeyFinished { request, result }| (request.id.0, result))
        .collect()
}

fn held(handle: &Handle) -> Vec<u64> {
    let script = handle.0.borrow();
    script.key_held.iter().map(|request| request.id.0).collect()
}

#[test]
fn the_software_driver_computes_and_the_result_is_called_back() {
    let mut bench = Bench::new();
    let id = bench
        .framework
        .register(Box::new(SoftwareDriver::default()));
    dispatch(&mut bench, power());
    let done = bench.framework.take_finished_key().unwrap();
    assert_eq!(done.result, Ok(()));
    assert_eq!(done.request.outputs[0].bytes(), 43_u64.to_le_bytes());
    assert_eq!(done.request.driver, Some(id));
    assert!(bench.framework.take_finished_key().is_none());
}

#[test]
fn hardware_goes_before_software_and_the_least_loaded_card_first() {
    let mut bench = Bench::new();
    let (_, software) = bench.key_driver("soft", DriverFlags::SOFTWARE, KeyOps::all());
    let (_, first) = card(&mut bench, "card0");
    let (second_id, second) = card(&mut bench, "card1");
    for _ in 0..4 {
        dispatch(&mut bench, power());
    }
    assert_eq!((held(&first), held(&second)), (vec![1, 3], vec![2, 4]));
    dispatch(&mut bench, on(DriverChoice::software_only()));
    assert_eq!(held(&software), [5]);
    dispatch(&mut bench, on(DriverChoice::driver(second_id)));
    assert_eq!(held(&second), [2, 4, 6]);
    let mut add = KeyRequest::new(KeyOp::ModAdd, vec![number(1); 3], vec![KeyParam::room(64)]);
    add.choice = DriverChoice::driver(second_id);
    dispatch(&mut bench, add);
    assert_eq!(
        finished(&mut bench),
        [(7, Err(KeyError::NoDriver))],
        "it must offer it"
    );
}

#[test]
fn without_a_driver_the_callback_says_so() {
    let mut bench = Bench::new();
    dispatch(&mut bench, power());
    assert_eq!(finished(&mut bench), [(1, Err(KeyError::NoDriver))]);
    assert_eq!(bench.framework.stats().key_errors, 1);
}

#[test]
fn what_is_offered_depends_on_the_choice() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.framework.key_operations(DriverChoice::any()),
        KeyOps::empty()
    );
    let (id, _) = card(&mut bench, "card0");
    bench.key_driver("soft", DriverFlags::SOFTWARE, KeyOps::all());
    let offered = |choice| bench.framework.key_operations(choice);
    assert_eq!(offered(DriverChoice::any()), KeyOps::all());
    assert_eq!(offered(DriverChoice::hardware_only()), KeyOps::MOD_EXP);
    assert_eq!(offered(DriverChoice::driver(id)), KeyOps::MOD_EXP);
}

#[test]
fn a_refused_key_operation_waits_in_order_and_holds_up_no_session() {
    let mut bench = Bench::new();
    let (_, handle) = card(&mut bench, "card0");
    let session = bench.session(MigrationPolicy::Report);
    handle.set(|script| script.key_room = 1);
    for _ in 0..4 {
        dispatch(&mut bench, power());
    }
    assert_eq!(held(&handle), [1]);
    assert_eq!(bench.framework.stats().key_blocks, 1);
    bench.dispatch(session);
    assert_eq!(handle.held(), 1, "requests have room of their own");
    for (next, id) in [(2, 1), (3, 2), (4, 3)] {
        handle.complete_key(Ok(()));
        bench.service_all();
        assert_eq!(
            (held(&handle), finished(&mut bench)),
            (vec![next], vec![(id, Ok(()))])
        );
    }
}

#[test]
fn a_full_symmetric_path_holds_up_no_key_operation() {
    let mut bench = Bench::new();
    let (_, handle) = card(&mut bench, "card0");
    let session = bench.session(MigrationPolicy::Report);
    handle.set(|script| script.room = 0);
    bench.dispatch(session);
    dispatch(&mut bench, power());
    assert_eq!((handle.held(), held(&handle)), (0, vec![2]));
}

#[test]
fn a_wake_up_that_comes_while_a_driver_refuses_is_not_lost() {
    let mut bench = Bench::new();
    let (id, handle) = card(&mut bench, "card0");
    handle.set(|script| (script.key_room, script.unblocks_keys_while_refusing) = (0, true));
    dispatch(&mut bench, power());
    let retry = bench.framework.driver_deadline(id);
    assert!(
        retry > NOW && retry < Time::NEVER,
        "no completion will wake it"
    );
    handle.set(|script| script.key_room = 1);
    bench.framework.service(retry, id);
    assert_eq!(held(&handle), [1]);
    assert_eq!(bench.framework.driver_deadline(id), Time::NEVER);
}

#[test]
fn what_a_lost_card_had_and_had_not_taken_goes_to_another_driver() {
    let mut bench = Bench::new();
    let (_, first) = card(&mut bench, "card0");
    first.set(|script| script.key_room = 1);
    dispatch(&mut bench, power());
    dispatch(&mut bench, power());
    let (_, second) = card(&mut bench, "card1");
    first.die(false);
    bench.service_all();
    assert_eq!(held(&second), [1, 2]);
    assert_eq!(bench.framework.stats().resubmitted, 1);
    second.complete_key(Err(KeyDriverError::Undefined));
    second.complete_key(Ok(()));
    bench.service_all();
    assert_eq!(
        finished(&mut bench),
        [(1, Err(KeyError::Undefined)), (2, Ok(()))]
    );
}

#[test]
fn a_driver_that_leaves_finishes_what_it_has() {
    let mut bench = Bench::new();
    let (id, first) = card(&mut bench, "card0");
    first.set(|script| script.key_room = 1);
    let only = || on(DriverChoice::driver(id).falling_back_to(DriverFlags::empty()));
    dispatch(&mut bench, only());
    dispatch(&mut bench, only());
    bench.framework.unregister(NOW, id).unwrap();
    assert_eq!(finished(&mut bench), [(2, Err(KeyError::NoDriver))]);
    first.complete_key(Ok(()));
    bench.service_all();
    assert_eq!(finished(&mut bench), [(1, Ok(()))]);
    assert!(bench.framework.driver(id).is_none());
}

#[test]
fn an_operation_that_every_driver_drops_ends_at_last() {
    let mut bench = Bench::new();
    let (_, handle) = card(&mut bench, "card0");
    dispatch(&mut bench, power());
    for _ in 0..100 {
        if held(&handle).is_empty() {
            break;
        }
        handle.complete_key(Err(KeyDriverError::Lost));
        bench.service_all();
    }
    assert_eq!(finished(&mut bench), [(1, Err(KeyError::Device))]);
}

#[test]
fn bad_parameters_and_a_full_queue_hand_the_request_back() {
    let mut bench = Bench::with_limits(Limits {
        queue_len: 1,
        ..Limits::default()
    });
    let (_, handle) = card(&mut bench, "card0");
    handle.set(|script| script.key_room = 0);
    let mut bad = power();
    bad.inputs.pop();
    let rejected = bench.framework.dispatch_key(NOW, bad).unwrap_err();
    let count = KeyInvalid::Count {
        inputs: 2,
        outputs: 1,
    };
    assert_eq!((rejected.reason, rejected.request.inputs.len()), (count, 2));
    dispatch(&mut bench, power());
    let rejected = bench.framework.dispatch_key(NOW, power()).unwrap_err();
    assert_eq!(rejected.reason, KeyInvalid::QueueFull);
    assert_eq!(bench.framework.stats().queue_full, 1);
}

#[test]
fn a_driver_that_leaves_finishes_its_key_operations_before_it_is_told_to_detach() {
    let mut bench = Bench::new();
    let (one, two) = (card(&mut bench, "one"), card(&mut bench, "two"));
    one.1.set(|script| script.key_room = 1);
    for _ in 0..2 {
        dispatch(&mut bench, on(DriverChoice::driver(one.0)));
    }
    bench.framework.unregister(NOW, one.0).unwrap();
    assert_eq!(held(&two.1), [2], "what waited goes elsewhere");
    assert!(!one.1.0.borrow().detached);
    one.1.complete_key(Ok(()));
    bench.framework.service(NOW, one.0);
    assert!(one.1.0.borrow().detached);
    assert!(bench.framework.driver(one.0).is_none());
    assert_eq!(finished(&mut bench), [(1, Ok(()))]);
}
