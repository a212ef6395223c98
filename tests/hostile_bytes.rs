//! Hostile bytes do no harm: the kept corpus, and seeded random stories.

use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tests::hostile::{TARGETS, Target, snapshot};

/// Random stories for each target.
const STORIES: u64 = 3000;
/// Longest random story, in bytes.
const LONGEST: usize = 1 << 12;

fn corpus(name: &str) -> impl Iterator<Item = Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let entries = std::fs::read_dir(folder.join(name)).expect("a folder for each target");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| std::fs::read(path).expect("a story of the corpus"))
}

fn run(name: &str) {
    let (_, target): (_, Target) = TARGETS
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("a target");
    let reached: u64 = corpus(name).map(|bytes| target(&bytes)).sum();
    assert!(reached > 50, "the corpus of {name} reaches only {reached}");
    let mut reached = 0;
    for seed in 0..STORIES {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut bytes = vec![0; random.next_u64() as usize % LONGEST];
        random.fill_bytes(&mut bytes);
        reached += target(&bytes);
    }
    assert!(reached > STORIES, "random stories reach only {reached}");
    println!("{name}: {reached} reached by random stories");
}

#[test]
fn a_card_survives_any_traffic_on_its_bus() {
    run("card");
}

#[test]
fn configuration_space_survives_any_access() {
    run("config");
}

#[test]
fn a_virtio_device_survives_any_request() {
    run("virtio");
}

#[test]
fn a_vfio_user_server_answers_any_messages_with_messages() {
    run("vfio_user");
}

#[test]
fn any_text_is_refused_with_a_reason_or_a_scenario_that_runs() {
    run("scenario");
}

#[test]
fn an_edited_snapshot_is_refused_or_a_card_that_behaves() {
    run("snapshot");
}

#[test]
fn the_snapshots_that_are_edited_are_of_a_card_at_work() {
    let left: Vec<u64> = (0..32).map(|moment| snapshot(&[moment, 0])).collect();
    assert!(left[0] > 12, "{left:?}");
    assert!(left.is_sorted_by(|before, after| before >= after));
    assert!(left.last() < left.first(), "{left:?}");
}

#[test]
fn every_target_has_a_corpus_and_a_fuzzer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the fuzzing package");
    for (name, _) in TARGETS {
        assert!(root.join("corpus").join(name).is_dir(), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
