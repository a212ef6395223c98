//! Data right: every result equals what two independent libraries make of the same input, comes
//! back to the input when it is undone, and what was promised to be untouched is.

use timebase::Time;

use super::Findings;

/// Compares bytes.
#[derive(Debug)]
pub struct DataRight {
    /// What it saw.
    pub findings: Findings,
}

impl Default for DataRight {
    fn default() -> Self {
        Self {
            findings: Findings::new("data right"),
        }
    }
}

impl DataRight {
    /// `actual` must be `expected`; `what` says what the bytes are. Returns whether it is.
    pub fn compare(
        &mut self,
        at: Time,
        actual: &[u8],
        expected: &[u8],
        what: impl FnOnce() -> String,
    ) -> bool {
        self.findings.look();
        if actual == expected {
            return true;
        }
        self.findings.violation(at, || {
            let differs = actual.iter().zip(expected).position(|(a, b)| a != b);
            match differs {
                Some(byte) => format!(
                    "{}: byte {byte} is {:#04x}, expected {:#04x}",
                    what(),
                    actual[byte],
                    expected[byte]
                ),
                None => {
                    format!(
                        "{}: {} bytes, expected {}",
                        what(),
                        actual.len(),
                        expected.len()
                    )
                }
            }
        });
        false
    }

    /// A request ended in a way that its consumer had no reason to expect.
    pub fn unexpected(&mut self, at: Time, message: impl FnOnce() -> String) {
        self.findings.look();
        self.findings.violation(at, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_byte_is_found_and_named() {
        let mut check = DataRight::default();
        assert!(check.compare(Time::ZERO, b"abc", b"abc", || "payload".to_owned()));
        assert!(!check.compare(Time::ZERO, b"abd", b"abc", || "payload".to_owned()));
        assert!(!check.compare(Time::ZERO, b"ab", b"abc", || "tag".to_owned()));
        assert_eq!(
            check.findings.messages(),
            [
                "payload: byte 2 is 0x64, expected 0x63",
                "tag: 2 bytes, expected 3"
            ]
        );
    }
}
