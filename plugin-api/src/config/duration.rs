//! Spans of time as configuration writes them: `1h30m`, `250ms`, `1.5d`, or a number of seconds.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit0, digit1};
use nom::combinator::{opt, recognize, value};
use nom::{IResult, Parser};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::text;
use super::value::{ConfigValue, Kind};

const HINT: &str = "write for instance \"10s\", \"1h30m\" or \"250ms\" \
     (units ns, us, ms, s, m, h, d), or a number of seconds";

/// What a nanosecond count in 64 bits can hold, some 292 years: the longest duration that is
/// accepted.
const NANOS_MAX: u128 = i64::MAX as u128;

/// A span of time in a plugin's options. It reads Go's notation with `d` for days, and plain
/// numbers as seconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

impl Duration {
    pub const ZERO: Self = Self(std::time::Duration::ZERO);

    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    pub const fn from_micros(microseconds: u64) -> Self {
        Self(std::time::Duration::from_micros(microseconds))
    }

    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(std::time::Duration::from_nanos(nanoseconds))
    }

    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// Nanoseconds, at most `i64::MAX`.
    pub fn nanos(self) -> i64 {
        i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)
    }

    /// A number of seconds, as TOML's floats give it.
    pub fn from_seconds_f64(seconds: f64) -> Result<Self, String> {
        if !seconds.is_finite() {
            return Err(format!("{seconds} is not a duration; {HINT}"));
        }
        if seconds < 0.0 {
            return Err(format!("a duration must not be negative, and {seconds} is"));
        }
        let nanos = seconds * 1e9;
        if nanos > NANOS_MAX as f64 {
            return Err(format!(
                "a duration of {seconds} seconds is too long, the limit is 292 years"
            ));
        }
        // A float holds no more than microseconds of a long time: rounding keeps 0.1 s at 100 ms.
        Ok(Self::from_nanos(nanos.round() as u64))
    }
}

impl Deref for Duration {
    type Target = std::time::Duration;

    fn deref(&self) -> &std::time::Duration {
        &self.0
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(duration)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

fn number(input: &str) -> IResult<&str, (&str, &str)> {
    let fraction = || opt((char('.'), digit0)).map(|f| f.map_or("", |(_, digits)| digits));
    alt(((digit1, fraction()), (char('.'), digit1).map(|(_, digits)| ("", digits)))).parse(input)
}

/// The unit's length in nanoseconds. Longer names stand before those they begin with.
fn unit(input: &str) -> IResult<&str, u128> {
    alt((
        value(1, tag("ns")),
        value(1_000, alt((tag("us"), tag("µs"), tag("μs")))),
        value(1_000_000, tag("ms")),
        value(1_000_000_000, tag("s")),
        value(60_000_000_000, tag("m")),
        value(3_600_000_000_000, tag("h")),
        value(86_400_000_000_000, tag("d")),
    ))
    .parse(input)
}

fn nanos((whole, fraction): (&str, &str), unit: u128) -> Option<u128> {
    let mut sum: u128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    sum = sum.checked_mul(unit)?;
    // Eighteen digits are finer than a nanosecond of the longest unit.
    let digits = &fraction[..fraction.len().min(18)];
    if !digits.is_empty() {
        sum += digits.parse::<u128>().ok()? * unit / 10u128.pow(digits.len() as u32);
    }
    (sum <= NANOS_MAX).then_some(sum)
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(Self::ZERO);
        }
        let too_long = || format!("the duration \"{text}\" is too long, the limit is 292 years");
        if trimmed.starts_with('-') {
            return Err(format!("a duration must not be negative, and \"{text}\" is"));
        }
        let mut rest = trimmed.strip_prefix('+').unwrap_or(trimmed);
        let mut sum: u128 = 0;
        let mut first = true;
        loop {
            let Ok((after_number, parts)) = number(rest) else {
                let from = trimmed.len() - rest.len();
                return Err(match trimmed[..from].trim_end_matches('+') {
                    "" => format!("\"{text}\" is not a duration; {HINT}"),
                    done => {
                        format!("\"{text}\" is not a duration: no number after \"{done}\"; {HINT}")
                    }
                });
            };
            if after_number.is_empty() && first {
                return nanos(parts, 1_000_000_000)
                    .map(|n| Self::from_nanos(n as u64))
                    .ok_or_else(too_long);
            }
            let Ok((after_unit, unit)) = unit(after_number) else {
                let word: IResult<&str, &str> =
                    recognize(take_while1(|c: char| !c.is_ascii_digit() && c != '.'))
                        .parse(after_number);
                return Err(match word {
                    Ok((_, word)) => {
                        format!("\"{text}\" is not a duration: unknown unit \"{word}\"; {HINT}")
                    }
                    Err(_) => {
                        format!("\"{text}\" is not a duration: the last number has no unit; {HINT}")
                    }
                });
            };
            sum += nanos(parts, unit).ok_or_else(too_long)?;
            if sum > NANOS_MAX {
                return Err(too_long());
            }
            first = false;
            rest = after_unit;
            if rest.is_empty() {
                return Ok(Self::from_nanos(sum as u64));
            }
        }
    }
}

