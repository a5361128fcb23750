//! From a value as it was written to a field of [`Settings`].

use std::path::PathBuf;

use super::keys::{Key, Kind};
use super::{Durability, ElectionCodes, Grouping, PreferredLeader, RestoreOrder, Settings};
use crate::config::error::quoted;
use crate::config::nearest::nearest;
use crate::config::topology::{Role, Topology};
use crate::config::yaml::{Node, Value};

/// Why a value was refused.
pub(super) struct Refusal {
    /// The key within the key's own map, and its line.
    pub(super) within: Option<(String, usize)>,
    pub(super) found: String,
    pub(super) expected: String,
}

/// Sets the field of `key`. Without a topology no site has a name.
pub(super) fn set(
    settings: &mut Settings,
    key: &Key,
    node: &Node,
    topology: Option<&Topology>,
) -> Result<(), Refusal> {
    let refused = || Refusal { within: None, found: node.described(), expected: key.allowed() };
    match key.kind {
        Kind::Time { min, max, field } | Kind::ShortTime { min, max, field } => {
            *field(settings) = text(node).and_then(whole).filter(|n| (min..=max).contains(n)).ok_or_else(refused)?;
        }
        Kind::Size { min, max, field } => {
            *field(settings) = text(node).and_then(bytes).filter(|n| (min..=max).contains(n)).ok_or_else(refused)?;
        }
        Kind::PreferredLeader => {
            settings.preferred_leader = match text(node).ok_or_else(refused)? {
                "designated" => PreferredLeader::Designated,
                "none" => PreferredLeader::Nobody,
                name => site(name, topology)?,
            }
        }
        Kind::Grouping => {
            settings.grouping = match text(node) {
                Some("shard") => Grouping::Shard,
                Some("partition") => Grouping::Partition,
                _ => return Err(refused()),
            }
        }
        Kind::ElectionCodes => settings.election_codes = codes(node, key)?,
        Kind::DataDir => {
            settings.data_dir = match &node.value {
                Value::Null => None,
                Value::Scalar(path) if !path.is_empty() && !path.contains('\0') => Some(PathBuf::from(path)),
                _ => return Err(refused()),
            }
        }
        Kind::Durability => {
            settings.durability = match text(node) {
                Some("fsync") => Durability::Fsync,
                Some("os") => Durability::Os,
                _ => return Err(refused()),
            }
        }
        Kind::ControlPort => {
            settings.control_port = match &node.value {
                Value::Null => None,
                Value::Scalar(port) => {
                    let port = whole(port).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
                    Some(port.ok_or_else(refused)?)
                }
                _ => return Err(refused()),
            }
        }
        Kind::Restore => {
            settings.restore = match &node.value {
                Value::Null => None,
                Value::Scalar(text) => Some(restore_order(text, topology, refused)?),
                _ => return Err(refused()),
            }
        }
        Kind::MovedFrom => {
            settings.moved_from = match &node.value {
                Value::Null => None,
                Value::Scalar(text) => Some(sixteen_digits(text).ok_or_else(refused)?),
                _ => return Err(refused()),
            }
        }
    }
    Ok(())
}

fn restore_order(
    text: &str,
    topology: Option<&Topology>,
    refused: impl Fn() -> Refusal,
) -> Result<RestoreOrder, Refusal> {
    let (name, formations) = text.rsplit_once(':').ok_or_else(&refused)?;
    let processes = topology.map(|topology| topology.processes.as_slice()).unwrap_or_default();
    let Some(survivor) = processes.iter().find(|process| process.name == name && process.role == Role::Voter) else {
        let voters = processes.iter().filter(|process| process.role == Role::Voter);
        let near = nearest(name, voters.map(|process| process.name.as_str())).unwrap_or_default();
        return Err(Refusal {
            within: None,
            found: format!("no voting process {}", quoted(name)),
            expected: format!("the name of a voting process, such as {}, a colon, and a formation", quoted(near)),
        });
    };
    let formations: Option<Vec<u64>> = formations.split(',').map(|digits| sixteen_digits(digits.trim())).collect();
    Ok(RestoreOrder { survivor: survivor.id, formations: formations.ok_or_else(&refused)? })
}

/// A formation or a fingerprint, as our lines have it.
fn sixteen_digits(digits: &str) -> Option<u64> {
    let is_one = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| u64::from_str_radix(digits, 16).ok())?
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(text) => Some(text),
        _ => None,
    }
}

/// Digits only: `parse` would take a sign as well.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => (&text[..at], text[at..].trim_start_matches(' ')),
        None => (text, ""),
    };
    let factor = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    whole(number)?.checked_mul(factor)
}

fn site(name: &str, topology: Option<&Topology>) -> Result<PreferredLeader, Refusal> {
    let refused = |found: String, expected: String| Refusal { within: None, found, expected };
    let sites = topology.map(|topology| topology.sites.as_slice()).unwrap_or_default();
    let Some(site) = sites.iter().find(|site| site.name == name) else {
        let near = nearest(name, sites.iter().map(|site| site.name.as_str())).unwrap_or_default();
        return Err(refused(
            format!("no site {}", quoted(name)),
            format!("designated, none, or the name of a voting site, such as {}", quoted(near)),
        ));
    };
    let process = topology.map(|topology| topology.process(site.process));
    if process.is_some_and(|process| process.role == Role::Learner) {
        return Err(refused(
            format!("site {}, which is a learner's", quoted(name)),
            "designated, none, or the name of a voting site".to_owned(),
        ));
    }
    Ok(PreferredLeader::Site(site.id))
}

/// A code that is not given keeps its default.
fn codes(node: &Node, key: &Key) -> Result<ElectionCodes, Refusal> {
    let Value::Mapping(entries) = &node.value else {
        return Err(Refusal { within: None, found: node.described(), expected: key.allowed() });
    };
    let mut codes = ElectionCodes { first: Some(1), gained: Some(1), lost: Some(0) };
    for entry in entries {
        let refused =
            |found: String, expected: String| Refusal { within: Some((entry.key.clone(), entry.line)), found, expected };
        let field = match entry.key.as_str() {
            "first" => &mut codes.first,
            "gained" => &mut codes.gained,
            "lost" => &mut codes.lost,
            unknown => {
                let near = nearest(unknown, ["first", "gained", "lost"]).unwrap_or_default();
                return Err(refused("unknown key".to_owned(), format!("first, gained or lost; the nearest is {near}")));
            }
        };
        *field = match &entry.value.value {
            Value::Null => None,
            Value::Scalar(text) => match text.parse::<i32>() {
                Ok(2..=4) => {
                    return Err(refused(
                        format!("{text}, which starts a fail-over action in Mako"),
                        "a number other than 2, 3 and 4, or null".to_owned(),
                    ))
                }
                Ok(code) => Some(code),
                Err(_) => return Err(refused(quoted(text), "a number of 32 bits, or null".to_owned())),
            },
            _ => return Err(refused(entry.value.described(), "a number of 32 bits, or null".to_owned())),
        };
    }
    Ok(codes)
}
