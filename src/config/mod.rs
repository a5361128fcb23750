//! Arguments, YAML and environment to a checked topology and settings.
//!
//! Owns what the configuration of a shard means and which mistakes in it are refused. Its only side
//! effect is reading the files that it is given. Open `topology.rs` first, then `shard.rs`.
//!
//! YAML comes in as saphyr-parser's events: serde_yaml knows lines only while it parses, but most mistakes show when
//! two values are compared (a port that is taken, a site in no process), and then their lines must be known still.

pub mod arguments;
mod error;
mod fingerprint;
mod mode;
mod nearest;
mod sections;
pub mod settings;
mod shard;
#[cfg(test)]
mod tests;
pub mod topology;
mod yaml;

use std::collections::BTreeMap;
use std::ffi::OsString;

pub use arguments::Arguments;
pub use error::{ConfigError, Place};
pub use settings::Settings;
pub use topology::Topology;

use sections::Sections;

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

    /// A warning where `-b` asks for a status endpoint and the process's port leaves none for it.
    fn no_status_port(&self) -> Option<String> {
        let port = self.topology.process(self.topology.me).listen_port;
        let is_missed = self.arguments.control && self.status_port().is_none();
        is_missed.then(|| {
            format!(
                "command line: -b: no status endpoint: its port would be {port} + 10000, which is none; give raft.control_port, or a \
                 process port below 55536"
            )
        })
    }

    /// A warning where a process on this host listens on the status endpoint's port.
    fn taken_status_port(&self) -> Option<String> {
        let port = self.status_port()?;
        let host = &self.topology.process(self.topology.me).host;
        let taken = |process: &&topology::Process| process.listen_port == port && &process.host == host;
        let by = self.topology.processes.iter().find(taken)?;
        let name = error::quoted(&by.name);
        Some(format!("raft.control_port: the status endpoint's port {port} is the one that process {name} listens on"))
    }
}

/// Reads what `setup` is given. `arguments` begins with the program's name, as `argv` does;
/// `environment` looks a variable up.
///
/// # Errors
/// The first mistake found, with its file, line and key.
pub fn load(
    arguments: &[String],
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Configuration, ConfigError> {
    let arguments = Arguments::parse(arguments)?;
    let mut sections = Sections::read(&arguments.files)?;
    let mut warnings = std::mem::take(&mut sections.warnings);
    let topology = shard::topology(&sections, &arguments.process)?;
    warnings.extend(shard::warnings(&topology));
    warnings.extend(mode::warnings(&sections.mode));
    let (settings, odd) = Settings::read(&sections.raft, environment, &arguments, &topology)?;
    warnings.extend(odd);
    if let Some(replication) = arguments.replication.as_deref().filter(|name| !name.eq_ignore_ascii_case("raft")) {
        let replication = error::quoted(replication);
        warnings.push(format!("command line: --replication: {replication} is ignored; this library replicates over raft"));
    }
    let mut configuration = Configuration { topology, settings, arguments, warnings };
    configuration.warnings.extend(configuration.no_status_port().or_else(|| configuration.taken_status_port()));
    Ok(configuration)
}

/// The `host` section of one file: process name to address. Needs nothing else of the file to be
/// right.
///
/// # Errors
/// The file can't be read, is no YAML, or has no such section.
pub fn hosts(file: &str) -> Result<BTreeMap<String, String>, ConfigError> {
    sections::hosts(file)
}
