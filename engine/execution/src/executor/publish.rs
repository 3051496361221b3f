//! The publishing transaction of a step, and what follows from it.

use std::sync::Arc;
use std::time::Duration;

use arrowsmith_definitions::OutputMetadata;
use arrowsmith_instance::{NewOutput, NewVersion, Publish, Published, Refusal, StepState};
use arrowsmith_io_manager::StoredTable;

use super::run::Emission;
use super::step::{Failed, Hint, StepEnd, Work};
use crate::Progress;
use crate::attempt::Written;
use crate::error::chain;
use crate::node::NodeOutput;
use crate::record::{appended_partition, code_version, published_partitions};

impl Work {
    /// The one transaction that makes everything visible; an error says why it did not.
    pub(super) async fn publish(&self, written: Written) -> Result<StepEnd, Failed> {
        let (run, step) = (&self.run, &self.step);
        let engine = &run.engine;
        let (elapsed, at) = (self.elapsed(), engine.clock.now());
        let mut end = StepEnd::new(self.at, StepState::Success);
        let (mut versions, mut outputs) = (Vec::new(), Vec::new());
        for output in &written.outputs {
            let declared = step
                .node
                .output(&output.output)
                .ok_or_else(|| not_published("an output is not declared"))?;
            let metadata = written.metadata.get(&output.output).cloned().unwrap_or_default();
            let asset = declared.asset.as_ref().map(|resolved| resolved.asset.key.to_string());
            if let (Some(asset), Some(stored)) = (&asset, &output.stored) {
                versions.push(self.new_version(asset, declared, stored, &written.metadata));
            }
            outputs.push(NewOutput {
                output: output.output.clone(),
                mapping_key: output.mapping_key.clone(),
                stored: output.stored.clone().filter(|_| asset.is_none()),
                asset,
                io_manager: declared.io_manager.clone(),
                version: output.version,
                metadata,
            });
            end.mapping_keys.extend(output.mapping_key.clone());
        }
        let publish = Publish {
            attempt: Arc::clone(&self.attempt.new),
            begins: false,
            loaded: self.loaded.clone(),
            outputs,
            versions,
            reused: self.reused_versions(),
            duration_us: elapsed.as_micros().try_into().unwrap_or(u64::MAX),
            at,
        };
        // Readers ask for them as soon as it is published.
        let digests = written.outputs.iter().flat_map(|output| &output.digests).cloned().collect();
        let told = engine.instance.remember_digests_soon(digests).await;
        told.map_err(|error| not_published(&chain(&error)))?;
        if let (Some(_), Some(consumes)) = (&self.provenance, &step.node.consumes) {
            let told = run.tell_code(consumes).await;
            told.map_err(|error| not_published(&chain(&error)))?;
        }
        let (state, (rows, bytes)) = (publish.state(), publish.totals());
        end.state = state;
        self.ask_to_publish(publish).await?;
        self.mirror().await;
        if state == StepState::Reused {
            self.remember_stored();
        } else {
            self.remember(written);
        }
        let elapsed_ms = elapsed.as_secs_f64() * 1e3;
        tracing::info!(rows, bytes, elapsed_ms, "published");
        self.notice_end(state, rows, bytes, None);
        Ok(end)
    }

    async fn ask_to_publish(&self, mut publish: Publish) -> Result<(), Failed> {
        publish.begins = self.attempt.begins().await;
        let begins = publish.begins;
        let failed = match self.run.engine.instance.publish(publish).await {
            Ok(Published::Yes) => return Ok(()),
            // The run has ended, and its steps with it.
            Ok(Published::No(refusal @ Refusal::RunEnded(_))) => return Err(self.refused(refusal)),
            Ok(Published::No(refusal)) => self.refused(refusal),
            Err(error) => not_published(&chain(&error)),
        };
        if begins {
            self.attempt.not_begun().await;
        }
        Err(failed)
    }

    fn new_version(
        &self,
        asset: &str,
        declared: &NodeOutput,
        stored: &Arc<StoredTable>,
        metadata: &OutputMetadata,
    ) -> NewVersion {
        let code = declared.asset.as_ref().and_then(|resolved| code_version(&resolved.asset));
        NewVersion {
            asset: asset.to_owned(),
            partitions: if self.appends {
                vec![appended_partition(stored)]
            } else {
                published_partitions(stored)
            },
            keeps_others: self.appends,
            stored: Arc::clone(stored),
            io_manager: declared.io_manager.clone(),
            code_version: code.or_else(|| self.step.node.code_version.clone()),
            inputs: self.input_versions.clone(),
            provenance: self.provenance.clone(),
            metadata: metadata.get(&declared.name).cloned().unwrap_or_default(),
        }
    }

    /// Lets other programs see what is published. It stays published if that fails, and the next
    /// mirror of the asset shows it.
    async fn mirror(&self) {
        for resolved in self.step.node.outputs.iter().filter_map(|output| output.asset.as_ref()) {
            if let Err(error) = self.run.engine.mirror(&resolved.asset.key).await {
                let warning = chain(&error);
                tracing::warn!(warning, "other programs do not see what was published");
                let step = self.step.key.clone();
                self.run.observer.notice(Progress::StepWarned { step, warning });
            }
        }
    }

    /// Lets other steps read what is published.
    fn remember(&self, written: Written) {
        for output in written.outputs {
            let Some(declared) = self.step.node.output(&output.output) else { continue };
            let emission = Emission {
                io_manager: declared.io_manager.clone(),
                stored: output.stored,
                kept: [&*self.kept, &*self.reused].concat(),
                asset: declared.asset.as_ref().map(|resolved| resolved.asset.key.clone()),
            };
            self.run.remember((self.at, output.output, output.mapping_key), emission);
        }
    }

    fn refused(&self, refusal: Refusal) -> Failed {
        let failed = not_published(&refusal.to_string());
        match refusal {
            // The next attempt does not find that version any more.
            Refusal::Removed => {
                let (max_retries, wait) = (self.number, Duration::ZERO);
                Failed { hint: Hint::Requested { max_retries, wait }, ..failed }
            }
            _ => failed,
        }
    }
}

fn not_published(why: &str) -> Failed {
    Failed::from(format!("it was not published: {why}"))
}
