//! Time zones for the log's times, read from the system's zone files (RFC 9636).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::time::{date_of_day, day_of_date};

/// The largest zone file of any system is under 4 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The folder of the zone files.
const ZONE_FOLDER: &str = "/usr/share/zoneinfo";

/// What local time is, unless `TZ` says otherwise.
const LOCAL_ZONE: &str = "/etc/localtime";

const HEADER_BYTES: usize = 44;

/// Offsets from UTC over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Before the first change.
    first: i32,
    /// Seconds since the epoch, and the offset in seconds from then on.
    changes: Vec<(i64, i32)>,
    /// After the last change.
    rule: Option<Rule>,
}

/// A zone's rule for all years to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    standard: i32,
    summer: Option<Summer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Summer {
    offset: i32,
    begins: YearlyMoment,
    ends: YearlyMoment,
}

/// A moment of each year, by the local clock that it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct YearlyMoment {
    day: YearlyDay,
    second: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum YearlyDay {
    /// The n-th day, 1 to 365; there is no 29 February.
    WithoutLeapDay(u32),
    /// The n-th day, from 0.
    FromZero(u32),
    /// Month, week (5 for the last), day of the week (0 is Sunday).
    Weekday(u32, u32, u32),
}

impl Zone {
    pub fn utc() -> Zone {
        Zone { first: 0, changes: Vec::new(), rule: None }
    }

    /// The zone of an option's value: `""` and `UTC`, `local`, or a name such as `Europe/Berlin`.
    ///
    /// # Errors
    /// A sentence with the name and the file.
    pub fn named(name: &str) -> Result<Zone, String> {
        if name.is_empty() || name.eq_ignore_ascii_case("utc") {
            return Ok(Zone::utc());
        }
        if name.eq_ignore_ascii_case("local") {
            return Zone::read(Path::new(LOCAL_ZONE));
        }
        let odd = |part: &str| part.is_empty() || part.starts_with('.');
        if name.split('/').any(odd) || name.contains('\0') {
            return Err(format!(
                "\"{name}\" is not a time zone; write \"UTC\", \"local\" or a name such as \"Europe/Berlin\""
            ));
        }
        Zone::read(&Path::new(ZONE_FOLDER).join(name))
    }

    fn read(path: &Path) -> Result<Zone, String> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
            .map_err(|error| {
                format!(
                    "the time zone file {} cannot be read: {error}; zone files come with the package tzdata",
                    path.display()
                )
            })?;
        Zone::parse(&bytes).ok_or_else(|| {
            format!("{} is not a time zone file of version 2 or later", path.display())
        })
    }

    /// Seconds east of UTC at a moment.
    pub fn offset_at(&self, seconds: i64) -> i32 {
        let after = self.changes.partition_point(|&(at, _)| at <= seconds);
        if after == self.changes.len()
            && let Some(rule) = &self.rule
        {
            return rule.offset_at(seconds);
        }
        match after {
            0 => self.first,
            _ => self.changes[after - 1].1,
        }
    }

    fn parse(bytes: &[u8]) -> Option<Zone> {
        let old = Counts::read(bytes)?;
        if old.version < b'2' {
            return None;
        }
        // The first block is for programs that know 32 bits alone; the same follows with 64.
        let rest = bytes.get(HEADER_BYTES.checked_add(old.block_bytes(4)?)?..)?;
        let counts = Counts::read(rest)?;
        let rest = rest.get(HEADER_BYTES..)?;
        let (block, footer) = rest.split_at_checked(counts.block_bytes(8)?)?;
        let (times, block) = block.split_at_checked(counts.times * 8)?;
        let (kinds, block) = block.split_at_checked(counts.times)?;
        let (types, _) = block.split_at_checked(counts.types * 6)?;
        let offset_of = |kind: usize| -> Option<i32> {
            let at = kind.checked_mul(6)?;
            let offset = i32::from_be_bytes(types.get(at..at + 4)?.try_into().ok()?);
            // The format allows a little more than a day.
            (offset.unsigned_abs() < 30 * 3600).then_some(offset)
        };
        let mut changes = Vec::with_capacity(counts.times);
        for (time, kind) in times.chunks_exact(8).zip(kinds) {
            let at = i64::from_be_bytes(time.try_into().ok()?);
            changes.push((at, offset_of(usize::from(*kind))?));
        }
        if !changes.is_sorted_by_key(|change| change.0) {
            return None;
        }
        let footer = footer.strip_prefix(b"\n")?;
        let footer = &footer[..footer.iter().position(|byte| *byte == b'\n')?];
        let rule = match std::str::from_utf8(footer).ok()? {
            "" => None,
            text => Some(Rule::parse(text)?),
        };
        Some(Zone { first: offset_of(0)?, changes, rule })
    }
}

