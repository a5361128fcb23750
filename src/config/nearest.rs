//! The known name that a mistyped one most likely meant.

/// The candidate with the smallest edit distance to `typed`, the first of several; `None` only when
/// there are no candidates.
pub(super) fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // No known name is longer; the rest of a hostile key can't bring it nearer to one.
    const COMPARED_CHARACTERS_MAX: usize = 64;
    let typed: Vec<char> = typed.to_lowercase().chars().take(COMPARED_CHARACTERS_MAX).collect();
    candidates.into_iter().min_by_key(|candidate| edits(&typed, candidate))
}

/// Insertions, deletions and replacements that turn one into the other (Levenshtein), a row at a time.
fn edits(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_mistyped_name_finds_the_one_that_was_meant() {
        let known = ["tick_ms", "heartbeat_ms", "election_ms", "data_dir"];
        for (typed, meant) in [
            ("tick", "tick_ms"),
            ("hartbeat_ms", "heartbeat_ms"),
            ("ELECTION_MS", "election_ms"),
            ("datadir", "data_dir"),
        ] {
            assert_eq!(nearest(typed, known), Some(meant), "{typed}");
        }
        assert_eq!(nearest("tick", []), None);
        assert!(nearest(&"x".repeat(1 << 20), known).is_some(), "a huge key is cut, not compared whole");
    }
}
