//! Time zones: UTC, or rules out of the system's zone files (TZif, RFC 9636).

use std::path::Path;
use std::sync::Arc;

use super::{date_of_days, days_in_month, days_of_date};

/// A zone.
#[derive(Debug, Clone)]
pub enum Zone {
    Utc,
    Rules(Arc<Rules>),
}

/// What a zone file says.
#[derive(Debug)]
pub struct Rules {
    /// Time from which on an offset holds, and its index.
    transitions: Vec<(i64, usize)>,
    /// Offset in seconds east of UTC, and the name.
    types: Vec<(i64, String)>,
    /// What holds behind the last transition.
    footer: Option<Footer>,
}

/// A zone file is not larger.
const FILE_MAX: u64 = 1 << 20;
/// Where the system keeps them.
const FOLDERS: [&str; 3] = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo"];

impl Zone {
    /// The zone of an option: empty or `UTC`, `Local`, or a name such as `Europe/Berlin`.
    pub fn new(name: &str) -> Result<Zone, String> {
        if name.is_empty() || name.eq_ignore_ascii_case("utc") {
            return Ok(Zone::Utc);
        }
        if name.eq_ignore_ascii_case("local") {
            let local = Path::new("/etc/localtime");
            return if local.exists() { Self::from_file(local, name) } else { Ok(Zone::Utc) };
        }
        if name.starts_with('/') || name.contains("..") {
            return Err(format!("\"{name}\" is no zone; write a name such as \"Europe/Berlin\""));
        }
        let file =
            FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|file| file.is_file());
        match file {
            Some(file) => Self::from_file(&file, name),
            None => Err(format!(
                "the zone \"{name}\" is not known here; write a name such as \"Europe/Berlin\", and \
                 install tzdata"
            )),
        }
    }

    fn from_file(path: &Path, name: &str) -> Result<Zone, String> {
        let problem = |what: String| format!("the zone \"{name}\" cannot be read: {what}");
        let size = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?.len();
        if size > FILE_MAX {
            return Err(problem(format!("{} has {size} bytes", path.display())));
        }
        let bytes = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
        match Rules::read(&bytes) {
            Some(rules) => Ok(Zone::Rules(Arc::new(rules))),
            None => Err(problem(format!("{} is no zone file", path.display()))),
        }
    }

    /// The time in UTC of a local time, both in seconds since the epoch. A local time that is skipped
    /// or met twice is read by one of the offsets around it.
    pub fn to_utc(&self, local: i64) -> i64 {
        let Zone::Rules(rules) = self else { return local };
        let first = rules.offset_at(local);
        local - rules.offset_at(local - first)
    }

    /// The offset of an abbreviation such as `CET`, in seconds.
    pub fn offset_of_name(&self, name: &str) -> Option<i64> {
        let Zone::Rules(rules) = self else { return None };
        let footer = rules.footer.as_ref().into_iter().flat_map(Footer::names);
        let types = rules.types.iter().map(|(offset, name)| (*offset, name.as_str()));
        types.chain(footer).find(|(_, known)| *known == name).map(|(offset, _)| offset)
    }
}

impl Rules {
    /// Reads a zone file.
    fn read(bytes: &[u8]) -> Option<Rules> {
        let (header, version) = Header::read(bytes, 0)?;
        if version < b'2' {
            return Self::read_block(bytes, &header, 44, 4, None);
        }
        // Times of 64 bits follow those of 32.
        let start = 44 + header.block_size(4)?;
        let (header, _) = Header::read(bytes, start)?;
        let block = start.checked_add(44)?;
        let end = block.checked_add(header.block_size(8)?)?;
        let footer = std::str::from_utf8(bytes.get(end..)?).ok()?;
        let footer = footer.strip_prefix('\n').and_then(|text| text.split('\n').next());
        Self::read_block(bytes, &header, block, 8, footer.and_then(Footer::read))
    }

    fn read_block(
        bytes: &[u8],
        header: &Header,
        start: usize,
        time_size: usize,
        footer: Option<Footer>,
    ) -> Option<Rules> {
        let number = |at: usize, size: usize| -> Option<i64> {
            let bytes = bytes.get(at..at.checked_add(size)?)?;
            let value = bytes.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
            Some(if size == 4 { i64::from(value as i32) } else { value as i64 })
        };
        let indices = start + header.times * time_size;
        let types_start = indices + header.times;
        let names = types_start + header.types * 6;
        let mut types = Vec::new();
        for at in 0..header.types {
            let place = types_start + at * 6;
            let offset = number(place, 4)?;
            let name =
                bytes.get(names..names + header.chars)?.get(*bytes.get(place + 5)? as usize..)?;
            let len = name.iter().position(|&byte| byte == 0)?;
            types.push((offset, String::from_utf8_lossy(&name[..len]).into_owned()));
        }
        let mut transitions = Vec::new();
        for at in 0..header.times {
            let index = *bytes.get(indices + at)? as usize;
            types.get(index)?;
            transitions.push((number(start + at * time_size, time_size)?, index));
        }
        types.first()?;
        Some(Rules { transitions, types, footer })
    }

