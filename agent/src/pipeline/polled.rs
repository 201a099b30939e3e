//! Inputs that are gathered at intervals, and what happens to points and bytes that any input pushes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_plugin_api::abi::instance::{Chunk, InputInstance, PADDING};
use headwater_plugin_api::abi::serve::{self, PushedBytes, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::{Batch, SeriesMap};
use headwater_plugin_api::plugin::{Error, Framing, Outcome};

use super::clock::duration_ns;
use super::core::{Core, Worker};
use super::input::Input;
use super::modify;
use super::slot::{CallError, Slot};
use super::source;
use super::stage::Collect;
use crate::config::TimeSource;
use crate::delivery::HandleState;

/// When an input is gathered.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Between two gathers.
    pub interval: Duration,
    /// Whether gathers fall on multiples of the interval.
    pub round: bool,
    /// Each gather waits a random time up to this.
    pub jitter: Duration,
    /// Each gather waits this long.
    pub offset: Duration,
    /// Where the time of its points comes from.
    pub time_source: TimeSource,
}

impl Schedule {
    /// When the next gather is due after `now_ns`, jitter and offset not counted.
    pub fn next_after(&self, now_ns: i64) -> i64 {
        let interval = duration_ns(self.interval).max(1);
        if self.round {
            (now_ns.div_euclid(interval) + 1).saturating_mul(interval)
        } else {
            now_ns.saturating_add(interval)
        }
    }
}

/// A gathered input and its instance.
pub struct Polled {
    /// The input.
    pub input: Arc<Input>,
    /// Its instance.
    pub slot: Slot<InputInstance>,
    /// When it is gathered.
    pub schedule: Schedule,
    /// The number of what it brings.
    pub origin: u64,
    /// Whether its points compare with the gather before.
    pub differential: bool,
}

impl Polled {
    /// Gathers once and forgets the points, for a gather to compare with.
    pub fn gather_unseen(&self, core: &Core, worker: &Worker) {
        let cx = core.context();
        let mut unseen =
            Collect { batches: Vec::new(), checks: self.input.checks, malformed: None };
        let _ = self.slot.call(|instance| {
            core.calls.watch(&worker.call, self.input.number, || {
                serve::with_sink(&mut unseen, |sink| instance.gather(&cx, sink))
            })
        });
    }

    /// Gathers once. Whether it worked.
    pub fn gather(&self, core: &Core, worker: &mut Worker) -> bool {
        let begin = Instant::now();
        let cx = core.context();
        let (call, number) = (Arc::clone(&worker.call), self.input.number);
        let start_ns = core.clock.now_ns();
        let mut pushed = Pushed::new(core, worker, &self.input, self.origin, false);
        pushed.round = true;
        pushed.set_time = match self.schedule.time_source {
            TimeSource::Metric => SetTime::No,
            TimeSource::CollectionStart => SetTime::To(start_ns),
            TimeSource::CollectionEnd => SetTime::Later,
        };
        let result = self.slot.call(|instance| {
            core.calls.watch(&call, number, || {
                serve::with_sink(&mut pushed, |sink| instance.gather(&cx, sink))
            })
        });
        let failed_bytes = pushed.failed;
        pushed.release(core.clock.now_ns());
        self.input.counters.gather_time_ns.add(begin.elapsed());
        match result {
            Ok(()) => !failed_bytes,
            Err(error) => {
                self.input.counters.gather_errors.add(1);
                super::core::tell(&self.input.log, &error, 0);
                false
            }
        }
    }
}

/// What the time of points is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    /// It stays.
    No,
    /// This.
    To(i64),
    /// The end of the gather: the points wait for it.
    Later,
}

/// Takes what an input pushes and brings it on its way at once.
pub struct Pushed<'a> {
    core: &'a Core,
    worker: &'a mut Worker,
    input: &'a Arc<Input>,
    origin: u64,
    can_wait: bool,
    /// Whether times are rounded to the input's precision.
    pub round: bool,
    /// What times are set to.
    pub set_time: SetTime,
    held: Vec<Batch>,
    /// Whether bytes could not be parsed.
    pub failed: bool,
}

impl<'a> Pushed<'a> {
    /// A target for one call.
    pub fn new(
        core: &'a Core,
        worker: &'a mut Worker,
        input: &'a Arc<Input>,
        origin: u64,
        can_wait: bool,
    ) -> Self {
        Pushed {
            core,
            worker,
            input,
            origin,
            can_wait,
            round: true,
            set_time: SetTime::No,
            held: Vec::new(),
            failed: false,
        }
    }

    /// Brings a batch on its way.
    pub fn batch(&mut self, mut batch: Batch) {
        if self.set_time == SetTime::Later {
            self.held.push(batch);
            return;
        }
        self.prepare(&mut batch, &[]);
        if !batch.is_empty() {
            self.core.run(self.worker, vec![batch], self.can_wait);
        }
    }

    /// Brings on their way what waited for the end of the gather.
    pub fn release(mut self, end_ns: i64) {
        if self.set_time == SetTime::Later {
            self.set_time = SetTime::To(end_ns);
            for batch in std::mem::take(&mut self.held) {
                self.batch(batch);
            }
        }
    }

