//! Run config as it is written: TOML, YAML or JSON, in which everything has a place.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{Code, Diagnostic, Place};

/// Lists and tables within each other in YAML, whose parser takes some 40 KiB of stack for each.
const DEPTH_MAX: usize = 24;

/// A value and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The value.
    pub tree: Tree,
    /// Where it is; `None` if it was given by code or on the command line.
    pub place: Option<Place>,
    /// Where its name is, if it is an entry of a table.
    pub name_place: Option<Place>,
}

/// A value whose parts have places of their own.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// A text, number, truth value or null.
    Scalar(Value),
    /// Items in order.
    List(Vec<Entry>),
    /// Entries in the order in which they are written.
    Table(Vec<(String, Entry)>),
}

impl Entry {
    /// An empty table.
    pub fn empty() -> Self {
        Self::unplaced(Tree::Table(Vec::new()))
    }

    /// A value without places.
    pub fn of_value(value: &Value) -> Self {
        let tree = match value {
            Value::Array(items) => Tree::List(items.iter().map(Self::of_value).collect()),
            Value::Object(entries) => {
                let entries = entries.iter().map(|(k, v)| (k.clone(), Self::of_value(v)));
                Tree::Table(entries.collect())
            }
            Value::Null => Tree::Table(Vec::new()),
            scalar => Tree::Scalar(scalar.clone()),
        };
        Self::unplaced(tree)
    }

    fn unplaced(tree: Tree) -> Self {
        Self { tree, place: None, name_place: None }
    }

    /// The value alone.
    pub fn value(&self) -> Value {
        match &self.tree {
            Tree::Scalar(value) => value.clone(),
            Tree::List(items) => items.iter().map(Self::value).collect(),
            Tree::Table(entries) => {
                entries.iter().map(|(name, entry)| (name.clone(), entry.value())).collect()
            }
        }
    }

    /// Reads a text whose language is told by the ending of its file: `toml`, `yaml`, `yml`, `json`.
    ///
    /// # Errors
    /// A problem with its place if the ending is another or the text cannot be parsed.
    pub fn parse(file: &Arc<Path>, text: &str) -> Result<Self, Diagnostic> {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending {
            "toml" => parse_toml(file, text),
            // Every JSON text is a YAML text.
            "yaml" | "yml" | "json" => parse_yaml(file, text),
            _ => {
                let message = format!(
                    "`{}` is no run config: its ending is `toml`, `yaml` or `json`",
                    file.display()
                );
                Err(Diagnostic::error(Code::Config, message))
            }
        }
    }

    /// This over `under`: tables are merged entry by entry, anything else is taken from here.
    #[must_use]
    pub fn over(self, under: Self) -> Self {
        let (Tree::Table(mine), Tree::Table(theirs)) = (&self.tree, under.tree) else {
            return self;
        };
        let mut merged = mine.clone();
        for (name, entry) in theirs {
            match merged.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = known.clone().over(entry),
                None => merged.push((name, entry)),
            }
        }
        Self { tree: Tree::Table(merged), ..self }
    }

    /// The entry with a value at a path such as `ops.greet.config.name`.
    #[must_use]
    pub fn with(self, path: &str, value: &Value) -> Self {
        let nested = path.rsplit('.').fold(Self::of_value(value), |inner, name| {
            Self::unplaced(Tree::Table(vec![(name.to_owned(), inner)]))
        });
        nested.over(self)
    }
}

fn parse_toml(file: &Arc<Path>, text: &str) -> Result<Entry, Diagnostic> {
    let table = DeTable::parse(text).map_err(|error| {
        let range = error.span().unwrap_or(0..0);
        Diagnostic::error(Code::Config, error.message().trim().replace('\n', ", "))
            .at(Place::in_text(file, text, range))
    })?;
    let place = Place::in_text(file, text, table.span());
    let tree = toml_table(file, text, table.get_ref());
    Ok(Entry { tree, place: Some(place), name_place: None })
}

fn toml_table(file: &Arc<Path>, text: &str, table: &DeTable<'_>) -> Tree {
    let entry = |(name, value): (
        &toml::Spanned<std::borrow::Cow<'_, str>>,
        &toml::Spanned<DeValue<'_>>,
    )| {
        let tree = toml_tree(file, text, value.get_ref());
        // A table is where its name stands, any other value where it stands itself.
        let is_table = matches!(tree, Tree::Table(_));
        let name_place = Some(Place::in_text(file, text, name.span()));
        let value_place = Some(Place::in_text(file, text, value.span()));
        let place = if is_table { name_place.clone() } else { value_place };
        (name.get_ref().to_string(), Entry { tree, place, name_place })
    };
    Tree::Table(table.iter().map(entry).collect())
}

