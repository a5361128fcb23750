//! Arguments, YAML and environment to a checked topology and settings.
//!
//! Owns what the configuration of a shard means and which mistakes in it are refused. Its only side
//! effect is reading the files that it is given. Open `topology.rs` first.

pub mod arguments;
mod error;
pub mod settings;
pub mod topology;

use std::collections::BTreeMap;

pub use arguments::Arguments;
pub use error::{ConfigError, Place};
pub use settings::Settings;
pub use topology::Topology;

/// Everything that `setup` was told, checked.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Who replicates what.
    pub topology: Topology,
    /// The `raft` section and its environment variables.
    pub settings: Settings,
    /// The command line.
    pub arguments: Arguments,
    /// What is odd and yet allowed, one line each, for the caller to log.
    pub warnings: Vec<String>,
}

impl Configuration {
    /// The port of the status endpoint: `raft.control_port` where it is given; else, with `-b`, the
    /// process's port + 10000 as in Mako's world; `None` without either, or where that is no port.
    pub fn status_port(&self) -> Option<u16> {
        let mako = || self.topology.process(self.topology.me).listen_port.checked_add(10_000);
        self.settings.control_port.or_else(|| if self.arguments.control { mako() } else { None })
    }
}

/// Reads what `setup` is given. `arguments` begins with the program's name, as `argv` does;
/// `environment` looks a variable up.
///
/// # Errors
/// The first mistake found, with its file, line and key.
pub fn load(
    _arguments: &[String],
    _environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Configuration, ConfigError> {
    todo!()
}

/// The `host` section of one file: process name to address. Needs nothing else of the file to be
/// right.
///
/// # Errors
/// The file can't be read, is no YAML, or has no such section.
pub fn hosts(_file: &str) -> Result<BTreeMap<String, String>, ConfigError> {
    todo!()
}
