//! The scalar functions: names, arguments, results, kernels.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::arith::{self, Fault, floats, map, mismatch, zip};
use super::{Context, Frame, both, compare, eval, text};
use crate::ast::ArithOp;
use crate::plan::Node;
use crate::time;
use crate::vector::{Bits, Cell, Data, Kind, Vector};

macro_rules! functions {
    ($($variant:ident $names:tt $args:tt $min:literal => $result:ident),* $(,)?) => {
        /// A scalar function.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Function {
            $($variant,)*
        }

        /// All of them.
        pub const CATALOGUE: &[Signature] = &[
            $(Signature {
                function: Function::$variant,
                names: &$names,
                args: &$args,
                min: $min,
                result: Kind::$result,
            },)*
        ];
    };
}

/// How a function is called.
pub struct Signature {
    pub function: Function,
    /// The first is the one that errors speak of.
    pub names: &'static [&'static str],
    /// The kind of each argument; the last one may repeat if it is [`Arg::More`].
    pub args: &'static [Arg],
    /// How many arguments there must be.
    pub min: usize,
    /// [`Kind::Any`] if it depends on the arguments.
    pub result: Kind,
}

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    Number,
    Int,
    Text,
    Time,
    Interval,
    Any,
    /// Any number of further ones, of any kind.
    More,
}

use Arg::{Any, Int, Interval, More, Number, Text, Time};

functions! {
    Abs ["abs"] [Number] 1 => Any,
    Sign ["sign"] [Number] 1 => Float,
    Round ["round"] [Number, Int] 1 => Float,
    Floor ["floor"] [Number] 1 => Float,
    Ceil ["ceil", "ceiling"] [Number] 1 => Float,
    Trunc ["trunc"] [Number] 1 => Float,
    Sqrt ["sqrt"] [Number] 1 => Float,
    Cbrt ["cbrt"] [Number] 1 => Float,
    Exp ["exp"] [Number] 1 => Float,
    Ln ["ln"] [Number] 1 => Float,
    Log10 ["log10", "log"] [Number] 1 => Float,
    Log2 ["log2"] [Number] 1 => Float,
    Pow ["pow", "power"] [Number, Number] 2 => Float,
    Mod ["mod"] [Number, Number] 2 => Any,
    Sin ["sin"] [Number] 1 => Float,
    Cos ["cos"] [Number] 1 => Float,
    Tan ["tan"] [Number] 1 => Float,
    Atan ["atan"] [Number] 1 => Float,
    Atan2 ["atan2"] [Number, Number] 2 => Float,
    Degrees ["degrees"] [Number] 1 => Float,
    Radians ["radians"] [Number] 1 => Float,
    Pi ["pi"] [] 0 => Float,
    Least ["least"] [Any, More] 1 => Any,
    Greatest ["greatest"] [Any, More] 1 => Any,
    Coalesce ["coalesce", "ifnull"] [Any, More] 1 => Any,
    NullIf ["nullif"] [Any, Any] 2 => Any,
    Lower ["lower"] [Text] 1 => Text,
    Upper ["upper"] [Text] 1 => Text,
    Trim ["trim", "btrim"] [Text, Text] 1 => Text,
    LTrim ["ltrim"] [Text, Text] 1 => Text,
    RTrim ["rtrim"] [Text, Text] 1 => Text,
    Length ["length", "char_length", "character_length"] [Text] 1 => Int,
    OctetLength ["octet_length"] [Text] 1 => Int,
    Substr ["substr", "substring"] [Text, Int, Int] 2 => Text,
    Left ["left"] [Text, Int] 2 => Text,
    Right ["right"] [Text, Int] 2 => Text,
    Replace ["replace"] [Text, Text, Text] 3 => Text,
    SplitPart ["split_part"] [Text, Text, Int] 3 => Text,
    Concat ["concat"] [Any, More] 1 => Text,
    ConcatWs ["concat_ws"] [Text, Any, More] 2 => Text,
    StartsWith ["starts_with"] [Text, Text] 2 => Bool,
    EndsWith ["ends_with"] [Text, Text] 2 => Bool,
    Contains ["contains"] [Text, Text] 2 => Bool,
    StrPos ["strpos", "instr"] [Text, Text] 2 => Int,
    Reverse ["reverse"] [Text] 1 => Text,
    Repeat ["repeat"] [Text, Int] 2 => Text,
    LPad ["lpad"] [Text, Int, Text] 2 => Text,
    RPad ["rpad"] [Text, Int, Text] 2 => Text,
    Now ["now", "current_timestamp"] [] 0 => Time,
    DateTrunc ["date_trunc"] [Text, Time] 2 => Time,
    DateBin ["date_bin", "time_bucket"] [Interval, Time, Time] 2 => Time,
    Extract ["extract", "date_part"] [Text, Time] 2 => Float,
    ToUnixTime ["to_unixtime", "unix_timestamp"] [Time] 1 => Float,
    FromUnixTime ["from_unixtime", "to_timestamp"] [Number] 1 => Time,
}

