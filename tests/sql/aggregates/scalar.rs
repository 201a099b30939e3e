//! Expressions over points and conditions, which both sides write alike but for a few.

use crate::random::Random;
use crate::table::Kind;

/// An expression over a point.
#[derive(Debug, Clone)]
pub struct Scalar {
    pub kind: Kind,
    pub ours: String,
    pub theirs: String,
}

pub fn same(kind: Kind, text: &str) -> Scalar {
    Scalar { kind, ours: text.to_owned(), theirs: text.to_owned() }
}

const INTS: [&str; 7] =
    ["i", "i", "n", "i + n", "abs(i)", "i * 3 - n", "CASE WHEN b THEN i ELSE n END"];
const FLOATS: [&str; 6] = ["f", "f", "v", "f + v", "CASE WHEN i > 0 THEN f END", "coalesce(f, v)"];

/// An integer whose arithmetic stays in range.
pub fn int(random: &mut Random) -> Scalar {
    match random.below(6) {
        0 => Scalar { kind: Kind::Int, ours: "i / n".into(), theirs: "i // nullif(n, 0)".into() },
        1 => same(Kind::Int, "length(s)"),
        _ => same(Kind::Int, random.pick::<&str>(&INTS)),
    }
}

pub fn float(random: &mut Random) -> Scalar {
    match random.below(6) {
        0 => Scalar { kind: Kind::Float, ours: "f * 2.5".into(), theirs: "f * 2.5::DOUBLE".into() },
        1 => Scalar { kind: Kind::Float, ours: "f / n".into(), theirs: "f / nullif(n, 0)".into() },
        _ => same(Kind::Float, random.pick::<&str>(&FLOATS)),
    }
}

/// A number of middling size.
pub fn number(random: &mut Random) -> Scalar {
    if random.chance(50) { int(random) } else { float(random) }
}

/// An integer, of any size.
pub fn wide(random: &mut Random) -> Scalar {
    match random.below(4) {
        0 => same(Kind::Int, "big"),
        1 => same(Kind::Int, "u"),
        _ => int(random),
    }
}

pub fn text(random: &mut Random) -> Scalar {
    let texts = ["s", "s", "host", "region", "upper(s)", "host || '/' || s", "coalesce(region, s)"];
    same(Kind::Text, random.pick::<&str>(&texts))
}

/// A value of any kind that has an order.
pub fn ordered(random: &mut Random) -> Scalar {
    match random.below(9) {
        8 => same(Kind::Time, "time"),
        0..=2 => float(random),
        3..=5 => wide(random),
        _ => text(random),
    }
}

pub fn any(random: &mut Random) -> Scalar {
    if random.chance(10) { same(Kind::Bool, "b") } else { ordered(random) }
}

/// What may stand in GROUP BY.
pub fn key(random: &mut Random) -> Scalar {
    let texts = ["host", "host", "region", "upper(s)", "coalesce(region, 'none')"];
    let ints = ["n", "n % 3", "CASE WHEN f > 0 THEN 1 WHEN f <= 0 THEN -1 END"];
    match random.below(10) {
        0..=5 => same(Kind::Text, random.pick::<&str>(&texts)),
        6..=7 => same(Kind::Int, random.pick::<&str>(&ints)),
        8 if random.chance(50) => same(Kind::Float, "floor(v / 100)"),
        8 => Scalar {
            kind: Kind::Time,
            ours: "date_trunc('minute', time)".into(),
            theirs: "time // 60000000000 * 60000000000".into(),
        },
        _ => same(Kind::Bool, "b"),
    }
}

/// A condition on points.
pub fn condition(random: &mut Random) -> String {
    let simple = [
        "i > 0",
        "f < 10",
        "f IS NOT NULL",
        "n IN (1, 2, 3)",
        "NOT b",
        "b",
        "s LIKE 'a%'",
        "s = ''",
        "host <> 'a'",
        "region IS NULL",
        "region = 'eu'",
        "v BETWEEN 50 AND 300",
        "i IS DISTINCT FROM n",
        "coalesce(b, TRUE)",
        "length(s) > 1",
        "big > 0",
        "host IN ('a', 'b')",
    ];
    let one = |random: &mut Random| (*random.pick(&simple)).to_owned();
    match random.below(5) {
        0 => format!("{} AND {}", one(random), one(random)),
        1 => format!("({} OR {})", one(random), one(random)),
        2 => format!("NOT ({})", one(random)),
        _ => one(random),
    }
}
