//! serde_yaml reads the same out of a file as we do.
//!
//! Our tree keeps the line of every value, which serde_yaml's does not; what the values *are* must not depend
//! on who reads them.

use std::path::Path;

use serde_yaml::Value as Theirs;

use crate::config::yaml::{parse, Node, Value as Ours};

/// Compares trees; `place` names where they differ.
fn compare(ours: &Node, theirs: &Theirs, place: &str) {
    match (&ours.value, theirs) {
        (Ours::Null, Theirs::Null) => {}
        (Ours::Scalar(text), Theirs::String(same)) => assert_eq!(text, same, "{place}"),
        (Ours::Scalar(text), Theirs::Bool(same)) => assert_eq!(text, &same.to_string(), "{place}"),
        (Ours::Scalar(text), Theirs::Number(same)) => assert_eq!(text, &same.to_string(), "{place}"),
        (Ours::Sequence(ours), Theirs::Sequence(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{place}");
            for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                compare(ours, theirs, &format!("{place}[{i}]"));
            }
        }
        (Ours::Mapping(ours), Theirs::Mapping(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{place}");
            for entry in ours {
                let place = format!("{place}.{}", entry.key);
                let theirs = theirs.get(entry.key.as_str()).unwrap_or_else(|| panic!("{place} is missing"));
                compare(&entry.value, theirs, &place);
            }
        }
        (ours, theirs) => panic!("{place}: {ours:?} and {theirs:?}"),
    }
}

fn compare_text(text: &str, name: &str) {
    let ours = parse(text).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
    let mut theirs: Theirs = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    theirs.apply_merge().unwrap_or_else(|error| panic!("{name}: {error}"));
    compare(&ours, &theirs, name);
}

#[test]
fn every_sample_file_reads_the_same() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let files = std::fs::read_dir(directory).expect("the sample files are there");
    let mut read = 0;
    for file in files {
        let path = file.expect("a directory entry").path();
        let text = std::fs::read_to_string(&path).expect("a sample file is text");
        compare_text(&text, &path.display().to_string());
        read += 1;
    }
    assert!(read >= 10, "only {read} sample files");
}

#[test]
fn anchors_merges_quotes_and_blocks_read_the_same() {
    for text in [
        "base: &b {x: a, y: [1, two]}\nderived:\n  <<: *b\n  z: c\nagain: *b\n",
        "quoted: \"a\\tb\"\nsingle: 'it''s'\nempty: ''\nnothing:\ntilde: ~\n",
        "folded: >\n  one\n  two\nliteral: |\n  one\n  two\n",
        "- [\"s101:7101\", \"p1:7102\"]\n- - a:1\n  - b:2\n",
        "# only a comment\n",
    ] {
        compare_text(text, text);
    }
}
