//! [`Instance`]: the door to the database.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_io_manager::{ErrorKind, Version};

use crate::database::{DatabaseWriter, changes, open};
use crate::interrupt::{Interrupt, Interrupted};
use crate::memory::Memory;
use crate::operations::OperationsReader;
use crate::request::{Reply, Request, ToPublish};
use crate::settings::DatabaseSettings;
use crate::storage::Reader;
use crate::writer::Writer;
use crate::{
    AttemptStatus, BackfillId, BackfillRecord, BackfillStatus, DigestRecord, EndAttempt, EndRun,
    EndStep, Error, EventRecord, Materialization, NewAttempt, NewRun, NewVersion, OutputRecord,
    PartitionPointer, PartitionTotals, Pointer, Provenance, Publish, Published, Refusal,
    ReplaceSteps, Result, RunId, RunRecord, RunStatus, StepRecord, StoredVersion, Tell, TimeMicros,
    VersionSummary,
};

/// How long a database that does not answer is left alone before it is asked again.
const WAITS: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(500), Duration::from_secs(2)];

/// One instance: runs, events and the catalog. Clones share what is kept.
#[derive(Debug, Clone)]
pub struct Instance {
    home: Option<PathBuf>,
    /// The URL of its database, if that is not a file in the home.
    database: Option<String>,
    pub(crate) writer: Writer,
    reader: Arc<dyn Reader>,
    /// What only a database has.
    pub(crate) operations: Option<Arc<dyn OperationsReader>>,
}

impl Instance {
    /// Opens the instance of a home directory, or makes it: a file in it, or the PostgreSQL database
    /// that its `instance.toml` names.
    ///
    /// Must be called inside a tokio runtime, in which the writer lives.
    ///
    /// # Errors
    /// `Home` if the directory cannot be used, `Unreachable` if the database cannot, `Newer` if a
    /// later version has written it.
    pub async fn open(home: &Path) -> Result<Self> {
        Self::open_with(home, Writer::spawn).await
    }

