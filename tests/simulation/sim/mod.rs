//! The deterministic simulator: a whole shard in one thread, from one seed, on the real replica room.
//!
//! Open `world.rs` first (the loop over events), then `plan.rs` (what a seed stands for), `faults.rs`,
//! `checks.rs` and `account.rs` (the invariants), and `settle.rs` (what must hold when faults stop).

// Two programs share this module, the tests and the command: each uses its part of it.
#![allow(dead_code)]

pub mod account;
pub mod checks;
pub mod describe;
pub mod disk;
pub mod faults;
pub mod figure8;
pub mod life;
pub mod load;
pub mod network;
pub mod operator;
pub mod plan;
pub mod random;
pub mod run;
pub mod schedule;
pub mod settle;
pub mod tolerance;
pub mod trace;
pub mod transcript;
pub mod turn;
pub mod world;
