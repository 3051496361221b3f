//! Files of a source as a table.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrowsmith_definitions::{BoxError, Code, Diagnostic, Source, nearest};
use arrowsmith_io_manager::{Durability, Store};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::{
    Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, cast, ident, lit,
};
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::infer::infer;
use super::schema_cache::{SchemaCache, fingerprint, fingerprint_by};
use super::settings::placeholders;
use super::{Format, SourceSettings};
use crate::planning_session;

/// A source whose files are there and whose columns are known.
#[derive(Debug)]
pub(crate) struct FileSource {
    settings: SourceSettings,
    /// The whole path, in which keys of partitions may have to stand.
    path: String,
    url: ListingTableUrl,
    store: Option<Store>,
    schema: SchemaRef,
}

impl FileSource {
    /// Lists the files, and infers their columns unless they are declared or cached.
    pub(crate) async fn open(
        settings: SourceSettings,
        root: &Path,
        cache: &mut SchemaCache,
    ) -> Result<Self, Diagnostic> {
        let key = settings.key.clone();
        let refuse = |message: String| {
            Diagnostic::error(Code::Source, message).at(settings.path_place.clone())
        };
        let unreadable = |error: DataFusionError| {
            let text = error.find_root().to_string();
            refuse(format!("source `{key}` cannot be read: {}", text.replace('\n', " ")))
        };
        let is_url = settings.path.contains("://");
        let full = if is_url {
            settings.path.clone()
        } else {
            root.join(&settings.path).display().to_string()
        };
        let placeholders = placeholders(settings.partitions.as_deref());
        let any = placeholders.iter().fold(full.clone(), |path, name| path.replace(name, "*"));
        let url = ListingTableUrl::parse(&any).map_err(&unreadable)?;
        let store = if is_url && url.scheme() != "file" {
            let opened = Store::open(&full, root, Durability::None, &BTreeMap::new());
            Some(opened.map_err(|e| refuse(format!("source `{key}`: {e}")))?)
        } else {
            None
        };
        let state = planning_session();
        if let Some(store) = &store {
            store
                .register(state.runtime_env())
                .map_err(|e| refuse(format!("source `{key}`: {e}")))?;
        }
        let objects = state.runtime_env().object_store(&url).map_err(&unreadable)?;
        let files = list(&url, state, &objects).await.map_err(&unreadable)?;
        if files.is_empty() {
            let problem = refuse(format!("source `{key}` has no file at `{}`", settings.path))
                .marked("no file");
            return Err(match nearest_file(root, &settings.path) {
                Some(near) => problem.did_you_mean(Some(near)),
                None => problem.help(format!("paths are relative to `{}`", root.display())),
            });
        }
        let schema = if let Some(columns) = &settings.columns {
            Arc::new(Schema::new(columns.clone()))
        } else {
            let print = fingerprint(&settings, &files);
            if let Some(schema) = cache.get(&settings, &print) {
                schema
            } else {
                let format = format(&settings, None);
                let found = infer(&settings, &format, state, &objects, &files)
                    .await
                    .map_err(&unreadable)?;
                let schema = found.map_err(|e| refuse(format!("source `{key}`: {e}")))?;
                cache.put(&settings, &print, &schema);
                schema
            }
        };
        if schema.fields().is_empty() {
            return Err(refuse(format!("source `{key}` has no columns in its files")));
        }
        Ok(Self { settings, path: full, url, store, schema })
    }

    /// The files as they stand, with columns of the given types.
    fn listing(
        &self,
        urls: Vec<ListingTableUrl>,
        schema: SchemaRef,
    ) -> Result<Arc<dyn TableProvider>> {
        let options =
            ListingOptions::new(format(&self.settings, Some(&schema))).with_file_extension("");
        let config = ListingTableConfig::new_with_multi_paths(urls)
            .with_listing_options(options)
            .with_schema(schema);
        let table: Arc<dyn TableProvider> = Arc::new(ListingTable::try_new(config)?);
        Ok(match &self.store {
            Some(store) => Arc::new(Registered { store: store.clone(), table }),
            None => table,
        })
    }

    fn table(&self, urls: Vec<ListingTableUrl>) -> Result<Arc<dyn TableProvider>> {
        if self.settings.format == Format::Csv && !self.settings.nulls.is_empty() {
            self.with_nulls(urls)
        } else {
            self.listing(urls, Arc::clone(&self.schema))
        }
    }

