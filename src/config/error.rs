//! Why a configuration was refused: where, which key, what was found, what would be right.

use std::fmt;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// In a file, at a line counted from 1. No line where the whole file is meant (it is missing, or
    /// a section isn't there).
    File {
        /// The file as it was named.
        file: String,
        /// The line, counted from 1.
        line: Option<usize>,
    },
    /// On the command line.
    CommandLine,
    /// In the process's environment.
    Environment,
}

impl Place {
    /// A line of a file, counted from 1.
    pub(super) fn line(file: &str, line: usize) -> Self {
        Place::File { file: file.to_owned(), line: Some(line) }
    }

    /// A file as a whole.
    pub(super) fn whole(file: &str) -> Self {
        Place::File { file: file.to_owned(), line: None }
    }
}

/// `text` as it stands in a message: quoted, with what can't be printed escaped, and cut where a
/// hostile file would fill the log.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 60;
    let cut = text.char_indices().nth(SHOWN_CHARACTERS_MAX).map(|(at, _)| at);
    match cut {
        Some(at) => format!("{:?}...", &text[..at]),
        None => format!("{text:?}"),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, line: Some(line) } => write!(f, "{file}:{line}"),
            Place::File { file, line: None } => f.write_str(file),
            Place::CommandLine => f.write_str("command line"),
            Place::Environment => f.write_str("environment"),
        }
    }
}

/// Why a configuration was refused. `Display` is one line: `place: key: found; expected ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// The key, as a path (`site.server[0][1]`, `raft.tick_ms`), an option (`-P`), or a variable.
    pub key: String,
    /// What was found there.
    pub found: String,
    /// What would be right.
    pub expected: String,
}

impl ConfigError {
    pub(super) fn new(
        place: Place,
        key: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self { place, key: key.into(), found: found.into(), expected: expected.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; expected {}", self.found, self.expected)
    }
}

impl std::error::Error for ConfigError {}
