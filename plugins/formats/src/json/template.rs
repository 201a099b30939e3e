//! Templates: records that differ in their values alone.
//!
//! A record is a sequence of values and, between them, of bytes that say where the values belong:
//! braces, commas, keys. Records of one source repeat those bytes, nested or not, so a template holds
//! them with what is to be done with each value, and a record is read by comparing and taking turns.
//! What fits no template is taken apart the long way, which makes a template of it.

use std::collections::HashMap;

use headwater_plugin_api::batch::BatchBuilder;
use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::layout::kind;

use super::events::{Event, Events};
use super::roles::{Roles, role};
use super::scan::{Bad, Class, Why, bad};
use crate::number::read::double_word;

/// Templates that are remembered; when there are more, all are forgotten.
const TEMPLATES_MAX: usize = 4_096;
/// Steps of all templates.
const STEPS_MAX: usize = 65_536;
/// Bytes of all templates' texts.
const TEXT_MAX: usize = 4 << 20;

/// A value that is expected: the bytes before it, what it is, and what becomes of it.
#[derive(Clone, Copy)]
pub struct Step {
    gap: Gap,
    pub class: Class,
    /// An "or" of [`role`].
    pub role: u8,
}

/// Bytes that are expected.
#[derive(Clone, Copy)]
pub struct Gap {
    word: u128,
    mask: u128,
    pub len: u32,
    /// Where all of it stands.
    text: u32,
}

/// A record without its values.
pub struct Template {
    steps: (u32, u32),
    end: Gap,
    /// What the values of tags and of the name mean, see [`Templates::keys`].
    pub series_keys: u32,
    /// The template that came next.
    pub next: u32,
    fields: Vec<(String, u8)>,
    epoch: u64,
    shape: u32,
}

/// What the values that make a series mean, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SeriesKeys {
    /// The tag's key, if it is a tag, and whether it is the measurement name.
    pub values: Vec<(Option<String>, bool)>,
}

/// The templates of a parser.
#[derive(Default)]
pub struct Templates {
    all: Vec<Template>,
    steps: Vec<Step>,
    text: Vec<u8>,
    known: HashMap<u64, u32>,
    keys: Vec<SeriesKeys>,
    known_keys: HashMap<SeriesKeys, u32>,
    /// Key bytes of a record under construction.
    identity: Vec<u8>,
}

impl Gap {
    /// Whether the bytes stand at `at`.
    #[inline(always)]
    pub fn stands(&self, all: &[u8], text: &[u8], at: usize) -> bool {
        (double_word(text, at) ^ self.word) & self.mask == 0
            && (self.len <= 16 || self.continues(all, text, at))
    }

    fn continues(&self, all: &[u8], text: &[u8], at: usize) -> bool {
        let own = all.get(self.text as usize..(self.text + self.len) as usize);
        own.is_some() && own == text.get(at..at + self.len as usize)
    }
}

impl Templates {
    pub fn get(&self, index: u32) -> Option<&Template> {
        self.all.get(index as usize)
    }

    pub fn get_mut(&mut self, index: u32) -> Option<&mut Template> {
        self.all.get_mut(index as usize)
    }

    #[inline(always)]
    pub fn steps(&self, template: &Template) -> &[Step] {
        let (from, to) = template.steps;
        self.steps.get(from as usize..to as usize).unwrap_or_default()
    }

    /// Whether the step's bytes stand at `at`; then the place of its value.
    #[inline(always)]
    pub fn value(&self, step: &Step, text: &[u8], at: usize) -> Option<usize> {
        step.gap.stands(&self.text, text, at).then(|| at + step.gap.len as usize)
    }

    /// Whether the record's last bytes stand at `at`; then the place behind it.
    #[inline(always)]
    pub fn end(&self, template: &Template, text: &[u8], at: usize) -> Option<usize> {
        template.end.stands(&self.text, text, at).then(|| at + template.end.len as usize)
    }

    /// What the series values of a template mean.
    pub fn keys(&self, index: u32) -> Option<&SeriesKeys> {
        self.keys.get(index as usize)
    }

    /// Whether another template may find no room.
    pub fn is_full(&self) -> bool {
        self.all.len() >= TEMPLATES_MAX
            || self.steps.len() >= STEPS_MAX
            || self.text.len() >= TEXT_MAX
    }

    /// Forgets all. The batch under construction must be finished first: it would get the same
    /// shapes twice.
    pub fn clear(&mut self) {
        self.all.clear();
        self.steps.clear();
        self.text.clear();
        self.known.clear();
        self.keys.clear();
        self.known_keys.clear();
    }