    fn prepare(&mut self, batch: &mut Batch, tags: &[(String, String)]) {
        self.input.counters.metrics_gathered.add(batch.len() as u64);
        if batch.origin() == 0 {
            batch.set_origin(self.origin);
        }
        if let SetTime::To(time) = self.set_time {
            batch.edit_rows(|rows| rows.iter_mut().for_each(|row| row.time = time));
        }
        if self.round {
            modify::round_times(batch, self.input.precision_ns);
        }
        if tags.is_empty() {
            let map = &mut self.worker.input_maps[self.input.index];
            self.input.shaping.apply(map, batch, &[]);
        } else {
            self.input.shaping.apply(&mut SeriesMap::new(), batch, tags);
        }
    }

    /// Parses bytes, piece by piece, and brings the points on their way.
    ///
    /// # Errors
    /// The parser's, for a whole piece; the pieces before it are on their way.
    pub fn bytes(&mut self, bytes: &PushedBytes<'_>) -> Result<(), Error> {
        let Some(make) = &self.input.parser else {
            return Err(Error::failed(
                "it brings bytes but has no parser; set data_format in its table",
            ));
        };
        let origin = if bytes.origin == 0 { self.origin } else { bytes.origin };
        let handle =
            bytes.token.map(|token| HandleState::create(origin, token, &self.input.settlements).0);
        let mut start = 0;
        let mut result = Ok(());
        let (mut padded, mut lines) = (std::mem::take(&mut self.worker.scratch), 0);
        while start < bytes.data.len() {
            let rest = &bytes.data[start..];
            let parser = self.worker.parsers[self.input.index].get(make);
            let len = match (&parser, bytes.framing) {
                (_, Framing::Messages) | (Err(_), _) => rest.len(),
                (Ok(_), _) if rest.len() <= source::READ_BYTES => rest.len(),
                (Ok(parser), _) => match parser.cut(&rest[..source::READ_BYTES], false) {
                    0 => rest.len(),
                    cut => cut,
                },
            };
            padded.clear();
            padded.extend_from_slice(&rest[..len]);
            padded.resize(len + PADDING, 0);
            let chunk = Chunk {
                padded: &padded,
                last: start + len == bytes.data.len(),
                default_time_ns: self.core.clock.now_ns(),
                origin,
            };
            let mut target = source::Parsed::new(start as u64, self.input);
            let cx = self.core.context();
            let begin = Instant::now();
            let parsed = self.worker.parsers[self.input.index].call(make, |parser| {
                let mut excerpted = source::Excerpted { target: &mut target, data: &padded };
                serve::with_sink(&mut excerpted, |sink| parser.parse(&cx, &chunk, sink))
            });
            self.input.parsed(&target.batches, parsed.is_err(), begin.elapsed());
            lines += target.lines;
            source::tell_bad(self.core, self.input, "", lines - target.lines, &target);
            for mut batch in std::mem::take(&mut target.batches) {
                batch.set_origin(origin);
                batch.set_delivery(handle.clone());
                self.prepare(&mut batch, &bytes.tags);
                if !batch.is_empty() {
                    self.core.run(self.worker, vec![batch], self.can_wait);
                }
            }
            if let Err(error) = parsed {
                self.failed = true;
                self.input.counters.errors.add(1);
                super::core::tell(&self.input.log, &error, 0);
                if let CallError::Plugin(error) = error {
                    result = Err(error);
                } else {
                    result = Err(Error::failed("the parser is not there"));
                }
                break;
            }
            start += len;
        }
        self.worker.scratch = padded;
        let outcome = if result.is_ok() { Outcome::Delivered } else { Outcome::Lost };
        super::core::settle(handle, outcome);
        result
    }
}

impl SinkTarget for Pushed<'_> {
    fn checks(&self) -> bool {
        self.input.checks
    }

    fn push(&mut self, batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        self.batch(batch);
        Ok(())
    }

    fn malformed(&mut self, malformed: Malformed) {
        self.input.malformed(&malformed);
    }

    fn push_bytes(&mut self, bytes: PushedBytes<'_>) -> Result<(), Error> {
        self.bytes(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::clock::Clock;

    fn schedule(round: bool) -> Schedule {
        Schedule {
            interval: Duration::from_secs(10),
            round,
            jitter: Duration::ZERO,
            offset: Duration::ZERO,
            time_source: TimeSource::Metric,
        }
    }

    #[test]
    fn gathers_fall_on_multiples_of_the_interval() {
        const S: i64 = 1_000_000_000;
        assert_eq!(schedule(true).next_after(12 * S), 20 * S);
        assert_eq!(schedule(true).next_after(20 * S), 30 * S);
        assert_eq!(schedule(true).next_after(-5 * S), 0);
        assert_eq!(schedule(false).next_after(12 * S), 22 * S);
    }

    #[tokio::test(start_paused = true)]
    async fn sleeping_follows_the_virtual_clock() {
        let clock = Clock::Virtual { start_ns: 5, origin: tokio::time::Instant::now() };
        clock.sleep_until(3_600_000_000_005).await;
        assert_eq!(clock.now_ns(), 3_600_000_000_005);
        clock.sleep_until(7).await;
        assert_eq!(clock.now_ns(), 3_600_000_000_005);
    }
}
