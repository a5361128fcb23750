//! The durable floor: pwrite and fdatasync, nothing else; by one writer, or by as many as there are replicas on the
//! disk, which get in each other's way there as the replicas do.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;

use crate::clock;
use crate::histogram::Histogram;
use crate::scratch::Scratch;

use super::Floor;

/// Written once before it is measured: overwriting written blocks needs no metadata.
const FILE_BYTES: usize = 32 << 20;

/// Each writer has its own file; the bandwidth is that of one of them while the others write as well.
pub fn measure(directory: &Path, bytes: usize, writers: usize, seconds: f64) -> Result<Floor, String> {
    let scratch = Scratch::new(Some(directory))?;
    let files: Vec<Written> =
        (0..writers).map(|number| Written::create(scratch.path().join(format!("floor{number}")))).collect::<Result<_, _>>()?;
    let end = clock::now_ns() + (seconds * 1e9) as u64;
    let write = |file: &Written| file.write_until(end, bytes);
    let histograms: Vec<Result<Histogram, String>> = thread::scope(|scope| {
        let threads: Vec<_> = files.iter().map(|file| scope.spawn(move || write(file))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err("a writer panicked".into()))).collect()
    });
    let all = Histogram::default();
    for histogram in histograms {
        all.merge(&histogram?);
    }
    let latency = all.summary();
    Ok(Floor { latency, mb_per_s: (latency.count as f64 * bytes as f64) / writers as f64 / seconds / 1e6 })
}

/// A file whose blocks have been written.
struct Written {
    path: PathBuf,
    file: File,
}

impl Written {
    fn create(path: PathBuf) -> Result<Self, String> {
        let file = OpenOptions::new().create_new(true).write(true).open(&path);
        let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
        let written = Self { path, file };
        let filled = written.file.write_all_at(&vec![0; FILE_BYTES], 0).and_then(|()| written.file.sync_all());
        filled.map_err(|error| written.failed(&error))?;
        Ok(written)
    }

    fn failed(&self, error: &std::io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }

    fn write_until(&self, end: u64, bytes: usize) -> Result<Histogram, String> {
        let block = vec![0x5a; bytes];
        let histogram = Histogram::default();
        let mut at = 0;
        loop {
            let start = clock::now_ns();
            if start >= end {
                return Ok(histogram);
            }
            let synced = self.file.write_all_at(&block, at as u64).and_then(|()| self.file.sync_data());
            synced.map_err(|error| self.failed(&error))?;
            histogram.record(clock::now_ns() - start);
            at = if at + 2 * bytes > FILE_BYTES { 0 } else { at + bytes };
        }
    }
}
