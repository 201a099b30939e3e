//! Series: the store that interns them, one as a reader sees it, and one being edited.

use super::hash::series_hash;
use super::layout::{Series, Tag};
use super::limits::{Limits, Refused};
use crate::abi::memory::Buffer;
use crate::abi::tables::{TableSet, utf8};

/// A series as a reader sees it.
#[derive(Clone, Copy)]
pub struct SeriesRef<'a> {
    series: &'a Series,
    block: &'a [u8],
    tags: &'a [Tag],
}

impl<'a> SeriesRef<'a> {
    /// The series at `index` of a series table. Places outside the tables read as empty.
    #[inline]
    pub fn new(arena: &'a [u8], tags: &'a [Tag], series: &'a Series) -> Self {
        let start = series.text as usize;
        let block = arena.get(start..start + series.text_len as usize).unwrap_or_default();
        let first = series.tags as usize;
        let tags = tags.get(first..first + series.tag_count as usize).unwrap_or_default();
        SeriesRef { series, block, tags }
    }

    #[inline]
    fn text(&self, offset: u32, len: u32) -> &'a str {
        let start = offset as usize;
        utf8(self.block.get(start..start + len as usize).unwrap_or_default())
    }

    /// The measurement name.
    #[inline]
    pub fn name(&self) -> &'a str {
        self.text(self.series.name, self.series.name_len)
    }

    /// The canonical key: name and sorted tags, escaped as in line protocol.
    #[inline]
    pub fn key(&self) -> &'a str {
        self.text(0, self.series.key_len)
    }

    /// The 64-bit hash of name and tags.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.series.hash
    }

    /// What the producer calls the series, if it has a name for it.
    #[inline]
    pub fn hint(&self) -> Option<u32> {
        self.series.hint.checked_sub(1)
    }

    /// Metadata, see [`metric_kind`](super::layout::metric_kind).
    #[inline]
    pub fn kind(&self) -> u8 {
        self.series.kind
    }

    /// Number of tags.
    #[inline]
    pub fn tag_count(&self) -> usize {
        self.tags.len()
    }

    /// The tags, sorted by key bytes.
    #[inline]
    pub fn tags(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + use<'a> {
        let this = *self;
        self.tags
            .iter()
            .map(move |tag| (this.text(tag.key, tag.key_len), this.text(tag.value, tag.value_len)))
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&'a str> {
        self.tags().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Whether the two name the same series.
    #[inline]
    pub fn same_as(&self, other: &SeriesRef<'_>) -> bool {
        self.hash() == other.hash() && self.key() == other.key()
    }
}

impl std::fmt::Debug for SeriesRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.key())
    }
}

/// An append-only store of series that finds equal ones again.
///
/// A parser keeps one from batch to batch, a batch builder one for each batch, a stateful operator
/// one for its groups.
#[derive(Default)]
pub struct SeriesStore {
    pub(crate) set: TableSet,
    /// Open addressing, index plus one, 0 for free; a power of two long or empty.
    slots: Vec<u32>,
    filled: usize,
    scratch: Vec<u8>,
}

