//! Points, written straight into the tables of a batch: a file's columns are the same from record to record, and most
//! records have a value in each.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::{Batch, BatchBuilder, Refused, SeriesStore, Value};

/// Series that are remembered; when there are more, all are forgotten.
const SERIES_MAX: usize = 65_536;
/// Bytes of the tags of series that are remembered.
const SERIES_BYTES_MAX: usize = 8 << 20;
/// Behind each tag in what series are known by: no byte of UTF-8.
const BEHIND: u8 = 0xff;

/// The points of a file that are no batch yet.
#[derive(Default)]
pub struct Points {
    builder: BatchBuilder,
    series: Series,
    /// Of each column in the batch under construction.
    symbols: Vec<Option<u32>>,
    /// The forms of its records, by the columns that have a value and their kinds.
    shapes: HashMap<Vec<(u32, u8)>, u32>,
    /// The form of the last record, and its number in the batch.
    last: (Vec<(u32, u8)>, Option<u32>),
    epoch: u64,
    /// The columns of the fields of the point under construction, and their kinds.
    fields: Vec<(u32, u8)>,
    payloads: Vec<u64>,
    /// Where its texts stand among the payloads, and what they are.
    texts: Vec<(usize, usize)>,
    text: String,
}

impl Points {
    /// Begins a point anew.
    pub fn begin(&mut self) {
        self.fields.clear();
        self.payloads.clear();
        self.texts.clear();
        self.text.clear();
        self.series.raw.clear();
    }

    /// A tag, in the order of the columns. An empty one is none.
    pub fn tag(&mut self, value: &str) {
        self.series.raw.extend_from_slice(value.as_bytes());
        self.series.raw.push(BEHIND);
    }

    /// A field of the column of that number.
    #[inline]
    pub fn field(&mut self, column: usize, value: Value<'_>) {
        let payload = match value {
            Value::F64(value) => value.to_bits(),
            Value::I64(value) => value as u64,
            Value::U64(value) => value,
            Value::Bool(value) => u64::from(value),
            Value::Text(text) => {
                self.texts.push((self.payloads.len(), self.text.len()));
                self.text.push_str(text);
                0
            }
            Value::Unknown { payload, .. } => payload,
        };
        self.fields.push((column as u32, value.kind()));
        self.payloads.push(payload);
    }

    pub fn has_fields(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Adds the point. `name` tells the names of columns, `tags` are the numbers of those that are tags.
    ///
    /// # Errors
    /// It is over a limit; nothing was added.
    pub fn finish<'n>(
        &mut self,
        measurement: &str,
        tags: &[usize],
        name: impl Fn(usize) -> &'n str,
        time_ns: i64,
    ) -> Result<(), Refused> {
        if self.epoch != self.builder.epoch() {
            self.epoch = self.builder.epoch();
            self.symbols.clear();
            self.shapes.clear();
            self.last.1 = None;
        }
        let limits = *self.builder.limits();
        let bound = |what, size: usize, limit: u32| match size > limit as usize {
            true => Err(Refused::TooLarge { what, size, limit: limit as usize }),
            false => Ok(()),
        };
        bound("the point", self.text.len() + self.series.raw.len(), limits.point_bytes)?;
        bound("the number of fields", self.fields.len(), limits.fields)?;
        let series = self.series.find(measurement, tags, &name, &mut self.builder)?;
        let shape = match self.last.1 {
            Some(shape) if self.last.0 == self.fields => shape,
            _ => self.shape(&name)?,
        };
        let first = self.builder.values().len() as u32;
        let mut ends = self.texts.iter().skip(1).map(|(_, start)| *start);
        for (slot, start) in &self.texts {
            let end = ends.next().unwrap_or(self.text.len());
            self.payloads[*slot] = self.builder.push_text(&self.text[*start..end]);
        }
        self.builder.values().extend_from_slice(&self.payloads);
        self.builder.push_row(time_ns, series, shape, first);
        Ok(())
    }

