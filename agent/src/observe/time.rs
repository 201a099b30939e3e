//! Points in time as RFC 3339 text, for log lines and file names.

use std::fmt::Write;

use super::zone::Zone;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// How much of a second is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    Seconds,
    /// Up to nine digits, without the zeros at the end.
    Nanoseconds,
}

/// Year, month (1 to 12) and day of a day counted from 1970-01-01.
///
/// The calendar is shifted to begin in March, so that the leap day ends its year, and counted in
/// eras of 400 years, which all have the same number of days.
pub fn date_of_day(day: i64) -> (i64, u32, u32) {
    const DAYS_PER_ERA: i64 = 146_097;
    let shifted = day + 719_468;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month as u32, day_of_month as u32)
}

/// The day, counted from 1970-01-01, of a date.
pub fn day_of_date(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Appends `2026-11-21T09:00:00Z`, or with the zone's offset `2026-11-21T10:00:00+01:00`.
pub fn push_rfc3339(out: &mut String, time_ns: i64, zone: &Zone, precision: Precision) {
    let seconds = time_ns.div_euclid(NANOS_PER_SECOND);
    let nanos = time_ns.rem_euclid(NANOS_PER_SECOND);
    let offset = zone.offset_at(seconds);
    let local = seconds + i64::from(offset);
    let (year, month, day) = date_of_day(local.div_euclid(SECONDS_PER_DAY));
    let second_of_day = local.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) =
        (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    // Writing to a string cannot fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if precision == Precision::Nanoseconds && nanos != 0 {
        let start = out.len();
        let _ = write!(out, ".{nanos:09}");
        let end = start + out[start..].trim_end_matches('0').len();
        out.truncate(end);
    }
    if offset == 0 {
        out.push('Z');
        return;
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    let _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
}

/// `2026-11-21` in UTC.
pub fn date_text(seconds: i64) -> String {
    let (year, month, day) = date_of_day(seconds.div_euclid(SECONDS_PER_DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(time_ns: i64, precision: Precision) -> String {
        let mut out = String::new();
        push_rfc3339(&mut out, time_ns, &Zone::utc(), precision);
        out
    }

    #[test]
    fn known_moments() {
        let check = |seconds: i64, expected: &str| {
            assert_eq!(text(seconds * NANOS_PER_SECOND, Precision::Seconds), expected);
        };
        check(0, "1970-01-01T00:00:00Z");
        check(-1, "1969-12-31T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_700_000_000, "2023-11-14T22:13:20Z");
        check(4_107_542_399, "2100-02-28T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
        check(-9_223_372_036, "1677-09-21T00:12:44Z");
    }

    #[test]
    fn fractions() {
        let at = 1_700_000_000 * NANOS_PER_SECOND;
        assert_eq!(text(at + 120_000_000, Precision::Nanoseconds), "2023-11-14T22:13:20.12Z");
        assert_eq!(text(at + 1, Precision::Nanoseconds), "2023-11-14T22:13:20.000000001Z");
        assert_eq!(text(at, Precision::Nanoseconds), "2023-11-14T22:13:20Z");
        assert_eq!(text(at + 999_999_999, Precision::Seconds), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn days_and_dates_are_inverse() {
        let mut expected = (1599, 12, 31);
        for day in day_of_date(1600, 1, 1)..day_of_date(2401, 1, 1) {
            let date = date_of_day(day);
            assert_eq!(day_of_date(date.0, date.1, date.2), day);
            assert!(date > expected, "{date:?} follows {expected:?}");
            expected = date;
        }
        assert_eq!(expected, (2400, 12, 31));
    }
}
