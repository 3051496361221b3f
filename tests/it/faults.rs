//! Every single fault of a store, at every call that a write and a read make.
//!
//! A write either fails, and what was there before is untouched and what it left behind is never
//! taken for a version; or it succeeds, and every row is there. A read either fails or is right.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::path::Path as FsPath;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrowsmith::arrow::array::{ArrayRef, Int64Array, UInt32Array};
use arrowsmith::arrow::record_batch::RecordBatch;
use arrowsmith::datafusion::catalog::memory::MemorySourceConfig;
use arrowsmith::datafusion::prelude::SessionContext;
use arrowsmith::io::{
    Depth, Durability, IoManager, IpcIoManager, ParquetIoManager, ParquetOptions, PartitionedWrite,
    Store, StoredTable, TablePath, Version, WriteTarget,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    UploadPart,
};

use crate::support::folder;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails and has done nothing.
    Before,
    /// The call fails and has done its work.
    After,
    /// The call never returns, and whoever waits gives up.
    Stall,
    /// What is read is cut off.
    Short,
    /// The process is gone before the call does anything.
    CrashBefore,
    /// The process is gone when the call has done its work, before anybody hears of it.
    CrashAfter,
}

const FAULTS: [Fault; 4] = [Fault::Before, Fault::After, Fault::Stall, Fault::Short];

/// Which call fails, counted from zero, and how.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) calls: AtomicUsize,
    /// How much longer each call takes.
    pause: Duration,
    fault: Mutex<Option<(usize, Fault)>>,
}

impl Plan {
    pub(crate) fn paced(pause: Duration) -> Self {
        Self { pause, ..Self::default() }
    }

    pub(crate) fn set(&self, fault: Option<(usize, Fault)>) {
        self.calls.store(0, Ordering::SeqCst);
        *self.fault.lock().expect("a plan") = fault;
    }

    /// Counts a call; says how it fails, if it does.
    pub(crate) fn next(&self) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = *self.fault.lock().expect("a plan");
        let fault = fault.filter(|(at, _)| *at == call).map(|(_, fault)| fault);
        if fault == Some(Fault::CrashBefore) {
            std::process::abort();
        }
        fault
    }

    async fn around<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        match self.next() {
            None | Some(Fault::Short) => work.await,
            Some(Fault::Before) => Err(broken()),
            Some(Fault::After) => {
                work.await?;
                Err(broken())
            }
            Some(Fault::Stall) => std::future::pending().await,
            Some(Fault::CrashBefore | Fault::CrashAfter) => {
                drop(work.await);
                std::process::abort()
            }
        }
    }
}

fn broken() -> object_store::Error {
    let source = std::io::Error::from_raw_os_error(28);
    object_store::Error::Generic { store: "faulty", source: source.into() }
}

