//! Results as JUnit writes them, for CI: a suite for the sweep, a test case for each seed.

use maud::{PreEscaped, html};

use super::{SeedResult, Sweep};

/// The text of the XML file.
#[must_use]
pub fn junit(name: &str, sweep: &Sweep) -> String {
    let results = &sweep.results;
    let is_failed = |result: &&SeedResult| result.finding.is_some();
    let failures = results.iter().filter(is_failed).count();
    let page = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"))
        testsuites {
            testsuite name=(plain(name)) tests=(results.len()) failures=(failures) {
                @for result in results {
                    testcase classname=(plain(name)) name={ "seed " (result.seed) } {
                        @if let Some(finding) = &result.finding {
                            @let (kind, message) = (&finding.signature, &finding.message);
                            failure type=(plain(kind)) message=(plain(message)) {}
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// `text` without what XML cannot hold.
fn plain(text: &str) -> String {
    text.replace(|char: char| char.is_control() && char != '\n', " ")
}
