//! A whole test of the stack fits in twenty lines, and the page on testing shows it.

use sim::World;
use sim::scenario::Count;
use sim::world::builder::{BuildError, after_requests, card, later, plug, unplug};
use timebase::Span;

#[test]
fn a_card_that_comes_back_has_cost_no_request() -> Result<(), BuildError> {
    let runs = World::builder()
        .card(card("reference").ring_entries(8))
        .card("slow")
        .suites(["aes-256-gcm", "sha256"])
        .sizes([64, 4_096])
        .pieces(200)
        .fault(after_requests(50), unplug("card0"))
        .fault(later(Span::from_us(50)), plug("card0"))
        .expect(Count::Migrations, 1..)
        .seeds(0..20)
        .run()?;
    runs.assert_passed();
    Ok(())
}

#[test]
fn the_page_on_testing_shows_that_test() {
    let (shown, _) = include_str!("twenty_lines.rs")
        .split_once("\n#[test]\nfn the_page")
        .expect("a second test");
    let (_, shown) = shown.split_once("\n\n").expect("docs");
    let page = include_str!("../docs/testing.md");
    assert!(page.contains(&format!("```rust\n{shown}```\n")), "{shown}");
    assert!(
        shown.lines().count() <= 24,
        "twenty lines and what they use"
    );
}