    #[cold]
    fn shape<'n>(&mut self, name: &impl Fn(usize) -> &'n str) -> Result<u32, Refused> {
        self.last.0.clone_from(&self.fields);
        self.last.1 = self.shapes.get(&self.fields).copied();
        if let Some(shape) = self.last.1 {
            return Ok(shape);
        }
        let limit = self.builder.limits().name_bytes as usize;
        let mut fields = Vec::with_capacity(self.fields.len());
        for (column, kind) in &self.fields {
            let at = *column as usize;
            if self.symbols.len() <= at {
                self.symbols.resize(at + 1, None);
            }
            let size = name(at).len();
            if size > limit {
                return Err(Refused::TooLarge { what: "field key", size, limit });
            }
            let symbol = self.symbols[at];
            let symbol = symbol.unwrap_or_else(|| self.builder.push_symbol(name(at)));
            self.symbols[at] = Some(symbol);
            fields.push((symbol, *kind));
        }
        let shape = self.builder.push_shape(fields);
        self.shapes.insert(self.fields.clone(), shape);
        self.last.1 = Some(shape);
        Ok(shape)
    }

    pub fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    /// The points so far.
    pub fn batch(&mut self) -> Option<Batch> {
        let batch = self.builder.finish();
        self.builder.reserve_as_before();
        if self.series.is_full() {
            self.series.forget();
        }
        batch
    }

    /// The columns are others.
    pub fn restart(&mut self) {
        self.series.forget();
        self.symbols.clear();
        self.shapes.clear();
        self.last.1 = None;
    }
}

/// The series that the file has shown, by the bytes of their tags.
#[derive(Default)]
struct Series {
    store: SeriesStore,
    /// Those of the point under construction.
    raw: Vec<u8>,
    /// Those of all series, and for each where they stand and which it is.
    known: Vec<u8>,
    places: HashMap<u64, (u32, u32, u32), BuildHasherDefault<Same>>,
    /// For each: the batch where it was used last, and what it is called there.
    indices: Vec<(u64, u32)>,
}

impl Series {
    fn is_full(&self) -> bool {
        self.places.len() >= SERIES_MAX || self.known.len() >= SERIES_BYTES_MAX
    }

    /// The batch under construction must be finished: it would get the same series twice.
    fn forget(&mut self) {
        self.store.clear();
        self.known.clear();
        self.places.clear();
        self.indices.clear();
    }

    /// What the batch calls the series of the point under construction.
    fn find<'n>(
        &mut self,
        measurement: &str,
        tags: &[usize],
        name: &impl Fn(usize) -> &'n str,
        builder: &mut BatchBuilder,
    ) -> Result<u32, Refused> {
        let hash = bytes_hash(&self.raw);
        let series = match self.places.get(&hash) {
            Some((from, to, series)) if self.known[*from as usize..*to as usize] == self.raw => {
                *series
            }
            _ => self.add(hash, measurement, tags, name, builder)?,
        };
        let (epoch, index) = &mut self.indices[series as usize];
        if *epoch != builder.epoch() {
            let known = self.store.get(series);
            (*epoch, *index) = (builder.epoch(), builder.append_series(&known, Some(series)));
        }
        Ok(*index)
    }

    #[cold]
    fn add<'n>(
        &mut self,
        hash: u64,
        measurement: &str,
        tags: &[usize],
        name: &impl Fn(usize) -> &'n str,
        builder: &BatchBuilder,
    ) -> Result<u32, Refused> {
        let values = self.raw.split(|byte| *byte == BEHIND);
        let values = values.map(|value| std::str::from_utf8(value).unwrap_or_default());
        let mut sorted: Vec<(&str, &str)> =
            tags.iter().zip(values).map(|(column, value)| (name(*column), value)).collect();
        sorted.retain(|(_, value)| !value.is_empty());
        sorted.sort_unstable();
        let series = self.store.intern(measurement, &sorted, builder.limits())?;
        if series as usize == self.indices.len() {
            // No batch has that number.
            self.indices.push((0, 0));
        }
        let from = self.known.len() as u32;
        self.known.extend_from_slice(&self.raw);
        self.places.insert(hash, (from, self.known.len() as u32, series));
        Ok(series)
    }
}

