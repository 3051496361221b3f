//! What a step reads: tables of this run, of pinned versions, and from outside.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrowsmith_definitions::{Body, BoundInput, BoxError};
use arrowsmith_instance::Event;
use arrowsmith_io_manager::Version;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use serde_json::Value;

use super::run::Run;
use crate::Step;
use crate::catalog::Part;
use crate::node::{NodeSource, PartitionSource};

/// The inputs of an attempt, and what is remembered of them.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) bound: Vec<BoundInput>,
    pub(super) versions: BTreeMap<String, Version>,
    pub(super) loaded: Vec<Event>,
}

impl Run {
    /// The inputs of a step: what this run emitted, what is pinned, and external tables.
    pub(super) async fn inputs(&self, step: &Step) -> Result<Inputs, BoxError> {
        let mut inputs = Inputs::default();
        for input in &step.node.inputs {
            if input.is_nothing {
                continue;
            }
            let (mut tables, mut from) = (Vec::new(), String::new());
            for source in &input.sources {
                let manager = input.io_manager.as_deref();
                let table = self.table(source, manager, &mut inputs.versions).await?;
                let Some((table, told)) = table else { continue };
                tables.push(table);
                from = told;
            }
            inputs
                .loaded
                .push(Event::LoadedInput { input: input.name.clone(), from: from.clone() });
            inputs.bound.push(match tables.pop() {
                Some(only) if !input.gathered && tables.is_empty() => {
                    BoundInput::new(&input.name, from, only)
                }
                last => {
                    tables.extend(last);
                    BoundInput::gathered(&input.name, from, tables)
                }
            });
        }
        Ok(inputs)
    }

    /// The rows of a source and what it is called; `None` if it was not emitted, or is a unit.
    /// They are loaded by `manager`, else by the IO manager that stored them.
    async fn table(
        &self,
        source: &NodeSource,
        manager: Option<&str>,
        versions: &mut BTreeMap<String, Version>,
    ) -> Result<Option<(Arc<dyn TableProvider>, String)>, BoxError> {
        match source {
            NodeSource::Step { at, output, mapping_key, .. } => {
                let key = (*at, output.clone(), mapping_key.clone());
                let Some(emission) = self.emission(&key) else { return Ok(None) };
                let Some(stored) = &emission.stored else { return Ok(None) };
                let told = match &emission.asset {
                    Some(asset) => {
                        versions.insert(asset.to_string(), stored.version);
                        asset.to_string()
                    }
                    None => format!("{}.{output}", self.step(*at).key),
                };
                let manager = self.engine.manager(manager.unwrap_or(&emission.io_manager))?;
                Ok(Some((manager.provider(stored)?, told)))
            }
            NodeSource::Asset(key) => {
                let told = key.to_string();
                if let Some(pointer) = self.plan.pinned.get(key) {
                    versions.insert(told.clone(), pointer.version);
                    let made = self.engine.version(pointer.version).await?;
                    let gone = || format!("the pinned version of `{key}` is gone");
                    let table = self.engine.load(&made.ok_or_else(gone)?, manager)?;
                    return Ok(Some((table, told)));
                }
                let external = self.engine.external(key).await?;
                let missing = || format!("`{key}` has not been materialized");
                Ok(Some((external.ok_or_else(missing)?, told)))
            }
            NodeSource::Partitions(of) => {
                let table = self.partitions(of, manager, versions).await?;
                Ok(Some((table, of.asset.to_string())))
            }
            NodeSource::View { asset, inputs } => {
                let mut bound = Vec::new();
                for input in inputs {
                    for source in &input.sources {
                        let manager = input.io_manager.as_deref();
                        let table = Box::pin(self.table(source, manager, versions)).await?;
                        bound.extend(
                            table.map(|(table, from)| BoundInput::new(&input.name, from, table)),
                        );
                    }
                }
                Ok(Some((self.engine.view(asset, &bound)?, asset.to_string())))
            }
            NodeSource::Stored(record) => {
                let told = format!("{}.{} of an earlier run", record.step_key, record.output);
                let table = self.engine.emitted(record, manager).await?;
                Ok(table.map(|table| (table, told)))
            }
            NodeSource::Absent { .. } => Ok(None),
            NodeSource::Literal(value) => {
                let table = literal(value)?;
                Ok(Some((table, "the run config".to_owned())))
            }
        }
    }
}

impl Run {
    /// The rows of some partitions of an asset: of what steps of this run have made, of pinned
    /// versions, or of an asset that is only read.
    async fn partitions(
        &self,
        of: &PartitionSource,
        manager: Option<&str>,
        versions: &mut BTreeMap<String, Version>,
    ) -> Result<Arc<dyn TableProvider>, BoxError> {
        let resolved = &self.engine.resolved.assets[&of.asset];
        if let Body::External(source) = &resolved.asset.body {
            return source.provider_of(&of.external).await;
        }
        let mut parts = Vec::new();
        if of.is_all {
            for made in self.engine.current(&of.asset).await? {
                self.engine.reachable(&made)?;
                parts.push(Part::new(&made.io_manager, &made.stored, &[]));
            }
        }
        for (at, output, keys) in of.made.iter().filter(|_| !of.is_all) {
            let Some(emission) = self.emission(&(*at, output.clone(), None)) else { continue };
            for Part { io_manager, stored } in emission.parts() {
                let held: HashSet<&String> = stored.partitions.iter().collect();
                let keys = keys.iter().filter(|key| held.contains(key));
                let keys: Vec<String> = keys.cloned().collect();
                if !keys.is_empty() {
                    parts.push(Part::new(&io_manager, &stored, &keys));
                }
            }
        }
        for (version, keys) in &of.pinned {
            let made = self.engine.version(*version).await?;
            let made = made.ok_or_else(|| format!("a pinned version of `{}` is gone", of.asset))?;
            self.engine.reachable(&made)?;
            parts.push(Part::new(&made.io_manager, &made.stored, keys));
        }
        let newest = parts.iter().map(|part| part.stored.version).max();
        versions.extend(newest.map(|version| (of.asset.to_string(), version)));
        Ok(self.engine.table_of(resolved, &parts, manager)?)
    }
}

/// A value as the table that any type can be read from.
fn literal(value: &Value) -> Result<Arc<dyn TableProvider>, BoxError> {
    let batch = arrowsmith_definitions::json_table(value)?;
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}
