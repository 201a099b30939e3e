//! Layouts in Go's notation: the reference time Mon Jan 2 15:04:05 MST 2006, written as the times
//! are.

use super::zone::Zone;
use super::{NotATime, date_of_days, days_in_month, days_of_date};

/// Go's named layouts.
const NAMED: [(&str, &str); 13] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UNIXDATE", "Mon Jan _2 15:04:05 MST 2006"),
    ("RUBYDATE", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339NANO", "2006-01-02T15:04:05.999999999Z07:00"),
    ("STAMP", "Jan _2 15:04:05"),
    ("STAMPMILLI", "Jan _2 15:04:05.000"),
    ("STAMPMICRO", "Jan _2 15:04:05.000000"),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A part of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Year,
    YearTwo,
    MonthName {
        long: bool,
    },
    /// `true`: always two digits.
    Month(bool),
    /// Two digits, or with a blank in place of the first, or one.
    Day {
        zero: bool,
        blank: bool,
    },
    YearDay {
        blank: bool,
    },
    Weekday {
        long: bool,
    },
    Hour,
    HourTwelve(bool),
    Minute(bool),
    Second(bool),
    HalfDay {
        upper: bool,
    },
    ZoneName,
    /// `z`: a Z stands for UTC.
    Offset {
        z: bool,
        colons: bool,
        minutes: bool,
        seconds: bool,
    },
    /// So many digits, or any number of them.
    Fraction(Option<usize>),
}

/// Parts with their notation, longest first where one begins another.
fn next_part(text: &str) -> Option<(Part, usize)> {
    let day = |zero, blank| Part::Day { zero, blank };
    let offset = |z, colons, minutes, seconds| Part::Offset { z, colons, minutes, seconds };
    let words = [
        ("January", Part::MonthName { long: true }),
        ("Jan", Part::MonthName { long: false }),
        ("Monday", Part::Weekday { long: true }),
        ("Mon", Part::Weekday { long: false }),
        ("MST", Part::ZoneName),
        ("002", Part::YearDay { blank: false }),
        ("01", Part::Month(true)),
        ("02", day(true, false)),
        ("03", Part::HourTwelve(true)),
        ("04", Part::Minute(true)),
        ("05", Part::Second(true)),
        ("06", Part::YearTwo),
        ("15", Part::Hour),
        ("1", Part::Month(false)),
        ("2006", Part::Year),
        ("2", day(false, false)),
        ("__2", Part::YearDay { blank: true }),
        ("_2", day(false, true)),
        ("3", Part::HourTwelve(false)),
        ("4", Part::Minute(false)),
        ("5", Part::Second(false)),
        ("PM", Part::HalfDay { upper: true }),
        ("pm", Part::HalfDay { upper: false }),
        ("-07:00:00", offset(false, true, true, true)),
        ("-070000", offset(false, false, true, true)),
        ("-07:00", offset(false, true, true, false)),
        ("-0700", offset(false, false, true, false)),
        ("-07", offset(false, false, false, false)),
        ("Z07:00:00", offset(true, true, true, true)),
        ("Z070000", offset(true, false, true, true)),
        ("Z07:00", offset(true, true, true, false)),
        ("Z0700", offset(true, false, true, false)),
        ("Z07", offset(true, false, false, false)),
    ];
    for (word, part) in words {
        // "_2006" is a year behind an underscore, and "Month" is no weekday.
        let behind = text.get(word.len()..).unwrap_or_default();
        let is_other = (word == "_2" && text.starts_with("_2006"))
            || (matches!(word, "Jan" | "Mon")
                && behind.starts_with(|c: char| c.is_ascii_lowercase()));
        if text.starts_with(word) && !is_other {
            return Some((part, word.len()));
        }
    }
    let digit = text.strip_prefix(['.', ','])?.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = text[1..].chars().take_while(|c| *c == digit).count();
    if text[1 + count..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some((Part::Fraction((digit == '0').then_some(count)), 1 + count))
}

/// A layout, ready to read by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    parts: Vec<Part>,
}

/// What was read so far.
struct Parsed {
    year: i64,
    month: i64,
    day: i64,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    afternoon: Option<bool>,
    offset: Option<i64>,
    zone_name: Option<String>,
}

