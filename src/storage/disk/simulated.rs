//! Files in memory whose crashes, failures and damage are chosen by the test.
//!
//! A [`SimulatedFiles`] is one machine's disk; clones share it. What was written but not synced is lost at
//! [`SimulatedFiles::crash`], whole or in part, sector by sector, as the seed says: a sector then holds
//! any of the versions that it had since the last sync. Names (creations, renames, removals) that were not
//! synced with their directory survive up to some point of their order; directories that were not, with all that is in
//! them, only where everything does. Everything is deterministic: the same calls and seeds give the same bytes.
//!
//! Handles and locks from before a crash are dead: they fail. So drop a log after the crash, not before.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;

use super::files::{FileIdentity, FileSystem, LockError, LockGuard, LogFile, OpenDirectory, OpenMode};

/// What a disk writes all of or nothing of.
pub const SECTOR_BYTES: usize = 512;
/// What the system keeps in memory, or not.
const PAGE_BYTES: usize = 4096;

/// A disk in memory.
#[derive(Clone, Default)]
pub struct SimulatedFiles {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Default)]
struct Disk {
    /// Counts crashes: a handle of an earlier one is dead.
    boot: u64,
    files: BTreeMap<u64, Contents>,
    next_file: u64,
    /// As the running system sees them.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    /// And whether they are durable.
    directories: BTreeMap<PathBuf, bool>,
    locks: BTreeMap<PathBuf, u64>,
    faults: Faults,
    /// Operations so far that change something.
    operations: u64,
    before_sync: Option<Arc<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Contents {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync, in order.
    unsynced: Vec<(usize, Vec<u8>)>,
    /// The system need not keep it in memory up to here.
    forgotten: u64,
}

/// One change of a directory. A rename is one change: no crash leaves the file under both names.
struct NameChange {
    removed: Option<PathBuf>,
    added: Option<(PathBuf, u64)>,
}

/// Countdowns: `Some(1)` strikes at the next one.
#[derive(Default)]
struct Faults {
    write: Option<u64>,
    sync: Option<u64>,
    allocation: Option<u64>,
    stop: Option<u64>,
    stopped: bool,
    page_drop: Option<u64>,
    capacity_bytes: Option<u64>,
}

/// A small generator: the same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// Starts from `seed`; neighbouring seeds give unrelated numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        // SplitMix64: one addition and a mixing function, full period.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

/// What a crash leaves of the writes that were not synced.
#[derive(Clone, Copy)]
enum Tearing {
    Nothing,
    Everything,
    /// The first so many, and some sectors of the next.
    InOrder,
    /// Each sector by itself.
    AnySector,
}

impl SimulatedFiles {
    /// An empty disk without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another disk with the same files, all of them synced, and no faults.
    pub fn copy(&self) -> SimulatedFiles {
        let copy = SimulatedFiles::new();
        for path in self.paths() {
            let bytes = self.contents(&path).expect("the path was just listed");
            copy.replace_contents(&path, bytes);
        }
        copy
    }

    /// How many bytes the system was told that it need not keep in memory.
    pub fn forgotten_bytes(&self) -> u64 {
        self.disk.lock().files.values().map(|contents| contents.forgotten).sum()
    }

    /// The power fails and comes back. `seed` chooses what is left of everything that was not synced. Faults
    /// that were asked for are forgotten, except the capacity.
    pub fn crash(&self, seed: u64) {
        let mut disk = self.disk.lock();
        let mut random = Seeded::new(seed);
        let tearing = match random.below(4) {
            0 => Tearing::Nothing,
            1 => Tearing::Everything,
            2 => Tearing::InOrder,
            _ => Tearing::AnySector,
        };
        disk.boot += 1;
        disk.locks.clear();
        disk.crash_names(tearing, &mut random);
        for contents in disk.files.values_mut() {
            contents.crash(tearing, &mut random);
        }
        disk.faults = Faults { capacity_bytes: disk.faults.capacity_bytes, ..Faults::default() };
    }

