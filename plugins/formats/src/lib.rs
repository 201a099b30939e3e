//! Family `formats`.

headwater_plugin_api::family! {
    name: "formats",
}