impl Layout {
    /// A layout by its name, such as `RFC3339`, or as it is written.
    pub fn new(layout: &str) -> Result<Layout, String> {
        let named = NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(layout));
        let stamp_nano = "Jan _2 15:04:05.000000000";
        let mut rest = match named {
            Some((_, layout)) => layout,
            None if layout.eq_ignore_ascii_case("STAMPNANO") => stamp_nano,
            None => layout,
        };
        let mut parts = Vec::new();
        let mut literal = String::new();
        while let Some(first) = rest.chars().next() {
            match next_part(rest) {
                Some((part, len)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                    rest = &rest[len..];
                }
                None => {
                    literal.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        if parts.is_empty() {
            return Err(format!(
                "\"{layout}\" has no part of a time; write unix, unix_ms, unix_us, unix_ns, or the time \
                 Mon Jan 2 15:04:05 MST 2006 as your times are written, for instance \"2006-01-02 \
                 15:04:05\""
            ));
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Layout { parts })
    }

    /// Reads a time: nanoseconds since the epoch.
    pub fn read(&self, text: &str, zone: &Zone, now_ns: i64) -> Result<i64, NotATime> {
        let mut parsed = Parsed {
            year: 0,
            month: 1,
            day: 1,
            year_day: None,
            hour: 0,
            minute: 0,
            second: 0,
            nanos: 0,
            afternoon: None,
            offset: None,
            zone_name: None,
        };
        let mut rest = text;
        for (at, part) in self.parts.iter().enumerate() {
            let next = self.parts.get(at + 1);
            rest = parsed.take(part, next, rest).ok_or(NotATime::Layout)?;
        }
        if !rest.is_empty() {
            return Err(NotATime::Layout);
        }
        parsed.finish(zone, now_ns)
    }
}

impl Layout {
    /// Appends a time in nanoseconds since the epoch, in UTC.
    pub fn write(&self, out: &mut String, time_ns: i64) {
        use std::fmt::Write;
        let seconds = time_ns.div_euclid(1_000_000_000);
        let nanos = time_ns.rem_euclid(1_000_000_000);
        let days = seconds.div_euclid(86_400);
        let second_of_day = seconds.rem_euclid(86_400);
        let (year, month, day) = date_of_days(days);
        let (hour, minute, second) =
            (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
        let padded = |out: &mut String, value: i64, zero: bool| {
            let _ = if zero { write!(out, "{value:02}") } else { write!(out, "{value}") };
        };
        for part in &self.parts {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Year => drop(write!(out, "{year:04}")),
                Part::YearTwo => padded(out, year.rem_euclid(100), true),
                Part::MonthName { long } => {
                    let name = MONTHS[(month - 1) as usize % 12];
                    out.push_str(if *long { name } else { &name[..3] });
                }
                Part::Month(two) => padded(out, month, *two),
                Part::Day { zero: false, blank: true } => drop(write!(out, "{day:2}")),
                Part::Day { zero, .. } => padded(out, day, *zero),
                Part::YearDay { blank } => {
                    let day = days - days_of_date(year, 1, 1) + 1;
                    let _ = if *blank { write!(out, "{day:3}") } else { write!(out, "{day:03}") };
                }
                Part::Weekday { long } => {
                    // The epoch was a Thursday.
                    let name = WEEKDAYS[(days + 4).rem_euclid(7) as usize];
                    out.push_str(if *long { name } else { &name[..3] });
                }
                Part::Hour => padded(out, hour, true),
                Part::HourTwelve(two) => padded(out, twelve, *two),
                Part::Minute(two) => padded(out, minute, *two),
                Part::Second(two) => padded(out, second, *two),
                Part::HalfDay { upper } => out.push_str(match (hour >= 12, upper) {
                    (true, true) => "PM",
                    (true, false) => "pm",
                    (false, true) => "AM",
                    (false, false) => "am",
                }),
                Part::ZoneName => out.push_str("UTC"),
                Part::Offset { z: true, .. } => out.push('Z'),
                Part::Offset { colons, minutes, seconds, .. } => {
                    let colon = if *colons { ":" } else { "" };
                    out.push_str("+00");
                    for _ in 0..*minutes as usize + *seconds as usize {
                        out.push_str(colon);
                        out.push_str("00");
                    }
                }
                Part::Fraction(count) => {
                    let digits = format!("{nanos:09}");
                    let digits = match count {
                        Some(count) => digits.get(..*count).unwrap_or(&digits),
                        None => digits.trim_end_matches('0'),
                    };
                    if !digits.is_empty() {
                        out.push('.');
                        out.push_str(digits);
                    }
                }
            }
        }
    }
}

/// One or two digits, or exactly two.
fn one_or_two(text: &str, two: bool) -> Option<(i64, &str)> {
    let bytes = text.as_bytes();
    let digit =
        |at: usize| bytes.get(at).filter(|b| b.is_ascii_digit()).map(|b| i64::from(b - b'0'));
    match (digit(0)?, digit(1)) {
        (tens, Some(ones)) => Some((tens * 10 + ones, &text[2..])),
        (ones, None) if !two => Some((ones, &text[1..])),
        _ => None,
    }
}

fn exactly(text: &str, count: usize) -> Option<(i64, &str)> {
    let digits = text.get(..count)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, &text[count..]))
}

