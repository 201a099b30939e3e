//! Loads as files, each made once: from the page cache they cost the sender little.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use headwater_tests::load::{Form, Load};
use headwater_tests::paths::Folder;

use crate::case::Shape;

/// A load that was made.
pub struct Made {
    pub load: Load,
    pub path: PathBuf,
    pub bytes: u64,
    /// The number of lines that are broken.
    pub broken: u64,
}

impl Made {
    /// Makes the load of a shape in a folder.
    pub fn new(shape: &Shape, base: &Load, folder: &Folder) -> Result<Made, String> {
        let load = (shape.change)(base);
        let path = folder.join(&format!("{}-{}", shape.name.replace([' ', '/'], "_"), load.points));
        let failed = |error| format!("{}: {error}", path.display());
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(failed)?);
        let (mut lines, mut line) = (load.lines(), String::new());
        let (mut bytes, mut broken) = (0, 0);
        while lines.next_into(&mut line) {
            file.write_all(line.as_bytes()).map_err(failed)?;
            bytes += line.len() as u64;
            broken += u64::from(lines.is_broken());
            line.clear();
        }
        file.flush().map_err(failed)?;
        drop(file);
        Ok(Made { load, path, bytes, broken })
    }

    pub fn points(&self) -> u64 {
        self.load.points
    }

    pub fn is_json(&self) -> bool {
        self.load.form == Form::Json
    }

    pub fn bytes_per_point(&self) -> f64 {
        self.bytes as f64 / self.points().max(1) as f64
    }

    /// All of it.
    pub fn read(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))
    }
}
