//! Points as tests compare them: by name, tags, typed fields, and time.

use std::collections::BTreeMap;
use std::fmt;

use influxdb_line_protocol::{FieldValue, ParsedLine};

/// A field's value. Doubles are equal if they differ by rounding alone.
#[derive(Debug, Clone)]
pub enum Value {
    /// A double.
    F64(f64),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A boolean.
    Bool(bool),
    /// Text.
    Text(String),
}

/// How far two doubles may be apart, relative to the larger: sums of a hundred terms in another
/// order.
const ROUNDING: f64 = 1e-12;

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::F64(a), Value::F64(b)) => {
                a == b || (a - b).abs() <= ROUNDING * a.abs().max(b.abs())
            }
            (Value::I64(a), Value::I64(b)) => a == b,
            (Value::U64(a), Value::U64(b)) => a == b,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl Value {
    /// The number as a double.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::F64(v) => Some(v),
            Value::I64(v) => Some(v as f64),
            Value::U64(v) => Some(v as f64),
            _ => None,
        }
    }
}

/// A point.
#[derive(Clone, PartialEq)]
pub struct Point {
    /// The measurement.
    pub name: String,
    /// Tags by key.
    pub tags: BTreeMap<String, String>,
    /// Fields by key.
    pub fields: BTreeMap<String, Value>,
    /// Nanoseconds since the epoch.
    pub time: Option<i64>,
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        for (key, value) in &self.tags {
            write!(f, ",{key}={value}")?;
        }
        let mut separator = ' ';
        for (key, value) in &self.fields {
            write!(f, "{separator}{key}={value:?}")?;
            separator = ',';
        }
        match self.time {
            Some(time) => write!(f, " {time}"),
            None => Ok(()),
        }
    }
}

impl Point {
    /// The point without a tag.
    #[must_use]
    pub fn without_tag(mut self, key: &str) -> Point {
        self.tags.remove(key);
        self
    }

    /// The point without its time.
    #[must_use]
    pub fn without_time(mut self) -> Point {
        self.time = None;
        self
    }

    /// A field that is a number.
    ///
    /// # Panics
    /// If there is none of this key.
    pub fn number(&self, key: &str) -> f64 {
        match self.fields.get(key).and_then(Value::as_f64) {
            Some(number) => number,
            None => panic!("{self:?} has no number {key}"),
        }
    }

    /// A tag; empty if there is none of this key.
    pub fn tag(&self, key: &str) -> &str {
        self.tags.get(key).map_or("", String::as_str)
    }

    fn from_parsed(line: &ParsedLine<'_>) -> Point {
        let mut point = Point {
            name: line.series.measurement.to_string(),
            tags: BTreeMap::new(),
            fields: BTreeMap::new(),
            time: line.timestamp,
        };
        for (key, value) in line.series.tag_set.iter().flatten() {
            point.tags.insert(key.to_string(), value.to_string());
        }
        for (key, value) in &line.field_set {
            let value = match value {
                FieldValue::F64(v) => Value::F64(*v),
                FieldValue::I64(v) => Value::I64(*v),
                FieldValue::U64(v) => Value::U64(*v),
                FieldValue::Boolean(v) => Value::Bool(*v),
                FieldValue::String(v) => Value::Text(v.to_string()),
            };
            point.fields.insert(key.to_string(), value);
        }
        point
    }
}

/// Reads line protocol; `> ` in front of a line, as `--test` prints it, is passed over.
///
/// # Panics
/// With the line that is none.
pub fn parse(text: &str) -> Vec<Point> {
    let text: String = text.lines().map(|line| line.strip_prefix("> ").unwrap_or(line)).fold(
        String::with_capacity(text.len()),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    );
    influxdb_line_protocol::parse_lines(&text)
        .map(|line| match line {
            Ok(line) => Point::from_parsed(&line),
            Err(error) => panic!("not line protocol: {error}\n{text}"),
        })
        .collect()
}

/// Whether two sets of points are the same in any order; else what is missing and what is too many.
///
/// # Errors
/// The differences, for a person.
pub fn compare(expected: &[Point], found: &[Point]) -> Result<(), String> {
    let mut surplus: Vec<&Point> = found.iter().collect();
    let mut missing = Vec::new();
    for point in expected {
        match surplus.iter().position(|other| *other == point) {
            Some(at) => {
                surplus.swap_remove(at);
            }
            None => missing.push(point),
        }
    }
    if missing.is_empty() && surplus.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for (title, points) in [("missing", &missing), ("not expected", &surplus)] {
        for point in points.iter().take(20) {
            text.push_str(&format!("  {title}: {point:?}\n"));
        }
        if points.len() > 20 {
            text.push_str(&format!("  {title}: {} more\n", points.len() - 20));
        }
    }
    Err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_but_kinds_do() {
        let one = parse("a,x=1,y=2 f=1i,g=2 5\nb f=\"t\",h=true\n");
        let other = parse("> b h=true,f=\"t\"\n> a,y=2,x=1 g=2.0,f=1i 5\n");
        assert_eq!(compare(&one, &other), Ok(()));
        let kind = parse("b h=true,f=\"t\"\na,y=2,x=1 g=2.0,f=1 5\n");
        assert!(compare(&one, &kind).is_err());
        assert!(compare(&one, &one[..1]).is_err());
        assert!(compare(&one[..1], &one).is_err());
    }

    #[test]
    fn a_point_counts_as_often_as_it_comes() {
        let twice = parse("a f=1\na f=1\n");
        assert!(compare(&twice, &twice[..1]).is_err());
        assert_eq!(compare(&twice, &twice), Ok(()));
    }

    #[test]
    fn doubles_may_differ_by_rounding() {
        assert_eq!(Value::F64(18.000_000_000_000_004), Value::F64(18.0));
        assert_ne!(Value::F64(18.000_000_001), Value::F64(18.0));
        assert_eq!(Value::F64(0.0), Value::F64(0.0));
    }
}
