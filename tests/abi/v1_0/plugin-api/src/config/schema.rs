//! What the keys of a plugin's table are, in a form that crosses to the agent as TOML text.

use serde::{Deserialize, Serialize};

use super::value::Kind;

/// The keys of a table. Fields may be added to it later: an older agent ignores those it does not
/// know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// What the table is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    #[serde(default, rename = "field", skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldSchema>,
    /// Keys that a user may bring along from elsewhere and that are refused, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSchema {
    pub key: String,
    #[serde(with = "kind_as_words")]
    pub kind: Kind,
    /// As TOML on one line; none if the key is unset by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    /// Other names of the same key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The words that a choice takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// The keys of the table, list of tables or table of tables that this key holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableSchema>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedKey {
    pub key: String,
    pub reason: String,
}

impl TableSchema {
    /// The field that is called `key`, be it by another of its names.
    pub fn field(&self, key: &str) -> Option<&FieldSchema> {
        self.fields
            .iter()
            .find(|field| field.key == key || field.aliases.iter().any(|alias| alias == key))
    }

    /// Why `key` is refused, if it is.
    pub fn refusal(&self, key: &str) -> Option<&str> {
        self.refused
            .iter()
            .find(|refused| refused.key == key)
            .map(|refused| refused.reason.as_str())
    }

    /// Every name that is accepted, aliases last, so that a suggestion prefers the proper name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let keys = self.fields.iter().map(|field| field.key.as_str());
        keys.chain(self.fields.iter().flat_map(|field| field.aliases.iter().map(String::as_str)))
    }

    pub fn to_text(&self) -> String {
        // Strings, lists and tables alone: serialization has nothing to refuse, and an empty schema
        // accepts no key.
        toml::to_string(self).unwrap_or_default()
    }

    /// Reads what [`TableSchema::to_text`] wrote, here or in a plugin of another version.
    pub fn from_text(text: &str) -> Result<Self, String> {
        toml::from_str(text)
            .map_err(|error| format!("the schema cannot be read: {}", error.message()))
    }
}

mod kind_as_words {
    use super::Kind;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(kind)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        let words = String::deserialize(deserializer)?;
        Ok(words.parse().unwrap_or(Kind::Any))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_plugin_is_understood() {
        let text = r#"
            colour = "blue"
            [[field]]
            key = "shade"
            kind = "gradient"
            unit = "percent"
            [[refused]]
            key = "hue"
            reason = "none"
            since = 3
        "#;
        let schema = TableSchema::from_text(text).unwrap();
        assert_eq!(schema.field("shade").unwrap().kind, Kind::Any);
        assert_eq!(schema.refusal("hue"), Some("none"));
        assert_eq!(TableSchema::from_text("").unwrap(), TableSchema::default());
        assert!(TableSchema::from_text("field = 3").is_err());
    }
}
