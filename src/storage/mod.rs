//! The Raft log and hard state: in memory ([`memory`]), and durable on disk ([`disk`]).
//!
//! This room never touches sockets or callbacks. Open [`memory`] first: it is what raft-rs reads.
