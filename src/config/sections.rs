//! The files' sections, merged in order, each value still knowing its file and line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::rc::Rc;

use super::error::quoted;
use super::nearest::nearest;
use super::yaml::{self, Entry, Node, Value};
use super::{ConfigError, Place};

/// Mako's largest file has 32 partitions and 10 KB; 4,096 partitions on five replicas take 800 KB. Reading a
/// hostile file takes up to some 200 bytes of memory per byte.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Top-level sections that this library reads.
const READ: [&str; 5] = ["site", "process", "host", "mode", "raft"];
/// Top-level sections of Mako's that mean nothing here.
const IGNORED: [&str; 7] =
    ["bench", "schema", "sharding", "client", "failover", "n_concurrent", "n_parallel_dispatch"];

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) file: Rc<str>,
    /// The line of its key.
    pub(super) line: usize,
    pub(super) node: Rc<Node>,
}

impl Given {
    pub(super) fn place(&self) -> Place {
        Place::line(&self.file, self.line)
    }
}

/// One row of `site.server`.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) file: Rc<str>,
    /// Its path, `site.server[2]`; counted within its file.
    pub(super) path: String,
    pub(super) node: Rc<Node>,
}

/// Key to value; where a later file gives a key again, the later one.
pub(super) type Table = BTreeMap<String, Given>;

/// All files together.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// Their names.
    pub(super) files: Vec<String>,
    /// `site.server`, row after row.
    pub(super) rows: Vec<Row>,
    pub(super) process: Table,
    pub(super) host: Table,
    pub(super) mode: Table,
    pub(super) raft: Table,
    /// What is odd and ignored.
    pub(super) warnings: Vec<String>,
}

impl Sections {
    /// Reads the files in order.
    pub(super) fn read(files: &[String]) -> Result<Self, ConfigError> {
        let mut sections = Self { files: files.to_vec(), ..Self::default() };
        for file in files {
            sections.add(file)?;
        }
        Ok(sections)
    }

    fn add(&mut self, name: &str) -> Result<(), ConfigError> {
        let file: Rc<str> = Rc::from(name);
        for entry in top_level(name)? {
            match entry.key.as_str() {
                "site" => self.site(&file, &entry)?,
                "process" => merge(&mut self.process, &file, &entry)?,
                "host" => merge(&mut self.host, &file, &entry)?,
                "mode" => merge(&mut self.mode, &file, &entry)?,
                "raft" => merge(&mut self.raft, &file, &entry)?,
                ignored if IGNORED.contains(&ignored) => {}
                unknown => self.unknown(&file, entry.line, unknown, "", &[&READ[..], &IGNORED[..]].concat()),
            }
        }
        Ok(())
    }

    fn site(&mut self, file: &Rc<str>, site: &Entry) -> Result<(), ConfigError> {
        for entry in mapping(file, "site", site)? {
            match entry.key.as_str() {
                "server" => self.server(file, entry)?,
                "client" => {}
                unknown => self.unknown(file, entry.line, unknown, "site.", &["server", "client"]),
            }
        }
        Ok(())
    }

    fn server(&mut self, file: &Rc<str>, server: &Entry) -> Result<(), ConfigError> {
        let Value::Sequence(rows) = &server.value.value else {
            return Err(ConfigError::new(
                Place::line(file, server.value.line),
                "site.server",
                server.value.described(),
                "a list of partitions, each a list of NAME:PORT",
            ));
        };
        self.rows.extend(rows.iter().enumerate().map(|(index, row)| Row {
            file: Rc::clone(file),
            path: format!("site.server[{index}]"),
            node: Rc::clone(row),
        }));
        Ok(())
    }

    fn unknown(&mut self, file: &str, line: usize, key: &str, prefix: &str, known: &[&str]) {
        let place = Place::line(file, line);
        let near = nearest(key, known.iter().copied()).unwrap_or_default();
        let key = quoted(key);
        self.warnings.push(format!("{place}: unknown section {key} is ignored; the nearest known is {prefix}{near}"));
    }
}

/// The `host` section of one file.
pub(super) fn hosts(file: &str) -> Result<BTreeMap<String, String>, ConfigError> {
    let entries = top_level(file)?;
    let Some(host) = entries.iter().find(|entry| entry.key == "host") else {
        return Err(ConfigError::new(
            Place::whole(file),
            "host",
            "no such section",
            "a map of process name to address",
        ));
    };
    mapping(file, "host", host)?
        .iter()
        .map(|entry| {
            let node = &entry.value;
            let place = Place::line(file, node.line);
            let address = name(node, place, &format!("host.{}", entry.key), "an address")?;
            Ok((entry.key.clone(), address.to_owned()))
        })
        .collect()
}

/// The text of a value that names something: not empty, and free of blanks and control characters, which no
/// name or address has.
pub(super) fn name<'a>(node: &'a Node, place: Place, key: &str, expected: &str) -> Result<&'a str, ConfigError> {
    const NAME_BYTES_MAX: usize = 255;
    match &node.value {
        Value::Scalar(text) if is_name(text) && text.len() <= NAME_BYTES_MAX => Ok(text),
        _ => Err(ConfigError::new(
            place,
            key,
            node.described(),
            format!("{expected}: 1 to {NAME_BYTES_MAX} bytes without blanks"),
        )),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn merge(table: &mut Table, file: &Rc<str>, section: &Entry) -> Result<(), ConfigError> {
    for entry in mapping(file, &section.key, section)? {
        let given = Given { file: Rc::clone(file), line: entry.line, node: Rc::clone(&entry.value) };
        table.insert(entry.key.clone(), given);
    }
    Ok(())
}

/// The entries of a section; none where it is written without a value.
fn mapping<'a>(file: &str, key: &str, section: &'a Entry) -> Result<&'a [Entry], ConfigError> {
    match &section.value.value {
        Value::Mapping(entries) => Ok(entries),
        Value::Null => Ok(&[]),
        _ => Err(ConfigError::new(
            Place::line(file, section.value.line),
            key,
            section.value.described(),
            "a map of keys to values",
        )),
    }
}

fn top_level(file: &str) -> Result<Vec<Entry>, ConfigError> {
    let text = read(file)?;
    let root = yaml::parse(&text)
        .map_err(|fault| ConfigError::new(Place::line(file, fault.line), fault.key, fault.found, fault.expected))?;
    match &root.value {
        Value::Mapping(entries) => Ok(entries.clone()),
        Value::Null => Ok(Vec::new()),
        _ => Err(ConfigError::new(
            Place::line(file, root.line),
            "",
            root.described(),
            "a YAML file of sections such as site, process and host",
        )),
    }
}

fn read(file: &str) -> Result<String, ConfigError> {
    let refused = |found: String, expected: &str| ConfigError::new(Place::whole(file), "", found, expected);
    let unreadable = |error: std::io::Error| refused(error.to_string(), "a file that can be read");
    // Asked before opening it: opening a pipe would wait for its writer.
    if !std::fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(refused("not a regular file".to_owned(), "a file that can be read"));
    }
    let mut bytes = Vec::new();
    File::open(file).and_then(|f| f.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refused(format!("more than {FILE_BYTES_MAX} bytes"), "a smaller file"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        ConfigError::new(Place::line(file, line), "", "not YAML: bytes that are not UTF-8", "a YAML file")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