/// What a header says of the block behind it.
struct Counts {
    version: u8,
    utc_marks: usize,
    standard_marks: usize,
    leap_seconds: usize,
    times: usize,
    types: usize,
    characters: usize,
}

impl Counts {
    fn read(bytes: &[u8]) -> Option<Counts> {
        let header = bytes.get(..HEADER_BYTES)?;
        if !header.starts_with(b"TZif") {
            return None;
        }
        let count = |index: usize| -> Option<usize> {
            let at = 20 + index * 4;
            let count = u32::from_be_bytes(header[at..at + 4].try_into().ok()?) as usize;
            (count <= FILE_BYTES_MAX as usize).then_some(count)
        };
        Some(Counts {
            version: header[4],
            utc_marks: count(0)?,
            standard_marks: count(1)?,
            leap_seconds: count(2)?,
            times: count(3)?,
            types: count(4)?,
            characters: count(5)?,
        })
    }

    /// The length of the block when times have so many bytes.
    fn block_bytes(&self, time_bytes: usize) -> Option<usize> {
        let times = self.times.checked_mul(time_bytes + 1)?;
        let leaps = self.leap_seconds.checked_mul(time_bytes + 4)?;
        let types = self.types.checked_mul(6)?;
        times
            .checked_add(leaps)?
            .checked_add(types)?
            .checked_add(self.characters + self.standard_marks + self.utc_marks)
    }
}

impl Rule {
    /// Reads POSIX notation: `CET-1CEST,M3.5.0,M10.5.0/3`.
    fn parse(text: &str) -> Option<Rule> {
        let mut rest = text;
        take_name(&mut rest)?;
        let standard = -take_time(&mut rest)?;
        if rest.is_empty() {
            return Some(Rule { standard, summer: None });
        }
        take_name(&mut rest)?;
        let offset = if rest.starts_with(',') { standard + 3600 } else { -take_time(&mut rest)? };
        let begins = take_moment(&mut rest)?;
        let ends = take_moment(&mut rest)?;
        rest.is_empty().then_some(Rule { standard, summer: Some(Summer { offset, begins, ends }) })
    }

    fn offset_at(&self, seconds: i64) -> i32 {
        let Some(summer) = &self.summer else { return self.standard };
        let (year, _, _) = date_of_day((seconds + i64::from(self.standard)).div_euclid(86_400));
        let begins = summer.begins.in_year(year) - i64::from(self.standard);
        let ends = summer.ends.in_year(year) - i64::from(summer.offset);
        let is_summer = if begins < ends {
            (begins..ends).contains(&seconds)
        } else {
            !(ends..begins).contains(&seconds)
        };
        if is_summer { summer.offset } else { self.standard }
    }
}

impl YearlyMoment {
    /// Seconds of the local clock since its 1970.
    fn in_year(&self, year: i64) -> i64 {
        let new_year = day_of_date(year, 1, 1);
        let day = match self.day {
            YearlyDay::FromZero(n) => new_year + i64::from(n),
            YearlyDay::WithoutLeapDay(n) => {
                let leap = day_of_date(year, 3, 1) - day_of_date(year, 2, 28) == 2;
                new_year + i64::from(n) - 1 + i64::from(leap && n >= 60)
            }
            YearlyDay::Weekday(month, week, weekday) => {
                let first = day_of_date(year, month, 1);
                // 1970-01-01 was a Thursday.
                let first_weekday = (first + 4).rem_euclid(7);
                let ahead = (i64::from(weekday) - first_weekday).rem_euclid(7);
                let day = first + ahead + i64::from(week - 1) * 7;
                let next_month = if month == 12 {
                    day_of_date(year + 1, 1, 1)
                } else {
                    day_of_date(year, month + 1, 1)
                };
                if day >= next_month { day - 7 } else { day }
            }
        };
        day * 86_400 + i64::from(self.second)
    }
}

