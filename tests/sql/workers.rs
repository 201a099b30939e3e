//! Several threads that feed one processor at the same time.

use headwater_plugin_api::abi::shared::SharedProcessor;
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::testkit::{self, Collected, Driven};
use headwater_sql::sql::Sql;

use crate::engine::{Made, batch};
use crate::metamorphic::{Runner, Step};
use crate::random::Random;
use crate::table::{Row, Table};

/// As many workers; each batch is cut into pieces for them.
pub struct Workers(pub usize);

struct Stage {
    sql: Driven<SharedProcessor>,
    next: Option<i64>,
    now: i64,
    made: Vec<Made>,
}

impl Stage {
    fn take(&mut self, collected: &Collected) {
        let points = collected.batches.iter().flat_map(|batch| batch.points());
        self.made.extend(points.map(|point| Made::read(&point)));
    }

    fn feed(&mut self, workers: usize, now: i64, origin: u64, table: &Table, rows: &[&Row]) {
        let sql = &self.sql;
        let piece = rows.len().div_ceil(workers).max(1);
        let got: Vec<Collected> = std::thread::scope(|scope| {
            let work = |rows: &[&Row]| {
                let mut batch = batch(table, rows.iter().copied());
                batch.set_origin(origin);
                let (got, result) = sql.process(now, batch);
                result.unwrap();
                got
            };
            let threads: Vec<_> =
                rows.chunks(piece).map(|rows| scope.spawn(move || work(rows))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        got.iter().for_each(|got| self.take(got));
        if let Some(time_ns) = rows.iter().map(|row| row.time).max() {
            self.control(now, Control::Reached { origin, time_ns });
        }
    }

    fn control(&mut self, now: i64, message: Control) {
        let (got, result) = self.sql.control(now, message);
        result.unwrap();
        self.take(&got);
        self.advance(now);
    }

    fn advance(&mut self, now: i64) {
        let mut at = self.next.unwrap_or(now).max(self.now);
        loop {
            let (got, next) = self.sql.tick(at.min(now));
            self.take(&got);
            let next = next.unwrap();
            if at >= now && next.is_none_or(|next| next > now) {
                (self.next, self.now) = (next, now);
                return;
            }
            at = next.unwrap_or(now).max(at).min(now);
        }
    }
}

impl Runner for Workers {
    fn name(&self) -> String {
        format!("{} workers", self.0)
    }

    fn run(
        &self,
        options: &str,
        query: &str,
        table: &Table,
        steps: &[Step<'_>],
        random: &mut Random,
    ) -> Result<Vec<Made>, String> {
        let config = format!("drop_original = true\n{options}\nquery = '''\n{query}\n'''");
        let sql = testkit::processor::<Sql>(&config).map_err(|error| error.to_string())?;
        let Ok(sql) = sql.share() else {
            return crate::metamorphic::Plain.run(options, query, table, steps, random);
        };
        let mut stage = Stage { sql, next: None, now: i64::MIN, made: Vec::new() };
        for step in steps {
            match step {
                Step::Feed { now, origin, rows } => stage.feed(self.0, *now, *origin, table, rows),
                Step::Control { now, message } => stage.control(*now, *message),
                Step::Clock { now } => stage.advance(*now),
            }
        }
        for name in ["points_late", "points_future", "points_no_window", "points_overflow"] {
            let count = stage.sql.host.metric(name);
            if count > 0 {
                return Err(format!("{name} is {count}, expected none"));
            }
        }
        Ok(stage.made)
    }
}
