//! Family `files`.

headwater_plugin_api::family! {
    name: "files",
}