    /// The offset at a time in UTC, in seconds.
    fn offset_at(&self, time: i64) -> i64 {
        let behind = self.transitions.partition_point(|transition| transition.0 <= time);
        if behind == self.transitions.len()
            && let Some(footer) = &self.footer
        {
            return footer.offset_at(time);
        }
        let index = match behind.checked_sub(1) {
            Some(at) => self.transitions[at].1,
            None => 0,
        };
        self.types[index].0
    }
}

struct Header {
    times: usize,
    types: usize,
    chars: usize,
    leaps: usize,
    standard: usize,
    universal: usize,
}

impl Header {
    fn read(bytes: &[u8], at: usize) -> Option<(Header, u8)> {
        let head = bytes.get(at..at.checked_add(44)?)?;
        if !head.starts_with(b"TZif") {
            return None;
        }
        let count = |index: usize| {
            let field = head[20 + index * 4..24 + index * 4].iter();
            field.fold(0_usize, |value, &byte| value << 8 | usize::from(byte))
        };
        let header = Header {
            universal: count(0),
            standard: count(1),
            leaps: count(2),
            times: count(3),
            types: count(4),
            chars: count(5),
        };
        Some((header, head[4]))
    }

    fn block_size(&self, time_size: usize) -> Option<usize> {
        let parts = [
            self.times.checked_mul(time_size + 1)?,
            self.types.checked_mul(6)?,
            self.chars,
            self.leaps.checked_mul(time_size + 4)?,
            self.standard,
            self.universal,
        ];
        parts.into_iter().try_fold(0_usize, usize::checked_add)
    }
}

/// The rule behind the last transition, such as `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Debug)]
struct Footer {
    standard: (i64, String),
    /// Offset, name, begin and end of daylight saving time.
    daylight: Option<(i64, String, Change, Change)>,
}

/// When in a year a change comes, in local time.
#[derive(Debug)]
struct Change {
    day: Day,
    /// Seconds from midnight.
    time: i64,
}

#[derive(Debug)]
enum Day {
    /// Month, week (5 for the last), weekday from Sunday.
    Weekday(i64, i64, i64),
    /// Day from 1, without the leap day.
    Julian(i64),
    /// Day from 0.
    Ordinal(i64),
}

impl Footer {
    fn read(text: &str) -> Option<Footer> {
        let (name, rest) = read_name(text)?;
        let (offset, rest) = read_hms(rest)?;
        let standard = (-offset, name);
        if rest.is_empty() {
            return Some(Footer { standard, daylight: None });
        }
        let (name, rest) = read_name(rest)?;
        let (offset, rest) = match rest.starts_with(',') {
            true => (standard.0 + 3600, rest),
            false => read_hms(rest).map(|(offset, rest)| (-offset, rest))?,
        };
        let (begin, rest) = read_change(rest.strip_prefix(',')?)?;
        let (end, _) = read_change(rest.strip_prefix(',')?)?;
        Some(Footer { standard, daylight: Some((offset, name, begin, end)) })
    }

    fn names(&self) -> impl Iterator<Item = (i64, &str)> {
        let daylight = self.daylight.iter().map(|(offset, name, ..)| (*offset, name.as_str()));
        std::iter::once((self.standard.0, self.standard.1.as_str())).chain(daylight)
    }

    fn offset_at(&self, time: i64) -> i64 {
        let Some((offset, _, begin, end)) = &self.daylight else { return self.standard.0 };
        let (year, ..) = date_of_days((time.saturating_add(self.standard.0)).div_euclid(86_400));
        let begin = begin.seconds(year) - self.standard.0;
        let end = end.seconds(year) - offset;
        let in_daylight =
            if begin < end { (begin..end).contains(&time) } else { !(end..begin).contains(&time) };
        if in_daylight { *offset } else { self.standard.0 }
    }
}

impl Change {
    /// The local time of the change in a year, in seconds since the epoch.
    fn seconds(&self, year: i64) -> i64 {
        let first = days_of_date(year, 1, 1);
        let days = match self.day {
            Day::Ordinal(day) => first + day,
            Day::Julian(day) => {
                let leap = i64::from(day >= 60 && days_in_month(year, 2) == 29);
                first + day - 1 + leap
            }
            Day::Weekday(month, week, weekday) => {
                let first = days_of_date(year, month, 1);
                // The epoch was a Thursday.
                let first_weekday = (first + 4).rem_euclid(7);
                let mut day = (weekday - first_weekday).rem_euclid(7) + (week - 1) * 7;
                if day >= days_in_month(year, month) {
                    day -= 7;
                }
                first + day
            }
        };
        days * 86_400 + self.time
    }
}

fn read_name(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('<') {
        let (name, rest) = quoted.split_once('>')?;
        return Some((name.to_owned(), rest));
    }
    let len = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    (len >= 3).then(|| (text[..len].to_owned(), &text[len..]))
}

