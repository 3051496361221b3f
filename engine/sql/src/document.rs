//! TOML that keeps the place of everything, and reports every problem instead of the first.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_definitions::{Code, Diagnostic, Place, nearest};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The text of a file, and where in it a TOML document begins.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) file: Arc<Path>,
    pub(crate) text: Arc<str>,
    /// Byte offset of the document in the text.
    pub(crate) start: usize,
    /// The code of problems in this document.
    pub(crate) code: Code,
}

impl Text {
    pub(crate) fn place(&self, range: Range<usize>) -> Place {
        Place::in_text(&self.file, &self.text, self.start + range.start..self.start + range.end)
    }

    pub(crate) fn problem(&self, range: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.code, message).at(self.place(range))
    }

    /// Parses `document`, which stands at `start`; syntax errors are problems.
    pub(crate) fn parse<'a>(
        &self,
        document: &'a str,
        problems: &mut Vec<Diagnostic>,
    ) -> Spanned<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(document);
        for error in errors {
            let range = error.span().unwrap_or(0..0);
            let message = error.message().trim().replace('\n', ", ");
            problems.push(self.problem(range, message));
        }
        table
    }
}

/// A table that is being read: each key is asked for once, and what remains is unknown.
pub(crate) struct Reader<'a> {
    text: &'a Text,
    /// What the table is, for messages.
    name: String,
    span: Range<usize>,
    table: Vec<(Spanned<Cow<'a, str>>, Spanned<DeValue<'a>>)>,
    asked: Vec<&'static str>,
    pub(crate) problems: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        text: &'a Text,
        name: impl Into<String>,
        table: Spanned<DeTable<'a>>,
    ) -> Self {
        let span = table.span();
        let table = table.into_inner().into_iter().collect();
        Self { text, name: name.into(), span, table, asked: Vec::new(), problems: Vec::new() }
    }

    /// Where the table is.
    pub(crate) fn place(&self) -> Place {
        self.text.place(self.span.clone())
    }

    pub(crate) fn refuse(&mut self, range: Range<usize>, message: impl Into<String>) {
        let problem = self.text.problem(range, message);
        self.problems.push(problem);
    }

    /// A problem of the table as a whole.
    pub(crate) fn refuse_here(&mut self, message: impl Into<String>) {
        self.refuse(self.span.clone(), message);
    }

    /// A problem with the name that was perhaps meant.
    pub(crate) fn refuse_near(
        &mut self,
        range: Range<usize>,
        message: impl Into<String>,
        near: Option<String>,
    ) {
        let problem = self.text.problem(range, message).did_you_mean(near);
        self.problems.push(problem);
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'a>>> {
        self.asked.push(key);
        let at = self.table.iter().position(|(name, _)| name.get_ref() == key)?;
        Some(self.table.remove(at).1)
    }

    fn expected(&mut self, key: &str, what: &str, value: &Spanned<DeValue<'a>>) {
        let found = describe(value.get_ref());
        let message = format!("`{key}` of {} is {what}, not {found}", self.name);
        self.refuse(value.span(), message);
    }

    /// A text with its place.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<(String, Range<usize>)> {
        let value = self.take(key)?;
        if let DeValue::String(text) = value.get_ref() {
            Some((text.to_string(), value.span()))
        } else {
            self.expected(key, "a text", &value);
            None
        }
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Option<String> {
        self.text(key).map(|(text, _)| text)
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        if let DeValue::Boolean(truth) = value.get_ref() {
            return Some(*truth);
        }
        self.expected(key, "`true` or `false`", &value);
        None
    }

    /// A whole number above zero.
    pub(crate) fn count(&mut self, key: &'static str) -> Option<usize> {
        let value = self.take(key)?;
        if let DeValue::Integer(number) = value.get_ref()
            && let Ok(number) = usize::from_str_radix(number.as_str(), number.radix())
            && number > 0
        {
            return Some(number);
        }
        self.expected(key, "a whole number above zero", &value);
        None
    }

    /// A text such as `90s`, `10m`, `1h30m`.
    pub(crate) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let (text, span) = self.text(key)?;
        let parsed = parse_duration(&text);
        if parsed.is_none() {
            let message = format!("`{text}` is no duration; write `90s`, `10m` or `1h30m`");
            self.refuse(span, message);
        }
        parsed
    }

    /// A text such as `512MB` or `4GiB`.
    pub(crate) fn bytes(&mut self, key: &'static str) -> Option<usize> {
        let (text, span) = self.text(key)?;
        let parsed = parse_bytes(&text);
        if parsed.is_none() {
            self.refuse(span, format!("`{text}` is no size; write `512MB` or `4GiB`"));
        }
        parsed
    }

    /// A text or a list of texts, each with its place.
    pub(crate) fn texts(&mut self, key: &'static str) -> Vec<(String, Range<usize>)> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let items: Vec<Spanned<DeValue<'a>>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().cloned().collect(),
            _ => vec![value.clone()],
        };
        let mut texts = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => texts.push((text.to_string(), item.span())),
                _ => self.expected(key, "a list of texts", &item),
            }
        }
        texts
    }

    pub(crate) fn strings(&mut self, key: &'static str) -> Vec<String> {
        self.texts(key).into_iter().map(|(text, _)| text).collect()
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let (text, span) = self.text(key)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let message = format!(
                "`{key}` of {} is one of {}, not `{text}`",
                self.name,
                words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
            );
            let near = nearest(&text, words);
            let problem = self.text.problem(span, message).did_you_mean(near);
            self.problems.push(problem);
        }
        found.map(|(_, value)| *value)
    }

    /// Any value with its place.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<(Value, Range<usize>)> {
        let value = self.take(key)?;
        Some((json(value.get_ref()), value.span()))
    }

    /// A table below this one.
    pub(crate) fn table(&mut self, key: &'static str) -> Option<Self> {
        let value = self.take(key)?;
        self.as_table(key, value)
    }

    fn as_table(&mut self, key: &str, value: Spanned<DeValue<'a>>) -> Option<Self> {
        let span = value.span();
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            self.expected(key, "a table", &value);
            return None;
        }
        match value.into_inner() {
            DeValue::Table(table) => {
                Some(Reader::new(self.text, format!("`[{key}]`"), Spanned::new(span, table)))
            }
            _ => None,
        }
    }

    /// Every remaining entry that is a table, by its name; other entries stay unknown.
    pub(crate) fn tables(&mut self) -> Vec<(String, Range<usize>, Self)> {
        let mut tables = Vec::new();
        for (key, value) in std::mem::take(&mut self.table) {
            let (name, span) = (key.get_ref().to_string(), key.span());
            if let Some(table) = self.as_table(&name, value) {
                tables.push((name, span, table));
            }
        }
        tables
    }

    /// Names keys that are known, although nobody has asked for them.
    pub(crate) fn offer(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    /// Takes keys without looking at them.
    pub(crate) fn skip(&mut self, keys: &[&'static str]) {
        self.table.retain(|(name, _)| !keys.contains(&name.get_ref().as_ref()));
    }

    /// Whether something is there that nobody knows.
    pub(crate) fn has_unknown(&self) -> bool {
        self.table.iter().any(|(name, _)| !self.asked.contains(&name.get_ref().as_ref()))
    }

    /// Whether a key is there, without asking for it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.iter().any(|(name, _)| name.get_ref() == key)
    }

    /// Whether a key is there and holds a table.
    pub(crate) fn is_table(&self, key: &str) -> bool {
        let mut named = self.table.iter().filter(|(name, _)| name.get_ref() == key);
        named.any(|(_, value)| matches!(value.get_ref(), DeValue::Table(_)))
    }

    /// Every remaining entry as a value, with the place of its key.
    pub(crate) fn rest(&mut self) -> Vec<(String, Range<usize>, Value)> {
        let entries = std::mem::take(&mut self.table);
        entries
            .into_iter()
            .map(|(key, value)| (key.get_ref().to_string(), key.span(), json(value.get_ref())))
            .collect()
    }

    /// The problems, with one for each key that was never asked for.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        for (key, _) in std::mem::take(&mut self.table) {
            let known = self.asked.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
            let name = key.get_ref();
            let message = format!("{} has no key `{name}`", self.name);
            let near = nearest(name, self.asked.iter().copied());
            let problem = self.text.problem(key.span(), message).marked("unknown key");
            let problem = match near {
                Some(near) => problem.did_you_mean(Some(near)),
                None => problem.help(format!("the keys are {known}")),
            };
            self.problems.push(problem);
        }
        self.problems
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{text}\""),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A TOML value as JSON; dates become texts.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::from(number.to_string()), Value::from),
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .map_or_else(|_| Value::from(number.to_string()), Value::from),
        DeValue::Boolean(truth) => Value::from(*truth),
        DeValue::Datetime(moment) => Value::from(moment.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())))
            .collect(),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match rest[..unit].trim() {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number * seconds).ok()?;
        rest = &rest[unit..];
    }
    Some(total)
}

fn parse_bytes(text: &str) -> Option<usize> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let factor: usize = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = text[..end].split_once('.').unwrap_or((&text[..end], "0"));
    let whole = whole.parse::<usize>().ok()?.checked_mul(factor)?;
    let tens = 10_usize.checked_pow(fraction.len().try_into().ok()?)?;
    let fraction = fraction.parse::<usize>().ok()?.checked_mul(factor)? / tens;
    whole.checked_add(fraction).filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read() {
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("10"), None);
        assert_eq!(parse_duration(""), None);
        assert_eq!(parse_bytes("4GiB"), Some(4 << 30));
        assert_eq!(parse_bytes("512MB"), Some(512_000_000));
        assert_eq!(parse_bytes("1.5 GiB"), Some(3 << 29));
        assert_eq!(parse_bytes("0.25tb"), Some(250_000_000_000));
        for wrong in ["0", "0.0", ".5GiB", "1.GiB", "1.5.0GiB", "1e9", "-1", "99999999999999 GiB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
        assert_eq!(parse_bytes("ten"), None);
    }
}
