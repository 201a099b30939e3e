//! Which points a plugin takes, and which of their fields and tags.
//!
//! What only looks at the measurement's name and tags ([`Selectors::select`],
//! [`Modifiers::keeps_tag`]) is the same for all points of a series: the caller asks once per
//! series.

use std::collections::BTreeMap;

use headwater_plugin_api::config::{GlobError, GlobFilter, GlobSet};

const NO_EXPRESSIONS: &str = "expressions over whole points are not supported yet; \
     use namepass, tagpass or a SQL processor";

headwater_plugin_api::config! {
    /// Selectors and modifiers that every plugin takes.
    pub struct SelectorTable {
        /// Take only points whose measurement matches one of these globs.
        pub namepass: Vec<String> = Vec::new(),
        /// Characters that `*` in `namepass` does not cross.
        pub namepass_separator: String = String::new(),
        /// Leave out points whose measurement matches one of these globs.
        pub namedrop: Vec<String> = Vec::new(),
        /// Characters that `*` in `namedrop` does not cross.
        pub namedrop_separator: String = String::new(),
        /// Take only points that have one of these tags with a value that matches one of its globs.
        pub tagpass: BTreeMap<String, GlobSet> = BTreeMap::new(),
        /// Leave out points that have one of these tags with a value that matches one of its globs.
        pub tagdrop: BTreeMap<String, GlobSet> = BTreeMap::new(),
        /// Keep only fields whose key matches one of these globs.
        pub fieldinclude: GlobSet = GlobSet::default(),
        /// Leave out fields whose key matches one of these globs.
        pub fieldexclude: GlobSet = GlobSet::default(),
        /// An older name of `fieldinclude`; the patterns of both count.
        pub fieldpass: GlobSet = GlobSet::default(),
        /// An older name of `fieldexclude`; the patterns of both count.
        pub fielddrop: GlobSet = GlobSet::default(),
        /// An older name of `fieldinclude`; the patterns of both count.
        pub pass: GlobSet = GlobSet::default(),
        /// An older name of `fieldexclude`; the patterns of both count.
        pub drop: GlobSet = GlobSet::default(),
        /// Keep only tags whose key matches one of these globs.
        pub taginclude: GlobSet = GlobSet::default(),
        /// Leave out tags whose key matches one of these globs.
        pub tagexclude: GlobSet = GlobSet::default(),
    }
    refused {
        "metricpass" = NO_EXPRESSIONS,
    }
}

/// Lets points through by measurement and tags.
#[derive(Debug, Clone, Default)]
pub struct Selectors {
    names: GlobFilter,
    tag_pass: Vec<(String, GlobSet)>,
    tag_drop: Vec<(String, GlobSet)>,
}

impl Selectors {
    /// Whether every point passes.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.tag_pass.is_empty() && self.tag_drop.is_empty()
    }

    /// Whether the answer depends on tags at all.
    pub fn looks_at_tags(&self) -> bool {
        !self.tag_pass.is_empty() || !self.tag_drop.is_empty()
    }

    /// Whether points of this measurement with these tags pass.
    pub fn select<'t>(&self, name: &str, tags: impl Iterator<Item = (&'t str, &'t str)>) -> bool {
        if !self.names.passes(name) {
            return false;
        }
        if !self.looks_at_tags() {
            return true;
        }
        let mut passed = self.tag_pass.is_empty();
        for (key, value) in tags {
            if matches(&self.tag_drop, key, value) {
                return false;
            }
            passed = passed || matches(&self.tag_pass, key, value);
        }
        passed
    }
}

fn matches(lists: &[(String, GlobSet)], key: &str, value: &str) -> bool {
    lists.iter().any(|(name, globs)| name == key && globs.matches(value))
}

/// Takes fields and tags away from the points that were let through.
#[derive(Debug, Clone, Default)]
pub struct Modifiers {
    fields: GlobFilter,
    tags: GlobFilter,
}

impl Modifiers {
    /// Whether nothing is taken away.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.tags.is_empty()
    }

    pub fn changes_fields(&self) -> bool {
        !self.fields.is_empty()
    }

    pub fn changes_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    pub fn keeps_field(&self, key: &str) -> bool {
        self.fields.passes(key)
    }

    pub fn keeps_tag(&self, key: &str) -> bool {
        self.tags.passes(key)
    }
}

