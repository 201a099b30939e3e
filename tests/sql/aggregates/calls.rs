//! Aggregates, as both sides write them, and how their answers are compared.

use serde_json::Value as Json;

use super::scalar::{self, Scalar};
use super::{data, duckdb};
use crate::random::Random;
use crate::table::Kind;
use crate::value::{Value, near};

/// A column of a statement.
#[derive(Debug, Clone)]
pub struct Item {
    pub ours: String,
    /// One or more columns, which the check knows.
    pub theirs: Vec<String>,
    pub check: Check,
}

/// How an answer is held against the other side's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Check {
    /// Equal; floats within 1e-9 of the greater one.
    Equal,
    /// Theirs are the interpolated quantile, the number of values, and the two values that enclose it:
    /// equal while the values are few, behind that within 1 % of what encloses it.
    Quantile,
    /// Theirs is the exact count: within 2 %.
    Approximate,
    /// Theirs is the list of values: one of them.
    OneOf,
    /// Theirs are the value and a size: within 1e-9 of the size.
    Near,
    /// Theirs is a list of values with the negative counts of each: ours is the same in JSON.
    Ranked,
}

/// How many numbers a quantile keeps as they are.
const FEW: i128 = 64;

impl Check {
    pub fn holds(self, ours: &Value, theirs: &[Json]) -> bool {
        match self {
            Check::Equal => equal(ours, &duckdb::value(&theirs[0])),
            Check::OneOf => {
                let list = theirs[0].as_array().map_or(&[][..], Vec::as_slice);
                let given: Vec<Value> =
                    list.iter().map(duckdb::value).filter(|value| !value.is_null()).collect();
                if given.is_empty() { ours.is_null() } else { given.contains(ours) }
            }
            Check::Near => match (ours.number(), duckdb::value(&theirs[0]).number()) {
                (Some(ours), Some(wanted)) => {
                    let size = duckdb::value(&theirs[1]).number().unwrap_or_default();
                    (ours - wanted).abs() <= size * 1e-9
                }
                (ours, wanted) => ours == wanted,
            },
            Check::Ranked => ranked(ours, &theirs[0]),
            Check::Approximate => {
                let exact = duckdb::value(&theirs[0]).number().unwrap_or_default();
                // Below fifty: equal.
                let room = (exact * 0.02).floor();
                ours.number().is_some_and(|ours| (ours - exact).abs() <= room)
            }
            Check::Quantile => {
                let values: Vec<Value> = theirs.iter().map(duckdb::value).collect();
                let [exact, Value::Int(count), low, high] = values.as_slice() else { return false };
                if *count <= FEW {
                    return equal(ours, exact);
                }
                let (Some(ours), Some(low), Some(high)) =
                    (ours.number(), low.number(), high.number())
                else {
                    return false;
                };
                let room = |value: f64| value.abs() * 0.01 + 1e-9;
                (low - room(low)..=high + room(high)).contains(&ours)
            }
        }
    }
}

/// Whether a list of values with their counts is the same.
fn ranked(ours: &Value, theirs: &Json) -> bool {
    let Value::Text(text) = ours else { return ours.is_null() && theirs.is_null() };
    let (Ok(Json::Array(ours)), Some(theirs)) = (serde_json::from_str(text), theirs.as_array())
    else {
        return false;
    };
    let same = |(ours, theirs): (&Json, &Json)| {
        equal(&duckdb::value(&ours["value"]), &duckdb::value(&theirs["k"]))
            && ours["count"].as_i64().zip(theirs["c"].as_i64()).is_some_and(|(a, b)| a == -b)
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(same)
}

/// Whether both are the same; floats within rounding.
pub fn equal(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Float(_), _) | (_, Value::Float(_)) => match (ours.number(), theirs.number()) {
            (Some(a), Some(b)) => near(a, b, 1e-9),
            _ => false,
        },
        _ => ours == theirs,
    }
}

fn item(ours: String, theirs: String, check: Check) -> Item {
    Item { ours, theirs: vec![theirs], check }
}

/// A sum that fits neither 64-bit type is NULL.
fn in_range(sum: &str) -> String {
    format!("CASE WHEN {sum} BETWEEN -9223372036854775808 AND 18446744073709551615 THEN {sum} END")
}

