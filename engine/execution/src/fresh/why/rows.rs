//! A few rows that were read before and are not read now, and the other way round.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrowsmith_definitions::{BoxError, Scan};
use arrowsmith_io_manager::{UnionTable, Version};
use datafusion::catalog::TableProvider;
use datafusion::prelude::{DataFrame, SessionContext, ident};

use crate::Engine;
use crate::compare::sampled_differences;

impl Engine {
    /// JSON objects behind a `-` or a `+`.
    ///
    /// # Errors
    /// If a version is not stored any more, or has other columns.
    pub(super) async fn differing_rows(
        &self,
        scan: &Scan,
        key: &str,
        [before, now]: [&[Version]; 2],
        changed: &BTreeSet<String>,
    ) -> Result<Vec<String>, BoxError> {
        let before = self.scanned_rows(scan, key, before).await?;
        let now = self.scanned_rows(scan, key, now).await?;
        sampled_differences(before, now, changed).await
    }

    /// What a scan reads of a key in some versions.
    async fn scanned_rows(
        &self,
        scan: &Scan,
        key: &str,
        versions: &[Version],
    ) -> Result<DataFrame, BoxError> {
        let mut tables: Vec<Arc<dyn TableProvider>> = Vec::new();
        for version in versions {
            let made = self.version(*version).await?.ok_or("the version is gone")?;
            tables.push(self.table_of_key(&made, key)?);
        }
        let schema = tables.first().ok_or("no version")?.schema();
        let table = UnionTable::new(schema, tables);
        let session = SessionContext::new_with_state((*self.session.state).clone());
        let mut frame = session.read_table(Arc::new(table))?;
        for filter in &scan.filters {
            frame = frame.filter(filter.clone())?;
        }
        Ok(frame.select(scan.columns.iter().map(ident))?)
    }
}
