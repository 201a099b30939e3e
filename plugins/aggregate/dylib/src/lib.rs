//! The library of family `aggregate` that the agent loads at run time.

headwater_plugin_api::export!(headwater_aggregate::Family);