/// A random aggregate.
pub fn random(random: &mut Random) -> Item {
    let filter = match random.below(4) {
        0 => format!(" FILTER (WHERE {})", scalar::condition(random)),
        _ => String::new(),
    };
    let plain = |name: &str, theirs: &str, of: &Scalar| {
        let (ours, theirs) =
            (format!("{name}({}){filter}", of.ours), format!("{theirs}({}){filter}", of.theirs));
        item(ours, theirs, Check::Equal)
    };
    match random.below(42) {
        0..=1 => item(format!("count(*){filter}"), format!("count(*){filter}"), Check::Equal),
        2 => plain("count", "count", &scalar::any(random)),
        3..=4 => sum(random, "", &filter),
        5..=6 => avg(random, "", &filter),
        7 => sum(random, "DISTINCT ", &filter),
        8 => avg(random, "DISTINCT ", &filter),
        9..=10 => {
            let of = scalar::any(random);
            item(
                format!("count(DISTINCT {}){filter}", of.ours),
                format!("count(DISTINCT {}){filter}", of.theirs),
                Check::Equal,
            )
        }
        11..=13 => plain("min", "min", &scalar::ordered(random)),
        14..=16 => plain("max", "max", &scalar::ordered(random)),
        17..=19 => end(random, &filter),
        20..=21 => {
            let (ours, theirs) = *random.pick(&[
                ("stddev", "stddev_samp"),
                ("stddev_samp", "stddev_samp"),
                ("stddev_pop", "stddev_pop"),
                ("variance", "var_samp"),
                ("var_samp", "var_samp"),
                ("var_pop", "var_pop"),
            ]);
            plain(ours, theirs, &scalar::number(random))
        }
        22..=23 => {
            let of = scalar::wide(random);
            let of = if random.chance(50) { of } else { scalar::float(random) };
            let wide = if of.kind == Kind::Int { "::HUGEINT" } else { "" };
            let end = |name: &str| format!("({name}({}){filter}){wide}", of.theirs);
            let theirs = format!("{} - {}", end("max"), end("min"));
            item(format!("spread({}){filter}", of.ours), theirs, Check::Equal)
        }
        24..=26 => quantile(random, &filter),
        27..=28 => {
            let of = scalar::any(random);
            item(
                format!("approx_distinct({}){filter}", of.ours),
                format!("count(DISTINCT {}){filter}", of.theirs),
                Check::Approximate,
            )
        }
        30..=31 => forecast(random, &filter, ""),
        32..=33 => histogram(random, &filter),
        34..=37 => frequent(random, &filter),
        38..=39 => {
            let of = scalar::number(random);
            let share = *random.pick(&["0", "0.25", "0.5", "0.99", "1"]);
            item(
                format!("exact_quantile({}, {share}){filter}", of.ours),
                format!("quantile_cont(({})::DOUBLE, {share}){filter}", of.theirs),
                Check::Equal,
            )
        }
        40..=41 => {
            let of = scalar::text(random);
            item(
                format!("string_agg({}, ', '){filter}", of.ours),
                format!("string_agg({0}, ', ' ORDER BY time, {0}){filter}", of.theirs),
                Check::Equal,
            )
        }
        _ => {
            let of = scalar::any(random);
            item(
                format!("any_value({}){filter}", of.ours),
                format!("list(DISTINCT {}){filter}", of.theirs),
                Check::OneOf,
            )
        }
    }
}

fn sum(random: &mut Random, distinct: &str, filter: &str) -> Item {
    if random.chance(50) {
        let of = scalar::float(random);
        let theirs = if distinct.is_empty() { "fsum" } else { "sum" };
        return item(
            format!("sum({distinct}{}){filter}", of.ours),
            format!("{theirs}({distinct}{}){filter}", of.theirs),
            Check::Equal,
        );
    }
    let of = scalar::wide(random);
    // Sums of unsigned integers are doubles there, unless they are widened.
    let theirs = in_range(&format!("sum({distinct}({})::HUGEINT){filter}", of.theirs));
    item(format!("sum({distinct}{}){filter}", of.ours), theirs, Check::Equal)
}

fn avg(random: &mut Random, distinct: &str, filter: &str) -> Item {
    let name = *random.pick(&["avg", "mean"]);
    let of = scalar::number(random);
    item(
        format!("{name}({distinct}{}){filter}", of.ours),
        format!("avg({distinct}{}){filter}", of.theirs),
        Check::Equal,
    )
}

/// First or last by time; at equal times the greatest value.
fn end(random: &mut Random, filter: &str) -> Item {
    let of = scalar::any(random);
    let (name, order) = *random.pick(&[("first", "ASC"), ("last", "DESC")]);
    let (value, given) = (&of.theirs, given(&of.theirs, filter));
    item(
        format!("{name}({}){filter}", of.ours),
        format!("first({value} ORDER BY time {order}, {value} DESC){given}"),
        Check::Equal,
    )
}

/// A filter that leaves out NULLs as well.
fn given(value: &str, filter: &str) -> String {
    match filter.strip_prefix(" FILTER (WHERE ").and_then(|rest| rest.strip_suffix(')')) {
        Some(condition) => format!(" FILTER (WHERE ({value}) IS NOT NULL AND ({condition}))"),
        None => format!(" FILTER (WHERE ({value}) IS NOT NULL)"),
    }
}

/// A line through the values; `over` stands behind each of their aggregates.
pub fn forecast(random: &mut Random, filter: &str, over: &str) -> Item {
    let of = scalar::number(random);
    let (ours, ahead) =
        *random.pick(&[("'10s'", 10), ("60", 60), ("INTERVAL '1 minute'", 60), ("0", 0)]);
    line(&of, (ours, ahead), filter, over)
}