fn toml_tree(file: &Arc<Path>, text: &str, value: &DeValue<'_>) -> Tree {
    match value {
        DeValue::Table(table) => toml_table(file, text, table),
        DeValue::Array(items) => Tree::List(
            items
                .iter()
                .map(|item| Entry {
                    tree: toml_tree(file, text, item.get_ref()),
                    place: Some(Place::in_text(file, text, item.span())),
                    name_place: None,
                })
                .collect(),
        ),
        DeValue::String(text) => Tree::Scalar(Value::from(text.as_ref())),
        DeValue::Boolean(truth) => Tree::Scalar(Value::from(*truth)),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Tree::Scalar(parsed.map_or(Value::Null, Value::from))
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().replace('_', "").parse::<f64>();
            Tree::Scalar(parsed.map_or(Value::Null, Value::from))
        }
        DeValue::Datetime(moment) => Tree::Scalar(Value::from(moment.to_string())),
    }
}

fn parse_yaml(file: &Arc<Path>, text: &str) -> Result<Entry, Diagnostic> {
    if text.trim().is_empty() {
        return Ok(Entry::empty());
    }
    let options = serde_saphyr::options! { budget: serde_saphyr::budget! { max_depth: DEPTH_MAX } };
    let parsed: Result<Spanned<Yaml>, _> = serde_saphyr::from_str_with_options(text, options);
    match parsed {
        Ok(root) => Ok(root.value.located(file, &root.referenced)),
        Err(error) => {
            let place = error.location().map(|at| place(file, &at));
            let told = error.to_string();
            let message = told.lines().next().unwrap_or("it cannot be parsed").to_owned();
            Err(Diagnostic::error(Code::Config, message.trim_start_matches("error: ")).at(place))
        }
    }
}

fn place(file: &Arc<Path>, at: &serde_saphyr::Location) -> Place {
    let count = |n: u64| usize::try_from(n).unwrap_or(1).max(1);
    Place::point(&**file, count(at.line()), count(at.column()))
}

/// YAML as it is read, before places have a file.
enum Yaml {
    Scalar(Value),
    List(Vec<Spanned<Self>>),
    Table(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl Yaml {
    fn located(self, file: &Arc<Path>, at: &serde_saphyr::Location) -> Entry {
        let inner = |item: Spanned<Self>| item.value.located(file, &item.referenced);
        let tree = match self {
            Self::Scalar(value) => Tree::Scalar(value),
            Self::List(items) => Tree::List(items.into_iter().map(inner).collect()),
            Self::Table(entries) => {
                let entry = |(name, item): (Spanned<String>, Spanned<Self>)| {
                    let name_place = Some(place(file, &name.referenced));
                    (name.value, Entry { name_place, ..inner(item) })
                };
                Tree::Table(entries.into_iter().map(entry).collect())
            }
        };
        Entry { tree, place: Some(place(file, at)), name_place: None }
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::from(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::from(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::from(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::from(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::from(text)))
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            table.push(entry);
        }
        Ok(Yaml::Table(table))
    }
}

#[cfg(test)]
mod tests {
    use super::Entry;

    #[test]
    fn what_is_nested_too_deep_is_refused_before_the_stack_ends() {
        for (file, text) in [
            ("config.yaml", "[".repeat(5_000)),
            ("config.yaml", "a: [".repeat(50)),
            ("config.yaml", (0..2_000).map(|depth| " ".repeat(depth) + "a:\n").collect()),
            ("config.json", "[".repeat(30) + &"]".repeat(30)),
            ("config.toml", format!("a = {}1{}", "[".repeat(5_000), "]".repeat(5_000))),
            ("config.toml", format!("a = {}", "{ a = ".repeat(5_000))),
        ] {
            let problem = Entry::parse(&std::path::Path::new(file).into(), &text).expect_err(file);
            assert!(problem.place.is_some() && !problem.message.is_empty(), "{problem:?}");
        }
        let fits = "[".repeat(20) + &"]".repeat(20);
        Entry::parse(&std::path::Path::new("config.json").into(), &fits).expect("it is read");
    }
}
