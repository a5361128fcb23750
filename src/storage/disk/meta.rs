//! The file `META`: whose directory this is, and how often it was opened.
//!
//! Text, so that an operator can read it; the last line is the CRC32C of the lines before it. It is
//! replaced whole, by a rename.

use std::io::IoSlice;
use std::path::Path;

use crate::checksum::crc32c;

use super::error::DiskError;
use super::files::{FileSystem, OpenMode};
use super::DiskOptions;

/// The layout that this version writes and reads.
const FORMAT: u64 = 1;
pub(super) const NAME: &str = "META";
const NEW_NAME: &str = "META.new";
/// Far above what this version writes.
const META_MAX_BYTES: usize = 4096;

/// What `META` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub fingerprint: u64,
    pub process: u64,
    pub group: u64,
    /// How often the directory was opened since it has segments: with the segment's number, the salt of its records.
    pub incarnation: u32,
}

impl Meta {
    /// What `options` ask for, never opened.
    pub fn expected(options: &DiskOptions) -> Meta {
        Meta {
            fingerprint: options.shard_fingerprint,
            process: u64::from(options.process.0),
            group: u64::from(options.group.0),
            incarnation: 0,
        }
    }

    fn text(&self) -> String {
        let lines = format!(
            "mako-raft log\nformat {FORMAT}\nfingerprint {:016x}\nprocess {}\ngroup {}\nincarnation {}\n",
            self.fingerprint, self.process, self.group, self.incarnation
        );
        let crc = crc32c(lines.as_bytes());
        format!("{lines}crc32c {crc:08x}\n")
    }

    /// Reads `META`; `None` when there is none.
    pub fn read(files: &dyn FileSystem, directory: &Path) -> Result<Option<Meta>, DiskError> {
        let path = directory.join(NAME);
        let names = files.list(directory).map_err(|e| DiskError::io("list", directory, e))?;
        if !names.iter().any(|name| name == NAME) {
            return Ok(None);
        }
        let file = files.open(&path, OpenMode::Existing).map_err(|e| DiskError::io("open", &path, e))?;
        let mut bytes = vec![0; META_MAX_BYTES];
        let read = file.read_at(&mut bytes, 0).map_err(|e| DiskError::io("read", &path, e))?;
        let text = std::str::from_utf8(&bytes[..read]).map_err(|_| DiskError::corrupt(&path, 0, "it is not text"))?;
        parse(text, &path).map(Some)
    }

    /// Refuses a directory of another shard, process or group.
    pub fn check(&self, expected: &Meta, directory: &Path) -> Result<(), DiskError> {
        let differs = |what, found: String, expected: String| {
            let path = directory.join(NAME);
            if found == expected { Ok(()) } else { Err(DiskError::Mismatch { path, what, found, expected }) }
        };
        let hex = |number: u64| format!("{number:016x}");
        differs("shard fingerprint", hex(self.fingerprint), hex(expected.fingerprint))?;
        differs("process", self.process.to_string(), expected.process.to_string())?;
        differs("group", self.group.to_string(), expected.group.to_string())
    }

    /// Replaces `META` durably.
    pub fn write(&self, files: &dyn FileSystem, directory: &Path) -> Result<(), DiskError> {
        let (new, path) = (directory.join(NEW_NAME), directory.join(NAME));
        let names = files.list(directory).map_err(|e| DiskError::io("list", directory, e))?;
        if names.iter().any(|name| name == NEW_NAME) {
            files.remove(&new).map_err(|e| DiskError::io("remove", &new, e))?;
        }
        let file = files.open(&new, OpenMode::CreateIfMissing).map_err(|e| DiskError::io("create", &new, e))?;
        let text = self.text();
        file.write_at(&[IoSlice::new(text.as_bytes())], 0).map_err(|e| DiskError::io("write", &new, e))?;
        file.sync().map_err(|e| DiskError::io("sync", &new, e))?;
        files.rename(&new, &path).map_err(|e| DiskError::io("rename", &new, e))?;
        files.sync_directory(directory).map_err(|e| DiskError::io("sync", directory, e))
    }
}

fn parse(text: &str, path: &Path) -> Result<Meta, DiskError> {
    let damaged = |what: &str| DiskError::corrupt(path, 0, what);
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line.ok_or_else(|| damaged(&format!("the line '{key}' is missing")))
    };
    let number = |key: &str, radix: u32| {
        u64::from_str_radix(value(key)?, radix).map_err(|_| damaged(&format!("'{key}' is not a number")))
    };
    let body = text.rfind("crc32c ").map(|at| &text[..at]).ok_or_else(|| damaged("the line 'crc32c' is missing"))?;
    if u64::from(crc32c(body.as_bytes())) != number("crc32c", 16)? {
        return Err(damaged("its checksum is wrong"));
    }
    let format = number("format", 10)?;
    if format != FORMAT {
        return Err(DiskError::Format { path: path.to_path_buf(), found: format, expected: FORMAT });
    }
    Ok(Meta {
        fingerprint: number("fingerprint", 16)?,
        process: number("process", 10)?,
        group: number("group", 10)?,
        incarnation: number("incarnation", 10)?.try_into().map_err(|_| damaged("'incarnation' is too large"))?,
    })
}