    /// The process ends and another one starts; the operating system lives on, with all that was written. After
    /// [`Self::stop_at`] it ended in the middle of that operation.
    pub fn kill_process(&self) {
        let mut disk = self.disk.lock();
        disk.boot += 1;
        disk.locks.clear();
        (disk.faults.stop, disk.faults.stopped) = (None, false);
    }

    /// The `nth` write from now on (1 is the next) fails with an I/O error, after some of it was written.
    pub fn fail_write(&self, nth: u64) {
        self.disk.lock().faults.write = Some(nth);
    }

    /// The `nth` sync of a file from now on (1 is the next) fails with an I/O error. As on a real system,
    /// what it should have made durable is lost at the next crash, even if later syncs succeed.
    pub fn fail_sync(&self, nth: u64) {
        self.disk.lock().faults.sync = Some(nth);
    }

    /// Before the `nth` read from now on (1 is the next) the system drops all from its memory that does not wait to be
    /// written. What a failed sync has not brought to the disk is gone then.
    pub fn drop_pages_at_read(&self, nth: u64) {
        self.disk.lock().faults.page_drop = Some(nth);
    }

    /// The `nth` reservation of space from now on (1 is the next) finds the disk full; those behind it find room.
    pub fn fail_allocation(&self, nth: u64) {
        self.disk.lock().faults.allocation = Some(nth);
    }

    /// `hook` is called before each sync of a file from now on, by the thread that syncs: it may hold it there.
    pub fn before_sync(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.disk.lock().before_sync = Some(Arc::new(hook));
    }

    /// The power fails in the middle of the `nth` changing operation from now on (1 is the next): it and all
    /// later ones fail, until [`Self::crash`] chooses what is left. Or the process dies there: until
    /// [`Self::kill_process`].
    pub fn stop_at(&self, nth: u64) {
        self.disk.lock().faults.stop = Some(nth);
    }

    /// The files together may have so many bytes; `None` for no limit. More fails as on a full disk.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk.lock().faults.capacity_bytes = bytes;
    }

    /// How many operations that change something (creations, writes, syncs, renames, ...) there were.
    pub fn operations(&self) -> u64 {
        self.disk.lock().operations
    }

    /// Bytes of all files together.
    pub fn used_bytes(&self) -> u64 {
        self.disk.lock().used_bytes()
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.disk.lock().names.keys().cloned().collect()
    }

    /// What a file holds now; `None` when there is no such file.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk.lock();
        Some(disk.files[disk.names.get(path)?].current.clone())
    }

    /// Replaces what a file holds, durably, as damage on the disk would; creates the file if need be.
    pub fn replace_contents(&self, path: &Path, bytes: Vec<u8>) {
        let mut disk = self.disk.lock();
        let file = disk.names.get(path).copied().unwrap_or_else(|| disk.create(path));
        disk.directories.extend(path.ancestors().skip(1).map(|above| (above.to_path_buf(), true)));
        disk.durable_names.insert(path.to_path_buf(), file);
        disk.files.insert(file, Contents { current: bytes.clone(), durable: bytes, unsynced: Vec::new(), forgotten: 0 });
    }

    /// Turns one bit over, durably. `bit` counts from the file's first byte, lowest bit first.
    ///
    /// # Panics
    /// When the file does not exist or has no such bit.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let mut disk = self.disk.lock();
        let file = disk.names[path];
        let contents = disk.files.get_mut(&file).expect("a name has a file");
        let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        contents.current[byte] ^= mask;
        if let Some(durable) = contents.durable.get_mut(byte) {
            *durable ^= mask;
        }
    }
}

impl Contents {
    /// Whatever does not wait to be written comes from the disk from now on.
    fn drop_pages(&mut self) {
        let mut kept = self.durable.clone();
        kept.resize(self.current.len(), 0);
        for (offset, bytes) in &self.unsynced {
            let end = (offset + bytes.len()).next_multiple_of(PAGE_BYTES).min(kept.len());
            let page = offset - offset % PAGE_BYTES..end;
            kept[page.clone()].copy_from_slice(&self.current[page]);
        }
        self.current = kept;
    }

