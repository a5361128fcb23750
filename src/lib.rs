//! Replicates the log streams of a Mako shard over Raft.
//!
//! Each worker thread of Mako submits its committed transactions as opaque byte strings
//! ("logs") to its partition. This library replicates every stream to the other replicas
//! of the shard and calls back, in order, when a log is committed.
//!
//! The rooms, from the inside out; each folder's `mod.rs` says what it owns:
//!
//! | room | owns |
//! |---|---|
//! | [`ids`] | the vocabulary: partitions, processes, runs, slots, time |
//! | [`replica`] | one Raft group as a state machine without I/O |
//! | [`storage`] | the Raft log, in memory and on disk |
//! | [`transport`] | sockets, the handshake, frames |
//! | [`config`] | arguments, YAML and environment to a checked topology |
//! | [`runtime`] | threads and queues |
//! | [`helper`] | what Mako's contract means |
//! | `ffi` | the C ABI |
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod checksum;
pub mod config;
pub mod helper;
pub mod ids;
pub mod replica;
mod repeats;
pub mod runtime;
pub mod storage;
pub mod transport;

#[allow(unsafe_code)]
pub mod ffi;
