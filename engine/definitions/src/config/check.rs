//! Run config against the schemas of what is run: every error at once, each with its path, its
//! place, what was expected and what was found.

use serde_json::{Map, Value, json};

use super::document::{Entry, Tree};
use super::shape::Shape;
use crate::{Code, Diagnostic, nearest};

/// What the environment says.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Checks a run config; returns it with the values of `{ env = "NAME" }` in their places.
///
/// `of` says what it is the config of, such as ``job `nightly` ``.
///
/// # Errors
/// Every error of the document.
pub fn check_config(
    of: &str,
    entry: &Entry,
    shape: &Shape,
    environment: Environment<'_>,
) -> Result<Value, Vec<Diagnostic>> {
    let mut check = Check { of, environment, problems: Vec::new() };
    let value = check.shape(entry, shape, "");
    if check.problems.is_empty() { Ok(value) } else { Err(check.problems) }
}

struct Check<'a> {
    of: &'a str,
    environment: Environment<'a>,
    problems: Vec<Diagnostic>,
}

impl Check<'_> {
    fn refuse(&mut self, entry: &Entry, message: String) -> &mut Diagnostic {
        let message = format!("config of {}: {message}", self.of);
        self.problems.push(Diagnostic::error(Code::Config, message).at(entry.place.clone()));
        self.problems.last_mut().expect("it was pushed")
    }

    fn help(&mut self, text: String) {
        if let Some(problem) = self.problems.last_mut() {
            problem.helps.push(text);
        }
    }

    fn shape(&mut self, entry: &Entry, shape: &Shape, path: &str) -> Value {
        match shape {
            Shape::Any => entry.value(),
            Shape::Schema(schema) => self.schema(entry, schema, schema, path),
            Shape::Table(known) => {
                let Tree::Table(entries) = &entry.tree else {
                    return self.wrong(entry, path, "a table");
                };
                let mut value = Map::new();
                for (name, inner) in entries {
                    let at = joined(path, name);
                    match known.iter().find(|(known, _)| known == name) {
                        Some((_, field)) => {
                            value.insert(name.clone(), self.shape(inner, &field.shape, &at));
                        }
                        None => {
                            let names: Vec<&str> = known.iter().map(|(k, _)| k.as_str()).collect();
                            self.unexpected(inner, &at, name, &names);
                        }
                    }
                }
                for (name, field) in known {
                    if field.required && !entries.iter().any(|(given, _)| given == name) {
                        self.missing(entry, path, name, &field.shape.example());
                    }
                }
                Value::Object(value)
            }
        }
    }

    fn wrong(&mut self, entry: &Entry, path: &str, expected: &str) -> Value {
        let found = described(&entry.tree);
        self.refuse(entry, format!("{} is {found}, not {expected}", at(path)));
        Value::Null
    }

    fn unexpected(&mut self, entry: &Entry, path: &str, name: &str, names: &[&str]) {
        let place = entry.name_place.clone().or_else(|| entry.place.clone());
        self.refuse(entry, format!("there is no entry `{path}`")).place = place;
        match nearest(name, names.iter().copied()) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None if names.is_empty() => self.help("nothing is configured here".to_owned()),
            None => {
                let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                self.help(format!("expected {}", known.join(", ")));
            }
        }
    }

    fn missing(&mut self, entry: &Entry, path: &str, name: &str, example: &Value) {
        let path = joined(path, name);
        self.refuse(entry, format!("the entry `{path}` is missing"));
        self.help(format!("for example `{path} = {}`", super::shape::toml_inline(example)));
    }

    fn schema(&mut self, entry: &Entry, schema: &Value, root: &Value, path: &str) -> Value {
        let schema = super::shape::dereferenced(schema, root);
        if let Some(value) = self.environment(entry, schema, root, path) {
            return value;
        }
        if let Some(options) = schema.get("enum").and_then(Value::as_array) {
            return self.one_of(entry, options, path);
        }
        if let Some(only) = schema.get("const") {
            return self.one_of(entry, std::slice::from_ref(only), path);
        }
        for word in ["oneOf", "anyOf"] {
            if let Some(variants) = schema.get(word).and_then(Value::as_array) {
                return self.variants(entry, variants, root, path);
            }
        }
        let types = super::shape::types(schema);
        match &entry.tree {
            Tree::Table(entries) if types.is_empty() || types.contains(&"object") => {
                self.object(entry, entries, schema, root, path)
            }
            Tree::List(items) if types.is_empty() || types.contains(&"array") => {
                let item_schema = schema.get("items").cloned().unwrap_or(Value::Bool(true));
                let checked = items.iter().enumerate().map(|(i, item)| {
                    self.schema(item, &item_schema, root, &format!("{path}[{i}]"))
                });
                Value::Array(checked.collect())
            }
            Tree::Scalar(value) if fits(value, &types) => self.bounds(entry, value, schema, path),
            _ => self.wrong(entry, path, &super::shape::told(schema, root)),
        }
    }

    /// `{ env = "NAME" }` stands for any value that is no table.
    fn environment(
        &mut self,
        entry: &Entry,
        schema: &Value,
        root: &Value,
        path: &str,
    ) -> Option<Value> {
        let Tree::Table(entries) = &entry.tree else { return None };
        let [(name, inner)] = entries.as_slice() else { return None };
        let Tree::Scalar(Value::String(variable)) = &inner.tree else { return None };
        let is_own = schema.get("properties").is_some_and(|known| known.get("env").is_some());
        if name != "env" || is_own {
            return None;
        }
        let Some(text) = (self.environment)(variable) else {
            self.refuse(
                inner,
                format!("{} is in `{variable}`, which the environment lacks", at(path)),
            );
            return Some(Value::Null);
        };
        let types = super::shape::types(schema);
        let parsed = serde_json::from_str::<Value>(&text).ok();
        let value = match parsed.filter(|value| !types.contains(&"string") && fits(value, &types)) {
            Some(value) => value,
            None => Value::from(text),
        };
        let given = Entry { tree: Tree::Scalar(value), ..inner.clone() };
        Some(self.schema(&given, schema, root, path))
    }

    fn one_of(&mut self, entry: &Entry, options: &[Value], path: &str) -> Value {
        let value = entry.value();
        if options.contains(&value) {
            return value;
        }
        let words: Vec<&str> = options.iter().filter_map(Value::as_str).collect();
        let listed: Vec<String> =
            options.iter().map(|option| format!("`{}`", plain(option))).collect();
        let found = described(&entry.tree);
        self.refuse(entry, format!("{} is {found}, not one of {}", at(path), listed.join(", ")));
        if let Some(near) = value.as_str().and_then(|text| nearest(text, words)) {
            self.help(format!("did you mean `{near}`?"));
        }
        Value::Null
    }

    /// An optional value, a choice of words, or exactly one of several keys.
    fn variants(&mut self, entry: &Entry, variants: &[Value], root: &Value, path: &str) -> Value {
        let all = variants.iter().map(|variant| super::shape::dereferenced(variant, root));
        let all: Vec<&Value> = all.collect();
        let words: Vec<Value> = all.iter().filter_map(|v| v.get("const").cloned()).collect();
        if words.len() == all.len() {
            return self.one_of(entry, &words, path);
        }
        let is_null = |variant: &&Value| super::shape::types(variant) == ["null"];
        if matches!(entry.tree, Tree::Scalar(Value::Null)) && all.iter().any(&is_null) {
            return Value::Null;
        }
        let real: Vec<&Value> = all.iter().copied().filter(|v| !is_null(v)).collect();
        if let [only] = real.as_slice() {
            return self.schema(entry, only, root, path);
        }
        let keys: Vec<(&str, &Value)> = real.iter().filter_map(|v| selector_key(v)).collect();
        if keys.len() == real.len() {
            return self.selector(entry, &keys, root, path);
        }
        // Whatever fits; else what is wrong with the first that has the right type.
        for variant in &real {
            let mut attempt =
                Check { of: self.of, environment: self.environment, problems: Vec::new() };
            let value = attempt.schema(entry, variant, root, path);
            if attempt.problems.is_empty() {
                return value;
            }
        }
        let told: Vec<String> = real.iter().map(|v| super::shape::told(v, root)).collect();
        self.wrong(entry, path, &told.join(" or "))
    }

    /// A table with exactly one of the known keys.
    fn selector(
        &mut self,
        entry: &Entry,
        keys: &[(&str, &Value)],
        root: &Value,
        path: &str,
    ) -> Value {
        let names: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        let listed = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let Tree::Table(entries) = &entry.tree else {
            return self.wrong(entry, path, &format!("a table with exactly one of {listed}"));
        };
        let [(name, inner)] = entries.as_slice() else {
            let given = entries.iter().map(|(name, _)| format!("`{name}`"));
            let given = given.collect::<Vec<_>>().join(", ");
            let found = if given.is_empty() { "none".to_owned() } else { given };
            self.refuse(
                entry,
                format!("{} has exactly one of {listed}, but there is {found}", at(path)),
            );
            return Value::Null;
        };
        match keys.iter().find(|(key, _)| key == name) {
            Some((_, schema)) => {
                let inner = self.schema(inner, schema, root, &joined(path, name));
                json!({ name: inner })
            }
            None => {
                self.unexpected(inner, &joined(path, name), name, &names);
                Value::Null
            }
        }
    }

    fn object(
        &mut self,
        entry: &Entry,
        entries: &[(String, Entry)],
        schema: &Value,
        root: &Value,
        path: &str,
    ) -> Value {
        let empty = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let others = schema.get("additionalProperties");
        let mut value = Map::new();
        for (name, inner) in entries {
            let at = joined(path, name);
            match (known.get(name), others) {
                (Some(schema), _) => {
                    value.insert(name.clone(), self.schema(inner, schema, root, &at));
                }
                (None, Some(schema)) if *schema != Value::Bool(false) => {
                    value.insert(name.clone(), self.schema(inner, schema, root, &at));
                }
                _ => {
                    let names: Vec<&str> = known.keys().map(String::as_str).collect();
                    self.unexpected(inner, &at, name, &names);
                }
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if !entries.iter().any(|(given, _)| given == name) {
                let example = super::shape::example(known.get(name).unwrap_or(&Value::Null), root);
                self.missing(entry, path, name, &example);
            }
        }
        Value::Object(value)
    }

    fn bounds(&mut self, entry: &Entry, value: &Value, schema: &Value, path: &str) -> Value {
        if let Some(number) = value.as_f64() {
            let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
            let below = limit("minimum").filter(|least| number < *least);
            let above = limit("maximum").filter(|most| number > *most);
            if let Some(least) = below {
                self.refuse(entry, format!("{} is {number}, but at least {least}", at(path)));
            }
            if let Some(most) = above {
                self.refuse(entry, format!("{} is {number}, but at most {most}", at(path)));
            }
        }
        value.clone()
    }
}

/// The only required key of a variant that is chosen by its key.
fn selector_key(variant: &Value) -> Option<(&str, &Value)> {
    let properties = variant.get("properties")?.as_object()?;
    match variant.get("required")?.as_array()?.as_slice() {
        [Value::String(key)] if properties.len() == 1 => Some((key, properties.get(key)?)),
        _ => None,
    }
}

fn fits(value: &Value, types: &[&str]) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        _ => false,
    };
    types.is_empty() || types.iter().any(|name| is(name))
}

fn at(path: &str) -> String {
    if path.is_empty() { "the document".to_owned() } else { format!("`{path}`") }
}

fn joined(path: &str, name: &str) -> String {
    let name = if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn described(tree: &Tree) -> String {
    match tree {
        Tree::Table(_) => "a table".to_owned(),
        Tree::List(_) => "a list".to_owned(),
        Tree::Scalar(Value::Null) => "null".to_owned(),
        Tree::Scalar(Value::String(text)) => format!("the text `{text}`"),
        Tree::Scalar(Value::Number(number)) => format!("the number {number}"),
        Tree::Scalar(other) => other.to_string(),
    }
}
