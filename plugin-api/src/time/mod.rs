//! Times as text and numbers, by the formats that Telegraf's options name.

mod layout;
mod zone;

pub use layout::Layout;
pub use zone::Zone;

/// Why a time cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotATime {
    /// It is no number.
    NotANumber,
    /// It is no text.
    NotText,
    /// It does not follow the layout.
    Layout,
    /// A part is out of its range, such as the 30th of February.
    Range,
    /// 64 bits of nanoseconds do not hold it.
    Overflow,
}

impl std::fmt::Display for NotATime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NotATime::NotANumber => {
                "the time is no number; correct it, or the option for the time's format"
            }
            NotATime::NotText => {
                "the time is no text, which its layout asks for; correct the option for the time's \
                 format"
            }
            NotATime::Layout => {
                "the time does not follow its layout; correct it, or the option for the time's format"
            }
            NotATime::Range => "a part of the time is out of its range; correct it",
            NotATime::Overflow => {
                "the time is out of range; 64 bits of nanoseconds hold the years 1677 to 2262"
            }
        })
    }
}

/// How a time is written.
#[derive(Debug, Clone)]
pub enum TimeFormat {
    /// A number of units of so many nanoseconds since the epoch.
    Unix(i64),
    /// Text after a layout in Go's notation, in a zone if it names none.
    Layout(Layout, Zone),
}

impl TimeFormat {
    /// The format of an option: `unix`, `unix_ms`, `unix_us`, `unix_ns`, the name of one of Go's
    /// layouts, or a layout.
    pub fn new(format: &str, zone: Zone) -> Result<TimeFormat, String> {
        Ok(match format {
            "unix" => TimeFormat::Unix(1_000_000_000),
            "unix_ms" => TimeFormat::Unix(1_000_000),
            "unix_us" => TimeFormat::Unix(1_000),
            "unix_ns" => TimeFormat::Unix(1),
            layout => TimeFormat::Layout(Layout::new(layout)?, zone),
        })
    }

    /// Reads a time: nanoseconds since the epoch. `is_text` tells a text from a number; a layout
    /// without a year takes that of `now_ns`.
    pub fn read(&self, text: &str, is_text: bool, now_ns: i64) -> Result<i64, NotATime> {
        match self {
            TimeFormat::Unix(unit_ns) => unix(text, *unit_ns),
            TimeFormat::Layout(..) if !is_text => Err(NotATime::NotText),
            TimeFormat::Layout(layout, zone) => layout.read(text, zone, now_ns),
        }
    }
}

/// A decimal number of units, exactly; what is below a nanosecond is cut off. An exponent is read
/// by way of a double.
fn unix(text: &str, unit_ns: i64) -> Result<i64, NotATime> {
    if let Some(nanos) = whole_units(text).and_then(|units| units.checked_mul(unit_ns)) {
        return Ok(nanos);
    }
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, places) = digits.split_once(['.', ',']).unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(places) {
        let value: f64 = text.parse().map_err(|_| NotATime::NotANumber)?;
        if !value.is_finite() {
            return Err(NotATime::NotANumber);
        }
        let nanos = value * unit_ns as f64;
        if nanos.abs() >= i64::MAX as f64 {
            return Err(NotATime::Overflow);
        }
        return Ok(nanos as i64);
    }
    let whole: i128 = whole.parse().map_err(|_| NotATime::Overflow)?;
    let mut nanos = whole.checked_mul(i128::from(unit_ns)).ok_or(NotATime::Overflow)?;
    let mut unit = i128::from(unit_ns);
    for digit in places.bytes().take(18) {
        // Nothing is lost: units are powers of ten.
        unit /= 10;
        nanos += unit * i128::from(digit - b'0');
    }
    i64::try_from(if negative { -nanos } else { nanos }).map_err(|_| NotATime::Overflow)
}

/// What most times are: a whole number, of digits that surely fit.
fn whole_units(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.bytes().try_fold(0_i64, |units, byte| {
        byte.is_ascii_digit().then(|| units * 10 + i64::from(byte - b'0'))
    })
}

/// Days from the epoch to a date of the Gregorian calendar.
pub fn days_of_date(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is their last.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day counted from the epoch.
pub fn date_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Days of a month.
pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days() {
        assert_eq!(days_of_date(1970, 1, 1), 0);
        assert_eq!(days_of_date(2000, 2, 29), 11_016);
        assert_eq!(days_of_date(1969, 12, 31), -1);
        let mut expected = days_of_date(1600, 1, 1);
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_of_date(year, month, day), expected);
                    assert_eq!(date_of_days(expected), (year, month, day));
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn unix_times_are_exact() {
        for (text, unit, expected) in [
            ("1700000000", 1_000_000_000, Ok(1_700_000_000_000_000_000)),
            ("1700000000.123456789", 1_000_000_000, Ok(1_700_000_000_123_456_789)),
            ("1700000000,5", 1_000_000_000, Ok(1_700_000_000_500_000_000)),
            ("-1.5", 1_000_000_000, Ok(-1_500_000_000)),
            ("1700000000123.9", 1_000_000, Ok(1_700_000_000_123_900_000)),
            ("1.7e9", 1_000_000_000, Ok(1_700_000_000_000_000_000)),
            ("5.9", 1, Ok(5)),
            ("9223372036854775808", 1, Err(NotATime::Overflow)),
            ("99999999999999999999999999999999999999999", 1, Err(NotATime::Overflow)),
            ("1e300", 1, Err(NotATime::Overflow)),
            ("", 1, Err(NotATime::NotANumber)),
            ("nan", 1, Err(NotATime::NotANumber)),
            ("12:00", 1, Err(NotATime::NotANumber)),
        ] {
            assert_eq!(unix(text, unit), expected, "{text}");
        }
    }
}
