//! What waits to be written to one peer, and in which order it leaves.
//!
//! Two lanes: urgent frames go before ordinary ones that are still queued, never inside a frame of which a
//! part has left. Large parts are shared with whoever else holds them; small parts and headers are copied
//! into a staging buffer, so that many small frames leave as one slice.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{BufMut, Bytes, BytesMut};

use crate::checksum::{xxh3, Xxh3};
use crate::replica::wire::{Frame, Part};

use super::frame::{put_piece, Header, HEADER_BYTES, PIECES_MAX};

/// Parts below this are copied: a copy of 2 KiB costs less than a slice of its own in the kernel.
const SHARED_PART_MIN: usize = 2 << 10;

/// Staging buffers are cut from allocations of this size.
const STAGING_BYTES: usize = 64 << 10;

/// Small frames are joined up to this size: an urgent frame waits for no longer run to leave.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// A part of which the checksum is known is a piece of its own from this length on; summing a shorter one again costs less.
const KNOWN_PIECE_MIN: usize = 16 << 10;

/// A run of bytes that leaves as one slice.
struct Run {
    bytes: Bytes,
    /// How many frames end in it.
    frames: usize,
    /// Its last byte is a frame's last: another lane may go next.
    ends_frame: bool,
}

/// One lane, in order of leaving.
#[derive(Default)]
struct Lane {
    runs: VecDeque<Run>,
    /// The youngest small frames, still growing.
    staging: BytesMut,
    staged_frames: usize,
    /// Not yet written, staging included.
    bytes: usize,
    frames: usize,
    /// Of the front run, already written.
    front_written: usize,
}

impl Lane {
    fn push(&mut self, header: Header, table: &[u8], parts: &[Part]) {
        let shares = parts.iter().any(|part| part.bytes.len() >= SHARED_PART_MIN);
        if shares || self.staging.len() >= JOINED_BYTES_MAX {
            // The frame before ends here, so that an urgent one may go in between.
            self.seal(true);
        }
        self.stage(&header.encode());
        self.stage(table);
        for part in parts {
            if part.bytes.len() < SHARED_PART_MIN {
                self.stage(&part.bytes);
            } else {
                self.seal(false);
                self.runs.push_back(Run { bytes: part.bytes.clone(), frames: 0, ends_frame: false });
            }
        }
        self.frames += 1;
        self.bytes += HEADER_BYTES + table.len() + header.length;
        match self.runs.back_mut() {
            Some(last) if self.staging.is_empty() => {
                last.ends_frame = true;
                last.frames += 1;
            }
            _ => self.staged_frames += 1,
        }
    }

    fn stage(&mut self, bytes: &[u8]) {
        if self.staging.capacity() - self.staging.len() < bytes.len() {
            self.staging.reserve(STAGING_BYTES.max(bytes.len()));
        }
        self.staging.put_slice(bytes);
    }

    fn seal(&mut self, ends_frame: bool) {
        if !self.staging.is_empty() {
            let bytes = self.staging.split().freeze();
            self.runs.push_back(Run { bytes, frames: std::mem::take(&mut self.staged_frames), ends_frame });
        }
    }
}

/// The header of `frame` with its checksum, and into `table` its pieces, where what is known of some saves summing them.
fn checked_header(frame: &Frame, table: &mut Vec<u8>) -> Header {
    let known = |part: &Part| part.checksum.filter(|_| part.bytes.len() >= KNOWN_PIECE_MIN);
    if let [part] = &frame.parts[..] {
        return Header::of_body(frame.len, Some(part.checksum.unwrap_or_else(|| xxh3(&part.bytes))));
    }
    let is_worth_it = (1..PIECES_MAX / 2).contains(&frame.parts.iter().filter(|part| known(part).is_some()).count());
    let (mut sum, mut length) = (Xxh3::new(), 0);
    for part in &frame.parts {
        match known(part).filter(|_| is_worth_it) {
            Some(checksum) => {
                if length > 0 {
                    put_piece(table, length, sum.finish());
                    (sum, length) = (Xxh3::new(), 0);
                }
                put_piece(table, part.bytes.len(), checksum);
            }
            None => {
                sum.update(&part.bytes);
                length += part.bytes.len();
            }
        }
    }
    if !is_worth_it {
        return Header::of_body(frame.len, Some(sum.finish()));
    }
    if length > 0 {
        put_piece(table, length, sum.finish());
    }
    Header::of_pieces(frame.len, table)
}

/// Which lane.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Urgent,
    Bulk,
}

/// Bounds of one outbox.
#[derive(Clone, Copy)]
pub struct OutboxLimits {
    /// Bytes in either lane.
    pub lane_bytes_max: usize,
    /// Frames in the urgent lane.
    pub urgent_frames_max: usize,
    /// Whether bodies carry a checksum.
    pub checksum: bool,
}

