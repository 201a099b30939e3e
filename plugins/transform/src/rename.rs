//! `rename`: other names for measurements, tags and fields.

use headwater_plugin_api::batch::{Batch, SeriesDraft, SeriesEdit, SeriesMap};
use headwater_plugin_api::config;
use headwater_plugin_api::plugin::{Capabilities, Context, Error, Host, Plugin, Processor, Sink};

use crate::edit::{Faults, KeyDraft, edit_keys, edit_series};

config! {
    /// Renames measurements, tags and fields.
    pub struct RenameConfig {
        /// One rename each. They are applied in order, each to what the one before has left.
        pub replace: Vec<Replace> = Vec::new(),
    }
}

config! {
    /// One rename. Of `measurement`, `tag` and `field` the first that is set counts.
    pub struct Replace {
        /// The measurement to rename.
        pub measurement: String = String::new(),
        /// The tag key to rename.
        pub tag: String = String::new(),
        /// The field key to rename.
        pub field: String = String::new(),
        /// The new name. A tag or field that has it already is overwritten. Without it the table has
        /// no effect.
        pub dest: String = String::new(),
    }
}

/// From and to.
type Pair = (String, String);

enum SeriesRename {
    Measurement(Pair),
    Tag(Pair),
}

pub struct Rename {
    series: Vec<SeriesRename>,
    fields: Vec<Pair>,
    map: SeriesMap,
    faults: Faults,
}

impl Plugin for Rename {
    type Config = RenameConfig;
    const NAME: &'static str = "rename";
    const SUMMARY: &'static str = "Renames measurements, tags and fields.";
    const CAPABILITIES: Capabilities = Capabilities::STATELESS;

    fn new(config: RenameConfig, host: Host) -> Result<Self, Error> {
        let (mut series, mut fields) = (Vec::new(), Vec::new());
        for (at, entry) in config.replace.into_iter().enumerate() {
            let Replace { measurement, tag, field, dest } = entry;
            let set = [&measurement, &tag, &field].iter().filter(|name| !name.is_empty()).count();
            if dest.is_empty() || set == 0 {
                host.warn(&format!(
                    "rename: table {} of `replace` has no effect, it lacks {}",
                    at + 1,
                    if dest.is_empty() { "`dest`" } else { "`measurement`, `tag` or `field`" }
                ));
                continue;
            }
            if set > 1 {
                host.warn(&format!(
                    "rename: table {} of `replace` names several things; only the first of \
                     `measurement`, `tag`, `field` is renamed, give each a table of its own",
                    at + 1
                ));
            }
            if !measurement.is_empty() {
                series.push(SeriesRename::Measurement((measurement, dest)));
            } else if !tag.is_empty() {
                series.push(SeriesRename::Tag((tag, dest)));
            } else {
                fields.push((field, dest));
            }
        }
        Ok(Rename { series, fields, map: SeriesMap::new(), faults: Faults::new(host) })
    }
}

impl Processor for Rename {
    fn process(
        &mut self,
        _cx: &Context<'_>,
        mut batch: Batch,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        if !self.series.is_empty() {
            let renames = &self.series;
            edit_series(&mut self.map, &mut batch, &self.faults, |_, draft| {
                rename_series(renames, draft)
            });
        }
        if !self.fields.is_empty() {
            edit_keys(&mut batch, |keys| rename_keys(&self.fields, keys));
        }
        out.push(batch);
        Ok(())
    }
}

fn rename_series(renames: &[SeriesRename], draft: &mut SeriesDraft) -> SeriesEdit {
    let mut edit = SeriesEdit::Keep;
    for rename in renames {
        match rename {
            SeriesRename::Measurement((from, to)) => {
                if draft.name == *from {
                    draft.name.clone_from(to);
                    edit = SeriesEdit::Replace;
                }
            }
            SeriesRename::Tag((from, to)) => {
                if let Some(value) = draft.remove_tag(from) {
                    draft.set_tag(to, &value);
                    edit = SeriesEdit::Replace;
                }
            }
        }
    }
    edit
}

