//! The data directory of a process: a directory for each of its groups, and for no other.
//!
//! Which partitions share a group is a setting. Under another one the same directory has another part of the shard's
//! logs, and a partition whose log is in a directory that nobody opens would begin anew without a word.

use std::path::{Path, PathBuf};

use super::directory::Directory;
use super::error::DiskError;
use super::files::FileSystem;
use super::meta::{self, Meta};
use super::DiskOptions;
use crate::ids::{GroupId, PartitionId};

const GROUP_PREFIX: &str = "group-";

/// Where the log of `group` is.
pub fn group_directory(data_directory: &Path, group: GroupId) -> PathBuf {
    data_directory.join(format!("{GROUP_PREFIX}{}", group.0))
}

/// Refuses a data directory with logs of other groups than those of `logs`, the options of all that a process has.
///
/// Look before the first of them is opened, which writes its `META` anew. Each opening compares the partitions;
/// where an earlier version wrote `META`, which didn't name them, the set of groups shows whether they are the same: with
/// other partitions in its groups a process has other groups.
pub fn check_layout(files: &dyn FileSystem, data_directory: &Path, logs: &[DiskOptions]) -> Result<(), DiskError> {
    let found = groups_in(files, data_directory)?;
    let differs = |path: PathBuf, found: String, expected: String| Err(DiskError::Layout { path, found, expected });
    let expected: Vec<u32> = logs.iter().map(|log| log.group.0.into()).collect();
    for &(group, ref meta) in &found {
        let directory = group_directory(data_directory, group);
        let Some(ours) = logs.iter().find(|log| log.group == group).or(logs.first()) else { continue };
        // A directory of another shard or process is told apart first: nobody changed a setting there.
        meta.check_owner(ours, &directory)?;
        if !expected.contains(&group.0.into()) {
            let here = format!("no {group}, but {}", named("group", &expected));
            return differs(directory.join(meta::NAME), group.to_string(), here);
        }
    }
    let nameless = found.iter().find(|(_, meta)| meta.partitions.is_none());
    match nameless {
        Some(&(group, _)) if found.len() != expected.len() => {
            let all: Vec<u32> = found.iter().map(|(group, _)| group.0.into()).collect();
            differs(group_directory(data_directory, group).join(meta::NAME), named("group", &all), named("group", &expected))
        }
        _ => Ok(()),
    }
}

/// The groups that have a log there, ascending.
fn groups_in(files: &dyn FileSystem, data_directory: &Path) -> Result<Vec<(GroupId, Meta)>, DiskError> {
    let names = match Directory::open(files, data_directory) {
        Err(DiskError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        directory => directory?.names()?,
    };
    let mut groups: Vec<GroupId> = names.iter().filter_map(|name| group_named(name)).collect();
    groups.sort();
    let mut found = Vec::new();
    for group in groups {
        let directory = group_directory(data_directory, group);
        if files.identity(&directory.join(meta::NAME)).is_ok() {
            found.extend(Meta::read(&Directory::open(files, &directory)?)?.map(|meta| (group, meta)));
        }
    }
    Ok(found)
}

/// What an operator put aside under a name like ours is left alone.
fn group_named(name: &str) -> Option<GroupId> {
    let number = name.strip_prefix(GROUP_PREFIX)?;
    let group: u16 = number.parse().ok()?;
    (group.to_string() == number).then_some(GroupId(group))
}

/// The partitions of a group, as `META` has them.
pub(super) fn partitions(partitions: &[PartitionId]) -> String {
    ranges(&partitions.iter().map(|partition| partition.0).collect::<Vec<_>>())
}

fn named(what: &str, numbers: &[u32]) -> String {
    format!("{what}{} {}", if numbers.len() == 1 { "" } else { "s" }, ranges(numbers))
}

/// `0-5,8`: ascending numbers in the fewest characters.
fn ranges(numbers: &[u32]) -> String {
    let joined = numbers.chunk_by(|before, next| before + 1 == *next).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        only => format!("{}", only[0]),
    });
    joined.collect::<Vec<_>>().join(",")
}
