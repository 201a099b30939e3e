//! Random statements with a join.

use crate::random::Random;

const SECOND: i64 = 1_000_000_000;

/// A statement, as far as both sides have it.
#[derive(Debug, Clone)]
pub struct Statement {
    pub asof: bool,
    keeps_left: bool,
    /// A partner's time less the point's own, nanoseconds; whether the bounds themselves are left out.
    low: i64,
    high: i64,
    strict: (bool, bool),
    /// Equalities, as both sides write them.
    pub keys: Vec<(&'static str, &'static str)>,
    /// Conditions of ON on the second source, and on both.
    partners: Option<&'static str>,
    pairs: Option<&'static str>,
    pub filter: Option<&'static str>,
    pub items: Vec<&'static str>,
    /// Rows are counted in windows of ten seconds.
    windowed: bool,
}

const KEYS: &[(&str, &str)] = &[
    ("a.h = b.h", "a.h = b.h"),
    ("b.i = a.i", "a.i = b.i"),
    ("a.i = b.f", "a.i = b.f"),
    ("a.f = b.f", "a.f = b.f"),
    ("a.s = b.s", "a.s = b.s"),
    ("a.s = b.h", "a.s = b.h"),
    ("lower(a.s) = lower(b.s)", "lower(a.s) = lower(b.s)"),
    ("a.i + 1 = b.i", "a.i + 1 = b.i"),
    ("a.o = b.o", "a.o = b.o"),
];

const ITEMS: &[&str] = &[
    "a.h",
    "b.h",
    "a.i",
    "b.i",
    "a.f",
    "b.f",
    "a.s",
    "b.s",
    "b.o",
    "b.n",
    "b.time - a.time",
    "a.i + b.i",
    "coalesce(b.s, 'none')",
    "a.n < b.n",
    "b.time IS NULL",
    "upper(a.s)",
];

const AGGREGATES: &[&str] = &[
    "count(b.n)",
    "sum(a.n)",
    "sum(b.n)",
    "min(b.f)",
    "max(a.f)",
    "count(DISTINCT b.s)",
    "max(b.s)",
    "min(b.time - a.time)",
    "count(*) FILTER (WHERE a.i = b.i)",
];

const OF_FIRST: &[&str] = &["a.i > 1", "a.h <> 'x'", "a.s LIKE 'a%' OR a.f IS NULL", "NOT a.o"];
const OF_SECOND: &[&str] =
    &["b.i < 3", "b.s IS NOT NULL", "b.f BETWEEN 0 AND 2", "b.h IN ('x', 'y')"];
const OF_BOTH: &[&str] = &["a.n < b.n", "a.i <> b.i", "a.s || b.s LIKE '%a%'", "a.i = b.i OR a.o"];

impl Statement {
    pub fn random(random: &mut Random) -> Statement {
        let asof = random.chance(50);
        let keeps_left = random.chance(50);
        let within = |random: &mut Random, most: i64| match random.below(3) {
            0 => random.within(0, most / SECOND) * SECOND,
            _ => random.within(0, most),
        };
        let high = if asof { 0 } else { within(random, 9 * SECOND) - 3 * SECOND };
        let low = high - 3 - within(random, 8 * SECOND);
        let count = *random.pick(&[0, 1, 1, 1, 2, 2, 3]);
        let mut keys: Vec<(&str, &str)> = (0..count).map(|_| *random.pick(KEYS)).collect();
        keys.dedup();
        let windowed = random.chance(30);
        let list = if windowed { AGGREGATES } else { ITEMS };
        let items = (0..1 + random.below(5)).map(|_| *random.pick(list)).collect();
        let pick = |random: &mut Random, percent: usize, list: &[&'static str]| {
            random.chance(percent).then(|| *random.pick(list))
        };
        let all: Vec<&str> = [OF_FIRST, OF_SECOND, OF_BOTH].concat();
        Statement {
            asof,
            keeps_left,
            low,
            high,
            strict: (random.chance(30), random.chance(30)),
            keys,
            partners: pick(random, 25, OF_SECOND),
            pairs: match (asof, keeps_left) {
                (false, false) => pick(random, 25, OF_BOTH),
                (false, true) => pick(random, 25, OF_FIRST),
                _ => None,
            },
            filter: pick(random, 40, &all),
            items,
            windowed,
        }
    }

    /// How long after a point its partners may come, nanoseconds.
    pub fn reach(&self) -> i64 {
        self.high.max(0)
    }

    fn bounds(&self) -> (String, String) {
        let bound = |strict: bool, op: &str, nanos: i64| {
            let sign = if nanos < 0 { '-' } else { '+' };
            let equal = if strict { "" } else { "=" };
            format!("b.time {op}{equal} a.time {sign} INTERVAL '{}ns'", nanos.abs())
        };
        (bound(self.strict.0, ">", self.low), bound(self.strict.1, "<", self.high))
    }

