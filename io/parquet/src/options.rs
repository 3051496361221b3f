//! Options of the Parquet manager, and what they mean to the writer.

use arrow::datatypes::SchemaRef;
use arrowsmith_io_manager::{OptionProblem, Options, WriteTarget, nearest};
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde_json::Value;

/// How files are written. Every option can stand in `[io_managers.NAME]` and in the `[io]` table
/// of an asset; the asset's wins.
///
/// | option | default | meaning |
/// |---|---|---|
/// | `compression` | `"zstd(1)"` | `none`, `snappy`, `lz4`, `gzip(0-9)`, `zstd(1-22)`, `brotli(0-11)`; files of a directory with fewer than 128 rows have none, nor have columns that it makes less than an eighth smaller |
/// | `row_group_rows` | `1048576` | rows in a row group |
/// | `page_size_bytes` | `1048576` | uncompressed bytes of a data page, about |
/// | `dictionary` | `true` | dictionary encoding |
/// | `bloom_filters` | `[]` | columns with a bloom filter |
/// | `sort_by` | `[]` | `["column", "other desc"]`: order of rows in each file, nulls last |
/// | `target_file_bytes` | `536870912` | a new file is begun when one is larger |
/// | `verify_on_read` | `false` | of the manager only: every byte of a file is compared with its checksum before it is read |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ParquetOptions {
    /// The codec and its level.
    pub compression: Compression,
    /// Rows in a row group.
    pub row_group_rows: usize,
    /// Uncompressed bytes of a data page.
    pub page_size_bytes: usize,
    /// Whether columns are dictionary-encoded.
    pub dictionary: bool,
    /// Columns with a bloom filter.
    pub bloom_filters: Vec<String>,
    /// Column and whether it descends.
    pub sort_by: Vec<(String, bool)>,
    /// Length at which a further file is begun.
    pub target_file_bytes: u64,
    /// Whether checksums are compared before files are read.
    pub verify_on_read: bool,
}

const NAMES: [&str; 8] = [
    "compression",
    "row_group_rows",
    "page_size_bytes",
    "dictionary",
    "bloom_filters",
    "sort_by",
    "target_file_bytes",
    "verify_on_read",
];

impl Default for ParquetOptions {
    fn default() -> Self {
        Self {
            compression: Compression::ZSTD(ZstdLevel::default()),
            row_group_rows: 1024 * 1024,
            page_size_bytes: 1024 * 1024,
            dictionary: true,
            bloom_filters: Vec::new(),
            sort_by: Vec::new(),
            target_file_bytes: 512 * 1024 * 1024,
            verify_on_read: false,
        }
    }
}

impl ParquetOptions {
    /// These options with those of `given` over them.
    ///
    /// # Errors
    /// Every option that is unknown or has a wrong value.
    pub fn with(&self, given: &Options) -> Result<Self, Vec<OptionProblem>> {
        let mut options = self.clone();
        let mut problems = Vec::new();
        for (name, value) in given {
            if let Err((message, suggestion)) = options.set(name, value) {
                problems.push(OptionProblem { option: name.clone(), message, suggestion });
            }
        }
        if problems.is_empty() { Ok(options) } else { Err(problems) }
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), (String, Option<String>)> {
        let plain = |message: String| (message, None);
        match name {
            "compression" => {
                self.compression = text(name, value).and_then(codec).map_err(plain)?;
            }
            "row_group_rows" => self.row_group_rows = count(name, value).map_err(plain)?,
            "page_size_bytes" => self.page_size_bytes = count(name, value).map_err(plain)?,
            "target_file_bytes" => {
                self.target_file_bytes = count(name, value).map_err(plain)? as u64;
            }
            "dictionary" => self.dictionary = flag(name, value).map_err(plain)?,
            "verify_on_read" => self.verify_on_read = flag(name, value).map_err(plain)?,
            "bloom_filters" => self.bloom_filters = texts(name, value).map_err(plain)?,
            "sort_by" => {
                let columns = texts(name, value).map_err(plain)?;
                let parsed: Result<_, _> = columns.iter().map(|c| sort_column(c)).collect();
                self.sort_by = parsed.map_err(plain)?;
            }
            _ => {
                let message = format!(
                    "`{name}` is no option of the Parquet manager; the options are {}",
                    NAMES.map(|n| format!("`{n}`")).join(", ")
                );
                return Err((message, nearest(name, NAMES).map(str::to_owned)));
            }
        }
        Ok(())
    }