/// The line through values, so many seconds ahead, as ours writes it and as a number.
///
/// Both sides round in each step, so that the answers differ by some ten units in the last place of the
/// largest number on the way: the largest value, or what the slope adds over the time at hand.
pub fn line(of: &Scalar, (ours, ahead): (&str, i64), filter: &str, over: &str) -> Item {
    let value = format!("({})::DOUBLE", of.theirs);
    let given = given(&of.theirs, filter);
    // Whole numbers of nanoseconds that a double can hold.
    let time = format!("(time - {})::DOUBLE", data::START * 1_000_000_000);
    let of_line = |name: &str| format!("{name}({value}, {time}){filter}{over}");
    let end = |name: &str| format!("{name}({time}){given}{over}");
    let (slope, first, last) = (of_line("regr_slope"), end("min"), end("max"));
    let (mean_time, mean) = (of_line("regr_avgx"), of_line("regr_avgy"));
    let ahead = ahead * 1_000_000_000_i64;
    let line = format!("{mean} + {slope} * ({last} + {ahead} - {mean_time})");
    let size = format!("max(abs({value})){filter}{over} + abs({slope}) * (2e11 + {ahead})");
    let if_several = |what: String| format!("CASE WHEN {last} > {first} THEN {what} END");
    Item {
        ours: format!("forecast({}, {ours}){filter}{over}", of.ours),
        theirs: vec![if_several(line), if_several(size)],
        check: Check::Near,
    }
}

/// Counts of values up to limits.
fn histogram(random: &mut Random, filter: &str) -> Item {
    let limits: &[&str] =
        random.pick::<&[&str]>(&[&["0"], &["-10", "0", "2.5", "100"], &["1", "2", "3"]]);
    counts(&scalar::number(random), limits, filter)
}

/// Counts of values up to given limits.
pub fn counts(of: &Scalar, limits: &[&str], filter: &str) -> Item {
    let given = given(&of.theirs, filter);
    let given = given.strip_suffix(')').unwrap_or_default();
    let count = |condition: String| format!("(count(*){given} AND {condition}))::VARCHAR");
    let mut theirs = String::from("'{'");
    let mut above = "TRUE".to_owned();
    for limit in limits {
        let up_to = count(format!("{above} AND ({}) <= {limit}", of.theirs));
        theirs.push_str(&format!(" || '\"{limit}\":' || {up_to} || ','"));
        above = format!("({}) > {limit}", of.theirs);
    }
    theirs.push_str(&format!(" || '\"+Inf\":' || {} || '}}'", count(above)));
    item(
        format!("histogram({}, ARRAY[{}]){filter}", of.ours, limits.join(", ")),
        format!("CASE WHEN count({}){filter} > 0 THEN {theirs} END", of.theirs),
        Check::Equal,
    )
}

/// What is there most often; of equally many the least.
fn frequent(random: &mut Random, filter: &str) -> Item {
    let of = match random.below(4) {
        0 => scalar::int(random),
        1 => scalar::float(random),
        2 => scalar::text(random),
        _ => Scalar { kind: Kind::Bool, ours: "b".into(), theirs: "b".into() },
    };
    if random.chance(50) {
        let theirs = format!("{}[1].k", by_count(&of, filter));
        return item(format!("mode({}){filter}", of.ours), theirs, Check::Equal);
    }
    most(&of, *random.pick(&[1, 3, 10]), filter)
}

/// The values that are there most often.
pub fn most(of: &Scalar, count: usize, filter: &str) -> Item {
    let theirs = format!("{}[1:{count}]", by_count(of, filter));
    item(format!("topk({}, {count}){filter}", of.ours), theirs, Check::Ranked)
}

/// All values with their negative counts, in the order of both.
fn by_count(of: &Scalar, filter: &str) -> String {
    let entries = format!("map_entries(histogram({}){filter})", of.theirs);
    let counted = "lambda entry: {'c': -(entry.value::BIGINT), 'k': entry.key}";
    format!("list_sort(list_transform({entries}, {counted}))")
}

fn quantile(random: &mut Random, filter: &str) -> Item {
    let of = scalar::number(random);
    let share = *random.pick(&["0", "0.25", "0.5", "0.9", "0.95", "0.99", "1"]);
    let (ours, share) = match random.below(3) {
        0 => (format!("median({}){filter}", of.ours), "0.5"),
        _ => (format!("quantile({}, {share}){filter}", of.ours), share),
    };
    let value = &of.theirs;
    let count = format!("count({value}){filter}");
    let list = format!("list_sort(list({value}){})", given(value, filter));
    let enclosing = |round: &str| {
        format!("{list}[1 + {round}({share}::DOUBLE * ({count} - 1))::BIGINT]::DOUBLE")
    };
    Item {
        ours,
        theirs: vec![
            format!("quantile_cont(({value})::DOUBLE, {share}){filter}"),
            count.clone(),
            enclosing("floor"),
            enclosing("ceil"),
        ],
        check: Check::Quantile,
    }
}
