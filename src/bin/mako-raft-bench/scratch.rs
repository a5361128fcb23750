//! A directory of a run's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Removed with everything in it when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new directory under `parent`, or under the system's directory for temporary files.
    ///
    /// # Errors
    /// It can't be made; the text names it.
    pub fn new(parent: Option<&Path>) -> Result<Self, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let path = parent.join(format!("mako-raft-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over lies where temporary files are expected.
        let _ = fs::remove_dir_all(&self.0);
    }
}
