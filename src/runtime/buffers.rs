//! Memory for what a process submits: slabs that are cut from front to back and used again.
//!
//! The log gives its oldest entries back in the order in which they were made, so slabs come free in the order
//! in which they were filled. Handing them out again in that order costs a look at one of them; the host's
//! allocator is asked only while the log grows, and its pages are touched for the first time only then. (An
//! allocator that gives freed pages back, as jemalloc does, would have every byte cost a page fault.)

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use bytes::BytesMut;

use crate::replica::payload::CHUNK_HEAD_BYTES_MAX;

use super::callbacks::locked;

/// A partition's short logs fill one such slab after the other: large against a chunk, small enough for
/// every partition of a process to have one.
const SHORT_SLAB_BYTES: usize = 256 << 10;

/// The longest pieces that the slabs of a process's groups hold, of each about one.
const PIECES: usize = 16;
/// In one slab. What is lost at its end is never touched, and so takes no memory.
const PIECES_MIN: usize = 2;

/// What the intakes of one group share. A group has its own, since each log comes to its bound in its own time: what a quiet
/// one holds would otherwise keep slabs from use that are the busy ones' but for that piece.
pub(super) struct Buffers {
    /// For chunks of short logs: each partition fills slabs of its own.
    pub short: Slabs,
    /// For chunks of one long log, in pieces.
    pub long: Slabs,
}

impl Buffers {
    /// For logs that are cut beyond `fragment_bytes`, in a process of so many groups: up to eight of them together
    /// have as much in slabs that are not full as a single one would.
    pub fn new(fragment_bytes: usize, groups: usize) -> Self {
        let piece_bytes_max = fragment_bytes + CHUNK_HEAD_BYTES_MAX;
        // One byte more: the rest of a slab is what it is known by.
        let long_slab_bytes = piece_bytes_max * (PIECES / groups.max(1)).max(PIECES_MIN) + 1;
        Self { short: Slabs::new(SHORT_SLAB_BYTES), long: Slabs::new(long_slab_bytes).of_pieces_up_to(piece_bytes_max) }
    }

    /// See [`Slabs::free`].
    pub fn free(&self) {
        self.short.free();
        self.long.free();
    }

    /// See [`Slabs::trim`].
    pub fn trim(&self) {
        self.short.trim();
        self.long.trim();
    }

    /// In slabs that were filled, in use or not.
    #[cfg(test)]
    pub fn retired_bytes(&self) -> usize {
        [&self.short, &self.long].iter().map(|slabs| slabs.shelf().retired.len() * slabs.slab_bytes).sum()
    }
}

/// Slabs of one size. Any thread.
pub(super) struct Slabs {
    slab_bytes: usize,
    piece_bytes_max: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    /// What [`Slabs::piece`] cuts from.
    open: BytesMut,
    /// Filled, oldest first. Of each slab this holds an empty rest; it is free once no other part is left.
    retired: VecDeque<BytesMut>,
    /// Asked for since the last trim.
    wanted: usize,
    /// Some of those were allocated, since the oldest was not free.
    grew: bool,
}

impl Slabs {
    /// None is allocated yet.
    pub fn new(slab_bytes: usize) -> Self {
        Self { slab_bytes, piece_bytes_max: slab_bytes / PIECES, shelf: Mutex::default() }
    }

    /// [`Slabs::piece`] cuts pieces up to this length.
    fn of_pieces_up_to(self, piece_bytes_max: usize) -> Self {
        Self { piece_bytes_max, ..self }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        locked(&self.shelf)
    }

    /// A whole slab, empty, for the caller alone.
    pub fn take(&self) -> BytesMut {
        self.shelf().take(self.slab_bytes)
    }

    /// What is left of a slab that was taken and is full. It is handed out again once all that was cut from
    /// it is gone.
    pub fn retire(&self, rest: BytesMut) {
        self.shelf().retire(rest);
    }

    /// An empty buffer of exactly `bytes` bytes, from a slab that many threads share; one of its own where it
    /// would waste much of a slab's end.
    pub fn piece(&self, bytes: usize) -> BytesMut {
        if bytes > self.piece_bytes_max {
            return BytesMut::with_capacity(bytes);
        }
        let mut shelf = self.shelf();
        // Never to the very end: the rest is what the slab is known by.
        if shelf.open.capacity() <= bytes {
            let full = std::mem::take(&mut shelf.open);
            shelf.retire(full);
            shelf.open = shelf.take(self.slab_bytes);
        }
        let rest = shelf.open.split_off(bytes);
        std::mem::replace(&mut shelf.open, rest)
    }

    /// Lets go of all slabs: each goes back to the host's allocator with the last part that was cut from it. For
    /// the end of a life, whose ports stay for their counters.
    pub fn free(&self) {
        let former = std::mem::take(&mut *self.shelf());
        drop(former);
    }

    /// Gives memory back that is not needed at the present rate. To be called once in about a second.
    pub fn trim(&self) {
        let mut shelf = self.shelf();
        let (wanted, grew) = (std::mem::take(&mut shelf.wanted), std::mem::take(&mut shelf.grew));
        if grew {
            shelf.free_first(self.slab_bytes);
        }
        let is_held = |slab: &mut BytesMut| !slab.try_reclaim(self.slab_bytes);
        let free = shelf.retired.iter_mut().position(is_held).unwrap_or(shelf.retired.len());
        let surplus: Vec<BytesMut> = shelf.retired.drain(..free.saturating_sub(wanted)).collect();
        drop(shelf);
        drop(surplus);
    }
}

impl Shelf {
    fn take(&mut self, slab_bytes: usize) -> BytesMut {
        self.wanted += 1;
        if let Some(mut oldest) = self.retired.pop_front() {
            if oldest.try_reclaim(slab_bytes) {
                return oldest;
            }
            self.retired.push_front(oldest);
        }
        self.grew = true;
        BytesMut::with_capacity(slab_bytes)
    }