/// The shortest notation that reads back as the same duration: `1h30m`, `1.5s`, `250ms`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        let mut rest = nanos;
        for (unit, name) in [(3_600_000_000_000, "h"), (60_000_000_000, "m")] {
            if rest >= unit {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        if rest == 0 {
            return Ok(());
        }
        let (unit, name) = match rest {
            1_000_000_000.. => (1_000_000_000, "s"),
            1_000_000.. => (1_000_000, "ms"),
            1_000.. => (1_000, "us"),
            _ => (1, "ns"),
        };
        write!(f, "{}", rest / unit)?;
        if !rest.is_multiple_of(unit) {
            let digits = unit.ilog10() as usize;
            let fraction = format!("{:0digits$}", rest % unit);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str(name)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"10s\" or a number of seconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        let seconds = u64::try_from(seconds)
            .map_err(|_| E::custom(format!("a duration must not be negative, and {seconds} is")))?;
        self.visit_u64(seconds)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        if u128::from(seconds) * 1_000_000_000 > NANOS_MAX {
            return Err(E::custom(format!(
                "a duration of {seconds} seconds is too long, the limit is 292 years"
            )));
        }
        Ok(Duration::from_secs(seconds))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        Duration::from_seconds_f64(seconds).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

impl ConfigValue for Duration {
    fn kind() -> Kind {
        Kind::Duration
    }

    fn to_text(&self) -> Option<String> {
        Some(text::quote(&self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_notation() {
        let check = |text: &str, nanos: u64| {
            assert_eq!(text.parse::<Duration>(), Ok(Duration::from_nanos(nanos)), "{text}");
        };
        check("1h30m", 5_400_000_000_000);
        check("250ms", 250_000_000);
        check("1d", 86_400_000_000_000);
        check("1.5s", 1_500_000_000);
        check(".5s", 500_000_000);
        check("1.s", 1_000_000_000);
        check("7ns", 7);
        check("2us", 2_000);
        check("2µs", 2_000);
        check("2μs", 2_000);
        check("1m1ms", 60_001_000_000);
        check("1d12h", 129_600_000_000_000);
        check("0", 0);
        check("10", 10_000_000_000);
        check("0.25", 250_000_000);
        check("+3s", 3_000_000_000);
        check(" 3s ", 3_000_000_000);
        check("", 0);
        check("0.1s", 100_000_000);
        check("0.3333333333333333333333333s", 333_333_333);
        check("9223372036854775807ns", i64::MAX as u64);
    }

    #[test]
    fn refuses_with_the_reason() {
        let check = |text: &str, part: &str| {
            let error = text.parse::<Duration>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("ten", "\"ten\" is not a duration");
        check("10x", "unknown unit \"x\"");
        check("10sec", "no number after \"10s\"");
        check("10 s", "unknown unit \" s\"");
        check("1h30", "the last number has no unit");
        check("-5s", "must not be negative");
        check("300000d", "too long");
        check("99999999999999999999s", "too long");
        check("9223372036s9223372036s", "too long");
        check(".", "is not a duration");
        check("s", "is not a duration");
        check("++1s", "is not a duration");
    }

    #[test]
    fn toml_numbers_are_seconds() {
        #[derive(serde::Deserialize)]
        struct T {
            d: Duration,
        }
        let check = |text: &str, nanos: u64| {
            assert_eq!(toml::from_str::<T>(text).unwrap().d, Duration::from_nanos(nanos));
        };
        check("d = 3", 3_000_000_000);
        check("d = 0.5", 500_000_000);
        check("d = '3s'", 3_000_000_000);
        for bad in
            ["d = -1", "d = -0.5", "d = nan", "d = inf", "d = true", "d = 9223372037", "d = []"]
        {
            assert!(toml::from_str::<T>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn display_reads_back() {
        let mut seed = 7u64;
        let mut sample =
            vec![0, 1, 999, 1000, 1500, 86_400_000_000_000, i64::MAX as u64, 90_061_001_002_003];
        for shift in 0..60 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            sample.push((seed >> 1) >> shift);
        }
        for nanos in sample {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(duration.to_string().parse(), Ok(duration), "{duration}");
        }
        assert_eq!(Duration::from_secs(5400).to_string(), "1h30m");
        assert_eq!(Duration::from_millis(1500).to_string(), "1.5s");
        assert_eq!(Duration::from_secs(10).to_string(), "10s");
    }
}
