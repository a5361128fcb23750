//! The C ABI: pointers in, status codes out. No logic of its own.
//!
//! Every `extern "C"` function here checks its pointers, turns them into Rust values and calls one
//! function of [`crate::helper`]. The doc comments become `include/mako_raft.h`; they are written
//! for a C or C++ programmer, and the conventions that hold for all of them stand once at the top
//! of that header (`cbindgen.toml`).
//!
//! What every function of this room relies on, in the order worth reading:
//! [`status`] (codes), [`boundary`] (panics stop here), [`last_error`] (the message),
//! [`callbacks`] (function pointer + context + destructor), [`c_text`] (strings).
//!
//! This is the only room with `unsafe`. So it also has what a room below needs it for: [`joining`] and [`signals`].

// The safety conditions are the header's documentation; C has no `unsafe` to hang them on.
#![allow(clippy::missing_safety_doc)]
// The types are named as C sees them.
#![allow(non_camel_case_types)]

pub mod status;
pub mod last_error;
mod boundary;
mod c_text;
pub mod callbacks;
pub mod setup;
pub mod registration;
pub mod submission;
pub mod leadership;
pub mod counters;
pub mod logging;
mod forked;
// For `runtime`, which has no `unsafe`: see there.
pub(crate) mod joining;
pub(crate) mod signals;

pub use status::mako_raft_status;
