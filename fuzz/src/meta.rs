//! The file `META` of a data directory: arbitrary, or with a right checksum. Opening the directory says what is
//! wrong, or counts the opening and can be opened again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mako_raft::storage::disk::simulated::SimulatedFiles;
use mako_raft::storage::disk::DiskLog;

use super::disk::{options, DIRECTORY};

/// A byte of choices, then the file.
pub fn run(bytes: &[u8]) {
    let Some((&mode, text)) = bytes.split_first() else { return };
    let files = SimulatedFiles::new();
    if mode & 2 != 0 {
        assert!(opens(&files), "a new directory opens");
    }
    let mut meta = text.to_vec();
    if mode & 1 != 0 {
        meta.extend(format!("crc32c {:08x}\n", crc32c::crc32c(text)).bytes());
    }
    let path = PathBuf::from(DIRECTORY).join("META");
    files.replace_contents(&path, meta);
    if opens(&files) {
        // Unless that was the last time that its counter has.
        let is_last = meta_says(&files, &path, "incarnation 4294967295\n");
        assert_ne!(opens(&files), is_last, "what was opened once opens again");
        let written = files.contents(&path).expect("it was written");
        assert!(written.starts_with(b"mako-raft log\nformat "), "{written:?}");
    } else {
        assert!(!opens(&files), "what was refused is refused again");
    }
}

fn meta_says(files: &SimulatedFiles, path: &Path, line: &str) -> bool {
    files.contents(path).is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains(line))
}

fn opens(files: &SimulatedFiles) -> bool {
    match DiskLog::open(Path::new(DIRECTORY), options(), Arc::new(files.clone())) {
        Ok(_) => true,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("META"), "{text}");
            false
        }
    }
}
