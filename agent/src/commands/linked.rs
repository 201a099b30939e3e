//! The families that are part of the program: all of them in the static build, none in others.

use headwater_plugin_api::abi::module::RootRef;

/// Their root modules: the very tables that their libraries export.
#[cfg(feature = "static")]
pub fn families() -> Vec<RootRef> {
    use headwater_plugin_api::plugin::Family;
    vec![
        headwater_formats::Family::root(),
        headwater_system::Family::root(),
        headwater_transform::Family::root(),
        headwater_aggregate::Family::root(),
        headwater_sql::Family::root(),
        headwater_net::Family::root(),
        headwater_files::Family::root(),
        headwater_http::Family::root(),
    ]
}

/// None: families are libraries.
#[cfg(not(feature = "static"))]
pub fn families() -> Vec<RootRef> {
    Vec::new()
}
