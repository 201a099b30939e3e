//! Random statements with a window.

use super::calls::{self, Check, Item};
use super::scalar::{self, Scalar};
use super::window::Window;
use crate::random::Random;

/// A statement, as far as both sides have it.
#[derive(Debug, Clone)]
pub struct Statement {
    pub window: Window,
    /// How the window is written.
    written: String,
    /// With whether it is selected.
    pub keys: Vec<(Scalar, bool)>,
    pub items: Vec<Item>,
    pub filter: Option<String>,
    having: Option<String>,
}

impl Statement {
    pub fn random(random: &mut Random) -> Statement {
        let window = Window::random(random);
        let written = window.ours(random);
        let mut keys: Vec<(Scalar, bool)> = Vec::new();
        for _ in 0..random.below(4) {
            let key = scalar::key(random);
            if keys.iter().all(|(known, _)| known.ours != key.ours) {
                keys.push((key, !random.chance(10)));
            }
        }
        let mut items = vec![Item {
            ours: "count(*)".into(),
            theirs: vec!["count(*)".into()],
            check: Check::Equal,
        }];
        for _ in 0..1 + random.below(6) {
            items.push(match random.below(7) {
                0 => over_aggregates(random),
                _ => calls::random(random),
            });
        }
        let filter = random.chance(40).then(|| scalar::condition(random));
        let having = random.chance(30).then(|| having(random));
        Statement { window, written, keys, items, filter, having }
    }

    pub fn has_having(&self) -> bool {
        self.having.is_some()
    }

    fn clause(word: &str, condition: &Option<String>) -> String {
        condition.as_ref().map_or_else(String::new, |text| format!(" {word} {text}"))
    }

    /// Columns are `k0`, `k1`, ... and `a0`, `a1`, ...
    pub fn ours(&self, table: &str) -> String {
        let keys = self.keys.iter().enumerate().filter(|(_, (_, shown))| *shown);
        let mut columns: Vec<String> =
            keys.map(|(at, (key, _))| format!("{} AS k{at}", key.ours)).collect();
        let items = self.items.iter().enumerate();
        columns.extend(items.map(|(at, item)| format!("{} AS a{at}", item.ours)));
        let mut groups = vec![self.written.clone()];
        groups.extend(self.keys.iter().map(|(key, _)| key.ours.clone()));
        format!(
            "SELECT {} FROM {table}{} GROUP BY {}{}",
            columns.join(", "),
            Self::clause("WHERE", &self.filter),
            groups.join(", "),
            Self::clause("HAVING", &self.having)
        )
    }

    /// The window's start, the keys, the items.
    pub fn theirs(&self, table: &str) -> String {
        let keys = self.keys.iter().enumerate();
        let keys: Vec<String> =
            keys.map(|(at, (key, _))| format!("{} AS k{at}", key.theirs)).collect();
        let own = ["rowid".to_owned(), "*".to_owned()];
        let inner = own.into_iter().chain(keys).collect::<Vec<_>>().join(", ");
        let filter = Self::clause("WHERE", &self.filter);
        let rows = format!("SELECT {inner} FROM {table}{filter}");
        let keys: Vec<String> = (0..self.keys.len()).map(|at| format!("k{at}")).collect();
        let shown = self.keys.iter().enumerate().filter(|(_, (_, shown))| *shown);
        let mut columns = vec!["w".to_owned()];
        columns.extend(shown.map(|(at, _)| format!("k{at}")));
        columns.extend(self.items.iter().flat_map(|item| item.theirs.iter().cloned()));
        let windows = self.window.theirs(&rows, &keys);
        let mut groups = ["w", "e", "g"].map(str::to_owned).to_vec();
        groups.extend(keys);
        format!(
            "SELECT {} FROM ({windows}) GROUP BY {}{}",
            columns.join(", "),
            groups.join(", "),
            Self::clause("HAVING", &self.having)
        )
    }

    /// The same statement with one thing less, in all ways there are.
    pub fn smaller(&self) -> Vec<Statement> {
        let mut all = Vec::new();
        let mut without = |change: &dyn Fn(&mut Statement)| {
            let mut less = self.clone();
            change(&mut less);
            all.push(less);
        };
        // The first is never NULL: a row without a field would be no point.
        for at in 1..self.items.len() {
            without(&|less| drop(less.items.remove(at)));
        }
        for at in 0..self.keys.len() {
            without(&|less| drop(less.keys.remove(at)));
        }
        if self.filter.is_some() {
            without(&|less| less.filter = None);
        }
        if self.having.is_some() {
            without(&|less| less.having = None);
        }
        all
    }
}

/// A value computed of aggregates.
fn over_aggregates(random: &mut Random) -> Item {
    let (ours, theirs) = *random.pick(&[
        ("window_start()", "w"),
        ("window_end()", "e"),
        ("window_end() - max(time)", "e - max(time)"),
        ("min(time) - window_start()", "min(time) - w"),
        ("max(i) - min(i)", "max(i) - min(i)"),
        ("sum(i) + count(*)", "sum(i) + count(*)"),
        ("coalesce(sum(n), 0) * 2", "coalesce(sum(n), 0) * 2"),
        ("sum(f) / count(f)", "fsum(f) / nullif(count(f), 0)"),
        ("sum(i) / count(*)", "sum(i) // count(*)"),
        ("avg(f) + count(n)", "favg(f) + count(n)"),
        ("min(i) < 0 OR count(s) > 2", "min(i) < 0 OR count(s) > 2"),
        ("CASE WHEN count(*) > 3 THEN max(f) END", "CASE WHEN count(*) > 3 THEN max(f) END"),
        ("upper(max(s)) || '!'", "upper(max(s)) || '!'"),
        (
            "count(*) FILTER (WHERE b) * 100 / count(*)",
            "count(*) FILTER (WHERE b) * 100 // count(*)",
        ),
        ("max(f) IS NULL", "max(f) IS NULL"),
        ("round(avg(n))", "round_even(avg(n), 0)"),
    ]);
    Item { ours: ours.into(), theirs: vec![theirs.into()], check: Check::Equal }
}

fn having(random: &mut Random) -> String {
    let conditions = [
        "count(*) > 2",
        "sum(i) > 0",
        "max(f) < 50 AND count(*) >= 2",
        "NOT min(i) IS NULL",
        "count(DISTINCT s) = 2",
        "avg(n) BETWEEN 1 AND 2.6",
        "count(f) > 0 OR max(s) = 'x'",
        "min(s) LIKE 'a%'",
        "count(*) FILTER (WHERE b) > 1",
        "sum(n) IS DISTINCT FROM 3",
    ];
    (*random.pick(&conditions)).to_owned()
}