fn rename_keys(renames: &[Pair], keys: &mut KeyDraft<'_>) {
    for (from, to) in renames {
        if let Some(at) = keys.find(from) {
            keys.rename(at, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::BatchBuilder;
    use headwater_plugin_api::plugin::Level;
    use headwater_plugin_api::testkit;

    fn throughput() -> Batch {
        let mut builder = BatchBuilder::default();
        for (time, host, lower, upper) in [(1, "web", 10_i64, 1000_i64), (2, "db", 11, 1001)] {
            let point = builder.point("network_interface_throughput").tag("hostname", host);
            let point = point.field("lower", lower).field("upper", upper).field("mean", 500_i64);
            point.finish(time).unwrap();
        }
        builder.finish().unwrap()
    }

    fn renamed(config: &str, batch: Batch) -> Vec<String> {
        let mut rename = testkit::processor::<Rename>(config).unwrap();
        let (collected, result) = rename.process(0, batch);
        result.unwrap();
        collected.points()
    }

    #[test]
    fn measurement_tag_and_field() {
        let config = r#"
            [[replace]]
            measurement = "network_interface_throughput"
            dest = "throughput"
            [[replace]]
            tag = "hostname"
            dest = "host"
            [[replace]]
            field = "lower"
            dest = "min"
            [[replace]]
            field = "upper"
            dest = "max"
        "#;
        let expected = [
            "throughput,host=web min=10i,max=1000i,mean=500i 1",
            "throughput,host=db min=11i,max=1001i,mean=500i 2",
        ];
        assert_eq!(renamed(config, throughput()), expected);
    }

    #[test]
    fn later_entries_see_what_earlier_ones_made() {
        let config = r#"
            replace = [
                { measurement = "network_interface_throughput", dest = "a" },
                { measurement = "a", dest = "b" },
                { tag = "hostname", dest = "x" },
                { tag = "x", dest = "y" },
                { field = "lower", dest = "upper" },
                { field = "upper", dest = "mean" },
            ]
        "#;
        assert_eq!(renamed(config, throughput()), ["b,y=web mean=10i 1", "b,y=db mean=11i 2"]);
    }

    #[test]
    fn an_existing_destination_is_overwritten() {
        let mut builder = BatchBuilder::default();
        let point = builder.point("m").tag("a", "1").tag("b", "2").field("x", 1.5).field("y", 2.5);
        point.finish(0).unwrap();
        let config = r#"replace = [{ tag = "b", dest = "a" }, { field = "x", dest = "y" }]"#;
        assert_eq!(renamed(config, builder.finish().unwrap()), ["m,a=2 y=1.5 0"]);
    }

    #[test]
    fn swapping_by_a_third_name() {
        let config = r#"replace = [
            { field = "lower", dest = "t" }, { field = "upper", dest = "lower" }, { field = "t", dest = "upper" },
            { tag = "hostname", dest = "hostname" }, { field = "mean", dest = "mean" },
        ]"#;
        let expected = [
            "network_interface_throughput,hostname=web upper=10i,lower=1000i,mean=500i 1",
            "network_interface_throughput,hostname=db upper=11i,lower=1001i,mean=500i 2",
        ];
        assert_eq!(renamed(config, throughput()), expected);
    }

    #[test]
    fn tables_without_effect_are_told_of() {
        let config = r#"replace = [
            { tag = "hostname" },
            { dest = "x" },
            { measurement = "other", tag = "hostname", dest = "x" },
        ]"#;
        let mut rename = testkit::processor::<Rename>(config).unwrap();
        let before = testkit::lines([&throughput()]);
        assert_eq!(rename.process(0, throughput()).0.points(), before);
        let logs = rename.host.logs.lock().unwrap();
        let parts = ["table 1 of `replace` has no effect, it lacks `dest`", "table 2", "table 3"];
        assert_eq!(logs.len(), 3);
        for ((level, line), part) in logs.iter().zip(parts) {
            assert_eq!(*level, Level::Warning);
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn points_whose_new_name_is_none_are_counted() {
        let long = "x".repeat(70_000);
        let config = format!("replace = [{{ tag = 'hostname', dest = '{long}' }}]");
        let mut rename = testkit::processor::<Rename>(&config).unwrap();
        for _ in 0..2 {
            assert!(rename.process(0, throughput()).0.points().is_empty());
        }
        assert_eq!(rename.host.metric("errors"), 4);
        assert_eq!(rename.host.logs.lock().unwrap().len(), 1);
    }

    #[test]
    fn origin_and_sequence_stay() {
        let mut rename =
            testkit::processor::<Rename>("replace = [{ tag = 'hostname', dest = 'h' }]");
        let mut batch = throughput();
        batch.set_origin(7);
        batch.set_sequence(9);
        let (collected, _) = rename.as_mut().unwrap().process(0, batch);
        assert_eq!((collected.batches[0].origin(), collected.batches[0].sequence()), (7, 9));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = testkit::processor::<Rename>("[[replace]]\ntags = 'a'").err().unwrap();
        assert!(error.message().contains("tags"), "{error}");
    }
}
