//! The points of a closed window: series in their order, results as rows of few shapes.

use std::collections::HashMap;

use headwater_plugin_api::batch::layout::kind;
use headwater_plugin_api::batch::{BatchBuilder, SeriesRef, SeriesStore, Value};
use headwater_plugin_api::window::Groups;

use crate::cells::cell_of;

/// All series by their keys, with their cells.
#[derive(Default)]
pub struct Order {
    series: Vec<u32>,
    /// Where the cells of a series begin, by its place in `series`; one more for the end.
    starts: Vec<u32>,
    /// Number of the cell and of its field.
    cells: Vec<(u32, u32)>,
}

impl Order {
    /// Takes in what is new; series and cells are never fewer than before.
    pub fn update(&mut self, store: &SeriesStore, cells: &Groups) {
        let (series, known) = (store.len(), self.series.len());
        if series == known && cells.len() == self.cells.len() {
            return;
        }
        if series > known {
            self.series.extend(known as u32..series as u32);
            // Stable: it makes use of the part that is sorted.
            self.series.sort_by(|a, b| store.get(*a).key().cmp(store.get(*b).key()));
        }
        let mut place = vec![0; series];
        for (at, number) in self.series.iter().enumerate() {
            place[*number as usize] = at;
        }
        let place_of = |cell: u32| {
            let (series, field) = cell_of(cells.key(cell));
            (place.get(series as usize).copied().unwrap_or_default(), field)
        };
        self.starts.clear();
        self.starts.resize(series + 1, 0);
        let all = 0..cells.len() as u32;
        for cell in all.clone() {
            self.starts[place_of(cell).0 + 1] += 1;
        }
        for at in 0..series {
            self.starts[at + 1] += self.starts[at];
        }
        self.cells.clear();
        self.cells.resize(cells.len(), (0, 0));
        let mut next = self.starts.clone();
        for cell in all {
            let (at, field) = place_of(cell);
            self.cells[next[at] as usize] = (cell, field);
            next[at] += 1;
        }
    }

    /// The series by their keys, each with its cells in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[(u32, u32)])> {
        self.series.iter().zip(self.starts.windows(2)).map(|(series, ends)| {
            let cells = self.cells.get(ends[0] as usize..ends[1] as usize);
            (*series, cells.unwrap_or_default())
        })
    }

    /// Bytes of memory held.
    pub fn byte_size(&self) -> usize {
        (self.series.capacity() + self.starts.capacity()) * 4 + self.cells.capacity() * 8
    }
}

/// The results of one series.
#[derive(Default)]
pub struct Results {
    /// The field's number, the suffix's number and the kind.
    form: Vec<u64>,
    payloads: Vec<u64>,
    field: u64,
}

impl Results {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.form.clear();
        self.payloads.clear();
    }

    /// What is added from now on is of that field.
    pub fn of_field(&mut self, field: u32) {
        self.field = u64::from(field) << 16;
    }

    /// Adds a float; a point holds none that is not finite.
    #[inline]
    pub fn float(&mut self, suffix: u8, value: f64) {
        if value.is_finite() {
            self.form.push(self.field | u64::from(suffix) << 8 | u64::from(kind::F64));
            self.payloads.push(value.to_bits());
        }
    }

    /// Adds an integer.
    #[inline]
    pub fn int(&mut self, suffix: u8, value: i64) {
        self.form.push(self.field | u64::from(suffix) << 8 | u64::from(kind::I64));
        self.payloads.push(value as u64);
    }
}

/// Fields that points have had.
struct Form {
    names: Vec<String>,
    /// Bytes of all names.
    text: usize,
    /// No two names are equal.
    distinct: bool,
    /// The batch, and the shape in it.
    shape: Option<(u64, u32)>,
}

/// Writes points.
#[derive(Default)]
pub struct Writer {
    /// Of the series at hand.
    pub results: Results,
    forms: HashMap<Box<[u64]>, Form>,
    /// Names in all forms.
    names: usize,
    /// The point before: its fields, and the shape with its batch.
    last: Vec<u64>,
    shape: Option<(u64, u32)>,
    /// How long its series' key may be for its shape to be used.
    longest: usize,
}

