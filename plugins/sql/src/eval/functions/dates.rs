//! Dates and clocks in time zones: what `date_trunc`, `date_bin` and `extract` do where a zone is named.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::time::{self, DAY};

/// The zone of that name; `None` if the system has none.
pub fn zone(name: &str) -> Option<TimeZone> {
    // Names of the process's own settings, such as a file's path, are none.
    if name.is_empty() || name.starts_with(['/', ':', '.']) || name.contains("..") {
        return None;
    }
    TimeZone::get(name).ok()
}

/// How far the zone's clock is ahead of UTC at a time, nanoseconds.
fn ahead(zone: &TimeZone, nanos: i64) -> Option<i64> {
    let at = Timestamp::from_nanosecond(nanos.into()).ok()?;
    Some(i64::from(zone.to_offset(at).seconds()) * time::SECOND)
}

/// What the zone's clock shows at a time, as if that were UTC.
fn shown(zone: &TimeZone, nanos: i64) -> Option<i64> {
    nanos.checked_add(ahead(zone, nanos)?)
}

/// When the zone's clock shows that. What it shows twice is meant the first time; what it never shows is
/// as late as if the clock had not been set forward.
fn when(zone: &TimeZone, shown: i64) -> Option<i64> {
    let at = Timestamp::from_nanosecond(shown.into()).ok()?;
    let time = zone.to_timestamp(Offset::UTC.to_datetime(at)).ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// Cuts a time down to the beginning of a unit of the zone's clock and calendar.
pub fn truncate(unit: &str, nanos: i64, zone: &TimeZone) -> Option<i64> {
    let ahead = ahead(zone, nanos)?;
    let cut = time::truncate(unit, nanos.checked_add(ahead)?)?;
    match unit {
        "day" | "week" | "month" | "quarter" | "year" => when(zone, cut),
        // Within an hour that comes twice the clock does not tell which one it is.
        _ => cut.checked_sub(ahead),
    }
}

/// A part of a time, by the zone's clock and calendar.
pub fn extract(part: &str, nanos: i64, zone: &TimeZone) -> Option<f64> {
    match part {
        "epoch" => time::extract(part, nanos),
        _ => time::extract(part, shown(zone, nanos)?),
    }
}

/// The beginning of the stretch of that length that holds the time, counted from `origin` by the zone's
/// clock: stretches of whole days begin at its midnights.
pub fn bin(step: i64, nanos: i64, origin: i64, zone: &TimeZone) -> Option<i64> {
    let ahead = ahead(zone, nanos)?;
    let local = i128::from(nanos) + i128::from(ahead);
    let into = (local - i128::from(origin)).rem_euclid(i128::from(step));
    let start = i64::try_from(local - into).ok()?;
    if step % DAY == 0 { when(zone, start) } else { start.checked_sub(ahead) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        zone("Europe/Berlin").unwrap()
    }

    fn at(text: &str) -> i64 {
        time::parse(text).unwrap()
    }

    #[test]
    fn days_begin_at_midnight_also_when_the_clock_is_set() {
        let check = |unit: &str, time: &str, wanted: &str| {
            let got = time::text(truncate(unit, at(time), &berlin()).unwrap());
            assert_eq!(got, wanted, "{unit} of {time}");
        };
        check("day", "2024-03-31T12:00:00Z", "2024-03-30T23:00:00Z");
        check("day", "2024-03-30T22:59:59Z", "2024-03-29T23:00:00Z");
        check("day", "2024-10-27T22:00:00Z", "2024-10-26T22:00:00Z");
        check("month", "2024-04-15T00:00:00Z", "2024-03-31T22:00:00Z");
        check("year", "2023-12-31T23:30:00Z", "2023-12-31T23:00:00Z");
        // The hour from two to three comes twice.
        check("hour", "2024-10-27T00:30:00Z", "2024-10-27T00:00:00Z");
        check("hour", "2024-10-27T01:30:00Z", "2024-10-27T01:00:00Z");
        check("week", "2024-04-01T01:00:00Z", "2024-03-31T22:00:00Z");
    }

    #[test]
    fn parts_and_stretches() {
        let time = at("2024-07-01T22:30:00Z");
        assert_eq!(extract("hour", time, &berlin()), Some(0.0));
        assert_eq!(extract("day", time, &berlin()), Some(2.0));
        assert_eq!(extract("epoch", time, &berlin()), time::extract("epoch", time));
        let kolkata = zone("Asia/Kolkata").unwrap();
        assert_eq!(extract("minute", time, &kolkata), Some(0.0));
        let start = bin(DAY, time, 0, &berlin()).unwrap();
        assert_eq!(time::text(start), "2024-07-01T22:00:00Z");
        let start = bin(DAY / 4, at("2024-07-01T20:00:00Z"), 0, &berlin()).unwrap();
        assert_eq!(time::text(start), "2024-07-01T16:00:00Z");
    }

    #[test]
    fn ends_of_time_and_names_that_are_none() {
        for nanos in [i64::MIN, i64::MAX, 0] {
            let _ = truncate("year", nanos, &berlin());
            let _ = bin(i64::MAX, nanos, i64::MIN, &berlin());
            let _ = extract("dow", nanos, &berlin());
        }
        for name in ["", "Europe/Nowhere", "/etc/passwd", "../x", ":x", "x/../UTC"] {
            assert!(zone(name).is_none(), "{name}");
        }
        assert!(zone("UTC").is_some());
    }
}
