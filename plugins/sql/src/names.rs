//! The series of a window's rows: remembered by group, so that the next window's rows need not make
//! them again; and the order of groups.

use headwater_plugin_api::batch::{Limits, SeriesRef, SeriesStore};
use headwater_plugin_api::window::Groups;

use crate::emit;
use crate::plan::{Aggregate, Node, Output, Role};

/// The series of the results of the first groups, for the next window's rows.
#[derive(Default)]
pub struct Names {
    store: SeriesStore,
    /// Number in `store` plus one, by group; 0 is unknown.
    by_group: Vec<u32>,
    /// Keys decide all tags, so that groups have series of their own.
    usable: bool,
    /// Something else than tags needs the keys.
    pub needs_keys: bool,
}

impl Names {
    /// How many groups' series are remembered.
    const MAX: u32 = 8192;

    /// Nothing is known yet.
    pub fn new(aggregate: &Aggregate) -> Self {
        let has_key = |node: &Node| {
            let mut found = false;
            node.visit(&mut |node| found |= matches!(node, Node::Key(_)));
            found
        };
        let is_key = |output: &&Output| matches!(output.node, Node::Key(_));
        let may_be_tag = |output: &&Output| !matches!(output.role, Role::Field | Role::Time);
        let usable = aggregate.outputs.iter().filter(may_be_tag).all(|output| is_key(&output));
        let needs_keys = aggregate.having.iter().any(has_key)
            || aggregate.outputs.iter().filter(|o| !may_be_tag(o)).any(|o| has_key(&o.node));
        Names { usable, needs_keys, ..Names::default() }
    }

    /// The series of a group's rows, if it is known.
    pub fn get(&self, group: u32) -> Option<SeriesRef<'_>> {
        let number = self.by_group.get(group as usize)?.checked_sub(1)?;
        Some(self.store.get(number))
    }

    /// Forgets all: groups were numbered anew.
    pub fn forget(&mut self) {
        self.by_group = Vec::new();
        self.store = SeriesStore::new();
    }

    /// Bytes of memory held.
    pub fn byte_size(&self) -> usize {
        self.by_group.capacity() * 4 + self.store.byte_size()
    }

    /// Remembers the series of a row, if it has no key that is a field.
    pub fn learn(&mut self, group: u32, name: &str, rows: &emit::Rows<'_, '_, '_>, row: usize) {
        if !self.usable || group >= Self::MAX || rows.has_key_fields() {
            return;
        }
        let texts = rows.tags(row);
        let tags: Vec<(&str, &str)> = texts.iter().map(|(k, v)| (*k, v.as_ref())).collect();
        if let Ok(number) = self.store.intern(name, &tags, &Limits::DEFAULT) {
            if self.by_group.len() <= group as usize {
                self.by_group.resize(group as usize + 1, 0);
            }
            self.by_group[group as usize] = number + 1;
        }
    }
}

/// Sorts groups by their keys. What all keys begin with is skipped, and the next eight bytes decide
/// most comparisons without a look at the keys.
pub fn sort_by_key(list: &mut Vec<u32>, groups: &Groups) {
    let Some(first) = list.first().map(|group| groups.key(*group)) else { return };
    let common = list.iter().fold(first.len(), |common, group| {
        let key = groups.key(*group);
        first[..common].iter().zip(key).take_while(|(a, b)| a == b).count()
    });
    let head = |group: u32| {
        let mut bytes = [0; 8];
        let key = groups.key(group).get(common..).unwrap_or_default();
        let len = key.len().min(8);
        bytes[..len].copy_from_slice(&key[..len]);
        u64::from_be_bytes(bytes)
    };
    let mut sorted: Vec<(u64, u32)> = list.iter().map(|group| (head(*group), *group)).collect();
    sorted
        .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| groups.key(a.1).cmp(groups.key(b.1))));
    list.clear();
    list.extend(sorted.into_iter().map(|(_, group)| group));
}
