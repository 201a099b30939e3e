//! The library of family `sql` that the agent loads at run time.

headwater_plugin_api::export!(headwater_sql::Family);
