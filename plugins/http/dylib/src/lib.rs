//! The library of family `http` that the agent loads at run time.

headwater_plugin_api::export!(headwater_http::Family);
