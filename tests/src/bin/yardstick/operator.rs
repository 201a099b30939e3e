//! What a window costs alone: batches of the load, parsed beforehand, into the statement of the row
//! `SQL window`, in this process.

use std::time::Duration;

use headwater_plugin_api::abi::serve::{PushedBytes, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::{Batch, Value};
use headwater_plugin_api::plugin::{Control, Error};
use headwater_plugin_api::testkit::{self, Collected};
use headwater_sql::sql::Sql;

use crate::cases;
use crate::reference::timed;

pub const NAME: &str = "the window operator alone";
pub const ABOUT: &str = "in process, one core: parsed batches into the statement of `SQL window`";

/// Nanoseconds a point, at most.
pub const BAR_NS: f64 = 15.0;

/// Keeps the batches of a parse.
#[derive(Default)]
pub struct Batches(pub Vec<Batch>);

impl SinkTarget for Batches {
    fn push(&mut self, mut batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        batch.set_origin(1);
        self.0.push(batch);
        Ok(())
    }
    fn push_bytes(&mut self, _bytes: PushedBytes<'_>) -> Result<(), Error> {
        Ok(())
    }
    fn bad(&mut self, _offset: usize, _len: usize, _at: usize, _message: &str) {}
    fn lines(&mut self, _lines: u64) {}
    fn malformed(&mut self, _malformed: Malformed) {}
}

/// Nanoseconds a point, the emission of rows included. The rows' counts must add up to the points.
pub fn nanos(batches: &[Batch]) -> Result<f64, String> {
    let mut driven =
        testkit::processor::<Sql>(&cases::window_options()).map_err(|error| error.to_string())?;
    let points: usize = batches.iter().map(Batch::len).sum();
    let now = batches.iter().map(|batch| batch.time_range().1).max().unwrap_or_default();
    let mut made: Vec<Collected> = Vec::new();
    let work = batches.to_vec();
    let (result, took) = timed(|| -> Result<(), Error> {
        for batch in work {
            let (collected, result) = driven.process(now, batch);
            made.push(collected);
            result?;
        }
        let (collected, result) = driven.control(now, Control::Stop);
        made.push(collected);
        result
    });
    result.map_err(|error| error.to_string())?;
    let mut counted = 0;
    for batch in made.iter().flat_map(|collected| &collected.batches) {
        for point in batch.points() {
            match point.field("n") {
                Some(Value::I64(count)) => counted += count as usize,
                other => return Err(format!("a row's count is {other:?}")),
            }
        }
    }
    if counted != points {
        return Err(format!("the windows counted {counted} of {points} points"));
    }
    Ok(took.as_nanos() as f64 / points as f64)
}