#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) plan: Arc<Plan>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, to: &Path, payload: PutPayload, o: PutOptions) -> Result<PutResult> {
        self.plan.around(self.inner.put_opts(to, payload, o)).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.plan.around(self.inner.put_multipart_opts(to, options)).await?;
        Ok(Box::new(FaultyUpload { inner, plan: Arc::clone(&self.plan) }))
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.plan.next();
        match fault {
            Some(Fault::Before | Fault::After) => return Err(broken()),
            Some(Fault::Stall) => return std::future::pending().await,
            Some(Fault::CrashBefore | Fault::CrashAfter) => std::process::abort(),
            Some(Fault::Short) | None => {}
        }
        let result = self.inner.get_opts(from, options).await?;
        if fault.is_none() {
            return Ok(result);
        }
        let (meta, range, attributes) =
            (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let bytes = result.bytes().await?;
        let half = bytes.slice(..bytes.len() / 2);
        let payload = GetResultPayload::Stream(Box::pin(futures::stream::iter([Ok(half)])));
        Ok(GetResult { payload, meta, range, attributes })
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.plan.next() {
            Some(Fault::Before | Fault::After) => Err(broken()),
            Some(Fault::Stall) => std::future::pending().await,
            Some(Fault::Short) => {
                let found = self.inner.get_ranges(from, ranges).await?;
                Ok(found.into_iter().map(|bytes| bytes.slice(..bytes.len() / 2)).collect())
            }
            Some(Fault::CrashBefore | Fault::CrashAfter) => std::process::abort(),
            None => self.inner.get_ranges(from, ranges).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.plan.next() {
            Some(Fault::Before | Fault::After) => Box::pin(futures::stream::iter([Err(broken())])),
            _ => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.plan.next() {
            Some(Fault::Before | Fault::After) => Box::pin(futures::stream::iter([Err(broken())])),
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.plan.around(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.plan.around(self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.plan.around(self.inner.rename_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    plan: Arc<Plan>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, plan) = (self.inner.put_part(data), Arc::clone(&self.plan));
        Box::pin(async move { plan.around(part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let plan = Arc::clone(&self.plan);
        plan.around(self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

/// How long something may stall until whoever waits gives up: on a disk, and over a network.
const PATIENCE: Duration = Duration::from_millis(100);
pub(crate) const REMOTE_PATIENCE: Duration = Duration::from_millis(600);
/// How long what has no fault may take on a machine that does much else.
const LONG: Duration = Duration::from_mins(1);

fn rows(count: i64) -> RecordBatch {
    let ids = Int64Array::from_iter_values(0..count);
    let cut = UInt32Array::from_iter_values((0..count).map(|id| u32::from(id % 3 == 0)));
    RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef), ("cut", Arc::new(cut) as _)])
        .expect("a batch")
}

/// Writes two partitions; `None` if it takes too long, as a step that has a limit.
async fn write(
    manager: &dyn IoManager,
    patience: Duration,
    count: i64,
) -> (Version, Option<arrowsmith::io::Result<StoredTable>>) {
    let version = Version(uuid::Uuid::now_v7());
    let mut target = WriteTarget::new(TablePath::new(["faults"]).expect("a path"), version);
    let keys = ["even".to_owned(), "third".to_owned()];
    target.partitions = Some(PartitionedWrite { column: "cut".to_owned(), keys: keys.into() });
    let batch = rows(count);
    let plan = MemorySourceConfig::try_new_exec(&[vec![batch.clone()]], batch.schema(), None);
    let context = SessionContext::new().task_ctx();
    let work = manager.write(plan.expect("a plan"), context, &target);
    (version, tokio::time::timeout(patience, work).await.ok())
}

/// The sum of all ids and their number; an error or too long a wait is `None`.
async fn read(
    manager: &dyn IoManager,
    patience: Duration,
    stored: &StoredTable,
) -> Option<(i64, i64)> {
    let table = manager.provider(&Arc::new(stored.clone())).ok()?;
    let frame = SessionContext::new().read_table(table).ok()?;
    let batches = tokio::time::timeout(patience, frame.collect()).await.ok()?.ok()?;
    let ids = batches.iter().flat_map(|batch| {
        let ids = batch.column_by_name("id").expect("a column");
        ids.as_any().downcast_ref::<Int64Array>().expect("numbers").values().to_vec()
    });
    let ids: Vec<i64> = ids.collect();
    let different = ids.iter().collect::<HashSet<_>>().len();
    Some((ids.iter().sum(), different.try_into().expect("a count")))
}

const fn whole(count: i64) -> (i64, i64) {
    (count * (count - 1) / 2, count)
}

async fn survives(make: impl Fn(Store) -> Arc<dyn IoManager>, url: &str) {
    let store = Store::open(url, FsPath::new("/"), Durability::Fsync, &BTreeMap::new());
    survives_in(make, store.expect("a store"), PATIENCE).await;
}

pub(crate) async fn survives_in(
    make: impl Fn(Store) -> Arc<dyn IoManager>,
    store: Store,
    patience: Duration,
) {
    let plan = Arc::new(Plan::default());
    let store = store.wrapped(|inner| {
        Arc::new(Faulty { inner, plan: Arc::clone(&plan) }) as Arc<dyn ObjectStore>
    });
    let manager = make(store);
    let manager = &*manager;
    let first = write(manager, LONG, 30).await.1.expect("in time").expect("a version");

    plan.set(None);
    let counted = write(manager, LONG, 60).await.1.expect("in time").expect("a version");
    let writes = plan.calls.load(Ordering::SeqCst);
    assert!(writes >= 3, "two files and a manifest: {writes}");
    plan.set(None);
    assert_eq!(read(manager, LONG, &counted).await, Some(whole(60)));
    let reads = plan.calls.load(Ordering::SeqCst);
    assert!(reads >= 2, "two files: {reads}");

    for fault in FAULTS {
        for call in 0..writes {
            plan.set(Some((call, fault)));
            let (version, written) = write(manager, patience, 60).await;
            plan.set(None);
            let at = format!("{fault:?} at call {call} of a write");
            if let Some(Ok(stored)) = &written {
                let damage = manager.verify(stored, Depth::Full).await.expect("an answer");
                assert!(damage.is_empty(), "{at}: {damage:?}");
                assert_eq!(read(manager, LONG, stored).await, Some(whole(60)), "{at}");
            } else {
                assert_ne!(fault, Fault::Short, "{at}: nothing is read while it is written");
            }
            // What is there besides is a whole version or none at all.
            for entry in manager.versions().await.expect("a list") {
                if entry.version != version {
                    continue;
                }
                if let Some(sealed) = manager.manifest(&entry).await.expect("an answer") {
                    let damage = manager.verify(&sealed, Depth::Full).await.expect("an answer");
                    assert!(damage.is_empty(), "{at}: {damage:?}");
                }
                manager.remove(&entry).await.expect("removed");
            }
            assert!(
                manager.verify(&first, Depth::Full).await.expect("an answer").is_empty(),
                "{at}"
            );
            assert_eq!(read(manager, LONG, &first).await, Some(whole(30)), "{at}");
        }
        for call in 0..reads {
            plan.set(Some((call, fault)));
            let found = read(manager, patience, &counted).await;
            plan.set(None);
            let at = format!("{fault:?} at call {call} of a read");
            assert!(found.is_none_or(|found| found == whole(60)), "{at}: {found:?}");
            assert_eq!(read(manager, LONG, &counted).await, Some(whole(60)), "afterwards, {at}");
        }
    }
}

pub(crate) fn parquet(store: Store) -> Arc<dyn IoManager> {
    Arc::new(ParquetIoManager::new(store, ParquetOptions::default()))
}

pub(crate) fn ipc(store: Store) -> Arc<dyn IoManager> {
    Arc::new(IpcIoManager::new(store))
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_survives_every_single_fault_of_a_disk() {
    let folder = folder();
    survives(parquet, &folder.path().display().to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_survives_every_single_fault_of_an_object_store() {
    survives(parquet, "memory:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ipc_survives_every_single_fault_of_a_disk() {
    let folder = folder();
    survives(ipc, &folder.path().display().to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ipc_survives_every_single_fault_of_an_object_store() {
    survives(ipc, "memory:").await;
}
