//! The open log: its life from `open` to `close`, and the way of a write to the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft::eraftpb::{Entry, HardState};

use super::directory::Directory;
use super::error::DiskError;
use super::files::{FileSystem, LockError, LockGuard, LogFile, OpenMode};
use super::index::LogIndex;
use super::meta::{self, Meta};
use super::prepare::{Preparer, Workshop};
use super::presence::Presence;
use super::reader::{Reader, Shared};
use super::record::{
    entry_bytes, Body, Encoder, Kind, Place, Position, BODY_MAX_BYTES, HEADER_BYTES, SPLIT_BYTES,
};
use super::recovery::{self, Found};
use super::segment::{self, Segment, RECORDS_START};
use super::{DiskOptions, Durability, Prepare};
use crate::replica::config::Recovered;
use crate::replica::output::Write;
use crate::storage::OlderEntries;

/// Left free at a segment's end for the marks that the log goes on elsewhere, or was closed.
const RESERVE_BYTES: u64 = 2 * HEADER_BYTES as u64;
/// The buffer that is kept between appends has at most this much.
const BUFFER_KEEP_BYTES: usize = 4 << 20;
/// What the system is told at once that it need not keep.
const FORGET_BYTES: u64 = 256 << 10;
/// What the system keeps, or not.
const PAGE_BYTES: u64 = 4096;
/// What an entry takes in memory beside its data, for the bound on the recovered tail.
const ENTRY_MEMORY_BYTES: u64 = std::mem::size_of::<Entry>() as u64;
/// Bounds of `DiskOptions::segment_bytes`: positions in a segment are 32 bits wide.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (8 << 10)..=(1 << 30);

/// The durable log of one group, open for appending. One thread appends; readers are independent.
///
/// Dropping it without [`DiskLog::close`] is what a crash of the process does: nothing that was
/// acknowledged is lost.
pub struct DiskLog {
    options: DiskOptions,
    files: Arc<dyn FileSystem>,
    shared: Arc<Shared>,
    /// Declared before the lock: its thread ends before another process may open the directory.
    preparer: Preparer,
    /// `META` as this opening wrote it. Held open: a file that is put in its place can't get its number.
    meta: (PathBuf, Arc<dyn LogFile>),
    segment: Segment,
    /// The length up to which the segment is used.
    capacity: u64,
    /// Where the next record goes.
    offset: u64,
    /// Everything before this is known to be synced.
    synced: Position,
    /// Written to the segment and not synced, in bytes.
    unsynced_bytes: u64,
    /// The system was told that it need not keep the segment in memory up to here.
    forgotten: u64,
    ordinal: u64,
    /// Of those that `META` counts, this one.
    opening: u32,
    /// Term and vote as last written.
    hard_state: HardState,
    /// The last record is the mark of a log closed in good order.
    closed: bool,
    has_membership: bool,
    last_index: u64,
    commit: u64,
    buffer: Vec<u8>,
    poisoned: Option<String>,
    _lock: Box<dyn LockGuard>,
}

/// A record with entries that waits for the write to succeed.
struct Placed<'a> {
    entries: &'a [Entry],
    at: Position,
    bytes: u64,
}

