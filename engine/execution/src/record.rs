//! What is remembered of a step: its version, labels and code.

use std::collections::{BTreeMap, HashMap};

use arrowsmith_definitions::{Asset, Body};
use arrowsmith_instance::NewPartition;
use arrowsmith_io_manager::{StoredTable, Version};

/// The author's word, or a hash of the code where it is known.
pub(crate) fn code_version(asset: &Asset) -> Option<String> {
    if let Some(version) = &asset.attributes.code_version {
        return Some(version.clone());
    }
    match &asset.body {
        Body::Computed(compute) => compute.code().map(hashed),
        Body::Graph { backing, .. } => {
            let ops = backing.graph.ops();
            let codes: Option<Vec<&str>> = ops.iter().map(|(_, op)| op.body.code()).collect();
            codes.map(|codes| hashed(&codes.join("\0")))
        }
        Body::External(_) => None,
    }
}

fn hashed(code: &str) -> String {
    blake3::hash(code.as_bytes()).to_hex()[..16].to_owned()
}

/// Inputs as one text for file footers and manifests: `{"asset":"version"}`.
pub(crate) fn inputs_label(inputs: &BTreeMap<String, Version>) -> String {
    serde_json::to_string(inputs).unwrap_or_default()
}

/// The partitions of a version with their rows and bytes; none if it is a whole table.
pub(crate) fn published_partitions(stored: &StoredTable) -> Vec<NewPartition> {
    let mut sums: HashMap<&str, (u64, u64)> = HashMap::new();
    for file in &stored.files {
        let Some(key) = &file.partition_key else { continue };
        let sum = sums.entry(key).or_default();
        sum.0 += file.row_count;
        sum.1 += file.size_bytes;
    }
    let partition = |key: &String| {
        let (row_count, size_bytes) = sums.get(key.as_str()).copied().unwrap_or_default();
        NewPartition { key: key.clone(), row_count, size_bytes }
    };
    stored.partitions.iter().map(partition).collect()
}

/// What is appended is known by its version, beside whatever else is current.
pub(crate) fn appended_partition(stored: &StoredTable) -> NewPartition {
    let (row_count, size_bytes) = (stored.row_count, stored.size_bytes);
    NewPartition { key: stored.version.to_string(), row_count, size_bytes }
}