impl SeriesStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.set.series.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.set.series.is_empty()
    }

    /// Bytes of memory held.
    pub fn byte_size(&self) -> usize {
        self.set.block_bytes() + self.slots.capacity() * 4
    }

    /// Bytes of text, tags and series held.
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [self.set.arena.len(), self.set.tags.len(), self.set.series.len()]
    }

    /// Makes room for as much more.
    pub(crate) fn reserve_as(&mut self, sizes: &[usize; 3]) {
        self.set.arena.reserve(sizes[0]);
        self.set.tags.reserve(sizes[1]);
        self.set.series.reserve(sizes[2]);
    }

    /// Forgets all series and keeps the memory.
    pub fn clear(&mut self) {
        self.set.arena.clear();
        self.set.tags.clear();
        self.set.series.clear();
        self.forget_lookup();
    }

    pub(crate) fn forget_lookup(&mut self) {
        if self.filled > 0 {
            self.slots.fill(0);
            self.filled = 0;
        }
    }

    /// The series at `index`.
    ///
    /// # Panics
    /// If there is none at `index`.
    #[inline]
    pub fn get(&self, index: u32) -> SeriesRef<'_> {
        SeriesRef::new(&self.set.arena, &self.set.tags, &self.set.series[index as usize])
    }

    /// Finds a series that was interned here.
    pub fn find(&self, series: &SeriesRef<'_>) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut slot = series.hash() as usize & mask;
        loop {
            let index = self.slots[slot].checked_sub(1)?;
            if self.get(index).same_as(series) {
                return Some(index);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The index of a series, which is stored if it is new. The tags must be sorted by key bytes
    /// and have distinct keys; a tag whose key or value is empty is left out (InfluxDB knows no
    /// empty tag), and backslashes at the end of a name, key or value are cut off, since line
    /// protocol cannot carry them.
    pub fn intern(
        &mut self,
        name: &str,
        tags: &[(&str, &str)],
        limits: &Limits,
    ) -> Result<u32, Refused> {
        let name = bare(name);
        if name.is_empty() {
            return Err(Refused::EmptyName);
        }
        check("measurement name", name.len(), limits.name_bytes)?;
        check("the number of tags", tags.len(), limits.tags)?;
        for (key, value) in tags {
            check("tag key", key.len(), limits.name_bytes)?;
            check("tag value", value.len(), limits.tag_value_bytes)?;
        }
        let kept = || tags.iter().map(|(k, v)| (bare(k), bare(v))).filter(present);
        let mut scratch = std::mem::take(&mut self.scratch);
        let hash = series_hash(
            &mut scratch,
            name.as_bytes(),
            kept().map(|(key, value)| (key.as_bytes(), value.as_bytes())),
        );
        self.scratch = scratch;
        let (arena_mark, tag_mark) = (self.set.arena.len(), self.set.tags.len());
        let mut series = write_block(&mut self.set.arena, &mut self.set.tags, name, kept());
        if series.text_len > limits.point_bytes {
            self.set.arena.truncate(arena_mark);
            self.set.tags.truncate(tag_mark);
            return Err(Refused::TooLarge {
                what: "the series",
                size: series.text_len as usize,
                limit: limits.point_bytes as usize,
            });
        }
        series.hash = hash;
        let index = self.set.series.len() as u32;
        self.set.series.push(series);
        match self.enter(index) {
            None => Ok(index),
            Some(known) => {
                self.set.series.truncate(index as usize);
                self.set.arena.truncate(arena_mark);
                self.set.tags.truncate(tag_mark);
                Ok(known)
            }
        }
    }

    /// The index of a series that stands elsewhere; it is copied if it is new. Its hint is not
    /// taken over.
    pub fn intern_ref(&mut self, series: &SeriesRef<'_>) -> u32 {
        if let Some(index) = self.find(series) {
            return index;
        }
        let index = self.append(series, None);
        self.enter(index);
        index
    }

    /// Appends a series by copying its block, without looking whether an equal one is here and
    /// without entering it for later look-ups: the fast path of those who know their series.
    #[inline]
    pub fn append(&mut self, series: &SeriesRef<'_>, hint: Option<u32>) -> u32 {
        let index = self.set.series.len() as u32;
        let entry = Series {
            text: self.set.arena.len() as u32,
            tags: self.set.tags.len() as u32,
            hint: hint.map_or(0, |hint| hint.wrapping_add(1)),
            tag_count: series.tags.len() as u32,
            text_len: series.block.len() as u32,
            ..*series.series
        };
        self.set.arena.extend_from_slice(series.block);
        self.set.tags.extend_from_slice(series.tags);
        self.set.series.push(entry);
        index
    }

    /// Sets the metadata of a series.
    ///
    /// # Panics
    /// If there is none at `index`.
    pub fn set_kind(&mut self, index: u32, kind: u8) {
        self.set.series[index as usize].kind = kind;
    }

    /// Enters the series at `index` into the look-up, unless an equal one is there already, whose
    /// index is then told.
    fn enter(&mut self, index: u32) -> Option<u32> {
        if (self.filled + 1) * 4 > self.slots.len() * 3 {
            self.rehash();
        }
        let mask = self.slots.len() - 1;
        let new = self.get(index);
        let mut slot = new.hash() as usize & mask;
        while let Some(known) = self.slots[slot].checked_sub(1) {
            if known != index && self.get(known).same_as(&new) {
                return Some(known);
            }
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = index + 1;
        self.filled += 1;
        None
    }

    #[cold]
    fn rehash(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        let old = std::mem::replace(&mut self.slots, vec![0; size]);
        for index in old.into_iter().filter_map(|slot| slot.checked_sub(1)) {
            let mut slot = self.set.series[index as usize].hash as usize & (size - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = index + 1;
        }
    }
}

fn present(tag: &(&str, &str)) -> bool {
    !tag.0.is_empty() && !tag.1.is_empty()
}

fn bare(text: &str) -> &str {
    if text.as_bytes().last() == Some(&b'\\') { text.trim_end_matches('\\') } else { text }
}

fn check(what: &'static str, size: usize, limit: u32) -> Result<(), Refused> {
    if size > limit as usize {
        return Err(Refused::TooLarge { what, size, limit: limit as usize });
    }
    Ok(())
}

/// Which bytes line protocol escapes in a name (`name` true) or in tags and field keys.
#[inline]
fn is_special(byte: u8, name: bool) -> bool {
    matches!(byte, b',' | b' ' | b'\n' | b'\t' | b'\r' | 0x0c) || (byte == b'=' && !name)
}

/// Appends `text` escaped as line protocol wants it in names (`name` true) or in tags and field
/// keys. Returns whether anything was escaped.
pub fn escape_into(out: &mut Buffer<u8>, text: &str, name: bool) -> bool {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|&byte| is_special(byte, name)) {
        out.extend_from_slice(bytes);
        return false;
    }
    for &byte in bytes {
        if is_special(byte, name) {
            out.push(b'\\');
        }
        out.push(match byte {
            b'\n' => b'n',
            b'\t' => b't',
            b'\r' => b'r',
            0x0c => b'f',
            other => other,
        });
    }
    true
}

/// Writes a series' block and tags and returns its entry, without the hash.
fn write_block<'a>(
    arena: &mut Buffer<u8>,
    tags: &mut Buffer<Tag>,
    name: &str,
    sorted: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Series {
    let start = arena.len();
    let first_tag = tags.len();
    let place = |arena: &mut Buffer<u8>, text: &str, is_name: bool| {
        let at = (arena.len() - start) as u32;
        if escape_into(arena, text, is_name) { None } else { Some(at) }
    };
    let name_at = place(arena, name, true);
    for (key, value) in sorted.clone() {
        arena.push(b',');
        let key_at = place(arena, key, false);
        arena.push(b'=');
        let value_at = place(arena, value, false);
        tags.push(Tag {
            key: key_at.unwrap_or(u32::MAX),
            key_len: key.len() as u32,
            value: value_at.unwrap_or(u32::MAX),
            value_len: value.len() as u32,
        });
    }
    let key_len = (arena.len() - start) as u32;
    let mut spill = |text: &str| {
        let at = (arena.len() - start) as u32;
        arena.extend_from_slice(text.as_bytes());
        at
    };
    let name_at = name_at.unwrap_or_else(|| spill(name));
    for (tag, (key, value)) in tags[first_tag..].iter_mut().zip(sorted) {
        if tag.key == u32::MAX {
            tag.key = spill(key);
        }
        if tag.value == u32::MAX {
            tag.value = spill(value);
        }
    }
    Series {
        text: start as u32,
        text_len: (arena.len() - start) as u32,
        key_len,
        name: name_at,
        name_len: name.len() as u32,
        tags: first_tag as u32,
        tag_count: (tags.len() - first_tag) as u32,
        ..Series::default()
    }
}

/// A series being edited: its name and tags, owned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesDraft {
    /// The measurement name.
    pub name: String,
    /// Tags, sorted by key bytes, keys distinct.
    tags: Vec<(String, String)>,
    /// Metadata, see [`metric_kind`](super::layout::metric_kind).
    pub kind: u8,
}

impl SeriesDraft {
    /// Makes the draft a copy of `series`.
    pub fn assign(&mut self, series: &SeriesRef<'_>) {
        self.name.clear();
        self.name.push_str(series.name());
        self.tags.clear();
        self.tags.extend(series.tags().map(|(key, value)| (key.to_owned(), value.to_owned())));
        self.kind = series.kind();
    }

    /// The tags, sorted by key bytes.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        let at = self.place(key).ok()?;
        Some(&self.tags[at].1)
    }

    fn place(&self, key: &str) -> Result<usize, usize> {
        self.tags.binary_search_by(|(k, _)| k.as_str().cmp(key))
    }

    /// Sets a tag, whether it is there or not.
    pub fn set_tag(&mut self, key: &str, value: &str) {
        match self.place(key) {
            Ok(at) => {
                self.tags[at].1.clear();
                self.tags[at].1.push_str(value);
            }
            Err(at) => self.tags.insert(at, (key.to_owned(), value.to_owned())),
        }
    }

    /// Takes a tag away and gives its value.
    pub fn remove_tag(&mut self, key: &str) -> Option<String> {
        let at = self.place(key).ok()?;
        Some(self.tags.remove(at).1)
    }

    /// Keeps the tags for which `keep` holds.
    pub fn retain_tags(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.tags.retain(|(key, value)| keep(key, value));
    }

    /// Interns the draft.
    pub fn intern_into(&self, store: &mut SeriesStore, limits: &Limits) -> Result<u32, Refused> {
        let tags: Vec<(&str, &str)> = self.tags().collect();
        let index = store.intern(&self.name, &tags, limits)?;
        store.set_kind(index, self.kind);
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> SeriesStore {
        SeriesStore::new()
    }

    #[test]
    fn equal_series_are_stored_once() {
        let mut store = store();
        let limits = Limits::DEFAULT;
        let a = store.intern("cpu", &[("cpu", "cpu0"), ("host", "a")], &limits).unwrap();
        let b = store.intern("cpu", &[("cpu", "cpu1"), ("host", "a")], &limits).unwrap();
        let again = store.intern("cpu", &[("cpu", "cpu0"), ("host", "a")], &limits).unwrap();
        assert_eq!((a, b, again), (0, 1, 0));
        assert_eq!(store.get(a).key(), "cpu,cpu=cpu0,host=a");
        assert_eq!(store.get(b).tag("cpu"), Some("cpu1"));
        assert_eq!(store.len(), 2);
    }

    #[test]
    fn many_series_are_found_again() {
        let mut store = store();
        let limits = Limits::DEFAULT;
        for i in 0..5000 {
            let value = i.to_string();
            assert_eq!(store.intern("m", &[("id", &value)], &limits), Ok(i));
        }
        let mut other = SeriesStore::new();
        for i in 0..5000 {
            let value = i.to_string();
            let at = other.intern("m", &[("id", &value)], &limits).unwrap();
            assert_eq!(store.find(&other.get(at)), Some(i));
        }
    }

    #[test]
    fn texts_that_need_escapes_stand_bare_behind_the_key() {
        let mut store = store();
        let tags = [("a b", "x=y"), ("plain", "line\nbreak")];
        let at = store.intern("my name", &tags, &Limits::DEFAULT).unwrap();
        let series = store.get(at);
        assert_eq!(series.name(), "my name");
        assert_eq!(series.key(), "my\\ name,a\\ b=x\\=y,plain=line\\nbreak");
        assert!(series.tags().eq(tags));
    }

    #[test]
    fn empty_tags_and_trailing_backslashes_are_left_out() {
        let mut store = store();
        let at = store
            .intern("cpu\\", &[("", "x"), ("a", ""), ("b", "c\\\\")], &Limits::DEFAULT)
            .unwrap();
        assert_eq!(store.get(at).key(), "cpu,b=c");
        assert_eq!(store.intern("\\", &[], &Limits::DEFAULT), Err(Refused::EmptyName));
    }

    #[test]
    fn limits_are_told() {
        let limits = Limits { tag_value_bytes: 3, ..Limits::DEFAULT };
        let refused = store().intern("m", &[("k", "abcd")], &limits).unwrap_err();
        assert_eq!(refused.to_string(), "tag value of 4 is over the limit of 3");
    }

    #[test]
    fn drafts_keep_their_tags_sorted() {
        let mut draft = SeriesDraft { name: "m".into(), ..Default::default() };
        draft.set_tag("b", "2");
        draft.set_tag("a", "1");
        draft.set_tag("b", "3");
        assert!(draft.tags().eq([("a", "1"), ("b", "3")]));
        assert_eq!(draft.remove_tag("a").as_deref(), Some("1"));
        assert_eq!(draft.tag("a"), None);
    }
}