impl Writer {
    /// How many field names are remembered.
    const MAX_NAMES: usize = 1 << 16;
    /// Larger points take the long way, which knows all bounds.
    const MAX_TEXT: usize = 1 << 16;

    /// Begins a window.
    pub fn begin(&mut self) {
        self.shape = None;
        if self.names > Self::MAX_NAMES {
            self.forget();
        }
    }

    /// Forgets what it knows of fields, which have been numbered anew.
    pub fn forget(&mut self) {
        *self = Writer::default();
    }

    /// Adds the point of the results at hand, if there are any. What a batch cannot hold is left out.
    #[inline]
    pub fn point(
        &mut self,
        (number, series): (u32, SeriesRef<'_>),
        time: i64,
        fields: &Groups,
        suffix: impl Fn(u8) -> &'static str,
        builder: &mut BatchBuilder,
    ) {
        if self.results.form.is_empty() {
            return;
        }
        let same = self.shape.is_some_and(|(batch, _)| batch == builder.epoch())
            && self.results.form == self.last;
        if !same {
            self.find_shape(fields, suffix, builder);
        }
        let limits = builder.limits();
        match self.shape {
            Some((_, shape))
                if series.key().len() <= self.longest
                    && series.tags().len() <= limits.tags as usize =>
            {
                let first = builder.values().len() as u32;
                builder.values().extend_from_slice(&self.results.payloads);
                let series = builder.append_series(&series, Some(number));
                builder.push_row(time, series, shape, first);
            }
            _ => self.long_way(&series, time, builder),
        }
    }

    /// Finds the shape of the results at hand, if it is one of the common kind.
    #[cold]
    fn find_shape(
        &mut self,
        fields: &Groups,
        suffix: impl Fn(u8) -> &'static str,
        builder: &mut BatchBuilder,
    ) {
        self.last.clone_from(&self.results.form);
        if !self.forms.contains_key(&*self.last) {
            let form = Form::new(&self.last, fields, suffix);
            self.names += form.names.len();
            self.forms.insert(self.last.clone().into(), form);
        }
        let Some(form) = self.forms.get_mut(&*self.last) else { return };
        let is_common = form.distinct
            && form.text <= Self::MAX_TEXT
            && form.names.len() <= builder.limits().fields as usize;
        self.longest = Self::MAX_TEXT - form.text.min(Self::MAX_TEXT);
        self.shape = is_common.then(|| {
            let epoch = builder.epoch();
            match form.shape {
                Some(shape) if shape.0 == epoch => shape,
                _ => {
                    let kinds = self.last.iter().map(|form| *form as u8);
                    let names = form.names.iter().map(String::as_str);
                    let shape = (epoch, builder.shape(names.zip(kinds)));
                    form.shape = Some(shape);
                    shape
                }
            }
        });
    }

    /// Adds a point of which something is not common, such as fields whose names become the same.
    #[cold]
    fn long_way(&self, series: &SeriesRef<'_>, time: i64, builder: &mut BatchBuilder) {
        let Some(form) = self.forms.get(&*self.last) else { return };
        let mut point = builder.point(series.name()).tags(series.tags());
        point = point.metric_kind(series.kind());
        let results = self.last.iter().zip(&self.results.payloads);
        for (name, (form, payload)) in form.names.iter().zip(results) {
            point = point.field(name, Value::read(&[], *form as u8, *payload));
        }
        let _ = point.finish(time);
    }
}

impl Form {
    fn new(form: &[u64], fields: &Groups, suffix: impl Fn(u8) -> &'static str) -> Self {
        let name = |form: &u64| {
            let key = fields.key((form >> 16) as u32);
            format!("{}_{}", String::from_utf8_lossy(key), suffix((form >> 8) as u8))
        };
        let names: Vec<String> = form.iter().map(name).collect();
        let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        let distinct = sorted.windows(2).all(|pair| pair[0] != pair[1]);
        let text = names.iter().map(String::len).sum();
        Form { names, text, distinct, shape: None }
    }
}