impl DiskLog {
    /// Opens or creates the log in `directory`, locks it, and recovers what it holds; `None` when
    /// nothing was ever written to it.
    ///
    /// Reads the whole log once: the time it takes grows with the log's length.
    ///
    /// Fails when another process has the directory open, when it belongs to another shard, process or
    /// group, or to one with other partitions, when what it holds is damaged, and when the disk refuses; it changes nothing then, except
    /// that a torn end may be erased already.
    pub fn open(
        directory: &Path,
        options: DiskOptions,
        files: Arc<dyn FileSystem>,
    ) -> Result<(Option<Recovered>, DiskLog), DiskError> {
        if !SEGMENT_BYTES.contains(&options.segment_bytes) {
            let text = format!("segments of {} bytes; 8 KiB to 1 GiB are possible", options.segment_bytes);
            return Err(DiskError::Invalid(text));
        }
        files.create_directory(directory).map_err(|e| DiskError::io("create", directory, e))?;
        let lock = take_lock(&*files, directory)?;
        let directory = Directory::open(&*files, directory)?;
        let (meta, found) = meta_and_log(&*files, &directory, &options)?;
        let opening = meta.incarnation;
        let workshop = Workshop {
            directory: directory.clone(),
            segment_bytes: options.segment_bytes,
            incarnation: opening,
        };
        let mut found = match found {
            Some(found) => found,
            None => first_segment(&workshop, &options, &meta)?,
        };
        let meta = (directory.path_of(meta::NAME), directory.file(meta::NAME, OpenMode::Existing)?);
        let index = std::mem::take(&mut found.index);
        let last_index = index.last_index();
        let shared = Arc::new(Shared::new(directory, index));
        let recovered = recovered(&found, &shared, options.memory_tail_bytes)?;
        let preparer = Preparer::start(workshop, options.prepare, found.segment.number + 1)?;
        let log = DiskLog {
            shared,
            preparer,
            meta,
            files,
            capacity: found.segment.length()?.max(options.segment_bytes),
            options,
            offset: found.end,
            synced: Position { segment: found.segment.number, offset: found.end as u32 },
            segment: found.segment,
            unsynced_bytes: 0,
            forgotten: page_start(found.end),
            ordinal: found.ordinal,
            opening,
            hard_state: found.hard_state,
            closed: found.closed,
            has_membership: found.membership.is_some(),
            last_index,
            commit: recovered.as_ref().map_or(0, |recovered| recovered.hard_state.commit),
            buffer: Vec::new(),
            poisoned: None,
            _lock: lock,
        };
        Ok((recovered, log))
    }

    /// Writes all of `writes` in order, then syncs once if one of them must be and the log's durability
    /// is [`Durability::Fsync`].
    ///
    /// After an error, every later call fails: what a failed sync left on the disk is not known, and a
    /// second one that succeeds would prove nothing. The replica must stop; what `append` acknowledged
    /// before is safe.
    ///
    /// The first write of a directory must name the membership; entries must follow each other, and
    /// those that replace others must not be at or below the commit index.
    pub fn append(&mut self, writes: &[Write]) -> Result<(), DiskError> {
        self.guarded(|log| log.try_append(writes))
    }

    /// Tells the system that it need not keep what is synced. Nobody reads it soon, since it is in the replica's memory;
    /// kept, it would take the host's memory bit by bit, and each write pages that were never used before. It costs
    /// some time, so do it when what was written has been acknowledged.
    pub fn forget_synced(&mut self) {
        // The last page is written to again.
        let end = if self.unsynced_bytes == 0 { page_start(self.offset) } else { 0 };
        if end.saturating_sub(self.forgotten) >= FORGET_BYTES {
            self.segment.file.forget(self.forgotten..end);
            self.forgotten = end;
        }
    }

    /// How many bytes of records the segment that is being written still takes: what is appended within
    /// them waits for no other segment.
    pub fn room_bytes(&self) -> u64 {
        self.capacity.saturating_sub(self.offset + RESERVE_BYTES)
    }

    /// Reads entries, from any thread, while this log goes on appending.
    pub fn reader(&self) -> Box<dyn OlderEntries> {
        Box::new(Reader { shared: self.shared.clone() })
    }

    /// By what its directory is known, to be looked for without this log.
    pub fn presence(&self) -> Result<Presence, DiskError> {
        let known = |path: &PathBuf, file: &Arc<dyn LogFile>| match file.identity() {
            Ok(identity) => Ok((path.clone(), identity)),
            Err(error) => Err(DiskError::io("look at", path, error)),
        };
        let Segment { path, file, .. } = &self.segment;
        let known = [known(&self.meta.0, &self.meta.1)?, known(path, file)?];
        Ok(Presence { files: self.files.clone(), directory: self.shared.directory.path.clone(), known })
    }

    /// Leaves the mark of a log that was closed in good order and releases the directory. With
    /// [`Durability::Fsync`] everything is durable then, writes that did not ask for it included.
    pub fn close(mut self) -> Result<(), DiskError> {
        self.guarded(|log| {
            log.look_at_sealed()?;
            if log.ordinal == 0 || log.closed {
                return Ok(());
            }
            // The mark says what was synced before it: so sync first, or it vouches for too little.
            let sync = log.options.durability == Durability::Fsync;
            log.sync_if(sync && log.unsynced_bytes > 0)?;
            log.write_mark(Kind::Closed)?;
            log.closed = true;
            log.sync_if(sync)
        })
    }

