//! JSON, written and read: figures outlive a run, so that the report can be written anew without measuring.

use std::fmt::Write;

/// Deeper files are not ours.
const DEPTH_MAX: usize = 32;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// Nothing; a number that is not finite is written like this, as JSON has no such number.
    Null,
    /// Yes or no.
    Bool(bool),
    /// Any number.
    Number(f64),
    /// Any text.
    Text(String),
    /// In order.
    List(Vec<Json>),
    /// In order.
    Object(Vec<(String, Json)>),
}

impl From<f64> for Json {
    fn from(number: f64) -> Self {
        Json::Number(number)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Json::Text(text)
    }
}

impl Json {
    /// An object.
    pub fn object<const N: usize>(fields: [(&str, Json); N]) -> Self {
        Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// A list of what each item becomes.
    pub fn list<T>(items: impl IntoIterator<Item = T>, one: impl FnMut(T) -> Json) -> Self {
        Json::List(items.into_iter().map(one).collect())
    }

    /// On one line.
    pub fn line(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0, 0);
        out
    }

    /// Objects and lists down to the depth `broken` have a line for each member: what changes between two
    /// files can then be seen.
    pub fn lines(&self, broken: usize) -> String {
        let mut out = String::new();
        self.write(&mut out, 0, broken);
        out.push('\n');
        out
    }

    fn write(&self, out: &mut String, depth: usize, broken: usize) {
        match self {
            Json::Number(number) if number.is_finite() => write_number(out, *number),
            Json::Null | Json::Number(_) => out.push_str("null"),
            Json::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
            Json::Text(text) => quote(text, out),
            Json::List(values) => {
                bracketed(out, ['[', ']'], values, depth, broken, |value, out| value.write(out, depth + 1, broken));
            }
            Json::Object(fields) => bracketed(out, ['{', '}'], fields, depth, broken, |(name, value), out| {
                quote(name, out);
                out.push(':');
                value.write(out, depth + 1, broken);
            }),
        }
    }

    /// A member of an object that may be missing or null.
    pub fn find(&self, name: &str) -> Option<&Json> {
        let Json::Object(fields) = self else { return None };
        let (_, value) = fields.iter().find(|(key, _)| key == name)?;
        Some(value).filter(|value| **value != Json::Null)
    }

    /// A member of an object.
    ///
    /// # Errors
    /// It is missing.
    pub fn get(&self, name: &str) -> Result<&Json, String> {
        self.find(name).ok_or_else(|| format!("\"{name}\" is missing"))
    }

    /// The number called `name`.
    ///
    /// # Errors
    /// It is missing or no number.
    pub fn number(&self, name: &str) -> Result<f64, String> {
        match self.get(name)? {
            Json::Number(number) => Ok(*number),
            _ => Err(format!("\"{name}\" is not a number")),
        }
    }

    /// The text called `name`.
    ///
    /// # Errors
    /// It is missing or no text.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        match self.get(name)? {
            Json::Text(text) => Ok(text),
            _ => Err(format!("\"{name}\" is not a text")),
        }
    }

    /// The list called `name`.
    ///
    /// # Errors
    /// It is missing or no list.
    pub fn items(&self, name: &str) -> Result<&[Json], String> {
        match self.get(name)? {
            Json::List(items) => Ok(items),
            _ => Err(format!("\"{name}\" is not a list")),
        }
    }

    /// The list of numbers called `name`.
    ///
    /// # Errors
    /// It is missing, no list, or holds something else.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, String> {
        let number = |json: &Json| match json {
            Json::Number(number) => Ok(*number),
            _ => Err(format!("\"{name}\" holds something else than numbers")),
        };
        self.items(name)?.iter().map(number).collect()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Says what was expected, and in which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        match reader.peek() {
            None => Ok(value),
            Some(_) => Err(reader.wrong("the end")),
        }
    }
}

fn write_number(out: &mut String, number: f64) {
    // Six significant digits: nothing here is measured better.
    let digits = 5 - number.abs().max(1e-9).log10().floor() as i32;
    let rounded = format!("{number:.*}", digits.clamp(0, 9) as usize);
    let text = if rounded.contains('.') { rounded.trim_end_matches('0').trim_end_matches('.') } else { &rounded };
    out.push_str(if text == "-0" { "0" } else { text });
}

