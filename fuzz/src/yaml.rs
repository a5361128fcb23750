//! A configuration file: refused with its place, or a topology that answers every question about itself.

use std::io::Write as _;

use mako_raft::config::settings::Grouping;
use mako_raft::config::{hosts, load};

/// Larger files are refused by their size alone, which `config/tests/hostile.rs` shows.
const FILE_BYTES_MAX: usize = 16 << 10;

/// The file, as one for `-f`.
pub fn run(bytes: &[u8]) {
    let mut file = tempfile::Builder::new().suffix(".yml").tempfile().expect("a temporary file can be made");
    file.write_all(&bytes[..bytes.len().min(FILE_BYTES_MAX)]).expect("a temporary file can be written");
    let name = file.path().to_str().expect("temporary paths are text").to_owned();
    let _ = hosts(&name);
    let argv: Vec<String> = ["", "-b", "-P", "localhost", "-f", &name].map(str::to_owned).into();
    match load(&argv, &|_| None) {
        Ok(configuration) => {
            let topology = &configuration.topology;
            configuration.status_port();
            topology.my_site_names();
            for grouping in [Grouping::Shard, Grouping::Partition] {
                for group in topology.groups(grouping) {
                    assert!(!format!("{group:?}").is_empty());
                }
            }
        }
        Err(error) => assert!(error.to_string().len() < 4096, "too long for an operator: {error}"),
    }
}
