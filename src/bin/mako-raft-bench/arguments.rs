//! The command line.

use std::path::PathBuf;

use crate::cell::{Cell, Pace, Trouble};
use crate::payload;

/// Options that take a value, and switches, as they come.
pub struct Arguments {
    words: std::vec::IntoIter<String>,
}

impl Arguments {
    /// What follows the program's name.
    pub fn new(words: Vec<String>) -> Self {
        Self { words: words.into_iter() }
    }

    /// The next word.
    pub fn word(&mut self) -> Option<String> {
        self.words.next()
    }

    /// Everything was read.
    ///
    /// # Errors
    /// Names the word that is left.
    pub fn end(&mut self) -> Result<(), String> {
        self.words.next().map_or(Ok(()), |word| Err(format!("nothing is done with \"{word}\"; see --help")))
    }

    /// The value of the option that was just read.
    ///
    /// # Errors
    /// There is none, or it is no `T`.
    pub fn value<T: std::str::FromStr>(&mut self, option: &str) -> Result<T, String> {
        let text = self.words.next().ok_or_else(|| format!("{option} needs a value"))?;
        text.parse().map_err(|_| format!("{option} does not take \"{text}\""))
    }

    /// The value of the option that was just read: a file that is there.
    ///
    /// # Errors
    /// There is none, or no such file.
    pub fn file(&mut self, option: &str) -> Result<PathBuf, String> {
        let path: PathBuf = self.value(option)?;
        if path.is_file() { Ok(path) } else { Err(format!("{option}: there is no file \"{}\"", path.display())) }
    }

    /// The value of the option that was just read: a program that may be started.
    ///
    /// # Errors
    /// There is none, no such file, or it may not be executed.
    pub fn program(&mut self, option: &str) -> Result<PathBuf, String> {
        let path = self.file(option)?;
        match rustix::fs::access(&path, rustix::fs::Access::EXEC_OK) {
            Ok(()) => Ok(path),
            Err(_) => Err(format!("{option}: \"{}\" may not be executed", path.display())),
        }
    }
}

/// Why the program ends without what it was asked for.
#[derive(Debug)]
pub enum Wrong {
    /// The command line: what is wrong with it. Nothing was begun.
    Line(String),
    /// A figure or a file.
    Run(String),
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self::Run(what)
    }
}

/// A cell, and with which program its replicas run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The cell.
    pub cell: Cell,
    /// Speaks the replica process's lines; this program itself where it is `None`.
    pub node: Option<PathBuf>,
}

/// Reads the options of `run`.
///
/// # Errors
/// Names the option that is wrong.
pub fn run_options(arguments: &mut Arguments) -> Result<RunOptions, String> {
    let mut options = RunOptions::default();
    let (mut total, mut paces) = (None, Vec::new());
    while let Some(option) = arguments.word() {
        if ["--outstanding", "--outstanding-in-all", "--rate", "--idle"].contains(&option.as_str()) {
            paces.push(option.clone());
        }
        let cell = &mut options.cell;
        match option.as_str() {
            "--size" => cell.sizes = arguments.value::<String>(&option)?.parse()?,
            "--partitions" => cell.partitions = arguments.value(&option)?,
            "--outstanding" => cell.pace = Pace::Closed { outstanding: arguments.value(&option)? },
            "--outstanding-in-all" => total = Some(arguments.value::<u64>(&option)?),
            "--rate" => cell.pace = Pace::Open { rate: arguments.value(&option)? },
            "--idle" => cell.pace = Pace::Idle,
            "--durable" => cell.durable = Some(arguments.value(&option)?),
            "--memory" => cell.durable = None,
            "--grouping" => {
                cell.group_per_partition = match arguments.value::<String>(&option)?.as_str() {
                    "shard" => false,
                    "partition" => true,
                    other => return Err(format!("--grouping is shard or partition, not \"{other}\"")),
                }
            }
            "--beside" => cell.big_bytes = Some(arguments.value(&option)?),
            "--beside-every-ms" => cell.big_every_ms = Some(arguments.value(&option)?),
            "--log-memory" => cell.log_memory_bytes = Some(arguments.value(&option)?),
            "--preload" => cell.preload = Some(arguments.file(&option)?),
            "--seconds" => cell.seconds = arguments.value(&option)?,
            "--warmup" => cell.warmup = arguments.value(&option)?,
            "--stop-follower" => cell.trouble = Trouble::StoppedFollower,
            "--slow-callback" => cell.trouble = Trouble::SlowCallback,
            "--node" => options.node = Some(arguments.program(&option)?),
            other => return Err(format!("run has no option \"{other}\"; see --help")),
        }
    }
    if let [first, second, ..] = paces.as_slice() {
        return Err(format!("{first} and {second}: there is one pace"));
    }
    if let Some(total) = total {
        if total < u64::from(options.cell.partitions) {
            return Err("--outstanding-in-all takes at least one for each partition".into());
        }
        let outstanding = total / u64::from(options.cell.partitions.max(1));
        options.cell.pace = Pace::Closed { outstanding };
    }
    check(&options.cell)?;
    Ok(options)
}

