//! `regex`: regular expressions over tags, text fields and names.

mod pattern;
mod template;
mod values;

use headwater_plugin_api::batch::{
    Batch, BatchBuilder, Limits, SeriesDraft, SeriesEdit, SeriesMap,
};
use headwater_plugin_api::config::Glob;
use headwater_plugin_api::plugin::{Capabilities, Context, Error, Host, Plugin, Processor, Sink};
use headwater_plugin_api::{choice, config};

use crate::edit::{Faults, KeyDraft, edit_keys, edit_series};
use pattern::Pattern;
use template::Template;
use values::FieldConversion;

config! {
    /// Changes tags, text fields and names by regular expressions.
    ///
    /// The tables are applied in this order: `tags`, `fields`, `tag_rename`, `field_rename`,
    /// `metric_rename`; those of one kind in the order of the file, each to what the one before has
    /// left. Patterns are RE2's, without look-around, and match anywhere unless anchored. `$1`,
    /// `${1}` and `${name}` in a replacement stand for groups; `$1xx` is a group named `1xx`.
    pub struct RegexConfig {
        /// Conversions of tag values.
        pub tags: Vec<TagTable> = Vec::new(),
        /// Conversions of text fields; other fields stay as they are.
        pub fields: Vec<FieldTable> = Vec::new(),
        /// Renames of tag keys.
        pub tag_rename: Vec<KeyTable> = Vec::new(),
        /// Renames of field keys.
        pub field_rename: Vec<KeyTable> = Vec::new(),
        /// Renames of measurements.
        pub metric_rename: Vec<NameTable> = Vec::new(),
    }
}

config! {
    /// A conversion of tag values.
    pub struct TagTable {
        /// Keys of the tags, as a glob.
        pub key: Option<Glob> = None,
        /// What the value must match.
        pub pattern: Option<Pattern> = None,
        /// What all matches in the value become. Without it and `result_key`, named groups become
        /// tags of their names if all groups are named; otherwise the matches are deleted.
        pub replacement: String = String::new(),
        /// The tag that takes the new value; the one that matched if empty.
        pub result_key: String = String::new(),
        /// Append the new value to the one that the tag has.
        pub append: bool = false,
    }
}

config! {
    /// A conversion of text fields.
    pub struct FieldTable {
        /// Keys of the fields, as a glob.
        pub key: Option<Glob> = None,
        /// What the value must match.
        pub pattern: Option<Pattern> = None,
        /// What all matches in the value become. Without it and `result_key`, named groups become
        /// fields of their names if all groups are named; otherwise the matches are deleted.
        pub replacement: String = String::new(),
        /// The field that takes the new value; the one that matched if empty.
        pub result_key: String = String::new(),
    }
    refused {
        "append" = "only tags can be appended to; remove it",
    }
}

choice! {
    /// What happens when the new key is there already.
    pub enum Collision {
        /// Both stay as they are.
        Keep = "keep",
        /// The one that was there leaves.
        Overwrite = "overwrite",
    }
}

config! {
    /// A rename of keys.
    pub struct KeyTable {
        /// What the key must match.
        pub pattern: Option<Pattern> = None,
        /// What all matches in the key become. A key that would be empty stays as it is.
        pub replacement: String = String::new(),
        /// If the new key is there already: `keep` leaves both, `overwrite` replaces it.
        pub result_key: Collision = Collision::Keep,
    }
    refused {
        "key" = "the pattern alone selects the keys to rename; remove it",
        "append" = "a key cannot be appended to; remove it",
    }
}

config! {
    /// A rename of measurements.
    pub struct NameTable {
        /// What the measurement must match.
        pub pattern: Option<Pattern> = None,
        /// What all matches in the measurement become. One that would be empty stays as it is.
        pub replacement: String = String::new(),
    }
    refused {
        "key" = "the pattern alone selects the measurements to rename; remove it",
        "result_key" = "a measurement always takes its new name; remove it",
        "append" = "a measurement cannot be appended to; remove it",
    }
}

/// What becomes of a value that matches.
enum Effect {
    /// All matches are replaced; the result goes to the target, or stands where it was.
    Replace { template: Template, target: Option<String> },
    /// Groups go to tags or fields of their names.
    Groups(Vec<String>),
}