    fn crash(&mut self, tearing: Tearing, random: &mut Seeded) {
        let unsynced = std::mem::take(&mut self.unsynced);
        // A file may have grown by a reservation that no sync confirmed.
        let grown = match tearing {
            Tearing::Nothing => false,
            Tearing::Everything => true,
            _ => random.below(2) == 0,
        };
        if grown && self.current.len() > self.durable.len() {
            self.durable.resize(self.current.len(), 0);
        }
        let whole = match tearing {
            Tearing::Everything => unsynced.len(),
            Tearing::InOrder => random.below(unsynced.len() as u64 + 1) as usize,
            _ => 0,
        };
        for (offset, bytes) in &unsynced[..whole] {
            for (at, piece) in sectors(*offset, bytes) {
                apply(&mut self.durable, at, piece);
            }
        }
        match tearing {
            Tearing::InOrder => {
                for (offset, bytes) in unsynced.get(whole).into_iter() {
                    for (at, piece) in sectors(*offset, bytes) {
                        if random.below(2) == 0 {
                            apply(&mut self.durable, at, piece);
                        }
                    }
                }
            }
            Tearing::AnySector => self.keep_any_sectors(&unsynced, random),
            Tearing::Nothing | Tearing::Everything => {}
        }
        self.current = self.durable.clone();
    }

    /// Each sector keeps one of the versions that it had.
    fn keep_any_sectors(&mut self, unsynced: &[(usize, Vec<u8>)], random: &mut Seeded) {
        let mut versions: BTreeMap<usize, Vec<(usize, &[u8])>> = BTreeMap::new();
        for (offset, bytes) in unsynced {
            for (at, piece) in sectors(*offset, bytes) {
                versions.entry(at / SECTOR_BYTES).or_default().push((at, piece));
            }
        }
        for pieces in versions.values() {
            let keep = random.below(pieces.len() as u64 + 1) as usize;
            for (at, piece) in &pieces[..keep] {
                apply(&mut self.durable, *at, piece);
            }
        }
    }
}

/// A write as parts of sectors.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = offset;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (piece, behind) = rest.split_at(rest.len().min(SECTOR_BYTES - at % SECTOR_BYTES));
        let here = at;
        at += piece.len();
        rest = behind;
        (!piece.is_empty()).then_some((here, piece))
    })
}

/// Writes a part of a sector; where the file's length was not confirmed, it ends there.
fn apply(durable: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let end = at + piece.len();
    if durable.len() < end {
        durable.resize(end, 0);
    }
    durable[at..end].copy_from_slice(piece);
}

impl Disk {
    fn crash_names(&mut self, tearing: Tearing, random: &mut Seeded) {
        let changes = std::mem::take(&mut self.unsynced_names);
        let keep = match tearing {
            Tearing::Nothing => 0,
            Tearing::Everything => changes.len(),
            _ => random.below(changes.len() as u64 + 1) as usize,
        };
        for change in &changes[..keep] {
            change.apply(&mut self.durable_names);
        }
        if let Tearing::Everything = tearing {
            self.directories.values_mut().for_each(|durable| *durable = true);
        }
        self.directories.retain(|_, durable| *durable);
        let directories = &self.directories;
        self.durable_names.retain(|path, _| path.parent().is_none_or(|above| directories.contains_key(above)));
        self.names = self.durable_names.clone();
        let names = &self.names;
        self.files.retain(|file, _| names.values().any(|named| named == file));
    }

    fn create(&mut self, path: &Path) -> u64 {
        let file = self.next_file;
        self.next_file += 1;
        self.files.insert(file, Contents::default());
        self.change_names(None, Some((path.to_path_buf(), file)));
        file
    }

