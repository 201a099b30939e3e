//! Which series and fields there are: each field of each series is a cell, and cells are numbered
//! densely, so that accumulators are arrays.

use std::collections::HashMap;

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::{SeriesRef, SeriesStore};
use headwater_plugin_api::window::Groups;

/// The cell of values for which there is no other: never emitted.
pub const NO_CELL: u32 = 0;
/// No group, field, layout or cell of that number.
pub const NONE: u32 = u32::MAX;

/// More layouts than this are not remembered from one batch to the next.
const LAYOUTS_MAX: usize = 1 << 14;
/// More places than four for each cell and this are not remembered from one batch to the next.
const PLACES_MIN: usize = 1 << 20;

/// There is no room for another series or field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A series.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// Its first and last cell, linked by `next`.
    first: u32,
    last: u32,
    /// The layout its points had first, and where the cells of that stand in `places`.
    layout: u32,
    places: u32,
}

/// Series, fields and cells.
///
/// A *layout* is the list of the fields of a shape that are numbers. For each pair of series and
/// layout the list of cells is made once and then found by the series' number.
pub struct Catalog {
    series: SeriesStore,
    groups: Vec<Group>,
    fields: Groups,
    /// The field of each cell.
    field: Vec<u32>,
    /// The next cell of the same series.
    next: Vec<u32>,
    layouts: Groups,
    places: Vec<u32>,
    /// Places of further layouts, by series and layout.
    others: HashMap<(u32, u32), u32>,
    /// Cells by field, of the series at hand.
    by_field: Vec<u32>,
    key: Vec<u8>,
    max_groups: usize,
    max_cells: usize,
}

impl Catalog {
    /// An empty one with its bounds.
    pub fn new(max_groups: u32, max_fields: u32) -> Self {
        Catalog {
            series: SeriesStore::new(),
            groups: Vec::new(),
            fields: Groups::new(max_fields),
            field: vec![NONE],
            next: vec![NONE],
            layouts: Groups::new(u32::MAX),
            places: Vec::new(),
            others: HashMap::new(),
            by_field: Vec::new(),
            key: Vec::new(),
            max_groups: max_groups as usize,
            max_cells: (max_fields as usize).saturating_add(1).min(NONE as usize),
        }
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Number of cells, that of nothing included.
    pub fn cells(&self) -> usize {
        self.field.len()
    }

    /// Bytes of memory held, about.
    pub fn byte_size(&self) -> usize {
        self.series.byte_size()
            + self.groups.capacity() * size_of::<Group>()
            + self.fields.byte_size()
            + self.layouts.byte_size()
            + (self.field.capacity() + self.next.capacity()) * 4
            + (self.places.capacity() + self.by_field.capacity()) * 4
            + self.others.capacity() * 16
    }

    /// A series.
    pub fn series(&self, group: u32) -> SeriesRef<'_> {
        self.series.get(group)
    }

    /// The key of a field.
    pub fn field_key(&self, field: u32) -> &str {
        std::str::from_utf8(self.fields.key(field)).unwrap_or_default()
    }

    /// The cells of a series with their fields, in the order in which the fields came.
    pub fn cells_of(&self, group: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let first = self.groups.get(group as usize).map_or(NONE, |group| group.first);
        let known = |cell: u32| ((cell as usize) < self.next.len()).then_some(cell);
        std::iter::successors(known(first), move |cell| known(self.next[*cell as usize]))
            .map(|cell| (cell, self.field[cell as usize]))
    }

    /// The number of a series, which is entered if it is new.
    pub fn group(&mut self, series: &SeriesRef<'_>) -> Result<u32, Full> {
        if let Some(group) = self.series.find(series) {
            return Ok(group);
        }
        // The store addresses its text by 32 bits.
        if self.groups.len() >= self.max_groups || self.series.byte_size() > 1 << 31 {
            return Err(Full);
        }
        let group = self.series.intern_ref(series);
        self.groups.push(Group { first: NONE, last: NONE, layout: NONE, places: 0 });
        Ok(group)
    }

