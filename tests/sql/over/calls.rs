//! Window functions, as both sides write them.

use crate::aggregates::calls::{self, Check};
use crate::aggregates::scalar;
use crate::random::Random;
use crate::table::Kind;

/// A column of a statement.
#[derive(Debug, Clone)]
pub struct Item {
    /// `{}` stands for the window, `{rows}` for the one without a frame.
    ours: String,
    /// One or more columns, which the check knows.
    theirs: Vec<String>,
    window: Window,
    pub check: Check,
}

/// A window, as both sides write it.
#[derive(Debug, Clone)]
pub struct Window {
    pub ours: String,
    pub theirs: String,
    /// The same without a frame: rows of one time in the order of their arrival.
    pub by_arrival: String,
}

impl Item {
    pub fn same(ours: &str, theirs: &str, window: Window) -> Item {
        let theirs = theirs.replacen("count(*)", "count(*) OVER {}", 1);
        Item {
            ours: format!("{ours} OVER {{}}"),
            theirs: vec![theirs],
            window,
            check: Check::Equal,
        }
    }

    pub fn width(&self) -> usize {
        self.theirs.len()
    }

    pub fn ours(&self) -> String {
        self.ours.replace("{}", &format!("({})", self.window.ours))
    }

    pub fn theirs(&self) -> impl Iterator<Item = String> {
        let window = format!("({})", self.window.theirs);
        let rows = format!("({})", self.window.by_arrival);
        self.theirs.iter().map(move |text| text.replace("{}", &window).replace("{rows}", &rows))
    }
}

fn filter(random: &mut Random) -> String {
    match random.below(4) {
        0 => format!(" FILTER (WHERE {})", scalar::condition(random)),
        _ => String::new(),
    }
}

/// A sum that fits neither 64-bit type is NULL.
fn in_range(sum: &str) -> String {
    format!("CASE WHEN {sum} BETWEEN -9223372036854775808 AND 18446744073709551615 THEN {sum} END")
}

/// A random function over a window.
pub fn random(random: &mut Random, window: Window) -> Item {
    let filter = filter(random);
    let item = |ours: String, theirs: String, check: Check| Item {
        ours: format!("{ours} OVER {{}}"),
        theirs: vec![theirs],
        window: window.clone(),
        check,
    };
    let plain = |name: &str, theirs: &str, of: &scalar::Scalar| {
        let theirs = format!("{theirs}({}){filter} OVER {{}}", of.theirs);
        item(format!("{name}({}){filter}", of.ours), theirs, Check::Equal)
    };
    match random.below(24) {
        0 => item(format!("count(*){filter}"), format!("count(*){filter} OVER {{}}"), Check::Equal),
        1 => plain("count", "count", &scalar::any(random)),
        2 | 3 => {
            let of = scalar::wide(random);
            let theirs = in_range(&format!("sum(({})::HUGEINT){filter} OVER {{}}", of.theirs));
            item(format!("sum({}){filter}", of.ours), theirs, Check::Equal)
        }
        4 => plain("sum", "fsum", &scalar::float(random)),
        5 => plain("avg", "avg", &scalar::number(random)),
        6 | 7 => plain("min", "min", &scalar::ordered(random)),
        8 | 9 => plain("max", "max", &scalar::ordered(random)),
        10 => {
            let (ours, theirs) = *random.pick(&[
                ("stddev", "stddev_samp"),
                ("stddev_pop", "stddev_pop"),
                ("variance", "var_samp"),
                ("var_pop", "var_pop"),
            ]);
            plain(ours, theirs, &scalar::number(random))
        }
        11 => {
            let of = scalar::wide(random);
            let end = |name: &str| format!("({name}({}){filter} OVER {{}})::HUGEINT", of.theirs);
            let theirs = format!("{} - {}", end("max"), end("min"));
            item(format!("spread({}){filter}", of.ours), theirs, Check::Equal)
        }
        12 => ends(random, &filter, &window),
        13 | 14 => quantile(random, &filter, &window),
        15 => {
            let of = scalar::any(random);
            let theirs = format!("count(DISTINCT {}){filter} OVER {{}}", of.theirs);
            item(format!("approx_distinct({}){filter}", of.ours), theirs, Check::Approximate)
        }
        16 => {
            let of = scalar::any(random);
            let theirs = format!("list({}){filter} OVER {{}}", of.theirs);
            item(format!("any_value({}){filter}", of.ours), theirs, Check::OneOf)
        }
        22 | 23 => {
            let calls::Item { ours, theirs, check } = calls::forecast(random, &filter, " OVER {}");
            Item { ours, theirs, window, check }
        }
        17 => item("row_number()".into(), "row_number() OVER {rows}".into(), Check::Equal),
        18 | 19 => {
            let of = if random.chance(50) { scalar::int(random) } else { scalar::any(random) };
            let back = random.below(4);
            let default = match of.kind {
                // The default is cast there to what the value is.
                Kind::Int if of.ours != "u" && random.chance(50) => ", -7",
                Kind::Float if random.chance(50) => ", v",
                Kind::Text if random.chance(50) => ", 'none'",
                _ => "",
            };
            let (ours, theirs) = (
                format!("lag({}, {back}{default})", of.ours),
                format!("lag({}, {back}{default}) OVER {{rows}}", of.theirs),
            );
            item(ours, theirs, Check::Equal)
        }
        _ => {
            let of = scalar::any(random);
            let name = *random.pick(&["first_value", "last_value"]);
            // Rows of one time are in the order of their arrival, whatever the frame.
            let theirs = format!("{name}({} ORDER BY time, rowid) OVER {{}}", of.theirs);
            item(format!("{name}({})", of.ours), theirs, Check::Equal)
        }
    }
}

/// First or last by time; at equal times the greatest value.
fn ends(random: &mut Random, filter: &str, window: &Window) -> Item {
    let of = scalar::any(random);
    let name = *random.pick(&["first", "last"]);
    let value = &of.theirs;
    // The value stands behind its time: the greatest of those that have the best one.
    let given = match filter.strip_prefix(" FILTER (WHERE ").and_then(|f| f.strip_suffix(')')) {
        Some(condition) => format!(" FILTER (WHERE ({value}) IS NOT NULL AND ({condition}))"),
        None => format!(" FILTER (WHERE ({value}) IS NOT NULL)"),
    };
    let sign = if name == "first" { "-" } else { "" };
    let theirs = format!("(max({{'t': {sign}time, 'v': {value}}}){given} OVER {{}}).v");
    Item {
        ours: format!("{name}({}){filter} OVER {{}}", of.ours),
        theirs: vec![theirs],
        window: window.clone(),
        check: Check::Equal,
    }
}

fn quantile(random: &mut Random, filter: &str, window: &Window) -> Item {
    let of = scalar::number(random);
    let share = *random.pick(&["0", "0.25", "0.5", "0.9", "1"]);
    let value = &of.theirs;
    let count = format!("count({value}){filter} OVER {{}}");
    let disc =
        |share: String| format!("quantile_disc(({value})::DOUBLE, {share}){filter} OVER {{}}");
    Item {
        ours: format!("quantile({}, {share}){filter} OVER {{}}", of.ours),
        theirs: vec![
            format!("quantile_cont(({value})::DOUBLE, {share}){filter} OVER {{}}"),
            count,
            disc(format!("greatest({share} - 0.02, 0)")),
            disc(format!("least({share} + 0.02, 1)")),
        ],
        window: window.clone(),
        check: Check::Quantile,
    }
}