/// Finds a function by any of its names, in lower case.
pub fn find(name: &str) -> Option<&'static Signature> {
    CATALOGUE.iter().find(|signature| signature.names.contains(&name))
}

impl Signature {
    /// How it is called, for errors: `round(number [, integer])`.
    pub fn usage(&self) -> String {
        let mut out = format!("{}(", self.names[0]);
        for (at, arg) in self.args.iter().enumerate() {
            let word = match arg {
                Number => "number",
                Int => "integer",
                Text => "text",
                Time => "time",
                Interval => "'length of time'",
                Any => "value",
                More => "...",
            };
            let optional = at >= self.min && *arg != More;
            out.push_str(if optional { " [" } else { "" });
            out.push_str(if at > 0 { ", " } else { "" });
            out.push_str(word);
            out.push_str(if optional { "]" } else { "" });
        }
        out + ")"
    }

    /// What the argument at that place must be; `None` if there is no such place.
    pub fn arg(&self, at: usize) -> Option<Arg> {
        match (self.args.get(at), self.args.last()) {
            (Some(More), _) | (None, Some(More)) => Some(Any),
            (arg, _) => arg.copied(),
        }
    }
}

impl Arg {
    /// Whether a value of that kind will do. Literal texts pass for times and lengths of time.
    pub fn takes(self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (_, Kind::Any | Kind::Null)
                | (Any | More, _)
                | (Number, Kind::Int | Kind::Float)
                | (Int, Kind::Int)
                | (Text, Kind::Text)
                | (Time, Kind::Time | Kind::Text)
                | (Interval, Kind::Interval | Kind::Text)
        )
    }
}

