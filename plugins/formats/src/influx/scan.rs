//! Reads one line after the other into a batch, in one pass over the bytes.
//!
//! The usual line is predicted: it begins with the bytes of the series that came after the last one
//! when that was last met, and has the fields of its series' last line. Each guess is a comparison;
//! where one fails, that part alone is read the long way.
//!
//! The text must end in a line end, so that nothing is read beyond it; what the scanner loads ahead
//! may reach into the padding and is never taken for text.

use headwater_plugin_api::batch::layout::kind;
use headwater_plugin_api::batch::{BatchBuilder, Limits};
use memchr::memchr;

use super::bad::{Bad, Why};
use super::lines::{Quoted, quoted};
use super::plain::Plain;
use super::series::{Places, is_escaped, unescape, unescape_string};
use super::shapes::{Full, ROOT, Shapes};
use super::warm::Warm;
use crate::number::read::{Times, byte, digits, number, short_decimal, short_digits, word};

/// Why a line made no point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It is empty or a comment; the next line begins here.
    Skip(usize),
    /// It is refused.
    Bad(Bad),
    /// The warm tables are full: finish the batch, forget them, and read the line again.
    Full,
}

impl From<Full> for Stop {
    fn from(_: Full) -> Self {
        Stop::Full
    }
}

pub fn bad<T>(at: usize, why: Why) -> Result<T, Stop> {
    Err(Stop::Bad(Bad { at, why }))
}

/// What a parser of line protocol remembers.
pub struct Scanner {
    pub builder: BatchBuilder,
    warm: Warm,
    shapes: Shapes,
    plain: Plain,
    /// Whether the limits allow for it.
    is_plain: bool,
    /// Whether the last series that was not predicted was new: then the next one is taken apart at
    /// once, and else only looked up.
    expects_new: bool,
    places: Places,
    unescaped: String,
    times: Times,
    /// Nanoseconds in a unit of the times.
    unit_ns: i64,
    line_bytes_max: usize,
}

/// A text that ends in a line end, and the padding behind it.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// With the padding.
    pub padded: &'a [u8],
    /// Where the text ends.
    pub end: usize,
}

impl<'a> Text<'a> {
    #[inline(always)]
    fn from(&self, start: usize) -> &'a [u8] {
        self.padded.get(start..self.end).unwrap_or_default()
    }

    #[inline(always)]
    fn whole(&self) -> &'a [u8] {
        self.padded.get(..self.end).unwrap_or_default()
    }
}

impl Scanner {
    pub fn new(unit_ns: i64, line_bytes_max: usize, limits: Limits) -> Self {
        Scanner {
            warm: Warm::default(),
            shapes: Shapes::default(),
            plain: Plain::default(),
            is_plain: Plain::is_within(&limits),
            expects_new: false,
            places: Places::default(),
            unescaped: String::new(),
            times: Times::default(),
            unit_ns,
            line_bytes_max,
            builder: BatchBuilder::new(limits),
        }
    }

    /// Forgets the series and shapes. The batch must be finished first.
    pub fn forget(&mut self) {
        self.warm.clear();
        self.shapes.clear();
    }

    /// Reads the line that begins at `start` and adds its point. Gives the place of the next line.
    /// With `force` the bounds of the warm tables do not count.
    #[inline(always)]
    pub fn line(
        &mut self,
        text: Text<'_>,
        start: usize,
        default_time: i64,
        force: bool,
    ) -> Result<usize, Stop> {
        let (entry, at) = match self.warm.predict(text.padded, start) {
            Some(predicted) => predicted,
            None => self.find_series(text, start, force)?,
        };
        let first = self.builder.values().len();
        let (node, at) = self.fields(text, at, entry, force)?;
        let (time, next) = self.time(text, at, default_time)?;
        // Without the line end.
        let len = next - start - 1;
        if len > self.line_bytes_max {
            return bad(start, Why::TooLong { len, max: self.line_bytes_max });
        }
        let series = self.warm.series(entry, &self.plain, &mut self.builder);
        let shape = self.shapes.shape(node, &mut self.builder, first);
        self.builder.push_row(time, series, shape, first as u32);
        Ok(next)
    }

