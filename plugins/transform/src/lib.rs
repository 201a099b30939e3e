//! Family `transform`: processors that change points one by one.
//!
//! What a processor does to names and tags it does once per series, what it does to field keys once
//! per shape of a batch; only conversions of field values look at rows.

mod edit;
pub mod regex;
pub mod rename;

headwater_plugin_api::family! {
    name: "transform",
    processors: [rename::Rename, regex::Regex],
}
