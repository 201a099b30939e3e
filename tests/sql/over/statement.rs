//! Random statements with OVER.

use super::calls::{self, Item, Window};
use crate::aggregates::scalar::{self, Scalar};
use crate::random::Random;

#[derive(Debug, Clone)]
pub struct Statement {
    partition: Vec<Scalar>,
    pub items: Vec<Item>,
    pub filter: Option<String>,
}

impl Statement {
    pub fn random(random: &mut Random) -> Statement {
        let partition = (0..random.below(3)).map(|_| scalar::key(random)).collect();
        let filter = random.chance(30).then(|| scalar::condition(random));
        let mut made = Statement { partition, items: Vec::new(), filter };
        // Some have frames alone that time bounds.
        let ranges = random.chance(30);
        while made.items.len() < 1 + random.below(5) {
            let window = made.window(&frame(random, ranges));
            let item = calls::random(random, window);
            let by_rows = ["lag(", "row_number("].iter().any(|f| item.ours().starts_with(f));
            if !ranges || !by_rows {
                made.items.push(item);
            }
        }
        made
    }

    /// A window of the statement's partitions.
    pub fn window(&self, frame: &str) -> Window {
        let keys = |text: fn(&Scalar) -> &str| {
            let list: Vec<&str> = self.partition.iter().map(text).collect();
            if list.is_empty() {
                String::new()
            } else {
                format!("PARTITION BY {} ", list.join(", "))
            }
        };
        // Rows of one time are in the order of their arrival; frames by time take the time alone.
        let by_rows = frame.contains("ROWS");
        let tie = if by_rows { ", rowid" } else { "" };
        let (ours, theirs) = (keys(|key| &key.ours), keys(|key| &key.theirs));
        Window {
            ours: format!("{ours}ORDER BY time {frame}"),
            theirs: format!("{theirs}ORDER BY time{tie} {}", nanoseconds(frame)),
            by_arrival: format!("{theirs}ORDER BY time, rowid"),
        }
    }

    fn filter(&self) -> String {
        self.filter.as_ref().map_or_else(String::new, |text| format!(" WHERE {text}"))
    }

    pub fn ours(&self, table: &str) -> String {
        let items = self.items.iter().enumerate();
        let columns: Vec<String> =
            items.map(|(at, item)| format!("{} AS a{at}", item.ours())).collect();
        format!("SELECT id, {} FROM {table}{}", columns.join(", "), self.filter())
    }

    pub fn theirs(&self, table: &str) -> String {
        let columns: Vec<String> = self.items.iter().flat_map(Item::theirs).collect();
        format!("SELECT id, {} FROM {table}{}", columns.join(", "), self.filter())
    }

    /// The same statement with one thing less, in all ways there are.
    pub fn smaller(&self) -> Vec<Statement> {
        let mut all = Vec::new();
        for at in 0..self.items.len() {
            if self.items.len() > 1 {
                let mut less = self.clone();
                less.items.remove(at);
                all.push(less);
            }
        }
        if self.filter.is_some() {
            all.push(Statement { filter: None, ..self.clone() });
        }
        all
    }
}

fn frame(random: &mut Random, ranges: bool) -> String {
    let seconds = *random.pick(&[0, 1, 7, 60, 1000]);
    let range = format!("RANGE INTERVAL '{seconds}s' PRECEDING");
    if ranges {
        return range;
    }
    match random.below(6) {
        0 => String::new(),
        1 => range,
        2 => format!("RANGE BETWEEN INTERVAL '{seconds}s' PRECEDING AND CURRENT ROW"),
        3 => "ROWS UNBOUNDED PRECEDING".into(),
        4 => format!("ROWS {} PRECEDING", *random.pick(&[0, 1, 5, 100])),
        _ => format!("ROWS BETWEEN {} PRECEDING AND CURRENT ROW", random.below(20)),
    }
}

/// Times are nanoseconds there.
fn nanoseconds(frame: &str) -> String {
    frame.replace("INTERVAL '", "").replace("s' PRECEDING", "000000000 PRECEDING")
}
