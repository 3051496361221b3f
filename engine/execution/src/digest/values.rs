//! One hash for each value of a column.
//!
//! Equal values have equal hashes however they are kept: as views, by a dictionary, with long offsets.
//! The two zeros of floating-point numbers are told apart, since `1 / x` tells them apart; the many ways
//! to write that something is not a number are not.
//!
//! Numbers, and texts of no more than twelve bytes, are mixed, which is several times faster than a hash;
//! what is longer is hashed.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, GenericByteArray, GenericByteViewArray,
};
use arrow::datatypes::{ByteArrayType, ByteViewType, DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_64;

/// What stands for a null; one number among 2^64 has the same.
const NULL: u64 = 0x6e75_6c6c_9e37_79b9;

/// The finalizer of SplitMix64, by Stafford, "Better bit mixing" (2011), variant 13. It can be undone, so
/// that no two numbers are the same.
pub(super) fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Both halves, of which the first is mixed twice.
#[expect(clippy::cast_possible_truncation, reason = "they are halves")]
fn mixed_wide(bits: u128) -> u64 {
    mixed(mixed(bits as u64) ^ (bits >> 64) as u64)
}

/// A text as a view of Arrow has it, if it is short enough to stand in one: its length and its bytes.
fn of_text(text: &[u8]) -> u64 {
    if text.len() > INLINE {
        return xxh3_64(text);
    }
    let bytes = text.iter().rev().fold(0_u128, |bytes, byte| bytes << 8 | u128::from(*byte));
    mixed_wide(bytes << 32 | text.len() as u128)
}

/// Bytes of a text that stand in its view.
const INLINE: usize = 12;

/// The hashes of a column, row by row.
pub(super) fn hashes(column: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let mut hashes = match column.data_type() {
        DataType::Null => vec![NULL; column.len()],
        DataType::Boolean => {
            column.as_boolean().values().iter().map(|value| mixed(value.into())).collect()
        }
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().values().iter();
            let values = values.map(|v| if v.is_nan() { f32::NAN } else { *v });
            values.map(|value| mixed(value.to_bits().into())).collect()
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values().iter();
            let values = values.map(|v| if v.is_nan() { f64::NAN } else { *v });
            values.map(|value| mixed(value.to_bits())).collect()
        }
        DataType::Utf8 => of_bytes(column.as_string::<i32>()),
        DataType::LargeUtf8 => of_bytes(column.as_string::<i64>()),
        DataType::Binary => of_bytes(column.as_binary::<i32>()),
        DataType::LargeBinary => of_bytes(column.as_binary::<i64>()),
        DataType::Utf8View => of_views(column.as_string_view()),
        DataType::BinaryView => of_views(column.as_binary_view()),
        DataType::FixedSizeBinary(_) => of_fixed(column.as_fixed_size_binary()),
        DataType::Dictionary(_, _) => return of_dictionary(column),
        other => match other.primitive_width() {
            Some(width) => of_width(column, width),
            None => return of_rows(column),
        },
    };
    if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
        for (hash, valid) in hashes.iter_mut().zip(nulls) {
            if !valid {
                *hash = NULL;
            }
        }
    }
    Ok(hashes)
}

fn of_bytes<T: ByteArrayType>(column: &GenericByteArray<T>) -> Vec<u64> {
    // The value below a null is some value, whose hash is replaced.
    (0..column.len()).map(|row| of_text(column.value(row).as_ref())).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the length is in the first four bytes")]
fn of_views<T: ByteViewType + ?Sized>(column: &GenericByteViewArray<T>) -> Vec<u64> {
    let views = column.views().iter().enumerate();
    let hash = |(row, view): (usize, &u128)| {
        if (*view as u32) as usize > INLINE {
            xxh3_64(column.value(row).as_ref())
        } else {
            mixed_wide(*view)
        }
    };
    views.map(hash).collect()
}

fn of_fixed(column: &FixedSizeBinaryArray) -> Vec<u64> {
    (0..column.len()).map(|row| xxh3_64(column.value(row))).collect()
}

/// Numbers, dates and times by their bytes.
fn of_width(column: &ArrayRef, width: usize) -> Vec<u64> {
    let data = column.to_data();
    let bytes = &data.buffers()[0].as_slice()[data.offset() * width..];
    let count = column.len();
    match width {
        1 => bytes.iter().take(count).map(|byte| mixed((*byte).into())).collect(),
        2 => of_chunks(bytes, count, |value| mixed(u16::from_le_bytes(value).into())),
        4 => of_chunks(bytes, count, |value| mixed(u32::from_le_bytes(value).into())),
        8 => of_chunks(bytes, count, |value| mixed(u64::from_le_bytes(value))),
        16 => of_chunks(bytes, count, |value| mixed_wide(u128::from_le_bytes(value))),
        _ => bytes.chunks_exact(width).take(count).map(xxh3_64).collect(),
    }
}

fn of_chunks<const WIDTH: usize>(
    bytes: &[u8],
    count: usize,
    hash: impl Fn([u8; WIDTH]) -> u64,
) -> Vec<u64> {
    bytes.as_chunks::<WIDTH>().0.iter().take(count).map(|value| hash(*value)).collect()
}

fn of_dictionary(column: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let dictionary = column.as_any_dictionary();
    let values = hashes(dictionary.values())?;
    // A key below a null may point nowhere.
    let of = |(row, key): (usize, usize)| match values.get(key) {
        Some(hash) if !dictionary.keys().is_null(row) => *hash,
        _ => NULL,
    };
    if dictionary.values().is_empty() {
        return Ok(vec![NULL; column.len()]);
    }
    Ok(dictionary.normalized_keys().into_iter().enumerate().map(of).collect())
}

/// Whatever else there is, such as lists, by the bytes of its rows.
fn of_rows(column: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let plain = super::plain_type(column.data_type());
    let column = arrow::compute::cast(column, &plain)?;
    let converter = RowConverter::new(vec![SortField::new(plain)])?;
    let rows = converter.convert_columns(&[Arc::clone(&column)])?;
    Ok(rows.iter().map(|row| xxh3_64(row.as_ref())).collect())
}
