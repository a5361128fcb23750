//! Lines of `key=value` words: how the controlling process and the replica processes talk, and how a
//! program in another language joins in.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The words of a line behind its first, which says what the line is.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// The first word.
    pub kind: String,
    /// All of it.
    pub line: String,
    values: BTreeMap<String, String>,
}

impl Words {
    /// Takes a line apart. Words without `=` are ignored.
    pub fn parse(line: &str) -> Self {
        let mut words = line.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default().to_owned();
        let pair = |word: &str| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self { kind, line: line.to_owned(), values: words.filter_map(pair).collect() }
    }

    /// A value that has to be there.
    ///
    /// # Errors
    /// It is missing, or is no `T`.
    pub fn get<T: FromStr>(&self, key: &str) -> Result<T, String> {
        let kind = &self.kind;
        let text = self.values.get(key).ok_or_else(|| format!("\"{kind}\" lacks {key}="))?;
        text.parse().map_err(|_| format!("\"{kind}\": {key}={text} can't be read"))
    }

    /// A value that may be missing.
    ///
    /// # Errors
    /// It is no `T`.
    pub fn find<T: FromStr>(&self, key: &str) -> Result<Option<T>, String> {
        match self.values.contains_key(key) {
            true => self.get(key).map(Some),
            false => Ok(None),
        }
    }
}
