//! Segment files: their names, their first block, and reading records out of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::checksum::crc32c;

use super::directory::Directory;
use super::error::DiskError;
use super::files::{LogFile, OpenMode};
use super::record::{Header, Unknown, ALIGNMENT, HEADER_BYTES};

/// Records start here: the first block belongs to the segment's header.
pub(super) const RECORDS_START: u64 = 4096;

const MAGIC: &[u8; 8] = b"MAKOSEG\x01";
const BLOCK_BYTES: usize = 32;
/// How much is read ahead while records are scanned.
const WINDOW_BYTES: usize = 256 << 10;

/// The name of a segment.
pub(super) fn name(segment: u32) -> String {
    format!("segment-{segment:010}.log")
}

/// The path of a segment.
pub(super) fn path(directory: &Path, segment: u32) -> PathBuf {
    directory.join(name(segment))
}

/// The segment's number, when `name` is a segment's.
pub(super) fn parse_name(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".log")?;
    (digits.len() == 10).then(|| digits.parse().ok()).flatten()
}

/// The first block of a segment: `magic, number u32, 0 u32, salt u64, 0 u32, CRC32C u32`.
pub(super) fn header_block(segment: u32, salt: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block[..8].copy_from_slice(MAGIC);
    block[8..12].copy_from_slice(&segment.to_le_bytes());
    block[16..24].copy_from_slice(&salt.to_le_bytes());
    let crc = crc32c(&block[..28]);
    block[28..].copy_from_slice(&crc.to_le_bytes());
    block
}

/// An open segment with a checked header.
#[derive(Clone)]
pub(super) struct Segment {
    pub number: u32,
    pub path: PathBuf,
    pub file: Arc<dyn LogFile>,
    pub salt: u64,
}

impl Segment {
    /// Opens an existing segment.
    pub fn open(directory: &Directory, number: u32) -> Result<Segment, DiskError> {
        let path = path(&directory.path, number);
        let file = directory.file(&name(number), OpenMode::Existing)?;
        let mut block = [0; BLOCK_BYTES];
        let read = file.read_at(&mut block, 0).map_err(|e| DiskError::io("read", &path, e))?;
        let salt = u64::from_le_bytes(block[16..24].try_into().expect("eight bytes"));
        if read < BLOCK_BYTES || block != header_block(number, salt) {
            return Err(DiskError::corrupt(&path, 0, "the segment's header is damaged"));
        }
        Ok(Segment { number, path, file, salt })
    }

    /// The file's length.
    pub fn length(&self) -> Result<u64, DiskError> {
        self.file.length().map_err(|e| DiskError::io("look at", &self.path, e))
    }

    /// It is full, synced, and read by nobody who is in a hurry. See [`LogFile::forget`].
    pub fn forget(&self) {
        if let Ok(bytes) = self.file.length() {
            self.file.forget(0..bytes);
        }
    }

    /// Makes everything written to it durable.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.file.sync().map_err(|e| DiskError::io("sync", &self.path, e))
    }
}

/// Reads records of one segment, reading ahead.
pub(super) struct Scanner<'a> {
    segment: &'a Segment,
    window: Vec<u8>,
    window_at: u64,
    /// The file's length when it was last looked at. It only grows.
    length: u64,
}

impl<'a> Scanner<'a> {
    pub fn new(segment: &'a Segment) -> Self {
        Self { segment, window: Vec::new(), window_at: 0, length: 0 }
    }

    /// Up to `bytes` bytes from `offset` on; fewer at the end of the file. At most one window.
    fn view(&mut self, offset: u64, bytes: usize) -> Result<&[u8], DiskError> {
        assert!(bytes <= WINDOW_BYTES, "a view fits the window");
        let end = self.window_at + self.window.len() as u64;
        if offset < self.window_at || offset + bytes as u64 > end {
            self.window.resize(WINDOW_BYTES, 0);
            let read = self.read(offset, WINDOW_BYTES)?;
            self.window.truncate(read);
            self.window_at = offset;
        }
        let start = (offset - self.window_at) as usize;
        Ok(&self.window[start..self.window.len().min(start + bytes)])
    }

    fn read(&mut self, offset: u64, bytes: usize) -> Result<usize, DiskError> {
        let file = &self.segment.file;
        file.read_at(&mut self.window[..bytes], offset)
            .map_err(|e| DiskError::io("read", &self.segment.path, e))
    }

    /// The header at `offset`, or `None` when there is none.
    pub fn header(&mut self, offset: u64) -> Result<Option<Header>, DiskError> {
        let segment = self.segment;
        let header = Header::parse(self.view(offset, HEADER_BYTES)?, segment.salt, offset);
        header.map_err(|Unknown(what)| DiskError::Later { path: segment.path.clone(), offset, what })
    }

    /// The record at `offset` with its body, or `None` when it is not whole.
    pub fn record(&mut self, offset: u64) -> Result<Option<(Header, Bytes)>, DiskError> {
        let Some(header) = self.header(offset)? else { return Ok(None) };
        let (at, bytes) = (offset + HEADER_BYTES as u64, header.body_bytes as usize);
        // No memory for what a header promises and the file does not have.
        if !self.reaches(at + bytes as u64)? {
            return Ok(None);
        }
        let body = if bytes <= WINDOW_BYTES {
            Bytes::copy_from_slice(self.view(at, bytes)?)
        } else {
            let file = &self.segment.file;
            let mut body = vec![0; bytes];
            let read = file.read_at(&mut body, at).map_err(|e| DiskError::io("read", &self.segment.path, e))?;
            body.truncate(read);
            Bytes::from(body)
        };
        Ok(header.body_is_whole(&body).then_some((header, body)))
    }

    /// Whether the file has so many bytes. It is asked again only when it had fewer.
    fn reaches(&mut self, end: u64) -> Result<bool, DiskError> {
        if end > self.length {
            self.length = self.segment.length()?;
        }
        Ok(end <= self.length)
    }

    /// The first header at or behind `from`, wherever it may start, before `length`.
    pub fn next_header(&mut self, from: u64, length: u64) -> Result<Option<(u64, Header)>, DiskError> {
        let mut offset = from;
        let segment = self.segment;
        while offset + HEADER_BYTES as u64 <= length {
            let view = self.view(offset, WINDOW_BYTES.min((length - offset) as usize))?;
            if view.len() < HEADER_BYTES {
                return Ok(None);
            }
            let last = view.len() - HEADER_BYTES;
            for start in (0..=last).step_by(ALIGNMENT as usize) {
                let at = offset + start as u64;
                let header = Header::parse(&view[start..], segment.salt, at);
                let later = |Unknown(what)| DiskError::Later { path: segment.path.clone(), offset: at, what };
                if let Some(header) = header.map_err(later)? {
                    return Ok(Some((at, header)));
                }
            }
            offset += (last as u64 / ALIGNMENT + 1) * ALIGNMENT;
        }
        Ok(None)
    }
}
