//! `[sources.NAME]` in the project file.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use arrowsmith_definitions::{AssetKey, Attributes, Code, Diagnostic, Partitions, Place};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::attributes::read_attributes;
use crate::document::{Reader, Text};
use crate::partitions::read_partitions;
use crate::planning_session;

/// Rows of each file that are looked at when columns are inferred.
const INFER_ROWS: usize = 10_000;

/// What a source file is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    Csv,
    Json,
    Parquet,
    Arrow,
}

impl Format {
    pub(crate) const NAMES: [(&'static str, Self); 4] = [
        ("csv", Self::Csv),
        ("json", Self::Json),
        ("parquet", Self::Parquet),
        ("arrow", Self::Arrow),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, format)| *format == self).map_or("csv", |(name, _)| name)
    }

    /// By the ending of a path, compression left aside.
    fn of_path(path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or(path);
        let stem = compression_of_path(path).map_or(path, |(_, stem)| stem);
        match stem.rsplit_once('.')?.1 {
            "csv" | "tsv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::Json),
            "parquet" => Some(Self::Parquet),
            "arrow" | "ipc" | "feather" => Some(Self::Arrow),
            _ => None,
        }
    }
}

fn compression_of_path(path: &str) -> Option<(FileCompressionType, &str)> {
    [
        (".gz", FileCompressionType::GZIP),
        (".bz2", FileCompressionType::BZIP2),
        (".xz", FileCompressionType::XZ),
        (".zst", FileCompressionType::ZSTD),
    ]
    .into_iter()
    .find_map(|(ending, compression)| path.strip_suffix(ending).map(|stem| (compression, stem)))
}

/// A source as it is declared.
#[derive(Debug, Clone)]
pub(crate) struct SourceSettings {
    pub(crate) key: AssetKey,
    pub(crate) attributes: Attributes,
    pub(crate) format: Format,
    /// A path or glob relative to the project, or a URL.
    pub(crate) path: String,
    pub(crate) path_place: Place,
    pub(crate) compression: FileCompressionType,
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    pub(crate) header: bool,
    /// Texts that stand for null, besides the empty one.
    pub(crate) nulls: Vec<String>,
    pub(crate) infer_rows: usize,
    /// Whether its state is what stands in its files, and not only their size and time.
    pub(crate) by_content: bool,
    /// Declared columns; for CSV their order is that of the file.
    pub(crate) columns: Option<Vec<Field>>,
    /// How its files are cut: each key stands for `{partition}` in the path, each part of a key of
    /// several dimensions for `{NAME}`.
    pub(crate) partitions: Option<Arc<Partitions>>,
    pub(crate) place: Place,
}

