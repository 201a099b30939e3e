//! The smallest statement over the fewest points that still fails.

use super::statement::Statement;
use crate::table::{Row, Table};

/// How often a smaller form is tried.
const TRIES: usize = 300;

/// Makes a failing statement smaller, then its points fewer, and tells what is left.
/// `differs` says whether and how something fails.
pub fn smallest(
    table: &Table,
    statement: &Statement,
    seed: u64,
    mut differs: impl FnMut(&[&Row], &Statement) -> Option<String>,
) -> String {
    let mut rows: Vec<&Row> = table.rows.iter().collect();
    let mut statement = statement.clone();
    let mut tries = 0;
    let mut last = String::new();
    let mut fails = |rows: &[&Row], statement: &Statement| {
        tries += 1;
        let error = differs(rows, statement)?;
        last.clone_from(&error);
        (tries < TRIES).then_some(())
    };
    if fails(&rows, &statement).is_none() {
        return format!("{last}\n  (with seed {seed} for the batches, over all points)");
    }
    while let Some(less) = statement.smaller().into_iter().find(|less| fails(&rows, less).is_some())
    {
        statement = less;
    }
    let mut chunk = rows.len().div_ceil(2);
    while chunk > 0 && !rows.is_empty() {
        let mut at = 0;
        while at < rows.len() {
            let mut fewer = rows.clone();
            fewer.drain(at..(at + chunk).min(fewer.len()));
            if !fewer.is_empty() && fails(&fewer, &statement).is_some() {
                rows = fewer;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    let _ = fails(&rows, &statement);
    let points: Vec<String> = rows.iter().take(12).map(|row| table.show(row)).collect();
    format!("{last}\n  {} points:\n    {}", rows.len(), points.join("\n    "))
}
