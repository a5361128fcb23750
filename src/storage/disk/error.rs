//! Why the durable log failed. Each error names the file, and the offset where there is one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A failure of the durable log.
#[derive(Debug)]
#[non_exhaustive]
pub enum DiskError {
    /// The operating system refused an operation.
    Io {
        /// What was attempted ("write", "sync", ...).
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The disk is full. Nothing that was acknowledged is affected.
    Full {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process has the directory open.
    Locked {
        /// The directory.
        directory: PathBuf,
        /// The other process, where it wrote its number.
        pid: Option<u32>,
    },
    /// The directory belongs to a shard with other names or partitions.
    Shard {
        /// The file that says so.
        path: PathBuf,
        /// On disk.
        found: u64,
        /// In this process's configuration.
        expected: u64,
    },
    /// The directory belongs to a shard with other hosts or ports, and no order says that it moved.
    Moved {
        /// The file that says so.
        path: PathBuf,
        /// And the names are the same. An earlier version did not keep them apart.
        names_are_known: bool,
        /// On disk.
        found: u64,
        /// In this process's configuration.
        expected: u64,
    },
    /// The directory belongs to another process or group.
    Mismatch {
        /// The file that says so.
        path: PathBuf,
        /// Which value differs.
        what: &'static str,
        /// On disk.
        found: String,
        /// In this process's configuration.
        expected: String,
    },
    /// The directory was written while the shard's partitions were in other groups.
    Layout {
        /// The file that says so.
        path: PathBuf,
        /// On disk.
        found: String,
        /// In this process's configuration.
        expected: String,
    },
    /// Another version of this library wrote the directory.
    Format {
        /// The file that says so.
        path: PathBuf,
        /// On disk.
        found: u64,
        /// What this version reads and writes.
        expected: u64,
    },
    /// A later version of this library wrote something there that this one does not know.
    Later {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What it is.
        what: String,
    },
    /// What is on disk can't have come from a crash: something was damaged or removed.
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong, and what shows it.
        what: String,
    },
    /// The directory is not where it was opened any more: what is written now, a restart does not find.
    Gone {
        /// The directory.
        directory: PathBuf,
        /// The file that shows it.
        path: PathBuf,
        /// What is at its path.
        found: &'static str,
    },
    /// The caller asked for a write that makes no sense; nothing was written.
    Invalid(String),
    /// An earlier operation failed, and nothing is accepted since.
    Poisoned {
        /// The text of that first failure.
        cause: String,
    },
}

impl DiskError {
    /// An error of `operation` on `path`; a full disk becomes its own kind.
    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        let full = [Errno::NOSPC, Errno::DQUOT].map(|errno| Some(errno.raw_os_error()));
        if full.contains(&source.raw_os_error()) {
            Self::Full { operation, path, source }
        } else {
            Self::Io { operation, path, source }
        }
    }

    /// The system had no file handle to give: what could not be read is as it was.
    pub fn is_passing(error: &io::Error) -> bool {
        let source = match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(Self::Io { source, .. }) => source,
            _ => error,
        };
        [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error())).contains(&source.raw_os_error())
    }

    pub(super) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), offset, what: what.into() }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { operation, path, source } => {
                write!(f, "durable log: {operation} {}: {source}", path.display())
            }
            Self::Full { operation, path, source } => write!(
                f,
                "durable log: {operation} {}: the disk is full ({source}); make room there (no file of the log may be deleted) and restart",
                path.display()
            ),
            Self::Locked { directory, pid } => {
                write!(f, "durable log: {} is in use by ", directory.display())?;
                match pid {
                    Some(pid) => write!(f, "process {pid} (of its own container, where it has one)")?,
                    None => write!(f, "another process")?,
                }
                write!(f, "; each replica process needs a data directory of its own")
            }
            Self::Shard { path, found, expected } => write!(
                f,
                "durable log: {} has shard fingerprint {found:016x}, this process is configured with {expected:016x}; is \
                 raft.data_dir the directory of another shard? If not, the names of sites or processes, their order, or the \
                 partitions are others (hosts and ports do not count)",
                path.display()
            ),
            Self::Moved { path, names_are_known, found, expected } => {
                let check = if *names_are_known {
                    ""
                } else {
                    " (an earlier version wrote it: look that names and partitions are the same, which can't be told here)"
                };
                write!(
                    f,
                    "durable log: {} is of a shard whose hosts and ports have the fingerprint {found:016x}, this process is \
                     configured with {expected:016x}; is raft.data_dir the directory of another shard (shards may have the same \
                     names)? If not, and it is this shard that has moved{check}, say so with raft.moved_from: {found:016x}",
                    path.display()
                )
            }
            Self::Mismatch { path, what, found, expected } => write!(
                f,
                "durable log: {} has {what} {found}, this process is configured with {expected}; \
                 is raft.data_dir the directory of another process or shard?",
                path.display()
            ),
            Self::Layout { path, found, expected } => write!(
                f,
                "durable log: {} is of a log of {found}, this process is configured with {expected}: raft.grouping (or \
                 --raft-groups) was another one when it was written. What was logged under one can't be continued under the \
                 other: set it back. For a shard that begins anew, without these logs, give all its processes an empty raft.data_dir",
                path.display()
            ),
            Self::Format { path, found, expected } => write!(
                f,
                "durable log: {} has log format {found}, this version of the library reads format {expected}; start the \
                 version that wrote it, or move the directory away, and this replica is rebuilt from the others",
                path.display()
            ),
            Self::Later { path, offset, what } => write!(
                f,
                "durable log: {} has {what} at byte {offset}, which this version of the library does not know; start the \
                 version that wrote it, or move the directory away, and this replica is rebuilt from the others",
                path.display()
            ),
            Self::Corrupt { path, offset, what } => write!(
                f,
                "durable log: {} is damaged at byte {offset}: {what}; move the directory away, and this replica is \
                 rebuilt from the others (an older copy of it lacks what was acknowledged since)",
                path.display()
            ),
            Self::Gone { directory, path, found } => write!(
                f,
                "durable log: {} was moved or deleted under this process ({} {found}): a restart does not find there what \
                 this replica has acknowledged. If it was moved, move it back before the restart, and nothing is lost. If it \
                 was deleted, all of it is: the restart makes this a new member, rebuilt from the others; stop none of them \
                 until it votes again",
                directory.display(),
                path.file_name().unwrap_or_default().display()
            ),
            Self::Invalid(what) => write!(f, "durable log: refused a write: {what}"),
            Self::Poisoned { cause } => {
                write!(f, "durable log: stopped by an earlier failure: {cause}")
            }
        }
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Full { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Corrupt { .. } | DiskError::Later { .. } => io::Error::new(io::ErrorKind::InvalidData, error),
            _ => io::Error::other(error),
        }
    }
}