    /// The template of a record that was taken apart.
    pub fn of(
        &mut self,
        text: &[u8],
        events: &Events,
        roles: &Roles,
        fields_max: usize,
    ) -> Result<u32, Bad> {
        let mut identity = std::mem::take(&mut self.identity);
        identity.clear();
        for event in &events.events {
            identity.extend_from_slice(text.get(event.gap.0..event.gap.1).unwrap_or_default());
            identity.push(event.class as u8);
        }
        identity.extend_from_slice(text.get(events.end.0..events.end.1).unwrap_or_default());
        let hash = bytes_hash(&identity);
        self.identity = identity;
        if let Some(&known) = self.known.get(&hash)
            && self.is(known, text, events)
        {
            return Ok(known);
        }
        let index = self.add(text, events, roles, fields_max)?;
        self.known.insert(hash, index);
        Ok(index)
    }

    fn is(&self, index: u32, text: &[u8], events: &Events) -> bool {
        let Some(template) = self.get(index) else { return false };
        let steps = self.steps(template);
        let same = |gap: &Gap, place: (usize, usize)| {
            gap.len as usize == place.1 - place.0 && gap.stands(&self.text, text, place.0)
        };
        steps.len() == events.events.len()
            && steps
                .iter()
                .zip(&events.events)
                .all(|(step, event)| step.class == event.class && same(&step.gap, event.gap))
            && same(&template.end, events.end)
    }

    fn add(
        &mut self,
        text: &[u8],
        events: &Events,
        roles: &Roles,
        fields_max: usize,
    ) -> Result<u32, Bad> {
        let first = self.steps.len();
        let mut keys = SeriesKeys::default();
        let mut fields = Vec::new();
        for event in &events.events {
            let key = events.key(event);
            let found = role_of(roles, event, key);
            if found & (role::TAG | role::NAME) != 0 {
                let tag = (found & role::TAG != 0).then(|| key.to_owned());
                keys.values.push((tag, found & role::NAME != 0));
            }
            if found & role::FIELD != 0 {
                let kind = match event.class {
                    Class::Number => kind::F64,
                    Class::Text => kind::TEXT,
                    _ => kind::BOOL,
                };
                fields.push((key.to_owned(), kind));
            }
            if fields.len() > fields_max {
                self.steps.truncate(first);
                return bad(event.value, Why::Fields);
            }
            let gap = self.gap(text, event.gap);
            self.steps.push(Step { gap, class: event.class, role: found });
        }
        let end = self.gap(text, events.end);
        let index = self.all.len() as u32;
        let series_keys = match self.known_keys.get(&keys) {
            Some(&known) => known,
            None => {
                let index = self.keys.len() as u32;
                self.keys.push(keys.clone());
                self.known_keys.insert(keys, index);
                index
            }
        };
        self.all.push(Template {
            steps: (first as u32, self.steps.len() as u32),
            end,
            series_keys,
            next: index,
            fields,
            epoch: 0,
            shape: 0,
        });
        Ok(index)
    }

    fn gap(&mut self, text: &[u8], place: (usize, usize)) -> Gap {
        let bytes = text.get(place.0..place.1).unwrap_or_default();
        let mut first = [0; 16];
        let len = bytes.len().min(16);
        first[..len].copy_from_slice(&bytes[..len]);
        let start = self.text.len() as u32;
        if bytes.len() > 16 {
            self.text.extend_from_slice(bytes);
        }
        Gap {
            word: u128::from_le_bytes(first),
            mask: if len == 16 { u128::MAX } else { (1 << (8 * len)) - 1 },
            len: bytes.len() as u32,
            text: start,
        }
    }

    /// What the batch under construction calls the shape of a template's points; `None` if they have
    /// no fields.
    #[inline(always)]
    pub fn shape(&mut self, index: u32, builder: &mut BatchBuilder) -> Option<u32> {
        let template = self.all.get(index as usize)?;
        if template.epoch == builder.epoch() {
            return Some(template.shape);
        }
        self.enter_shape(index, builder)
    }

    #[inline(never)]
    fn enter_shape(&mut self, index: u32, builder: &mut BatchBuilder) -> Option<u32> {
        let template = self.all.get_mut(index as usize)?;
        if template.fields.is_empty() {
            return None;
        }
        // Templates may share a shape, so the builder looks for it.
        template.shape =
            builder.shape(template.fields.iter().map(|(key, kind)| (key.as_str(), *kind)));
        template.epoch = builder.epoch();
        Some(template.shape)
    }
}

/// What becomes of a value.
fn role_of(roles: &Roles, event: &Event, key: &str) -> u8 {
    if event.replaced || event.class == Class::Null {
        return role::NONE;
    }
    roles.of(key, event.class)
}
