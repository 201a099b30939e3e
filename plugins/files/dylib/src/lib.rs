//! The library of family `files` that the agent loads at run time.

headwater_plugin_api::export!(headwater_files::Family);
