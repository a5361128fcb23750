//! Whether the directory of an open log is still where a restart would look for it.
//!
//! A file that was unlinked or moved goes on taking writes, so nothing else shows that they are in vain: a restart
//! would find an empty place, or another directory, and the replica would have forgotten all that it acknowledged.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::DiskError;
use super::files::{FileIdentity, FileSystem};

/// The files by which an open log knows its directory again: `META` and the segment in use.
pub struct Presence {
    pub(super) files: Arc<dyn FileSystem>,
    pub(super) directory: PathBuf,
    pub(super) known: [(PathBuf, FileIdentity); 2],
}

impl Presence {
    /// Looks for them, by name.
    ///
    /// # Errors
    /// [`DiskError::Gone`] when a name is gone or is another file's. A look that the system refuses for another
    /// reason shows nothing: the next write tells of a broken disk.
    pub fn check(&self) -> Result<(), DiskError> {
        for (path, identity) in &self.known {
            let found = match self.files.identity(path) {
                Ok(found) if found == *identity => continue,
                Ok(_) => "is another file",
                Err(error) if is_gone(&error) => "is gone",
                Err(_) => continue,
            };
            return Err(DiskError::Gone { directory: self.directory.clone(), path: path.clone(), found });
        }
        Ok(())
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