    fn columns(&self) -> String {
        let first = if self.windowed { "count(*)" } else { "a.n" };
        let all = [first].into_iter().chain(self.items.iter().copied()).enumerate();
        all.map(|(at, item)| format!("{item} AS c{at}")).collect::<Vec<_>>().join(", ")
    }

    /// Columns are `c0`, `c1`, ...
    pub fn ours(&self, a: &str, b: &str) -> String {
        let (low, high) = self.bounds();
        let left = if self.keeps_left { "LEFT " } else { "" };
        let mut on: Vec<&str> = self.keys.iter().map(|key| key.0).collect();
        on.push(&low);
        let join = if self.asof {
            let op = if self.strict.1 { ">" } else { ">=" };
            format!("ASOF {left}JOIN {b} AS b MATCH_CONDITION (a.time {op} b.time)")
        } else {
            on.push(&high);
            format!("{left}JOIN {b} AS b")
        };
        on.extend(self.partners.iter().chain(&self.pairs));
        let on: Vec<String> = on.iter().map(|part| format!("({part})")).collect();
        let group = if self.windowed { " GROUP BY time('10s'), a.h" } else { "" };
        let filter = self.filter.map_or_else(String::new, |text| format!(" WHERE {text}"));
        let columns = self.columns();
        format!("SELECT {columns} FROM {a} a {join} ON {}{filter}{group}", on.join(" AND "))
    }

    /// The time, then the columns. Times are numbers there.
    pub fn theirs(&self, a: &str, b: &str, has_null: bool) -> String {
        let (low, high) = (self.low, self.high);
        let apart = |op: &str, strict: bool, nanos: i64| {
            let equal = if strict { "" } else { "=" };
            format!("b.time - a.time {op}{equal} {nanos}")
        };
        let (low, high) = (apart(">", self.strict.0, low), apart("<", self.strict.1, high));
        let left = if self.keeps_left { "LEFT " } else { "" };
        let partners = self.partners.unwrap_or("true");
        let partners = format!("(SELECT * FROM {b} b WHERE {partners})");
        let keys: Vec<String> = self.keys.iter().map(|key| format!("({})", key.1)).collect();
        let mut on = keys;
        let names = ["time", "h", "i", "f", "s", "o", "n"];
        let all =
            |table: &str| names.map(|name| format!("{table}.{name} AS {table}_{name}")).join(", ");
        let (of_a, of_b) = (all("a"), all("b"));
        if !self.asof {
            on.extend(self.pairs.map(|text| format!("({text})")));
        }
        let op = if self.strict.1 { ">" } else { ">=" };
        let joined = if self.asof && !has_null {
            on.push(format!("a.time {op} b.time"));
            // The latest is too old if any is.
            let fresh = names.map(|name| format!("CASE WHEN {low} THEN b.{name} END AS b_{name}"));
            let inner = format!(
                "SELECT {of_a}, {} FROM {a} a ASOF {left}JOIN {partners} b ON {}",
                fresh.join(", "),
                on.join(" AND ")
            );
            let kept = if self.keeps_left { "true" } else { "b_time IS NOT NULL" };
            format!("SELECT * FROM ({inner}) WHERE {kept}")
        } else {
            on.extend([low, high]);
            // DuckDB's ASOF takes a NULL key for equal to another.
            let latest = match self.asof {
                true => " QUALIFY row_number() OVER (PARTITION BY a.n ORDER BY b.time DESC) = 1",
                false => "",
            };
            let on = on.join(" AND ");
            format!("SELECT {of_a}, {of_b} FROM {a} a {left}JOIN {partners} b ON {on}{latest}")
        };
        let flat = |text: &str| text.replace("a.", "a_").replace("b.", "b_");
        let filter = self.filter.map_or_else(String::new, |text| format!(" WHERE {}", flat(text)));
        let (time, group) = match self.windowed {
            true => ("(a_time // 10000000000) * 10000000000", " GROUP BY 1, a_h"),
            false => ("a_time", ""),
        };
        format!("SELECT {time}, {} FROM ({joined}){filter}{group}", flat(&self.columns()))
    }

    /// The same statement with one thing less, in all ways there are.
    pub fn smaller(&self) -> Vec<Statement> {
        let mut all = Vec::new();
        let mut without = |change: &dyn Fn(&mut Statement)| {
            let mut less = self.clone();
            change(&mut less);
            all.push(less);
        };
        for at in 0..self.items.len() {
            without(&|less| _ = less.items.remove(at));
        }
        for at in 0..self.keys.len() {
            without(&|less| _ = less.keys.remove(at));
        }
        if self.partners.or(self.pairs).or(self.filter).is_some() {
            without(&|less| less.partners = None);
            without(&|less| less.pairs = None);
            without(&|less| less.filter = None);
        }
        if self.strict != (false, false) {
            without(&|less| less.strict = (false, false));
        }
        all
    }
}
