//! Figures that outlive their run: a JSON file each, written by the run and read by the report.

use std::path::Path;

use crate::json::Json;

/// Figures with a file of their own.
pub trait Kept: Sized {
    /// Its name in the report's folder for it.
    const FILE: &'static str;

    /// The file, its parts and the items of its long part have lines of their own.
    const BROKEN: usize = 2;

    /// The file's content.
    fn write(&self) -> Json;

    /// The figures in a file's content.
    ///
    /// # Errors
    /// It is not one of ours.
    fn read(json: &Json) -> Result<Self, String>;

    /// Writes the file into `folder`.
    ///
    /// # Errors
    /// It can't be written.
    fn save(&self, folder: &Path) -> Result<(), String> {
        super::save(&folder.join(Self::FILE), &self.write().lines(Self::BROKEN))
    }

    /// Reads the file in `folder`; `None` where there is none.
    ///
    /// # Errors
    /// It can't be read, or is not one of ours.
    fn load(folder: &Path) -> Result<Option<Self>, String> {
        super::load(&folder.join(Self::FILE), Self::read)
    }
}
