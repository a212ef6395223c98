//! The whole stack inside a virtual machine: QEMU, a stock kernel, its IOMMU and vfio-pci, and a
//! static program with driver and framework, against cards that this process serves.
//!
//! Every test boots a guest, and the first fetches QEMU and a kernel. So they run only when they
//! are asked for, as `./test` does on machines that can.

mod booted;
mod monitor;
#[path = "../vfio_user/served.rs"]
mod served;

use booted::Booted;
use device_model::Profile;
use monitor::Monitor;
use served::{Doorbells, Served, socket_path};
use sim::guest::machine::Machine;

/// All checks of `guest-check`: bring-up, eight suites, a full ring, interrupts, a reset.
const CHECKS: usize = 12;
const CHECK: &str = "ringside guest-check --json";

/// Doorbells of a card whose server is killed. QEMU now and then fails an assertion of its own if
/// that happens while it has sent a message, which a shared doorbell does not take.
const DOOMED: Doorbells = Doorbells::Shared;

fn reference(doorbells: Doorbells) -> Served {
    Served::new(Profile::reference(), doorbells)
}

fn every_check_holds(doorbells: Doorbells) {
    let card = reference(doorbells);
    let mut guest = Booted::new(&[&card], CHECK);
    let (findings, status) = guest.findings();
    for finding in &findings {
        assert_eq!(finding["passed"], true, "{finding}");
    }
    assert_eq!(findings.len(), CHECKS);
    assert_eq!(status, 0);
    assert!(guest.switches_itself_off());
}

#[test]
#[ignore = "boots a guest"]
fn the_whole_stack_works_in_a_guest_with_trapped_doorbells() {
    every_check_holds(Doorbells::Trapped);
}

#[test]
#[ignore = "boots a guest"]
fn the_whole_stack_works_in_a_guest_with_shared_doorbells() {
    every_check_holds(Doorbells::Shared);
}

#[test]
#[ignore = "boots a guest"]
fn a_card_that_makes_no_results_is_found_out() {
    let card = Served::with(Profile::reference(), Doorbells::Trapped, |card| {
        card.set_timing_only(true);
    });
    let mut guest = Booted::new(&[&card], CHECK);
    let (findings, status) = guest.findings();
    let wrong = |finding: &serde_json::Value| {
        let detail = finding["detail"].as_str().unwrap_or_default();
        finding["passed"] == false && detail.contains("result is wrong")
    };
    let ciphers = findings
        .iter()
        .filter(|found| found["check"] == "aes-128-cbc");
    assert!(ciphers.into_iter().all(wrong), "{findings:?}");
    assert_eq!(status, 1, "{findings:?}");
    assert!(guest.switches_itself_off());
}

#[test]
#[ignore = "boots a guest"]
fn the_only_card_is_lost_with_its_server_and_the_guest_lives_on() {
    let mut card = reference(DOOMED);
    let script = on_loss(
        "forget_resets",
        "echo config $(od -An -tx1 -N 8 /sys/bus/pci/devices/$card/config)",
    );
    let mut guest = Booted::new(&[&card], &script);
    guest.wait_for("ready");
    card.kill();
    let (findings, status) = guest.findings();
    let loss = findings.last().expect("a finding");
    assert_eq!(
        (&loss["check"], &loss["passed"]),
        (&"loss".into(), &false.into())
    );
    assert!(loss["detail"].to_string().contains("no driver"), "{loss}");
    assert_eq!(status, 1);
    let config = guest.said.iter().find(|line| line.starts_with("config"));
    assert_eq!(
        config.map(String::as_str),
        Some("config ff ff ff ff ff ff ff ff")
    );
    guest.switches_itself_off();
}

#[test]
#[ignore = "boots a guest"]
fn sessions_of_a_card_whose_server_is_killed_go_on_with_the_other() {
    let (mut first, second) = (reference(DOOMED), reference(Doorbells::Trapped));
    let script = on_loss("forget_resets", "true");
    let mut guest = Booted::new(&[&first, &second], &script);
    guest.wait_for("ready");
    first.kill();
    goes_on_with_one(&mut guest);
    guest.switches_itself_off();
}

