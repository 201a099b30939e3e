//! Aggregator `basicstats`: count, extremes, mean, deviation and change of each field.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::config::Duration;
use headwater_plugin_api::plugin::{Aggregator, Context, Control, Error, Host, Plugin, Sink};

use crate::cells::{self, Cells, Stats};
use crate::points::Results;

macro_rules! stats {
    ($($(#[doc = $doc:expr])* $variant:ident = $word:literal),* $(,)?) => {
        headwater_plugin_api::choice! {
            /// One statistic of a field. Its word, with `_` in front, is the suffix of the result.
            pub enum Stat {
                $($(#[doc = $doc])* $variant = $word),*
            }
        }

        impl Stat {
            /// All of them, in the order in which they stand in a point.
            const ALL: &[Stat] = &[$(Stat::$variant),*];
        }
    };
}

stats! {
    /// How many values there were.
    Count = "count",
    /// The least value.
    Min = "min",
    /// The greatest value.
    Max = "max",
    /// The arithmetic mean.
    Mean = "mean",
    /// The variance, over n - 1.
    S2 = "s2",
    /// The root of `s2`.
    Stdev = "stdev",
    /// The sum.
    Sum = "sum",
    /// The earliest value.
    First = "first",
    /// The latest value.
    Last = "last",
    /// The latest value less the earliest.
    Diff = "diff",
    /// `diff`, unless it is negative.
    NonNegativeDiff = "non_negative_diff",
    /// `diff` per second.
    Rate = "rate",
    /// `rate`, unless `diff` is negative.
    NonNegativeRate = "non_negative_rate",
    /// `diff` in percent of the earliest value.
    PercentChange = "percent_change",
    /// From the earliest value to the latest, in integer nanoseconds.
    Interval = "interval",
}

headwater_plugin_api::config! {
    /// Statistics of each numeric field over each period: `<field>_<stat>`, as floats, `interval` as
    /// integer nanoseconds. Strings and Booleans are skipped. With one value only count, min, max,
    /// mean, sum, first and last are sent. The points carry the end of their period as time.
    pub struct BasicStatsConfig {
        /// The period, aligned to the epoch. The points' own time decides where they belong.
        pub period: Duration = Duration::from_secs(30),
        /// How long after a period's end its points are sent.
        pub delay: Duration = Duration::from_millis(100),
        /// How long after that late points are still added, and the period's points sent again.
        pub grace: Duration = Duration::ZERO,
        /// The statistics.
        pub stats: Vec<Stat> =
            vec![Stat::Count, Stat::Min, Stat::Max, Stat::Mean, Stat::S2, Stat::Stdev],
    }
}

const fn bit(stat: Stat) -> u32 {
    1 << stat as u32
}

const MOMENTS: u32 = bit(Stat::Mean) | bit(Stat::S2) | bit(Stat::Stdev);
const ENDS: u32 = bit(Stat::First)
    | bit(Stat::Last)
    | bit(Stat::Diff)
    | bit(Stat::NonNegativeDiff)
    | bit(Stat::Rate)
    | bit(Stat::NonNegativeRate)
    | bit(Stat::PercentChange)
    | bit(Stat::Interval);

/// The aggregator.
pub struct BasicStats {
    cells: Cells<Arrays>,
}

impl Plugin for BasicStats {
    type Config = BasicStatsConfig;
    const NAME: &'static str = "basicstats";
    const SUMMARY: &'static str = "Count, extremes, mean, deviation and change of each field";

    fn new(config: BasicStatsConfig, host: Host) -> Result<Self, Error> {
        let stats = config.stats.iter().fold(0, |bits, stat| bits | bit(*stat));
        if stats == 0 {
            return Err(Error::config("stats", "the list is empty, so that nothing would be sent"));
        }
        let BasicStatsConfig { period, delay, grace, .. } = config;
        let cells = Cells::new(&host, period, delay, grace, move || Arrays::new(stats))?;
        Ok(BasicStats { cells })
    }
}

impl Aggregator for BasicStats {
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

/// Of each cell what the wanted statistics need.
struct Arrays {
    stats: u32,
    basic: Vec<Basic>,
    moments: Vec<Moments>,
    ends: Vec<Ends>,
}

#[derive(Clone, Copy)]
struct Basic {
    count: f64,
    min: f64,
    max: f64,
    sum: f64,
}

/// Mean and sum of squared distances from it, kept up to date value by value.
#[derive(Clone, Copy, Default)]
struct Moments {
    mean: f64,
    squares: f64,
}

/// First and last value by time; of equal times the order of arrival counts, as in Telegraf.
#[derive(Clone, Copy, Default)]
struct Ends {
    first_time: i64,
    first: f64,
    last_time: i64,
    last: f64,
}

impl Arrays {
    fn new(stats: u32) -> Self {
        Arrays { stats, basic: Vec::new(), moments: Vec::new(), ends: Vec::new() }
    }
}

impl Stats for Arrays {
    #[inline]
    fn grow(&mut self, cells: usize) {
        if self.basic.len() < cells {
            let none = Basic { count: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0 };
            self.basic.resize(cells, none);
            if self.stats & MOMENTS != 0 {
                self.moments.resize(cells, Moments::default());
            }
            if self.stats & ENDS != 0 {
                self.ends.resize(cells, Ends::default());
            }
        }
    }

    #[inline]
    fn add(&mut self, cell: usize, time: i64, value: f64) {
        let basic = &mut self.basic[cell];
        basic.count += 1.0;
        basic.min = if value < basic.min { value } else { basic.min };
        basic.max = if value > basic.max { value } else { basic.max };
        basic.sum += value;
        if let Some(moments) = self.moments.get_mut(cell) {
            let from = value - moments.mean;
            moments.mean += from / basic.count;
            moments.squares += from * (value - moments.mean);
        }
        if let Some(ends) = self.ends.get_mut(cell) {
            let is_new = basic.count == 1.0;
            if is_new || time < ends.first_time {
                (ends.first_time, ends.first) = (time, value);
            }
            if is_new || time >= ends.last_time {
                (ends.last_time, ends.last) = (time, value);
            }
        }
    }

    fn has(&self, cell: usize) -> bool {
        self.basic.get(cell).is_some_and(|basic| basic.count > 0.0)
    }

    fn retain(&mut self, keep: &[bool]) {
        cells::retain(&mut self.basic, keep);
        cells::retain(&mut self.moments, keep);
        cells::retain(&mut self.ends, keep);
    }

    fn results(&self, cell: usize, results: &mut Results) {
        let basic = self.basic[cell];
        let moments = self.moments.get(cell).copied().unwrap_or_default();
        let ends = self.ends.get(cell).copied().unwrap_or_default();
        let several = basic.count > 1.0;
        let variance = moments.squares / (basic.count - 1.0);
        let diff = ends.last - ends.first;
        let interval = ends.last_time.saturating_sub(ends.first_time);
        let rate = diff / (interval as f64 / 1e9);
        let mut left = self.stats;
        while let Some(stat) = Stat::ALL.get(left.trailing_zeros() as usize) {
            left &= left - 1;
            let (present, value) = match stat {
                Stat::Count => (true, basic.count),
                Stat::Min => (true, basic.min),
                Stat::Max => (true, basic.max),
                Stat::Mean => (true, moments.mean),
                Stat::S2 => (several, variance),
                Stat::Stdev => (several, variance.sqrt()),
                Stat::Sum => (true, basic.sum),
                Stat::First => (true, ends.first),
                Stat::Last => (true, ends.last),
                Stat::Diff => (several, diff),
                Stat::NonNegativeDiff => (several && diff >= 0.0, diff),
                Stat::Rate => (several, rate),
                Stat::NonNegativeRate => (several && diff >= 0.0, rate),
                Stat::PercentChange => (several, diff / ends.first * 100.0),
                Stat::Interval => {
                    if several {
                        results.int(*stat as u8, interval);
                    }
                    continue;
                }
            };
            if present {
                results.float(*stat as u8, value);
            }
        }
    }

    fn suffix(number: u8) -> &'static str {
        Stat::ALL.get(usize::from(number)).map_or("", |stat| stat.word())
    }

    fn byte_size(&self) -> usize {
        self.basic.capacity() * size_of::<Basic>()
            + self.moments.capacity() * size_of::<Moments>()
            + self.ends.capacity() * size_of::<Ends>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::BatchBuilder;
    use headwater_plugin_api::testkit;

    const S: i64 = 1_000_000_000;
    /// A full hour.
    const T: i64 = 3_600_000 * S;

    /// Points of one series at these seconds with these values.
    fn batch(points: &[(i64, f64)]) -> Batch {
        let mut builder = BatchBuilder::default();
        for (second, value) in points {
            let point = builder.point("m").tag("host", "a").field("v", *value);
            point.field("on", true).field("text", "x").finish(T + second * S).unwrap();
        }
        builder.finish().unwrap()
    }

    fn run(config: &str, points: &[(i64, f64)]) -> Vec<String> {
        let mut stats = testkit::aggregator::<BasicStats>(config).unwrap();
        stats.apply(T + 29 * S, &batch(points)).unwrap();
        let (early, next) = stats.tick(T + 30 * S);
        assert!(early.points().is_empty());
        assert_eq!(next.unwrap(), Some(T + 30 * S + 100_000_000));
        stats.tick(T + 30 * S + 100_000_000).0.points()
    }

    #[test]
    fn the_default_statistics() {
        assert_eq!(
            run("", &[(1, 2.0), (2, 4.0), (29, 9.0)]),
            ["m,host=a v_count=3,v_min=2,v_max=9,v_mean=5,v_s2=13,v_stdev=3.605551275463989 \
              3600030000000000"]
        );
    }

    #[test]
    fn one_value_has_no_deviation_and_no_change() {
        assert_eq!(
            run("", &[(29, 2.0)]),
            ["m,host=a v_count=1,v_min=2,v_max=2,v_mean=2 3600030000000000"]
        );
        let words: Vec<&str> = Stat::ALL.iter().map(|stat| stat.word()).collect();
        let all = format!("stats = {words:?}");
        assert_eq!(
            run(&all, &[(29, 2.0)]),
            ["m,host=a v_count=1,v_min=2,v_max=2,v_mean=2,v_sum=2,v_first=2,v_last=2 \
              3600030000000000"]
        );
    }

    #[test]
    fn changes_compare_the_last_value_with_the_first() {
        let stats = "stats = ['diff', 'non_negative_diff', 'rate', 'non_negative_rate', \
                     'percent_change', 'interval', 'first', 'last']";
        assert_eq!(
            run(stats, &[(9, 5.0), (1, 4.0), (21, 8.0), (29, 6.0)]),
            ["m,host=a v_first=4,v_last=6,v_diff=2,v_non_negative_diff=2,\
              v_rate=0.07142857142857142,v_non_negative_rate=0.07142857142857142,\
              v_percent_change=50,v_interval=28000000000i 3600030000000000"]
        );
        assert_eq!(
            run(stats, &[(1, 6.0), (29, 4.0)]),
            ["m,host=a v_first=6,v_last=4,v_diff=-2,v_rate=-0.07142857142857142,\
              v_percent_change=-33.33333333333333,v_interval=28000000000i 3600030000000000"]
        );
    }

    #[test]
    fn deviations_of_large_numbers_are_right() {
        let big = 1e9;
        let points: Vec<(i64, f64)> = (0..29).map(|i| (i, big + (i % 3) as f64)).collect();
        let line = &run("stats = ['s2']", &[&points[..], &[(29, big)]].concat())[0];
        let s2: f64 = line.split(['=', ' ']).nth(3).unwrap().parse().unwrap();
        let values: Vec<f64> = (0..29).map(|i| (i % 3) as f64).chain([0.0]).collect();
        let mean = values.iter().sum::<f64>() / 30.0;
        let exact = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 29.0;
        assert!((s2 - exact).abs() < 1e-7, "{s2} {exact}");
    }

    #[test]
    fn integers_count_and_series_are_apart() {
        let mut builder = BatchBuilder::default();
        for (host, value) in [("b", -3), ("a", 4), ("a", 6)] {
            let point = builder.point("m").tag("host", host).field("i", value);
            point.field("u", u64::MAX).finish(T + 29 * S).unwrap();
        }
        builder.point("m").tag("host", "b").field("other", 1.5).finish(T).unwrap();
        let mut stats = testkit::aggregator::<BasicStats>("stats = ['max', 'count']").unwrap();
        stats.apply(T + 29 * S, &builder.finish().unwrap()).unwrap();
        let (got, result) = stats.control(T + 29 * S, Control::Stop);
        result.unwrap();
        assert_eq!(
            got.points(),
            [
                "m,host=a i_count=2,i_max=6,u_count=2,u_max=18446744073709552000 3600030000000000",
                "m,host=b i_count=1,i_max=-3,u_count=1,u_max=18446744073709552000,other_count=1,\
             other_max=1.5 3600030000000000",
            ]
        );
    }

    #[test]
    fn late_points_are_counted_or_with_grace_correct_their_period() {
        for (config, lines, late) in [("", 0, 1), ("grace = '10s'", 1, 0)] {
            let config = format!("{config}\nstats = ['sum']");
            let mut stats = testkit::aggregator::<BasicStats>(&config).unwrap();
            stats.apply(T + 29 * S, &batch(&[(29, 1.0)])).unwrap();
            assert_eq!(stats.tick(T + 31 * S).0.points().len(), 1);
            stats.apply(T + 32 * S, &batch(&[(29, 2.0), (32, 7.0)])).unwrap();
            let corrected = stats.tick(T + 33 * S).0.points();
            assert_eq!(corrected.len(), lines);
            assert!(corrected.iter().all(|line| line == "m,host=a v_sum=3 3600030000000000"));
            assert_eq!(stats.host.metric("points_late"), late);
        }
    }

    #[test]
    fn more_windows_than_fit_lose_nothing() {
        let mut stats = testkit::aggregator::<BasicStats>("stats = ['count']").unwrap();
        let points: Vec<(i64, f64)> = (0..5000).map(|i| (i * 30 - 1_000_000, 1.0)).collect();
        stats.apply(T, &batch(&points)).unwrap();
        let (first, _) = stats.tick(T);
        let (rest, _) = stats.control(T, Control::Stop);
        assert_eq!(first.points().len() + rest.points().len(), 5000);
        assert_eq!(stats.host.metric("values_overflow"), 0);
    }

    #[test]
    fn series_that_went_away_are_forgotten() {
        let mut stats = testkit::aggregator::<BasicStats>("stats = ['count']").unwrap();
        let mut count = 0;
        for period in 0..20_i64 {
            let mut builder = BatchBuilder::default();
            for host in 0..2000 {
                let host = format!("{period}-{host}");
                builder
                    .point("m")
                    .tag("host", &host)
                    .field("v", 1.0)
                    .finish(T + period * 30 * S)
                    .unwrap();
            }
            let now = T + period * 30 * S;
            stats.apply(now, &builder.finish().unwrap()).unwrap();
            count += stats.tick(now + 29 * S).0.points().len();
        }
        count += stats.control(T + 600 * S, Control::Stop).0.points().len();
        assert_eq!(count, 40_000);
        assert!(stats.host.metric("groups") <= 6000, "{}", stats.host.metric("groups"));
    }

    fn hosts(hosts: std::ops::Range<usize>, second: i64) -> Batch {
        let mut builder = BatchBuilder::default();
        for host in hosts {
            let name = host.to_string();
            let point = builder.point("m").tag("host", &name).field("v", host as f64);
            point.field("w", 1_i64).finish(T + second * S).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn memory_comes_back_in_silence() {
        let mut stats = testkit::aggregator::<BasicStats>("period = '10s'").unwrap();
        for first in (0..100_000).step_by(10_000) {
            stats.apply(T + S, &hosts(first..first + 10_000, 1)).unwrap();
        }
        stats.tick(T + 2 * S).1.unwrap();
        assert!(stats.host.metric("state_bytes") > 20_000_000);
        assert_eq!(stats.tick(T + 11 * S).0.points().len(), 100_000);
        stats.tick(T + 21 * S).1.unwrap();
        let bytes = stats.host.metric("state_bytes");
        assert!(bytes < 10_000, "{bytes}");
        assert_eq!(stats.host.metric("groups"), 0);
        stats.apply(T + 22 * S, &hosts(7..8, 22)).unwrap();
        assert_eq!(
            stats.tick(T + 31 * S).0.points(),
            ["m,host=7 v_count=1,v_min=7,v_max=7,v_mean=7,w_count=1,w_min=1,w_max=1,w_mean=1 \
              3600030000000000"]
        );
    }

    #[test]
    fn silence_leaves_an_open_period_alone() {
        let mut stats =
            testkit::aggregator::<BasicStats>("period = '1m'\nstats = ['sum']").unwrap();
        for second in [0, 40] {
            stats.apply(T + second * S, &hosts(1..3, second)).unwrap();
            stats.tick(T + (second + 19) * S).1.unwrap();
            stats.tick(T + (second + 39).min(59) * S).1.unwrap();
        }
        assert_eq!(
            stats.tick(T + 61 * S).0.points(),
            [
                "m,host=1 v_sum=2,w_sum=2 3600060000000000",
                "m,host=2 v_sum=4,w_sum=2 3600060000000000"
            ]
        );
    }

    #[test]
    fn series_whose_points_all_come_late_are_forgotten() {
        let mut stats = testkit::aggregator::<BasicStats>("period = '10s'").unwrap();
        stats.apply(T + S, &hosts(0..1, 1)).unwrap();
        stats.tick(T + 11 * S).1.unwrap();
        for first in (0..200_000).step_by(10_000) {
            stats.apply(T + 12 * S, &hosts(first..first + 10_000, 1)).unwrap();
        }
        assert_eq!(stats.host.metric("points_late"), 200_000);
        stats.tick(T + 12 * S).1.unwrap();
        let bytes = stats.host.metric("state_bytes");
        assert!(bytes < 20_000_000, "{bytes}");
    }

    #[test]
    fn fields_that_come_and_go_keep_their_order() {
        let mut builder = BatchBuilder::default();
        for host in 0..40 {
            let name = format!("{host:02}");
            let mut point = builder.point("m").tag("host", &name);
            for field in (0..6).filter(|field| host >> field & 1 == 1 || *field == 5) {
                point = point.field(&format!("f{field}"), f64::from(host));
            }
            point.metric_kind(2).finish(T).unwrap();
        }
        let batch = builder.finish().unwrap();
        let mut stats = testkit::aggregator::<BasicStats>("stats = ['max', 'min']").unwrap();
        for _ in 0..2 {
            stats.apply(T, &batch).unwrap();
        }
        let (got, _) = stats.control(T, Control::Stop);
        let lines = got.points();
        assert_eq!(lines.len(), 40);
        assert_eq!(
            lines[3],
            "m,host=03 f0_min=3,f0_max=3,f1_min=3,f1_max=3,f5_min=3,f5_max=3 3600030000000000"
        );
        assert_eq!(
            lines[38],
            "m,host=38 f1_min=38,f1_max=38,f2_min=38,f2_max=38,f5_min=38,f5_max=38 \
             3600030000000000"
        );
        assert_eq!(got.batches[0].series(0).kind(), 2);
    }

    #[test]
    fn of_results_with_one_name_the_last_counts() {
        let mut builder = BatchBuilder::default();
        for (second, value) in [(1, 1.0), (2, 5.0)] {
            let point = builder.point("m").field("x", value).field("x_non_negative", value * 2.0);
            point.finish(T + second * S).unwrap();
        }
        let config = "stats = ['diff', 'non_negative_diff']";
        let mut stats = testkit::aggregator::<BasicStats>(config).unwrap();
        stats.apply(T, &builder.finish().unwrap()).unwrap();
        let (got, _) = stats.control(T, Control::Stop);
        assert_eq!(
            got.points(),
            ["m x_diff=4,x_non_negative_diff=8,x_non_negative_non_negative_diff=8 \
              3600030000000000"]
        );
    }

    #[test]
    fn results_that_are_not_finite_are_left_out() {
        let stats = "stats = ['percent_change', 'count']";
        assert_eq!(run(stats, &[(1, 0.0), (29, 4.0)]), ["m,host=a v_count=2 3600030000000000"]);
        assert_eq!(run("stats = ['percent_change']", &[(1, 0.0), (29, 4.0)]), [""; 0]);
    }

    #[test]
    fn wrong_options_are_refused() {
        let check = |config: &str, part: &str| {
            let error = testkit::aggregator::<BasicStats>(config).err().unwrap();
            assert!(error.message().contains(part), "{error}");
        };
        check("stats = ['mena']", "\"mena\"");
        check("stats = []", "the list is empty");
        check("period = '0s'", "longer than 0s");
    }
}
