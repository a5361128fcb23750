//! The command line that Mako passes to `setup`, read as its own getopt reads it.

use std::path::PathBuf;

use super::error::quoted;
use super::{ConfigError, Place};

/// Mako's option letters; a colon follows those that take a value.
const LETTERS: &str = "bc:d:f:h:i:k:p:P:r:s:S:t:H:T:n:A:F:O:m:a:N:w:x:";

/// What the command line said. Letters of Mako's set that mean nothing here are checked and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// `-f`: the files, in order; never empty.
    pub files: Vec<String>,
    /// `-P`: the name of this process; `localhost` unless it is given.
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
    /// `--replication`, as given. Mako chooses between helpers with it; here there is one.
    pub replication: Option<String>,
    /// `--raft-groups`, as given: `single` or `shard`, `multi` or `partition`. Wins over
    /// `raft.grouping` and its variable.
    pub raft_groups: Option<String>,
}

impl Arguments {
    /// Reads `argv`, whose first element is the program's name and is skipped.
    ///
    /// # Errors
    /// The first argument that is neither an option of Mako's nor the value of one, lacks its value, or has a
    /// value that can't be used.
    pub fn parse(argv: &[String]) -> Result<Self, ConfigError> {
        let mut arguments = Self {
            files: Vec::new(),
            process: "localhost".to_owned(),
            control: false,
            duration_s: None,
            outstanding: None,
            total: None,
            data_dir: None,
            replication: None,
            raft_groups: None,
        };
        let mut rest = argv.iter().skip(1).map(String::as_str);
        while let Some(argument) = rest.next() {
            if let Some(long) = argument.strip_prefix("--") {
                arguments.long(argument, long, &mut rest)?;
            } else if let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                arguments.short(argument, letters, &mut rest)?;
            } else {
                return Err(unknown(argument));
            }
        }
        if arguments.files.is_empty() {
            return Err(refused("-f", "no file is given", "at least one -f FILE.yml"));
        }
        Ok(arguments)
    }

    fn long<'a>(
        &mut self,
        argument: &str,
        long: &'a str,
        rest: &mut dyn Iterator<Item = &'a str>,
    ) -> Result<(), ConfigError> {
        let (name, joined) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let field = match name {
            "replication" => &mut self.replication,
            "raft-groups" => &mut self.raft_groups,
            _ => return Err(unknown(argument)),
        };
        let value = joined.or_else(|| rest.next()).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| refused(&format!("--{name}"), "no value", "a value behind it"))?;
        *field = Some(value.to_owned());
        Ok(())
    }

    /// One or more letters behind one dash: the first that takes a value takes the rest of the argument, or the
    /// next argument where there is no rest.
    fn short<'a>(
        &mut self,
        argument: &str,
        letters: &'a str,
        rest: &mut dyn Iterator<Item = &'a str>,
    ) -> Result<(), ConfigError> {
        for (at, letter) in letters.char_indices() {
            let Some(takes_value) = takes_value(letter) else {
                return Err(unknown(argument));
            };
            if !takes_value {
                self.control = true;
                continue;
            }
            let joined = &letters[at + letter.len_utf8()..];
            let value = if joined.is_empty() { rest.next() } else { Some(joined) };
            let key = format!("-{letter}");
            let value = value.ok_or_else(|| refused(&key, "no value", "a value behind it"))?;
            return self.set(letter, &key, value);
        }
        Ok(())
    }

    fn set(&mut self, letter: char, key: &str, value: &str) -> Result<(), ConfigError> {
        match letter {
            'f' if value.ends_with("yml") || value.ends_with("yaml") => self.files.push(value.to_owned()),
            'f' => return Err(refused(key, &quoted(value), "a file whose name ends in yml or yaml")),
            'P' if value.is_empty() => return Err(refused(key, "an empty name", "the name of a process")),
            'P' => self.process = value.to_owned(),
            'r' if value.is_empty() => return Err(refused(key, "an empty name", "a directory")),
            'r' => self.data_dir = Some(PathBuf::from(value)),
            'd' => self.duration_s = Some(number(key, value)?),
            'n' => self.outstanding = Some(number(key, value)?),
            'T' => self.total = Some(number(key, value)?),
            _ => {}
        }
        Ok(())
    }
}

/// `None` for a letter that is not of Mako's set.
fn takes_value(letter: char) -> Option<bool> {
    let at = LETTERS.find(letter).filter(|_| letter != ':')?;
    Some(LETTERS[at + 1..].starts_with(':'))
}

fn number(key: &str, value: &str) -> Result<u64, ConfigError> {
    value.parse().map_err(|_| refused(key, &quoted(value), "a whole number"))
}

fn refused(key: &str, found: &str, expected: &str) -> ConfigError {
    ConfigError::new(Place::CommandLine, key, found, expected)
}