/// Calls a function for all rows.
pub fn call<'a>(
    function: Function,
    args: &'a [Node],
    frame: &dyn Frame<'a>,
    cx: &mut Context,
) -> Vector<'a> {
    let n = frame.len();
    if let Function::Coalesce = function {
        return coalesce(args, frame, cx);
    }
    let args: Vec<Vector<'a>> = args.iter().map(|node| eval(node, frame, cx)).collect();
    use Function as F;
    match function {
        F::Now => Vector::constant(Data::Time(vec![cx.now])),
        F::Pi => Vector::constant(Data::Float(vec![std::f64::consts::PI])),
        F::Concat | F::ConcatWs => concat(function, &args, n, cx),
        F::Least => extreme(args, Ordering::Less, n, cx),
        F::Greatest => extreme(args, Ordering::Greater, n, cx),
        F::NullIf => null_if(&args, n, cx),
        _ if args.iter().any(Vector::is_null) => Vector::null(),
        F::Mod => {
            let mut args = args.into_iter();
            match (args.next(), args.next()) {
                (Some(a), Some(b)) => arith::arith(ArithOp::Mod, a, b, n, cx),
                _ => Vector::null(),
            }
        }
        F::Abs => match &args[0].data {
            Data::Int { values, unsigned } => {
                let valid = args[0].validity(n);
                let (values, valid) =
                    map((values, args[0].constant), valid, n, cx, |v: i128| Ok(v.abs()));
                Vector::with(Data::Int { values, unsigned: *unsigned }, valid)
            }
            _ => float1(&args[0], n, cx, f64::abs),
        },
        F::Sign => float1(&args[0], n, cx, |v| if v == 0.0 { 0.0 } else { v.signum() }),
        F::Round if args.len() > 1 => float_int(&args[0], &args[1], n, cx, round_to),
        F::Round => float1(&args[0], n, cx, f64::round_ties_even),
        F::Floor => float1(&args[0], n, cx, f64::floor),
        F::Ceil => float1(&args[0], n, cx, f64::ceil),
        F::Trunc => float1(&args[0], n, cx, f64::trunc),
        F::Sqrt => float1(&args[0], n, cx, f64::sqrt),
        F::Cbrt => float1(&args[0], n, cx, f64::cbrt),
        F::Exp => float1(&args[0], n, cx, f64::exp),
        F::Ln => float1(&args[0], n, cx, f64::ln),
        F::Log10 => float1(&args[0], n, cx, f64::log10),
        F::Log2 => float1(&args[0], n, cx, f64::log2),
        F::Sin => float1(&args[0], n, cx, f64::sin),
        F::Cos => float1(&args[0], n, cx, f64::cos),
        F::Tan => float1(&args[0], n, cx, f64::tan),
        F::Atan => float1(&args[0], n, cx, f64::atan),
        F::Degrees => float1(&args[0], n, cx, f64::to_degrees),
        F::Radians => float1(&args[0], n, cx, f64::to_radians),
        F::Pow => float2(&args[0], &args[1], n, cx, f64::powf),
        F::Atan2 => float2(&args[0], &args[1], n, cx, f64::atan2),
        F::DateTrunc | F::Extract => date_part(function, &args, n, cx),
        F::DateBin => date_bin(&args, n, cx),
        F::ToUnixTime => match &args[0].data {
            Data::Time(values) => {
                let valid = args[0].validity(n);
                let (values, valid) =
                    map((values, args[0].constant), valid, n, cx, |v: i64| Ok(time::seconds(v)));
                Vector::with(Data::Float(values), valid)
            }
            _ => mismatch(args[0].validity(n), n, cx),
        },
        F::FromUnixTime => from_unix_time(&args[0], n, cx),
        _ => texts(function, &args, n, cx),
    }
}

fn domain(value: f64) -> Result<f64, Fault> {
    if value.is_finite() { Ok(value) } else { Err(Fault::Domain) }
}

fn float1<'a>(a: &Vector<'a>, n: usize, cx: &mut Context, f: impl Fn(f64) -> f64) -> Vector<'a> {
    let valid = a.validity(n);
    let Some(values) = floats(&a.data) else { return mismatch(valid, n, cx) };
    let (values, valid) = map((&values, a.constant), valid, n, cx, |v| domain(f(v)));
    Vector::with(Data::Float(values), valid)
}

fn float2<'a>(
    a: &Vector<'a>,
    b: &Vector<'a>,
    n: usize,
    cx: &mut Context,
    f: impl Fn(f64, f64) -> f64,
) -> Vector<'a> {
    let valid = both(&a.validity(n), &b.validity(n));
    let (Some(x), Some(y)) = (floats(&a.data), floats(&b.data)) else {
        return mismatch(valid, n, cx);
    };
    let (values, valid) =
        zip((&x, a.constant), (&y, b.constant), valid, n, cx, |x, y| domain(f(x, y)));
    Vector::with(Data::Float(values), valid)
}

fn float_int<'a>(
    a: &Vector<'a>,
    b: &Vector<'a>,
    n: usize,
    cx: &mut Context,
    f: impl Fn(f64, i128) -> f64,
) -> Vector<'a> {
    let valid = both(&a.validity(n), &b.validity(n));
    let (Some(x), Data::Int { values: y, .. }) = (floats(&a.data), &b.data) else {
        return mismatch(valid, n, cx);
    };
    let (values, valid) =
        zip((&x, a.constant), (y, b.constant), valid, n, cx, |x, y| domain(f(x, y)));
    Vector::with(Data::Float(values), valid)
}

