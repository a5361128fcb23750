//! Makes the next segment ready before it is needed.
//!
//! A segment is ready when its space is reserved, its header is synced under a fresh salt, and its name
//! is durable: from then on only records are written to it. With [`Prepare::InBackground`] a thread does
//! this, and fills the file with zeros in step with what the log writes in small synced pieces: syncing
//! blocks that were written before needs no journal commit of the file system. Large writes gain
//! nothing from that and cost the disk twice, so they do not make it go on.
//!
//! With each segment it looks how many more there is room for.
//!
//! The same thread syncs segments that are full where the log itself does not sync
//! ([`Durability::Os`](super::Durability::Os)), so that damage to old segments is recognised there too. Where that fails,
//! the system may drop what was written before it has it on the disk, so it stops the log as a failed write does.

use std::io::IoSlice;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;

use super::directory::Directory;
use super::error::DiskError;
use super::files::{LogFile, OpenMode};
use super::room::Room;
use super::segment::{self, Segment};
use super::Prepare;

/// The file that is to become a segment; a recycled one waits under this name too.
pub(super) const SPARE_NAME: &str = "spare.log";
/// Zeros are written and synced in pieces of this size, so that a sync of the log waits for at most one.
const FILL_BYTES: usize = 1 << 20;
/// Requests on their way to the thread. A fill that finds no place is dropped: the segment is then used
/// with fewer zeros.
const REQUESTS_MAX: usize = 4;
/// Only syncs of less than this gain from blocks that were written before.
pub(super) const SMALL_SYNC_BYTES: u64 = 128 << 10;

/// What preparing needs to know.
#[derive(Clone)]
pub(super) struct Workshop {
    pub directory: Directory,
    pub segment_bytes: u64,
    pub incarnation: u32,
}

enum Request {
    /// Start on this segment.
    Begin(u32),
    /// Write one more piece of zeros.
    Fill,
    /// Finish the segment and hand it over.
    Finish,
    /// Sync a full segment.
    Sync(Segment),
}

/// What is known of the full segments that a log left to be synced.
#[derive(Default)]
struct Sealing {
    /// All up to this one are synced; 0 for none. Stays where it is behind the first that could not be.
    last: u32,
    /// Why that could not be, until the log is told.
    error: Option<DiskError>,
    failed: bool,
}

impl Sealing {
    fn sync(sealing: &Mutex<Self>, full: &Segment) {
        // What comes behind a segment that is not synced can't be called synced either.
        if sealing.lock().failed {
            return;
        }
        let synced = full.sync();
        let mut sealing = sealing.lock();
        match synced {
            Ok(()) => {
                sealing.last = full.number;
                drop(sealing);
                full.forget();
            }
            Err(error) => (sealing.failed, sealing.error) = (true, Some(error)),
        }
    }
}

/// Hands out segments that are ready.
pub(super) struct Preparer {
    workshop: Workshop,
    thread: Option<Thread>,
    sealing: Arc<Mutex<Sealing>>,
    /// Bytes written in small synced pieces that no fill was asked for yet.
    credit: u64,
}

struct Thread {
    requests: Option<SyncSender<Request>>,
    ready: Receiver<Result<Segment, DiskError>>,
    handle: Option<JoinHandle<()>>,
}

impl Preparer {
    /// Starts the thread when `mode` has one, on the segment `next`.
    pub fn start(workshop: Workshop, mode: Prepare, next: u32) -> Result<Self, DiskError> {
        let mut preparer = Self { workshop, thread: None, sealing: Arc::default(), credit: 0 };
        if mode == Prepare::InBackground {
            preparer.thread = Some(preparer.spawn()?);
            preparer.request(Request::Begin(next));
        }
        Ok(preparer)
    }

    fn spawn(&self) -> Result<Thread, DiskError> {
        let (requests, inbox) = sync_channel(REQUESTS_MAX);
        // One segment is asked for at a time, so one answer at most is on its way.
        let (answers, ready) = sync_channel(1);
        let (workshop, sealing, room) = (self.workshop.clone(), self.sealing.clone(), Room::default());
        let worker = Worker { workshop, current: None, sealing, room, room_looked_at: None };
        let handle = std::thread::Builder::new()
            .name("mako-raft-disk".into())
            .spawn(move || worker.run(inbox, answers))
            .map_err(|e| DiskError::io("start a thread for", &self.workshop.directory.path, e))?;
        Ok(Thread { requests: Some(requests), ready, handle: Some(handle) })
    }

