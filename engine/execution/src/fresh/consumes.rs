//! What an asset depends on by its definition, with views in their place.

use std::collections::BTreeMap;

use arrowsmith_definitions::{
    Asset, AssetKey, DimensionKind, Materialized, Partitions, Resolved, ResolvedAsset, Scan,
};
use serde_json::Value;

/// What the rows of an asset depend on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Consumes {
    /// A hash of the computation, and of whatever else of the definition changes rows.
    pub(crate) code: String,
    /// What is scanned of each asset that has rows; one that is not scanned does not matter.
    pub(crate) scans: BTreeMap<AssetKey, Vec<Scan>>,
    /// Why it is computed each time, if it is.
    pub(crate) unknowable: Option<String>,
}

impl Consumes {
    /// `config` is what the run config says of the asset. `None` if it is not known what it reads.
    pub(crate) fn of(resolved: &Resolved, asset: &ResolvedAsset, config: &Value) -> Option<Self> {
        let mut this = Self { code: String::new(), scans: BTreeMap::new(), unknowable: None };
        let mut text = definition(&asset.asset, config);
        this.add(resolved, asset, &mut text)?;
        let code = blake3::hash(text.as_bytes()).to_hex()[..32].to_owned();
        Some(Self { code, ..this })
    }

    /// The computation and the scans of an asset, and of the views that it reads.
    fn add(&mut self, resolved: &Resolved, asset: &ResolvedAsset, text: &mut String) -> Option<()> {
        let reads = asset.reads.as_deref()?;
        let is_input = |name: &str| asset.inputs.iter().any(|input| input.name == name);
        if !reads.scans.iter().all(|scan| is_input(&scan.input)) {
            return None;
        }
        let said = asset.asset.attributes.code_version.as_ref();
        let code = said.map_or_else(|| reads.code.clone(), |version| format!("version {version}"));
        self.unknowable = self.unknowable.take().or_else(|| reads.unknowable.clone());
        add(text, &code);
        for input in &asset.inputs {
            add(text, &format!("{} {:?} {}", input.key, input.mapping, input.allow_missing));
            let scans = reads.scans.iter().filter(|scan| scan.input == input.name);
            let upstream = resolved.asset(&input.key)?;
            if upstream.asset.materialized == Materialized::View {
                if scans.count() > 0 {
                    self.add(resolved, upstream, text)?;
                }
            } else {
                self.scans.entry(input.key.clone()).or_default().extend(scans.cloned());
            }
        }
        self.scans.retain(|_, scans| !scans.is_empty());
        Some(())
    }
}

/// What of a definition changes rows, besides the computation. The span of time of partitions does
/// not: their keys say what each of them is.
fn definition(asset: &Asset, config: &Value) -> String {
    let storage = &asset.storage;
    let mut text = String::new();
    add(&mut text, asset.key.as_str());
    add(&mut text, &format!("{:?} {:?}", asset.materialized, asset.on_schema_change));
    add(&mut text, &format!("{:?} {:?}", storage.io_manager, storage.partition_by));
    add(&mut text, &format!("{:?} {config}", storage.options));
    if let Some(partitions) = &asset.partitions {
        add(&mut text, &cut(partitions));
    }
    for check in &asset.checks {
        let code = check.body.code().unwrap_or_default();
        add(&mut text, &format!("{} {:?} {} {code}", check.name, check.severity, check.blocking));
    }
    text
}

fn cut(partitions: &Partitions) -> String {
    let dimension = |of: &arrowsmith_definitions::Dimension| {
        let kind = match &of.kind {
            DimensionKind::Time(time) => {
                let zone = time.timezone.iana_name().unwrap_or_default();
                format!("{:?} {zone} {}", time.cadence, time.format)
            }
            _ => String::new(),
        };
        format!("{} {:?} {kind}", of.name, of.column)
    };
    let dimensions: Vec<String> = partitions.dimensions.iter().map(dimension).collect();
    format!("{dimensions:?} {:?}", partitions.outside)
}

/// Adds a part so that no two lists of parts are the same text.
fn add(text: &mut String, part: &str) {
    text.push_str(&format!("{}:{part};", part.len()));
}