impl Effect {
    fn new(key: &Glob, pattern: &Pattern, replacement: &str, result_key: String) -> Self {
        if replacement.is_empty()
            && result_key.is_empty()
            && let Some(names) = pattern.named_groups()
        {
            return Effect::Groups(names);
        }
        let in_place = result_key.is_empty() || key.as_exact() == Some(&result_key);
        let template = Template::new(replacement, pattern.regex());
        Effect::Replace { template, target: (!in_place).then_some(result_key) }
    }
}

struct TagConversion {
    key: Glob,
    pattern: Pattern,
    effect: Effect,
    append: bool,
}

struct KeyRename {
    pattern: Pattern,
    template: Template,
    collision: Collision,
}

struct NameRename {
    pattern: Pattern,
    template: Template,
}

pub struct Regex {
    tags: Vec<TagConversion>,
    fields: Vec<FieldConversion>,
    tag_renames: Vec<KeyRename>,
    field_renames: Vec<KeyRename>,
    name_renames: Vec<NameRename>,
    map: SeriesMap,
    builder: BatchBuilder,
    faults: Faults,
}

/// The value of a key that every table must have.
fn required<T>(value: Option<T>, table: &str, at: usize, key: &str) -> Result<T, Error> {
    value.ok_or_else(|| {
        let message = format!("table {} of `{table}` lacks `{key}`", at + 1);
        Error::config(&format!("{table}.{at}.{key}"), message)
    })
}

impl Plugin for Regex {
    type Config = RegexConfig;
    const NAME: &'static str = "regex";
    const SUMMARY: &'static str = "Changes tags, text fields and names by regular expressions.";
    const CAPABILITIES: Capabilities = Capabilities::STATELESS;

    fn new(config: RegexConfig, host: Host) -> Result<Self, Error> {
        let mut tags = Vec::new();
        for (at, table) in config.tags.into_iter().enumerate() {
            let key = required(table.key, "tags", at, "key")?;
            let pattern = required(table.pattern, "tags", at, "pattern")?;
            let effect = Effect::new(&key, &pattern, &table.replacement, table.result_key);
            tags.push(TagConversion { key, pattern, effect, append: table.append });
        }
        let mut fields = Vec::new();
        for (at, table) in config.fields.into_iter().enumerate() {
            let key = required(table.key, "fields", at, "key")?;
            let pattern = required(table.pattern, "fields", at, "pattern")?;
            let effect = Effect::new(&key, &pattern, &table.replacement, table.result_key);
            fields.push(FieldConversion { key, pattern, effect });
        }
        let mut name_renames = Vec::new();
        for (at, table) in config.metric_rename.into_iter().enumerate() {
            let pattern = required(table.pattern, "metric_rename", at, "pattern")?;
            let template = Template::new(&table.replacement, pattern.regex());
            name_renames.push(NameRename { pattern, template });
        }
        Ok(Regex {
            tags,
            fields,
            tag_renames: key_renames(config.tag_rename, "tag_rename")?,
            field_renames: key_renames(config.field_rename, "field_rename")?,
            name_renames,
            map: SeriesMap::new(),
            builder: BatchBuilder::default(),
            faults: Faults::new(host),
        })
    }
}

fn key_renames(tables: Vec<KeyTable>, name: &str) -> Result<Vec<KeyRename>, Error> {
    let rename = |(at, table): (usize, KeyTable)| {
        let pattern = required(table.pattern, name, at, "pattern")?;
        let template = Template::new(&table.replacement, pattern.regex());
        Ok(KeyRename { pattern, template, collision: table.result_key })
    };
    tables.into_iter().enumerate().map(rename).collect()
}

impl Processor for Regex {
    fn process(
        &mut self,
        _cx: &Context<'_>,
        mut batch: Batch,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        // Series, field values and field keys do not look at each other, so that the order of the
        // tables is kept if it is kept within each of the three.
        if !(self.tags.is_empty() && self.tag_renames.is_empty() && self.name_renames.is_empty()) {
            let (tags, keys, names) = (&self.tags, &self.tag_renames, &self.name_renames);
            edit_series(&mut self.map, &mut batch, &self.faults, |_, draft| {
                let mut changed = false;
                tags.iter().for_each(|tag| changed |= convert_tags(tag, draft));
                keys.iter().for_each(|rename| changed |= rename_tags(rename, draft));
                names.iter().for_each(|rename| changed |= rename_measurement(rename, draft));
                if changed { SeriesEdit::Replace } else { SeriesEdit::Keep }
            });
        }
        if !self.fields.is_empty() {
            let renames = &self.field_renames;
            values::convert(&self.fields, &mut self.builder, batch, &self.faults, |mut batch| {
                rename_fields(renames, &mut batch);
                out.push(batch);
            });
        } else {
            rename_fields(&self.field_renames, &mut batch);
            out.push(batch);
        }
        Ok(())
    }
}

