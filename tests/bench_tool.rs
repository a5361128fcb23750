//! mako-raft-bench as people call it: real replicas, short runs. The figures don't matter here; that there is
//! a report, that it can be written anew, and that a wrong line is answered does.

use std::path::Path;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mako-raft-bench")).args(arguments).output().expect("it starts")
}

/// What it printed; it has to have ended well.
fn printed(arguments: &[&str]) -> String {
    let output = bench(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_cell_is_a_line_for_people_and_a_line_of_json() {
    let text = printed(&["run", "--size", "mix", "--outstanding", "8", "--partitions", "2", "--seconds", "0.3", "--warmup", "0"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("logs in order on every replica"), "{text}");
    assert!(lines[1].starts_with("{\"cell\":\"mixed sizes, 8 outstanding") && lines[1].contains("\"p99_us\":"), "{text}");
}

#[test]
fn the_report_has_what_was_measured_and_is_written_anew_with_what_people_add() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    printed(&["suite", "--only", "latency/100", "--repeats", "1", "--seconds", "0.2", "--warmup", "0.1", "--failovers", "1", "--out", out]);
    // Too short to be flat on a busy machine: how it ends is not looked at, what it wrote is.
    bench(&["endure", "--minutes", "0.02", "--interval", "0.3", "--warmup", "0.2", "--out", out]);
    let first = read(folder.path(), "performance.md");
    for part in ["| latency, 1 outstanding, 100 B: p50 against the floor's |", "fail-over until a survivor accepts", "of full load"] {
        assert!(first.contains(part), "no \"{part}\" in\n{first}");
    }
    for picture in ["latency.svg", "failover.svg", "endurance-latency.svg", "endurance-memory.svg"] {
        assert!(read(folder.path(), &format!("performance/{picture}")).ends_with("</svg>\n"));
        assert!(first.contains(&format!("(performance/{picture})")), "{picture} is not shown");
    }

    let peers = r#"{"peers": [{"name": "Another", "version": "1", "setting": "three servers", "date": "2026-11-25",
        "same_run": false, "figures": [{"cell": "latency/100", "p50_us": 400}]}]}"#;
    std::fs::write(folder.path().join("performance/peers.json"), peers).unwrap();
    std::fs::write(folder.path().join("performance-notes.md"), "It is the kernel.\n").unwrap();
    printed(&["report", out]);
    let second = read(folder.path(), "performance.md");
    assert!(second.contains("| Another 1: three servers | latency/100 | - | - | 400 µs; ") && second.contains("It is the kernel."));
    let kept = |text: &str| text.lines().filter(|line| line.starts_with("| latency/100 |")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((kept(&first).len(), kept(&first)), (1, kept(&second)), "figures survive the way through the file");
}

#[test]
fn a_wrong_line_is_answered_with_what_is_wrong() {
    for (line, answer) in [
        (vec!["run", "--size", "3"], "from 16 on, not \"3\""),
        (vec!["suite", "--repeat", "3"], "suite has no option \"--repeat\""),
        (vec!["endure", "--minutes", "0.1"], "three intervals"),
        (vec!["measure"], "no such command: \"measure\""),
        (vec!["compare", "--before", "/bin/sh"], "--after PROGRAM"),
        (vec!["compare", "--before", "x"], "--before: there is no file \"x\""),
        (vec!["suite", "--cxx", "x"], "--cxx: there is no file \"x\""),
        (vec!["run", "--node", "Cargo.toml"], "may not be executed"),
        (vec![], "no such command: \"\""),
        (vec!["suite", "--only", "latncy"], "\"latncy\" is in no name; there are:\n  "),
        (vec!["suite", "--only"], "--only needs a value"),
        (vec!["suite", "--repeats", "many"], "--repeats does not take \"many\""),
        (vec!["suite", "--repeats", "0"], "1 to 1000"),
        (vec!["suite", "--seconds", "NaN"], "more than 0"),
        (vec!["suite", "--seconds", "-1"], "more than 0"),
        (vec!["suite", "--only", "c++"], "is in no name"),
        (vec!["compare", "--before", "/bin/sh", "--after", "/bin/sh", "--only", "nothing"], "is in no name"),
        (vec!["compare", "--before", "/bin/sh", "--after", "/bin/sh", "--repeats", "-3"], "does not take \"-3\""),
        (vec!["endure", "--minutes", "inf"], "at most 86400"),
        (vec!["floor", "depth"], "latency, bandwidth, kept, fsync or threads"),
        (vec!["floor", "latency"], "needs a value"),
        (vec!["floor", "latency", "0"], "1 byte or more"),
        (vec!["run", "--outstanding", "0"], "--outstanding takes 1 or more"),
        (vec!["floor", "bandwidth", "5"], "nothing is done with \"5\""),
        (vec!["failover", "twice"], "failover takes a count"),
        (vec!["failover", "0", "1"], "nothing is done with \"1\""),
        (vec!["report", "docs", "more"], "nothing is done with \"more\""),
    ] {
        let output = bench(&line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(answer), "{line:?}: {:?} {said}", output.status);
    }
}

#[test]
fn a_reader_that_is_gone_ends_it_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mako-raft-bench"));
    let output = command.arg("--help").stdout(writer).output().expect("it starts");
    assert_eq!((output.status.code(), output.stderr), (Some(141), Vec::new()));
}