/// A pattern list that is wrong: its key, and why.
pub type SelectorError = (&'static str, GlobError);

impl SelectorTable {
    pub fn compile(&self) -> Result<(Selectors, Modifiers), SelectorError> {
        let names = |key, list: &[String], separators: &str| {
            GlobSet::with_separators(list, separators).map_err(|error| (key, error))
        };
        let tags = |table: &BTreeMap<String, GlobSet>| {
            table.iter().map(|(key, globs)| (key.clone(), globs.clone())).collect()
        };
        let union = |key, sets: [&GlobSet; 3]| {
            let patterns: Vec<&str> = sets.into_iter().flat_map(GlobSet::patterns).collect();
            GlobSet::new(&patterns).map_err(|error| (key, error))
        };
        let selectors = Selectors {
            names: GlobFilter::of(
                names("namepass", &self.namepass, &self.namepass_separator)?,
                names("namedrop", &self.namedrop, &self.namedrop_separator)?,
            ),
            tag_pass: tags(&self.tagpass),
            tag_drop: tags(&self.tagdrop),
        };
        let modifiers = Modifiers {
            fields: GlobFilter::of(
                union("fieldinclude", [&self.fieldinclude, &self.fieldpass, &self.pass])?,
                union("fieldexclude", [&self.fieldexclude, &self.fielddrop, &self.drop])?,
            ),
            tags: GlobFilter::of(self.taginclude.clone(), self.tagexclude.clone()),
        };
        Ok((selectors, modifiers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str) -> (Selectors, Modifiers) {
        headwater_plugin_api::config::parse::<SelectorTable>(text).unwrap().compile().unwrap()
    }

    fn takes(text: &str, name: &str, tags: &[(&str, &str)]) -> bool {
        compile(text).0.select(name, tags.iter().copied())
    }

    #[test]
    fn nothing_set_takes_all() {
        let (selectors, modifiers) = compile("");
        assert!(selectors.is_empty() && modifiers.is_empty());
        assert!(selectors.select("cpu", std::iter::empty()));
        assert!(modifiers.keeps_field("x") && modifiers.keeps_tag("x"));
    }

    #[test]
    fn names() {
        assert!(takes("namepass = ['cpu*']", "cpu0", &[]));
        assert!(!takes("namepass = ['cpu*']", "mem", &[]));
        assert!(!takes("namedrop = ['cpu*']", "cpu", &[]));
        assert!(!takes("namepass = ['c*']\nnamedrop = ['cpu']", "cpu", &[]));
        assert!(takes("namepass = ['c*']\nnamedrop = ['cpu']", "cx", &[]));
        assert!(takes("namepass = ['{a,b}']", "b", &[]));
        assert!(!takes("namepass = ['a.*']\nnamepass_separator = '.'", "a.b.c", &[]));
        assert!(takes("namepass = ['a.*']", "a.b.c", &[]));
        assert!(takes("namedrop = ['a.*']\nnamedrop_separator = '.'", "a.b.c", &[]));
        assert!(!takes("namepass = ['CPU']", "cpu", &[]), "letter case matters");
    }

    #[test]
    fn tags_are_ored_over_keys_and_values() {
        let text = "[tagpass]\ncpu = ['cpu0', 'cpu1']\nhost = ['a*']";
        assert!(takes(text, "m", &[("cpu", "cpu1")]));
        assert!(takes(text, "m", &[("cpu", "cpu7"), ("host", "ab")]));
        assert!(!takes(text, "m", &[("cpu", "cpu7"), ("host", "b")]));
        assert!(!takes(text, "m", &[("dc", "x")]), "a point without any of the keys is left out");
        assert!(!takes(text, "m", &[]));
        let text = "[tagdrop]\ncpu = ['cpu0']\nhost = ['a*']";
        assert!(takes(text, "m", &[("dc", "x")]));
        assert!(!takes(text, "m", &[("cpu", "cpu7"), ("host", "ab")]));
        let text = "[tagpass]\nhost = ['a*']\n[tagdrop]\ncpu = ['cpu0']";
        assert!(takes(text, "m", &[("host", "a")]));
        assert!(!takes(text, "m", &[("cpu", "cpu0"), ("host", "a")]));
        assert!(!takes(text, "m", &[("cpu", "cpu1"), ("host", "b")]));
    }

    #[test]
    fn fields_and_tags_by_any_name() {
        for (include, exclude) in
            [("fieldinclude", "fieldexclude"), ("fieldpass", "fielddrop"), ("pass", "drop")]
        {
            let (_, modifiers) =
                compile(&format!("{include} = ['usage_*']\n{exclude} = ['*_guest']"));
            assert!(modifiers.keeps_field("usage_user"), "{include}");
            assert!(!modifiers.keeps_field("usage_guest"), "{exclude}");
            assert!(!modifiers.keeps_field("time_user"), "{include}");
            assert!(modifiers.changes_fields() && !modifiers.changes_tags());
        }
        let (_, modifiers) = compile("pass = ['a']\nfieldinclude = ['b']");
        assert!(
            modifiers.keeps_field("a") && modifiers.keeps_field("b") && !modifiers.keeps_field("c")
        );
        let (_, modifiers) = compile("taginclude = ['h*']\ntagexclude = ['hw']");
        assert!(
            modifiers.keeps_tag("host")
                && !modifiers.keeps_tag("hw")
                && !modifiers.keeps_tag("cpu")
        );
    }
}
