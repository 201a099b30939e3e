//! Points that are given the measurement of their file.

use headwater_plugin_api::batch::{Batch, SeriesEdit, SeriesMap};
use headwater_plugin_api::plugin::Error;

/// Gives points one measurement.
pub struct Rename {
    name: String,
    map: SeriesMap,
}

impl Rename {
    pub fn new(name: String) -> Rename {
        Rename { name, map: SeriesMap::new() }
    }

    /// # Errors
    /// A batch cannot hold the name.
    pub fn apply(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let Rename { name, map } = self;
        let renamed = map.apply(batch, |_, draft| {
            draft.name.clone_from(name);
            SeriesEdit::Replace
        });
        renamed.map_err(|refused| Error::failed(format!("the measurement {name:?}: {refused}")))
    }
}