    /// The series that was not predicted, and where its fields begin.
    #[inline(never)]
    fn find_series(
        &mut self,
        text: Text<'_>,
        start: usize,
        force: bool,
    ) -> Result<(u32, usize), Stop> {
        let mut start = start;
        while matches!(byte(text.padded, start), b' ' | b'\t') {
            start += 1;
        }
        match byte(text.padded, start) {
            b'\n' => return Err(Stop::Skip(start + 1)),
            b'\r' if byte(text.padded, start + 1) == b'\n' => return Err(Stop::Skip(start + 2)),
            b'#' => {
                let end = memchr(b'\n', text.from(start)).map_or(text.end, |at| start + at + 1);
                return Err(Stop::Skip(end));
            }
            _ => {}
        }
        // What is known was checked, so a look for the first space is enough.
        let mut plain = None;
        if self.expects_new {
            plain = self.plain.space(text.padded, start);
        }
        let space = match plain {
            Some(space) => space,
            None => match memchr(b' ', text.from(start)) {
                Some(space) => start + space,
                None => return self.add_series(text, start, force),
            },
        };
        let raw = text.padded.get(start..=space).unwrap_or_default();
        let hash = self.warm.hash(raw);
        if let Some(entry) = self.warm.find(hash, raw) {
            self.expects_new = false;
            return Ok((entry, start + raw.len()));
        }
        self.warm.forget_parts();
        if self.is_plain && !self.expects_new {
            self.expects_new = true;
            plain = self.plain.space(text.padded, start);
        }
        if plain != Some(space) || !self.plain.find(space - start) {
            return self.add_series(text, start, force);
        }
        if !force && self.warm.is_full() {
            return Err(Stop::Full);
        }
        Ok((self.warm.add_plain(hash, raw, &mut self.plain), start + raw.len()))
    }

    #[inline(never)]
    fn add_series(
        &mut self,
        text: Text<'_>,
        start: usize,
        force: bool,
    ) -> Result<(u32, usize), Stop> {
        let end = self.places.find(text, start)?;
        let raw = text.padded.get(start..=end).unwrap_or_default();
        let hash = self.warm.hash(raw);
        if let Some(entry) = self.warm.find(hash, raw) {
            return Ok((entry, end + 1));
        }
        if !force && self.warm.is_full() {
            return Err(Stop::Full);
        }
        if raw.len() > self.line_bytes_max {
            return bad(start, Why::TooLong { len: raw.len(), max: self.line_bytes_max });
        }
        let utf8 = match std::str::from_utf8(raw) {
            Ok(utf8) => utf8,
            Err(error) => return bad(start + error.valid_up_to(), Why::NotUtf8),
        };
        let limits = self.builder.limits();
        let (places, warm) = (&self.places, &mut self.warm);
        let entry = places.with_texts(utf8, &mut self.unescaped, |name, tags| {
            warm.add(hash, raw, name, tags, limits)
        });
        match entry {
            Ok(entry) => Ok((entry, end + 1)),
            Err(refused) => bad(start, Why::Refused(refused)),
        }
    }

    /// Reads the fields: the node of their shape, and where the last one ends.
    #[inline(always)]
    fn fields(
        &mut self,
        text: Text<'_>,
        start: usize,
        entry: u32,
        force: bool,
    ) -> Result<(u32, usize), Stop> {
        let bytes = text.padded;
        let mut at = start;
        let mut node = ROOT;
        for step in self.shapes.steps(self.warm.plan(entry)) {
            if !step.begins(bytes, at) || !self.shapes.continues(step, bytes, at) {
                break;
            }
            let from = at + step.len as usize;
            let value = match step.kind {
                kind::F64 => float(bytes, from),
                kind::I64 => integer(bytes, from),
                kind::TEXT => match plain_text(text, from) {
                    Some((value, end)) => Some((self.builder.push_text(value), end)),
                    None => None,
                },
                kind::BOOL => boolean(bytes, from),
                kind::U64 => unsigned(bytes, from),
                _ => None,
            };
            let Some((payload, end)) = value else { break };
            match byte(bytes, end) {
                b',' => {
                    self.builder.values().push(payload);
                    node = step.node;
                    at = end + 1;
                }
                b' ' | b'\n' | b'\r' => {
                    self.builder.values().push(payload);
                    return Ok((step.node, end));
                }
                _ => break,
            }
        }
        self.more_fields(text, at, node, entry, force)
    }