/// Every source below `[sources]`. A table with the keys of a source is one, any other is a folder.
pub(crate) fn read_sources(
    text: &Text,
    reader: Reader<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<SourceSettings> {
    let mut sources = Vec::new();
    let mut pending = vec![(Vec::<String>::new(), reader)];
    while let Some((folder, mut reader)) = pending.pop() {
        for (name, span, table) in reader.tables() {
            let mut segments = folder.clone();
            segments.push(name);
            let is_source = ["path", "format", "columns"].iter().any(|key| table.has(key));
            if is_source || segments.len() >= 3 {
                sources.extend(read_source(text, &segments, span, table, problems));
            } else {
                pending.push((segments, table));
            }
        }
        problems.extend(reader.finish());
    }
    sources
}

fn read_source(
    text: &Text,
    segments: &[String],
    span: Range<usize>,
    mut reader: Reader<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<SourceSettings> {
    // `[sources."raw.flights"]` is the same as `[sources.raw.flights]`.
    let key = match segments {
        [whole] if whole.contains(['.', '/']) => whole.parse(),
        _ => AssetKey::from_segments(segments),
    };
    let key: AssetKey = match key {
        Ok(key) => key,
        Err(error) => {
            problems.push(Diagnostic::error(Code::Key, error.to_string()).at(text.place(span)));
            return None;
        }
    };
    let attributes = read_attributes(&mut reader);
    let given = reader.choice("format", &Format::NAMES);
    let path = reader.text("path");
    let compression = reader.choice(
        "compression",
        &[
            ("none", FileCompressionType::UNCOMPRESSED),
            ("gzip", FileCompressionType::GZIP),
            ("bzip2", FileCompressionType::BZIP2),
            ("xz", FileCompressionType::XZ),
            ("zstd", FileCompressionType::ZSTD),
        ],
    );
    let delimiter = byte(&mut reader, "delimiter");
    let quote = byte(&mut reader, "quote");
    let header = reader.boolean("header");
    let nulls = reader.strings("null");
    let infer_rows = reader.count("infer_rows");
    let by_content = reader.choice("state", &[("metadata", false), ("content", true)]);
    let columns = reader.table("columns").map(|columns| read_columns(columns, problems));
    let partitions = read_partitions(&mut reader).map(Arc::new);
    let place = text.place(span);
    let table_place = reader.place();
    let Some((path, path_span)) = path else {
        let message = format!("source `{key}` has no `path`");
        problems.push(Diagnostic::error(text.code, message).at(table_place));
        problems.extend(reader.finish());
        return None;
    };
    let format = given.or_else(|| Format::of_path(&path));
    if format.is_none() && !reader.problems.iter().any(|p| p.message.contains("`format`")) {
        reader.refuse(
            path_span.clone(),
            format!("the format of `{path}` cannot be told by its ending; add `format = \"csv\"`"),
        );
    }
    for placeholder in placeholders(partitions.as_deref()) {
        if !path.contains(&placeholder) {
            let message = format!("`{path}` does not say where `{placeholder}` of a key stands");
            reader.refuse(path_span.clone(), message);
        }
    }
    if partitions.is_none() && path.contains("{partition}") {
        let message = "a path with `{partition}` needs `partitions`, which say what the keys are";
        reader.refuse(path_span.clone(), message);
    }
    problems.extend(reader.finish());
    let tab = path.contains(".tsv");
    Some(SourceSettings {
        compression: compression
            .or_else(|| compression_of_path(&path).map(|(compression, _)| compression))
            .unwrap_or(FileCompressionType::UNCOMPRESSED),
        delimiter: delimiter.unwrap_or(if tab { b'\t' } else { b',' }),
        quote: quote.unwrap_or(b'"'),
        header: header.unwrap_or(true),
        infer_rows: infer_rows.unwrap_or(INFER_ROWS),
        by_content: by_content.unwrap_or(false),
        path_place: text.place(path_span),
        format: format?,
        key,
        attributes,
        path,
        nulls,
        columns,
        partitions,
        place,
    })
}

/// What stands in a path for the parts of a key, in their order.
pub(super) fn placeholders(partitions: Option<&Partitions>) -> Vec<String> {
    match partitions.map(|partitions| partitions.dimensions.as_slice()) {
        None => Vec::new(),
        Some([_]) => vec!["{partition}".to_owned()],
        Some(several) => {
            several.iter().map(|dimension| format!("{{{}}}", dimension.name)).collect()
        }
    }
}

fn byte(reader: &mut Reader<'_>, key: &'static str) -> Option<u8> {
    let (text, span) = reader.text(key)?;
    match text.as_bytes() {
        [byte] => Some(*byte),
        b"\\t" => Some(b'\t'),
        _ => {
            reader.refuse(span, format!("`{key}` is a single ASCII character, not `{text}`"));
            None
        }
    }
}

/// `name = "bigint"`, with `not null` behind it where the file has no nulls.
pub(crate) fn read_columns(mut reader: Reader<'_>, problems: &mut Vec<Diagnostic>) -> Vec<Field> {
    let mut fields = Vec::new();
    for (name, span, value) in reader.rest() {
        let Some(declared) = value.as_str() else {
            reader.refuse(span, format!("the type of column `{name}` is not a text"));
            continue;
        };
        let (declared, nullable) = match declared.trim().to_lowercase().strip_suffix("not null") {
            Some(before) => (before.trim().to_owned(), false),
            None => (declared.trim().to_owned(), true),
        };
        match sql_type(&declared) {
            Some(data_type) => fields.push(Field::new(name, data_type, nullable)),
            None => reader.refuse(
                span,
                format!(
                    "`{declared}` is no type; write a SQL type such as `bigint`, `double`, \
                     `text`, `date`, `timestamp`, `timestamptz`, `boolean` or `decimal(12, 2)`"
                ),
            ),
        }
    }
    problems.extend(reader.finish());
    fields
}

/// A type as SQL writes it.
fn sql_type(text: &str) -> Option<DataType> {
    let dialect = GenericDialect {};
    if text.eq_ignore_ascii_case("timestamptz") {
        let unit = arrow::datatypes::TimeUnit::Microsecond;
        return Some(DataType::Timestamp(unit, Some("UTC".into())));
    }
    if text.eq_ignore_ascii_case("timestamp") {
        return Some(DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None));
    }
    let mut parser = Parser::new(&dialect).try_with_sql(text).ok()?;
    let parsed = parser.parse_data_type().ok()?;
    if parser.peek_token().token != datafusion::sql::sqlparser::tokenizer::Token::EOF {
        return None;
    }
    let field = crate::plan::sql_data_type(planning_session(), &parsed).ok()?;
    Some(match field {
        DataType::Utf8View => DataType::Utf8,
        other => other,
    })
}
