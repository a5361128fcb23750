//! What a frame looks like on the wire, and the incremental decoder. Pure: slices in, bodies out.
//!
//! A frame is a header of [`HEADER_BYTES`] and a body: the body's length (u32), flags (u16), a number of pieces (u16),
//! and a checksum when the flag for it is set (u64, else 0), all little-endian. Without pieces it is the XXH3 of the body.
//! With pieces a table of them is between header and body, and it is the XXH3 of that: for each piece its length (u32)
//! and the XXH3 of its bytes (u64). Together they are the body. So whoever sends a payload to many sums it once.
//!
//! Copies: small bodies that arrived together are copied once, into one shared chunk. A large body is
//! received straight into its own buffer; only the part that arrived together with its header is copied.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use crate::checksum::{xxh3, Xxh3};

/// Length, flags, number of pieces, checksum.
pub const HEADER_BYTES: usize = 16;

/// Of the table: length and checksum of one piece.
const PIECE_BYTES: usize = 12;

/// A sender makes fewer, since more are not worth their table. Bounds the table that a header makes us wait for.
pub const PIECES_MAX: usize = 1_024;

/// Bodies up to this size share chunks; longer ones get a buffer of their own. Measured with
/// `benches/transport.rs`: shared chunks win at 4 KiB, but at 16 KiB they reached half of plain TCP's rate, where
/// buffers of their own keep up with it at 64 KiB.
pub const SMALL_BODY_MAX: usize = 8 << 10;

/// Small bodies share one allocation up to this size, so that a body that is kept pins no more.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// A large body's buffer starts with at most this and doubles as bytes arrive: a header alone
/// makes nobody allocate what it promises.
const LARGE_STEP_BYTES: usize = 1 << 20;

/// Room behind a large body: its last read also brings the next header, so one system call per
/// large frame is enough.
const LOOKAHEAD_BYTES: usize = 256;

const FLAG_CHECKSUM: u16 = 1;
const FLAG_KEEP_ALIVE: u16 = 2;

/// What precedes a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Of the body.
    pub length: usize,
    /// Of the body, or of the table if there are pieces; if the sender computed one.
    pub checksum: Option<u64>,
    /// How many pieces the table has that follows; 0: there is none. Only large bodies have pieces.
    pub pieces: u16,
    /// No message: only shows that the sender is alive.
    pub keep_alive: bool,
}

/// Bytes that no sender of ours produces. The connection must be closed: its frame boundaries are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The header announces more than the limit.
    TooLong {
        /// What it announces.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Unknown flags, a keep-alive with a body, or a table of too many pieces or of such as are not the body.
    Header,
    /// The body is not what was sent.
    Checksum {
        /// Of the damaged body.
        length: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, limit } => {
                write!(f, "a frame of {length} bytes was announced; the limit is {limit}")
            }
            Self::Header => write!(f, "a frame header is malformed"),
            Self::Checksum { length } => write!(f, "a frame of {length} bytes was damaged on the way (checksum)"),
        }
    }
}

impl Header {
    /// An ordinary frame's.
    pub fn of_body(length: usize, checksum: Option<u64>) -> Self {
        Self { length, checksum, pieces: 0, keep_alive: false }
    }

    /// That of a body of `length` bytes in pieces, of which `table` follows.
    pub fn of_pieces(length: usize, table: &[u8]) -> Self {
        let pieces = u16::try_from(table.len() / PIECE_BYTES).expect("the sender bounds them");
        Self { length, checksum: Some(xxh3(table)), pieces, keep_alive: false }
    }

    /// A keep-alive's; no body follows.
    pub fn of_keep_alive() -> Self {
        Self { length: 0, checksum: None, pieces: 0, keep_alive: true }
    }

