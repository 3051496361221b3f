//! What a run config looks like: tables of our own, and below them the JSON Schema of a type.

use serde_json::{Map, Value, json};

use super::ConfigSchema;

/// What is allowed at a place of a run config.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Exactly these entries.
    Table(Vec<(String, Field)>),
    /// What a type takes.
    Schema(Value),
    /// Anything.
    Any,
}

/// An entry of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// What it looks like.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What it is for.
    pub description: Option<String>,
}

impl Field {
    /// An entry that is there only if something in it must be.
    pub fn of(shape: Shape) -> Self {
        Self { required: shape.is_required(), shape, description: None }
    }
}

impl From<&ConfigSchema> for Shape {
    fn from(config: &ConfigSchema) -> Self {
        Self::Schema(config.schema.clone())
    }
}

impl Shape {
    /// Whether an empty table does not do.
    pub fn is_required(&self) -> bool {
        match self {
            Self::Table(fields) => fields.iter().any(|(_, field)| field.required),
            Self::Schema(schema) => {
                schema.get("required").and_then(Value::as_array).is_some_and(|r| !r.is_empty())
            }
            Self::Any => false,
        }
    }

    /// A value that has everything that must be there.
    pub fn example(&self) -> Value {
        match self {
            Self::Table(fields) => {
                let required = fields.iter().filter(|(_, field)| field.required);
                required.map(|(name, field)| (name.clone(), field.shape.example())).collect()
            }
            Self::Schema(schema) => example(schema, schema),
            Self::Any => json!({}),
        }
    }

    /// The shape as a commented TOML text, in which every entry has an example.
    pub fn template(&self) -> String {
        let mut lines = Vec::new();
        self.template_into(&mut lines, &mut Vec::new());
        lines.join("\n")
    }

    fn template_into(&self, lines: &mut Vec<String>, path: &mut Vec<String>) {
        match self {
            Self::Any => {}
            Self::Table(fields) => {
                for (name, field) in fields {
                    path.push(name.clone());
                    if let Some(text) = &field.description {
                        lines.extend(text.lines().map(|line| format!("# {line}")));
                    }
                    field.shape.template_into(lines, path);
                    path.pop();
                }
            }
            Self::Schema(schema) => {
                let properties = schema.get("properties").and_then(Value::as_object);
                let required: Vec<&str> = schema
                    .get("required")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let Some(properties) = properties else {
                    let Some((last, table)) = path.split_last() else { return };
                    lines.push(format!("[{}]", table.join(".")));
                    lines.push(format!("# {last} = {}", toml_inline(&example(schema, schema))));
                    return;
                };
                lines.push(format!("[{}]", path.join(".")));
                for (name, property) in properties {
                    let inner = dereferenced(property, schema);
                    let description = property.get("description").or(inner.get("description"));
                    let is_required = required.contains(&name.as_str());
                    if let Some(text) = description.and_then(Value::as_str) {
                        lines.extend(text.lines().map(|line| format!("# {line}")));
                    }
                    let need = if is_required { "required" } else { "optional" };
                    lines.push(format!("# ({}, {need})", told(property, schema)));
                    let value = property.get("default").cloned();
                    let value = value.unwrap_or_else(|| example(property, schema));
                    let mark = if is_required { "" } else { "# " };
                    lines.push(format!("{mark}{name} = {}", toml_inline(&value)));
                }
                lines.push(String::new());
            }
        }
    }
}

/// What a `$ref` refers to.
pub(super) fn dereferenced<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    // A definition that refers to itself ends the search.
    for _ in 0..16 {
        let Some(target) = schema.get("$ref").and_then(Value::as_str) else { break };
        match root.pointer(target.trim_start_matches('#')) {
            Some(found) => schema = found,
            None => break,
        }
    }
    schema
}

/// The JSON types that a schema allows; none if it does not say.
pub(super) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// What a schema expects, in words.
pub(super) fn told(schema: &Value, root: &Value) -> String {
    let schema = dereferenced(schema, root);
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        let options = options.iter().map(|o| format!("`{}`", o.as_str().unwrap_or_default()));
        return format!("one of {}", options.collect::<Vec<_>>().join(", "));
    }
    if let Some(only) = schema.get("const") {
        return format!("`{}`", only.as_str().map_or_else(|| only.to_string(), str::to_owned));
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(variants) = schema.get(word).and_then(Value::as_array) {
            let told: Vec<String> = variants.iter().map(|variant| told(variant, root)).collect();
            return told.join(" or ");
        }
    }
    let word = |name: &&str| match *name {
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a table",
        _ => "null",
    };
    let words: Vec<&str> = types(schema).iter().map(word).collect();
    if words.is_empty() { "any value".to_owned() } else { words.join(" or ") }
}

/// A value that a schema allows.
pub(super) fn example(schema: &Value, root: &Value) -> Value {
    let schema = dereferenced(schema, root);
    if let Some(default) = schema.get("default") {
        return default.clone();
    }
    if let Some(option) = schema.get("enum").and_then(|options| options.get(0)) {
        return option.clone();
    }
    if let Some(only) = schema.get("const") {
        return only.clone();
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(variant) = schema.get(word).and_then(|variants| variants.get(0)) {
            return example(variant, root);
        }
    }
    match types(schema).first() {
        Some(&"integer") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some(&"number") => json!(0.5),
        Some(&"string") => json!("…"),
        Some(&"boolean") => json!(true),
        Some(&"array") => json!([example(schema.get("items").unwrap_or(&Value::Null), root)]),
        Some(&"object") => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let entry = |name: &str| {
                let property = schema.get("properties")?.get(name)?;
                Some((name.to_owned(), example(property, root)))
            };
            let entries = required.filter_map(Value::as_str).filter_map(entry);
            Value::Object(entries.collect::<Map<_, _>>())
        }
        _ => json!("…"),
    }
}

/// A value as it is written in one line of TOML.
pub(super) fn toml_inline(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml_inline).collect::<Vec<_>>().join(", "))
        }
        Value::Object(entries) => {
            let entries =
                entries.iter().map(|(name, value)| format!("{name} = {}", toml_inline(value)));
            let entries = entries.collect::<Vec<_>>().join(", ");
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {entries} }}") }
        }
        other => other.to_string(),
    }
}
