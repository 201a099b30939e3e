//! Family `transform`.

headwater_plugin_api::family! {
    name: "transform",
}
