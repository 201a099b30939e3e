//! Takes a record apart the long way: its values in order, with the flattened key of each and the
//! bytes that stand before it.

use super::scan::{Bad, Class, Why, bad, double, literal, skip_blanks, string, unescape};
use crate::number::read::byte;

/// Objects and arrays within each other.
pub const DEPTH_MAX: usize = 128;
/// Values in one record.
pub const VALUES_MAX: usize = 65_536;

/// One value of a record.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// The bytes between the value before and this one: braces, commas and keys.
    pub gap: (usize, usize),
    /// The value's first byte.
    pub value: usize,
    /// What it is.
    pub class: Class,
    /// Its flattened key, in [`Events::keys`].
    pub key: (usize, usize),
    /// Whether a later value stands under the same key, or under one it is within.
    pub replaced: bool,
}

/// A record taken apart.
#[derive(Default)]
pub struct Events {
    pub events: Vec<Event>,
    pub keys: String,
    /// The bytes behind the last value, up to and with the closing brace.
    pub end: (usize, usize),
    stack: Vec<Frame>,
    /// Members of the objects that are open: key, first event, end of its events.
    members: Vec<((usize, usize), usize, usize)>,
    path: String,
    order: Vec<usize>,
}

struct Frame {
    is_array: bool,
    /// Items so far.
    count: usize,
    /// Bytes of the path of this object or array.
    path: usize,
    /// Its first member.
    members: usize,
}

impl Events {
    pub fn key(&self, event: &Event) -> &str {
        self.keys.get(event.key.0..event.key.1).unwrap_or_default()
    }

    /// Takes the object whose brace stands at `start` apart. A line end stands behind `text`.
    pub fn take_apart(&mut self, text: &[u8], start: usize) -> Result<(), Bad> {
        self.events.clear();
        self.keys.clear();
        self.stack.clear();
        self.members.clear();
        self.path.clear();
        if byte(text, start) != b'{' {
            return bad(start, Why::NotAnObject);
        }
        let mut gap = start;
        let mut at = start;
        loop {
            // A value begins at `at`.
            match byte(text, at) {
                open @ (b'{' | b'[') => {
                    if self.stack.len() == DEPTH_MAX {
                        return bad(at, Why::Depth);
                    }
                    self.stack.push(Frame {
                        is_array: open == b'[',
                        count: 0,
                        path: self.path.len(),
                        members: self.members.len(),
                    });
                    at = skip_blanks(text, at + 1);
                    if byte(text, at) != open + 2 {
                        at = self.item(text, at)?;
                        continue;
                    }
                }
                _ => {
                    let (class, end) = value(text, at)?;
                    if self.events.len() == VALUES_MAX {
                        return bad(at, Why::Values);
                    }
                    let key = self.keys.len();
                    self.keys.push_str(&self.path);
                    self.events.push(Event {
                        gap: (gap, at),
                        value: at,
                        class,
                        key: (key, self.keys.len()),
                        replaced: false,
                    });
                    gap = end;
                    at = skip_blanks(text, end);
                }
            }
            // A value has ended before `at`, or its empty container ends there.
            loop {
                let Some(frame) = self.stack.last() else {
                    return bad(at, Why::NotAnObject);
                };
                let (path, close) = (frame.path, if frame.is_array { b']' } else { b'}' });
                let found = byte(text, at);
                if found == close {
                    if self.close() {
                        self.end = (gap, at + 1);
                        self.mark_replaced();
                        return Ok(());
                    }
                    at = skip_blanks(text, at + 1);
                    continue;
                }
                if found != b',' {
                    return bad(
                        at,
                        Why::Expected(match close {
                            b'}' => "a comma or a closing brace",
                            _ => "a comma or a closing bracket",
                        }),
                    );
                }
                self.path.truncate(path);
                at = skip_blanks(text, at + 1);
                at = self.item(text, at)?;
                break;
            }
        }
    }