    /// Waits while the thread is `REQUESTS_MAX` requests behind: for as long as the disk takes.
    fn request(&self, request: Request) {
        if let Some(requests) = self.thread.as_ref().and_then(|thread| thread.requests.as_ref()) {
            // A thread that ended has left its error, or none at all, for `take` to find.
            let _ = requests.send(request);
        }
    }

    /// The log wrote and synced `bytes`.
    pub fn wrote(&mut self, bytes: u64) {
        let Some(requests) = self.thread.as_ref().and_then(|thread| thread.requests.as_ref()) else { return };
        if bytes >= SMALL_SYNC_BYTES {
            return;
        }
        // Two bytes of zeros for each byte of log: ready when the segment in use is half full.
        self.credit += 2 * bytes;
        if self.credit >= FILL_BYTES as u64 {
            self.credit -= FILL_BYTES as u64;
            let _ = requests.try_send(Request::Fill);
        }
    }

    /// The segment `number`, which follows the one in use. Waits until it is ready.
    pub fn take(&mut self, number: u32) -> Result<Segment, DiskError> {
        if self.thread.is_none() {
            return self.workshop.make(number);
        }
        self.request(Request::Finish);
        let thread = self.thread.as_ref().expect("looked at above");
        let segment = thread.ready.recv().unwrap_or_else(|_| {
            let gone = std::io::Error::other("the thread that prepares segments has ended");
            Err(DiskError::io("prepare", &self.workshop.directory.path, gone))
        })?;
        assert_eq!(segment.number, number, "segments are made in order");
        self.request(Request::Begin(number + 1));
        Ok(segment)
    }

    /// Where the log does not sync: `full` gets no more records. Syncs it, in the background where there is a thread;
    /// [`Self::sealed`] tells what became of it.
    pub fn sync_later(&mut self, full: Segment) {
        match self.thread {
            Some(_) => self.request(Request::Sync(full)),
            None => Sealing::sync(&self.sealing, &full),
        }
    }

    /// Every segment up to this number is known to be synced by [`Self::sync_later`]; 0 for none. The error of a sync
    /// that failed comes once, and no later segment counts as synced.
    pub fn sealed(&self) -> Result<u32, DiskError> {
        let mut sealing = self.sealing.lock();
        sealing.error.take().map_or(Ok(sealing.last), Err)
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        let Some(thread) = &mut self.thread else { return };
        thread.requests = None;
        if let Some(handle) = thread.handle.take() {
            // Nothing is lost with a panic of this thread: what it prepared is made again.
            let _ = handle.join();
        }
        // Of the last segments nobody asked any more. Each opening writes again what is not known to be synced.
        if let Err(error) = self.sealed() {
            log::error!("{error}");
        }
    }
}

impl Workshop {
    /// Makes a segment ready at once, without zeros.
    pub fn make(&self, number: u32) -> Result<Segment, DiskError> {
        let spare = self.spare()?;
        self.finish(number, spare)
    }

    /// Makes a segment ready at once and filled with zeros.
    pub fn make_filled(&self, number: u32) -> Result<Segment, DiskError> {
        let spare = self.spare()?;
        let mut filled = 0;
        while filled < self.segment_bytes {
            filled = self.fill(&*spare, filled)?;
        }
        self.finish(number, spare)
    }

    /// The file to become a segment, with its space reserved. Takes a recycled one where there is one:
    /// no record in it can be taken for one of the new segment, since the salt is new.
    fn spare(&self) -> Result<Arc<dyn LogFile>, DiskError> {
        let file = self.directory.file(SPARE_NAME, OpenMode::CreateIfMissing)?;
        let path = self.directory.path_of(SPARE_NAME);
        file.allocate(self.segment_bytes).map_err(|e| DiskError::io("reserve space for", &path, e))?;
        Ok(file)
    }

