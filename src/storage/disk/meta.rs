//! The file `META`: whose directory this is, for which partitions, and how often it was opened.
//!
//! Text, so that an operator can read it; the last line is the CRC32C of the lines before it. It is
//! replaced whole, by a rename.

use std::io::IoSlice;
use std::path::Path;

use crate::checksum::crc32c;

use super::directory::Directory;
use super::error::DiskError;
use super::files::OpenMode;
use super::{layout, DiskOptions};

/// The layout that this version writes and reads.
const FORMAT: u64 = 1;
pub(super) const NAME: &str = "META";
const NEW_NAME: &str = "META.new";
/// Far above what this version writes for 4,096 partitions, no two of them neighbours.
const META_MAX_BYTES: usize = 64 << 10;

/// What `META` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// With hosts and ports. Mako's shards repeat their names, so nothing else tells one from another.
    pub fingerprint: u64,
    /// Without them; `None` from a version that didn't write it.
    pub shard: Option<u64>,
    pub process: u64,
    pub group: u64,
    /// As [`layout::partitions`] writes them; `None` from a version that didn't write them.
    pub partitions: Option<String>,
    /// How often the directory was opened since it has segments: with the segment's number, the salt of its records.
    pub incarnation: u32,
}

impl Meta {
    /// What `options` ask for, never opened.
    pub fn expected(options: &DiskOptions) -> Meta {
        Meta {
            fingerprint: options.addressed_fingerprint,
            shard: Some(options.shard_fingerprint),
            process: u64::from(options.process.0),
            group: u64::from(options.group.0),
            partitions: Some(layout::partitions(&options.partitions)),
            incarnation: 0,
        }
    }

    fn text(&self) -> String {
        let partitions = self.partitions.as_ref().map_or_else(String::new, |p| format!("partitions {p}\n"));
        let shard = self.shard.map_or_else(String::new, |shard| format!("shard {shard:016x}\n"));
        let lines = format!(
            "mako-raft log\nformat {FORMAT}\nfingerprint {:016x}\n{shard}process {}\ngroup {}\n{partitions}incarnation {}\n",
            self.fingerprint, self.process, self.group, self.incarnation
        );
        let crc = crc32c(lines.as_bytes());
        format!("{lines}crc32c {crc:08x}\n")
    }

    /// Reads `META`; `None` when there is none.
    pub fn read(directory: &Directory) -> Result<Option<Meta>, DiskError> {
        if !directory.names()?.iter().any(|name| name == NAME) {
            return Ok(None);
        }
        let path = directory.path_of(NAME);
        let file = directory.file(NAME, OpenMode::Existing)?;
        let mut bytes = vec![0; META_MAX_BYTES];
        let read = file.read_at(&mut bytes, 0).map_err(|e| DiskError::io("read", &path, e))?;
        let text = std::str::from_utf8(&bytes[..read]).map_err(|_| DiskError::corrupt(&path, 0, "it is not text"))?;
        parse(text, &path).map(Some)
    }

    /// Refuses a directory of another shard, process or group, or of a group with other partitions.
    pub fn check(&self, options: &DiskOptions, directory: &Path) -> Result<(), DiskError> {
        self.check_owner(options, directory)?;
        let expected = Meta::expected(options);
        differs(directory, "group", self.group.to_string(), expected.group.to_string())?;
        match (&self.partitions, &expected.partitions) {
            (Some(found), Some(expected)) if found != expected => {
                let of = |partitions| format!("partitions {partitions} in group {}", self.group);
                Err(DiskError::Layout { path: directory.join(NAME), found: of(found), expected: of(expected) })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a directory of another shard or process. One with other addresses is taken where the operator's order says
    /// that it is the one that moved.
    pub fn check_owner(&self, options: &DiskOptions, directory: &Path) -> Result<(), DiskError> {
        let expected = options.shard_fingerprint;
        if let Some(found) = self.shard.filter(|&found| found != expected) {
            return Err(DiskError::Shard { path: directory.join(NAME), found, expected });
        }
        let (found, expected) = (self.fingerprint, options.addressed_fingerprint);
        if found != expected && options.moved_from != Some(found) {
            let (path, names_are_known) = (directory.join(NAME), self.shard.is_some());
            return Err(DiskError::Moved { path, names_are_known, found, expected });
        }
        differs(directory, "process", self.process.to_string(), options.process.0.to_string())
    }

    /// Replaces `META` durably.
    pub fn write(&self, directory: &Directory) -> Result<(), DiskError> {
        let new = directory.path_of(NEW_NAME);
        if directory.names()?.iter().any(|name| name == NEW_NAME) {
            directory.remove(NEW_NAME)?;
        }
        let file = directory.file(NEW_NAME, OpenMode::CreateIfMissing)?;
        let text = self.text();
        file.write_at(&[IoSlice::new(text.as_bytes())], 0).map_err(|e| DiskError::io("write", &new, e))?;
        file.sync().map_err(|e| DiskError::io("sync", &new, e))?;
        directory.rename(NEW_NAME, NAME)?;
        directory.sync()
    }
}

fn differs(directory: &Path, what: &'static str, found: String, expected: String) -> Result<(), DiskError> {
    if found == expected {
        return Ok(());
    }
    Err(DiskError::Mismatch { path: directory.join(NAME), what, found, expected })
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
        shard: value("shard").is_ok().then(|| number("shard", 16)).transpose()?,
        process: number("process", 10)?,
        group: number("group", 10)?,
        partitions: value("partitions").ok().map(str::to_owned),
        incarnation: number("incarnation", 10)?.try_into().map_err(|_| damaged("'incarnation' is too large"))?,
    })
}