    /// Reads the key of an object's member, or counts an array's item, and gives the place of its
    /// value.
    fn item(&mut self, text: &[u8], at: usize) -> Result<usize, Bad> {
        let events = self.events.len();
        let Some(frame) = self.stack.last_mut() else { return Ok(at) };
        let nested = frame.path > 0;
        if frame.is_array {
            use std::fmt::Write;
            if nested {
                self.path.push('_');
            }
            let _ = write!(self.path, "{}", frame.count);
            frame.count += 1;
            return Ok(at);
        }
        frame.count += 1;
        if let Some(open) = self.members.get_mut(frame.members..).and_then(<[_]>::last_mut) {
            open.2 = events;
        }
        if byte(text, at) != b'"' {
            return bad(at, Why::Expected("a key in double quotes"));
        }
        let (close, escaped) = string(text, at)?;
        let raw = text.get(at + 1..close).unwrap_or_default();
        if nested {
            self.path.push('_');
        }
        let start = self.keys.len();
        if escaped {
            unescape(&mut self.keys, raw);
        } else {
            self.keys.push_str(str::from_utf8(raw).unwrap_or_default());
        }
        self.path.push_str(self.keys.get(start..).unwrap_or_default());
        self.members.push(((start, self.keys.len()), events, events));
        let colon = skip_blanks(text, close + 1);
        if byte(text, colon) != b':' {
            return bad(colon, Why::Expected("a colon behind the key"));
        }
        Ok(skip_blanks(text, colon + 1))
    }

    /// Closes the innermost container. True if it was the record itself.
    fn close(&mut self) -> bool {
        let Some(frame) = self.stack.pop() else { return true };
        if !frame.is_array {
            let events = self.events.len();
            if let Some(open) = self.members.get_mut(frame.members..).and_then(<[_]>::last_mut) {
                open.2 = events;
            }
            self.replace_members(frame.members);
            self.members.truncate(frame.members);
        }
        self.path.truncate(frame.path);
        self.stack.is_empty()
    }

    /// Of an object's members with one key, the last counts with all that is in it.
    fn replace_members(&mut self, first: usize) {
        let Some(members) = self.members.get(first..) else { return };
        let keys = &self.keys;
        let key = |at: usize| keys.get(members[at].0.0..members[at].0.1).unwrap_or_default();
        let replaced = |at: usize, events: &mut [Event]| {
            for event in events.get_mut(members[at].1..members[at].2).unwrap_or_default() {
                event.replaced = true;
            }
        };
        if members.len() <= 8 {
            for at in 0..members.len() {
                if (at + 1..members.len()).any(|later| key(later) == key(at)) {
                    replaced(at, &mut self.events);
                }
            }
            return;
        }
        self.order.clear();
        self.order.extend(0..members.len());
        self.order.sort_by(|&a, &b| key(a).cmp(key(b)).then(a.cmp(&b)));
        for pair in self.order.windows(2) {
            if key(pair[0]) == key(pair[1]) {
                replaced(pair[0], &mut self.events);
            }
        }
    }

    /// Different paths may flatten to one key: the last counts. Null is no value.
    fn mark_replaced(&mut self) {
        let (events, keys) = (&mut self.events, &self.keys);
        let key = |event: &Event| keys.get(event.key.0..event.key.1).unwrap_or_default();
        self.order.clear();
        let counts = |event: &Event| !event.replaced && event.class != Class::Null;
        self.order.extend((0..events.len()).filter(|&at| counts(&events[at])));
        self.order.sort_by(|&a, &b| key(&events[a]).cmp(key(&events[b])).then(a.cmp(&b)));
        for pair in self.order.windows(2) {
            if key(&events[pair[0]]) == key(&events[pair[1]]) {
                events[pair[0]].replaced = true;
            }
        }
    }
}

/// Reads a value that is no container: what it is and its end.
pub fn value(text: &[u8], at: usize) -> Result<(Class, usize), Bad> {
    match byte(text, at) {
        b'"' => {
            let (close, _) = string(text, at)?;
            Ok((Class::Text, close + 1))
        }
        b'-' | b'0'..=b'9' => {
            let (_, end) = double(text, at)?;
            Ok((Class::Number, end))
        }
        _ => match literal(text, at) {
            Some(literal) => Ok(literal),
            None => bad(at, Why::Expected("a value")),
        },
    }
}