/// Takes a hash for what it is.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::Limits;

    const NAMES: [&str; 6] = ["zone", "host", "a", "b", "c", "d"];
    const TAGS: [usize; 2] = [0, 1];

    fn name(at: usize) -> &'static str {
        NAMES[at]
    }

    fn lines(batch: Option<Batch>) -> Vec<String> {
        let batch = batch.unwrap();
        let line = |point: headwater_plugin_api::batch::PointRef<'_>| {
            let fields: Vec<_> = point.fields().collect();
            format!("{} {fields:?} {}", point.series().key(), point.time())
        };
        batch.points().map(line).collect()
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) as usize % bound
        }
    }

    /// What is written straight into the tables is what the builder makes of the same values.
    #[test]
    fn they_are_those_of_the_builder() {
        let mut random = Random(7);
        let (mut points, mut builder) = (Points::default(), BatchBuilder::default());
        let texts = ["", "x", "a b,c=d", "ä\\", "long text"];
        let mut count = 0;
        for round in 0..60 {
            // What is remembered of series may go at any time between batches.
            if random.below(4) == 0 {
                points.restart();
            }
            for time in 0..40 {
                points.begin();
                let mut point = builder.point("m");
                for at in TAGS {
                    let value = texts[random.below(texts.len())];
                    points.tag(value);
                    point = point.tag(name(at), value);
                }
                for at in 2..NAMES.len() {
                    let value = match random.below(12) {
                        0 if at > 2 => continue,
                        1 => Value::I64(-(time as i64)),
                        2 => Value::U64(u64::MAX),
                        3 => Value::Bool(true),
                        4 | 5 => Value::Text(texts[random.below(texts.len())]),
                        _ => Value::F64(time as f64 / 4.0),
                    };
                    points.field(at, value);
                    point = point.field(name(at), value);
                }
                assert!(points.has_fields());
                points.finish("m", &TAGS, name, time as i64).unwrap();
                point.finish(time as i64).unwrap();
                count += 1;
            }
            assert_eq!(lines(points.batch()), lines(builder.finish()), "round {round}");
        }
        assert_eq!(count, 2400);
    }

    #[test]
    fn series_have_the_same_number_in_each_batch() {
        let mut points = Points::default();
        let mut hints = |hosts: &[&str]| {
            for host in hosts {
                points.begin();
                points.tag("");
                points.tag(host);
                points.field(2, Value::Bool(true));
                points.finish("m", &TAGS, name, 0).unwrap();
            }
            let batch = points.batch().unwrap();
            let hints = (0..batch.series_count() as u32).map(|at| {
                let series = batch.series(at);
                (series.key().to_owned(), series.hint())
            });
            hints.collect::<Vec<_>>()
        };
        let a = ("m,host=a".to_owned(), Some(0));
        let b = ("m,host=b".to_owned(), Some(1));
        // Without the backslash, which no tag ends with, it is another's series.
        assert_eq!(hints(&["a", "b", "a\\", "a"]), [a.clone(), b.clone()]);
        assert_eq!(hints(&["b", "a"]), [b, a]);
    }

    #[test]
    fn what_is_over_a_limit_is_refused() {
        let mut points = Points::default();
        let long = "x".repeat(Limits::DEFAULT.point_bytes as usize + 1);
        let mut add = |tag: &str, text: &str, measurement: &str| {
            points.begin();
            points.tag(tag);
            points.tag("h");
            points.field(2, Value::Text(text));
            points.finish(measurement, &TAGS, name, 0)
        };
        let what = |refused: Refused| match refused {
            Refused::TooLarge { what, .. } => what.to_owned(),
            other => other.to_string(),
        };
        assert_eq!(what(add("", &long, "m").unwrap_err()), "the point");
        assert_eq!(what(add(&long[..70_000], "", "m").unwrap_err()), "tag value");
        assert_eq!(what(add("", "", "").unwrap_err()), Refused::EmptyName.to_string());
        add("z", "v", "m").unwrap();
        assert_eq!(lines(points.batch()), ["m,host=h,zone=z [(\"a\", Text(\"v\"))] 0"]);
        let key = "k".repeat(70_000);
        points.begin();
        points.field(0, Value::Bool(true));
        let refused = points.finish("m", &[], |_| key.as_str(), 0).unwrap_err();
        assert_eq!(what(refused), "field key");
    }
}
