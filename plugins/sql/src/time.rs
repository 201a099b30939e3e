//! Civil time: from nanoseconds since the epoch to years and days and back, in UTC.

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds of a day.
pub const DAY: i64 = 86_400 * SECOND;

/// A day of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

/// The date of a number of days since the epoch.
pub fn date(days: i64) -> Date {
    // Years begin in March here, so that the leap day ends one.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 };
    Date { year: year + era * 400 + i64::from(month <= 2), month: month as u32, day }
}

/// Days since the epoch of a date.
pub fn days(date: Date) -> i64 {
    let year = date.year - i64::from(date.month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = i64::from(if date.month > 2 { date.month - 3 } else { date.month + 9 });
    let of_year = (153 * month + 2) / 5 + i64::from(date.day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn month_length(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads `2024-05-01`, `2024-05-01 12:00:00.5`, `2024-05-01T12:00:00+02:00`. Without a zone it is
/// UTC.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let (day, rest) = match text.find(['T', 't', ' ']) {
        Some(at) if at + 1 < text.len() => (&text[..at], &text[at + 1..]),
        Some(_) => return None,
        None => (text, ""),
    };
    let mut parts = day.split('-');
    let year = number(parts.next()?, 4, 4)?;
    let month = number(parts.next()?, 2, 2)? as u32;
    let day = number(parts.next()?, 2, 2)? as u32;
    if parts.next().is_some()
        || !(1..=12).contains(&month)
        || day < 1
        || day > month_length(year, month)
    {
        return None;
    }
    let (clock, shift) = zone(rest)?;
    let nanos = if rest.is_empty() { 0 } else { clock_nanos(clock)? };
    let total =
        i128::from(days(Date { year, month, day })) * i128::from(DAY) + i128::from(nanos - shift);
    i64::try_from(total).ok()
}

fn number(text: &str, min: usize, max: usize) -> Option<i64> {
    let digits = text.len() >= min && text.len() <= max && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The clock without its zone, and the zone in nanoseconds east of Greenwich.
fn zone(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, 0)) };
    let digits = text[at + 1..].replace(':', "");
    let minutes = match digits.len() {
        2 => number(&digits, 2, 2)? * 60,
        4 => number(&digits[..2], 2, 2)? * 60 + number(&digits[2..], 2, 2)?,
        _ => return None,
    };
    let sign = if text[at..].starts_with('-') { -1 } else { 1 };
    Some((&text[..at], sign * minutes * 60 * SECOND))
}

fn clock_nanos(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let hours = number(parts.next()?, 2, 2)?;
    let minutes = number(parts.next()?, 2, 2)?;
    let (seconds, nanos) = match parts.next() {
        None => (0, 0),
        Some(text) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
            number(fraction, 1, 18)?;
            (number(whole, 2, 2)?, number(&digits, 9, 9)?)
        }
    };
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    Some((hours * 3600 + minutes * 60 + seconds) * SECOND + nanos)
}

/// Writes a time as RFC 3339 in UTC, with as many places as it has.
pub fn text(nanos: i64) -> String {
    let Date { year, month, day } = date(nanos.div_euclid(DAY));
    let of_day = nanos.rem_euclid(DAY);
    let (seconds, nanos) = (of_day / SECOND, of_day % SECOND);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut out = format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}");
    if nanos != 0 {
        out.push_str(format!(".{nanos:09}").trim_end_matches('0'));
    }
    out.push('Z');
    out
}

/// Cuts a time down to the beginning of a unit, as `date_trunc` does; `None` for an unknown unit.
pub fn truncate(unit: &str, nanos: i64) -> Option<i64> {
    let day = nanos.div_euclid(DAY);
    let Date { year, month, .. } = date(day);
    let to = |year, month| days(Date { year, month, day: 1 }).checked_mul(DAY);
    let grid = |size: i64| nanos.checked_sub(nanos.rem_euclid(size));
    match unit {
        "microsecond" => grid(1_000),
        "millisecond" => grid(1_000_000),
        "second" => grid(SECOND),
        "minute" => grid(60 * SECOND),
        "hour" => grid(3600 * SECOND),
        "day" => grid(DAY),
        // The epoch was a Thursday; weeks begin on Monday.
        "week" => (day - (day + 3).rem_euclid(7)).checked_mul(DAY),
        "month" => to(year, month),
        "quarter" => to(year, (month - 1) / 3 * 3 + 1),
        "year" => to(year, 1),
        _ => None,
    }
}

/// Seconds since the epoch, as exact as a float can be.
pub fn seconds(nanos: i64) -> f64 {
    // Apart, so that the nanoseconds are not rounded off first; both of one sign, so that none are lost.
    (nanos / SECOND) as f64 + (nanos % SECOND) as f64 / 1e9
}

/// A unit or part as [`truncate`] and [`extract`] call it: in small letters, one of several. What is
/// none stays as it is.
pub fn unit(written: &str) -> &str {
    let singular = written.strip_suffix(['s', 'S']);
    let is = |known: &&&str| {
        written.eq_ignore_ascii_case(known)
            || singular.is_some_and(|one| one.eq_ignore_ascii_case(known))
    };
    TRUNCATE_UNITS.iter().chain(EXTRACT_PARTS).find(is).map_or(written, |known| *known)
}

