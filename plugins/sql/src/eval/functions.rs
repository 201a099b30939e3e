//! The scalar functions: names, arguments, results, kernels.

pub mod dates;
mod hashes;
mod json;
mod texts;

use std::borrow::Cow;
use std::cmp::Ordering;

use super::arith::{self, Fault, floats, map, mismatch, zip};
use super::{Context, Frame, both, compare, eval, text};
use crate::ast::ArithOp;
use crate::plan::Node;
use crate::time;
use crate::vector::{Bits, Data, Kind, Vector};

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
    ToNumber ["number"] [Any] 1 => Any,
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
    JsonGet ["->"] [Text, Any] 2 => Text,
    JsonText ["->>"] [Text, Any] 2 => Text,
    Md5 ["md5"] [Text] 1 => Text,
    Sha256 ["sha256"] [Text] 1 => Text,
    Now ["now", "current_timestamp"] [] 0 => Time,
    DateTrunc ["date_trunc"] [Text, Time, Text] 2 => Time,
    DateBin ["date_bin", "time_bucket"] [Interval, Time, Time, Text] 2 => Time,
    Extract ["extract", "date_part"] [Text, Time, Text] 2 => Float,
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
        if self.is_operator() {
            return format!("text {0} 'key' or text {0} place", self.names[0]);
        }
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

    /// Whether its name stands between its arguments.
    pub fn is_operator(&self) -> bool {
        self.names[0].starts_with('-')
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
        F::ToNumber => match args.into_iter().next() {
            Some(text) if text.kind() == Kind::Text => {
                super::cast::cast(text, crate::ast::CastTo::Float, n, cx)
            }
            other => other.unwrap_or_else(Vector::null),
        },
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
        F::JsonGet | F::JsonText => json::call(function, &args, n, cx),
        F::Md5 | F::Sha256 => hashes::call(function, &args, n, cx),
        _ => texts::call(function, &args, n, cx),
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

/// Rounds to a number of decimal places, halves away from zero, as the number is written in decimal:
/// 1.005 is a little less than it says.
fn round_to(value: f64, places: i128) -> f64 {
    // No float has digits beyond.
    let Ok(places @ -400..=400) = i32::try_from(places) else {
        return if places > 0 { value } else { 0.0 };
    };
    if (0..=15).contains(&places) {
        let scale = 10_f64.powi(places);
        let scaled = value * scale;
        let fraction = scaled.abs().fract();
        // Where rounding errors cannot reach a half, there is no need to write it.
        if scaled.abs() < 1e12 && (fraction - 0.5).abs() > 1e-3 {
            return scaled.round() / scale + 0.0;
        }
    }
    round_written(value, places).unwrap_or(value)
}

fn round_written(value: f64, places: i32) -> Option<f64> {
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e')?;
    let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().ok()?;
    let Ok(keep) = usize::try_from(exponent + 1 + places) else { return Some(0.0) };
    if keep >= digits.len() {
        return Some(value + 0.0);
    }
    let up = digits[keep] >= b'5';
    digits.truncate(keep);
    let written: u64 = String::from_utf8(digits).ok()?.parse().unwrap_or(0);
    let rounded: f64 = format!("{}e{}", written + u64::from(up), -places).parse().ok()?;
    Some(rounded.copysign(value) + 0.0)
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
    let [unit, time, ..] = args else { return Vector::null() };
    let Some(zone) = zone_of(args.get(2)) else { return Vector::null() };
    let time = literal_as(time, Kind::Time, cx);
    let valid = both(&unit.validity(n), &time.validity(n));
    let (Data::Text(units), Data::Time(times)) = (&unit.data, &time.data) else {
        return mismatch(valid, n, cx);
    };
    let units: Vec<&str> = units.iter().map(|unit| time::unit(unit.as_ref())).collect();
    let (u, t) = ((units.as_slice(), unit.constant), (times.as_slice(), time.constant));
    if function == Function::Extract {
        let (values, valid) = zip(u, t, valid, n, cx, |unit: &str, nanos| {
            let part = match &zone {
                Some(zone) => dates::extract(unit, nanos, zone),
                None => time::extract(unit, nanos),
            };
            part.ok_or(Fault::Domain)
        });
        return Vector::with(Data::Float(values), valid);
    }
    let (values, valid) = zip(u, t, valid, n, cx, |unit: &str, nanos| {
        let cut = match &zone {
            Some(zone) => dates::truncate(unit, nanos, zone),
            None => time::truncate(unit, nanos),
        };
        cut.ok_or(Fault::Domain)
    });
    Vector::with(Data::Time(values), valid)
}

/// The zone that a constant names, which was found when the statement was bound: none of no argument, and
/// nothing at all if it is gone.
fn zone_of(name: Option<&Vector<'_>>) -> Option<Option<jiff::tz::TimeZone>> {
    match name.map(|name| name.cell(0)) {
        None => Some(None),
        Some(crate::vector::Cell::Text(name)) => dates::zone(name).map(Some),
        Some(_) => None,
    }
}

fn literal_as<'a>(a: &Vector<'a>, kind: Kind, cx: &mut Context) -> Vector<'a> {
    if a.constant && a.kind() == Kind::Text { super::cast::coerce(a, kind, cx) } else { a.clone() }
}

/// The beginning of the stretch of that length, counted from the epoch or an origin, that holds the
/// time.
fn date_bin<'a>(args: &[Vector<'a>], n: usize, cx: &mut Context) -> Vector<'a> {
    let Some(zone) = zone_of(args.get(3)) else { return Vector::null() };
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
        if let Some(zone) = &zone {
            return dates::bin(step, at, from, zone).ok_or(Fault::Domain);
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
