//! The library of family `system` that the agent loads at run time.

headwater_plugin_api::export!(headwater_system::Family);
