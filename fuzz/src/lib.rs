//! The bodies of the fuzz targets: each takes bytes and panics on a find. `fuzz_targets/` hands them libFuzzer's
//! bytes, `tests/fuzz_corpus.rs` those of the corpus.

pub mod arguments;
pub mod c_abi;
pub mod disk;
pub mod frame;
pub mod handshake;
pub mod meta;
pub mod payload;
pub mod room;
pub mod status;
pub mod wire;
pub mod yaml;
mod said;

/// One target.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also its corpus folder's.
pub const TARGETS: [(&str, Target); 11] = [
    ("arguments", arguments::run),
    ("c_abi", c_abi::run),
    ("disk", disk::run),
    ("frame", frame::run),
    ("handshake", handshake::run),
    ("meta", meta::run),
    ("payload", payload::run),
    ("room", room::run),
    ("status", status::run),
    ("wire", wire::run),
    ("yaml", yaml::run),
];
