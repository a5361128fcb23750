//! The committed C header against what cbindgen makes of `src/ffi` now.

use std::fs;
use std::path::Path;

const GENERATED: &str = env!("MAKO_RAFT_GENERATED_HEADER");

fn committed() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/mako_raft.h");
    fs::read_to_string(path).expect("include/mako_raft.h is committed")
}

/// A build updates the committed file, so that this fails only where it was told not to
/// (`MAKO_RAFT_HEADER=check`, as scripts/test.sh does) or could not.
#[test]
fn the_committed_header_is_what_the_source_says() {
    let generated = fs::read_to_string(GENERATED).expect("build.rs wrote it");
    assert!(
        committed() == generated,
        "include/mako_raft.h differs from src/ffi: build without MAKO_RAFT_HEADER=check and commit it"
    );
}

#[test]
fn every_function_of_the_header_is_documented() {
    let header = committed();
    let lines: Vec<&str> = header.lines().collect();
    let mut functions = 0;
    for (at, line) in lines.iter().enumerate() {
        let declares = line.contains(" mako_raft_") || line.contains("*mako_raft_");
        if declares && line.contains('(') && !line.starts_with([' ', '/', 't']) {
            assert!(lines[at - 1].starts_with("//"), "no comment above: {line}");
            functions += 1;
        }
    }
    assert!(functions > 30, "found only {functions} functions: the test looks for the wrong thing");
}
