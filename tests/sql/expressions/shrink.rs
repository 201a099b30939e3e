//! The smallest part of an expression that still fails.

use super::node::Node;
use super::postgres::Postgres;
use super::{WIDTH, ours, same};
use crate::random::Random;
use crate::table::Table;
use crate::value::Value;

/// The parts of an expression, the shortest first.
fn parts(node: &Node) -> Vec<&Node> {
    let mut parts = node.all();
    parts.sort_by_key(|part| part.ours.text.len());
    parts.dedup_by(|a, b| a.ours.text == b.ours.text);
    parts
}

/// Tells of an expression that our side refuses.
pub fn refused(table: &Table, node: &Node, error: &str, random: &mut Random) -> String {
    let rows: Vec<_> = table.rows.iter().collect();
    for part in parts(node) {
        if let Err(error) = ours(table, &rows, &[part], random) {
            return format!("refused: {}\n  {error}", part.ours.text);
        }
    }
    format!("refused: {}\n  {error}", node.ours.text)
}

/// Tells of an expression that both sides answer differently for a row.
pub fn differing(
    postgres: &Postgres,
    table: &Table,
    node: &Node,
    id: usize,
    answers: (&Value, &Value),
    random: &mut Random,
) -> String {
    let row = &table.rows[id];
    let tell = |node: &Node, ours: &Value, theirs: &Value, note: &str| {
        format!(
            "{}{note}\n  PostgreSQL: {}\n  row: {}\n  ours: {ours}\n  PostgreSQL's: {theirs}",
            node.ours.text,
            node.theirs.text,
            table.show(row)
        )
    };
    for parts in parts(node).chunks(WIDTH) {
        let Ok(got) = ours(table, &[row], parts, random) else { continue };
        let Ok(wanted) = postgres.values(&table.name, Some(id), parts) else { continue };
        let ([(_, got)], [wanted]) = (got.as_slice(), wanted.as_slice()) else { continue };
        for ((part, got), wanted) in parts.iter().zip(got).zip(wanted) {
            if !same(part, got, wanted) {
                return tell(part, got, wanted, "");
            }
        }
    }
    tell(node, answers.0, answers.1, "   (beside other rows alone)")
}
