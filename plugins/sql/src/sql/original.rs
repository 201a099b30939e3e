//! What becomes of the points that came.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Outcome, Sink};

use crate::statement::Statement;

/// Which of the points that came flow on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Original {
    All,
    /// Those that no statement reads.
    Unread,
    None,
}

impl Original {
    /// Hands on what flows on. `took` says whether a statement took any point.
    pub fn pass(self, statements: &[Statement], took: bool, mut batch: Batch, out: &mut Sink<'_>) {
        let passes = match self {
            Original::All => true,
            Original::Unread => leave_unread(statements, &mut batch),
            Original::None => false,
        };
        if passes {
            out.push(batch);
        } else if let Some(delivery) = batch.take_delivery().filter(|_| took) {
            // What becomes of the results is what becomes of the points.
            delivery.settle(Outcome::Delivered);
        }
    }
}

/// Takes out what a statement reads; whether anything is left.
fn leave_unread(statements: &[Statement], batch: &mut Batch) -> bool {
    // Joined rows are no points that came.
    let open = || statements.iter().filter(|statement| !statement.plan().reads.is_hidden());
    if open().any(Statement::reads_all) {
        return false;
    }
    let is_read = |name: &str| open().any(|statement| statement.plan().reads.matches(name));
    let series = batch.series_count() as u32;
    if (0..series).all(|index| is_read(batch.series(index).name())) {
        return false;
    }
    let unread: Vec<bool> = (0..series).map(|index| !is_read(batch.series(index).name())).collect();
    batch.retain(|_, row| unread.get(row.series as usize).is_some_and(|unread| *unread));
    !batch.is_empty()
}