    fn change_names(&mut self, removed: Option<PathBuf>, added: Option<(PathBuf, u64)>) {
        let change = NameChange { removed, added };
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|file| self.files[file].current.len() as u64).sum()
    }

    /// Counts an operation that changes something. An error: the power fails in its middle.
    fn count(&mut self) -> io::Result<()> {
        self.operations += 1;
        if strikes(&mut self.faults.stop) {
            self.faults.stopped = true;
        }
        self.alive()
    }

    fn alive(&self) -> io::Result<()> {
        if self.faults.stopped {
            return Err(io::Error::other("simulated: the power has failed"));
        }
        Ok(())
    }

    /// Whether a file may grow from `from` to `to` bytes.
    fn has_room(&self, from: usize, to: usize) -> bool {
        let more = to.saturating_sub(from) as u64;
        more == 0 || self.faults.capacity_bytes.is_none_or(|capacity| self.used_bytes() + more <= capacity)
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        if let Some(path) = &self.removed {
            names.remove(path);
        }
        if let Some((path, file)) = &self.added {
            names.insert(path.clone(), *file);
        }
    }

    fn is_in(&self, directory: &Path) -> bool {
        let added = self.added.iter().map(|(path, _)| path);
        self.removed.iter().chain(added).any(|path| path.parent() == Some(directory))
    }
}

fn strikes(countdown: &mut Option<u64>) -> bool {
    let Some(left) = countdown else { return false };
    *left -= 1;
    if *left == 0 {
        *countdown = None;
        return true;
    }
    false
}

fn errno(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

impl FileSystem for SimulatedFiles {
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.alive()?;
        let above: Vec<&Path> = directory.ancestors().collect();
        for directory in above.into_iter().rev() {
            // The root is always there.
            let is_root = directory.parent().is_none();
            if !disk.directories.contains_key(directory) {
                disk.count()?;
                disk.directories.insert(directory.to_path_buf(), is_root);
            }
        }
        Ok(())
    }

    fn sync_parents(&self, directory: &Path) -> io::Result<()> {
        directory.ancestors().skip(1).try_for_each(|above| self.open_directory(above)?.sync())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn LockGuard>, LockError> {
        let mut disk = self.disk.lock();
        disk.alive().map_err(LockError::Io)?;
        let boot = disk.boot;
        if disk.locks.insert(path.to_path_buf(), boot).is_some() {
            return Err(LockError::Held { pid: None });
        }
        Ok(Box::new(SimulatedLock { disk: self.disk.clone(), path: path.to_path_buf(), boot }))
    }

    fn open_directory(&self, directory: &Path) -> io::Result<Box<dyn OpenDirectory>> {
        let disk = self.disk.lock();
        disk.alive()?;
        Ok(Box::new(SimulatedDirectory { disk: self.disk.clone(), path: directory.to_path_buf(), boot: disk.boot }))
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        let disk = self.disk.lock();
        disk.alive()?;
        let file = disk.names.get(path).copied().ok_or_else(|| errno(Errno::NOENT))?;
        Ok(FileIdentity(0, file))
    }
}

struct SimulatedLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
    boot: u64,
}

impl LockGuard for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut disk = self.disk.lock();
        if disk.locks.get(&self.path) == Some(&self.boot) {
            disk.locks.remove(&self.path);
        }
    }
}

struct SimulatedDirectory {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
    boot: u64,
}

impl OpenDirectory for SimulatedDirectory {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn LogFile>> {
        let mut disk = handle(&self.disk, self.boot)?;
        let path = self.path.join(name);
        let file = match (disk.names.get(&path).copied(), mode) {
            (Some(file), _) => file,
            (None, OpenMode::Existing) => return Err(errno(Errno::NOENT)),
            (None, OpenMode::CreateIfMissing) => {
                disk.count()?;
                disk.create(&path)
            }
        };
        Ok(Arc::new(SimulatedFile { disk: self.disk.clone(), file, boot: disk.boot }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let disk = handle(&self.disk, self.boot)?;
        let inside = disk.names.keys().filter(|path| path.parent() == Some(&self.path));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_string())).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = handle(&self.disk, self.boot)?;
        disk.count()?;
        let (from, to) = (self.path.join(from), self.path.join(to));
        let file = disk.names.get(&from).copied().ok_or_else(|| errno(Errno::NOENT))?;
        disk.change_names(Some(from), Some((to, file)));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = handle(&self.disk, self.boot)?;
        disk.count()?;
        let path = self.path.join(name);
        if !disk.names.contains_key(&path) {
            return Err(errno(Errno::NOENT));
        }
        disk.change_names(Some(path), None);
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = handle(&self.disk, self.boot)?;
        Ok(disk.faults.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(disk.used_bytes())))
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = handle(&self.disk, self.boot)?;
        disk.count()?;
        let (synced, others): (Vec<_>, Vec<_>) =
            disk.unsynced_names.drain(..).partition(|change| change.is_in(&self.path));
        for change in &synced {
            change.apply(&mut disk.durable_names);
        }
        disk.unsynced_names = others;
        let inside = disk.directories.iter_mut().filter(|(path, _)| path.parent() == Some(&self.path));
        inside.for_each(|(_, durable)| *durable = true);
        Ok(())
    }
}

