//! What becomes of a value by its key.

use headwater_plugin_api::config::GlobSet;

use super::scan::Class;

/// What a value is: an "or" of these.
pub mod role {
    /// Nothing.
    pub const NONE: u8 = 0;
    /// A field.
    pub const FIELD: u8 = 1;
    /// A tag.
    pub const TAG: u8 = 2;
    /// The measurement name.
    pub const NAME: u8 = 4;
    /// The time.
    pub const TIME: u8 = 8;
}

/// The options that decide.
#[derive(Debug, Default)]
pub struct Roles {
    pub tags: GlobSet,
    pub strings: GlobSet,
    pub name_key: String,
    pub time_key: String,
}

impl Roles {
    /// What the value under a flattened key is.
    pub fn of(&self, key: &str, class: Class) -> u8 {
        if key.is_empty() {
            return role::NONE;
        }
        if key == self.time_key {
            return role::TIME;
        }
        let mut found = role::NONE;
        if key == self.name_key && class == Class::Text {
            found |= role::NAME;
        }
        found
            | if self.tags.matches(key) {
                role::TAG
            } else if class == Class::Number || self.strings.matches(key) {
                role::FIELD
            } else {
                role::NONE
            }
    }
}
