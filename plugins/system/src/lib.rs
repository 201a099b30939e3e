//! Family `system`.

headwater_plugin_api::family! {
    name: "system",
}