/// Whether anything changed.
fn convert_tags(conversion: &TagConversion, draft: &mut SeriesDraft) -> bool {
    let regex = conversion.pattern.regex();
    let keys = draft.tags().map(|(key, _)| key).filter(|key| conversion.key.matches(key));
    let keys: Vec<String> = keys.map(str::to_owned).collect();
    let mut changed = false;
    let mut set = |draft: &mut SeriesDraft, key: &str, value: &str| {
        changed = true;
        match draft.tag(key).filter(|_| conversion.append) {
            Some(before) => {
                let joined = format!("{before}{value}");
                draft.set_tag(key, &joined);
            }
            None => draft.set_tag(key, value),
        }
    };
    for key in keys {
        let Some(value) = draft.tag(&key) else { continue };
        match &conversion.effect {
            Effect::Replace { template, target } => {
                // A tag value over its bound is refused when the series is stored.
                let limit = Limits::DEFAULT.point_bytes as usize;
                if let Ok(Some(new)) = template.replace_all(regex, value, limit) {
                    set(draft, target.as_deref().unwrap_or(&key), &new);
                }
            }
            Effect::Groups(names) => {
                let Some(captures) = regex.captures(value) else { continue };
                let found = std::iter::zip(names, captures.iter().skip(1))
                    .map(|(name, group)| {
                        (name, group.map_or("", |group| group.as_str()).to_owned())
                    })
                    .filter(|(_, text)| !text.is_empty());
                for (name, text) in found.collect::<Vec<_>>() {
                    set(draft, name, &text);
                }
            }
        }
    }
    changed
}

/// The new name, if it is one.
fn new_name(pattern: &Pattern, template: &Template, name: &str) -> Option<String> {
    let limit = Limits::DEFAULT.name_bytes as usize;
    let new = template.replace_all(pattern.regex(), name, limit).ok().flatten()?;
    (!new.is_empty() && new != name).then_some(new)
}

fn rename_measurement(rename: &NameRename, draft: &mut SeriesDraft) -> bool {
    match new_name(&rename.pattern, &rename.template, &draft.name) {
        Some(new) => {
            draft.name = new;
            true
        }
        None => false,
    }
}

fn rename_tags(rename: &KeyRename, draft: &mut SeriesDraft) -> bool {
    let hits = draft.tags().filter_map(|(key, _)| {
        Some((key.to_owned(), new_name(&rename.pattern, &rename.template, key)?))
    });
    let hits: Vec<(String, String)> = hits.collect();
    let mut changed = false;
    let mut overwrites = Vec::new();
    let mut apply = |draft: &mut SeriesDraft, old: &str, new: &str| {
        if let Some(value) = draft.remove_tag(old) {
            draft.set_tag(new, &value);
            changed = true;
        }
    };
    for (old, new) in &hits {
        if draft.tag(new).is_none() {
            apply(draft, old, new);
        } else if rename.collision == Collision::Overwrite {
            overwrites.push((old, new));
        }
    }
    for (old, new) in overwrites {
        apply(draft, old, new);
    }
    changed
}

fn rename_fields(renames: &[KeyRename], batch: &mut Batch) {
    if renames.is_empty() {
        return;
    }
    edit_keys(batch, |keys| renames.iter().for_each(|rename| rename_keys(rename, keys)));
}

fn rename_keys(rename: &KeyRename, keys: &mut KeyDraft<'_>) {
    let mut overwrites = Vec::new();
    for at in 0..keys.len() {
        let Some(key) = keys.key(at) else { continue };
        let Some(new) = new_name(&rename.pattern, &rename.template, key) else { continue };
        if keys.find(&new).is_none() {
            keys.rename(at, &new);
        } else if rename.collision == Collision::Overwrite {
            overwrites.push((at, new));
        }
    }
    for (at, new) in overwrites {
        keys.rename(at, &new);
    }
}

#[cfg(test)]
mod tests;
