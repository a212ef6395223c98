//! QEMU's monitor (QMP): takes cards from a guest and puts them in.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Longest that a guest takes to give a card away.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Monitor(BufReader<UnixStream>);

impl Monitor {
    /// Of a machine that runs.
    pub(crate) fn new(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("a monitor");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut monitor = Self(BufReader::new(socket));
        assert!(monitor.hear()["QMP"].is_object(), "a greeting");
        monitor.ask("qmp_capabilities", &json!({}));
        monitor
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("QEMU answers in time");
        serde_json::from_str(&line).expect("JSON: did QEMU end?")
    }

    fn ask(&mut self, command: &str, arguments: &Value) {
        let asked = json!({ "execute": command, "arguments": arguments });
        writeln!(self.0.get_mut(), "{asked}").expect("QEMU listens");
        loop {
            let heard = self.hear();
            assert!(heard["error"].is_null(), "{command}: {heard}");
            if heard.get("return").is_some() {
                return;
            }
        }
    }

    /// Takes the device `id` away, and waits until the guest has let go of it.
    pub(crate) fn unplug(&mut self, id: &str) {
        self.ask("device_del", &json!({ "id": id }));
        loop {
            let heard = self.hear();
            if heard["event"] == "DEVICE_DELETED" && heard["data"]["device"] == id {
                return;
            }
        }
    }

    /// Puts a device in.
    pub(crate) fn plug(&mut self, device: &Value) {
        self.ask("device_add", device);
    }
}
