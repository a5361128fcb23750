//! Randomness from the operating system.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;

use crate::ids::RunId;

/// A random number. Falls back to the standard library's seeding where there is no `/dev/urandom`.
pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    match File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => RandomState::new().build_hasher().finish(),
    }
}

/// A run's number: random, and never 0.
pub(super) fn new_run() -> RunId {
    RunId(random().max(1))
}
