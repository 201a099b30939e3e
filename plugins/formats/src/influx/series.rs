//! Finds the parts of a series in a text, and takes escapes out.

use super::bad::Why;
use super::scan::{Stop, Text, bad};
use crate::number::read::byte;

/// Tags up to here need no memory of their own.
const FEW_TAGS: usize = 32;

/// Where the parts of a series stand, counted from its first byte.
#[derive(Default)]
pub struct Places {
    name_end: usize,
    /// Begin and end of the key, begin and end of the value.
    tags: Vec<[usize; 4]>,
    escaped: bool,
}

/// What a byte of a series is.
mod class {
    pub const PLAIN: u8 = 0;
    pub const COMMA: u8 = 1;
    pub const EQUALS: u8 = 2;
    pub const SPACE: u8 = 3;
    pub const BACKSLASH: u8 = 4;
    pub const LINE_END: u8 = 5;
    pub const CONTROL: u8 = 6;
}

const CLASSES: [u8; 256] = {
    let mut classes = [class::PLAIN; 256];
    classes[b',' as usize] = class::COMMA;
    classes[b'=' as usize] = class::EQUALS;
    classes[b' ' as usize] = class::SPACE;
    classes[b'\\' as usize] = class::BACKSLASH;
    classes[b'\n' as usize] = class::LINE_END;
    classes[b'\t' as usize] = class::CONTROL;
    classes[0] = class::CONTROL;
    classes
};

impl Places {
    /// The next byte from `at` that is not plain, escapes passed over: its place and class.
    #[inline(always)]
    fn stop(&mut self, bytes: &[u8], mut at: usize) -> Result<(usize, u8), Stop> {
        loop {
            match CLASSES[byte(bytes, at) as usize] {
                class::PLAIN => at += 1,
                class::BACKSLASH => {
                    self.escaped = true;
                    at += 1 + is_escaped(byte(bytes, at + 1)) as usize;
                }
                class::CONTROL => return bad(at, Why::Control),
                other => return Ok((at, other)),
            }
        }
    }

    /// Finds the parts of the series at `start` and gives the place of the space behind it.
    pub fn find(&mut self, text: Text<'_>, start: usize) -> Result<usize, Stop> {
        let bytes = text.padded;
        self.tags.clear();
        self.escaped = false;
        let (mut at, mut stop) = self.stop(bytes, start)?;
        while stop == class::EQUALS {
            (at, stop) = self.stop(bytes, at + 1)?;
        }
        self.name_end = at - start;
        if at == start {
            return bad(at, Why::NoName);
        }
        while stop == class::COMMA {
            let key = at + 1;
            let (equals, behind_key) = self.stop(bytes, key)?;
            if equals == key {
                return bad(key, Why::NoTagKey);
            }
            if behind_key != class::EQUALS {
                return bad(key, Why::NoTagEquals);
            }
            (at, stop) = self.stop(bytes, equals + 1)?;
            if at == equals + 1 {
                return bad(at, Why::NoTagValue);
            }
            if stop == class::EQUALS {
                return bad(at, Why::EqualsInTag);
            }
            self.tags.push([key - start, equals - start, equals + 1 - start, at - start]);
        }
        if stop == class::LINE_END {
            return bad(at, Why::NoFields);
        }
        Ok(at)
    }

    /// Calls `take` with the name and the tags, unescaped, sorted by key and without repeated keys,
    /// of which the last counts. `raw` is the text of the series.
    pub fn with_texts<T>(
        &self,
        raw: &str,
        scratch: &mut String,
        take: impl FnOnce(&str, &[(&str, &str)]) -> T,
    ) -> T {
        let mut few = [("", ""); FEW_TAGS];
        let mut many = Vec::new();
        let tags = match few.get_mut(..self.tags.len()) {
            Some(few) => few,
            None => {
                many.resize(self.tags.len(), ("", ""));
                &mut many[..]
            }
        };
        if !self.escaped {
            for (tag, place) in tags.iter_mut().zip(&self.tags) {
                *tag = (&raw[place[0]..place[1]], &raw[place[2]..place[3]]);
            }
            let count = sort_distinct(tags);
            return take(&raw[..self.name_end], &tags[..count]);
        }
        scratch.clear();
        let mut ends = Vec::with_capacity(1 + 2 * self.tags.len());
        unescape(scratch, &raw[..self.name_end], true);
        ends.push(scratch.len());
        for place in &self.tags {
            for part in [place[0]..place[1], place[2]..place[3]] {
                unescape(scratch, &raw[part], false);
                ends.push(scratch.len());
            }
        }
        for (tag, ends) in tags.iter_mut().zip(ends.windows(3).step_by(2)) {
            *tag = (&scratch[ends[0]..ends[1]], &scratch[ends[1]..ends[2]]);
        }
        let count = sort_distinct(tags);
        take(&scratch[..ends[0]], &tags[..count])
    }
}

/// Sorts tags by key and keeps the last of each key, at the front. Gives how many are left.
fn sort_distinct(tags: &mut [(&str, &str)]) -> usize {
    if tags.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return tags.len();
    }
    // A stable sort, so that the last of equals stays last.
    tags.sort_by(|a, b| a.0.cmp(b.0));
    let mut count = 0;
    for at in 0..tags.len() {
        if count > 0 && tags[count - 1].0 == tags[at].0 {
            count -= 1;
        }
        tags[count] = tags[at];
        count += 1;
    }
    count
}

/// Whether a backslash before this byte is an escape. Before anything else, another backslash too,
/// it stands for itself, as InfluxDB has it.
#[inline(always)]
pub fn is_escaped(byte: u8) -> bool {
    matches!(byte, b',' | b' ' | b'=')
}

/// Appends `text` without the backslashes before commas, spaces and, unless it is a measurement
/// name, equals signs.
pub fn unescape(out: &mut String, text: &str, name: bool) {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let behind = &escape[1..];
        let special = match behind.as_bytes().first() {
            Some(b'=') => !name,
            Some(&byte) => is_escaped(byte),
            None => false,
        };
        if !special {
            out.push('\\');
            rest = behind;
            continue;
        }
        // The byte is ASCII, and no escape itself.
        out.push_str(&behind[..1]);
        rest = &behind[1..];
    }
    out.push_str(rest);
}

/// Appends the text of a quoted string without the backslashes before quotes and backslashes.
pub fn unescape_string(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let mut chars = escape.chars();
        chars.next();
        match chars.as_str().as_bytes().first() {
            Some(b'"' | b'\\') => {
                out.extend(chars.next());
            }
            _ => out.push('\\'),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let check = |text: &str, name, expected: &str| {
            let mut out = String::new();
            unescape(&mut out, text, name);
            assert_eq!(out, expected, "{text}");
        };
        check("a\\ b\\,c\\=d", false, "a b,c=d");
        check("a\\ b\\,c\\=d", true, "a b,c\\=d");
        check("C:\\\\dir\\x", false, "C:\\\\dir\\x");
        check("a\\\\,b\\\\\\ c", false, "a\\,b\\\\ c");
        check("ü\\ü\\", false, "ü\\ü\\");
        let mut out = String::new();
        unescape_string(&mut out, "a\\\"b\\\\c\\nd\\\\\\\"");
        assert_eq!(out, "a\"b\\c\\nd\\\"");
    }

    #[test]
    fn the_last_of_repeated_tags_counts() {
        let mut tags = [("b", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("c", "5"), ("b", "6")];
        let count = sort_distinct(&mut tags);
        assert_eq!(tags[..count], [("a", "4"), ("b", "6"), ("c", "5")]);
    }
}
