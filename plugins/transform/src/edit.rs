//! What the processors share: series edited with losses counted, field keys edited shape by shape.

use std::borrow::Cow;

use headwater_plugin_api::batch::{
    Batch, FieldEdit, SeriesDraft, SeriesEdit, SeriesMap, SeriesRef,
};
use headwater_plugin_api::plugin::{Counter, Host};

/// Where a processor tells of points that it could not change, or that were lost by a change.
pub struct Faults {
    host: Host,
    errors: Counter,
}

impl Faults {
    pub fn new(host: Host) -> Self {
        let errors = host.counter("errors");
        Faults { host, errors }
    }

    /// Counts, and logs one line for each call that has something to count.
    pub fn add(&self, count: usize, message: impl FnOnce() -> String) {
        if count > 0 {
            self.errors.add(count as u64);
            self.host.warn(&message());
        }
    }

    /// Counts what a log line has told of before.
    fn add_silently(&self, count: usize) {
        if count > 0 {
            self.errors.add(count as u64);
        }
    }
}

/// Edits each series; `edit` never drops one, so whatever is missing afterwards was lost because no
/// batch can hold its new name or tags.
pub fn edit_series(
    map: &mut SeriesMap,
    batch: &mut Batch,
    faults: &Faults,
    edit: impl FnMut(&SeriesRef<'_>, &mut SeriesDraft) -> SeriesEdit,
) {
    let before = batch.len();
    let result = map.apply(batch, edit);
    let lost = before - batch.len();
    match result {
        Ok(()) => faults.add_silently(lost),
        Err(refused) => {
            faults.add(lost, || {
                format!("{lost} points are lost, their new series is none: {refused}")
            });
        }
    }
}

/// The field keys of one shape, being edited.
#[derive(Default)]
pub struct KeyDraft<'a> {
    /// `None` for a field that left.
    keys: Vec<Option<Cow<'a, str>>>,
    changed: bool,
}

impl<'a> KeyDraft<'a> {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn key(&self, at: usize) -> Option<&str> {
        self.keys.get(at)?.as_deref()
    }

    pub fn find(&self, key: &str) -> Option<usize> {
        self.keys.iter().position(|own| own.as_deref() == Some(key))
    }

    /// Gives the field at `at` another key. A field that had this key leaves. An empty key, and the
    /// field's own one, change nothing.
    pub fn rename(&mut self, at: usize, key: &str) {
        if key.is_empty() || self.key(at) == Some(key) {
            return;
        }
        if let Some(other) = self.find(key) {
            self.keys[other] = None;
        }
        if let Some(own @ Some(_)) = self.keys.get_mut(at) {
            *own = Some(Cow::Owned(key.to_owned()));
            self.changed = true;
        }
    }
}

/// Edits the keys of each shape as a whole, since what becomes of one field may depend on the others.
pub fn edit_keys(batch: &mut Batch, mut edit: impl FnMut(&mut KeyDraft<'_>)) {
    let mut edits: Vec<FieldEdit> = Vec::new();
    let mut changed = false;
    for index in 0..batch.shape_count() as u32 {
        let shape = batch.shape(index);
        let mut draft = KeyDraft::default();
        draft.keys.extend(shape.fields().map(|(key, ..)| Some(Cow::Borrowed(key))));
        edit(&mut draft);
        changed |= draft.changed;
        edits.extend(draft.keys.into_iter().map(|key| match key {
            None => FieldEdit::Drop,
            Some(Cow::Borrowed(_)) => FieldEdit::Keep,
            Some(Cow::Owned(key)) => FieldEdit::Rename(key),
        }));
    }
    if changed {
        // `edit_fields` walks the shapes and their fields in this same order.
        let mut edits = edits.into_iter();
        batch.edit_fields(|_, _| edits.next().unwrap_or(FieldEdit::Keep));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::BatchBuilder;
    use headwater_plugin_api::testkit;

    #[test]
    fn a_renamed_key_takes_the_place_of_the_field_that_had_it() {
        let mut builder = BatchBuilder::default();
        builder.point("m").field("a", 1_i64).field("b", 2_i64).field("c", 3_i64).finish(0).unwrap();
        builder.point("m").field("a", 4_i64).field("c", 5.5).finish(1).unwrap();
        let mut batch = builder.finish().unwrap();
        edit_keys(&mut batch, |keys| {
            let at = keys.find("a").unwrap();
            keys.rename(at, "b");
            keys.rename(at, "");
            let c = keys.find("c").unwrap();
            keys.rename(c, "c");
        });
        assert_eq!(testkit::lines([&batch]), ["m b=1i,c=3i 0", "m b=4i,c=5.5 1"]);
    }

    #[test]
    fn nothing_changes_without_a_change() {
        let mut builder = BatchBuilder::default();
        builder.point("m").field("a", 1_i64).finish(0).unwrap();
        let mut batch = builder.finish().unwrap();
        let table = batch.shape_table().shapes().as_ptr();
        edit_keys(&mut batch, |keys| keys.rename(0, "a"));
        assert_eq!(batch.shape_table().shapes().as_ptr(), table);
    }
}
