//! Files written to hurt: refused in bounded time, without a panic or a deep recursion.

use std::time::{Duration, Instant};

use super::{Files, SHARD};

/// Loads `text`, which must take no longer than a person would wait, and gives the message.
fn refused(text: &str) -> String {
    let begun = Instant::now();
    let message = Files::with(text).load(&[]).expect_err("hostile");
    assert!(begun.elapsed() < Duration::from_secs(20), "took {:?}", begun.elapsed());
    message
}

/// The piece again and again, up to the largest file that is read.
fn full_of(piece: &str) -> String {
    const FILE_BYTES_MAX: usize = 1 << 20;
    piece.repeat(FILE_BYTES_MAX / piece.len())
}

#[test]
fn deep_nesting_of_every_kind_is_refused() {
    for opening in ["[", "{a: ", "- ", "? ", "[{a: ", "!t [", "[? "] {
        let message = refused(&full_of(opening));
        assert!(message.starts_with("a.yml:1: "), "{opening}: {message}");
    }
    let mut stairs = String::new();
    for depth in 0..1_000 {
        stairs.push_str(&format!("{}a:\n", " ".repeat(depth)));
    }
    assert_eq!(refused(&stairs), "a.yml:65: values nested more than 64 deep; expected a flatter file");
}

#[test]
fn an_alias_bomb_is_refused_before_it_is_expanded() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", ")));
    }
    let message = refused(&text);
    assert_eq!(message, "a.yml:6: more than 500000 values, aliases counted; expected a smaller file");
    let merged = text.replace("x, x", "{k: v}, {l: w}") + "site:\n  <<: *a9\n";
    refused(&merged);
}

#[test]
fn a_chain_of_aliases_is_refused_before_its_drop_would_recurse_too_deep() {
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..40_000 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    let message = refused(&text);
    assert!(message.contains("more than 500000 values"), "{message}");
}

#[test]
fn huge_files_keys_and_lists_are_refused_with_a_short_message() {
    let cases = [
        full_of(" ") + "  ",
        format!("{SHARD}raft: {{{}: 1}}\n", "k".repeat(1 << 10)),
        format!("? {}\n: 1\nsite: 1\n", "k".repeat(1 << 19)),
        format!("site:\n  server:\n{}", "    - [a]\n".repeat(100_000)),
        format!("site: {{server: [[{}]]}}\n", "a:1,".repeat(200_000)),
        full_of("&a "),
        "a: \"".to_owned() + &"\\x41".repeat(1 << 18),
        full_of("#"),
        full_of("%TAG ! a\n"),
        full_of("- |\n"),
        full_of("'"),
        full_of("a: b: "),
        full_of("\u{0}"),
        full_of("a,"),
        "[a,".to_owned() + &"a,".repeat(1 << 18),
        "[a,".to_owned() + &"\n".repeat(1 << 19),
    ];
    for text in cases {
        let message = refused(&text);
        assert!(message.len() < 1_500, "{} bytes of message for {:?}", message.len(), &text[..20]);
    }
}

#[test]
fn more_partitions_or_sites_than_the_bounds_are_refused_and_as_many_are_accepted() {
    let shard = |partitions: usize| {
        let rows: String = (0..partitions).map(|row| format!("    - [a{row}:{}]\n", row + 1)).collect();
        let processes: String = (0..partitions).map(|row| format!("  a{row}: localhost\n")).collect();
        format!("site:\n  server:\n{rows}process:\n{processes}")
    };
    assert_eq!(Files::with(&shard(4_096)).load(&[]).unwrap().topology.partitions.len(), 4_096);
    assert_eq!(
        refused(&shard(4_097)),
        "a.yml:4099: site.server[4096]: one more partition; expected at most 4096 partitions"
    );
}

/// A small generator (xorshift64*), so that a failing seed replays exactly.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

/// Damages `text` in a few places: bytes replaced, pieces removed, doubled, moved, or syntax put in.
fn damaged(text: &str, random: &mut Random) -> Vec<u8> {
    const PIECES: [&str; 20] = [
        "[", "]", "{", "}", ": ", "- ", "\n", "&a ", "*a", "<<: ", "!!str ", "\"", "'", "|\n", "? ", "#", "~", "\t",
        "99999999999999999999", "\u{feff}",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(5) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.splice(at..at, PIECES[random.below(PIECES.len())].bytes()).for_each(drop),
            2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            3 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece).for_each(drop);
            }
            _ => {
                let piece: Vec<u8> = bytes.drain(at..end).collect();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece).for_each(drop);
            }
        }
    }
    bytes
}

#[test]
fn a_damaged_file_is_accepted_or_refused_with_its_place_but_never_panics() {
    let whole = format!(
        "{SHARD}mode: {{cc: none, ab: raft}}\nraft:\n  tick_ms: 10\n  queue_bytes: 64 MiB\n  preferred_leader: s201\n  \
         election_codes: {{first: null, gained: 0, lost: null}}\n"
    );
    let (mut accepted, mut refused) = (0, 0);
    let mut files = Files::with("");
    for seed in 1..=1_000 {
        files = files.and("a.yml", &damaged(&whole, &mut Random(seed)));
        match files.load(&[]) {
            Ok(configuration) => {
                accepted += 1;
                assert!(!configuration.topology.partitions.is_empty(), "seed {seed}");
            }
            Err(message) => {
                refused += 1;
                let placed = message.starts_with("a.yml") || message.starts_with("command line: ");
                assert!(placed && message.contains("; expected "), "seed {seed}: {message}");
            }
        }
    }
    assert!(accepted > 20 && refused > 20, "{accepted} accepted, {refused} refused: the damage is of the right size");
}
