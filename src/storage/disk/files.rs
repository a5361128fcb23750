//! The seam to the file system: what the durable log asks of it, and the real one.
//!
//! The other implementation, in memory and with crashes, is [`super::simulated`].

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, AtFlags, Dir, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::room;

/// Where directories of log files are. Paths are whole paths; methods may be called from any thread.
pub trait FileSystem: Send + Sync {
    /// Creates `directory` and its parents unless they exist. They last from [`Self::sync_parents`] on.
    fn create_directory(&self, directory: &Path) -> io::Result<()>;
    /// Makes the names durable that lead to `directory`, whoever created them.
    fn sync_parents(&self, directory: &Path) -> io::Result<()>;
    /// Takes the directory of the lock file `path` for this process until the guard is dropped, and leaves this
    /// process's number in the file. `Err(Held)` when another holder has it, whatever became of the file.
    fn lock(&self, path: &Path) -> Result<Box<dyn LockGuard>, LockError>;
    /// Opens `directory`.
    fn open_directory(&self, directory: &Path) -> io::Result<Box<dyn OpenDirectory>>;
    /// Which file `path` names now.
    fn identity(&self, path: &Path) -> io::Result<FileIdentity>;
}

/// Tells a file from every other that exists at the same time, under whatever name: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity(pub u64, pub u64);

/// One open directory: the same one wherever it is moved, and whatever takes its place.
pub trait OpenDirectory: Send + Sync {
    /// Opens a file in it for reading and writing; creates an empty one when there is none and `mode` says so.
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn LogFile>>;
    /// Names of the files in it, in no particular order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Renames within it, replacing `to`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals in it durable.
    fn sync(&self) -> io::Result<()>;
    /// How many more bytes files in it may take; an error where the file system does not tell.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// One open file. Shared between the writer and readers.
pub trait LogFile: Send + Sync {
    /// Fills as much of `buffer` as the file has from `offset` on; returns how much.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all the pieces, one behind the other, from `offset` on.
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Makes the data written so far, and the length, durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// These bytes are synced and are not read soon: the system need not keep them in memory.
    fn forget(&self, bytes: Range<u64>);
    /// Makes the file at least `bytes` long and reserves the space; what is new reads as zeros.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Which file this is.
    fn identity(&self) -> io::Result<FileIdentity>;
}

/// Holds a lock until dropped.
pub trait LockGuard: Send {}

/// Why a lock could not be had.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it.
    Held {
        /// Their process number, where the lock file names it.
        pid: Option<u32>,
    },
    /// The lock file can't be used.
    Io(io::Error),
}

/// What to do when a file does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Fail.
    Existing,
    /// Create it, empty.
    CreateIfMissing,
}

/// Most pieces that one gathering write may have (IOV_MAX on Linux).
const PIECES_MAX: usize = 1024;

/// Of new files, before the process's umask.
const CREATED_MODE: u32 = 0o666;

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

impl FileSystem for RealFiles {
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)
    }

    fn sync_parents(&self, directory: &Path) -> io::Result<()> {
        let file_system = std::fs::metadata(directory)?.dev();
        let mut below = directory;
        while below.file_name().is_some() {
            let parent = parent_of(below);
            // A mount point is its administrator's, and was there before.
            if std::fs::metadata(parent)?.dev() != file_system {
                return Ok(());
            }
            match File::open(parent).and_then(|parent| parent.sync_all()) {
                // Nor was anything created in what this process may not read.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                synced => synced?,
            }
            below = parent;
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn LockGuard>, LockError> {
        // Not the file alone: it can be removed under its holder, and the next one would lock another.
        let directory = File::open(parent_of(path)).map_err(LockError::Io)?;
        let locked = rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive);
        // Another error is no reason to stop: some network file systems lock no directories, and there the file must do.
        if locked == Err(Errno::WOULDBLOCK) {
            return Err(held(path));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(LockError::Io)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(held(path)),
            Err(error) => return Err(LockError::Io(error.into())),
        }
        file.set_len(0).map_err(LockError::Io)?;
        writeln!(file, "{}", std::process::id()).map_err(LockError::Io)?;
        Ok(Box::new(RealLock { _directory: directory, _file: file }))
    }

    fn open_directory(&self, directory: &Path) -> io::Result<Box<dyn OpenDirectory>> {
        Ok(Box::new(RealDirectory { directory: File::open(directory)? }))
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        std::fs::metadata(path).map(|metadata| identity_of(&metadata))
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A lock file that can't be read only costs the number in the message.
fn held(path: &Path) -> LockError {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    LockError::Held { pid: text.trim().parse().ok() }
}

struct RealDirectory {
    directory: File,
}

impl OpenDirectory for RealDirectory {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn LogFile>> {
        let create = if mode == OpenMode::CreateIfMissing { OFlags::CREATE } else { OFlags::empty() };
        let flags = OFlags::RDWR | OFlags::CLOEXEC | create;
        let open = || rustix::fs::openat(&self.directory, name, flags, Mode::from_raw_mode(CREATED_MODE));
        Ok(Arc::new(RealFile { file: rustix::io::retry_on_intr(open)?.into() }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            // Our own names are ASCII: anything else is not ours and is left alone.
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.directory, from, &self.directory, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let system = rustix::fs::fstatvfs(&self.directory)?;
        let blocks = [system.f_blocks, system.f_bfree, system.f_bavail];
        let free = room::free_bytes(blocks, system.f_frsize, rustix::process::geteuid().is_root());
        free.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

fn identity_of(metadata: &Metadata) -> FileIdentity {
    FileIdentity(metadata.dev(), metadata.ino())
}

/// flock(2): released by the kernel when the process ends, however it ends.
struct RealLock {
    _directory: File,
    _file: File,
}

impl LockGuard for RealLock {}

struct RealFile {
    file: File,
}

impl LogFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for group in pieces.chunks(PIECES_MAX) {
            at += write_group(&self.file, group, at)?;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn forget(&self, bytes: Range<u64>) {
        // Without a length it would be the whole rest of the file.
        let Some(length) = NonZeroU64::new(bytes.end - bytes.start) else { return };
        // A file system that can't keeps them: that costs memory, nothing else.
        let _ = rustix::fs::fadvise(&self.file, bytes.start, Some(length), Advice::DontNeed);
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let length = self.length()?;
        if length >= bytes {
            return Ok(());
        }
        let reserve = || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), length, bytes - length);
        match rustix::io::retry_on_intr(reserve) {
            Ok(()) => Ok(()),
            // A file system without fallocate: the space is then found missing by a write, not before.
            Err(Errno::OPNOTSUPP) => self.file.set_len(bytes),
            Err(error) => Err(error.into()),
        }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.file.metadata().map(|metadata| identity_of(&metadata))
    }
}

/// Writes one group of pieces; returns its length.
fn write_group(file: &File, group: &[IoSlice<'_>], offset: u64) -> io::Result<u64> {
    let total: u64 = group.iter().map(|piece| piece.len() as u64).sum();
    let mut done = 0u64;
    loop {
        match rustix::io::pwritev(file, group, offset) {
            Ok(written) => {
                done += written as u64;
                break;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // A short write is rare (a signal, a nearly full disk): finish piece by piece.
    let mut skip = done;
    let mut at = offset;
    for piece in group {
        let length = piece.len() as u64;
        if skip < length {
            file.write_all_at(&piece[skip as usize..], at + skip)?;
        }
        skip = skip.saturating_sub(length);
        at += length;
    }
    Ok(total)
}
