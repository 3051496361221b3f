//! Statistics of texts of which the encoder takes none: a batch at a time, which is several times faster.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrowsmith_io_manager::ColumnStatistics;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Longer texts are left out of a manifest, as the encoder leaves them out of a footer: they may be
/// documents.
const LENGTH_MAX: usize = 64;

/// The texts of a file that are looked at, each with what was seen.
#[derive(Debug)]
pub(crate) struct Texts(Vec<(usize, Seen)>);

#[derive(Debug, Default)]
struct Seen {
    nulls: u64,
    least: Option<String>,
    greatest: Option<String>,
}

impl Texts {
    pub(crate) fn new(schema: &Schema, properties: &WriterProperties) -> Self {
        let fields = schema.fields().iter().enumerate();
        let untold = fields.filter(|(_, field)| {
            let path = ColumnPath::from(vec![field.name().clone()]);
            let is_text = matches!(
                field.data_type(),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
            );
            is_text && properties.statistics_enabled(&path) == EnabledStatistics::None
        });
        Self(untold.map(|(at, _)| (at, Seen::default())).collect())
    }

    pub(crate) fn look(&mut self, batch: &RecordBatch) {
        for (at, seen) in &mut self.0 {
            let column = batch.column(*at);
            seen.nulls += column.null_count() as u64;
            let Some((least, greatest)) = extremes(column) else { continue };
            if seen.least.as_deref().is_none_or(|known| least < known) {
                seen.least = Some(least.to_owned());
            }
            if seen.greatest.as_deref().is_none_or(|known| greatest > known) {
                seen.greatest = Some(greatest.to_owned());
            }
        }
    }

    pub(crate) fn statistics(self, schema: &Schema) -> Vec<(String, ColumnStatistics)> {
        let told = self.0.into_iter().map(|(at, seen)| {
            let short = |text: Option<String>| text.filter(|text| text.len() <= LENGTH_MAX);
            let statistics = ColumnStatistics {
                null_count: Some(seen.nulls),
                min: short(seen.least),
                max: short(seen.greatest),
            };
            (schema.field(at).name().clone(), statistics)
        });
        told.collect()
    }
}

/// The least and the greatest text of a column; none if all are null.
fn extremes(column: &ArrayRef) -> Option<(&str, &str)> {
    if let Some(texts) = column.as_string_view_opt() {
        return extremes_of(texts.iter().flatten());
    }
    if let Some(texts) = column.as_string_opt::<i64>() {
        return extremes_of(texts.iter().flatten());
    }
    extremes_of(column.as_string_opt::<i32>()?.iter().flatten())
}

/// Most texts are neither, which their first bytes say.
fn extremes_of<'a>(mut texts: impl Iterator<Item = &'a str>) -> Option<(&'a str, &'a str)> {
    let first = Text::new(texts.next()?);
    let (mut least, mut greatest) = (first, first);
    for text in texts.map(Text::new) {
        if text.is_less(least) {
            least = text;
        } else if greatest.is_less(text) {
            greatest = text;
        }
    }
    Some((least.text, greatest.text))
}

/// A text and its first bytes as a number, which are in the same order.
#[derive(Clone, Copy)]
struct Text<'a> {
    text: &'a str,
    start: u64,
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let start = match bytes.first_chunk() {
            Some(start) => u64::from_be_bytes(*start),
            None if bytes.is_empty() => 0,
            None => {
                let start = bytes.iter().fold(0, |start, byte| start << 8 | u64::from(*byte));
                start << (u64::BITS as usize - 8 * bytes.len())
            }
        };
        Self { text, start }
    }

    fn is_less(self, other: Self) -> bool {
        self.start < other.start || (self.start == other.start && self.ends_before(other))
    }

    /// Which of two texts that begin alike comes first.
    fn ends_before(self, other: Self) -> bool {
        if self.text.len() <= size_of::<u64>() && other.text.len() <= size_of::<u64>() {
            self.text.len() < other.text.len()
        } else {
            self.text < other.text
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray, StringViewArray};

    use super::*;

    /// Texts that begin alike, that are short, and that hold the byte of which short ones are filled up.
    #[test]
    fn texts_have_their_order() {
        let texts = [
            "",
            "\0",
            "a",
            "a\0",
            "ab",
            "abcdefg",
            "abcdefgh",
            "abcdefgh\0",
            "abcdefghi",
            "b",
            "é",
        ];
        for (at, least) in texts.iter().enumerate() {
            for greatest in &texts[at..] {
                assert_eq!(extremes_of([*greatest, *least].into_iter()), Some((*least, *greatest)));
                assert_eq!(extremes_of([*least, *greatest].into_iter()), Some((*least, *greatest)));
            }
        }
    }

    /// Nulls, and the extremes of all batches; documents are not told.
    #[test]
    fn a_file_tells_of_its_texts_what_is_short() {
        let document = "z".repeat(LENGTH_MAX + 1);
        let batch = |words: [Option<&str>; 3]| {
            let views: ArrayRef = Arc::new(StringViewArray::from(words.to_vec()));
            let texts = [Some(document.as_str()), words[1], None];
            let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
            RecordBatch::try_from_iter([("views", views), ("texts", texts)]).expect("a batch")
        };
        let batches = [batch([Some("b"), Some("d"), None]), batch([Some("c"), Some("a"), None])];
        let none = EnabledStatistics::None;
        let properties = WriterProperties::builder().set_statistics_enabled(none).build();
        let schema = batches[0].schema();
        let mut texts = Texts::new(&schema, &properties);
        for batch in &batches {
            texts.look(batch);
        }
        let told = |max: Option<&str>| ColumnStatistics {
            null_count: Some(2),
            min: Some("a".to_owned()),
            max: max.map(str::to_owned),
        };
        let expected = [("views", told(Some("d"))), ("texts", told(None))];
        let expected = expected.map(|(name, told)| (name.to_owned(), told));
        assert_eq!(texts.statistics(&schema), expected);
    }
}
