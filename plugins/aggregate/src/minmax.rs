//! Aggregator `minmax`: the least and greatest value of each field.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::config::Duration;
use headwater_plugin_api::plugin::{Aggregator, Context, Control, Error, Host, Plugin, Sink};

use crate::cells::{self, Cells, Stats};
use crate::points::Results;

headwater_plugin_api::config! {
    /// `<field>_min` and `<field>_max` of each numeric field over each period, as floats. Strings and
    /// Booleans are skipped. The points carry the end of their period as time.
    pub struct MinMaxConfig {
        /// The period, aligned to the epoch. The points' own time decides where they belong.
        pub period: Duration = Duration::from_secs(30),
        /// How long after a period's end its points are sent.
        pub delay: Duration = Duration::from_millis(100),
        /// How long after that late points are still added, and the period's points sent again.
        pub grace: Duration = Duration::ZERO,
    }
}

/// The aggregator.
pub struct MinMax {
    cells: Cells<Extremes>,
}

impl Plugin for MinMax {
    type Config = MinMaxConfig;
    const NAME: &'static str = "minmax";
    const SUMMARY: &'static str = "The least and greatest value of each field";

    fn new(config: MinMaxConfig, host: Host) -> Result<Self, Error> {
        let MinMaxConfig { period, delay, grace } = config;
        Ok(MinMax { cells: Cells::new(&host, period, delay, grace, Extremes::default)? })
    }
}

impl Aggregator for MinMax {
    fn apply(&mut self, cx: &Context<'_>, batch: &Batch) -> Result<(), Error> {
        self.cells.apply(cx, batch);
        Ok(())
    }

    fn tick(&mut self, cx: &Context<'_>, out: &mut Sink<'_>) -> Result<Option<i64>, Error> {
        Ok(self.cells.tick(cx, out))
    }

    fn control(
        &mut self,
        cx: &Context<'_>,
        control: Control,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        self.cells.control(cx, control, out);
        Ok(())
    }
}

/// Least and greatest value of each cell; they are the wrong way round where there is none.
#[derive(Default)]
struct Extremes {
    cells: Vec<(f64, f64)>,
}

impl Stats for Extremes {
    #[inline]
    fn grow(&mut self, cells: usize) {
        if self.cells.len() < cells {
            self.cells.resize(cells, (f64::INFINITY, f64::NEG_INFINITY));
        }
    }

    #[inline]
    fn add(&mut self, cell: usize, _time: i64, value: f64) {
        let (least, greatest) = &mut self.cells[cell];
        *least = if value < *least { value } else { *least };
        *greatest = if value > *greatest { value } else { *greatest };
    }

    fn has(&self, cell: usize) -> bool {
        self.cells.get(cell).is_some_and(|(least, greatest)| least <= greatest)
    }

    fn retain(&mut self, keep: &[bool]) {
        cells::retain(&mut self.cells, keep);
    }

    fn results(&self, cell: usize, results: &mut Results) {
        let (least, greatest) = self.cells[cell];
        results.float(0, least);
        results.float(1, greatest);
    }

    fn suffix(number: u8) -> &'static str {
        if number == 0 { "min" } else { "max" }
    }

    fn byte_size(&self) -> usize {
        self.cells.capacity() * size_of::<(f64, f64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::BatchBuilder;
    use headwater_plugin_api::testkit;

    #[test]
    fn the_extremes_of_a_period() {
        let mut builder = BatchBuilder::default();
        for (value, time) in [(4.0, 0), (-1.5, 1), (7.0, 30_000_000_000)] {
            let point = builder.point("m").field("v", value).field("text", "x");
            point.field("n", time).finish(time).unwrap();
        }
        let mut minmax = testkit::aggregator::<MinMax>("").unwrap();
        minmax.apply(30_000_000_000, &builder.finish().unwrap()).unwrap();
        let (got, result) = minmax.control(30_000_000_000, Control::Stop);
        result.unwrap();
        assert_eq!(
            got.points(),
            [
                "m v_min=-1.5,v_max=4,n_min=0,n_max=1 30000000000",
                "m v_min=7,v_max=7,n_min=30000000000,n_max=30000000000 60000000000",
            ]
        );
    }
}
