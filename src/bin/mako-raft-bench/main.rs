//! `mako-raft-bench`: measures the library through its public functions, beside floors without Raft.
//!
//! Three replicas are three processes on loopback, each a copy of this program (`node`) or any other that
//! speaks its lines. Open `run.rs` for how one figure comes about, `suite/plan.rs` for which ones are taken, and
//! `report/` for what is made of them.

#[macro_use]
mod stdout;

mod arguments;
mod cell;
mod clock;
mod cluster;
mod compare;
mod copies;
mod endure;
mod failover;
mod figures_json;
mod figures_text;
mod floor;
mod histogram;
mod json;
mod node;
mod payload;
mod progress;
mod report;
mod run;
mod scratch;
mod suite;
mod usage;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use arguments::{Arguments, Wrong};
use json::Json;

const HELP: &str = "\
mako-raft-bench measures three replicas on this machine.

  run [OPTION]...          one cell: a line for people, a line of JSON
      --size BYTES|mix       of a log (100)
      --partitions N         streams, each with a submitting thread (1)
      --outstanding N        per partition: the submitter waits for them (1)
      --outstanding-in-all N shared by the partitions
      --rate R               open loop, logs per second in all; latency counts from the due time
      --idle                 no load
      --durable DIR          logs on disk below DIR, fdatasync before acknowledging; --memory: none
      --grouping G           shard: one Raft group (default); partition: one for each
      --beside BYTES         the last partition carries logs of this size, not in the figures
      --beside-every-ms MS   the least time between two of them (0)
      --log-memory BYTES     raft.log_memory_bytes; while it fills, every byte costs a page fault
      --stop-follower        one follower is stopped while it is measured
      --slow-callback        one follower's callback of partition 0 takes 1 ms
      --seconds S            measured (5), after --warmup S (1)
      --node PROGRAM         replicas of another program that speaks the same lines
      --preload LIBRARY      loaded before the others in each replica: the host's allocator
  floor latency BYTES      quorum round trips without Raft
  floor bandwidth          blocks of 1 MiB to two receivers
  floor kept               the same out of and into 256 MiB in turn, as a log has it
  floor fsync DIR BYTES    pwrite and fdatasync
  floor threads N          the wake-ups of a round of N partitions' threads
  suite [OPTION]...        the standard set and the report
      --repeats N            (3); --seconds S (2) and --warmup S (1) of each cell; --failovers N (50)
      --out DIR              where performance.md, .json and performance/ go (docs)
      --data DIR             where durable logs go meanwhile (the directory for temporary files)
      --only TEXT            cells whose name contains it; no report then, without --out
      --cxx PROGRAM          replicas on the C++ surface, for the cells that are taken through both
      --preload LIBRARY      the host's allocator, for the cells that are taken with both
  endure [OPTION]...       full load for long: are latency, rate and memory flat? writes its section of the report
      --minutes M            (10); --interval S (10); --warmup S (15); --out DIR (docs)
  report [DIR]             writes the report anew from the files in DIR (docs), without measuring
  compare --before PROGRAM --after PROGRAM [OPTION]...
                           two builds of this program, interleaved: what differs beyond the noise; fails
                           where something is worse
      --repeats N            (7); --seconds S (2); --only TEXT; --data DIR; --preload LIBRARY
  failover [COUNT]         kill -9 of the leader under load, COUNT times (10)
";