/// The units that [`truncate`] knows.
pub const TRUNCATE_UNITS: &[&str] = &[
    "microsecond",
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
];

/// A part of a time, as `extract` gives it; `None` for an unknown part.
pub fn extract(part: &str, nanos: i64) -> Option<f64> {
    let day = nanos.div_euclid(DAY);
    let of_day = nanos.rem_euclid(DAY);
    let Date { year, month, day: of_month } = date(day);
    let of_minute = (of_day % (60 * SECOND)) as f64;
    Some(match part {
        "epoch" => seconds(nanos),
        "nanosecond" => of_minute,
        "microsecond" => of_minute / 1e3,
        "millisecond" => of_minute / 1e6,
        "second" => of_minute / 1e9,
        "minute" => (of_day / (60 * SECOND) % 60) as f64,
        "hour" => (of_day / (3600 * SECOND)) as f64,
        "day" => f64::from(of_month),
        "month" => f64::from(month),
        "quarter" => f64::from((month - 1) / 3 + 1),
        "year" => year as f64,
        "week" | "isoyear" => {
            // A week belongs to the year that its Thursday is in.
            let thursday = day - (day + 3).rem_euclid(7) + 3;
            let year = date(thursday).year;
            match part {
                "isoyear" => year as f64,
                _ => ((thursday - days(Date { year, month: 1, day: 1 })) / 7 + 1) as f64,
            }
        }
        "dow" => (day + 4).rem_euclid(7) as f64,
        "isodow" => ((day + 3).rem_euclid(7) + 1) as f64,
        "doy" => (day - days(Date { year, month: 1, day: 1 }) + 1) as f64,
        _ => return None,
    })
}

/// The parts that [`extract`] knows.
pub const EXTRACT_PARTS: &[&str] = &[
    "epoch",
    "nanosecond",
    "microsecond",
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "isoyear",
    "dow",
    "isodow",
    "doy",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_and_write() {
        for (text_in, seconds) in [
            ("1970-01-01", 0),
            ("2024-02-29T12:34:56Z", 1_709_210_096),
            ("2024-02-29 14:34:56+02:00", 1_709_210_096),
            ("2024-02-29T12:34:56-0000", 1_709_210_096),
            ("1969-12-31T23:59", -60),
        ] {
            assert_eq!(parse(text_in), Some(seconds * SECOND), "{text_in}");
        }
        assert_eq!(parse("2024-01-01T00:00:00.25Z").unwrap() % SECOND, 250_000_000);
        for bad in [
            "",
            "2024",
            "2024-05-01T",
            "2023-02-29",
            "2024-13-01",
            "2024-01-01T25:00",
            "3000-01-01",
            "x",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for nanos in [0, -1, 1_709_210_096_250_000_000, i64::MIN, i64::MAX] {
            assert_eq!(parse(&text(nanos)), Some(nanos), "{}", text(nanos));
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in -150_000..150_000 {
            assert_eq!(days(date(day)), day);
        }
        assert_eq!(date(19_782), Date { year: 2024, month: 2, day: 29 });
    }

    #[test]
    fn units_and_parts() {
        let time = parse("2024-08-15T13:45:30.5Z").unwrap();
        let cut = |unit| text(truncate(unit, time).unwrap());
        assert_eq!(cut("hour"), "2024-08-15T13:00:00Z");
        assert_eq!(cut("week"), "2024-08-12T00:00:00Z");
        assert_eq!(cut("quarter"), "2024-07-01T00:00:00Z");
        assert_eq!(cut("year"), "2024-01-01T00:00:00Z");
        assert_eq!(truncate("age", time), None);
        let part = |name| extract(name, time).unwrap();
        assert_eq!((part("dow"), part("isodow"), part("doy")), (4.0, 4.0, 228.0));
        assert_eq!((part("second"), part("minute"), part("quarter")), (30.5, 45.0, 3.0));
        for (written, known) in [
            ("HOUR", "hour"),
            ("Hours", "hour"),
            ("days", "day"),
            ("milliseconds", "millisecond"),
            ("NANOSECONDS", "nanosecond"),
            ("DOW", "dow"),
            ("s", "s"),
            ("hourss", "hourss"),
            ("ages", "ages"),
            ("", ""),
        ] {
            assert_eq!(unit(written), known);
        }
        let week = |time: &str| {
            let time = parse(time).unwrap();
            (extract("isoyear", time).unwrap(), extract("week", time).unwrap())
        };
        assert_eq!(week("2024-08-15"), (2024.0, 33.0));
        assert_eq!(week("2021-01-03"), (2020.0, 53.0));
        assert_eq!(week("2021-01-04"), (2021.0, 1.0));
        assert_eq!(week("2024-12-30"), (2025.0, 1.0));
        assert_eq!(week("1969-12-31T23:59:59Z"), (1970.0, 1.0));
        assert_eq!(week("1962-12-30"), (1962.0, 52.0));
        for name in EXTRACT_PARTS {
            assert!(extract(name, time).is_some(), "{name}");
        }
        for unit in TRUNCATE_UNITS {
            assert!(truncate(unit, time).is_some(), "{unit}");
        }
    }
}