    /// Goes on from `node` where the plan did not lead.
    #[inline(never)]
    fn more_fields(
        &mut self,
        text: Text<'_>,
        start: usize,
        mut node: u32,
        entry: u32,
        force: bool,
    ) -> Result<(u32, usize), Stop> {
        let bytes = text.padded;
        let mut at = start;
        if node == ROOT {
            while byte(bytes, at) == b' ' {
                at += 1;
            }
            if matches!(byte(bytes, at), b'\n' | b'\r') {
                return bad(at, Why::NoFields);
            }
        }
        loop {
            let fields_max = self.builder.limits().fields as usize;
            if self.shapes.depth(node) >= fields_max {
                return bad(at, Why::TooManyFields { max: fields_max });
            }
            // What came here last time: where its value begins, its kind and node.
            let guess = match self.shapes.guess(node) {
                Some(step) if step.begins(bytes, at) && self.shapes.continues(step, bytes, at) => {
                    Some((at + step.len as usize, step.kind, step.node))
                }
                _ => None,
            };
            let (from, key) = match guess {
                Some((from, ..)) => (from, None),
                None => {
                    let (key, from) = self.key(text, at, force)?;
                    (from, Some(key))
                }
            };
            let (payload, value_kind, end) = self.value(text, from)?;
            match byte(bytes, end) {
                b',' | b' ' | b'\n' => {}
                b'\r' if byte(bytes, end + 1) == b'\n' => {}
                _ => return bad(end, Why::BehindValue),
            }
            self.builder.values().push(payload);
            node = match (guess, key) {
                (Some((_, kind, node)), _) if kind == value_kind => node,
                (_, Some(key)) => self.shapes.child(node, key, value_kind, force)?,
                _ => {
                    let (key, _) = self.key(text, at, force)?;
                    self.shapes.child(node, key, value_kind, force)?
                }
            };
            if byte(bytes, end) != b',' {
                let plan = self.shapes.plan(node, force)?;
                self.warm.set_plan(entry, plan);
                return Ok((node, end));
            }
            at = end + 1;
        }
    }

    /// The key that begins at `start`, and where its value begins.
    #[inline]
    fn key(&mut self, text: Text<'_>, start: usize, force: bool) -> Result<(u32, usize), Stop> {
        // What is known was checked, so a look for the first equals sign is enough.
        let near = equals(text.padded, start);
        if let Some(end) = near
            && let Some(key) = self.shapes.find_key(text.padded, start, end + 1)
        {
            return Ok((key, end + 1));
        }
        self.add_key(text, start, force)
    }

    #[inline(never)]
    fn add_key(&mut self, text: Text<'_>, start: usize, force: bool) -> Result<(u32, usize), Stop> {
        let bytes = text.padded;
        let mut at = start;
        let mut escaped = false;
        loop {
            match byte(bytes, at) {
                b'=' => break,
                b'\\' => {
                    escaped = true;
                    at += 1 + is_escaped(byte(bytes, at + 1)) as usize;
                }
                b'\t' | 0 => return bad(at, Why::Control),
                b'\n' | b' ' | b',' => {
                    return bad(
                        start,
                        if at == start { Why::NoFieldKey } else { Why::NoFieldEquals },
                    );
                }
                _ => at += 1,
            }
            if at >= text.end {
                return bad(start, Why::NoFieldEquals);
            }
        }
        if at == start {
            return bad(start, Why::NoFieldKey);
        }
        let max = self.builder.limits().name_bytes as usize;
        if at - start > max {
            return bad(start, Why::KeyTooLong { max });
        }
        let raw = bytes.get(start..=at).unwrap_or_default();
        let key = match std::str::from_utf8(&raw[..raw.len() - 1]) {
            Ok(key) => key,
            Err(error) => return bad(start + error.valid_up_to(), Why::NotUtf8),
        };
        let key = if escaped {
            self.unescaped.clear();
            unescape(&mut self.unescaped, key, false);
            self.shapes.add_key(raw, &self.unescaped, force)?
        } else {
            self.shapes.add_key(raw, key, force)?
        };
        Ok((key, at + 1))
    }

