//! Family `aggregate`.

headwater_plugin_api::family! {
    name: "aggregate",
}