/// Rounds to a number of decimal places, halves away from zero, as they are written in decimal.
fn round_to(value: f64, places: i128) -> f64 {
    if !(-308..=17).contains(&places) {
        return if places > 0 { value } else { 0.0 };
    }
    let scale = 10_f64.powi(places.unsigned_abs() as i32);
    let scaled = if places >= 0 { value * scale } else { value / scale };
    if scaled.abs() >= 4.5e15 {
        return value;
    }
    // 1.005 is a little less than it says; what is within rounding error of a half counts as one.
    let nearest = (scaled + scaled.signum() * scaled.abs() * 4.0 * f64::EPSILON).round();
    if places >= 0 { nearest / scale } else { nearest * scale }
}

fn coalesce<'a>(args: &'a [Node], frame: &dyn Frame<'a>, cx: &mut Context) -> Vector<'a> {
    let n = frame.len();
    let mut open = Bits::new(n, true);
    let mut branches = Vec::with_capacity(args.len());
    for node in args {
        let value = eval(node, frame, cx);
        let taken = value.validity(n).map_or_else(|| open.clone(), |valid| valid.and(&open));
        open = open.and_not(&taken);
        branches.push((taken, value));
    }
    compare::select(&branches, n, cx)
}

/// The least or greatest of the values that are not NULL.
fn extreme<'a>(args: Vec<Vector<'a>>, wanted: Ordering, n: usize, cx: &mut Context) -> Vector<'a> {
    let op = if wanted.is_lt() { crate::ast::CompareOp::Lt } else { crate::ast::CompareOp::Gt };
    let mut best: Option<Vector<'a>> = None;
    for value in args {
        let Some(so_far) = best else {
            best = Some(value);
            continue;
        };
        let full = || Bits::new(n, true);
        let better = compare::compare(op, &value, &so_far, n, cx).trues(n);
        let old = so_far.validity(n).unwrap_or_else(full);
        let new = value.validity(n).unwrap_or_else(full);
        let takes_new = better.or(&new.and_not(&old));
        best =
            Some(compare::select(&[(takes_new.clone(), value), (takes_new.not(), so_far)], n, cx));
    }
    best.unwrap_or_else(Vector::null)
}

fn null_if<'a>(args: &[Vector<'a>], n: usize, cx: &mut Context) -> Vector<'a> {
    let [a, b] = args else { return Vector::null() };
    let equal = compare::compare(crate::ast::CompareOp::Eq, a, b, n, cx).trues(n);
    compare::select(&[(equal.not(), a.clone())], n, cx)
}

fn concat<'a>(function: Function, args: &[Vector<'a>], n: usize, cx: &mut Context) -> Vector<'a> {
    let (separator, parts) = match (function, args) {
        (Function::ConcatWs, [first, rest @ ..]) => (Some(first), rest),
        _ => (None, args),
    };
    let valid = separator.and_then(|separator| separator.validity(n));
    text::build(valid, n, cx, |row| {
        let between = separator.map(|s| s.cell(row).text().unwrap_or_default());
        let mut out = String::new();
        for (at, part) in parts.iter().filter(|part| part.is_valid(row)).enumerate() {
            if at > 0 {
                out.push_str(between.as_deref().unwrap_or_default());
            }
            out.push_str(&part.cell(row).text().unwrap_or_default());
        }
        Some(Cow::Owned(out))
    })
}

fn date_part<'a>(
    function: Function,
    args: &[Vector<'a>],
    n: usize,
    cx: &mut Context,
) -> Vector<'a> {
    let [unit, time] = args else { return Vector::null() };
    let time = literal_as(time, Kind::Time, cx);
    let valid = both(&unit.validity(n), &time.validity(n));
    let (Data::Text(units), Data::Time(times)) = (&unit.data, &time.data) else {
        return mismatch(valid, n, cx);
    };
    let units: Vec<&str> = units.iter().map(AsRef::as_ref).collect();
    let (u, t) = ((units.as_slice(), unit.constant), (times.as_slice(), time.constant));
    if function == Function::Extract {
        let (values, valid) = zip(u, t, valid, n, cx, |unit: &str, nanos| {
            time::extract(unit, nanos).ok_or(Fault::Domain)
        });
        return Vector::with(Data::Float(values), valid);
    }
    let (values, valid) = zip(u, t, valid, n, cx, |unit: &str, nanos| {
        time::truncate(unit, nanos).ok_or(Fault::Domain)
    });
    Vector::with(Data::Time(values), valid)
}