/// The number of the name with which the text begins.
fn name<'t>(text: &'t str, names: &[&str], long: bool) -> Option<(i64, &'t str)> {
    names.iter().enumerate().find_map(|(at, name)| {
        let name = if long { name } else { &name[..3] };
        let found = text.get(..name.len())?;
        found.eq_ignore_ascii_case(name).then(|| (at as i64, &text[name.len()..]))
    })
}

/// The nanoseconds of the digits behind a point, and what follows.
fn fraction(text: &str, count: usize) -> Option<(i64, &str)> {
    let digits = text.get(1..1 + count)?;
    if count == 0 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut nanos = 0;
    for at in 0..9 {
        nanos = nanos * 10 + digits.as_bytes().get(at).map_or(0, |digit| i64::from(digit - b'0'));
    }
    Some((nanos, &text[1 + count..]))
}

fn digits_behind_point(text: &str) -> usize {
    match text.strip_prefix(['.', ',']) {
        Some(rest) => rest.bytes().take_while(u8::is_ascii_digit).count(),
        None => 0,
    }
}

impl Parsed {
    /// Reads one part from the front of `text` and gives the rest.
    fn take<'t>(&mut self, part: &Part, next: Option<&Part>, text: &'t str) -> Option<&'t str> {
        let rest;
        match part {
            Part::Literal(literal) => rest = take_literal(text, literal)?,
            Part::Year => (self.year, rest) = exactly(text, 4)?,
            Part::YearTwo => {
                let (year, behind) = exactly(text, 2)?;
                self.year = year + if year >= 69 { 1900 } else { 2000 };
                rest = behind;
            }
            Part::MonthName { long } => {
                let (month, behind) = name(text, &MONTHS, *long)?;
                self.month = month + 1;
                rest = behind;
            }
            Part::Month(two) => (self.month, rest) = one_or_two(text, *two)?,
            Part::Day { zero, blank } => {
                let text = if *blank { text.strip_prefix(' ').unwrap_or(text) } else { text };
                (self.day, rest) = one_or_two(text, *zero)?;
            }
            Part::YearDay { blank } => {
                let trimmed = if *blank { text.trim_start_matches(' ') } else { text };
                let (day, behind) = exactly(trimmed, 3 - (text.len() - trimmed.len()).min(2))?;
                self.year_day = Some(day);
                rest = behind;
            }
            Part::Weekday { long } => (_, rest) = name(text, &WEEKDAYS, *long)?,
            Part::Hour => (self.hour, rest) = one_or_two(text, false)?,
            Part::HourTwelve(two) => {
                (self.hour, rest) = one_or_two(text, *two)?;
                if self.hour > 12 {
                    return None;
                }
            }
            Part::Minute(two) => (self.minute, rest) = one_or_two(text, *two)?,
            Part::Second(two) => {
                let behind;
                (self.second, behind) = one_or_two(text, *two)?;
                // A fraction may follow though the layout has none.
                let places = digits_behind_point(behind);
                if places > 0 && !matches!(next, Some(Part::Fraction(_))) {
                    (self.nanos, rest) = fraction(behind, places)?;
                } else {
                    rest = behind;
                }
            }
            Part::Fraction(Some(count)) => {
                if !text.starts_with(['.', ',']) {
                    return None;
                }
                (self.nanos, rest) = fraction(text, *count)?;
            }
            Part::Fraction(None) => match digits_behind_point(text) {
                0 => rest = text,
                count => (self.nanos, rest) = fraction(text, count)?,
            },
            Part::HalfDay { upper } => {
                let (am, pm) = if *upper { ("AM", "PM") } else { ("am", "pm") };
                self.afternoon = Some(text.starts_with(pm));
                rest = text.strip_prefix(pm).or_else(|| text.strip_prefix(am))?;
            }
            Part::ZoneName => {
                let len = text.bytes().take_while(u8::is_ascii_uppercase).count();
                let signed = text.starts_with(['+', '-']);
                if signed {
                    let (hours, behind) = exactly(&text[1..], 2)?;
                    let hours = if text.starts_with('-') { -hours } else { hours };
                    self.offset = Some(hours * 3600);
                    rest = behind;
                } else {
                    if !(3..=5).contains(&len) {
                        return None;
                    }
                    self.zone_name = Some(text[..len].to_owned());
                    rest = &text[len..];
                }
            }
            Part::Offset { z, colons, minutes, seconds } => {
                if *z && let Some(behind) = text.strip_prefix('Z') {
                    self.offset = Some(0);
                    return Some(behind);
                }
                let negative = text.starts_with('-');
                let text = text.strip_prefix(['+', '-'])?;
                let colon =
                    |text: &'t str| if *colons { text.strip_prefix(':') } else { Some(text) };
                let (hours, mut behind) = exactly(text, 2)?;
                let (mut more, mut least) = (0, 0);
                if *minutes {
                    (more, behind) = exactly(colon(behind)?, 2)?;
                }
                if *seconds {
                    (least, behind) = exactly(colon(behind)?, 2)?;
                }
                if hours > 24 || more > 60 || least > 60 {
                    return None;
                }
                let offset = hours * 3600 + more * 60 + least;
                self.offset = Some(if negative { -offset } else { offset });
                rest = behind;
            }
        }
        Some(rest)
    }

    fn finish(mut self, zone: &Zone, now_ns: i64) -> Result<i64, NotATime> {
        match self.afternoon {
            Some(true) if self.hour < 12 => self.hour += 12,
            Some(false) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        if let Some(year_day) = self.year_day {
            let leap = days_in_month(self.year, 2) - 28;
            if !(1..=365 + leap).contains(&year_day) {
                return Err(NotATime::Range);
            }
            let first = days_of_date(self.year, 1, 1);
            (_, self.month, self.day) = date_of_days(first + year_day - 1);
        }
        if !(1..=12).contains(&self.month)
            || !(1..=days_in_month(self.year, self.month)).contains(&self.day)
            || self.hour > 23
            || self.minute > 59
            || self.second > 59
        {
            return Err(NotATime::Range);
        }
        if self.year == 0 {
            (self.year, ..) = date_of_days(now_ns.div_euclid(86_400_000_000_000));
        }
        let days = days_of_date(self.year, self.month, self.day);
        let local = days * 86_400 + self.hour * 3600 + self.minute * 60 + self.second;
        let seconds = match (self.offset, &self.zone_name) {
            (Some(offset), _) => local - offset,
            // A name that the zone does not know stands for UTC.
            (None, Some(name)) => local - zone.offset_of_name(name).unwrap_or(0),
            (None, None) => zone.to_utc(local),
        };
        let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(self.nanos);
        i64::try_from(nanos).map_err(|_| NotATime::Overflow)
    }
}

