//! Digests of what the readers of an asset are going to scan, taken while its rows are written, so that
//! none of them has to be read again to know whether they are the same.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Schema, UInt32Type};
use arrowsmith_definitions::{AssetKey, Resolved, Scan};
use arrowsmith_instance::DigestRecord;
use arrowsmith_io_manager::StoredTable;
use datafusion::common::DFSchema;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::physical_expr::PhysicalExpr;
use serde_json::Value;

use super::Consumes;
use super::digests::{record, scan_id};
use crate::digest::{Digest, hashes_of, rows};
use crate::keyed::POSITION;

/// Rows that are hashed at once, so that their hashes stay in the fastest cache.
const CHUNK: usize = 1024;

/// What is scanned of each asset, by those who read it.
#[derive(Debug, Default)]
pub(crate) struct Scanned(OnceLock<HashMap<AssetKey, Vec<Scan>>>);

impl Scanned {
    /// Every scan of an asset once.
    pub(crate) fn of(&self, resolved: &Resolved, key: &AssetKey) -> &[Scan] {
        let all = self.0.get_or_init(|| all(resolved));
        all.get(key).map_or(&[], Vec::as_slice)
    }
}

fn all(resolved: &Resolved) -> HashMap<AssetKey, Vec<Scan>> {
    let mut all: HashMap<AssetKey, Vec<Scan>> = HashMap::new();
    let stored = resolved.assets.values().filter(|of| of.asset.is_materializable());
    for reader in stored {
        let Some(consumes) = Consumes::of(resolved, reader, &Value::Null) else { continue };
        if consumes.unknowable.is_some() {
            continue;
        }
        for (key, scans) in consumes.scans {
            let known = all.entry(key).or_default();
            for scan in scans {
                let is_same = |of: &Scan| of.columns == scan.columns && of.filters == scan.filters;
                if !known.iter().any(is_same) {
                    known.push(scan);
                }
            }
        }
    }
    all
}

/// Scans of rows that are on their way to be written.
#[derive(Debug)]
pub(crate) struct WrittenDigests {
    scans: Vec<WrittenScan>,
    /// Places of columns that any of the scans reads.
    columns: BTreeSet<usize>,
    /// Where rows say the place of their partition.
    position: Option<usize>,
    /// For each scan a digest for each partition, or a single one.
    sums: Mutex<Vec<Vec<Digest>>>,
    seen: Mutex<u64>,
}

#[derive(Debug)]
struct WrittenScan {
    scan: Scan,
    columns: Vec<usize>,
    filters: Vec<Arc<dyn PhysicalExpr>>,
}

impl WrittenDigests {
    /// `None` if nobody scans anything. A scan that does not fit the rows is left out.
    pub(crate) fn new(session: &SessionState, scans: &[Scan], schema: &Schema) -> Option<Self> {
        let fits = |scan: &Scan| WrittenScan::new(session, scan, schema);
        let scans: Vec<WrittenScan> = scans.iter().filter_map(fits).collect();
        if scans.is_empty() {
            return None;
        }
        Some(Self {
            columns: scans.iter().flat_map(|scan| scan.columns.iter().copied()).collect(),
            position: schema.index_of(POSITION).ok(),
            sums: Mutex::new(vec![Vec::new(); scans.len()]),
            seen: Mutex::default(),
            scans,
        })
    }

    /// Adds rows.
    pub(crate) fn look(&self, batch: &RecordBatch) -> Result<()> {
        let starts = (0..batch.num_rows()).step_by(CHUNK);
        let chunk = |start| batch.slice(start, CHUNK.min(batch.num_rows() - start));
        starts.map(chunk).try_for_each(|chunk| self.add(&chunk))
    }

    fn add(&self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns().iter().enumerate();
        let hashes = hashes_of(columns.map(|(at, of)| self.columns.contains(&at).then_some(of)))?;
        let positions = self.position.map(|at| batch.column(at).as_primitive::<UInt32Type>());
        let mut found = Vec::with_capacity(self.scans.len());
        for scan in &self.scans {
            let mask = scan.mask(batch)?;
            let of = scan.columns.iter().filter_map(|at| hashes[*at].as_deref());
            let of: Vec<&[u64]> = of.collect();
            let hashes = rows(&of, batch.num_rows());
            let Some(positions) = positions else {
                found.push(vec![sum(&hashes, mask.as_deref())]);
                continue;
            };
            let mut sums: Vec<Digest> = Vec::new();
            for (row, hash) in hashes.into_iter().enumerate() {
                if mask.as_ref().is_some_and(|mask| !mask[row]) {
                    continue;
                }
                let place = positions.value(row) as usize;
                if sums.len() <= place {
                    sums.resize(place + 1, Digest::default());
                }
                sums[place].add_row(hash);
            }
            found.push(sums);
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) += batch.num_rows() as u64;
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        for (known, found) in sums.iter_mut().zip(found) {
            if known.len() < found.len() {
                known.resize(found.len(), Digest::default());
            }
            for (known, found) in known.iter_mut().zip(found) {
                *known = known.and(found);
            }
        }
        Ok(())
    }

    /// The digests of what was stored; none if that is not exactly what was looked at.
    pub(crate) fn records(&self, stored: &StoredTable, keys: &[String]) -> Vec<DigestRecord> {
        let mut records = Vec::new();
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != stored.row_count {
            return records;
        }
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        for (scan, sums) in self.scans.iter().zip(sums.iter()) {
            let Some(id) = scan_id(&scan.scan, stored.schema.arrow()) else { continue };
            let whole = [String::new()];
            let keys = if self.position.is_some() { keys } else { &whole };
            for (place, key) in keys.iter().enumerate() {
                let digest = sums.get(place).copied().unwrap_or_default();
                records.push(record(stored.version, key, &id, digest));
            }
        }
        records
    }
}

/// The digest of rows by their hashes, or of those that a mask leaves, without a branch for each.
fn sum(hashes: &[u64], mask: Option<&[bool]>) -> Digest {
    let Some(mask) = mask else {
        let sum = hashes.iter().fold(0, |sum: u64, hash| sum.wrapping_add(*hash));
        return Digest { rows: hashes.len() as u64, sum };
    };
    hashes.iter().zip(mask).fold(Digest::default(), |digest, (hash, is_read)| {
        let read = u64::from(*is_read);
        digest.and(Digest { rows: read, sum: hash.wrapping_mul(read) })
    })
}

impl WrittenScan {
    fn new(session: &SessionState, scan: &Scan, schema: &Schema) -> Option<Self> {
        let columns = scan.columns.iter().map(|name| schema.index_of(name).ok());
        let known = DFSchema::try_from(schema.clone()).ok()?;
        let filter = |expr: &_| session.create_physical_expr(Clone::clone(expr), &known).ok();
        Some(Self {
            columns: columns.collect::<Option<_>>()?,
            filters: scan.filters.iter().map(filter).collect::<Option<_>>()?,
            scan: scan.clone(),
        })
    }

    /// Which rows it reads; `None` if all.
    fn mask(&self, batch: &RecordBatch) -> Result<Option<Vec<bool>>> {
        let mut mask: Option<Vec<bool>> = None;
        for filter in &self.filters {
            let found = filter.evaluate(batch)?.into_array(batch.num_rows())?;
            let found = as_boolean_array(&found)?.iter().map(|value| value == Some(true));
            mask = Some(match mask {
                None => found.collect(),
                Some(mask) => mask.into_iter().zip(found).map(|(a, b)| a && b).collect(),
            });
        }
        Ok(mask)
    }
}