fn literal_as<'a>(a: &Vector<'a>, kind: Kind, cx: &mut Context) -> Vector<'a> {
    if a.constant && a.kind() == Kind::Text { super::cast::coerce(a, kind, cx) } else { a.clone() }
}

/// The beginning of the stretch of that length, counted from the epoch or an origin, that holds the
/// time.
fn date_bin<'a>(args: &[Vector<'a>], n: usize, cx: &mut Context) -> Vector<'a> {
    let step = literal_as(&args[0], Kind::Interval, cx);
    let time = literal_as(&args[1], Kind::Time, cx);
    let origin = args.get(2).map_or_else(
        || Vector::constant(Data::Time(vec![0])),
        |origin| literal_as(origin, Kind::Time, cx),
    );
    let valid = both(&both(&step.validity(n), &time.validity(n)), &origin.validity(n));
    let (Data::Interval(steps), Data::Time(times), Data::Time(origins)) =
        (&step.data, &time.data, &origin.data)
    else {
        return mismatch(valid, n, cx);
    };
    let rows: Vec<usize> = (0..n).collect();
    let (values, valid) = map((&rows, false), valid, n, cx, |row: usize| {
        let (step, at) = (steps[step.place(row)], times[time.place(row)]);
        let from = origins[origin.place(row)];
        if step <= 0 {
            return Err(Fault::Domain);
        }
        let into = (i128::from(at) - i128::from(from)).rem_euclid(i128::from(step));
        i64::try_from(i128::from(at) - into).map_err(|_| Fault::Overflow)
    });
    Vector::with(Data::Time(values), valid)
}

fn from_unix_time<'a>(a: &Vector<'a>, n: usize, cx: &mut Context) -> Vector<'a> {
    let valid = a.validity(n);
    let (values, valid) = match &a.data {
        Data::Int { values, .. } => map((values, a.constant), valid, n, cx, |v: i128| {
            i64::try_from(v * 1_000_000_000).map_err(|_| Fault::Overflow)
        }),
        Data::Float(values) => map((values, a.constant), valid, n, cx, |v: f64| {
            // Whole seconds and their fraction apart: one product would lose the nanoseconds.
            let whole = v.floor();
            if whole.abs() > 9.2e9 {
                return Err(Fault::Overflow);
            }
            Ok(whole as i64 * 1_000_000_000 + ((v - whole) * 1e9).round() as i64)
        }),
        _ => return mismatch(valid, n, cx),
    };
    Vector::with(Data::Time(values), valid)
}

