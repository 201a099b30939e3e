//! Family `sql`.

headwater_plugin_api::family! {
    name: "sql",
}
