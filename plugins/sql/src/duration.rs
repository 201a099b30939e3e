//! Lengths of time in statements: `'10s'`, `'1h30m'`, `'5 seconds'`, `'1 day 2 hours'`.

/// Nanoseconds of a text; `None` if it is no length of time or does not fit 64 bits.
pub fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.trim().strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.trim()),
    };
    let mut total = 0_i128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (word, tail) = tail.split_at(letters);
        total = total.checked_add(scale(number, unit(word)?)?)?;
        rest = tail.trim_start();
    }
    if text.trim().is_empty() || text.trim() == "-" {
        return None;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// Nanoseconds of a unit, by any of its names.
pub fn unit(word: &str) -> Option<i64> {
    const SECOND: i64 = 1_000_000_000;
    Some(match word.to_lowercase().as_str() {
        "ns" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "microsecond" | "microseconds" => 1_000,
        "ms" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hour" | "hours" => 3_600 * SECOND,
        "d" | "day" | "days" => 86_400 * SECOND,
        "w" | "week" | "weeks" => 7 * 86_400 * SECOND,
        _ => return None,
    })
}

fn scale(number: &str, unit: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
    let places = u32::try_from(fraction.len()).ok()?;
    let part = digits(fraction)?.checked_mul(i128::from(unit))? / 10_i128.checked_pow(places)?;
    digits(whole)?.checked_mul(i128::from(unit))?.checked_add(part)
}

/// Writes nanoseconds in the largest units: `1m30s`.
pub fn text(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if nanos < 0 {
        out.push('-');
    }
    let mut left = nanos.unsigned_abs();
    for (name, size) in [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ] {
        let count: u64 = left / size;
        if count > 0 {
            out.push_str(&format!("{count}{name}"));
            left %= size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        const S: i64 = 1_000_000_000;
        for (text, nanos) in [
            ("10s", 10 * S),
            ("1h30m", 5400 * S),
            ("10 seconds", 10 * S),
            (" 1 day 2 hours ", 26 * 3600 * S),
            ("1.5s", 1_500_000_000),
            ("-1m", -60 * S),
            ("250ms", 250_000_000),
            ("2w", 14 * 86_400 * S),
        ] {
            assert_eq!(parse(text), Some(nanos), "{text}");
        }
        for text in ["", "10", "s", "10x", "1.2.3s", "1 month", "999999999999w", "-", "."] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(text(5400 * S), "1h30m");
        assert_eq!(text(-1_500_000_000), "-1s500ms");
        assert_eq!(text(0), "0s");
    }
}