#[test]
#[ignore = "boots a guest"]
fn a_card_that_the_kernel_asks_back_is_given_back_and_its_sessions_go_on_with_the_other() {
    let cards = [Doorbells::Trapped, Doorbells::Trapped].map(reference);
    let script = on_loss(
        "echo $card > /sys/bus/pci/drivers/vfio-pci/unbind",
        "[ -e /sys/bus/pci/drivers/vfio-pci/$card ] || echo given back",
    );
    let mut guest = Booted::new(&cards.each_ref(), &script);
    goes_on_with_one(&mut guest);
    assert!(
        guest.said.iter().any(|line| line == "given back"),
        "{:?}",
        guest.said
    );
}

/// A script that does `first` when `guest-check` waits for the loss of a card, the first of which
/// is `$card`, and `last` after it.
fn on_loss(first: &str, last: &str) -> String {
    format!(
        "mkfifo /said
        # The kernel waits a minute for a card that does not come out of its reset.
        forget_resets() {{ echo > /sys/bus/pci/devices/$card/reset_method; }}
        ({CHECK} --await-loss; echo status $?) > /said &
        while read -r line; do
            echo \"$line\"
            case $line in
                *'\"loss\",\"passed\":false'*'\"detail\":\"\"'*)
                    card=$(ls /sys/bus/pci/drivers/vfio-pci | grep : | head -n 1)
                    {first}
                    echo ready ;;
                status*)
                    {last}
                    exit ${{line#status }} ;;
            esac
        done < /said"
    )
}

/// The guest sees that one card of two was lost, and nothing else.
fn goes_on_with_one(guest: &mut Booted) {
    let (findings, status) = guest.findings();
    let loss = findings.last().expect("a finding");
    assert_eq!(loss["detail"], "cards left: 1");
    assert_eq!(loss["passed"], true, "{findings:?}");
    assert_eq!(status, 0, "{findings:?}");
}

#[test]
#[ignore = "boots a guest"]
fn a_card_is_measured_from_inside_a_guest() {
    let card = reference(Doorbells::Trapped);
    // A driver that sleeps at once, and one that never does.
    let script = "ringside guest-bench --json --time 100 --poll 0 &&
        ringside guest-bench --json --time 100 --poll 60000000";
    let mut guest = Booted::new(&[&card], script);
    let (figures, status) = guest.findings();
    assert_eq!(status, 0, "{figures:?}");
    assert_eq!(figures.len(), 2 * 11);
    for (number, figure) in (0..).zip(&figures) {
        assert!(figure["request_us"].as_f64() > Some(0.0), "{figure}");
        let interrupts = figure["interrupts_percent"].as_f64();
        match number < 11 {
            true => assert!(interrupts > Some(0.0), "{figure}"),
            // What was armed before still comes, once for each ring.
            false => assert!(interrupts < Some(10.0), "{figure}"),
        }
    }
}

#[test]
#[ignore = "boots a guest"]
fn a_card_with_its_line_alone_is_unplugged_under_load_and_comes_back() {
    let cards = [(), ()].map(|()| Served::without_msix(Profile::reference()));
    let path = socket_path();
    let script = format!("{CHECK} --await-loss --await-return");
    let mut guest = Booted::with_monitor(&cards.each_ref(), &script, &path);
    guest.wait_until_it_waits("loss");
    let mut monitor = Monitor::new(&path);
    monitor.unplug("card0");
    assert_eq!(cards[0].end(), "the other end closed the socket");
    guest.wait_until_it_waits("return");
    let mut device = Machine::device(0, cards[0].path());
    device["bus"] = "port0".into();
    monitor.plug(&device);
    let (findings, status) = guest.findings();
    for finding in &findings {
        assert_eq!(finding["passed"], true, "{finding}");
    }
    assert_eq!(findings.len(), CHECKS + 2);
    assert_eq!(status, 0);
    assert!(guest.switches_itself_off());
    let _ = std::fs::remove_file(&path);
}