    #[cfg(test)]
    pub(super) fn open_segments(&self) -> usize {
        self.shared.open_segments()
    }

    #[cfg(test)]
    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    fn guarded(&mut self, act: impl FnOnce(&mut Self) -> Result<(), DiskError>) -> Result<(), DiskError> {
        if let Some(cause) = &self.poisoned {
            return Err(DiskError::Poisoned { cause: cause.clone() });
        }
        let result = act(self);
        if let Err(error) = &result {
            self.poisoned = Some(error.to_string());
        }
        result
    }

    fn try_append(&mut self, writes: &[Write]) -> Result<(), DiskError> {
        self.look_at_sealed()?;
        for write in writes {
            self.check(write)?;
        }
        let mut encoder = Encoder::new(std::mem::take(&mut self.buffer));
        let mut placed = Vec::new();
        for body in writes.iter().flat_map(bodies) {
            let at = self.place(&mut encoder, &body)?;
            if !body.entries.is_empty() {
                placed.push(Placed { entries: body.entries, at, bytes: body.record_bytes() });
            }
        }
        self.flush(&mut encoder)?;
        self.buffer = encoder.into_buffer();
        self.buffer.shrink_to(BUFFER_KEEP_BYTES);
        let must_sync = writes.iter().any(|write| write.must_sync);
        self.sync_if(must_sync && self.options.durability == Durability::Fsync)?;
        if !placed.is_empty() {
            publish(&mut self.shared.index.write(), &placed);
        }
        Ok(())
    }

    /// Refuses what could not be recovered, before anything of it is written.
    fn check(&mut self, write: &Write) -> Result<(), DiskError> {
        let refuse = |what: String| Err(DiskError::Invalid(format!("write {}: {what}", write.id)));
        self.has_membership |= write.membership.is_some();
        if !self.has_membership {
            return refuse("the first write must say which member this process is".into());
        }
        if let Some(first) = write.entries.first() {
            if first.index == 0 || first.index > self.last_index + 1 {
                return refuse(format!("entries from {} on, and the log ends at {}", first.index, self.last_index));
            }
            if first.index <= self.commit && write.membership.is_none() {
                return refuse(format!("entry {} would be replaced, and {} is committed", first.index, self.commit));
            }
            for (entry, index) in write.entries.iter().zip(first.index..) {
                if entry.index != index {
                    return refuse(format!("entry {} stands where {index} is due", entry.index));
                }
                if entry_bytes(entry) > BODY_MAX_BYTES / 2 {
                    return refuse(format!("entry {index} has {} bytes", entry.data.len()));
                }
            }
            self.last_index = first.index + write.entries.len() as u64 - 1;
        }
        if let Some(state) = &write.hard_state {
            recovery::check_follows(&self.hard_state, state).or_else(refuse)?;
            self.hard_state = state.clone();
            self.commit = state.commit.min(self.last_index);
        }
        Ok(())
    }