fn take_name(rest: &mut &str) -> Option<()> {
    let end = match rest.strip_prefix('<') {
        Some(quoted) => quoted.find('>')? + 2,
        None => rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len()),
    };
    if end < 3 {
        return None;
    }
    *rest = &rest[end..];
    Some(())
}

fn take_number(rest: &mut &str) -> Option<u32> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number = rest.get(..end)?.parse().ok()?;
    *rest = &rest[end..];
    Some(number)
}

fn take_mark(rest: &mut &str, mark: char) -> bool {
    match rest.strip_prefix(mark) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

/// `[+-]h[:m[:s]]` in seconds, at most a week.
fn take_time(rest: &mut &str) -> Option<i32> {
    let negative = take_mark(rest, '-');
    if !negative {
        take_mark(rest, '+');
    }
    let mut parts = [take_number(rest)?, 0, 0];
    for part in &mut parts[1..] {
        if !take_mark(rest, ':') {
            break;
        }
        *part = take_number(rest)?;
    }
    let [hours, minutes, seconds] = parts;
    if hours > 167 || minutes > 59 || seconds > 59 {
        return None;
    }
    let time = (hours * 3600 + minutes * 60 + seconds) as i32;
    Some(if negative { -time } else { time })
}

fn take_moment(rest: &mut &str) -> Option<YearlyMoment> {
    if !take_mark(rest, ',') {
        return None;
    }
    let day = if take_mark(rest, 'J') {
        YearlyDay::WithoutLeapDay(take_number(rest).filter(|n| (1..=365).contains(n))?)
    } else if take_mark(rest, 'M') {
        let month = take_number(rest).filter(|n| (1..=12).contains(n))?;
        let week = take_mark(rest, '.').then(|| take_number(rest))?;
        let weekday = take_mark(rest, '.').then(|| take_number(rest))?;
        YearlyDay::Weekday(
            month,
            week.filter(|n| (1..=5).contains(n))?,
            weekday.filter(|n| *n <= 6)?,
        )
    } else {
        YearlyDay::FromZero(take_number(rest).filter(|n| *n <= 365)?)
    };
    let second = if take_mark(rest, '/') { take_time(rest)? } else { 2 * 3600 };
    Some(YearlyMoment { day, second })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARCH_31_2024_01_00_UTC: i64 = 1_711_846_800;
    const OCTOBER_27_2024_01_00_UTC: i64 = 1_729_990_800;

    /// A zone file of one type per offset, with these changes and this rule.
    fn file(offsets: &[i32], changes: &[(i64, u8)], rule: &str) -> Vec<u8> {
        let block = |time_bytes: usize| {
            let mut out = b"TZif2".to_vec();
            out.resize(20, 0);
            let counts = [0, 0, 0, changes.len() as u32, offsets.len() as u32, 4];
            counts.iter().for_each(|count| out.extend(count.to_be_bytes()));
            for (at, _) in changes {
                out.extend(&at.to_be_bytes()[8 - time_bytes..]);
            }
            out.extend(changes.iter().map(|change| change.1));
            for offset in offsets {
                out.extend(offset.to_be_bytes());
                out.extend([0, 0]);
            }
            out.extend(b"ABC\0");
            out
        };
        let mut out = block(4);
        out.extend(block(8));
        out.extend(format!("\n{rule}\n").bytes());
        out
    }

    #[test]
    fn a_rule_of_central_europe() {
        let rule = Rule::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let check = |seconds: i64, hours: i32| assert_eq!(rule.offset_at(seconds), hours * 3600);
        check(MARCH_31_2024_01_00_UTC - 1, 1);
        check(MARCH_31_2024_01_00_UTC, 2);
        check(OCTOBER_27_2024_01_00_UTC - 1, 2);
        check(OCTOBER_27_2024_01_00_UTC, 1);
        check(1_735_689_599, 1);
    }

    #[test]
    fn rules_of_other_places() {
        let check = |rule: &str, seconds: i64, offset: i32| {
            assert_eq!(Rule::parse(rule).unwrap().offset_at(seconds), offset, "{rule} {seconds}");
        };
        // Summer over New Year.
        check("AEST-10AEDT,M10.1.0,M4.1.0/3", 1_704_067_200, 11 * 3600);
        check("AEST-10AEDT,M10.1.0,M4.1.0/3", 1_719_792_000, 10 * 3600);
        check("<+0530>-5:30", 0, 19_800);
        check("<-03>3", 0, -3 * 3600);
        // Winter time is the exception there.
        check("IST-1GMT0,M10.5.0,M3.5.0/1", 1_704_067_200, 0);
        check("IST-1GMT0,M10.5.0,M3.5.0/1", 1_719_792_000, 3600);
        // A change by the number of the day: 60 is 1 March in every year by J, 29 February else.
        check("AAA0BBB,J60/0,J61/0", 1_709_251_200, 3600);
        check("AAA0BBB,J60/0,J61/0", 1_709_251_199, 0);
        check("AAA0BBB,59/0,60/0", 1_709_164_800, 3600);
        check("EST5EDT4,M3.2.0/-1,M11.1.0/25", 1_719_792_000, -4 * 3600);
    }

    #[test]
    fn refuses_odd_rules() {
        for text in [
            "",
            "CET",
            "C-1",
            "CET-1CEST",
            "CET-1CEST,M3.5.0",
            "CET-1CEST,M13.5.0,M10.5.0",
            "CET-1CEST,M3.6.0,M10.5.0",
            "CET-1CEST,M3.5.7,M10.5.0",
            "CET-1CEST,M3.5.0,M10.5.0x",
            "CET-1CEST,J0,J5",
            "CET-1CEST,366,5",
            "CET-200",
            "CET-1:60",
            "<CET-1",
            "CET99999999999",
        ] {
            assert_eq!(Rule::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_gives_changes_then_the_rule() {
        let bytes = file(&[-3600, 7200], &[(1000, 1), (2000, 0)], "XYZ5");
        let zone = Zone::parse(&bytes).unwrap();
        assert_eq!(zone.offset_at(i64::MIN), -3600);
        assert_eq!(zone.offset_at(1000), 7200);
        assert_eq!(zone.offset_at(1999), 7200);
        assert_eq!(zone.offset_at(2000), -5 * 3600);
        let without_rule = Zone::parse(&file(&[-3600, 7200], &[(1000, 1)], "")).unwrap();
        assert_eq!(without_rule.offset_at(5000), 7200);
    }

    #[test]
    fn damaged_files_are_refused_or_harmless() {
        let bytes = file(&[-3600, 7200], &[(1000, 1), (2000, 0)], "CET-1CEST,M3.5.0,M10.5.0/3");
        for len in 0..bytes.len() {
            assert_eq!(Zone::parse(&bytes[..len]), None, "{len}");
        }
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                if let Some(zone) = Zone::parse(&damaged) {
                    zone.offset_at(MARCH_31_2024_01_00_UTC);
                }
            }
        }
    }

    #[test]
    fn names() {
        assert!(Zone::named("").unwrap() == Zone::utc());
        assert!(Zone::named("UTC").unwrap() == Zone::utc());
        for bad in ["../../etc/passwd", "/etc/localtime", "Europe//Berlin", ".", "a/.b", "a\0b"] {
            assert!(Zone::named(bad).unwrap_err().contains("not a time zone"), "{bad}");
        }
        let missing = Zone::named("Atlantis/Capital").unwrap_err();
        assert!(missing.contains("Atlantis/Capital cannot be read"), "{missing}");
    }
}