    /// The same, with something that is told of every transaction and may fail it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_interrupted(home: &Path, by: Arc<dyn Interrupt>) -> Result<Self> {
        Self::open_with(home, |inner| Writer::spawn(Interrupted { inner, by })).await
    }

    async fn open_with(home: &Path, spawn: impl FnOnce(DatabaseWriter) -> Writer) -> Result<Self> {
        let refuse =
            |e: std::io::Error| Error::Home { path: home.to_owned(), reason: e.to_string() };
        std::fs::create_dir_all(home.join("logs")).map_err(refuse)?;
        let settings = DatabaseSettings::read(home)?;
        let (writer, reader) = open(home, settings.as_ref()).await?;
        let database = settings.map(|settings| settings.shown());
        let home = Some(home.to_owned());
        let reader = Arc::new(reader);
        let operations = Some(Arc::clone(&reader) as Arc<dyn OperationsReader>);
        Ok(Self { home, database, writer: spawn(writer), reader, operations })
    }

    /// How often the instance of a home directory was written to, without opening it; `None` if there
    /// is none, or it is of another version.
    pub async fn changes(home: &Path) -> Option<i64> {
        changes(home, DatabaseSettings::read(home).ok()?.as_ref()).await
    }

    /// An instance that goes with its last clone and leaves nothing on any disk.
    pub fn in_memory() -> Self {
        let memory = Memory::default();
        let writer = Writer::Memory(memory.clone());
        Self { home: None, database: None, writer, reader: Arc::new(memory), operations: None }
    }

    /// The URL of the database without credentials, if that is not a file in the home.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The directory of the database and of what is kept beside it; none if it is in memory.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The file that holds the log lines of a run, if they are kept.
    pub fn log_path(&self, run_id: RunId) -> Option<PathBuf> {
        Some(self.home()?.join("logs").join(format!("{run_id}.ndjson")))
    }

    /// Begins a run, which may have waited in the queue: remembers its steps and the versions that it
    /// is going to read.
    ///
    /// # Errors
    /// `NotWaiting` if it has begun before, or has come to its end.
    pub async fn start_run(&self, run: NewRun) -> Result<()> {
        let run_id = run.run_id;
        match self.writer.send(Request::StartRun(run)).await? {
            Reply::Was(true) => Ok(()),
            _ => Err(Error::NotWaiting { run: run_id.short() }),
        }
    }

    /// Says that a run still lives.
    pub async fn renew(&self, run_id: RunId, lease_until: TimeMicros) -> Result<()> {
        self.done(Request::Renew { run_id, lease_until }).await
    }

    /// Begins attempts; from now on no older attempt can publish the same tables.
    pub async fn begin(&self, attempts: Vec<NewAttempt>) -> Result<()> {
        self.done(Request::Begin(attempts)).await
    }

    /// Begins attempts without waiting until that is durable.
    ///
    /// Whatever is asked of this instance afterwards comes after it: a publish finds the attempt,
    /// or is refused as unknown if it could not begin. What a power cut takes away is an attempt
    /// whose files nothing refers to.
    pub async fn begin_soon(&self, attempts: Vec<NewAttempt>) -> Result<()> {
        self.writer.enqueue(Request::Begin(attempts)).await
    }

    /// Makes sealed versions current, if the attempt may still do so.
    ///
    /// If the outcome is not known, the attempt's own row tells: an attempt publishes once.
    pub async fn publish(&self, publish: Publish) -> Result<Published> {
        match self.send_again(Request::Publish(Arc::new(ToPublish::new(publish)))).await? {
            Reply::Published(Published::No(Refusal::NotRunning(AttemptStatus::Success))) => {
                Ok(Published::Yes)
            }
            Reply::Published(published) => Ok(published),
            _ => Err(Error::Closed),
        }
    }

    /// Ends an attempt that does not publish.
    pub async fn end_attempt(&self, end: EndAttempt) -> Result<()> {
        self.send_again(Request::EndAttempt(end)).await.map(|_| ())
    }

    /// Ends steps that had no attempt.
    pub async fn end_steps(&self, ends: Vec<EndStep>) -> Result<()> {
        self.send_again(Request::EndSteps(ends)).await.map(|_| ())
    }

    /// Puts the steps of a dynamic output in the place of those that stood for them.
    pub async fn replace_steps(&self, replace: ReplaceSteps) -> Result<()> {
        self.done(Request::ReplaceSteps(replace)).await
    }

    /// Remembers what happened.
    pub async fn tell(&self, events: Vec<Tell>) -> Result<()> {
        self.done(Request::Tell(events)).await
    }

    /// Ends a run, and with it whatever of it still counts as running.
    pub async fn end_run(&self, end: EndRun) -> Result<()> {
        self.send_again(Request::EndRun(end)).await.map(|_| ())
    }

    /// Says that the files of versions are about to be removed, so that nothing points to them any
    /// more; returns those for which that holds. What is in use meanwhile is not among them.
    pub async fn condemn(&self, versions: Vec<Version>, at: TimeMicros) -> Result<Vec<Version>> {
        match self.writer.send(Request::Condemn { versions, at }).await? {
            Reply::Condemned(versions) => Ok(versions),
            _ => Err(Error::Closed),
        }
    }

    /// Makes versions current that are known only from the manifests beside their data; a table
    /// that has a current version keeps it. Returns how many were restored.
    pub async fn restore(
        &self,
        environment: &str,
        versions: Vec<NewVersion>,
        at: TimeMicros,
    ) -> Result<usize> {
        let environment = environment.to_owned();
        match self.writer.send(Request::Restore { environment, versions, at }).await? {
            Reply::Restored(count) => Ok(count),
            _ => Err(Error::Closed),
        }
    }

    /// Sends a request that changes nothing when it was carried out before, until there is an
    /// answer, a few times at most.
    async fn send_again(&self, request: Request) -> Result<Reply> {
        for wait in WAITS {
            match self.writer.send(request.clone()).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                answer => return answer,
            }
            #[expect(clippy::disallowed_methods, reason = "the database is waited for, no time")]
            tokio::time::sleep(wait).await;
        }
        self.writer.send(request).await
    }

    async fn done(&self, request: Request) -> Result<()> {
        self.writer.send(request).await.map(|_| ())
    }

    /// Ends every run whose process is gone or whose lease has expired; returns their ids.
    ///
    /// Their attempts can never publish afterwards.
    pub async fn recover(&self, now: TimeMicros) -> Result<Vec<RunId>> {
        let dead = self.reader.dead_runs(now).await?;
        self.recover_starting(now).await?;
        for run_id in &dead {
            let error = Some("its process ended without a word".to_owned());
            let status = RunStatus::Failure;
            self.end_run(EndRun { run_id: *run_id, status, error, crashed: true, at: now }).await?;
        }
        for backfill in self.reader.backfills(u32::MAX).await? {
            if backfill.waits() {
                self.recover_waiting(backfill, now).await?;
                continue;
            }
            let is_dead = backfill.lease_until < now || backfill.process.is_gone();
            if !backfill.status.is_final() && is_dead {
                let (status, error) = match backfill.status {
                    BackfillStatus::Canceling => (BackfillStatus::Canceled, None),
                    _ => (BackfillStatus::Failed, Some("its process ended without a word")),
                };
                let (error, ended_at) = (error.map(str::to_owned), Some(now));
                self.save_backfill(BackfillRecord { status, ended_at, error, ..backfill }).await?;
            }
        }
        Ok(dead)
    }

    /// A backfill whose run never began is over with it.
    async fn recover_waiting(&self, backfill: BackfillRecord, now: TimeMicros) -> Result<()> {
        let runs = self.runs_of_backfill(backfill.backfill_id).await?;
        let Some(last) = runs.last().filter(|last| last.status.is_final()) else { return Ok(()) };
        let (status, error) = match last.status {
            RunStatus::Canceled => (BackfillStatus::Canceled, None),
            _ => (BackfillStatus::Failed, last.error.clone()),
        };
        let (lease_until, ended_at) = (now, Some(now));
        self.save_backfill(BackfillRecord { status, lease_until, ended_at, error, ..backfill })
            .await
    }

    /// Runs that were handed to a process which is gone before they have begun wait again.
    async fn recover_starting(&self, now: TimeMicros) -> Result<()> {
        if self.operations.is_none() {
            return Ok(());
        }
        for run in self.runs_that_are(&[RunStatus::Starting]).await? {
            let is_dead = run.lease_until < now || run.process.is_none_or(|by| by.is_gone());
            if is_dead && !self.give_back(run.run_id, now).await? {
                let error = Some("it was handed to a process too often without beginning".into());
                let (run_id, status) = (run.run_id, RunStatus::Failure);
                self.end_run(EndRun { run_id, status, error, crashed: true, at: now }).await?;
            }
        }
        Ok(())
    }

    /// Writes a backfill as it stands now; one that was asked to stop is not asked to go on.
    pub async fn save_backfill(&self, backfill: BackfillRecord) -> Result<()> {
        self.done(Request::SaveBackfill(Box::new(backfill))).await
    }

    /// The newest backfills, newest first.
    pub async fn backfills(&self, limit: u32) -> Result<Vec<BackfillRecord>> {
        self.reader.backfills(limit).await
    }

    /// The backfill of an id, or of the beginning or end of one; `latest` is the newest.
    ///
    /// # Errors
    /// `NoBackfill`.
    pub async fn backfill(&self, id: &str) -> Result<BackfillRecord> {
        let no_backfill = || Error::NoBackfill { backfill: id.to_owned() };
        let mut found = match id {
            "latest" => self.reader.backfills(1).await?,
            _ => match digits(id) {
                Some(digits) => self.reader.backfills_like(&digits).await?,
                None => Vec::new(),
            },
        };
        let only = found.pop().ok_or_else(no_backfill)?;
        if found.is_empty() { Ok(only) } else { Err(no_backfill()) }
    }

    /// The runs of a backfill, oldest first.
    pub async fn runs_of_backfill(&self, backfill: BackfillId) -> Result<Vec<RunRecord>> {
        self.reader.runs_of_backfill(backfill).await
    }

    /// Adds keys to a list of dynamic partitions, behind those that are there.
    pub async fn add_dynamic_partitions(
        &self,
        name: &str,
        keys: Vec<String>,
        at: TimeMicros,
    ) -> Result<()> {
        let (name, remove) = (name.to_owned(), Vec::new());
        self.done(Request::SetDynamicPartitions { name, add: keys, remove, at }).await
    }

    /// Takes keys from a list of dynamic partitions; what was materialized for them stays.
    pub async fn remove_dynamic_partitions(
        &self,
        name: &str,
        keys: Vec<String>,
        at: TimeMicros,
    ) -> Result<()> {
        let (name, add) = (name.to_owned(), Vec::new());
        self.done(Request::SetDynamicPartitions { name, add, remove: keys, at }).await
    }

    /// The keys of a list of dynamic partitions, in the order in which they were added.
    pub async fn dynamic_partitions(&self, name: &str) -> Result<Vec<String>> {
        self.reader.dynamic_partitions(name).await
    }

    /// What is current of a partitioned table, in no order.
    pub async fn partitions(
        &self,
        environment: &str,
        asset: &str,
    ) -> Result<Vec<PartitionPointer>> {
        self.reader.partitions(environment, asset).await
    }

    /// What is current of partitioned tables in all, by asset.
    pub async fn partition_totals(
        &self,
        environment: &str,
    ) -> Result<BTreeMap<String, PartitionTotals>> {
        self.reader.partition_totals(environment).await
    }

    /// What plans have to know of versions, in no order, without those that are not known.
    pub async fn version_summaries(&self, versions: &[Version]) -> Result<Vec<VersionSummary>> {
        self.reader.version_summaries(versions).await
    }

    /// The newest stored versions of an asset that some code has made, newest first.
    pub async fn stored_versions(
        &self,
        asset: &str,
        code: &str,
        limit: u32,
    ) -> Result<Vec<StoredVersion>> {
        self.reader.stored_versions(asset, code, limit).await
    }

    /// Remembers that versions are what would be made of other inputs as well.
    pub async fn set_provenance(&self, of: Vec<(Version, Provenance)>) -> Result<()> {
        self.done(Request::SetProvenance(of)).await
    }

    /// Remembers digests; those that are known stay.
    pub async fn remember_digests(&self, digests: Vec<DigestRecord>) -> Result<()> {
        self.done(Request::RememberDigests(digests)).await
    }

    /// The same without waiting until it is durable; whatever is asked of this instance afterwards
    /// comes after it.
    pub async fn remember_digests_soon(&self, digests: Vec<DigestRecord>) -> Result<()> {
        if digests.is_empty() {
            return Ok(());
        }
        self.writer.enqueue(Request::RememberDigests(digests)).await
    }

    /// Remembers what a code says that provenances name, without waiting until it is durable.
    pub async fn remember_code_soon(&self, code: String, text: String) -> Result<()> {
        self.writer.enqueue(Request::RememberCode { code, text }).await
    }

    /// What a code says, if it is remembered.
    pub async fn code(&self, code: &str) -> Result<Option<String>> {
        self.reader.code(code).await
    }

    /// All digests of versions that are known, in no order.
    pub async fn digests(&self, versions: &[Version]) -> Result<Vec<DigestRecord>> {
        self.reader.digests(versions).await
    }

    /// What is current in an environment of tables without partitions, by asset.
    pub async fn pointers(&self, environment: &str) -> Result<BTreeMap<String, Pointer>> {
        self.reader.pointers(environment).await
    }

    /// A version with its manifest.
    pub async fn materialization(&self, version: Version) -> Result<Option<Materialization>> {
        self.reader.materialization(version).await
    }

    /// The newest materializations of an asset, newest first.
    pub async fn materializations(&self, asset: &str, limit: u32) -> Result<Vec<Materialization>> {
        self.reader.materializations(asset, limit).await
    }

    /// The newest runs, newest first.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>> {
        self.reader.runs(limit).await
    }

    /// The run of an id, or of the beginning or end of one; `latest` is the newest.
    ///
    /// # Errors
    /// `NoRun`, `NoRuns` and `AmbiguousRun`.
    pub async fn run(&self, id: &str) -> Result<RunRecord> {
        if id == "latest" {
            return self.reader.runs(1).await?.pop().ok_or(Error::NoRuns);
        }
        let no_run = || Error::NoRun { run: id.to_owned() };
        let digits = digits(id).ok_or_else(no_run)?;
        let mut found = self.reader.runs_like(&digits).await?;
        match found.len() {
            0 | 1 => found.pop().ok_or_else(no_run),
            count => Err(Error::AmbiguousRun { run: id.to_owned(), count }),
        }
    }

    /// The steps of a run in the order of its plan.
    pub async fn steps(&self, run_id: RunId) -> Result<Vec<StepRecord>> {
        self.reader.steps(run_id).await
    }

    /// What the steps of a run have emitted.
    pub async fn outputs(&self, run_id: RunId) -> Result<Vec<OutputRecord>> {
        self.reader.outputs(run_id).await
    }

    /// Events of a run after the one of this id, oldest first.
    pub async fn events(&self, run_id: RunId, after: i64) -> Result<Vec<EventRecord>> {
        self.reader.events(run_id, after).await
    }

    /// Runs that count as running.
    pub async fn live_runs(&self) -> Result<Vec<RunId>> {
        self.reader.live_runs().await
    }

    /// Versions that must stay whatever their age: current ones, those that a live run pins or has
    /// made, and those that an attempt is writing.
    pub async fn versions_in_use(&self) -> Result<HashSet<Version>> {
        self.reader.versions_in_use().await
    }
}

/// A piece of an id as the database can look for it.
fn digits(id: &str) -> Option<String> {
    let digits = id.replace('-', "").to_lowercase();
    let sound = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    sound.then_some(digits)
}
