//! The log's directory, held open.
//!
//! Its files are made, found and renamed in the directory that was opened, whatever its path names by then: where somebody
//! moves it away and puts another one in its place, the log stays whole, and is found when it is moved back. Nor does a
//! segment fail because the process has no handle left for the directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::DiskError;
use super::files::{FileSystem, LogFile, OpenDirectory, OpenMode};

/// An open directory, and its path for messages.
#[derive(Clone)]
pub(super) struct Directory {
    pub path: PathBuf,
    handle: Arc<dyn OpenDirectory>,
}

impl Directory {
    pub fn open(files: &dyn FileSystem, path: &Path) -> Result<Self, DiskError> {
        let handle = files.open_directory(path).map_err(|e| DiskError::io("open", path, e))?;
        Ok(Self { path: path.to_path_buf(), handle: handle.into() })
    }

    /// For messages.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn file(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn LogFile>, DiskError> {
        self.handle.open(name, mode).map_err(|e| DiskError::io("open", &self.path_of(name), e))
    }

    pub fn names(&self) -> Result<Vec<String>, DiskError> {
        self.handle.list().map_err(|e| DiskError::io("list", &self.path, e))
    }

    pub fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.handle.rename(from, to).map_err(|e| DiskError::io("rename", &self.path_of(from), e))
    }

    pub fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.handle.remove(name).map_err(|e| DiskError::io("remove", &self.path_of(name), e))
    }

    pub fn sync(&self) -> Result<(), DiskError> {
        self.handle.sync().map_err(|e| DiskError::io("sync", &self.path, e))
    }

    /// How many more bytes its files may take; `None` where the file system does not tell.
    pub fn free_bytes(&self) -> Option<u64> {
        self.handle.free_bytes().ok()
    }
}
