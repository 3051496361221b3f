//! The Delta log of a table, made to show what is current.

use std::collections::HashMap;
use std::sync::Arc;

use arrowsmith_io_manager::{
    CurrentVersions, Error, ErrorKind, Result, Store, StoredFile, StoredTable, TablePath,
};
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, MetadataExt, StructType, new_metadata};
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::table::state::DeltaTableState;
use deltalake::{DeltaResult, DeltaTable, DeltaTableError};
use object_store::prefix::PrefixStore;

use crate::actions::{add, path_in_table};
use crate::schema::{delta_schema, protocol};

/// How often a commit is tried when others commit to the same table at the same time.
const COMMITS_MAX: usize = 10;

/// Commits the difference between what the log shows and what is current, if there is one.
pub(crate) async fn show(
    store: &Store,
    table: &TablePath,
    current: &dyn CurrentVersions,
) -> Result<()> {
    let failed = |source: DeltaTableError| Error::Backend {
        action: "mirror",
        table: table.table_name(),
        kind: kind(&source),
        source: Box::new(source),
    };
    let mut last = None;
    for _ in 0..COMMITS_MAX {
        // The log comes first, then the catalog: a commit on top of an older log is refused, so
        // that what it would show is never older than what the log shows already.
        let log = open(store, table).await.map_err(failed)?;
        let parts = current.current().await?;
        match commit(&log, table, &parts).await {
            Err(Refused::Delta(error)) if is_conflict(&error) => last = Some(error),
            Err(Refused::Delta(error)) => return Err(failed(error)),
            Err(Refused::Unwritable(error)) => return Err(error),
            Ok(()) => return Ok(()),
        }
    }
    Err(failed(last.unwrap_or(DeltaTableError::NotInitialized)))
}

enum Refused {
    Delta(DeltaTableError),
    Unwritable(Error),
}

impl From<DeltaTableError> for Refused {
    fn from(error: DeltaTableError) -> Self {
        Self::Delta(error)
    }
}

async fn open(store: &Store, table: &TablePath) -> DeltaResult<DeltaTable> {
    let location = store
        .table_url(table)
        .map_err(|e| DeltaTableError::GenericError { source: Box::new(e) })?;
    let prefix = store
        .path(&table.to_string())
        .map_err(|e| DeltaTableError::GenericError { source: Box::new(e) })?;
    let objects = store.readable();
    let below = Arc::new(PrefixStore::new(Arc::clone(&objects), prefix));
    let log: LogStoreRef = default_logstore(below, objects, &location, &StorageConfig::default());
    let mut delta = DeltaTable::new(log);
    if delta.verify_deltatable_existence().await? {
        delta.load().await?;
    }
    Ok(delta)
}

async fn commit(
    log: &DeltaTable,
    table: &TablePath,
    parts: &[Arc<StoredTable>],
) -> Result<(), Refused> {
    let shown = log.snapshot().ok();
    let Some(newest) = parts.iter().max_by_key(|part| part.version) else {
        return match shown {
            Some(shown) => write(log, Some(shown), difference(Some(shown), parts), &[]).await,
            None => Ok(()),
        };
    };
    if parts.iter().any(|part| part.partition_by != newest.partition_by) {
        return Err(Refused::Unwritable(Error::Unwritable {
            table: table.table_name(),
            reason: "a Delta table has the same hive columns everywhere, but `partition_by` was \
                     changed; make all of it anew"
                .to_owned(),
        }));
    }
    let name = table.table_name();
    let schema = delta_schema(&name, newest.schema.arrow()).map_err(Refused::Unwritable)?;
    let mut actions = definition(shown, &name, &schema, &newest.partition_by)?;
    actions.extend(difference(shown, parts));
    write(log, shown, actions, &newest.partition_by).await
}

/// The actions that define the columns, if they are not those that the log shows.
fn definition(
    shown: Option<&DeltaTableState>,
    name: &str,
    schema: &StructType,
    partition_by: &[String],
) -> DeltaResult<Vec<Action>> {
    let known = shown.map(|shown| (shown.metadata(), shown.schema()));
    if let Some((metadata, columns)) = &known
        && **columns == *schema
        && metadata.partition_columns() == partition_by
    {
        return Ok(Vec::new());
    }
    let mut metadata = new_metadata(schema, partition_by, HashMap::<String, String>::new())?;
    metadata = metadata.with_name(name.to_owned())?;
    if let Some((known, _)) = known {
        metadata = metadata.with_table_id(known.id().to_owned())?;
    }
    Ok(vec![Action::Protocol(protocol(schema)?), Action::Metadata(metadata)])
}

/// The files that come and go.
fn difference(shown: Option<&DeltaTableState>, parts: &[Arc<StoredTable>]) -> Vec<Action> {
    let files = parts.iter().flat_map(|part| part.files.iter().map(move |file| (part, file)));
    let mut missing: HashMap<String, (&Arc<StoredTable>, &StoredFile)> =
        files.map(|(part, file)| (path_in_table(part, file), (part, file))).collect();
    let mut actions = Vec::new();
    for view in shown.iter().flat_map(|shown| shown.log_data().iter().collect::<Vec<_>>()) {
        if missing.remove(view.path().as_ref()).is_none() {
            actions.push(Action::Remove(view.remove_action(true)));
        }
    }
    let mut added: Vec<_> = missing.into_values().map(|(part, file)| add(part, file)).collect();
    added.sort_by(|a, b| a.path.cmp(&b.path));
    actions.extend(added.into_iter().map(Action::Add));
    actions
}

async fn write(
    log: &DeltaTable,
    shown: Option<&DeltaTableState>,
    actions: Vec<Action>,
    partition_by: &[String],
) -> Result<(), Refused> {
    if actions.is_empty() {
        return Ok(());
    }
    let replaces = actions.iter().any(|action| matches!(action, Action::Remove(_)));
    let operation = DeltaOperation::Write {
        mode: if replaces { SaveMode::Overwrite } else { SaveMode::Append },
        partition_by: (!partition_by.is_empty()).then(|| partition_by.to_vec()),
        predicate: None,
    };
    let properties = CommitProperties::default().with_max_retries(0);
    let snapshot = shown.map(|shown| shown as _);
    CommitBuilder::from(properties)
        .with_actions(actions)
        .build(snapshot, log.log_store(), operation)
        .await?;
    Ok(())
}

/// Whether somebody else has committed first.
fn is_conflict(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::VersionAlreadyExists(_) => true,
        DeltaTableError::Transaction { source } => matches!(
            source,
            TransactionError::MaxCommitAttempts(_)
                | TransactionError::CommitConflict(_)
                | TransactionError::VersionAlreadyExists(_)
        ),
        _ => false,
    }
}

fn kind(error: &DeltaTableError) -> ErrorKind {
    match error {
        _ if is_conflict(error) => ErrorKind::Conflict,
        DeltaTableError::ObjectStore { .. } => ErrorKind::Unavailable,
        _ => ErrorKind::Data,
    }
}
