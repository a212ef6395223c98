//! Numbers as people read them.

use timebase::Span;

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `count` and the noun, in the plural unless it is one.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A length of memory, in powers of 1,024.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1_024 {
        return format!("{number} B");
    }
    let mut scaled = number as f64 / 1_024.0;
    let mut unit = 0;
    while scaled >= 1_023.995 && unit + 1 < UNITS.len() {
        scaled /= 1_024.0;
        unit += 1;
    }
    format!("{} {}", three_digits(scaled), UNITS[unit])
}

/// Bytes per second, in powers of 1,000; nothing took no time.
pub(crate) fn rate(bytes: u64, time: Span) -> String {
    if time == Span::ZERO {
        return "0 B/s".to_owned();
    }
    scaled(bytes as f64 / time.as_secs_f64(), "B/s")
}

/// A number with a decimal prefix and a unit.
pub(crate) fn scaled(number: f64, unit: &str) -> String {
    const PREFIXES: [&str; 5] = ["", "k", "M", "G", "T"];
    let mut number = number;
    let mut prefix = 0;
    while number >= 999.5 && prefix + 1 < PREFIXES.len() {
        number /= 1_000.0;
        prefix += 1;
    }
    format!("{} {}{unit}", three_digits(number), PREFIXES[prefix])
}

/// A time in the unit a person would choose, to three digits.
pub(crate) fn time(span: Span) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "s"), (1e9, "ms"), (1e6, "µs"), (1e3, "ns")];
    let ps = span.as_ps() as f64;
    for (scale, unit) in UNITS {
        if ps >= scale * 0.9995 {
            return format!("{} {unit}", three_digits(ps / scale));
        }
    }
    format!("{} ps", span.as_ps())
}

/// `part` of `whole` in percent, to a tenth; nothing of nothing is nothing.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0.0%".to_owned();
    }
    format!("{:.1}%", part as f64 * 100.0 / whole as f64)
}

/// Three significant digits, more before the point if need be.
pub(crate) fn three_digits(number: f64) -> String {
    let decimals = if number < 9.995 {
        2
    } else if number < 99.95 {
        1
    } else {
        0
    };
    let text = format!("{number:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(counted(1, "block"), "1 block");
        assert_eq!(counted(0, "block"), "0 blocks");
    }

    #[test]
    fn units_are_those_a_person_would_choose() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(1 << 20), "1 MiB");
        assert_eq!(bytes((1 << 20) - 1), "1 MiB");
        assert_eq!(rate(7_877, Span::from_us(1)), "7.88 GB/s");
        assert_eq!(rate(5, Span::ZERO), "0 B/s");
        assert_eq!(time(Span::from_ns(1_234)), "1.23 µs");
        assert_eq!(time(Span::from_ps(999_999)), "1 µs");
        assert_eq!(time(Span::ZERO), "0 ps");
        assert_eq!(share(1, 3), "33.3%");
        assert_eq!(share(0, 0), "0.0%");
    }
}
