//! Destinations by tag: which points go to which database or bucket.

use std::collections::BTreeMap;

use headwater_plugin_api::batch::{Batch, SeriesEdit, SeriesMap};

use crate::points::{Points, view};

/// A part of a destination's name: the value of a tag, or a default.
#[derive(Debug, Default)]
pub struct Source {
    /// The tag that names it; none if empty.
    pub tag: String,
    /// Take the tag off the points.
    pub exclude: bool,
    /// The name without the tag.
    pub default: String,
}

/// Splits points by the tags that name their destination.
#[derive(Default)]
pub struct Router {
    sources: Vec<Source>,
    map: SeriesMap,
}

/// The names of a destination, one for each source, and whether a tag gave any of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    pub names: Vec<String>,
    pub by_tag: bool,
}

impl Router {
    pub fn new(sources: Vec<Source>) -> Self {
        Router { sources, map: SeriesMap::new() }
    }

    /// The points by destination.
    pub fn route<'a>(&mut self, batches: &'a [Batch]) -> Vec<(Destination, Points<'a>)> {
        if self.sources.iter().all(|source| source.tag.is_empty()) {
            let names = self.sources.iter().map(|source| source.default.clone()).collect();
            return vec![(Destination { names, by_tag: false }, Points::new(batches))];
        }
        let mut routes: BTreeMap<Destination, Vec<(u32, Batch)>> = BTreeMap::new();
        for (at, batch) in batches.iter().enumerate() {
            let mut found: BTreeMap<Destination, u32> = BTreeMap::new();
            // The number of its destination, for each series.
            let numbers: Vec<u32> = (0..batch.series_count() as u32)
                .map(|index| {
                    let next = found.len() as u32;
                    *found.entry(self.destination(batch, index)).or_insert(next)
                })
                .collect();
            for (destination, number) in found {
                let mut part = view(batch);
                part.retain(|_, row| numbers.get(row.series as usize) == Some(&number));
                if !part.is_empty() {
                    self.take_tags_off(&mut part);
                    routes.entry(destination).or_default().push((at as u32, part));
                }
            }
        }
        routes.into_iter().map(|(to, views)| (to, Points::of(views))).collect()
    }

    fn destination(&self, batch: &Batch, series: u32) -> Destination {
        let series = batch.series(series);
        let mut by_tag = false;
        let names = self.sources.iter().map(|source| {
            let tag = if source.tag.is_empty() { None } else { series.tag(&source.tag) };
            by_tag |= tag.is_some();
            tag.unwrap_or(&source.default).to_owned()
        });
        let names = names.collect();
        Destination { names, by_tag }
    }

    fn take_tags_off(&mut self, batch: &mut Batch) {
        let excluded = || self.sources.iter().filter(|s| s.exclude && !s.tag.is_empty());
        if excluded().next().is_none() {
            return;
        }
        // A series does not grow by losing a tag: there is nothing that a batch could refuse.
        let _ = self.map.apply(batch, |series, draft| {
            let mut edit = SeriesEdit::Keep;
            for source in excluded() {
                if series.tag(&source.tag).is_some() {
                    draft.remove_tag(&source.tag);
                    edit = SeriesEdit::Replace;
                }
            }
            edit
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::tests::TestLines;
    use headwater_plugin_api::batch::BatchBuilder;
    use headwater_plugin_api::testkit;

    fn batches() -> Vec<Batch> {
        let mut builder = BatchBuilder::default();
        for (time, tags) in [
            (0, vec![("db", "x"), ("h", "1")]),
            (1, vec![("h", "1")]),
            (2, vec![("db", "y"), ("rp", "week")]),
            (3, vec![("db", "x"), ("h", "1")]),
            (4, vec![("rp", "week")]),
        ] {
            builder.point("m").tags(tags).field("v", 1_i64).finish(time).unwrap();
        }
        let first = builder.finish().unwrap();
        builder.point("m").tag("db", "x").field("v", 1_i64).finish(5).unwrap();
        vec![first, builder.finish().unwrap()]
    }

    fn source(tag: &str, exclude: bool, default: &str) -> Source {
        Source { tag: tag.into(), exclude, default: default.into() }
    }

    fn routed(sources: Vec<Source>, batches: &[Batch]) -> Vec<(String, String)> {
        let mut router = Router::new(sources);
        let mut routes = Vec::new();
        for (to, points) in router.route(batches) {
            let mut out = Vec::new();
            points.append_to(&testkit::context(0), &mut TestLines, &mut out).unwrap();
            let by = if to.by_tag { "*" } else { "" };
            routes.push((format!("{}{by}", to.names.join("/")), String::from_utf8(out).unwrap()));
        }
        routes
    }

    #[test]
    fn without_tags_there_is_one_destination() {
        let routes = routed(vec![source("", false, "d"), source("", true, "r")], &batches());
        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].0, "d/r");
        assert_eq!(routes[0].1.lines().count(), 6);
    }

    #[test]
    fn points_go_where_their_tags_say() {
        let routes = routed(vec![source("db", true, "d"), source("rp", false, "")], &batches());
        let expected = [
            ("d/", "m,h=1 v=1i 1\n"),
            ("d/week*", "m,rp=week v=1i 4\n"),
            ("x/*", "m,h=1 v=1i 0\nm,h=1 v=1i 3\nm v=1i 5\n"),
            ("y/week*", "m,rp=week v=1i 2\n"),
        ];
        let routes: Vec<(&str, &str)> = routes.iter().map(|(to, text)| (&**to, &**text)).collect();
        assert_eq!(routes, expected);
    }

    #[test]
    fn rows_keep_their_names() {
        let batches = batches();
        let mut router = Router::new(vec![source("db", true, "d")]);
        let rows: Vec<_> = router.route(&batches).iter().map(|(_, points)| points.rows()).collect();
        assert_eq!(rows, [vec![(0, 1), (0, 4)], vec![(0, 0), (0, 3), (1, 0)], vec![(0, 2)]]);
    }
}