    /// Adds a record to what is gathered; goes on in the next segment when this one is full.
    fn place<'a>(&mut self, encoder: &mut Encoder<'a>, body: &Body<'a>) -> Result<Position, DiskError> {
        let bytes = body.record_bytes() + RESERVE_BYTES;
        if self.offset + encoder.bytes() + bytes > self.capacity {
            self.flush(encoder)?;
            if self.offset > RECORDS_START {
                self.roll()?;
            }
            self.grow_to(self.offset + bytes)?;
        }
        let offset = self.offset + encoder.bytes();
        encoder.record(self.next_place(offset), body);
        self.closed = false;
        Ok(Position { segment: self.segment.number, offset: offset as u32 })
    }

    fn next_place(&mut self, offset: u64) -> Place {
        self.ordinal += 1;
        let (salt, synced, ordinal, opening) = (self.segment.salt, self.synced, self.ordinal, self.opening);
        Place { salt, offset, synced, ordinal, opening }
    }

    /// Learns which full segments were synced meanwhile, or that one could not be.
    fn look_at_sealed(&mut self) -> Result<(), DiskError> {
        let sealed = self.preparer.sealed()?;
        self.synced = self.synced.max(Position { segment: sealed + 1, offset: RECORDS_START as u32 });
        Ok(())
    }

    /// A record that is larger than a segment gets a longer one.
    fn grow_to(&mut self, bytes: u64) -> Result<(), DiskError> {
        if bytes > self.capacity {
            let segment = &self.segment;
            segment.file.allocate(bytes).map_err(|e| DiskError::io("reserve space for", &segment.path, e))?;
            self.capacity = bytes;
        }
        Ok(())
    }

    /// Writes what is gathered.
    fn flush(&mut self, encoder: &mut Encoder<'_>) -> Result<(), DiskError> {
        let bytes = encoder.bytes();
        if bytes == 0 {
            return Ok(());
        }
        let segment = &self.segment;
        segment.file.write_at(&encoder.slices(), self.offset).map_err(|e| DiskError::io("write", &segment.path, e))?;
        encoder.clear();
        self.offset += bytes;
        self.unsynced_bytes += bytes;
        Ok(())
    }

    fn write_mark(&mut self, kind: Kind) -> Result<(), DiskError> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.record(self.next_place(self.offset), &Body::mark(kind));
        self.flush(&mut encoder)
    }

    fn sync_if(&mut self, wanted: bool) -> Result<(), DiskError> {
        if !wanted {
            return Ok(());
        }
        self.segment.sync()?;
        self.preparer.wrote(self.unsynced_bytes);
        self.unsynced_bytes = 0;
        self.synced = Position { segment: self.segment.number, offset: self.offset as u32 };
        Ok(())
    }

    /// Goes on in the next segment, which is ready and durable before this one says so.
    fn roll(&mut self) -> Result<(), DiskError> {
        let next = self.preparer.take(self.segment.number + 1)?;
        self.write_mark(Kind::Rolled)?;
        let start = Position { segment: next.number, offset: RECORDS_START as u32 };
        let full = std::mem::replace(&mut self.segment, next);
        if self.options.durability == Durability::Fsync {
            full.sync()?;
            full.forget();
            self.synced = start;
        } else {
            self.preparer.sync_later(full);
            self.look_at_sealed()?;
        }
        self.unsynced_bytes = 0;
        self.offset = RECORDS_START;
        self.forgotten = 0;
        self.capacity = self.options.segment_bytes;
        Ok(())
    }
}

fn page_start(offset: u64) -> u64 {
    offset - offset % PAGE_BYTES
}

/// A write as records. Only the first has more than entries.
fn bodies(write: &Write) -> impl Iterator<Item = Body<'_>> {
    let first_count = split(&write.entries);
    let (now, mut rest) = write.entries.split_at(first_count);
    let first = Body {
        kind: Kind::Write,
        membership: write.membership.as_ref(),
        hard_state: write.hard_state.as_ref(),
        entries: now,
    };
    let empty = first.membership.is_none() && first.hard_state.is_none() && now.is_empty();
    let further = std::iter::from_fn(move || {
        let (now, behind) = rest.split_at(split(rest));
        rest = behind;
        (!now.is_empty()).then_some(Body { kind: Kind::Write, membership: None, hard_state: None, entries: now })
    });
    (!empty).then_some(first).into_iter().chain(further)
}

/// How many of `entries` go into one record.
fn split(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take_while(|entry| {
        bytes += entry_bytes(entry);
        bytes <= SPLIT_BYTES
    });
    fit.count().max(1).min(entries.len())
}

