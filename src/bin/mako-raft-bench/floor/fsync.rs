//! The durable floor: pwrite and fdatasync, nothing else.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::clock;
use crate::histogram::Histogram;
use crate::scratch::Scratch;

use super::Floor;

/// Written once before it is measured: overwriting written blocks needs no metadata.
const FILE_BYTES: usize = 32 << 20;

pub fn measure(directory: &Path, bytes: usize, seconds: f64) -> Result<Floor, String> {
    let scratch = Scratch::new(Some(directory))?;
    let path = scratch.path().join("floor");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = OpenOptions::new().create_new(true).write(true).open(&path).map_err(failed)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0).and_then(|()| file.sync_all()).map_err(failed)?;
    let block = vec![0x5a; bytes];
    let histogram = Histogram::default();
    let begin = clock::now_ns();
    let end = begin + (seconds * 1e9) as u64;
    let mut at = 0;
    loop {
        let start = clock::now_ns();
        if start >= end {
            break;
        }
        file.write_all_at(&block, at as u64).and_then(|()| file.sync_data()).map_err(failed)?;
        histogram.record(clock::now_ns() - start);
        at = if at + 2 * bytes > FILE_BYTES { 0 } else { at + bytes };
    }
    let latency = histogram.summary();
    Ok(Floor { latency, mb_per_s: (latency.count as f64 * bytes as f64) / seconds / 1e6 })
}