fn unknown(argument: &str) -> ConfigError {
    refused(
        "",
        &format!("unknown argument {}", quoted(argument)),
        "an option of Mako's (-b, -d 60, -f FILE.yml, -P PROC, -r DIR, ...), --replication or --raft-groups",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Arguments, String> {
        let argv: Vec<String> = [""].iter().chain(line).map(|argument| argument.to_string()).collect();
        Arguments::parse(&argv).map_err(|error| error.to_string())
    }

    #[test]
    fn the_line_that_mako_passes_is_read_whole() {
        let line = "-b -d 60 -f a.yml -f b.yaml -t 30 -T 100000 -n 32 -P p1 -A 50000";
        let arguments = parse(&line.split(' ').collect::<Vec<_>>()).unwrap();
        assert_eq!(arguments.files, ["a.yml", "b.yaml"]);
        assert_eq!(arguments.process, "p1");
        assert!(arguments.control);
        assert_eq!((arguments.duration_s, arguments.total, arguments.outstanding), (Some(60), Some(100_000), Some(32)));
        assert_eq!((arguments.data_dir, arguments.replication, arguments.raft_groups), (None, None, None));
    }

    #[test]
    fn values_may_be_joined_to_their_letter_and_flags_bundled_as_getopt_allows() {
        let arguments = parse(&["-bd60", "-fa.yml", "-Pp2", "-r/var/lib/mako", "-n8"]).unwrap();
        assert!(arguments.control);
        assert_eq!((arguments.duration_s, arguments.outstanding), (Some(60), Some(8)));
        assert_eq!((arguments.files.as_slice(), arguments.process.as_str()), (&["a.yml".to_owned()][..], "p2"));
        assert_eq!(arguments.data_dir, Some(PathBuf::from("/var/lib/mako")));
    }

    #[test]
    fn without_p_the_process_is_localhost() {
        let arguments = parse(&["-f", "a.yml"]).unwrap();
        assert_eq!(arguments.process, "localhost");
        assert!(!arguments.control);
    }

    #[test]
    fn a_value_may_begin_with_a_dash() {
        assert_eq!(parse(&["-f", "a.yml", "-P", "-b"]).unwrap().process, "-b");
    }

    #[test]
    fn every_other_letter_of_makos_set_is_accepted_and_ignored() {
        let plain = parse(&["-f", "a.yml"]).unwrap();
        for letter in "chikpsStHAFOmaNwx".chars() {
            let option = format!("-{letter}");
            assert_eq!(parse(&["-f", "a.yml", &option, "anything"]).as_ref(), Ok(&plain), "{option}");
        }
    }

    #[test]
    fn long_options_take_their_value_joined_or_apart() {
        for line in [
            &["-f", "a.yml", "--replication=raft", "--raft-groups=single"][..],
            &["-f", "a.yml", "--replication", "raft", "--raft-groups", "single"][..],
        ] {
            let arguments = parse(line).unwrap();
            assert_eq!(arguments.replication.as_deref(), Some("raft"));
            assert_eq!(arguments.raft_groups.as_deref(), Some("single"));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_named() {
        let unknown = |argument: &str| {
            format!(
                "command line: unknown argument {argument}; expected an option of Mako's (-b, -d 60, -f FILE.yml, \
                 -P PROC, -r DIR, ...), --replication or --raft-groups"
            )
        };
        let cases: &[(&[&str], String)] = &[
            (&["-z", "-f", "a.yml"], unknown("\"-z\"")),
            (&["-f", "a.yml", "-bz"], unknown("\"-bz\"")),
            (&["-f", "a.yml", "-:"], unknown("\"-:\"")),
            (&["-f", "a.yml", "stray"], unknown("\"stray\"")),
            (&["-f", "a.yml", "-"], unknown("\"-\"")),
            (&["-f", "a.yml", "--"], unknown("\"--\"")),
            (&["-f", "a.yml", ""], unknown("\"\"")),
            (&["-f", "a.yml", "--raft"], unknown("\"--raft\"")),
            (&["-f", "a.yml", "-ü"], unknown("\"-ü\"")),
            (&["-f"], "command line: -f: no value; expected a value behind it".into()),
            (&["-f", "a.yml", "--replication"], "command line: --replication: no value; expected a value behind it".into()),
            (&["-f", "a.yml", "--raft-groups="], "command line: --raft-groups: no value; expected a value behind it".into()),
            (&[], "command line: -f: no file is given; expected at least one -f FILE.yml".into()),
            (&["-f", "a.txt"], "command line: -f: \"a.txt\"; expected a file whose name ends in yml or yaml".into()),
            (&["-f", "a.yml", "-P", ""], "command line: -P: an empty name; expected the name of a process".into()),
            (&["-f", "a.yml", "-r", ""], "command line: -r: an empty name; expected a directory".into()),
            (&["-f", "a.yml", "-d", "1m"], "command line: -d: \"1m\"; expected a whole number".into()),
            (&["-f", "a.yml", "-n", "-1"], "command line: -n: \"-1\"; expected a whole number".into()),
            (&["-f", "a.yml", "-T", "many"], "command line: -T: \"many\"; expected a whole number".into()),
        ];
        for (line, message) in cases {
            assert_eq!(parse(line), Err(message.clone()), "{line:?}");
        }
    }
}
