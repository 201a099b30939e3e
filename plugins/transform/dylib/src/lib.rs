//! The library of family `transform` that the agent loads at run time.

headwater_plugin_api::export!(headwater_transform::Family);