    fn retire(&mut self, mut rest: BytesMut) {
        rest.clear();
        if rest.capacity() > 0 {
            self.retired.push_back(rest);
        }
    }

    /// One that is held for long, by a peer that stands still, must not keep the others from being used.
    fn free_first(&mut self, slab_bytes: usize) {
        let (mut free, mut held) = (VecDeque::new(), VecDeque::new());
        for mut slab in self.retired.drain(..) {
            if slab.try_reclaim(slab_bytes) { free.push_back(slab) } else { held.push_back(slab) }
        }
        free.append(&mut held);
        self.retired = free;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const SLAB: usize = 64 << 10;

    /// Fills a whole slab; what was cut from it.
    fn filled(slabs: &Slabs) -> Bytes {
        let mut slab = slabs.take();
        slab.resize(SLAB - 1, 1);
        let cut = slab.split().freeze();
        slabs.retire(slab);
        cut
    }

    fn retired(slabs: &Slabs) -> usize {
        slabs.shelf().retired.len()
    }

    #[test]
    fn logs_of_any_length_that_is_not_cut_come_from_slabs_however_many_groups_there_are() {
        for groups in [1, 2, 9, 24, 64] {
            let buffers = Buffers::new(512 << 10, groups);
            for bytes in [20_000, 286_208, 512 << 10] {
                let pieces: Vec<BytesMut> = (0..40).map(|_| buffers.long.piece(bytes)).collect();
                assert!(std::mem::take(&mut buffers.long.shelf().wanted) > 0, "{groups} groups, {bytes} bytes");
                drop(pieces);
            }
            let in_slabs: usize = groups * buffers.long.slab_bytes;
            assert!(in_slabs <= (16 + 2 * groups) * (513 << 10), "{in_slabs} bytes for {groups} groups");
        }
    }

    #[test]
    fn at_the_end_every_slab_is_let_go_of() {
        let slabs = Slabs::new(SLAB);
        let held = filled(&slabs);
        drop(filled(&slabs));
        drop(slabs.piece(1_000));
        slabs.free();
        assert_eq!((retired(&slabs), slabs.shelf().open.capacity()), (0, 0));
        assert!(held.iter().all(|&byte| byte == 1), "what is in use stays");
    }

    #[test]
    fn a_slab_is_used_again_once_all_that_was_cut_from_it_is_gone() {
        let slabs = Slabs::new(SLAB);
        let first = filled(&slabs);
        let place = first.as_ptr();
        let part = first.slice(10..20);
        drop(first);
        let second = filled(&slabs);
        assert_ne!(second.as_ptr(), place, "a part of the first is still held");
        assert_eq!(part[..], [1; 10]);
        drop(part);
        let third = slabs.take();
        assert_eq!((third.as_ptr(), third.len()), (place, 0));
        assert!(third.capacity() >= SLAB);
    }

    #[test]
    fn a_log_that_moves_on_at_its_bound_allocates_nothing() {
        let slabs = Slabs::new(SLAB);
        let mut log: VecDeque<Bytes> = (0..20).map(|_| filled(&slabs)).collect();
        slabs.trim();
        for round in 0..200 {
            log.drain(..5);
            log.extend((0..5).map(|_| filled(&slabs)));
            assert_eq!(retired(&slabs), 20, "round {round}");
            if round % 10 == 0 {
                slabs.trim();
            }
        }
    }

    #[test]
    fn what_is_not_wanted_again_goes_back_to_the_allocator() {
        let slabs = Slabs::new(SLAB);
        let held: Vec<Bytes> = (0..20).map(|_| filled(&slabs)).collect();
        slabs.trim();
        assert_eq!(retired(&slabs), 20, "all are held");
        drop(held);
        let again = filled(&slabs);
        slabs.trim();
        assert_eq!(retired(&slabs), 2, "one was wanted in this time, and one is held");
        drop(again);
        slabs.trim();
        assert_eq!(retired(&slabs), 0);
    }

    #[test]
    fn one_that_is_held_for_long_keeps_the_others_from_use_until_the_next_trim_only() {
        let slabs = Slabs::new(SLAB);
        let held = filled(&slabs);
        let places: Vec<*const u8> = (0..3).map(|_| filled(&slabs)).collect::<Vec<_>>().iter().map(|b| b.as_ptr()).collect();
        assert_eq!(retired(&slabs), 4);
        slabs.trim();
        let used: Vec<*const u8> = (0..3).map(|_| slabs.take()).map(|slab| slab.as_ptr()).collect();
        assert_eq!(used, places);
        assert_eq!(held[0], 1);
    }

    #[test]
    fn pieces_of_one_slab_are_apart_and_keep_what_is_written_into_them() {
        let slabs = Slabs::new(SLAB);
        let pieces: Vec<Bytes> = (0..100u8)
            .map(|i| {
                let mut piece = slabs.piece(1_000 + usize::from(i));
                assert_eq!((piece.len(), piece.capacity()), (0, 1_000 + usize::from(i)));
                piece.resize(1_000 + usize::from(i), i);
                piece.freeze()
            })
            .collect();
        for (i, piece) in pieces.iter().enumerate() {
            assert!(piece.len() == 1_000 + i && piece.iter().all(|&byte| usize::from(byte) == i), "piece {i}");
        }
        let wanted = slabs.shelf().wanted;
        assert_eq!(wanted, 2, "104,950 bytes in slabs of 65,536");
        assert_eq!(slabs.piece(SLAB).capacity(), SLAB, "one too long to share has a buffer of its own");
        assert_eq!(slabs.shelf().wanted, wanted);
    }
}
