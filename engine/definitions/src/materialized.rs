//! How the rows of an asset relate to those that are stored already.

/// What a materialization does with the table that is current. The words are those of dbt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Materialized {
    /// It takes its place; of a partitioned asset, the place of the partitions that are made.
    #[default]
    Table,
    /// Nothing is stored: whatever reads the asset computes it.
    View,
    /// Its rows come behind those that are there.
    Append {
        /// The column whose largest value so far a query has as `$watermark`.
        watermark: Option<String>,
    },
    /// Its rows take the place of those with the same key, and others stay.
    Merge {
        /// The columns that tell rows apart.
        unique_key: Vec<String>,
    },
    /// Every state of a row is kept, with the time from which and until which it held (a slowly
    /// changing dimension of type 2).
    Snapshot(Snapshot),
}

/// How a snapshot notices changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The columns that tell rows apart.
    pub unique_key: Vec<String>,
    /// The column that says when a row was changed; without it, values are compared.
    pub updated_at: Option<String>,
    /// The columns whose values are compared; all but the key if there are none.
    pub check_columns: Vec<String>,
    /// What becomes of rows that are gone.
    pub hard_deletes: HardDeletes,
}

/// What a snapshot does with a row that its query does not give any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HardDeletes {
    /// It counts as unchanged.
    #[default]
    Ignore,
    /// It ends now.
    Invalidate,
}

/// What happens when the columns of an incremental asset are not those that are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SchemaChange {
    /// New columns are added, and null in older rows; anything else is an error.
    #[default]
    AppendNewColumns,
    /// Any change is an error.
    Fail,
    /// Older rows get the columns that there are now; those that are gone are lost.
    SyncAllColumns,
}

impl Materialized {
    /// Whether a materialization reads what is stored.
    pub fn is_incremental(&self) -> bool {
        matches!(self, Self::Append { .. } | Self::Merge { .. } | Self::Snapshot(_))
    }

    /// The word for it, as in the front matter.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::Append { .. } => "append",
            Self::Merge { .. } => "merge",
            Self::Snapshot(_) => "snapshot",
        }
    }

    /// The columns that it names, each with the option that does.
    pub fn columns(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Table | Self::View => Vec::new(),
            Self::Append { watermark } => {
                watermark.iter().map(|column| ("watermark", column.as_str())).collect()
            }
            Self::Merge { unique_key } => {
                unique_key.iter().map(|column| ("unique_key", column.as_str())).collect()
            }
            Self::Snapshot(snapshot) => {
                let keys = snapshot.unique_key.iter().map(|c| ("unique_key", c.as_str()));
                let updated = snapshot.updated_at.iter().map(|c| ("updated_at", c.as_str()));
                let checked = snapshot.check_columns.iter().map(|c| ("check_columns", c.as_str()));
                keys.chain(updated).chain(checked).collect()
            }
        }
    }
}
