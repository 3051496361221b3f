//! Rows in the text format of `COPY`, which is documented with the statement.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrowsmith_io_manager::{from_texts, to_texts};
use bytes::BytesMut;

use crate::types::has_nanoseconds;

/// What stands for null.
const NULL: &str = "\\N";
/// Nanoseconds of a microsecond.
const NANOS: i64 = 1_000;

/// The lines of a batch; those of a partition end with its key.
pub(crate) fn encode(batch: &RecordBatch, key: Option<&str>) -> Result<Vec<u8>, ArrowError> {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    let columns =
        fields.map(|(field, column)| texts(field, column)).collect::<Result<Vec<_>, _>>()?;
    let mut lines = Vec::new();
    for row in 0..batch.num_rows() {
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                lines.push(b'\t');
            }
            if column.is_valid(row) {
                escape(column.value(row), &mut lines);
            } else {
                lines.extend(NULL.as_bytes());
            }
        }
        if let Some(key) = key {
            if !columns.is_empty() {
                lines.push(b'\t');
            }
            escape(key, &mut lines);
        }
        lines.push(b'\n');
    }
    Ok(lines)
}

fn escape(text: &str, line: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => line.extend(b"\\\\"),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\t' => line.extend(b"\\t"),
            other => line.push(other),
        }
    }
}

/// A column as texts that the database reads as the same values.
fn texts(field: &Field, column: &ArrayRef) -> Result<StringArray, ArrowError> {
    if has_nanoseconds(column.data_type()) {
        let nanos = cast(column, &DataType::Int64)?;
        if nanos.as_primitive::<Int64Type>().iter().flatten().any(|nanos| nanos % NANOS != 0) {
            let name = field.name();
            return Err(ArrowError::CastError(format!(
                "`{name}` has nanoseconds, and PostgreSQL keeps microseconds; \
                 `arrow_cast({name}, 'Timestamp(Microsecond, None)')` rounds them"
            )));
        }
    }
    match column.data_type() {
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => {
            let column = cast(column, &DataType::Binary)?;
            Ok(column.as_binary::<i32>().iter().map(|bytes| bytes.map(hexadecimal)).collect())
        }
        _ => to_texts(column),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Lines that come in pieces, as batches.
pub(crate) struct Decoder {
    schema: SchemaRef,
    columns: Vec<StringBuilder>,
    rows: usize,
    /// The beginning of a line whose end has not come yet.
    rest: BytesMut,
}

impl Decoder {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let columns = schema.fields().iter().map(|_| StringBuilder::new()).collect();
        Self { schema, columns, rows: 0, rest: BytesMut::new() }
    }

    /// Rows that wait to be taken.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds what has come.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), ArrowError> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line = self.rest.split_to(end + 1);
            let line = std::str::from_utf8(&line[..end])?;
            self.line(line)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> Result<(), ArrowError> {
        let mut texts = line.split('\t');
        for column in &mut self.columns {
            match texts.next() {
                Some(NULL) => column.append_null(),
                Some(text) => column.append_value(unescape(text)),
                None => {
                    let wrong = "the database sent a row with too few columns";
                    return Err(ArrowError::ParseError(wrong.to_owned()));
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let texts = self.columns.iter_mut().map(StringBuilder::finish);
        let columns = texts.zip(self.schema.fields()).map(|(texts, field)| values(&texts, field));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options =
            RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        // The database writes these in two characters, and everything else as it is.
        plain.extend(characters.next().map(|escaped| match escaped {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            other => other,
        }));
    }
    plain
}

fn values(texts: &StringArray, field: &Field) -> Result<ArrayRef, ArrowError> {
    match field.data_type() {
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => {
            let bytes = texts.iter().map(|text| text.map(from_hexadecimal).transpose());
            let bytes = bytes.collect::<Result<Vec<_>, _>>()?;
            let bytes: BinaryArray = bytes.iter().map(Option::as_deref).collect();
            cast(&bytes, field.data_type())
        }
        _ => from_texts(texts, field),
    }
}

fn from_hexadecimal(text: &str) -> Result<Vec<u8>, ArrowError> {
    let wrong = || ArrowError::ParseError(format!("`{text}` is no bytea"));
    let digits = text.strip_prefix("\\x").ok_or_else(wrong)?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(|at| byte(at).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn lines_come_back_whatever_they_hold_and_wherever_they_are_cut() {
        let texts = [Some("a\tb\\n\n\r"), None, Some(""), Some("\\N"), Some("ü\u{8}")];
        let bytes = BinaryArray::from_opt_vec(vec![Some(b"\x00\xff"), None, Some(b""), None, None]);
        let batch = RecordBatch::try_from_iter([
            ("text", Arc::new(StringArray::from(texts.to_vec())) as ArrayRef),
            ("bytes", Arc::new(bytes)),
            ("number", Arc::new(Int64Array::from(vec![Some(-1), None, Some(0), None, Some(7)]))),
        ])
        .unwrap();
        let lines = encode(&batch, None).unwrap();
        for piece in [1, 2, 7, lines.len()] {
            let mut decoder = Decoder::new(batch.schema());
            lines.chunks(piece).for_each(|piece| decoder.add(piece).unwrap());
            assert_eq!(decoder.take().unwrap(), batch);
        }
    }
}
