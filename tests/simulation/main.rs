//! The simulator as tests: a few hundred seeds, and proof that it is deterministic.

#[cfg(feature = "planted-bugs")]
mod mends;
#[cfg(feature = "planted-bugs")]
mod planted;
mod regressions;
mod sim;

use sim::plan::{FaultSet, Profile, Request};
use sim::run::run;
use sim::trace::Detail;

/// Runs seeds until one fails; the failure names the command that repeats it.
fn all_hold(profile: Profile, seeds: std::ops::Range<u64>) {
    all_hold_under(FaultSet::all(), profile, seeds);
}

/// With no other faults than those that are `allowed`.
fn all_hold_under(allowed: FaultSet, profile: Profile, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let outcome = run(Request { allowed, ..Request::new(seed, profile) }, Detail::Nothing);
        if let Some(violation) = outcome.violation {
            panic!("{violation}\nrepeat with: {}", outcome.request.command());
        }
    }
}

#[test]
fn equal_seeds_give_byte_equal_traces() {
    for seed in 0..4 {
        let request = Request::new(seed, Profile::Default);
        let (one, two) = (run(request, Detail::Everything), run(request, Detail::Everything));
        assert!(one.trace == two.trace, "seed {seed} took two courses");
        assert!(one.trace.lines().count() > 1_000, "seed {seed} did next to nothing");
    }
}

#[test]
fn a_calm_shard_simply_works() {
    all_hold(Profile::Calm, 0..40);
}

/// Where nothing fails, and hosts ask for this leader and that.
#[test]
fn hand_overs_lose_nothing() {
    all_hold_under(FaultSet::orderly(), Profile::Memory, 5_000..5_020);
    all_hold_under(FaultSet::orderly(), Profile::Durable, 6_000..6_015);
}

#[test]
fn invariants_hold_in_memory_under_faults() {
    all_hold(Profile::Memory, 1_000..1_150);
}

#[test]
fn invariants_hold_with_logs_on_disk_under_faults() {
    all_hold(Profile::Durable, 2_000..2_100);
}

#[test]
fn invariants_hold_when_members_forget_what_the_others_have() {
    all_hold(Profile::OldCopy, 4_000..4_060);
}

#[test]
fn replicas_agree_even_when_more_memories_are_lost_than_the_shard_tolerates() {
    all_hold(Profile::Reckless, 3_000..3_060);
}

fn transcripts() -> Vec<std::path::PathBuf> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/transcripts");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).expect("the folder exists").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}

/// The documentation names them by their numbers.
#[test]
fn transcripts_are_numbered_without_a_gap() {
    for (path, number) in transcripts().iter().zip(1..) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        assert!(name.starts_with(&format!("{number:02}-")), "the transcript with number {number} is called {name}");
    }
}

/// Every scenario comes out as its file says. With `MAKO_RAFT_ACCEPT=1` the files are written anew instead: read
/// the difference before you commit it.
#[test]
fn scenarios_come_out_as_their_transcripts_say() {
    let paths = transcripts();
    assert!(paths.len() >= 20, "{} transcripts", paths.len());
    let mut different = Vec::new();
    for path in paths {
        let expected = std::fs::read_to_string(&path).expect("a transcript is text");
        let played = sim::transcript::play(&expected).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if played == expected {
            continue;
        }
        if std::env::var_os("MAKO_RAFT_ACCEPT").is_some() {
            std::fs::write(&path, &played).expect("writing a transcript");
        } else {
            different.push(format!("{}, now:\n{played}", path.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