    /// All files as they stand.
    async fn files(&self) -> Result<Vec<ObjectMeta>> {
        let state = planning_session();
        let objects = state.runtime_env().object_store(&self.url)?;
        list(&self.url, state, &objects).await
    }

    /// What stands for the state of some files.
    async fn state(&self, files: &[ObjectMeta]) -> Result<String> {
        let settings = &self.settings;
        let files = if settings.by_content {
            let objects = planning_session().runtime_env().object_store(&self.url)?;
            let mut contents = Vec::new();
            for file in files {
                let mut hasher = blake3::Hasher::new();
                let mut parts = objects.get(&file.location).await?.into_stream();
                while let Some(part) = parts.try_next().await? {
                    hasher.update(&part);
                }
                contents.push((&file.location, hasher.finalize().to_hex().to_string()));
            }
            fingerprint_by(settings, contents.into_iter())
        } else {
            let tags: Vec<_> = files.iter().map(|file| &file.e_tag).collect();
            format!("{} {tags:?}", fingerprint(settings, files))
        };
        let text = format!("{files} {:?}", self.schema);
        Ok(blake3::hash(text.as_bytes()).to_hex()[..32].to_owned())
    }

    /// Where the files of a partition are to be.
    fn path_of(&self, key: &str) -> String {
        let placeholders = placeholders(self.settings.partitions.as_deref());
        // A key of several dimensions is their parts, joined by `|`.
        let parts: Vec<&str> = match placeholders.len() {
            1 => vec![key],
            _ => key.split('|').collect(),
        };
        let filled = placeholders.iter().zip(parts);
        filled.fold(self.path.clone(), |path, (name, part)| path.replace(name, part))
    }

    /// Where the files of some partitions are; one that has none is an error that names it.
    async fn urls_of(
        &self,
        keys: &[String],
    ) -> std::result::Result<Vec<ListingTableUrl>, BoxError> {
        let files = self.files().await?;
        let exact: HashSet<&object_store::path::Path> =
            files.iter().map(|file| &file.location).collect();
        let (mut urls, mut missing) = (Vec::new(), Vec::new());
        for key in keys {
            let path = self.path_of(key);
            let url = ListingTableUrl::parse(&path)?;
            let is_there = exact.contains(url.prefix())
                || files.iter().any(|file| url.contains(&file.location, false));
            if is_there { urls.push(url) } else { missing.push(path) }
        }
        match missing.as_slice() {
            [] => Ok(urls),
            [only] => Err(format!("there is no file at `{only}`").into()),
            [first, ..] => {
                let count = missing.len();
                Err(format!("{count} partitions have no file, the first at `{first}`").into())
            }
        }
    }

    /// Columns as texts, of which some stand for null, cast to their types.
    ///
    /// DataFusion's CSV reader knows only the empty text as null.
    fn with_nulls(&self, urls: Vec<ListingTableUrl>) -> Result<Arc<dyn TableProvider>> {
        let fields = self.schema.fields();
        let texts = fields.iter().map(|f| Field::new(f.name(), DataType::Utf8, true));
        let texts = self.listing(urls, Arc::new(Schema::new(texts.collect::<Vec<_>>())))?;
        let columns: Vec<Expr> = fields
            .iter()
            .map(|field| {
                let text = self
                    .settings
                    .nulls
                    .iter()
                    .fold(ident(field.name()), |text, null| nullif(text, lit(null.as_str())));
                let typed = match field.data_type() {
                    DataType::Utf8 => text,
                    other => cast(text, other.clone()),
                };
                typed.alias(field.name())
            })
            .collect();
        let plan = LogicalPlanBuilder::scan("file", provider_as_source(texts), None)?
            .project(columns)?
            .build()?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}

#[async_trait]
impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        if self.settings.format == Format::Csv && !self.settings.nulls.is_empty() {
            // Any text may turn out to stand for null.
            let fields = self.schema.fields().iter();
            let nullable = fields.map(|f| f.as_ref().clone().with_nullable(true));
            return Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        }
        Arc::clone(&self.schema)
    }

    async fn provider(&self) -> std::result::Result<Arc<dyn TableProvider>, BoxError> {
        Ok(self.table(vec![self.url.clone()])?)
    }

    async fn provider_of(
        &self,
        keys: &[String],
    ) -> std::result::Result<Arc<dyn TableProvider>, BoxError> {
        if keys.is_empty() {
            return Ok(Arc::new(EmptyTable::new(self.schema())));
        }
        Ok(self.table(self.urls_of(keys).await?)?)
    }

    async fn states(
        &self,
        keys: &[String],
    ) -> std::result::Result<Option<BTreeMap<String, String>>, BoxError> {
        let files = self.files().await?;
        if keys.is_empty() {
            return Ok(Some(BTreeMap::from([(String::new(), self.state(&files).await?)])));
        }
        let mut by_path: HashMap<&object_store::path::Path, &ObjectMeta> = HashMap::new();
        by_path.extend(files.iter().map(|file| (&file.location, file)));
        let mut states = BTreeMap::new();
        for key in keys {
            let url = ListingTableUrl::parse(self.path_of(key))?;
            let of_key: Vec<ObjectMeta> = match by_path.get(url.prefix()) {
                Some(file) => vec![(*file).clone()],
                None => {
                    let inside = files.iter().filter(|file| url.contains(&file.location, false));
                    inside.cloned().collect()
                }
            };
            states.insert(key.clone(), self.state(&of_key).await?);
        }
        Ok(Some(states))
    }

    fn local_path(&self) -> Option<PathBuf> {
        if self.store.is_some() || self.path.contains("://") {
            return None;
        }
        let names = placeholders(self.settings.partitions.as_deref());
        let path = names.iter().fold(self.path.clone(), |path, name| path.replace(name, "*"));
        // The folder above the first part that stands for several names.
        let is_open = |part: &Component<'_>| {
            part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{'])
        };
        let parts: Vec<Component<'_>> = Path::new(&path).components().collect();
        Some(parts.iter().take_while(|part| !is_open(part)).collect())
    }

    fn location(&self) -> String {
        self.settings.path.clone()
    }

    fn kind(&self) -> &str {
        self.settings.format.name()
    }
}

