//! Edits of a snapshot of a working card: refused, or a card that behaves.

use std::sync::OnceLock;

use device_model::Card;
use regs::Errata;

use super::Story;
use super::card::Bench;

/// Moments at which a snapshot is taken.
const MOMENTS: usize = 32;
/// Most edits of a snapshot.
const EDITS: u8 = 8;
/// Bytes at the front that say what it is; they are not edited.
const HEADER: usize = 10;

/// A working card, and its state.
#[derive(Debug)]
struct Scene {
    bench: Bench,
    state: Vec<u8>,
}

/// One card at each of its first moments with work.
fn scenes() -> Vec<Scene> {
    let mut scenes = Vec::new();
    let mut bench = Bench::new(Errata::empty());
    bench.work();
    for _ in 0..MOMENTS {
        let state = bench.card.snapshot().to_vec();
        let card = Card::restore(&state).expect("a card's own snapshot");
        let next = bench.with_card(card);
        scenes.push(Scene { bench, state });
        bench = next;
        bench.go_on();
    }
    scenes
}

/// Changes, puts in and takes out bytes as the story says.
fn edit(state: &[u8], story: &mut Story<'_>) -> Vec<u8> {
    let mut bytes = state.to_vec();
    for _ in 0..story.byte() % EDITS {
        let (kind, at, value) = (story.byte(), story.half(), story.byte());
        let at = HEADER + usize::from(at) % (bytes.len() - HEADER);
        match kind % 4 {
            0 => bytes.insert(at, value),
            1 => drop(bytes.remove(at)),
            2 => bytes[at] ^= 1 << (value % 8),
            _ => bytes[at] = value,
        }
    }
    bytes
}

/// Edits a snapshot of a working card, restores it, and goes on with the story; gives the number of
/// commands completed, and one more for a card that was taken.
///
/// # Panics
/// If a card that was taken gives other bytes back, or does what no card may do.
pub fn snapshot(bytes: &[u8]) -> u64 {
    static SCENES: OnceLock<Vec<Scene>> = OnceLock::new();
    let scenes = SCENES.get_or_init(scenes);
    let mut story = Story::new(bytes);
    let scene = &scenes[usize::from(story.byte()) % scenes.len()];
    let Ok(card) = Card::restore(&edit(&scene.state, &mut story)) else {
        return 0;
    };
    let again = card.snapshot();
    let same = Card::restore(&again).expect("a card's own snapshot");
    assert_eq!(*same.snapshot(), *again);
    1 + scene.bench.with_card(card).live(&mut story)
}
