//! Mako's `mode` section: accepted as it is, since there is one protocol here.

use super::nearest::nearest;
use super::sections::Table;
use super::yaml::Value;

/// Keys that Mako knows.
const KNOWN: [&str; 6] = ["cc", "ab", "batch", "retry", "ongoing", "read_only"];

/// A line for each key whose value will not be followed.
pub(super) fn warnings(mode: &Table) -> Vec<String> {
    let mut warnings = Vec::new();
    for (key, given) in mode {
        let place = given.place();
        if !KNOWN.contains(&key.as_str()) {
            let near = nearest(key, KNOWN).unwrap_or_default();
            let key = super::error::quoted(key);
            warnings.push(format!("{place}: unknown key {key} in mode is ignored; the nearest known is {near}"));
        } else if key == "ab" && !matches!(&given.node.value, Value::Scalar(text) if text == "raft") {
            let found = given.node.described();
            warnings.push(format!("{place}: mode.ab: {found} is ignored; this library replicates over raft"));
        }
    }
    warnings
}