struct SimulatedFile {
    disk: Arc<Mutex<Disk>>,
    file: u64,
    boot: u64,
}

/// The disk, unless the power failed since a handle was opened at `boot`.
fn handle(disk: &Mutex<Disk>, boot: u64) -> io::Result<MutexGuard<'_, Disk>> {
    let disk = disk.lock();
    if disk.boot != boot {
        return Err(io::Error::other("simulated: a handle from before the crash"));
    }
    disk.alive()?;
    Ok(disk)
}

impl SimulatedFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        handle(&self.disk, self.boot)
    }
}

impl LogFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk()?;
        if strikes(&mut disk.faults.page_drop) {
            disk.files.values_mut().for_each(Contents::drop_pages);
        }
        let held = &disk.files[&self.file].current;
        let start = held.len().min(offset as usize);
        let bytes = buffer.len().min(held.len() - start);
        buffer[..bytes].copy_from_slice(&held[start..start + bytes]);
        Ok(bytes)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        let mut bytes = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        let offset = offset as usize;
        let result = match disk.count() {
            Ok(()) if strikes(&mut disk.faults.write) => Err(errno(Errno::IO)),
            Ok(()) if !disk.has_room(disk.files[&self.file].current.len(), offset + bytes.len()) => {
                Err(errno(Errno::NOSPC))
            }
            counted => counted,
        };
        if result.is_err() {
            let written = bytes.len() / 2;
            let room = disk.has_room(disk.files[&self.file].current.len(), offset + written);
            bytes.truncate(if room { written } else { 0 });
        }
        if !bytes.is_empty() {
            let contents = disk.files.get_mut(&self.file).expect("open files are kept until a crash");
            apply(&mut contents.current, offset, &bytes);
            contents.unsynced.push((offset, bytes));
        }
        result
    }

    fn sync(&self) -> io::Result<()> {
        let hook = self.disk()?.before_sync.clone();
        hook.into_iter().for_each(|hook| hook());
        let mut disk = self.disk()?;
        disk.count()?;
        let failed = strikes(&mut disk.faults.sync);
        let contents = disk.files.get_mut(&self.file).expect("open files are kept until a crash");
        let unsynced = std::mem::take(&mut contents.unsynced);
        if failed {
            return Err(errno(Errno::IO));
        }
        contents.durable.resize(contents.current.len(), 0);
        for (offset, bytes) in &unsynced {
            apply(&mut contents.durable, *offset, bytes);
        }
        Ok(())
    }

    fn forget(&self, bytes: Range<u64>) {
        let Ok(mut disk) = self.disk() else { return };
        let contents = disk.files.get_mut(&self.file).expect("open files are kept until a crash");
        let (start, end) = (bytes.start as usize, bytes.end as usize);
        let dirty = contents.unsynced.iter().find(|(at, data)| *at < end && at + data.len() > start);
        assert!(dirty.is_none(), "forgets {bytes:?}, of which something at {:?} is not synced", dirty.map(|(at, _)| at));
        contents.forgotten = contents.forgotten.max(bytes.end);
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.count()?;
        let length = disk.files[&self.file].current.len();
        if strikes(&mut disk.faults.allocation) || !disk.has_room(length, bytes as usize) {
            return Err(errno(Errno::NOSPC));
        }
        let contents = disk.files.get_mut(&self.file).expect("open files are kept until a crash");
        contents.current.resize(length.max(bytes as usize), 0);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk()?.files[&self.file].current.len() as u64)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.disk().map(|_| FileIdentity(0, self.file))
    }
}