    /// Writes and syncs zeros from `from` on; returns where they end.
    fn fill(&self, file: &dyn LogFile, from: u64) -> Result<u64, DiskError> {
        static ZEROS: [u8; FILL_BYTES] = [0; FILL_BYTES];
        let path = self.directory.path_of(SPARE_NAME);
        let bytes = self.segment_bytes.saturating_sub(from).min(FILL_BYTES as u64);
        file.write_at(&[IoSlice::new(&ZEROS[..bytes as usize])], from)
            .map_err(|e| DiskError::io("fill", &path, e))?;
        file.sync().map_err(|e| DiskError::io("sync", &path, e))?;
        Ok(from + bytes)
    }

    /// Gives the spare file its header and its name, durably and in this order: a file with a segment's
    /// name always has a good header.
    fn finish(&self, number: u32, file: Arc<dyn LogFile>) -> Result<Segment, DiskError> {
        let spare = self.directory.path_of(SPARE_NAME);
        let salt = u64::from(self.incarnation) << 32 | u64::from(number);
        let block = segment::header_block(number, salt);
        file.write_at(&[IoSlice::new(&block)], 0).map_err(|e| DiskError::io("write", &spare, e))?;
        file.sync().map_err(|e| DiskError::io("sync", &spare, e))?;
        self.directory.rename(SPARE_NAME, &segment::name(number))?;
        self.directory.sync()?;
        Ok(Segment { number, path: segment::path(&self.directory.path, number), file, salt })
    }
}

/// The thread's side.
struct Worker {
    workshop: Workshop,
    current: Option<Current>,
    sealing: Arc<Mutex<Sealing>>,
    room: Room,
    room_looked_at: Option<Instant>,
}

/// The segment that is being made.
struct Current {
    number: u32,
    /// An error is tried again until the segment is needed: what was in the way then may be gone.
    file: Result<Arc<dyn LogFile>, DiskError>,
    filled: u64,
    warned: bool,
}

impl Current {
    fn begin(number: u32, file: Result<Arc<dyn LogFile>, DiskError>) -> Self {
        let mut current = Self { number, file, filled: 0, warned: false };
        current.warn();
        current
    }

    /// Once per segment.
    fn warn(&mut self) {
        let Err(error) = &self.file else { return };
        if !std::mem::replace(&mut self.warned, true) {
            log::warn!(
                "the next segment can't be prepared: {error} (it is tried again until the one in use is full; only then \
                 does the log stop)"
            );
        }
    }
}

impl Worker {
    fn run(mut self, inbox: Receiver<Request>, answers: SyncSender<Result<Segment, DiskError>>) {
        for request in inbox {
            match request {
                Request::Begin(number) => {
                    self.current = Some(Current::begin(number, self.workshop.spare()));
                    self.look_at_room();
                }
                Request::Fill => self.fill(),
                Request::Finish => {
                    let current = self.current.take().expect("asked for after it was begun");
                    let file = current.file.or_else(|_| self.workshop.spare());
                    let segment = file.and_then(|file| self.workshop.finish(current.number, file));
                    if answers.send(segment).is_err() {
                        return;
                    }
                }
                Request::Sync(full) => Sealing::sync(&self.sealing, &full),
            }
        }
    }

    /// A file system that does not tell has none to warn of.
    fn look_at_room(&mut self) {
        let Workshop { directory, segment_bytes, .. } = &self.workshop;
        let elapsed = self.room_looked_at.replace(Instant::now()).map(|at| at.elapsed());
        let Some(free_bytes) = directory.free_bytes() else { return };
        if let Some(line) = self.room.look(free_bytes, *segment_bytes, elapsed) {
            log::warn!("durable log: {}: {line}", directory.path.display());
        }
    }

    fn fill(&mut self) {
        let Some(current) = &mut self.current else { return };
        match &current.file {
            Err(_) => (current.file, current.filled) = (self.workshop.spare(), 0),
            Ok(file) if current.filled < self.workshop.segment_bytes => {
                match self.workshop.fill(&**file, current.filled) {
                    Ok(filled) => current.filled = filled,
                    Err(error) => current.file = Err(error),
                }
            }
            Ok(_) => {}
        }
        current.warn();
    }
}