/// Frames on their way to one peer.
pub struct Outbox {
    urgent: Lane,
    bulk: Lane,
    /// A frame of this lane has left in part: its rest goes first.
    inside: Option<Which>,
    limits: OutboxLimits,
    /// The table of the frame that is being queued; kept for the next.
    table: Vec<u8>,
}

impl Outbox {
    /// Empty.
    pub fn new(limits: OutboxLimits) -> Self {
        Self { urgent: Lane::default(), bulk: Lane::default(), inside: None, limits, table: Vec::new() }
    }

    /// Queues `frame`; false when its lane is at the bound. A lane that is empty takes any frame, so
    /// that none is too long for ever.
    pub fn push(&mut self, frame: &Frame) -> bool {
        debug_assert_eq!(frame.len, frame.parts.iter().map(|part| part.bytes.len()).sum::<usize>());
        let urgent_full = self.urgent.frames >= self.limits.urgent_frames_max;
        let lane = if frame.urgent { &mut self.urgent } else { &mut self.bulk };
        let bytes_full = lane.bytes > 0 && lane.bytes + frame.len > self.limits.lane_bytes_max;
        if bytes_full || (frame.urgent && urgent_full) {
            return false;
        }
        self.table.clear();
        let header = if self.limits.checksum {
            checked_header(frame, &mut self.table)
        } else {
            Header::of_body(frame.len, None)
        };
        lane.push(header, &self.table, &frame.parts);
        true
    }

    /// Queues a keep-alive.
    pub fn push_keep_alive(&mut self) {
        self.urgent.push(Header::of_keep_alive(), &[], &[]);
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.urgent.bytes == 0 && self.bulk.bytes == 0
    }

    /// Frames wait that are not urgent.
    pub fn has_backlog(&self) -> bool {
        self.bulk.bytes > 0
    }

    /// Bytes that have not left.
    pub fn bytes(&self) -> usize {
        self.urgent.bytes + self.bulk.bytes
    }

    /// Frames that have not left entirely.
    pub fn frames(&self) -> usize {
        self.urgent.frames + self.bulk.frames
    }

    /// Closes what is being joined, so that [`Outbox::gather`] sees everything.
    pub fn seal(&mut self) {
        self.urgent.seal(true);
        self.bulk.seal(true);
    }

