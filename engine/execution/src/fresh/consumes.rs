//! What an asset depends on by its definition, with views in their place.

use std::collections::BTreeMap;

use arrowsmith_definitions::{
    Asset, AssetKey, DimensionKind, Materialized, Partitions, Resolved, ResolvedAsset, Scan,
};
use serde_json::Value;

/// What the rows of an asset depend on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Consumes {
    /// A hash of `text`.
    pub(crate) code: String,
    /// The computation, and whatever else of the definition changes rows, for people.
    pub(crate) text: String,
    /// What is scanned of each asset that has rows; one that is not scanned does not matter.
    pub(crate) scans: BTreeMap<AssetKey, Vec<Scan>>,
    /// Why it is computed each time, if it is.
    pub(crate) unknowable: Option<String>,
}

impl Consumes {
    /// `config` is what the run config says of the asset. `None` if it is not known what it reads.
    pub(crate) fn of(resolved: &Resolved, asset: &ResolvedAsset, config: &Value) -> Option<Self> {
        let (code, text) = (String::new(), String::new());
        let mut this = Self { code, text, scans: BTreeMap::new(), unknowable: None };
        let mut parts = definition(&asset.asset, config);
        this.add(resolved, asset, &mut parts)?;
        let mut hasher = blake3::Hasher::new();
        for part in &parts {
            // No two lists of parts are the same bytes.
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let code = hasher.finalize().to_hex()[..32].to_owned();
        Some(Self { code, text: parts.join("\n"), ..this })
    }

    /// The computation and the scans of an asset, and of the views that it reads.
    fn add(
        &mut self,
        resolved: &Resolved,
        asset: &ResolvedAsset,
        parts: &mut Vec<String>,
    ) -> Option<()> {
        let reads = asset.reads.as_deref()?;
        let is_input = |name: &str| asset.inputs.iter().any(|input| input.name == name);
        if !reads.scans.iter().all(|scan| is_input(&scan.input)) {
            return None;
        }
        let said = asset.asset.attributes.code_version.as_ref();
        let code = said.map_or_else(|| reads.code.clone(), |version| format!("version {version}"));
        self.unknowable = self.unknowable.take().or_else(|| reads.unknowable.clone());
        parts.push(code);
        for input in &asset.inputs {
            let missing = if input.allow_missing { ", as far as they are there" } else { "" };
            let how = input.mapping.as_ref().map_or(String::new(), |how| format!(" by {how:?}"));
            let name = if input.name == input.key.as_str() {
                String::new()
            } else {
                format!(" as {}", input.name)
            };
            parts.push(format!("reads {}{name}{how}{missing}", input.key));
            let scans = reads.scans.iter().filter(|scan| scan.input == input.name);
            let upstream = resolved.asset(&input.key)?;
            if upstream.asset.materialized == Materialized::View {
                if scans.count() > 0 {
                    self.add(resolved, upstream, parts)?;
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
fn definition(asset: &Asset, config: &Value) -> Vec<String> {
    let storage = &asset.storage;
    let mut parts = vec![
        format!("asset {}", asset.key),
        format!(
            "materialized {:?}, on_schema_change {:?}",
            asset.materialized, asset.on_schema_change
        ),
        format!("io_manager {:?}, partition_by {:?}", storage.io_manager, storage.partition_by),
        format!("options {:?}", storage.options),
        format!("config {config}"),
    ];
    parts.extend(asset.partitions.as_deref().map(cut));
    for check in &asset.checks {
        let code = check.body.code().unwrap_or_default();
        let blocking = if check.blocking { "blocking " } else { "" };
        parts.push(format!("{blocking}check {} {:?} {code}", check.name, check.severity));
    }
    parts
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
    format!("partitions {dimensions:?}, outside {:?}", partitions.outside)
}

impl crate::Engine {
    /// A hash of the code of an asset and of whatever else of its definition changes rows; `None` if
    /// that is not known.
    pub fn code_of(&self, key: &AssetKey) -> Option<String> {
        let asset = self.resolved.asset(key)?;
        Consumes::of(&self.resolved, asset, &Value::Null).map(|consumes| consumes.code)
    }
}