    /// What the Parquet crate is told for a file of `schema`.
    pub(crate) fn properties(&self, schema: &SchemaRef, target: &WriteTarget) -> WriterProperties {
        let labels = target.labels.iter();
        let footer = labels.map(|(k, v)| KeyValue::new(format!("arrowsmith:{k}"), v.clone()));
        // Writer version 2 was measured both faster and smaller; chunk statistics with the page
        // index leave out the statistics in page headers, which nothing reads.
        let mut builder = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_created_by(concat!("arrowsmith ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(self.compression)
            .set_dictionary_enabled(self.dictionary)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_max_row_group_row_count(Some(self.row_group_rows))
            .set_data_page_size_limit(self.page_size_bytes)
            .set_key_value_metadata(Some(footer.collect()));
        for column in &self.bloom_filters {
            let path = ColumnPath::from(column.as_str());
            builder = builder.set_column_bloom_filter_enabled(path, true);
        }
        let sorting: Option<Vec<SortingColumn>> = self
            .sort_by
            .iter()
            .map(|(name, descending)| {
                let column_idx = i32::try_from(schema.index_of(name).ok()?).ok()?;
                Some(SortingColumn { column_idx, descending: *descending, nulls_first: false })
            })
            .collect();
        builder.set_sorting_columns(sorting.filter(|columns| !columns.is_empty())).build()
    }
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("`{name}` is a text, not {value}"))
}

fn count(name: &str, value: &Value) -> Result<usize, String> {
    let number = value.as_u64().filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok());
    number.ok_or_else(|| format!("`{name}` is a whole number above zero, not {value}"))
}

fn flag(name: &str, value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("`{name}` is `true` or `false`, not {value}"))
}

fn texts(name: &str, value: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("`{name}` is a list of column names, not {value}");
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(|v| v.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

fn sort_column(text: &str) -> Result<(String, bool), String> {
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        [column] | [column, "asc"] => Ok((column.to_owned(), false)),
        [column, "desc"] => Ok((column.to_owned(), true)),
        _ => Err(format!("`{text}` is no sort order; write `column` or `column desc`")),
    }
}

fn codec(text: &str) -> Result<Compression, String> {
    let (name, level) = match text.split_once('(') {
        Some((name, rest)) => {
            let digits = rest.strip_suffix(')').ok_or_else(|| format!("`{text}` lacks a `)`"))?;
            let level: u32 =
                digits.trim().parse().map_err(|_| format!("`{digits}` is no level"))?;
            (name.trim(), Some(level))
        }
        None => (text.trim(), None),
    };
    let bad_level = |e: parquet::errors::ParquetError| format!("`{text}`: {e}");
    match (name.to_ascii_lowercase().as_str(), level) {
        ("none" | "uncompressed", None) => Ok(Compression::UNCOMPRESSED),
        ("snappy", None) => Ok(Compression::SNAPPY),
        ("lz4", None) => Ok(Compression::LZ4_RAW),
        ("gzip", None) => Ok(Compression::GZIP(GzipLevel::default())),
        ("gzip", Some(n)) => Ok(Compression::GZIP(GzipLevel::try_new(n).map_err(bad_level)?)),
        ("zstd", None) => Ok(Compression::ZSTD(ZstdLevel::default())),
        ("zstd", Some(n)) => {
            let level = i32::try_from(n).map_err(|e| e.to_string())?;
            Ok(Compression::ZSTD(ZstdLevel::try_new(level).map_err(bad_level)?))
        }
        ("brotli", None) => Ok(Compression::BROTLI(BrotliLevel::default())),
        ("brotli", Some(n)) => Ok(Compression::BROTLI(BrotliLevel::try_new(n).map_err(bad_level)?)),
        _ => Err(format!(
            "`{text}` is no codec; it is one of none, snappy, lz4, gzip(6), zstd(1), brotli(1)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(options: &Value) -> String {
        let options = options.as_object().expect("an object");
        match ParquetOptions::default().with(options) {
            Ok(found) => format!("{found:?}"),
            Err(problems) => problems.into_iter().map(|p| p.message).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn every_wrong_option_is_named() {
        let given = serde_json::json!({
            "compression": "zsdt(3)",
            "row_group_rows": 0,
            "sort_by": ["a up"],
            "dictionary": "yes",
        });
        assert_eq!(
            problems(&given),
            "`zsdt(3)` is no codec; it is one of none, snappy, lz4, gzip(6), zstd(1), brotli(1)\n\
             `dictionary` is `true` or `false`, not \"yes\"\n\
             `row_group_rows` is a whole number above zero, not 0\n\
             `a up` is no sort order; write `column` or `column desc`"
        );
    }

    #[test]
    fn an_unknown_option_is_answered_with_the_nearest() {
        let given = serde_json::json!({ "compresion": "snappy" });
        let found = ParquetOptions::default().with(given.as_object().expect("an object"));
        assert_eq!(found.expect_err("unknown")[0].suggestion.as_deref(), Some("compression"));
    }

    #[test]
    fn levels_out_of_range_are_refused() {
        assert!(problems(&serde_json::json!({ "compression": "zstd(99)" })).contains("zstd(99)"));
    }
}
