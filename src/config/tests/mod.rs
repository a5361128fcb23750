//! The room through its front door: files on disk, a command line, an environment.

mod hostile;
mod mistakes;
mod promises;
mod samples;
mod second_reader;

use std::collections::HashMap;
use std::ffi::OsString;

use tempfile::TempDir;

use super::{load, Configuration};

/// Files in a directory of their own.
pub(super) struct Files {
    directory: TempDir,
    names: Vec<String>,
    environment: HashMap<String, OsString>,
}

impl Files {
    /// One file, `a.yml`.
    pub(super) fn with(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        Self { directory, names: Vec::new(), environment: HashMap::new() }.and("a.yml", text.as_bytes())
    }

    /// One more file, or another content for one.
    pub(super) fn and(mut self, name: &str, content: &[u8]) -> Self {
        std::fs::write(self.directory.path().join(name), content).expect("a temporary file can be written");
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
        self
    }

    /// A variable of the environment.
    pub(super) fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// The path of a file in the directory, whether it is there or not.
    pub(super) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("temporary paths are UTF-8").to_owned()
    }

    /// A message without the directory's name.
    pub(super) fn shortened(&self, message: String) -> String {
        message.replace(&self.path(""), "")
    }

    /// Loads all files with further arguments.
    pub(super) fn load(&self, arguments: &[&str]) -> Result<Configuration, String> {
        let files = self.names.iter().flat_map(|name| ["-f".to_owned(), self.path(name)]);
        let argv: Vec<String> = [String::new()]
            .into_iter()
            .chain(files)
            .chain(arguments.iter().map(|argument| argument.to_string()))
            .collect();
        let mut configuration = load(&argv, &|name| self.environment.get(name).cloned())
            .map_err(|error| self.shortened(error.to_string()))?;
        for warning in &mut configuration.warnings {
            *warning = self.shortened(std::mem::take(warning));
        }
        Ok(configuration)
    }
}

/// Three replicas of two partitions.
pub(super) const SHARD: &str = "\
site:
  server:
    - [\"s101:7001\", \"s201:7101\", \"s301:7201\"]
    - [\"s102:7002\", \"s202:7102\", \"s302:7202\"]
process: {s101: localhost, s201: p1, s301: p2, s102: localhost, s202: p1, s302: p2}
host: {localhost: 127.0.0.1, p1: 10.0.0.1, p2: 10.0.0.2}
";