/// Blanks in a layout stand for any number of blanks.
fn take_literal<'t>(text: &'t str, literal: &str) -> Option<&'t str> {
    let mut rest = text;
    let mut chars = literal.chars().peekable();
    while let Some(expected) = chars.next() {
        if expected != ' ' {
            rest = rest.strip_prefix(expected)?;
            continue;
        }
        while chars.next_if_eq(&' ').is_some() {}
        if !rest.is_empty() && !rest.starts_with(' ') {
            return None;
        }
        rest = rest.trim_start_matches(' ');
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random numbers that are the same in every run (xorshift64*).
    struct Random(u64);

    impl Random {
        fn new(seed: u64) -> Self {
            Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
        }

        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        fn below(&mut self, bound: usize) -> usize {
            (self.next() >> 33) as usize % bound
        }

        fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
            choices[self.below(choices.len())]
        }
    }

    const NOW: i64 = 1_700_000_000_000_000_000;

    fn read(layout: &str, text: &str) -> Result<i64, NotATime> {
        Layout::new(layout).unwrap().read(text, &Zone::Utc, NOW)
    }

    #[test]
    fn times_after_layouts() {
        let time = 1_700_000_000_000_000_000;
        for (layout, text, expected) in [
            ("RFC3339", "2023-11-14T22:13:20Z", time),
            ("rfc3339", "2023-11-14T23:13:20+01:00", time),
            ("RFC3339", "2023-11-14T22:13:20.5Z", time + 500_000_000),
            ("RFC3339Nano", "2023-11-14T22:13:20.123456789Z", time + 123_456_789),
            ("2006-01-02 15:04:05", "2023-11-14 22:13:20", time),
            ("2006-01-02 15:04:05.000", "2023-11-14 22:13:20.250", time + 250_000_000),
            ("2006-01-02 15:04:05,999", "2023-11-14 22:13:20,25", time + 250_000_000),
            ("2006-01-02 15:04:05.999", "2023-11-14 22:13:20", time),
            ("02/01/06 03:04:05PM", "14/11/23 10:13:20PM", time),
            ("1/2/2006 3:04:05 pm", "11/14/2023 10:13:20 pm", time),
            ("Mon Jan _2 15:04:05 2006", "Tue Nov 14 22:13:20 2023", time),
            ("ANSIC", "Tue Nov  7 22:13:20 2023", time - 7 * 86_400_000_000_000),
            ("RFC1123Z", "Tue, 14 Nov 2023 17:13:20 -0500", time),
            ("UnixDate", "Tue Nov 14 22:13:20 UTC 2023", time),
            ("Monday, January 2 2006 15:04:05", "tuesday, NOVEMBER 14 2023 22:13:20", time),
            ("Stamp", "Nov 14 22:13:20", time),
            ("2006 002 15:04:05", "2023 318 22:13:20", time),
            ("20060102150405-07", "20231115001320+02", time),
            ("2006_01_02", "2023_11_14", time - 80_000_000_000_000),
            ("15h4m", "22h13m", days_of_date(2023, 1, 1) * 86_400_000_000_000 + 79_980_000_000_000),
        ] {
            assert_eq!(read(layout, text), Ok(expected), "{layout}: {text}");
        }
    }

    #[test]
    fn what_does_not_follow_the_layout_is_refused() {
        for (layout, text, why) in [
            ("RFC3339", "2023-11-14 22:13:20Z", NotATime::Layout),
            ("RFC3339", "2023-11-14T22:13:20", NotATime::Layout),
            ("RFC3339", "2023-11-14T22:13:20Z and more", NotATime::Layout),
            ("RFC3339", "", NotATime::Layout),
            ("2006-01-02", "2023-02-29", NotATime::Range),
            ("2006-01-02", "2023-13-01", NotATime::Range),
            ("2006-01-02 15:04", "2023-01-01 24:00", NotATime::Range),
            ("2006-01-02", "9999-01-01", NotATime::Overflow),
            ("2006-01-02", "２０２３-01-01", NotATime::Layout),
            ("15:04:05.000", "22:13:20.25", NotATime::Layout),
            ("3PM", "13PM", NotATime::Layout),
        ] {
            assert_eq!(read(layout, text), Err(why), "{layout}: {text}");
        }
        assert!(Layout::new("yyyy-mm-dd").is_err());
        assert!(Layout::new("").is_err());
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        let time = 1_700_000_000_120_000_000;
        for (layout, expected) in [
            ("RFC3339Nano", "2023-11-14T22:13:20.12Z"),
            ("2006-01-02 15:04:05.000 -0700 MST", "2023-11-14 22:13:20.120 +0000 UTC"),
            ("Mon Jan _2 3:04:05PM 06 (002, -07:00)", "Tue Nov 14 10:13:20PM 23 (318, +00:00)"),
            ("Monday, January 2, 2006 at 15h", "Tuesday, November 14, 2023 at 22h"),
        ] {
            let mut out = String::new();
            Layout::new(layout).unwrap().write(&mut out, time);
            assert_eq!(out, expected);
        }
        let layout = Layout::new("RFC3339Nano").unwrap();
        let mut random = Random::new(11);
        for _ in 0..20_000 {
            let time = random.next() as i64;
            let mut out = String::new();
            layout.write(&mut out, time);
            assert_eq!(layout.read(&out, &Zone::Utc, NOW), Ok(time), "{out}");
        }
    }

    #[test]
    fn nothing_panics() {
        let mut random = Random::new(9);
        let pieces = [
            "2006", "01", "Jan", "_2", "2", "15", "03", "04", "05", ".000", ",999", "PM", "MST",
            "Z07:00", "-0700", "002", "__2", " ", "-", "ü", "2023", "12", "Nov", "UTC", "+01:00",
            ".5", "Mon", "Tue", "Z", "0", "999",
        ];
        for _ in 0..50_000 {
            let mut text = || {
                let mut text = String::new();
                for _ in 0..random.below(8) {
                    text.push_str(random.pick(&pieces));
                }
                text
            };
            let (layout, text) = (text(), text());
            if let Ok(layout) = Layout::new(&layout) {
                let _ = layout.read(&text, &Zone::Utc, NOW);
            }
        }
    }
}