/// Hours with optional minutes and seconds, and an optional sign: seconds.
fn read_hms(text: &str) -> Option<(i64, &str)> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut seconds = 0;
    for (at, unit) in [3600, 60, 1].into_iter().enumerate() {
        if at > 0 {
            let Some(behind) = rest.strip_prefix(':') else { break };
            rest = behind;
        }
        let (value, behind) = read_number(rest)?;
        seconds += value * unit;
        rest = behind;
    }
    Some((if negative { -seconds } else { seconds }, rest))
}

fn read_number(text: &str) -> Option<(i64, &str)> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let value: i64 = text.get(..len.min(4))?.parse().ok()?;
    Some((value, &text[len.min(4)..]))
}

fn read_change(text: &str) -> Option<(Change, &str)> {
    let (day, rest) = if let Some(rest) = text.strip_prefix('M') {
        let (month, rest) = read_number(rest)?;
        let (week, rest) = read_number(rest.strip_prefix('.')?)?;
        let (weekday, rest) = read_number(rest.strip_prefix('.')?)?;
        if !(1..=12).contains(&month) || !(1..=5).contains(&week) || weekday > 6 {
            return None;
        }
        (Day::Weekday(month, week, weekday), rest)
    } else if let Some(rest) = text.strip_prefix('J') {
        let (day, rest) = read_number(rest)?;
        (Day::Julian(day), rest)
    } else {
        let (day, rest) = read_number(text)?;
        (Day::Ordinal(day), rest)
    };
    match rest.strip_prefix('/') {
        Some(time) => {
            let (time, rest) = read_hms(time)?;
            Some((Change { day, time }, rest))
        }
        None => Some((Change { day, time: 7200 }, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zone file made by hand: LMT until 1893, then CET by the footer.
    fn berlin() -> Zone {
        let mut bytes = Vec::new();
        for size in [4, 8] {
            bytes.extend_from_slice(b"TZif2");
            bytes.extend_from_slice(&[0; 15]);
            for count in [0_u32, 0, 0, 1, 2, 8] {
                bytes.extend_from_slice(&count.to_be_bytes());
            }
            let time = -2_422_054_408_i64;
            bytes.extend_from_slice(&time.to_be_bytes()[8 - size..]);
            bytes.push(1);
            for (offset, name) in [(3208_i32, 0), (3600, 4)] {
                bytes.extend_from_slice(&offset.to_be_bytes());
                bytes.extend_from_slice(&[0, name]);
            }
            bytes.extend_from_slice(b"LMT\0CET\0");
        }
        bytes.extend_from_slice(b"\nCET-1CEST,M3.5.0,M10.5.0/3\n");
        Zone::Rules(Arc::new(Rules::read(&bytes).unwrap()))
    }

    #[test]
    fn local_times_by_rules() {
        let zone = berlin();
        let at =
            |year, month, day, hour: i64| days_of_date(year, month, day) * 86_400 + hour * 3600;
        for (local, offset) in [
            (at(2023, 1, 15, 12), 3600),
            (at(2023, 7, 15, 12), 7200),
            (at(2023, 3, 26, 1), 3600),
            (at(2023, 3, 26, 4), 7200),
            (at(2023, 10, 29, 1), 7200),
            (at(2023, 10, 29, 4), 3600),
            (at(2050, 12, 31, 23), 3600),
            (at(1880, 1, 1, 0), 3208),
        ] {
            assert_eq!(local - zone.to_utc(local), offset, "{local}");
        }
        assert_eq!(zone.offset_of_name("CEST"), Some(7200));
        assert_eq!(zone.offset_of_name("PST"), None);
        assert_eq!(Zone::Utc.to_utc(5), 5);
    }

    #[test]
    fn rules_of_the_southern_half() {
        let footer = Footer::read("AEST-10AEDT,M10.1.0,M4.1.0/3").unwrap();
        let day = |month, day| days_of_date(2023, month, day) * 86_400;
        assert_eq!(footer.offset_at(day(1, 10)), 39_600);
        assert_eq!(footer.offset_at(day(7, 10)), 36_000);
        assert_eq!(footer.offset_at(day(12, 10)), 39_600);
        assert_eq!(Footer::read("<-03>3").unwrap().offset_at(0), -10_800);
        assert_eq!(Footer::read("IST-5:30").unwrap().offset_at(0), 19_800);
        assert!(Footer::read("").is_none());
        assert!(Footer::read("CET-1CEST,M13.5.0,M1.1.1").is_none());
    }

    #[test]
    fn damaged_files_are_refused() {
        let Zone::Rules(_) = berlin() else { panic!() };
        assert!(Rules::read(b"").is_none());
        assert!(Rules::read(b"TZif").is_none());
        let mut head = b"TZif2".to_vec();
        head.extend_from_slice(&[0; 15]);
        head.extend_from_slice(&[0xff; 24]);
        assert!(Rules::read(&head).is_none());
        assert!(Zone::new("../../etc/passwd").is_err());
        assert!(Zone::new("No/Such").is_err());
    }
}
