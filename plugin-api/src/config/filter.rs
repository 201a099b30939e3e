//! Lists of globs: one that matches if any does, and a pair of which one lets in and the other
//! keeps out.

use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

use super::glob::{Glob, GlobError};
use super::value::{ConfigValue, Kind};

/// More patterns than this in one list are refused.
pub const PATTERNS_MAX: usize = 10_000;

/// Matches what any of its patterns matches; without patterns, nothing.
#[derive(Clone, Default)]
pub struct GlobSet {
    patterns: Vec<Box<str>>,
    /// Sorted, for plain names are looked up and not tried.
    exact: Vec<Box<str>>,
    globs: Vec<Glob>,
}

impl GlobSet {
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, GlobError> {
        Self::with_separators(patterns, "")
    }

    pub fn with_separators<S: AsRef<str>>(
        patterns: &[S],
        separators: &str,
    ) -> Result<Self, GlobError> {
        if patterns.len() > PATTERNS_MAX {
            let message =
                format!("the list has {} patterns, the limit is {PATTERNS_MAX}", patterns.len());
            return Err(GlobError { message });
        }
        let globs =
            patterns.iter().map(|pattern| Glob::with_separators(pattern.as_ref(), separators));
        Ok(globs.collect::<Result<Vec<_>, _>>()?.into())
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    pub fn matches(&self, text: &str) -> bool {
        self.exact.binary_search_by(|exact| exact.as_ref().cmp(text)).is_ok()
            || self.globs.iter().any(|glob| glob.matches(text))
    }

    /// The patterns as they were written.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(AsRef::as_ref)
    }
}

impl From<Vec<Glob>> for GlobSet {
    fn from(globs: Vec<Glob>) -> Self {
        let mut set = Self::default();
        for glob in globs {
            set.patterns.push(glob.as_str().into());
            match glob.as_exact() {
                Some(exact) => set.exact.push(exact.into()),
                None => set.globs.push(glob),
            }
        }
        set.exact.sort_unstable();
        set
    }
}

impl fmt::Debug for GlobSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.patterns).finish()
    }
}

struct GlobSetVisitor;

impl<'de> Visitor<'de> for GlobSetVisitor {
    type Value = GlobSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of globs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<GlobSet, A::Error> {
        let mut globs: Vec<Glob> = Vec::new();
        while let Some(glob) = list.next_element()? {
            if globs.len() == PATTERNS_MAX {
                let message = format!("the list has more than {PATTERNS_MAX} patterns");
                return Err(serde::de::Error::custom(message));
            }
            globs.push(glob);
        }
        Ok(globs.into())
    }
}

impl<'de> Deserialize<'de> for GlobSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(GlobSetVisitor)
    }
}

impl ConfigValue for GlobSet {
    fn kind() -> Kind {
        Kind::List(Box::new(Kind::String))
    }

    fn to_text(&self) -> Option<String> {
        self.patterns().map(str::to_owned).collect::<Vec<_>>().to_text()
    }
}

/// Lets a name pass that the include list matches and the exclude list does not. An empty include
/// list matches all.
#[derive(Clone, Debug, Default)]
pub struct GlobFilter {
    include: GlobSet,
    exclude: GlobSet,
}

impl GlobFilter {
    pub fn new<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Result<Self, GlobError> {
        Ok(Self::of(GlobSet::new(include)?, GlobSet::new(exclude)?))
    }

    pub fn of(include: GlobSet, exclude: GlobSet) -> Self {
        Self { include, exclude }
    }

    /// Whether every name passes.
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    pub fn passes(&self, name: &str) -> bool {
        (self.include.is_empty() || self.include.matches(name)) && !self.exclude.matches(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_pattern_suffices() {
        let set = GlobSet::new(&["mem", "cpu*", "disk"]).unwrap();
        for (name, expected) in
            [("mem", true), ("cpu0", true), ("disk", true), ("diskio", false), ("", false)]
        {
            assert_eq!(set.matches(name), expected, "{name}");
        }
        assert_eq!(set.patterns().collect::<Vec<_>>(), ["mem", "cpu*", "disk"]);
        assert_eq!(set.to_text().unwrap(), r#"["mem", "cpu*", "disk"]"#);
        assert!(!GlobSet::default().matches(""));
        assert!(GlobSet::new(&["ok", "[bad"]).is_err());
        assert!(GlobSet::new(&vec!["a"; PATTERNS_MAX + 1]).is_err());
    }

    #[test]
    fn exclusion_wins() {
        let filter = GlobFilter::new(&["usage_*"], &["usage_guest*"]).unwrap();
        assert!(filter.passes("usage_user"));
        assert!(!filter.passes("usage_guest_nice"));
        assert!(!filter.passes("time_user"));
        assert!(GlobFilter::new::<&str>(&[], &[]).unwrap().passes("anything"));
        assert!(GlobFilter::default().is_empty());
        assert!(!GlobFilter::new(&[], &["x"]).unwrap().passes("x"));
    }

    #[test]
    fn read_from_toml_with_the_place_of_a_bad_pattern() {
        crate::config! {
            struct Lists {
                names: GlobSet = GlobSet::default(),
            }
        }
        let lists: Lists = crate::config::parse("names = ['a*', 'b']").unwrap();
        assert!(lists.names.matches("abc") && lists.names.matches("b"));
        let text = "names = ['a*', '[b']";
        let error = crate::config::parse::<Lists>(text).unwrap_err();
        assert_eq!(error.span, Some(15..19));
        assert!(error.message.contains("the set `[` is not closed"), "{error}");
    }
}