/// Functions over text, row by row.
fn texts<'a>(function: Function, args: &[Vector<'a>], n: usize, cx: &mut Context) -> Vector<'a> {
    use Function as F;
    let valid = args.iter().fold(None, |valid, arg| both(&valid, &arg.validity(n)));
    let Data::Text(values) = &args[0].data else { return mismatch(valid, n, cx) };
    let is_text = |at: usize| args.get(at).is_none_or(|arg| arg.kind() == Kind::Text);
    let is_int = |at: usize| args.get(at).is_none_or(|arg| arg.kind() == Kind::Int);
    let fits = match function {
        F::Lower | F::Upper | F::Length | F::OctetLength | F::Reverse => true,
        F::Trim | F::LTrim | F::RTrim | F::StartsWith | F::EndsWith | F::Contains | F::StrPos => {
            is_text(1)
        }
        F::Replace => is_text(1) && is_text(2),
        F::SplitPart => is_text(1) && is_int(2),
        F::Substr => is_int(1) && is_int(2),
        F::Left | F::Right | F::Repeat => is_int(1),
        F::LPad | F::RPad => is_int(1) && is_text(2),
        _ => false,
    };
    if !fits {
        return mismatch(valid, n, cx);
    }
    let value = |row: usize| -> &Cow<'a, str> { &values[args[0].place(row)] };
    let text_at = |at: usize, row: usize| match args.get(at).map(|arg| (&arg.data, arg.place(row)))
    {
        Some((Data::Text(values), place)) => Some(values[place].as_ref()),
        _ => None,
    };
    let int_at = |at: usize, row: usize| match args.get(at).map(|arg| arg.cell(row)) {
        Some(Cell::Int(value, _)) => Some(value),
        _ => None,
    };
    let or_none = |at: usize, row: usize| text_at(at, row).unwrap_or_default();
    let owned = |text: String| Some(Cow::Owned(text));
    match function {
        F::StartsWith | F::EndsWith | F::Contains => {
            let bits = Bits::of(n, |row| {
                let (text, part) = (value(row), or_none(1, row));
                match function {
                    F::StartsWith => text.starts_with(part),
                    F::EndsWith => text.ends_with(part),
                    _ => text.contains(part),
                }
            });
            Vector::with(Data::Bool(bits), valid)
        }
        F::Length | F::OctetLength | F::StrPos => {
            let count = |row: usize| {
                let text = value(row);
                match function {
                    F::Length => text.chars().count(),
                    F::OctetLength => text.len(),
                    _ => text.find(or_none(1, row)).map_or(0, |at| text[..at].chars().count() + 1),
                }
            };
            let values = (0..n).map(|row| count(row) as i128).collect();
            Vector::with(Data::Int { values, unsigned: false }, valid)
        }
        _ => text::build(valid, n, cx, |row| {
            let text = value(row);
            match function {
                F::Lower => owned(text.to_lowercase()),
                F::Upper => owned(text.to_uppercase()),
                F::Reverse => owned(text.chars().rev().collect()),
                F::Replace => {
                    let from = or_none(1, row);
                    if from.is_empty() {
                        return Some(text.clone());
                    }
                    owned(text.replace(from, or_none(2, row)))
                }
                F::Trim | F::LTrim | F::RTrim => {
                    let chars: Vec<char> = text_at(1, row).unwrap_or(" ").chars().collect();
                    let cut = match function {
                        F::LTrim => text.trim_start_matches(chars.as_slice()),
                        F::RTrim => text.trim_end_matches(chars.as_slice()),
                        _ => text.trim_matches(chars.as_slice()),
                    };
                    owned(cut.to_owned())
                }
                F::Substr => {
                    let start = int_at(1, row)?;
                    let end = match int_at(2, row) {
                        Some(length) if length < 0 => return None,
                        Some(length) => start.saturating_add(length),
                        None => i128::MAX,
                    };
                    let skip = start.max(1) - 1;
                    let take = end.saturating_sub(start.max(1)).max(0);
                    owned(text.chars().skip(size(skip)).take(size(take)).collect())
                }
                F::Left | F::Right => {
                    let count = int_at(1, row)?;
                    let all = text.chars().count() as i128;
                    let count = if count < 0 { (all + count).max(0) } else { count.min(all) };
                    let skip = if function == F::Right { all - count } else { 0 };
                    owned(text.chars().skip(size(skip)).take(size(count)).collect())
                }
                F::SplitPart => {
                    let (by, part) = (or_none(1, row), int_at(2, row)?);
                    let parts: Vec<&str> =
                        if by.is_empty() { vec![text] } else { text.split(by).collect() };
                    let at = if part < 0 { parts.len() as i128 + part } else { part - 1 };
                    let found = usize::try_from(at).ok().and_then(|at| parts.get(at));
                    owned(found.copied().unwrap_or_default().to_owned())
                }
                F::Repeat => {
                    let times = size(int_at(1, row)?);
                    // One more than allowed is refused behind this.
                    let most = super::cast::MAX_TEXT / text.len().max(1) + 1;
                    owned(text.repeat(times.min(most)))
                }
                F::LPad | F::RPad => {
                    let length = size(int_at(1, row)?).min(super::cast::MAX_TEXT + 1);
                    let fill: Vec<char> = text_at(2, row).unwrap_or(" ").chars().collect();
                    let have = text.chars().count();
                    if have >= length || fill.is_empty() {
                        return owned(text.chars().take(length).collect());
                    }
                    let padding = fill.iter().cycle().take(length - have);
                    owned(match function {
                        F::LPad => padding.copied().chain(text.chars()).collect(),
                        _ => text.chars().chain(padding.copied()).collect(),
                    })
                }
                _ => None,
            }
        }),
    }
}

fn size(count: i128) -> usize {
    usize::try_from(count.max(0)).unwrap_or(usize::MAX)
}