    /// The value that begins at `start`: payload, kind and end.
    #[inline]
    fn value(&mut self, text: Text<'_>, start: usize) -> Result<(u64, u8, usize), Stop> {
        let bytes = text.padded;
        match byte(bytes, start) {
            b'0'..=b'9' | b'-' | b'.' => {
                if let Some((value, end)) = short_decimal(bytes, start)
                    && matches!(byte(bytes, end), b',' | b' ' | b'\n')
                {
                    return Ok((value.to_bits(), kind::F64, end));
                }
                if let Some((value, end)) = short_digits(bytes, start)
                    && byte(bytes, end) == b'i'
                {
                    return Ok((value, kind::I64, end + 1));
                }
                number_value(bytes, start)
            }
            b'"' => self.text_value(text, start),
            b't' | b'T' | b'f' | b'F' => match boolean(bytes, start) {
                Some((payload, end)) => Ok((payload, kind::BOOL, end)),
                None => bad(start, Why::NotAValue),
            },
            b',' | b' ' | b'\n' => bad(start, Why::NoValue),
            b'\r' if byte(bytes, start + 1) == b'\n' => bad(start, Why::NoValue),
            _ => bad(start, Why::NotAValue),
        }
    }

    fn text_value(&mut self, text: Text<'_>, start: usize) -> Result<(u64, u8, usize), Stop> {
        let Quoted::Closed(close) = quoted(text.whole(), start, true) else {
            return bad(start, Why::OpenString);
        };
        let raw = text.padded.get(start + 1..close).unwrap_or_default();
        let value = match std::str::from_utf8(raw) {
            Ok(value) => value,
            Err(error) => return bad(start + 1 + error.valid_up_to(), Why::NotUtf8),
        };
        let payload = if value.contains('\\') {
            self.unescaped.clear();
            unescape_string(&mut self.unescaped, value);
            self.builder.push_text(&self.unescaped)
        } else {
            self.builder.push_text(value)
        };
        Ok((payload, kind::TEXT, close + 1))
    }

    /// The time behind the fields, and where the next line begins.
    #[inline(always)]
    fn time(&mut self, text: Text<'_>, at: usize, default_time: i64) -> Result<(i64, usize), Stop> {
        let bytes = text.padded;
        if byte(bytes, at) == b'\n' {
            return Ok((default_time, at + 1));
        }
        if self.unit_ns == 1
            && byte(bytes, at) == b' '
            && let Some(time) = self.times.nineteen_digits(bytes, at + 1)
            && time <= i64::MAX as u64
            && byte(bytes, at + 20) == b'\n'
        {
            return Ok((time as i64, at + 21));
        }
        self.other_time(text, at, default_time)
    }

    #[inline(never)]
    fn other_time(
        &self,
        text: Text<'_>,
        at: usize,
        default_time: i64,
    ) -> Result<(i64, usize), Stop> {
        let bytes = text.padded;
        let mut at = at;
        while byte(bytes, at) == b' ' {
            at += 1;
        }
        let line_end = |at: usize| match byte(bytes, at) {
            b'\n' => Some(at + 1),
            b'\r' if byte(bytes, at + 1) == b'\n' => Some(at + 2),
            _ => None,
        };
        if let Some(next) = line_end(at) {
            return Ok((default_time, next));
        }
        let start = at;
        let negative = byte(bytes, at) == b'-';
        at += negative as usize;
        if !byte(bytes, at).is_ascii_digit() {
            return bad(start, Why::NotATime);
        }
        let Some((magnitude, end)) = digits(bytes, at) else {
            return bad(start, Why::TimeRange);
        };
        let time = if negative {
            0_i64.checked_sub_unsigned(magnitude)
        } else {
            i64::try_from(magnitude).ok()
        };
        let Some(time) = time.and_then(|time| time.checked_mul(self.unit_ns)) else {
            return bad(start, Why::TimeRange);
        };
        let mut at = end;
        if line_end(at).is_none() && byte(bytes, at) != b' ' {
            return bad(start, Why::NotATime);
        }
        while byte(bytes, at) == b' ' {
            at += 1;
        }
        match line_end(at) {
            Some(next) => Ok((time, next)),
            None => bad(at, Why::BehindTime),
        }
    }
}

