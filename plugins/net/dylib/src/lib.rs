//! The library of family `net` that the agent loads at run time.

headwater_plugin_api::export!(headwater_net::Family);
