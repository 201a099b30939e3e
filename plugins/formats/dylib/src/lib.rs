//! The library of family `formats` that the agent loads at run time.

headwater_plugin_api::export!(headwater_formats::Family);