/// A float where one is expected: its bits and its end. What stands behind it is not looked at.
#[inline(always)]
fn float(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    match short_decimal(bytes, at) {
        Some((value, end)) => Some((value.to_bits(), end)),
        None => other_float(bytes, at),
    }
}

#[inline(never)]
fn other_float(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    if byte(bytes, at) == b'-'
        && let Some((value, end)) = short_decimal(bytes, at + 1)
    {
        return Some(((-value).to_bits(), end));
    }
    let number = number(bytes, at).ok()?;
    let value = number.to_f64(bytes);
    value.is_finite().then(|| (value.to_bits(), number.end))
}

/// A signed integer where one is expected: its payload and the end behind its `i`.
#[inline(always)]
fn integer(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    match short_digits(bytes, at) {
        Some((value, end)) if byte(bytes, end) == b'i' => Some((value, end + 1)),
        _ => other_integer(bytes, at),
    }
}

#[inline(never)]
fn other_integer(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let negative = byte(bytes, at) == b'-';
    let (magnitude, end) = digits(bytes, at + negative as usize)?;
    if byte(bytes, end) != b'i' {
        return None;
    }
    let value = if negative {
        0_i64.checked_sub_unsigned(magnitude)?
    } else {
        i64::try_from(magnitude).ok()?
    };
    Some((value as u64, end + 1))
}

/// An unsigned integer where one is expected: its payload and the end behind its `u`.
#[inline]
fn unsigned(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let (value, end) = digits(bytes, at)?;
    (byte(bytes, end) == b'u').then_some((value, end + 1))
}

/// A boolean: its payload and its end.
#[inline]
fn boolean(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = byte(bytes, at);
    let truth = matches!(first, b't' | b'T');
    if !byte(bytes, at + 1).is_ascii_alphabetic() {
        return matches!(first, b't' | b'T' | b'f' | b'F').then_some((truth as u64, at + 1));
    }
    let words: [&[u8]; 3] =
        if truth { [b"true", b"True", b"TRUE"] } else { [b"false", b"False", b"FALSE"] };
    let len = if truth { 4 } else { 5 };
    let found = bytes.get(at..at + len)?;
    words.contains(&found).then_some((truth as u64, at + len))
}

/// A quoted string without escapes and line ends: its text and the place behind it.
#[inline(always)]
fn plain_text<'a>(text: Text<'a>, at: usize) -> Option<(&'a str, usize)> {
    if byte(text.padded, at) != b'"' {
        return None;
    }
    let rest = text.from(at + 1);
    let close = memchr::memchr3(b'"', b'\\', b'\n', rest)?;
    if rest[close] != b'"' {
        return None;
    }
    let value = std::str::from_utf8(&rest[..close]).ok()?;
    Some((value, at + close + 2))
}

fn number_value(bytes: &[u8], start: usize) -> Result<(u64, u8, usize), Stop> {
    let Ok(number) = number(bytes, start) else { return bad(start, Why::NotAValue) };
    match byte(bytes, number.end) {
        b'i' if number.is_integer() => match number.to_i64(bytes) {
            Some(value) => Ok((value as u64, kind::I64, number.end + 1)),
            None => bad(start, Why::IntegerRange),
        },
        b'u' if number.is_integer() => match number.to_u64(bytes) {
            Some(value) if !number.negative => Ok((value, kind::U64, number.end + 1)),
            _ => bad(start, Why::UnsignedRange),
        },
        _ => {
            let value = number.to_f64(bytes);
            if !value.is_finite() {
                return bad(start, Why::FloatRange);
            }
            Ok((value.to_bits(), kind::F64, number.end))
        }
    }
}

/// The place of the first equals sign among the next 64 bytes.
#[inline]
fn equals(bytes: &[u8], start: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const EQUALS: u64 = ONES * b'=' as u64;
    for block in 0..8 {
        let differs = word(bytes, start + block * 8) ^ EQUALS;
        let found = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
        if found != 0 {
            return Some(start + block * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    None
}
