//! JSON, written. The machine-readable report needs objects, lists, strings and numbers.

use std::fmt::Write;

/// A value.
#[derive(Clone, Debug)]
pub enum Json {
    /// Not finite becomes null, as JSON has no such number.
    Number(f64),
    /// Any text.
    Text(String),
    /// In order.
    List(Vec<Json>),
    /// In order.
    Object(Vec<(&'static str, Json)>),
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
    /// On one line.
    pub fn line(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Number(number) if number.is_finite() => {
                // Six significant digits: nothing here is measured better.
                let digits = 5 - number.abs().max(1e-9).log10().floor() as i32;
                let rounded = format!("{number:.*}", digits.clamp(0, 9) as usize);
                let text = if rounded.contains('.') {
                    rounded.trim_end_matches('0').trim_end_matches('.')
                } else {
                    &rounded
                };
                out.push_str(text);
            }
            Json::Number(_) => out.push_str("null"),
            Json::Text(text) => quote(text, out),
            Json::List(values) => bracketed(out, '[', ']', values, |value, out| value.write(out)),
            Json::Object(fields) => bracketed(out, '{', '}', fields, |(name, value), out| {
                quote(name, out);
                out.push(':');
                value.write(out);
            }),
        }
    }
}

fn bracketed<T>(out: &mut String, open: char, close: char, items: &[T], one: impl Fn(&T, &mut String)) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        one(item, out);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_json() {
        let value = Json::Object(vec![
            ("name", "a \"b\"\n".into()),
            ("numbers", Json::List([1.0, 0.25, 1_474_437.143, f64::NAN, 0.0].map(Json::Number).to_vec())),
            ("none", Json::List(Vec::new())),
        ]);
        let wanted = r#"{"name":"a \"b\"\u000a","numbers":[1,0.25,1474437,null,0],"none":[]}"#;
        assert_eq!(value.line(), wanted);
    }
}