    /// Fills `slices` with what leaves next and says how many.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut urgent, mut bulk, mut inside) = (0, 0, self.inside);
        for (count, slice) in slices.iter_mut().enumerate() {
            let which = inside.unwrap_or(if urgent < self.urgent.runs.len() { Which::Urgent } else { Which::Bulk });
            let (lane, next) = match which {
                Which::Urgent => (&self.urgent, &mut urgent),
                Which::Bulk => (&self.bulk, &mut bulk),
            };
            let Some(run) = lane.runs.get(*next) else { return count };
            let written = if *next == 0 { lane.front_written } else { 0 };
            *slice = IoSlice::new(&run.bytes[written..]);
            *next += 1;
            inside = (!run.ends_frame).then_some(which);
        }
        slices.len()
    }

    /// Takes note that the first `count` bytes of what [`Outbox::gather`] showed have left.
    pub fn written(&mut self, mut count: usize) {
        while count > 0 {
            let urgent_waits = !self.urgent.runs.is_empty();
            let which = self.inside.unwrap_or(if urgent_waits { Which::Urgent } else { Which::Bulk });
            let lane = match which {
                Which::Urgent => &mut self.urgent,
                Which::Bulk => &mut self.bulk,
            };
            let front = lane.runs.front().expect("no more is written than was gathered");
            let now = count.min(front.bytes.len() - lane.front_written);
            count -= now;
            lane.bytes -= now;
            lane.front_written += now;
            if lane.front_written < front.bytes.len() {
                self.inside = Some(which);
                return;
            }
            self.inside = (!front.ends_frame).then_some(which);
            lane.frames -= front.frames;
            lane.front_written = 0;
            lane.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::frame::Decoder;

    fn limits() -> OutboxLimits {
        OutboxLimits { lane_bytes_max: 1 << 20, urgent_frames_max: 10, checksum: true }
    }

    fn frame(parts: &[usize], fill: u8, urgent: bool) -> Frame {
        let part = |(i, &length): (usize, &usize)| {
            let bytes = Bytes::from(vec![fill; length]);
            // As a payload whose checksum is known beside one whose is not.
            let checksum = (i % 2 == 1).then(|| crate::checksum::xxh3(&bytes));
            Part { bytes, checksum }
        };
        let len = parts.iter().sum();
        Frame { len, parts: parts.iter().enumerate().map(part).collect(), urgent }
    }

    /// Lets at most `count` bytes leave, and returns them.
    fn leave(outbox: &mut Outbox, count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < count {
            outbox.seal();
            let mut slices = [IoSlice::new(&[]); 3];
            let n = outbox.gather(&mut slices);
            let mut now: Vec<u8> = slices[..n].iter().flat_map(|slice| slice.iter().copied()).collect();
            now.truncate(count - out.len());
            if now.is_empty() {
                break;
            }
            outbox.written(now.len());
            out.extend(now);
        }
        out
    }

    fn fills(wire: &[u8]) -> Vec<(u8, usize)> {
        let mut got = Vec::new();
        Decoder::new(1 << 20).feed(wire, &mut |body| got.push((body[0], body.len()))).unwrap();
        got
    }

    #[test]
    fn an_urgent_frame_goes_before_queued_bulk_but_not_into_a_frame_that_has_begun_to_leave() {
        let mut outbox = Outbox::new(limits());
        assert!(outbox.push(&frame(&[10, 5_000, 10], 1, false)));
        assert!(outbox.push(&frame(&[3_000], 2, false)));
        let mut wire = leave(&mut outbox, 100);
        assert!(outbox.push(&frame(&[20], 9, true)));
        wire.extend(leave(&mut outbox, usize::MAX));
        assert_eq!(fills(&wire), [(1, 5_020), (9, 20), (2, 3_000)]);
        assert!(outbox.is_empty());
        assert_eq!(outbox.frames(), 0);
    }

    #[test]
    fn every_order_of_writing_and_queuing_keeps_frames_whole_and_each_lane_in_order() {
        for step in 1..200 {
            let mut outbox = Outbox::new(limits());
            let mut wire = Vec::new();
            for i in 0..40u8 {
                let urgent = i % 5 == 0;
                assert!(outbox.push(&frame(&[i as usize % 3 * 40 + 1, i as usize % 4 * 1_500, 7], i, urgent)));
                wire.extend(leave(&mut outbox, step * 13));
            }
            wire.extend(leave(&mut outbox, usize::MAX));
            let got = fills(&wire);
            for urgent in [true, false] {
                let lane: Vec<u8> = got.iter().map(|g| g.0).filter(|i| (i % 5 == 0) == urgent).collect();
                assert!(lane.windows(2).all(|pair| pair[0] < pair[1]), "step {step}: {lane:?}");
            }
            assert_eq!(got.len(), 40, "step {step}");
        }
    }

    #[test]
    fn payload_of_which_the_checksum_is_known_is_not_summed_again() {
        let long = |fill: u8, checksum| Part { bytes: vec![fill; 40_000].into(), checksum };
        let known = |fill| long(fill, Some(crate::checksum::xxh3(&vec![fill; 40_000])));
        let meta = || Part::from(Bytes::from_static(b"meta"));
        let decode = |parts: Vec<Part>| {
            let mut outbox = Outbox::new(limits());
            let body: Vec<u8> = parts.iter().flat_map(|part| part.bytes.to_vec()).collect();
            assert!(outbox.push(&Frame { len: body.len(), parts, urgent: false }));
            let wire = leave(&mut outbox, usize::MAX);
            let mut got = Vec::new();
            Decoder::new(1 << 20).feed(&wire, &mut |body| got.push(body)).map(|()| assert!(got == [body]))
        };
        decode(vec![known(1)]).unwrap();
        decode(vec![known(1), known(2)]).unwrap();
        decode(vec![meta(), known(1), meta(), meta(), long(2, None), known(3), known(4), meta()]).unwrap();
        // What is known is believed: a wrong one is found out by the receiver.
        decode(vec![meta(), long(1, Some(7)), meta()]).unwrap_err();
        decode(vec![long(1, Some(7))]).unwrap_err();
    }

    #[test]
    fn a_full_lane_drops_and_takes_again_when_it_has_drained() {
        let mut outbox = Outbox::new(limits());
        while outbox.push(&frame(&[100_000], 1, false)) {}
        assert_eq!(outbox.frames(), 10);
        assert!(outbox.push(&frame(&[1], 2, true)), "the other lane has room");
        leave(&mut outbox, 200_000);
        assert!(outbox.push(&frame(&[100_000], 1, false)));
        while outbox.push(&frame(&[1], 2, true)) {}
        assert_eq!(outbox.urgent.frames, 10);
    }

    #[test]
    fn a_frame_longer_than_the_bound_leaves_when_nothing_else_waits() {
        let mut outbox = Outbox::new(OutboxLimits { lane_bytes_max: 10, ..limits() });
        assert!(outbox.push(&frame(&[5_000], 1, false)));
        assert!(!outbox.push(&frame(&[1], 2, false)));
    }
}
