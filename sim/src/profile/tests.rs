use super::*;

#[test]
fn every_profile_has_at_most_six_fitted_parameters_within_their_ranges() {
    for device in Device::builtins() {
        let name = &device.profile.name;
        assert!(device.parameters.len() <= 6, "{name}");
        for parameter in &device.parameters {
            let (low, high) = parameter.range;
            assert!(
                (low..=high).contains(&parameter.value),
                "{name}: {parameter:?}"
            );
            for key in &parameter.keys {
                let value = edit::number(&device.text, key);
                assert_eq!(value, Ok(parameter.value), "{name}: {key}");
            }
        }
    }
}

#[test]
fn a_profile_with_measurements_says_what_it_is_and_how_near_it_is() {
    for device in Device::builtins() {
        if !device.series.is_empty() {
            assert!(!device.about.is_empty(), "{}", device.profile.name);
            assert!(device.goal.fitted_mean.is_some(), "{}", device.profile.name);
            assert!(device.goal.fitted_max.is_some(), "{}", device.profile.name);
        }
    }
}

#[test]
fn the_list_names_the_errata_of_a_profile() {
    let devices = ["reference", "errata"].map(|name| Device::builtin(name).expect("built in"));
    let text = render_list(&devices);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("errata: "))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(
        lines[0].contains("early-ready, reset-while-enabled"),
        "{text}"
    );
}

#[test]
fn every_published_series_is_used_by_a_profile() {
    let devices = Device::builtins();
    for (file, name) in data::all_series() {
        let is_used = devices
            .iter()
            .flat_map(|device| &device.series)
            .any(|series| series.data == file && series.name == name);
        assert!(is_used, "{name} of {file}");
    }
}

#[test]
fn parameters_that_made_the_measurements_are_found_again() {
    let truth = Device::builtin("ti-am65x-sa2ul").expect("built in");
    let mut device = truth.clone();
    for series in &mut device.series {
        let points = validate::simulate(&truth, series).expect("points");
        series.points = points
            .into_iter()
            .map(|point| Measurement {
                value: point.simulated,
                ..point.measured
            })
            .collect();
    }
    let edits: Vec<(String, u64)> = truth
        .parameters
        .iter()
        .zip([3, 2, 4])
        .flat_map(|(of, factor)| {
            of.keys
                .iter()
                .map(move |key| (key.clone(), of.value * factor / 3))
        })
        .collect();
    let text = edit::with_numbers(&device.text, &edits).expect("numbers");
    let mut away = Device::from_toml(&text, "away.toml").expect("a profile");
    away.series = device.series;
    let found = fit(&away, false).expect("a fit");
    assert!(found.fitted.max < 0.001, "{:?}", found.fitted);
    for (found, truth) in found.device.parameters.iter().zip(&truth.parameters) {
        let ratio = found.value as f64 / truth.value as f64;
        assert!((ratio - 1.0).abs() < 0.01, "{found:?} is not {truth:?}");
    }
}

#[test]
fn a_profile_without_parameters_has_nothing_to_fit() {
    let ideal = Device::builtin("ideal").expect("built in");
    let error = fit(&ideal, false).unwrap_err().to_string();
    assert_eq!(error, "profile ideal has nothing to fit");
}

#[test]
fn mistakes_in_measurements_are_pointed_at() {
    let text = Device::builtin("microchip-mpfs").expect("built in").text;
    for (old, new, expected) in [
        (
            "series = \"aes",
            "series = \"des",
            "no series `des-256-cbc`",
        ),
        (
            "suite = \"aes",
            "suite = \"des",
            "unknown suite `des-256-cbc`",
        ),
        (
            "use = \"fitted\"",
            "use = \"guessed\"",
            "unknown use `guessed`",
        ),
        (
            "[\"link.bytes",
            "[\"link.bits",
            "no number `link.bits_per_second`",
        ),
        ("submit_ns", "submit_us", "unknown key `submit_us`"),
    ] {
        let wrong = text.replacen(old, new, 1);
        assert_ne!(wrong, text, "{old}");
        let error = Device::from_toml(&wrong, "x.toml").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// The rows of the book's table of errors for `validation`.
fn rows(validation: &Validation) -> Vec<String> {
    let name = &validation.device.profile.name;
    let row = |purpose: Use| {
        let errors = validation.errors(purpose);
        let (mean, max) = (errors.mean * 100.0, errors.max * 100.0);
        let count = errors.count;
        let row = format!(
            "| `{name}` | {} | {count} | {mean:.1} % | {max:.1} % |",
            purpose.name()
        );
        (count > 0).then_some(row)
    };
    Use::ALL.into_iter().filter_map(row).collect()
}

#[test]
fn every_profile_reaches_its_goal_and_the_book_says_how_near_it_comes() {
    let book = include_str!("../../../docs/timing.md");
    for device in Device::builtins() {
        let validation = validate(&device).expect("points");
        for row in rows(&validation) {
            assert!(book.contains(&row), "the book lacks {row}");
        }
        assert!(validation.holds(), "{}", render_text(&[validation]));
    }
}

#[test]
fn a_validation_is_the_same_each_time() {
    let device = Device::builtin("qualcomm-qce").expect("built in");
    let twice = [0; 2].map(|_| validate(&device).expect("points").points);
    assert_eq!(twice[0], twice[1]);
}

#[test]
fn a_missed_goal_is_told() {
    let mut device = Device::builtin("microchip-mpfs").expect("built in");
    device.goal.fitted_max = Some(0.0001);
    let validation = validate(&device).expect("points");
    assert!(!validation.holds());
    let text = render_text(&[validation]);
    assert!(text.contains("/ 0.0 % MISSED"), "{text}");
}

/// A row of the datasheet's table of performance.
fn performance(suite: &str) -> String {
    let device = Device::builtin("reference").expect("built in");
    let speeds = [64, 1024, 16 * 1024].map(|bytes| {
        let load = Load {
            suite: suite.parse().expect("a suite"),
            cards: 1,
            threads: 4,
            depth: 8,
            burst: 8,
            bytes,
            aad: 0,
            shared_link: false,
        };
        let speed = run(&device.profile, &device.host, &load).expect("a run");
        let seconds = speed.elapsed.as_secs_f64();
        let gigabits = speed.requests as f64 * f64::from(bytes) * 8.0 / seconds / 1e9;
        format!("{gigabits:.1} Gbit/s")
    });
    format!("| `{suite}` | {} |", speeds.join(" | "))
}

#[test]
fn the_datasheet_says_how_fast_the_reference_card_is() {
    let book = include_str!("../../../docs/datasheet.md");
    let suites = [
        "aes-128-cbc",
        "aes-256-gcm",
        "sha256",
        "aes-128-cbc+hmac-sha256",
    ];
    let rows = suites.map(performance);
    let lacking: Vec<_> = rows.iter().filter(|row| !book.contains(*row)).collect();
    assert!(lacking.is_empty(), "the datasheet lacks {lacking:#?}");
}