fn main() -> ExitCode {
    let mut arguments = Arguments::new(std::env::args().skip(1).collect());
    let command = arguments.word().unwrap_or_default();
    if command == "node" {
        let level = env_logger::Env::default().default_filter_or("info");
        env_logger::Builder::from_env(level).init();
    }
    match obey(&command, &mut arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Wrong::Line(what)) => {
            eprintln!("mako-raft-bench {command}: {what}");
            ExitCode::from(2)
        }
        Err(Wrong::Run(what)) => {
            eprintln!("mako-raft-bench {command}: {what}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: &str, arguments: &mut Arguments) -> Result<(), Wrong> {
    match command {
        "run" => {
            let options = arguments::run_options(arguments).map_err(Wrong::Line)?;
            let figures = run::measure(options.node.as_ref(), &options.cell)?;
            say!("{}", figures_text::line(&options.cell, &figures));
            let json = Json::object([
                ("cell", options.cell.describe().into()),
                ("bound_mib", (options.cell.memory_bound_bytes() as f64 / f64::from(1 << 20)).into()),
                ("figures", figures_json::write(&figures)),
            ]);
            say!("{}", json.line());
            Ok(())
        }
        "suite" => Ok(suite::run(&suite::options(arguments).map_err(Wrong::Line)?)?),
        "endure" => Ok(endure::run(&endure::options(arguments).map_err(Wrong::Line)?)?),
        "report" => {
            let folder = arguments.word().map_or_else(|| "docs".into(), PathBuf::from);
            arguments.end().map_err(Wrong::Line)?;
            Ok(report::write(&folder)?)
        }
        "compare" => Ok(compare::run(&compare::options(arguments).map_err(Wrong::Line)?)?),
        "floor" => {
            let kind = floor_kind(arguments).map_err(Wrong::Line)?;
            Ok(print_floor(&kind)?)
        }
        "failover" => {
            let count = failovers(arguments).map_err(Wrong::Line)?;
            Ok(print_failovers(count)?)
        }
        // Started by the above, one process each.
        "node" => Ok(node::run(arguments)?),
        "watcher" => Ok(cluster::run_watcher(arguments)?),
        "floor-receiver" => Ok(floor::run_receiver(arguments)?),
        "--help" | "-h" | "help" => {
            stdout::write(format_args!("{HELP}"));
            Ok(())
        }
        other => Err(Wrong::Line(format!("no such command: \"{other}\"; see --help"))),
    }
}

/// Of a floor that is asked for by itself.
const FLOOR_SECONDS: f64 = 2.0;

/// A floor, with what it takes.
enum FloorKind {
    Latency(usize),
    Bandwidth(Option<usize>),
    Fsync(PathBuf, usize),
    Threads(usize),
}

fn floor_kind(arguments: &mut Arguments) -> Result<FloorKind, String> {
    let kind = arguments.word().unwrap_or_default();
    let kind = match kind.as_str() {
        "latency" => FloorKind::Latency(arguments.value("floor latency")?),
        "bandwidth" => FloorKind::Bandwidth(None),
        "kept" => FloorKind::Bandwidth(Some(floor::KEPT_BYTES)),
        "fsync" => FloorKind::Fsync(arguments.value("floor fsync")?, arguments.value("floor fsync")?),
        "threads" => FloorKind::Threads(arguments.value("floor threads")?),
        other => return Err(format!("floor is latency, bandwidth, kept, fsync or threads, not \"{other}\"")),
    };
    arguments.end()?;
    match kind {
        FloorKind::Latency(0) | FloorKind::Fsync(_, 0) => Err("a floor takes 1 byte or more".into()),
        FloorKind::Threads(0) => Err("floor threads takes 1 partition or more".into()),
        kind => Ok(kind),
    }
}

fn print_floor(kind: &FloorKind) -> Result<(), String> {
    let (name, floor) = match kind {
        FloorKind::Latency(bytes) => ("latency", floor::latency(*bytes, None, FLOOR_SECONDS)?),
        FloorKind::Bandwidth(kept) => ("bandwidth", floor::bandwidth(*kept, FLOOR_SECONDS)?),
        FloorKind::Fsync(directory, bytes) => ("fsync", floor::fsync(directory, *bytes, 1, FLOOR_SECONDS)?),
        FloorKind::Threads(partitions) => ("threads", floor::threads(*partitions, FLOOR_SECONDS)?),
    };
    let ns = |ns: u64| figures_text::time(ns as f64);
    let (p50, p99) = (ns(floor.latency.p50), ns(floor.latency.p99));
    let per_s = floor.latency.count as f64 / FLOOR_SECONDS;
    say!("floor {name}: p50 {p50}, p99 {p99}; {per_s:.0}/s, {:.1} MB/s", floor.mb_per_s);
    Ok(())
}

fn failovers(arguments: &mut Arguments) -> Result<usize, String> {
    let count = match arguments.word() {
        Some(text) => text.parse().map_err(|_| format!("failover takes a count, not \"{text}\""))?,
        None => 10,
    };
    arguments.end()?;
    Ok(count)
}

fn print_failovers(count: usize) -> Result<(), String> {
    for number in 1..=count {
        let failover::FailOver { accepted_ms, delivered_ms, .. } = failover::measure()?;
        say!("fail-over {number}: accepted after {accepted_ms:.0} ms, delivered after {delivered_ms:.0} ms");
    }
    Ok(())
}
