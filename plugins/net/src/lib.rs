//! Family `net`.

headwater_plugin_api::family! {
    name: "net",
}