    /// Its bytes. The length must be below 4 GiB; the room's frame limit sees to that.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let length = u32::try_from(self.length).expect("the frame limit is below 4 GiB");
        let mut flags = 0;
        if self.checksum.is_some() {
            flags |= FLAG_CHECKSUM;
        }
        if self.keep_alive {
            flags |= FLAG_KEEP_ALIVE;
        }
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..6].copy_from_slice(&flags.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.pieces.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.checksum.unwrap_or(0).to_le_bytes());
        bytes
    }

    /// Bytes of the table that follows.
    fn table_bytes(&self) -> usize {
        usize::from(self.pieces) * PIECE_BYTES
    }

    /// The body is received into a buffer of its own.
    fn is_large(&self) -> bool {
        self.length > SMALL_BODY_MAX
    }

    fn decode(bytes: &[u8], limit: usize) -> Result<Self, FrameError> {
        let length = u32_at(bytes, 0) as usize;
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let (flags, pieces) = (half(4), half(6));
        if flags & !(FLAG_CHECKSUM | FLAG_KEEP_ALIVE) != 0 {
            return Err(FrameError::Header);
        }
        let keep_alive = flags & FLAG_KEEP_ALIVE != 0;
        if keep_alive && length != 0 {
            return Err(FrameError::Header);
        }
        if length > limit {
            return Err(FrameError::TooLong { length, limit });
        }
        let checksum = (flags & FLAG_CHECKSUM != 0).then(|| u64_at(bytes, 8));
        let header = Self { length, checksum, pieces, keep_alive };
        let has_table = checksum.is_some() && header.is_large() && usize::from(pieces) <= PIECES_MAX;
        if pieces > 0 && !has_table {
            return Err(FrameError::Header);
        }
        Ok(header)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Consecutive bytes of a large body that have a checksum of their own.
struct Piece {
    /// Where it ends in the body.
    end: usize,
    checksum: u64,
}

/// Adds a piece of `length` bytes, which must be below 4 GiB, to a frame's `table`.
pub fn put_piece(table: &mut Vec<u8>, length: usize, checksum: u64) {
    let length = u32::try_from(length).expect("the frame limit is below 4 GiB");
    table.extend_from_slice(&length.to_le_bytes());
    table.extend_from_slice(&checksum.to_le_bytes());
}

/// What `table` says, which must be of the whole body.
fn read_table(header: Header, table: &[u8]) -> Result<VecDeque<Piece>, FrameError> {
    if header.checksum != Some(xxh3(table)) {
        return Err(FrameError::Checksum { length: header.length });
    }
    let mut end = 0;
    let pieces: VecDeque<Piece> = table
        .chunks_exact(PIECE_BYTES)
        .map(|piece| {
            end += u32_at(piece, 0) as usize;
            Piece { end, checksum: u64_at(piece, 4) }
        })
        .collect();
    if end != header.length {
        return Err(FrameError::Header);
    }
    Ok(pieces)
}

/// A large body that is arriving.
struct Large {
    length: usize,
    /// What arrived; after a direct read possibly with bytes of later frames behind it.
    body: Vec<u8>,
    /// Pieces that are not checked to their end.
    pieces: VecDeque<Piece>,
    /// Of the first piece's bytes up to `checked`. Computed as they arrive, while the cache still holds them.
    sum: Xxh3,
    checked: usize,
}

impl Large {
    /// `table` is what the header says of the pieces.
    fn new(header: Header, table: &[u8]) -> Result<Self, FrameError> {
        let pieces = if header.pieces > 0 {
            read_table(header, table)?
        } else {
            header.checksum.map(|checksum| Piece { end: header.length, checksum }).into_iter().collect()
        };
        let capacity = header.length.min(LARGE_STEP_BYTES) + LOOKAHEAD_BYTES;
        Ok(Self { length: header.length, body: Vec::with_capacity(capacity), pieces, sum: Xxh3::new(), checked: 0 })
    }

    fn missing(&self) -> usize {
        self.length.saturating_sub(self.body.len())
    }

    /// Makes room for more of the body, at most as much again as has arrived.
    fn grow(&mut self) {
        if self.body.len() == self.body.capacity() {
            self.body.reserve_exact((self.missing() + LOOKAHEAD_BYTES).min(self.body.len()));
        }
    }

    fn check_arrived(&mut self) -> Result<(), FrameError> {
        while let Some(piece) = self.pieces.front() {
            let through = self.body.len().min(piece.end);
            self.sum.update(&self.body[self.checked..through]);
            self.checked = through;
            if through < piece.end {
                break;
            }
            if self.sum.finish() != piece.checksum {
                return Err(FrameError::Checksum { length: self.length });
            }
            self.pieces.pop_front();
            self.sum = Xxh3::new();
        }
        Ok(())
    }
}

/// Turns one connection's byte stream into bodies.
pub struct Decoder {
    limit: usize,
    /// A header, a table or a small frame of which the rest is still to come.
    carry: Vec<u8>,
    large: Option<Large>,
    /// Bodies of the chunk that is being cut: start and length.
    spans: Vec<(usize, usize)>,
}

impl Decoder {
    /// For bodies of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, carry: Vec::new(), large: None, spans: Vec::new() }
    }

    /// Where to receive next, when a large body is arriving: read into its spare capacity, then call
    /// [`Decoder::large_received`].
    pub fn large_buffer(&mut self) -> Option<&mut Vec<u8>> {
        let large = self.large.as_mut()?;
        large.grow();
        Some(&mut large.body)
    }

    /// Takes what was appended to [`Decoder::large_buffer`].
    pub fn large_received(&mut self, bodies: &mut impl FnMut(Bytes)) -> Result<(), FrameError> {
        let Some(large) = self.large.as_mut() else { return Ok(()) };
        large.check_arrived()?;
        if large.missing() > 0 {
            return Ok(());
        }
        let behind = large.body.split_off(large.length);
        bodies(self.large.take().expect("looked at above").body.into());
        self.feed(&behind, bodies)
    }

    /// Takes bytes as they arrived, in pieces of any size, and hands out each body that is now whole.
    /// After an error the stream is lost.
    pub fn feed(&mut self, mut input: &[u8], bodies: &mut impl FnMut(Bytes)) -> Result<(), FrameError> {
        while !input.is_empty() {
            input = if self.large.is_some() {
                self.fill_large(input, bodies)?
            } else if !self.carry.is_empty() {
                self.fill_carry(input, bodies)?
            } else {
                self.cut_small(input, bodies)?
            };
        }
        Ok(())
    }

    fn fill_large<'a>(
        &mut self,
        input: &'a [u8],
        bodies: &mut impl FnMut(Bytes),
    ) -> Result<&'a [u8], FrameError> {
        let large = self.large.as_mut().expect("checked by feed");
        large.grow();
        let room = large.body.capacity() - large.body.len();
        let (now, later) = input.split_at(input.len().min(large.missing()).min(room));
        large.body.extend_from_slice(now);
        large.check_arrived()?;
        if large.missing() == 0 {
            bodies(self.large.take().expect("looked at above").body.into());
        }
        Ok(later)
    }

    /// Completes what is in `carry`: first a header, then a small body or the table of a large one.
    fn fill_carry<'a>(
        &mut self,
        input: &'a [u8],
        bodies: &mut impl FnMut(Bytes),
    ) -> Result<&'a [u8], FrameError> {
        let wanted = match self.carry.get(..HEADER_BYTES) {
            None => HEADER_BYTES,
            Some(header) => match Header::decode(header, self.limit)? {
                header if header.is_large() => HEADER_BYTES + header.table_bytes(),
                header => HEADER_BYTES + header.length,
            },
        };
        let (now, later) = input.split_at(input.len().min(wanted - self.carry.len()));
        self.carry.extend_from_slice(now);
        // Only then, since what is incomplete is copied back: at each arrival that would be the whole table.
        if self.carry.len() == wanted {
            let carry = std::mem::take(&mut self.carry);
            let rest = self.cut_small(&carry, bodies)?;
            debug_assert!(rest.is_empty());
            if self.carry.is_empty() {
                self.carry = carry;
                self.carry.clear();
            }
        }
        Ok(later)
    }

    /// Cuts whole small frames off the front of `input`, as many as share a chunk. Behind a large frame's header and
    /// table it starts that one; what is incomplete goes to `carry`.
    fn cut_small<'a>(
        &mut self,
        input: &'a [u8],
        bodies: &mut impl FnMut(Bytes),
    ) -> Result<&'a [u8], FrameError> {
        let (mut end, mut failure, mut large) = (0, None, None);
        self.spans.clear();
        let mut incomplete = false;
        loop {
            let rest = &input[end..];
            let Some((head, rest)) = rest.split_at_checked(HEADER_BYTES) else {
                incomplete = true;
                break;
            };
            let header = match Header::decode(head, self.limit) {
                Ok(header) => header,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            if header.is_large() {
                match rest.get(..header.table_bytes()) {
                    Some(table) => large = Some((header, table)),
                    None => incomplete = true,
                }
                break;
            }
            let Some(body) = rest.get(..header.length) else {
                incomplete = true;
                break;
            };
            let next = end + HEADER_BYTES + header.length;
            if next > CHUNK_BYTES_MAX && end > 0 {
                break;
            }
            if header.checksum.is_some_and(|expected| expected != xxh3(body)) {
                failure = Some(FrameError::Checksum { length: header.length });
                break;
            }
            if !header.keep_alive {
                self.spans.push((end + HEADER_BYTES, header.length));
            }
            end = next;
        }
        match self.spans[..] {
            [] => {}
            // Nobody to share with.
            [(start, length)] => bodies(Bytes::copy_from_slice(&input[start..start + length])),
            _ => {
                let chunk = Bytes::copy_from_slice(&input[..end]);
                for &(start, length) in &self.spans {
                    bodies(chunk.slice(start..start + length));
                }
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        if let Some((header, table)) = large {
            self.large = Some(Large::new(header, table)?);
            return Ok(&input[end + HEADER_BYTES + table.len()..]);
        }
        if incomplete {
            self.carry.extend_from_slice(&input[end..]);
            return Ok(&[]);
        }
        Ok(&input[end..])
    }

    /// Bytes held for frames that are not whole yet.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.carry.capacity() + self.large.as_ref().map_or(0, |large| large.body.capacity())
    }
}

#[cfg(test)]
mod tests;
