//! Numbers of bytes as configuration writes them: `10MB`, `64KiB`, or a plain number.

use std::fmt;
use std::str::FromStr;

use nom::character::complete::{alpha0, char, digit1, multispace0};
use nom::combinator::opt;
use nom::{IResult, Parser};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::text;
use super::value::{ConfigValue, Kind};

const HINT: &str =
    "write for instance \"10MB\" (10,000,000), \"64KiB\" (65,536) or a number of bytes";

/// What TOML's integers can hold: the largest size that is accepted.
const BYTES_MAX: u128 = i64::MAX as u128;

const UNITS: [(&str, u64); 11] = [
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
    ("PB", 1_000_000_000_000_000),
    ("PiB", 1 << 50),
];

/// A number of bytes in a plugin's options. `kB`, `MB`, `GB` count by 1000, `KiB`, `MiB`, `GiB` by
/// 1024; the case of the letters does not matter, and a blank may stand before the unit.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    /// As a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl From<u64> for Size {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl From<Size> for u64 {
    fn from(size: Size) -> Self {
        size.0
    }
}

type Parts<'a> = (&'a str, Option<&'a str>, &'a str);

fn parts(input: &str) -> IResult<&str, Parts<'_>> {
    let fraction = (char('.'), digit1).map(|(_, digits)| digits);
    (digit1, opt(fraction), multispace0, alpha0)
        .map(|(whole, fraction, _, unit)| (whole, fraction, unit))
        .parse(input)
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if trimmed.starts_with('-') {
            return Err(format!("a size must not be negative, and \"{text}\" is"));
        }
        let Ok(("", (whole, fraction, unit))) = parts(trimmed) else {
            return Err(format!("\"{text}\" is not a size; {HINT}"));
        };
        let factor = if unit.is_empty() {
            1
        } else {
            match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
                Some((_, factor)) => u128::from(*factor),
                None => {
                    let names = UNITS.map(|(name, _)| name).join(", ");
                    return Err(format!(
                        "\"{text}\" is not a size: unknown unit \"{unit}\"; the units are {names}"
                    ));
                }
            }
        };
        let too_large = || format!("the size \"{text}\" is too large, the limit is 8 EiB");
        let mut sum = whole.parse::<u64>().map(u128::from).map_err(|_| too_large())? * factor;
        if let Some(digits) = fraction {
            let digits = &digits[..digits.len().min(18)];
            let digits_value = digits.parse::<u128>().map_err(|_| too_large())?;
            sum += digits_value * factor / 10u128.pow(digits.len() as u32);
        }
        if sum > BYTES_MAX {
            return Err(too_large());
        }
        Ok(Self(sum as u64))
    }
}

/// In the largest unit that divides it, so that it reads back as the same number.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().rev().find(|(_, factor)| self.0.is_multiple_of(*factor));
        match whole {
            Some((name, factor)) if self.0 > 0 => write!(f, "{}{name}", self.0 / factor),
            _ => write!(f, "{}B", self.0),
        }
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"10MB\" or a number of bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
        u64::try_from(bytes)
            .map(Size)
            .map_err(|_| E::custom(format!("a size must not be negative, and {bytes} is")))
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
        if u128::from(bytes) > BYTES_MAX {
            return Err(E::custom(format!("the size {bytes} is too large, the limit is 8 EiB")));
        }
        Ok(Size(bytes))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl ConfigValue for Size {
    fn kind() -> Kind {
        Kind::Size
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
        let check = |text: &str, bytes: u64| {
            assert_eq!(text.parse::<Size>(), Ok(Size::bytes(bytes)), "{text}");
        };
        check("10MB", 10_000_000);
        check("10 MB", 10_000_000);
        check("64KiB", 65_536);
        check("64kib", 65_536);
        check("1.5GiB", 3 << 29);
        check("0", 0);
        check("123", 123);
        check("123B", 123);
        check("1PiB", 1 << 50);
        check("0.5kB", 500);
        check(" 2TB ", 2_000_000_000_000);
    }

    #[test]
    fn refuses_with_the_reason() {
        let check = |text: &str, part: &str| {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("", "is not a size");
        check("MB", "is not a size");
        check("10 XB", "unknown unit \"XB\"");
        check("10K", "unknown unit \"K\"");
        check("-1", "must not be negative");
        check("1.MB", "is not a size");
        check("10MB 3", "is not a size");
        check("99999999999999999999", "too large");
        check("9000PiB", "too large");
    }

    #[test]
    fn display_reads_back() {
        for bytes in [0, 1, 1000, 1023, 1024, 64 << 20, 10_000_000, 1 << 50, i64::MAX as u64, 1536]
        {
            let size = Size::bytes(bytes);
            assert_eq!(size.to_string().parse(), Ok(size), "{size}");
        }
        assert_eq!(Size::mib(64).to_string(), "64MiB");
        assert_eq!(Size::bytes(10_000_000).to_string(), "10MB");
    }

    #[test]
    fn toml_integers_are_bytes() {
        #[derive(serde::Deserialize)]
        struct T {
            s: Size,
        }
        assert_eq!(toml::from_str::<T>("s = 3").unwrap().s, Size::bytes(3));
        assert_eq!(toml::from_str::<T>("s = '3 KiB'").unwrap().s, Size::kib(3));
        for bad in ["s = -1", "s = 1.5", "s = true", "s = 9223372036854775808"] {
            assert!(toml::from_str::<T>(bad).is_err(), "{bad}");
        }
    }
}
