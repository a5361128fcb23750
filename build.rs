//! Writes the C header and sets how the shared library is linked.
//!
//! - `include/mako_raft.h` is generated from `src/ffi` by cbindgen. It is committed; this script
//!   touches it only when it differs, so a read-only or untouched source tree stays as it is.
//!   With `MAKO_RAFT_HEADER=check` it is never written, so that the drift test can fail.
//! - The shared library gets a SONAME (without one, the build path would end up in every program
//!   that links it) and stays mapped after `dlclose` (its threads may still be running).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Changes when the C ABI breaks; `cmake/` and the install rules name the same file.
const SONAME: &str = "libmako_raft.so.0";

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for input in ["build.rs", "cbindgen.toml", "src/ffi", "include/mako_raft.h"] {
        println!("cargo:rerun-if-changed={input}");
    }
    println!("cargo:rerun-if-env-changed=MAKO_RAFT_HEADER");

    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }

    let generated = out.join("mako_raft.h");
    generate_header(&root, &generated);
    println!("cargo:rustc-env=MAKO_RAFT_GENERATED_HEADER={}", generated.display());
    if env::var("MAKO_RAFT_HEADER").as_deref() != Ok("check") {
        update_committed_header(&generated, &root.join("include/mako_raft.h"));
    }
}

/// Parses the files of the `ffi` room only: nothing else may become part of the ABI.
fn generate_header(root: &Path, to: &Path) {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml parses");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in ffi_sources(root) {
        builder = builder.with_src(source);
    }
    let bindings = builder.generate().expect("src/ffi has C-compatible signatures");
    bindings.write_to_file(to);
}

/// In the order in which `src/ffi/mod.rs` declares them, which is the header's order.
fn ffi_sources(root: &Path) -> Vec<PathBuf> {
    let room = root.join("src/ffi");
    let declarations = fs::read_to_string(room.join("mod.rs")).expect("src/ffi/mod.rs is there");
    declarations
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod ")))
        .filter_map(|rest| rest.strip_suffix(';'))
        .map(|module| room.join(format!("{module}.rs")))
        .collect()
}

fn update_committed_header(generated: &Path, committed: &Path) {
    let fresh = fs::read(generated).expect("just written");
    if fs::read(committed).is_ok_and(|old| old == fresh) {
        return;
    }
    if let Err(error) = fs::write(committed, fresh) {
        println!("cargo:warning=include/mako_raft.h differs from src/ffi and can't be written: {error}");
    }
}