    /// The number of a layout. Fields for which there is no room are in it as [`NONE`]; that is an
    /// error if `strict`.
    pub fn layout<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k str>,
        strict: bool,
    ) -> Result<u32, Full> {
        self.key.clear();
        for key in keys {
            let field = self.fields.intern(bytes_hash(key.as_bytes()), key.as_bytes());
            if field.is_none() && strict {
                return Err(Full);
            }
            self.key.extend_from_slice(&field.unwrap_or(NONE).to_le_bytes());
        }
        self.layouts.intern(bytes_hash(&self.key), &self.key).ok_or(Full)
    }

    /// Where the cells of a series with a layout stand. Fields for which there is no room get
    /// [`NO_CELL`]; that is an error if `strict`.
    pub fn places(&mut self, group: u32, layout: u32, strict: bool) -> Result<u32, Full> {
        let Some(known) = self.groups.get(group as usize) else { return Err(Full) };
        if known.layout == layout {
            return Ok(known.places);
        }
        if known.layout != NONE
            && let Some(places) = self.others.get(&(group, layout))
        {
            return Ok(*places);
        }
        self.make_places(group, layout, strict)
    }

    /// The cells at a place.
    #[inline]
    pub fn cells_at(&self, places: u32, count: usize) -> &[u32] {
        self.places.get(places as usize..places as usize + count).unwrap_or_default()
    }

    fn make_places(&mut self, group: u32, layout: u32, strict: bool) -> Result<u32, Full> {
        let start = self.places.len();
        let mut by_field = std::mem::take(&mut self.by_field);
        by_field.resize(self.fields.len(), NO_CELL);
        for (cell, field) in self.cells_of(group) {
            by_field[field as usize] = cell;
        }
        let mut complete = true;
        for at in 0..self.layouts.key(layout).len() / 4 {
            let id = self.layouts.key(layout).get(at * 4..at * 4 + 4).unwrap_or_default();
            let field = id.try_into().map_or(NONE, u32::from_le_bytes);
            let cell = match by_field.get_mut(field as usize) {
                None => NO_CELL,
                Some(cell) => {
                    if *cell == NO_CELL {
                        *cell = self.add_cell(group, field);
                    }
                    *cell
                }
            };
            complete &= cell != NO_CELL;
            self.places.push(cell);
        }
        for (_, field) in self.cells_of(group) {
            by_field[field as usize] = NO_CELL;
        }
        self.by_field = by_field;
        if strict && !complete {
            self.places.truncate(start);
            return Err(Full);
        }
        let known = &mut self.groups[group as usize];
        if known.layout == NONE {
            (known.layout, known.places) = (layout, start as u32);
        } else {
            self.others.insert((group, layout), start as u32);
        }
        Ok(start as u32)
    }

    fn add_cell(&mut self, group: u32, field: u32) -> u32 {
        if self.field.len() >= self.max_cells {
            return NO_CELL;
        }
        let cell = self.field.len() as u32;
        self.field.push(field);
        self.next.push(NONE);
        let group = &mut self.groups[group as usize];
        match self.next.get_mut(group.last as usize) {
            Some(next) => *next = cell,
            None => group.first = cell,
        }
        group.last = cell;
        cell
    }

    /// Whether more is remembered of layouts than is worth it; [`forget_layouts`](Self::forget_layouts)
    /// is due.
    pub fn has_stale_layouts(&self) -> bool {
        self.layouts.len() > LAYOUTS_MAX || self.places.len() > self.field.len() * 4 + PLACES_MIN
    }

    /// Forgets layouts and places, which are made anew when they are needed.
    pub fn forget_layouts(&mut self) {
        self.layouts.clear();
        self.places = Vec::new();
        self.others = HashMap::new();
        for group in &mut self.groups {
            group.layout = NONE;
        }
    }

    /// Keeps the cells that are marked, the series that have one and the fields that occur, and
    /// numbers all of them anew, in their order. Numbers from before are void.
    pub fn retain(&mut self, keep: &[bool]) {
        self.forget_layouts();
        let kept = |cell: u32| keep.get(cell as usize).copied().unwrap_or(false);
        let mut cell_numbers = vec![NONE; self.field.len()];
        let mut named = vec![false; self.fields.len()];
        let mut count = 0;
        for cell in 0..self.field.len() as u32 {
            if cell == NO_CELL || kept(cell) {
                cell_numbers[cell as usize] = count;
                count += 1;
                if let Some(named) = named.get_mut(self.field[cell as usize] as usize) {
                    *named = true;
                }
            }
        }
        let mut field_numbers = vec![NONE; named.len()];
        let used = named.iter().enumerate().filter(|(_, named)| **named);
        for (new, (old, _)) in used.enumerate() {
            field_numbers[old] = new as u32;
        }
        self.fields.retain(&named);
        self.by_field = Vec::new();

        let mut other = Catalog {
            field: vec![NONE; count as usize],
            next: vec![NONE; count as usize],
            ..Catalog::new(0, 0)
        };
        for group in 0..self.groups.len() as u32 {
            let (mut first, mut last) = (NONE, NONE);
            for (cell, field) in self.cells_of(group).filter(|(cell, _)| kept(*cell)) {
                let cell = cell_numbers[cell as usize];
                other.field[cell as usize] = field_numbers[field as usize];
                match other.next.get_mut(last as usize) {
                    Some(next) => *next = cell,
                    None => first = cell,
                }
                last = cell;
            }
            if first != NONE {
                other.series.intern_ref(&self.series.get(group));
                other.groups.push(Group { first, last, layout: NONE, places: 0 });
            }
        }
        self.series = other.series;
        self.groups = other.groups;
        self.field = other.field;
        self.next = other.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::Limits;

    fn store(count: usize) -> SeriesStore {
        let mut store = SeriesStore::new();
        for number in 0..count {
            let host = number.to_string();
            store.intern("m", &[("host", host.as_str())], &Limits::DEFAULT).unwrap();
        }
        store
    }

    #[test]
    fn a_field_of_a_series_has_one_cell_whatever_the_layout() {
        let store = store(2);
        let mut catalog = Catalog::new(9, 9);
        let a = catalog.group(&store.get(0)).unwrap();
        let b = catalog.group(&store.get(1)).unwrap();
        let xy = catalog.layout(["x", "y"].into_iter(), true).unwrap();
        let zyx = catalog.layout(["z", "y", "x"].into_iter(), true).unwrap();
        let mut cells = |group, layout, count| {
            let places = catalog.places(group, layout, true).unwrap();
            catalog.cells_at(places, count).to_vec()
        };
        for _ in 0..2 {
            assert_eq!(cells(a, xy, 2), [1, 2]);
            assert_eq!(cells(b, xy, 2), [3, 4]);
            assert_eq!(cells(a, zyx, 3), [5, 2, 1]);
        }
        let fields: Vec<_> = catalog.cells_of(a).map(|(_, f)| catalog.field_key(f)).collect();
        assert_eq!(fields, ["x", "y", "z"]);
    }

    #[test]
    fn bounds_are_kept() {
        let store = store(3);
        let mut catalog = Catalog::new(2, 3);
        let a = catalog.group(&store.get(0)).unwrap();
        let b = catalog.group(&store.get(1)).unwrap();
        assert_eq!(catalog.group(&store.get(2)), Err(Full));
        assert_eq!(catalog.group(&store.get(1)), Ok(b));
        let xy = catalog.layout(["x", "y"].into_iter(), true).unwrap();
        catalog.places(a, xy, true).unwrap();
        assert_eq!(catalog.places(b, xy, true), Err(Full));
        let places = catalog.places(b, xy, false).unwrap();
        assert_eq!(catalog.cells_at(places, 2), [3, NO_CELL]);
        assert_eq!(catalog.layout(["1", "2", "3"].into_iter(), true), Err(Full));
        assert!(catalog.layout(["1", "2", "3"].into_iter(), false).is_ok());
    }

    #[test]
    fn what_is_kept_is_numbered_anew() {
        let store = store(3);
        let mut catalog = Catalog::new(9, 9);
        for number in 0..3 {
            let group = catalog.group(&store.get(number)).unwrap();
            let layout = catalog.layout(["x", "y", "z"].into_iter(), true).unwrap();
            catalog.places(group, layout, true).unwrap();
        }
        let keep: Vec<bool> = (0..10).map(|cell| matches!(cell, 2 | 3 | 9)).collect();
        catalog.retain(&keep);
        let of = |group| -> Vec<(u32, String)> {
            catalog.cells_of(group).map(|(c, f)| (c, catalog.field_key(f).to_owned())).collect()
        };
        assert_eq!(catalog.len(), 2);
        assert_eq!(of(0), [(1, "y".to_owned()), (2, "z".to_owned())]);
        assert_eq!(of(1), [(3, "z".to_owned())]);
        assert!(catalog.series(1).same_as(&store.get(2)));
        let group = catalog.group(&store.get(2)).unwrap();
        let layout = catalog.layout(["x", "z"].into_iter(), true).unwrap();
        let places = catalog.places(group, layout, true).unwrap();
        assert_eq!(catalog.cells_at(places, 2), [4, 3]);
    }
}
