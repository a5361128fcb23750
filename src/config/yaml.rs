//! One YAML document as a tree in which every value knows its line.
//!
//! Files are hostile input: depth and the number of values that aliases make are bounded, nothing
//! recurses over the input, and an alias shares what it names instead of copying it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::error::quoted;

/// Mako's files nest four deep.
const DEPTH_MAX: usize = 64;
/// Values in one document, each alias counted as all that it names. Mako's largest files hold some
/// hundreds; the largest shard that is accepted has about 200,000. A chain of aliases to aliases grows by
/// the square of its length, so this also keeps the tree's depth, and the recursion of its drop, under 1,000.
const VALUES_MAX: usize = 500_000;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// Counted from 1. For an empty value, the line of its key.
    pub(super) line: usize,
    pub(super) value: Value,
    /// This value and all values in it, aliases expanded.
    values: usize,
}

#[derive(Debug)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Text, number or whatever else was written, as it was written.
    Scalar(String),
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Rc<Node>,
}

/// Why a text was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    /// The key that is wrong; empty where no single key is.
    pub(super) key: String,
    pub(super) found: String,
    pub(super) expected: String,
}

impl Node {
    /// What a message calls this value.
    pub(super) fn described(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(text) => quoted(text),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a map".to_owned(),
        }
    }
}

/// A value that was given as bare text, outside of any file; nothing where it is empty.
pub(super) fn text(text: &str) -> Rc<Node> {
    let value = if text.is_empty() { Value::Null } else { Value::Scalar(text.to_owned()) };
    Rc::new(Node { line: 1, value, values: 1 })
}

/// Reads one document. An empty text is `Null`.
pub(super) fn parse(text: &str) -> Result<Rc<Node>, Fault> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            fault(error.marker().line(), format!("not YAML: {}", error.info()), "a YAML file")
        })?;
        tree.take(event, span)?;
    }
    Ok(tree.root.unwrap_or_else(|| Rc::new(Node { line: 1, value: Value::Null, values: 1 })))
}

fn fault(line: usize, found: impl Into<String>, expected: impl Into<String>) -> Fault {
    Fault { line, key: String::new(), found: found.into(), expected: expected.into() }
}

/// The document while its events come in.
#[derive(Default)]
struct Tree {
    /// Begun and not ended, the outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
}

struct Open {
    line: usize,
    anchor: usize,
    /// Values so far, aliases expanded; 1 for itself.
    values: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Rc<Node>>),
    Mapping(OpenMapping),
}

#[derive(Default)]
struct OpenMapping {
    entries: Vec<Entry>,
    /// The line of each of its own keys.
    lines: HashMap<String, usize>,
    /// The key whose value comes next, and its line.
    key: Option<(String, usize)>,
    /// What `<<` named, to be filled in behind the mapping's own keys.
    merged: Vec<Rc<Node>>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(fault(line, "a second YAML document", "one document per file"))
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let value = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                    _ => Value::Scalar(text.into_owned()),
                };
                let line = if matches!(value, Value::Null) { self.key_line().unwrap_or(line) } else { line };
                self.complete(Node { line, value, values: 1 }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(line, anchor, Content::Sequence(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(line, anchor, Content::Mapping(OpenMapping::default())),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => self.place(Rc::clone(node), line),
                None => Err(fault(line, "an alias to a value that it is part of", "an alias to a complete value")),
            },
            _ => Ok(()),
        }
    }

    /// The line of the key whose value comes next.
    fn key_line(&self) -> Option<usize> {
        match &self.open.last()?.content {
            Content::Mapping(mapping) => mapping.key.as_ref().map(|(_, line)| *line),
            Content::Sequence(_) => None,
        }
    }

    fn begin(&mut self, line: usize, anchor: usize, content: Content) -> Result<(), Fault> {
        if self.open.len() == DEPTH_MAX {
            return Err(fault(line, format!("values nested more than {DEPTH_MAX} deep"), "a flatter file"));
        }
        self.open.push(Open { line, anchor, values: 1, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let open = self.open.pop().expect("the parser ends only what it began");
        let value = match open.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping(mapping) => Value::Mapping(mapping.close()),
        };
        self.complete(Node { line: open.line, value, values: open.values }, open.anchor)
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        let line = node.line;
        let node = Rc::new(node);
        // 0 is "no anchor". An anchor that is given again names the later value from here on.
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.place(node, line)
    }

    /// Puts a complete value where the innermost open one wants it.
    fn place(&mut self, node: Rc<Node>, line: usize) -> Result<(), Fault> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.values += node.values;
        // The bound holds for every open value, so checking the innermost one bounds the whole: a value
        // within the bound is at most once more in each of DEPTH_MAX open ones.
        if open.values > VALUES_MAX {
            return Err(fault(line, format!("more than {VALUES_MAX} values, aliases counted"), "a smaller file"));
        }
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping(mapping) => mapping.place(node, line)?,
        }
        Ok(())
    }
}

impl OpenMapping {
    fn place(&mut self, node: Rc<Node>, line: usize) -> Result<(), Fault> {
        match self.key.take() {
            None => match &node.value {
                Value::Scalar(key) => self.begin(key, line)?,
                _ => return Err(fault(line, format!("{} as a key", node.described()), "a name as key")),
            },
            Some((key, line)) if key == "<<" => self.merge(&node, line)?,
            Some((key, line)) => self.entries.push(Entry { key, line, value: node }),
        }
        Ok(())
    }

    fn begin(&mut self, key: &str, line: usize) -> Result<(), Fault> {
        if let Some(first) = self.lines.insert(key.to_owned(), line) {
            return Err(Fault {
                line,
                key: key.to_owned(),
                found: format!("given a second time (first on line {first})"),
                expected: "each key once in a map".to_owned(),
            });
        }
        self.key = Some((key.to_owned(), line));
        Ok(())
    }

    fn merge(&mut self, node: &Rc<Node>, line: usize) -> Result<(), Fault> {
        let all = match &node.value {
            Value::Mapping(_) => vec![Rc::clone(node)],
            Value::Sequence(items) if items.iter().all(|item| matches!(item.value, Value::Mapping(_))) => items.clone(),
            _ => {
                let key = "<<".to_owned();
                let expected = "a map or a list of maps to merge".to_owned();
                return Err(Fault { line, key, found: node.described(), expected });
            }
        };
        self.merged.extend(all);
        Ok(())
    }

    /// The mapping's own keys, then those that only a merged mapping has; the first one named wins.
    fn close(self) -> Vec<Entry> {
        let mut entries = self.entries;
        let mut known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        for node in &self.merged {
            let Value::Mapping(more) = &node.value else { continue };
            for entry in more {
                if known.insert(entry.key.clone()) {
                    entries.push(entry.clone());
                }
            }
        }
        entries
    }
}
