//! A host and plugins for tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use headwater_plugin_api::config::{Duration, Secret, schema_text};

use super::{Environment, PluginKind, PluginSchema, Schemas};

/// An environment of these variables alone.
pub struct Vars(pub &'static [(&'static str, &'static str)]);

impl Environment for Vars {
    fn var(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }
}

/// A folder that is gone when the test is over.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("headwater-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, text: &str) {
        self.write_bytes(name, text.as_bytes());
    }

    pub fn write_bytes(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

headwater_plugin_api::config! {
    struct Cpu {
        percpu: bool = true,
        totalcpu: bool = true,
        #[alias("core_tag")]
        core_tags: bool = false,
    }
    refused {
        "old_option" = "it has gone",
    }
}

headwater_plugin_api::config! {
    struct File {
        files: Vec<String> = Vec::new(),
        rotation_interval: Duration = Duration::ZERO,
        password: Secret = Secret::default(),
    }
}

headwater_plugin_api::config! {
    struct Entry {
        key: String = String::new(),
        pattern: String = String::new(),
    }
}

headwater_plugin_api::config! {
    struct Regex {
        tags: Vec<Entry> = Vec::new(),
        fields: Vec<Entry> = Vec::new(),
    }
}

headwater_plugin_api::config! {
    struct Stats {
        stats: Vec<String> = Vec::new(),
    }
}

headwater_plugin_api::config! {
    struct Json {
        json_query: String = String::new(),
        tag_keys: Vec<String> = Vec::new(),
        json_map: BTreeMap<String, i64> = BTreeMap::new(),
    }
}

headwater_plugin_api::config! {
    struct Own {
        data_format: String = "json".into(),
        interval: i64 = 0,
        tags: Vec<String> = Vec::new(),
    }
}

headwater_plugin_api::config! {
    struct Nothing {}
}

/// A handful of plugins of all kinds.
pub struct Plugins;

const PLUGINS: [(PluginKind, &str); 11] = [
    (PluginKind::Input, "cpu"),
    (PluginKind::Input, "mem"),
    (PluginKind::Input, "tail"),
    (PluginKind::Input, "own"),
    (PluginKind::Output, "file"),
    (PluginKind::Processor, "regex"),
    (PluginKind::Aggregator, "basicstats"),
    (PluginKind::Parser, "influx"),
    (PluginKind::Parser, "json"),
    (PluginKind::Serializer, "influx"),
    (PluginKind::Serializer, "json"),
];

impl Schemas for Plugins {
    fn schema(&self, kind: PluginKind, name: &str) -> Result<PluginSchema, String> {
        if !PLUGINS.contains(&(kind, name)) {
            return Err(format!("there is no {kind} `{name}`"));
        }
        let text = match (kind, name) {
            (PluginKind::Input, "cpu") => schema_text::<Cpu>(),
            (PluginKind::Input, "own") => schema_text::<Own>(),
            (PluginKind::Input, "tail") | (PluginKind::Output, "file") => schema_text::<File>(),
            (PluginKind::Processor, _) => schema_text::<Regex>(),
            (PluginKind::Aggregator, _) => schema_text::<Stats>(),
            (_, "json") => schema_text::<Json>(),
            _ => schema_text::<Nothing>(),
        };
        let takes_format = matches!(name, "tail" | "file");
        Ok(PluginSchema { text, takes_format, service: name == "tail" })
    }

    fn names(&self, kind: PluginKind) -> Vec<String> {
        let of_kind = PLUGINS.iter().filter(|(other, _)| *other == kind);
        of_kind.map(|(_, name)| (*name).to_owned()).collect()
    }
}