fn format(settings: &SourceSettings, schema: Option<&SchemaRef>) -> Arc<dyn FileFormat> {
    match settings.format {
        Format::Csv => {
            let nulls: Vec<String> = settings.nulls.iter().map(|n| escaped(n)).collect();
            let pattern = (!nulls.is_empty()).then(|| format!("^(|{})$", nulls.join("|")));
            let mut csv = CsvFormat::default()
                .with_has_header(settings.header)
                .with_delimiter(settings.delimiter)
                .with_quote(settings.quote)
                .with_schema_infer_max_rec(settings.infer_rows)
                .with_file_compression_type(settings.compression);
            // Only inference reads the pattern.
            if schema.is_none() {
                csv = csv.with_null_regex(pattern);
            }
            Arc::new(csv)
        }
        Format::Json => Arc::new(
            JsonFormat::default()
                .with_schema_infer_max_rec(settings.infer_rows)
                .with_file_compression_type(settings.compression),
        ),
        Format::Parquet => Arc::new(ParquetFormat::default()),
        Format::Arrow => Arc::new(ArrowFormat),
    }
}

/// A text as a regular expression for itself.
fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        if !c.is_alphanumeric() && c.is_ascii() {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

async fn list(
    url: &ListingTableUrl,
    session: &dyn Session,
    store: &Arc<dyn ObjectStore>,
) -> Result<Vec<ObjectMeta>> {
    let listed = url.list_prefixed_files(session, store.as_ref(), None, "").await;
    let files: Result<Vec<ObjectMeta>> = match listed {
        Ok(files) => files.try_collect().await,
        Err(error) => Err(error),
    };
    let mut files = match files {
        Ok(files) => files,
        Err(error) => match error.find_root() {
            DataFusionError::ObjectStore(source)
                if matches!(**source, object_store::Error::NotFound { .. }) =>
            {
                Vec::new()
            }
            _ => return Err(error),
        },
    };
    files.retain(|file| file.size > 0);
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

/// The path with its last part replaced by the name in that directory which is most like it.
fn nearest_file(root: &Path, path: &str) -> Option<String> {
    if path.contains("://") {
        return None;
    }
    let wanted = Path::new(path);
    let name = wanted.file_name()?.to_str()?;
    let folder = wanted.parent().unwrap_or(Path::new(""));
    let names: Vec<String> = std::fs::read_dir(root.join(folder))
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let near = nearest(name, names.iter().map(String::as_str))?;
    Some(folder.join(near).display().to_string())
}

/// A table whose object store is made known to whatever session reads it.
#[derive(Debug)]
struct Registered {
    store: Store,
    table: Arc<dyn TableProvider>,
}

#[async_trait]
impl TableProvider for Registered {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.store
            .register(state.runtime_env())
            .map_err(|e| DataFusionError::External(e.into()))?;
        self.table.scan(state, projection, filters, limit).await
    }
}