fn publish(index: &mut LogIndex, placed: &[Placed<'_>]) {
    for record in placed {
        index.add(record.entries.iter().map(|e| (e.index, e.term)), record.at, record.bytes);
    }
}

fn take_lock(files: &dyn FileSystem, directory: &Path) -> Result<Box<dyn LockGuard>, DiskError> {
    let path = directory.join("LOCK");
    files.lock(&path).map_err(|error| match error {
        LockError::Held { pid } => DiskError::Locked { directory: directory.to_path_buf(), pid },
        LockError::Io(error) => DiskError::io("lock", &path, error),
    })
}

/// Checks whose directory this is, reads the log, and counts this opening. For a new directory `META` says that
/// it was never opened, until its first segment is there.
fn meta_and_log(
    files: &dyn FileSystem,
    directory: &Directory,
    options: &DiskOptions,
) -> Result<(Meta, Option<Found>), DiskError> {
    let expected = Meta::expected(options);
    let meta = Meta::read(directory)?;
    if let Some(meta) = &meta {
        meta.check(options, &directory.path)?;
        if meta.fingerprint != expected.fingerprint {
            log::warn!(
                "durable log: {} was of a shard whose hosts and ports had the fingerprint {:016x}, and is of one with {:016x} from \
                 now on, as raft.moved_from says; take that order out of the files",
                directory.path.display(),
                meta.fingerprint,
                expected.fingerprint
            );
        }
    }
    let found = recovery::recover(directory)?;
    if meta.is_none() && found.is_some() {
        let path = directory.path_of(meta::NAME);
        return Err(DiskError::corrupt(&path, 0, "it is missing, but there are segments"));
    }
    let counted = meta.as_ref().map_or(0, |meta| meta.incarnation);
    // Records never say more than META did before them, unless it was put back from a copy.
    let before = counted.max(found.as_ref().map_or(0, |found| found.opening));
    if before > 0 && found.is_none() {
        // A replica that began anew would vote as if it had never acknowledged anything.
        let what = format!("it is missing with all other segments, and META says that the directory was opened {before} times");
        return Err(DiskError::corrupt(&segment::path(&directory.path, 1), 0, what));
    }
    // Counted anew from 0, records of long ago could be taken for new ones.
    let incarnation = before.checked_add(1).ok_or_else(|| {
        DiskError::corrupt(&directory.path_of(meta::NAME), 0, "it says that the directory was opened 4294967295 times")
    })?;
    if meta.is_none() {
        // Or a power cut takes the directory with everything that was synced in it. An opening that was cut short may have
        // created it: so not only by who creates it, but by whoever begins the log.
        let path = &directory.path;
        files.sync_parents(path).map_err(|e| DiskError::io("sync the directories above", path, e))?;
    }
    let opened = Meta { incarnation, ..expected.clone() };
    let written = if found.is_some() { &opened } else { &expected };
    written.write(directory)?;
    Ok((opened, found))
}

/// The log of a new directory, and `META` as it is from then on.
fn first_segment(workshop: &Workshop, options: &DiskOptions, meta: &Meta) -> Result<Found, DiskError> {
    let filled = options.durability == Durability::Fsync && options.prepare == Prepare::InBackground;
    let segment = if filled { workshop.make_filled(1)? } else { workshop.make(1)? };
    meta.write(&workshop.directory)?;
    Ok(Found::nothing(segment))
}

/// What the replica is told.
fn recovered(
    found: &Found,
    shared: &Arc<Shared>,
    memory_tail_bytes: u64,
) -> Result<Option<Recovered>, DiskError> {
    if found.ordinal == 0 {
        return Ok(None);
    }
    let Some((formation, member)) = found.membership.clone() else {
        let what = "the log does not say which member this process is";
        return Err(DiskError::corrupt(&found.segment.path, found.end, what));
    };
    let last_index = shared.index.read().last_index();
    let mut hard_state = found.hard_state.clone();
    // The commit index is written along with, or before, entries that the crash may have taken.
    hard_state.commit = hard_state.commit.min(last_index);
    let tail = tail(shared, last_index, memory_tail_bytes)?;
    let older = (last_index > 0).then(|| Box::new(Reader { shared: shared.clone() }) as Box<dyn OlderEntries>);
    Ok(Some(Recovered { formation, member, hard_state, last_index, tail, older }))
}

/// The log's last entries, as many as take at most `bytes` of memory; at least one if there is any.
fn tail(shared: &Shared, last_index: u64, bytes: u64) -> Result<Vec<Entry>, DiskError> {
    if last_index == 0 {
        return Ok(Vec::new());
    }
    let start = shared.index.read().start_of_tail(bytes);
    let mut tail = shared
        .read(start, last_index + 1, u64::MAX)
        .map_err(|e| DiskError::io("read the tail of the log in", &shared.directory.path, e))?;
    let mut kept = 0;
    let fit = tail.iter().rev().take_while(|entry| {
        kept += (entry.data.len() + entry.context.len()) as u64 + ENTRY_MEMORY_BYTES;
        kept <= bytes
    });
    let keep = fit.count().max(1);
    Ok(tail.split_off(tail.len() - keep))
}