fn check(cell: &Cell) -> Result<(), String> {
    if !(1..=1_000).contains(&cell.partitions) {
        return Err("--partitions takes 1 to 1000".into());
    }
    if cell.big_bytes.is_some() && cell.partitions < 2 {
        return Err("--beside needs a second partition".into());
    }
    if cell.big_bytes.is_some_and(|bytes| bytes < payload::BYTES_MIN) {
        return Err(format!("--beside takes bytes from {} on", payload::BYTES_MIN));
    }
    if cell.trouble == Trouble::SlowCallback && cell.partitions < 2 {
        return Err("--slow-callback needs a second partition: the slow one is not in the figures".into());
    }
    if matches!(cell.pace, Pace::Closed { outstanding: 0 }) {
        return Err("--outstanding takes 1 or more; --idle is without a load".into());
    }
    if cell.big_every_ms.is_some() && cell.big_bytes.is_none() {
        return Err("--beside-every-ms says how often the logs of --beside come".into());
    }
    if matches!(cell.pace, Pace::Open { rate } if !(rate > 0.0 && rate < 1e8)) {
        return Err("--rate takes logs per second, more than 0".into());
    }
    check_durations(cell.seconds, cell.warmup)
}

/// For each command that has these options.
///
/// # Errors
/// Says what they take.
pub fn check_durations(seconds: f64, warmup: f64) -> Result<(), String> {
    if !(seconds > 0.0 && seconds <= 86_400.0 && (0.0..=3_600.0).contains(&warmup)) {
        return Err("--seconds takes more than 0 and at most 86400, --warmup 0 to 3600".into());
    }
    Ok(())
}

/// For each command that has this option.
///
/// # Errors
/// Says what it takes.
pub fn check_repeats(repeats: usize) -> Result<(), String> {
    if !(1..=1_000).contains(&repeats) {
        return Err(format!("--repeats takes 1 to 1000, not {repeats}"));
    }
    Ok(())
}

/// `--only` selects something: it is a part of one of `names`, or is not given.
///
/// # Errors
/// Lists the names.
pub fn check_only<'a>(only: Option<&str>, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let names: Vec<&str> = names.collect();
    match only {
        Some(only) if !names.iter().any(|name| name.contains(only)) => {
            Err(format!("--only \"{only}\" is in no name; there are:\n  {}", names.join("\n  ")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<RunOptions, String> {
        run_options(&mut Arguments::new(line.split(' ').map(str::to_owned).collect()))
    }

    #[test]
    fn outstanding_in_all_is_shared_by_the_partitions() {
        let cell = run("--partitions 64 --outstanding-in-all 1024 --size 100").unwrap().cell;
        assert_eq!(cell.pace, Pace::Closed { outstanding: 16 });
    }

    #[test]
    fn a_cell_has_one_pace_that_submits_something() {
        assert!(run("--rate 5 --outstanding-in-all 64").unwrap_err().contains("--rate and --outstanding-in-all"));
        assert!(run("--outstanding 1 --idle").unwrap_err().contains("one pace"));
        assert!(run("--outstanding 0").unwrap_err().contains("--outstanding takes 1"));
        assert!(run("--partitions 64 --outstanding-in-all 63").unwrap_err().contains("at least one"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(run("--siez 3").unwrap_err().contains("--siez"));
        assert!(run("--rate fast").unwrap_err().contains("fast"));
        assert!(run("--grouping both").unwrap_err().contains("both"));
        assert!(run("--beside 50000000").is_err());
        assert!(run("--partitions 2 --beside 3").unwrap_err().contains("from 16 on"));
        assert!(run("--slow-callback").unwrap_err().contains("second partition"));
        assert!(run("--beside-every-ms 10").unwrap_err().contains("--beside"));
        assert!(run("--partitions").unwrap_err().contains("needs a value"));
        assert!(run("--preload /no/such.so").unwrap_err().contains("/no/such.so"));
        assert!(run("--node /no/such").unwrap_err().contains("/no/such"));
        assert!(run("--node Cargo.toml").unwrap_err().contains("may not be executed"));
    }
}
