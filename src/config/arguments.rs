//! The command line that Mako passes to `setup`.

use std::path::PathBuf;

/// What the command line said. Letters of Mako's set that mean nothing here are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// `-f`: the files, in order.
    pub files: Vec<String>,
    /// `-P`: the name of this process.
    pub process: String,
    /// `-b`: open the control port.
    pub control: bool,
    /// `-d`: how long a benchmark runs, in seconds. Kept, not used.
    pub duration_s: Option<u64>,
    /// `-n`: how many logs `microbench_paxos` keeps outstanding per partition.
    pub outstanding: Option<u64>,
    /// `-T`: how many logs `microbench_paxos` sends per partition.
    pub total: Option<u64>,
    /// `-r`: the directory for durable logs. Wins over `raft.data_dir` and its variable.
    pub data_dir: Option<PathBuf>,
    /// `--replication`, as given.
    pub replication: Option<String>,
    /// `--raft-groups`, as given.
    pub raft_groups: Option<String>,
}
