//! Numbers as people read them; no line breaks between a number and its unit.

use crate::records::flop_unit;

/// Writes three significant digits, without trailing zeros; a power of ten where it is shorter.
pub(crate) fn plain(value: f64) -> String {
    if value.is_nan() {
        return "–".to_owned();
    }
    if value == 0.0 || value.is_infinite() {
        return format!("{value}");
    }
    let size = value.abs();
    if !(1e-3..1e5).contains(&size) {
        let text = format!("{value:.2e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", trimmed(digits));
    }
    let decimals = (2 - size.log10().floor() as i32).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { trimmed(&text) }
}

/// Removes zeros after the decimal point, and the sign of zero.
fn trimmed(text: &str) -> String {
    if !text.contains('.') {
        return text.to_owned();
    }
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

/// Writes a whole number in groups of three digits.
pub(crate) fn count(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// Writes a share as per cent.
pub(crate) fn percent(share: f64) -> String {
    if share.is_nan() {
        "–".to_owned()
    } else {
        format!("{}\u{a0}%", trimmed(&format!("{:.1}", share * 100.0)))
    }
}

/// Bytes in the largest unit that leaves a number of 1 or more.
pub(crate) fn bytes(value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    if !value.is_finite() {
        return "–".to_owned();
    }
    let mut unit = 0;
    let mut value = value;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value >= 100.0 || unit == 0 { format!("{value:.0}") } else { plain(value) };
    format!("{digits}\u{a0}{}", UNITS[unit])
}

/// Writes floating-point operations, in the unit that leaves few digits.
pub(crate) fn flops(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let (unit, size) = flop_unit(value.abs());
    format!("{}\u{a0}{unit}", plain(value / size))
}

/// Writes a short time: three digits and a unit.
pub(crate) fn seconds(value: f64) -> String {
    if !value.is_finite() {
        "–".to_owned()
    } else if value == 0.0 {
        "0\u{a0}s".to_owned()
    } else if value.abs() < 1e-3 {
        format!("{}\u{a0}µs", plain(value * 1e6))
    } else if value.abs() < 1.0 {
        format!("{}\u{a0}ms", plain(value * 1e3))
    } else {
        format!("{}\u{a0}s", plain(value))
    }
}

/// Writes a time as minutes and hours.
pub(crate) fn long_seconds(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value < 100.0 {
        return seconds(value);
    }
    let whole = value.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, seconds) => format!("{minutes}\u{a0}min\u{a0}{seconds:02}\u{a0}s"),
        (hours, minutes, _) => format!("{hours}\u{a0}h\u{a0}{minutes:02}\u{a0}min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let table = [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.005, "0.005"),
            (0.01234, "0.0123"),
            (123.456, "123"),
            (99_999.0, "99999"),
            (100_000.0, "1e5"),
            (1.25e-7, "1.25e-7"),
            (f64::NAN, "–"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in table {
            assert_eq!(plain(value), text);
        }
    }

    #[test]
    fn zero_has_no_sign() {
        for share in [0.0, -0.0, 0.0004, -0.0004] {
            assert_eq!(spaced(percent(share)), "0 %", "{share}");
        }
        assert_eq!(spaced(percent(-0.001)), "-0.1 %");
    }

    fn spaced(text: String) -> String {
        text.replace('\u{a0}', " ")
    }

    #[test]
    fn units_are_chosen() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567", "-12,000"],
            [0.0, 999.0, 1e3, 1_234_567.0, -12e3].map(count).each_ref().map(String::as_str)
        );
        assert_eq!(spaced(percent(0.1234)), "12.3 %");
        assert_eq!(spaced(percent(1.0)), "100 %");
        assert_eq!(spaced(bytes(512.0)), "512 B");
        assert_eq!(spaced(bytes(1536.0 * 1024.0)), "1.5 MiB");
        assert_eq!(spaced(flops(5.32e11)), "532 GFLOP");
        assert_eq!(spaced(flops(1.5e15)), "1.5 PFLOP");
        assert_eq!(spaced(seconds(0.0125)), "12.5 ms");
        assert_eq!(spaced(seconds(2e-6)), "2 µs");
        assert_eq!(spaced(long_seconds(62.0)), "62 s");
        assert_eq!(spaced(long_seconds(125.0)), "2 min 05 s");
        assert_eq!(spaced(long_seconds(3725.0)), "1 h 02 min");
        assert_eq!(spaced(long_seconds(f64::NAN)), "–");
    }
}
