//! Family `http`.

headwater_plugin_api::family! {
    name: "http",
}
