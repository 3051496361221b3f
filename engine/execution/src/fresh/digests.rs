//! Digests of what is read of versions: taken once, and kept.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrowsmith_definitions::{BoxError, Scan};
use arrowsmith_instance::{DigestRecord, Materialization};
use arrowsmith_io_manager::Version;
use datafusion::catalog::TableProvider;

use crate::Engine;
use crate::digest::{Digest, digest_where, plain_type};

/// Digests that are computed otherwise are others.
const DIGEST_FORMAT: &str = "4;";

/// Version, partition and scan.
type Key = (Version, String, String);

/// What is known of the digests of some versions.
#[derive(Debug, Default)]
pub(super) struct Digests {
    known: HashMap<Key, Digest>,
    made: HashMap<Version, Option<Arc<Materialization>>>,
    /// Whether rows may be read for what is not known.
    may_read: bool,
}

impl Digests {
    pub(super) async fn of(
        engine: &Engine,
        versions: &[Version],
        may_read: bool,
    ) -> crate::Result<Self> {
        let mut this = Self { may_read, ..Self::default() };
        for record in engine.instance.digests(versions).await? {
            let Ok(sum) = u64::from_str_radix(&record.digest, 16) else { continue };
            let digest = Digest { rows: record.row_count, sum };
            this.known.insert((record.version, record.partition_key, record.scan), digest);
        }
        Ok(this)
    }

    /// Whether a scan reads the same rows of a key in some versions as in others; not if that is not
    /// known.
    pub(super) async fn are_same(
        &mut self,
        engine: &Engine,
        scan: &Scan,
        key: &str,
        [before, now]: [&[Version]; 2],
    ) -> crate::Result<bool> {
        let Some(before) = self.sum(engine, scan, key, before).await? else { return Ok(false) };
        let Some(now) = self.sum(engine, scan, key, now).await? else { return Ok(false) };
        Ok(before == now)
    }

    /// The names of columns take part as well as their types, which the rows do not tell.
    async fn sum(
        &mut self,
        engine: &Engine,
        scan: &Scan,
        key: &str,
        versions: &[Version],
    ) -> crate::Result<Option<(String, Digest)>> {
        let mut total: Option<(String, Digest)> = None;
        for version in versions {
            let Some(made) = self.version(engine, *version).await? else { return Ok(None) };
            let Some(id) = scan_id(scan, made.stored.schema.arrow()) else { return Ok(None) };
            let known = (*version, key.to_owned(), id.clone());
            let digest = match self.known.get(&known) {
                Some(digest) => *digest,
                None if !self.may_read => return Ok(None),
                None => {
                    // What cannot be read is not known, and so it is computed.
                    let Ok(digest) = read(engine, &made, scan, key).await else { return Ok(None) };
                    let record = record(*version, key, &id, digest);
                    engine.instance.remember_digests(vec![record]).await?;
                    self.known.insert(known, digest);
                    digest
                }
            };
            total = match total {
                None => Some((id, digest)),
                Some((same, before)) if same == id => Some((id, before.and(digest))),
                Some(_) => return Ok(None),
            };
        }
        Ok(total)
    }

    async fn version(
        &mut self,
        engine: &Engine,
        version: Version,
    ) -> crate::Result<Option<Arc<Materialization>>> {
        if let Some(known) = self.made.get(&version) {
            return Ok(known.clone());
        }
        let made = engine.instance.materialization(version).await?.map(Arc::new);
        self.made.insert(version, made.clone());
        Ok(made)
    }
}

/// How a digest is remembered.
pub(super) fn record(version: Version, key: &str, scan: &str, digest: Digest) -> DigestRecord {
    DigestRecord {
        version,
        partition_key: key.to_owned(),
        scan: scan.to_owned(),
        row_count: digest.rows,
        digest: format!("{:016x}", digest.sum),
    }
}

/// Says what is read: columns with their types, and filters. `None` if a column is not there.
pub(super) fn scan_id(scan: &Scan, schema: &Schema) -> Option<String> {
    let mut text = DIGEST_FORMAT.to_owned();
    for name in &scan.columns {
        let field = schema.field_with_name(name).ok()?;
        let (data_type, nullable) = (plain_type(field.data_type()), field.is_nullable());
        text.push_str(&format!("{}:{name}:{data_type}:{nullable};", name.len()));
    }
    let mut filters: Vec<String> = scan.filters.iter().map(ToString::to_string).collect();
    filters.sort();
    text.push_str(&filters.join(" and "));
    Some(blake3::hash(text.as_bytes()).to_hex()[..32].to_owned())
}

impl Engine {
    /// The rows of a partition of a version; of all of it if the key is empty.
    ///
    /// # Errors
    /// If its IO manager is configured no more, or cannot open it.
    pub(super) fn table_of_key(
        &self,
        made: &Materialization,
        key: &str,
    ) -> Result<Arc<dyn TableProvider>, BoxError> {
        self.reachable(made)?;
        let stored = match key {
            "" => Arc::clone(&made.stored),
            key => Arc::new(made.stored.only(&std::iter::once(key).collect())),
        };
        Ok(self.manager(&made.io_manager)?.provider(&stored)?)
    }
}

async fn read(
    engine: &Engine,
    made: &Materialization,
    scan: &Scan,
    key: &str,
) -> Result<Digest, BoxError> {
    let table = engine.table_of_key(made, key)?;
    digest_where(&engine.session.state, table, &scan.columns, &scan.filters).await
}
