//! Columns of values: what expressions are evaluated over, a kernel at a time.

use std::borrow::Cow;

/// One bit for each row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    /// `len` bits that are all `value`.
    pub fn new(len: usize, value: bool) -> Self {
        let mut bits =
            Bits { words: vec![if value { u64::MAX } else { 0 }; len.div_ceil(64)], len };
        bits.trim();
        bits
    }

    /// Bits that a function of their place tells.
    #[inline]
    pub fn of(len: usize, mut bit: impl FnMut(usize) -> bool) -> Self {
        let mut words = Vec::with_capacity(len.div_ceil(64));
        let mut at = 0;
        while at < len {
            let end = (at + 64).min(len);
            let mut word = 0_u64;
            for place in at..end {
                word |= u64::from(bit(place)) << (place - at);
            }
            words.push(word);
            at = end;
        }
        Bits { words, len }
    }

    fn trim(&mut self) {
        if let Some(last) = self.words.last_mut()
            && !self.len.is_multiple_of(64)
        {
            *last &= u64::MAX >> (64 - self.len % 64);
        }
    }

    #[inline]
    pub fn get(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    #[inline]
    pub fn clear(&mut self, at: usize) {
        self.words[at / 64] &= !(1 << (at % 64));
    }

    /// How many bits are set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn zip(&self, other: &Bits, f: impl Fn(u64, u64) -> u64) -> Bits {
        let words = self.words.iter().zip(&other.words).map(|(a, b)| f(*a, *b)).collect();
        Bits { words, len: self.len }
    }

    pub fn and(&self, other: &Bits) -> Bits {
        self.zip(other, |a, b| a & b)
    }

    pub fn or(&self, other: &Bits) -> Bits {
        self.zip(other, |a, b| a | b)
    }

    pub fn and_not(&self, other: &Bits) -> Bits {
        self.zip(other, |a, b| a & !b)
    }

    pub fn not(&self) -> Bits {
        let mut bits = Bits { words: self.words.iter().map(|word| !word).collect(), len: self.len };
        bits.trim();
        bits
    }
}

/// The values of a vector, all of one kind. A place whose value is NULL holds anything.
#[derive(Debug, Clone, PartialEq)]
pub enum Data<'a> {
    /// NULL throughout.
    Null,
    Bool(Bits),
    /// Integers within one of the 64-bit types; those that fit both go out as unsigned ones if
    /// `unsigned`.
    Int {
        values: Vec<i128>,
        unsigned: bool,
    },
    Float(Vec<f64>),
    Text(Vec<Cow<'a, str>>),
    /// Nanoseconds since the epoch.
    Time(Vec<i64>),
    /// Nanoseconds.
    Interval(Vec<i64>),
}

/// A column of values, or one value that stands for a whole column.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector<'a> {
    pub data: Data<'a>,
    /// Which places are not NULL; all without it.
    pub valid: Option<Bits>,
    /// There is one place, which stands for all.
    pub constant: bool,
}

impl<'a> Vector<'a> {
    /// A column without NULLs.
    pub fn new(data: Data<'a>) -> Self {
        Vector { data, valid: None, constant: false }
    }

    /// A column of which some places are NULL.
    pub fn with(data: Data<'a>, valid: Option<Bits>) -> Self {
        Vector { data, valid, constant: false }
    }

    /// One value for all rows.
    pub fn constant(data: Data<'a>) -> Self {
        Vector { data, valid: None, constant: true }
    }

    /// NULL for all rows.
    pub fn null() -> Self {
        Vector { data: Data::Null, valid: None, constant: true }
    }

    /// Where the value of a row stands.
    #[inline]
    pub fn place(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }

    /// Whether the value of a row is not NULL.
    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        match (&self.data, &self.valid) {
            (Data::Null, _) => false,
            (_, None) => true,
            (_, Some(valid)) => valid.get(self.place(row)),
        }
    }

    /// Whether all is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    /// Which of `n` rows are not NULL; `None` for all.
    pub fn validity(&self, n: usize) -> Option<Bits> {
        if self.is_null() {
            return Some(Bits::new(n, false));
        }
        match &self.valid {
            None => None,
            Some(valid) if self.constant => Some(Bits::new(n, valid.get(0))),
            Some(valid) => Some(valid.clone()),
        }
    }

    /// The value of a row.
    pub fn cell(&self, row: usize) -> Cell<'_> {
        if !self.is_valid(row) {
            return Cell::Null;
        }
        let at = self.place(row);
        match &self.data {
            Data::Null => Cell::Null,
            Data::Bool(bits) => Cell::Bool(bits.get(at)),
            Data::Int { values, unsigned } => Cell::Int(values[at], *unsigned),
            Data::Float(values) => Cell::Float(values[at]),
            Data::Text(values) => Cell::Text(&values[at]),
            Data::Time(values) => Cell::Time(values[at]),
            Data::Interval(values) => Cell::Interval(values[at]),
        }
    }

    /// The rows where a Boolean is TRUE: neither FALSE nor NULL.
    pub fn trues(&self, n: usize) -> Bits {
        match &self.data {
            Data::Bool(bits) if self.constant => Bits::new(n, bits.get(0) && self.is_valid(0)),
            Data::Bool(bits) => match &self.valid {
                Some(valid) => bits.and(valid),
                None => bits.clone(),
            },
            _ => Bits::new(n, false),
        }
    }

    /// The kind of its values.
    pub fn kind(&self) -> Kind {
        match &self.data {
            Data::Null => Kind::Null,
            Data::Bool(_) => Kind::Bool,
            Data::Int { .. } => Kind::Int,
            Data::Float(_) => Kind::Float,
            Data::Text(_) => Kind::Text,
            Data::Time(_) => Kind::Time,
            Data::Interval(_) => Kind::Interval,
        }
    }
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Null,
    Bool(bool),
    /// With whether it goes out as an unsigned one if it fits both types.
    Int(i128, bool),
    Float(f64),
    Text(&'a str),
    Time(i64),
    Interval(i64),
}

impl<'a> Cell<'a> {
    /// The value as text, as CAST writes it; `None` for NULL.
    pub fn text(self) -> Option<Cow<'a, str>> {
        Some(match self {
            Cell::Null => return None,
            Cell::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Cell::Int(value, _) => Cow::Owned(value.to_string()),
            Cell::Float(value) => Cow::Owned(float_text(value)),
            Cell::Text(text) => Cow::Borrowed(text),
            Cell::Time(nanos) => Cow::Owned(crate::time::text(nanos)),
            Cell::Interval(nanos) => Cow::Owned(crate::duration::text(nanos)),
        })
    }
}

/// A float in its shortest form, with an exponent where that is shorter.
pub fn float_text(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-5..1e15).contains(&size) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// What is known of an expression's kind before there are points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Depends on the points.
    Any,
    Null,
    Bool,
    Int,
    Float,
    Text,
    Time,
    Interval,
}

impl Kind {
    /// What a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Any => "a value",
            Kind::Null => "NULL",
            Kind::Bool => "a Boolean",
            Kind::Int => "an integer",
            Kind::Float => "a float",
            Kind::Text => "text",
            Kind::Time => "a time",
            Kind::Interval => "a length of time",
        }
    }

    /// Whether a value of this kind may be a number.
    pub fn may_be_number(self) -> bool {
        matches!(self, Kind::Any | Kind::Null | Kind::Int | Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits() {
        for len in [0, 1, 63, 64, 65, 200] {
            let thirds = Bits::of(len, |i| i % 3 == 0);
            assert_eq!(thirds.count(), len.div_ceil(3));
            assert_eq!(thirds.not().count(), len - len.div_ceil(3));
            assert_eq!(thirds.or(&thirds.not()), Bits::new(len, true));
            assert_eq!(thirds.and(&thirds.not()).count(), 0);
            assert_eq!(Bits::new(len, true).and_not(&thirds), thirds.not());
        }
    }

    #[test]
    fn floats_as_text() {
        for (value, text) in
            [(1.0, "1"), (0.1, "0.1"), (1e20, "1e20"), (-2.5e-7, "-2.5e-7"), (0.0, "0")]
        {
            assert_eq!(float_text(value), text);
        }
    }
}
