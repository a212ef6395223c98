use std::io::Cursor;

use device_model::CardEvent;
use regs::RingId;
use wellen::simple::Waveform;

use super::*;
use crate::case::Data;
use crate::event::Event;
use crate::world::{self, RunOptions};

/// A run in which a card is pulled out and put in again.
fn recorded() -> (Scenario, Vec<Record>) {
    let scenario = Scenario::builtin("failover-brief").unwrap();
    let mut options = RunOptions::new(5, Data::Noise(1 << 16).read().unwrap());
    options.keep_log = true;
    let outcome = world::run(&scenario, &options, &mut |_| {}).unwrap();
    assert!(outcome.passed(), "{:#?}", outcome.violations);
    (scenario, outcome.log)
}

fn read_back(format: Format) -> Waveform {
    let (scenario, log) = recorded();
    let mut file = Cursor::new(Vec::new());
    write(&mut file, format, &scenario, &log).unwrap();
    file.set_position(0);
    wellen::simple::read_from_reader(file).unwrap()
}

/// When a signal changed, in picoseconds, and to what.
fn course(waves: &mut Waveform, path: &[&str]) -> Vec<(u64, u64)> {
    let (name, scopes) = path.split_last().unwrap();
    let hierarchy = waves.hierarchy();
    let var = hierarchy.lookup_var(scopes, name);
    let var = var.unwrap_or_else(|| panic!("no {path:?}"));
    let signal = hierarchy[var].signal_ref();
    waves.load_signals(&[signal]);
    let times = waves.time_table();
    let changes = waves.get_signal(signal).unwrap().iter_changes();
    changes
        .map(|(at, value)| {
            let bits = value.to_bit_string().unwrap();
            (times[at as usize], u64::from_str_radix(&bits, 2).unwrap())
        })
        .collect()
}

fn paths(waves: &Waveform) -> Vec<String> {
    let hierarchy = waves.hierarchy();
    let vars = hierarchy.all_vars();
    vars.map(|var| hierarchy[var].full_name(hierarchy))
        .collect()
}

#[test]
fn both_formats_say_the_same_of_every_signal() {
    let (mut text, mut packed) = (read_back(Format::Vcd), read_back(Format::Fst));
    let paths = paths(&text);
    assert!(paths.len() > 60, "{paths:#?}");
    assert_eq!(paths, self::paths(&packed));
    for path in &paths {
        let path: Vec<_> = path.split('.').collect();
        assert_eq!(
            course(&mut text, &path),
            course(&mut packed, &path),
            "{path:?}"
        );
    }
}

#[test]
fn signals_are_what_the_log_says() {
    let (_, log) = recorded();
    let mut waves = read_back(Format::Fst);
    let when = |wanted: fn(&Event) -> bool| {
        let found = log.iter().filter(|record| wanted(&record.event));
        found.map(|record| record.at.as_ps()).collect::<Vec<_>>()
    };
    let present = course(&mut waves, &["ringside", "card0", "present"]);
    let out = when(|event| matches!(event, Event::Unplugged { card: 0 }));
    let back = when(|event| matches!(event, Event::Plugged { card: 0 }));
    assert_eq!(present, [(0, 1), (out[0], 0), (back[0], 1)]);
    // Requests come and go one by one, and none is left.
    let all = course(&mut waves, &["ringside", "requests", "all"]);
    assert!(all.iter().any(|&(_, count)| count > 20));
    assert_eq!(all.last().unwrap().1, 0);
    // A line that the driver heard of falls; every line rose for an interrupt.
    let line = course(&mut waves, &["ringside", "card1", "interrupts", "vector1"]);
    let rises: Vec<_> = line.iter().filter(|&&(_, level)| level == 1).collect();
    assert!(rises.len() > 3, "{line:?}");
    let sent = when(|event| {
        matches!(
            event,
            Event::Card {
                card: 1,
                event: CardEvent::Interrupt { .. }
            }
        )
    });
    assert!(
        rises.iter().all(|(at, _)| sent.contains(at)),
        "{rises:?} {sent:?}"
    );
    // A doorbell says what the card was told.
    let bell = course(
        &mut waves,
        &["ringside", "card1", "ring1", "command_doorbell"],
    );
    let told = log.iter().filter_map(|record| match record.event {
        Event::WriteArrived {
            card: 1,
            offset,
            value,
        } if offset == RingId(1).command_doorbell() => Some((record.at.as_ps(), u64::from(value))),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert!(bell.len() > 10);
    assert!(
        bell[1..].iter().all(|change| told.contains(change)),
        "{bell:?}"
    );
}

#[test]
fn the_same_run_gives_the_same_file() {
    let files = [Format::Vcd, Format::Fst].map(|format| {
        [(); 2].map(|()| {
            let (scenario, log) = recorded();
            let mut file = Cursor::new(Vec::new());
            write(&mut file, format, &scenario, &log).unwrap();
            file.into_inner()
        })
    });
    for [first, second] in files {
        assert!(first.len() > 1000);
        assert!(first == second);
    }
}

#[test]
fn nothing_is_a_file_as_well() {
    let scenario = Scenario::builtin("single").unwrap();
    for format in [Format::Vcd, Format::Fst] {
        let mut file = Cursor::new(Vec::new());
        write(&mut file, format, &scenario, &[]).unwrap();
        file.set_position(0);
        let waves = wellen::simple::read_from_reader(file).unwrap();
        assert_eq!(paths(&waves), ["ringside.card0.present"]);
    }
}

#[test]
fn the_name_says_the_format() {
    let format = |name: &str| Format::of(Path::new(name));
    assert_eq!(format("a/run.vcd"), Some(Format::Vcd));
    assert_eq!(format("run.fst"), Some(Format::Fst));
    assert_eq!(format("run.json"), None);
    assert_eq!(format("vcd"), None);
}