fn bracketed<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: &[T],
    depth: usize,
    broken: usize,
    one: impl Fn(&T, &mut String),
) {
    let break_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth));
    };
    let is_broken = depth < broken && !items.is_empty();
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if is_broken {
            break_line(out, depth + 1);
        }
        one(item, out);
    }
    if is_broken {
        break_line(out, depth);
    }
    out.push(close);
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, expected: &str) -> String {
        let line = 1 + self.text[..self.at].matches('\n').count();
        let found = self.text[self.at..].chars().next().map_or("nothing".into(), |c| format!("'{c}'"));
        format!("line {line}: expected {expected}, found {found}")
    }

    /// The next character that is not white space.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> Result<(), String> {
        match self.peek() {
            Some(c) if c == wanted => {
                self.at += c.len_utf8();
                Ok(())
            }
            _ => Err(self.wrong(&format!("'{wanted}'"))),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("less depth"));
        }
        match self.peek() {
            Some('{') => self.members('}', |reader| {
                let name = reader.string()?;
                reader.take(':')?;
                Ok((name, reader.value(depth + 1)?))
            }).map(Json::Object),
            Some('[') => self.members(']', |reader| reader.value(depth + 1)).map(Json::List),
            Some('"') => self.string().map(Json::Text),
            Some(_) => self.word(),
            None => Err(self.wrong("a value")),
        }
    }

    /// What lies between the bracket that is next and `close`.
    fn members<T>(&mut self, close: char, one: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.at += 1;
        let mut items = Vec::new();
        if self.peek() != Some(close) {
            items.push(one(self)?);
            while self.peek() == Some(',') {
                self.at += 1;
                items.push(one(self)?);
            }
        }
        self.take(close)?;
        Ok(items)
    }

    fn word(&mut self) -> Result<Json, String> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
        let value = match &rest[..end] {
            "null" => Json::Null,
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            word => match word.parse::<f64>() {
                Ok(number) if number.is_finite() => Json::Number(number),
                _ => return Err(self.wrong("a value")),
            },
        };
        self.at += end;
        Ok(value)
    }

    fn string(&mut self) -> Result<String, String> {
        self.take('"')?;
        let mut text = String::new();
        loop {
            let c = self.text[self.at..].chars().next().ok_or_else(|| self.wrong("the end of a text"))?;
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(text),
                '\\' => text.push(self.escaped()?),
                c => text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let c = self.text[self.at..].chars().next().ok_or_else(|| self.wrong("an escaped character"))?;
        self.at += c.len_utf8();
        match c {
            '"' | '\\' | '/' => Ok(c),
            'n' => Ok('\n'),
            't' => Ok('\t'),
            'u' => {
                let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
                let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                let c = code.ok_or_else(|| self.wrong("four digits of a character"))?;
                self.at += 4;
                Ok(c)
            }
            _ => Err(self.wrong("an escape that we write")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Json {
        Json::object([
            ("name", "a \"b\"\n".into()),
            ("numbers", Json::list([1.0, 0.25, 1_474_437.143, f64::NAN, 0.0, -0.0], Json::Number)),
            ("none", Json::List(Vec::new())),
            ("yes", Json::Bool(true)),
        ])
    }

    #[test]
    fn values_are_written_as_json() {
        let wanted = r#"{"name":"a \"b\"\u000a","numbers":[1,0.25,1474437,null,0,0],"none":[],"yes":true}"#;
        assert_eq!(sample().line(), wanted);
        assert!(sample().lines(1).starts_with("{\n \"name\":\"a \\\"b\\\"\\u000a\",\n \"numbers\":[1,"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in [sample().line(), sample().lines(1), sample().lines(9)] {
            let read = Json::parse(&text).unwrap();
            assert_eq!(read.line(), sample().line());
        }
        assert_eq!(Json::parse(r#" { "a" : [ -1.5e3 , "ü\/\u00e9" ] } "#).unwrap().items("a").unwrap(), [
            Json::Number(-1500.0),
            "ü/é".into()
        ]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let error = |text: &str| Json::parse(text).unwrap_err();
        assert_eq!(error("{\"a\": 1,\n\"b\" 2}"), "line 2: expected ':', found '2'");
        assert_eq!(error("[1, 2"), "line 1: expected ']', found nothing");
        assert_eq!(error("[1] x"), "line 1: expected the end, found 'x'");
        assert!(error("nan").contains("a value") && error("\"a").contains("the end of a text"));
        assert!(error(&"[".repeat(1_000)).contains("depth"));
        assert!(Json::parse("{}").unwrap().number("p50").unwrap_err().contains("\"p50\" is missing"));
    }
}
