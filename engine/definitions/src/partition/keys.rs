//! The partitions that exist at a moment, by index and by key.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{DimensionKind, PartitionSet, Partitions, TimeWindow, TimeWindows};
use crate::nearest;

/// The keys of dynamic partitions by the name of their list, in the order of insertion.
pub type DynamicKeys = HashMap<String, Vec<String>>;

/// The partitions of an asset that exist at a moment.
///
/// A partition is known by its index. Windows are in order of time, other keys in that of their
/// list; with several dimensions, the last one changes fastest.
#[derive(Debug, Clone)]
pub struct PartitionKeys {
    pub(super) dimensions: Vec<DimensionKeys>,
}

/// The keys of one dimension.
#[derive(Debug, Clone)]
pub(super) struct DimensionKeys {
    pub(super) name: String,
    pub(super) values: Values,
}

#[derive(Debug, Clone)]
pub(super) enum Values {
    Named { names: Arc<[String]>, index: Arc<HashMap<String, u32>> },
    Time { definition: Arc<TimeWindows>, windows: Arc<[TimeWindow]> },
}

impl DimensionKeys {
    pub(super) fn len(&self) -> u32 {
        let count = match &self.values {
            Values::Named { names, .. } => names.len(),
            Values::Time { windows, .. } => windows.len(),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    pub(super) fn key(&self, index: u32) -> String {
        match &self.values {
            Values::Named { names, .. } => names[index as usize].clone(),
            Values::Time { definition, windows } => definition.key(windows[index as usize].start),
        }
    }

    pub(super) fn find(&self, key: &str) -> Option<u32> {
        match &self.values {
            Values::Named { index, .. } => index.get(key).copied(),
            Values::Time { definition, windows } => {
                let starts = definition.starts_of(key).into_iter();
                let mut found = starts.filter_map(|start| {
                    let at = windows.binary_search_by(|window| window.start.cmp(&start)).ok()?;
                    u32::try_from(at).ok()
                });
                found.find(|at| self.key(*at) == key)
            }
        }
    }

    pub(super) fn window(&self, index: u32) -> Option<TimeWindow> {
        match &self.values {
            Values::Time { windows, .. } => windows.get(index as usize).copied(),
            Values::Named { .. } => None,
        }
    }

    /// The key that is most like a wrong one: for windows, the first or last.
    fn nearest(&self, key: &str) -> Option<String> {
        match &self.values {
            Values::Named { names, .. } => {
                nearest(key, names.iter().map(String::as_str)).map(str::to_owned)
            }
            Values::Time { .. } => None,
        }
    }
}

impl PartitionKeys {
    /// Those of a definition at a moment.
    pub fn at(partitions: &Partitions, now: Timestamp, dynamic: &DynamicKeys) -> Self {
        let named = |names: &[String]| {
            let index = names.iter().zip(0..).map(|(name, at)| (name.clone(), at)).collect();
            Values::Named { names: names.into(), index: Arc::new(index) }
        };
        let dimensions = partitions.dimensions.iter().map(|dimension| DimensionKeys {
            name: dimension.name.clone(),
            values: match &dimension.kind {
                DimensionKind::Static(names) => named(names),
                DimensionKind::Dynamic(list) => named(dynamic.get(list).map_or(&[], Vec::as_slice)),
                DimensionKind::Time(windows) => Values::Time {
                    definition: Arc::new((**windows).clone()),
                    windows: windows.windows(now).into(),
                },
            },
        });
        Self { dimensions: dimensions.collect() }
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.dimensions.iter().map(DimensionKeys::len).fold(1, u32::saturating_mul)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys each dimension has, in the order of the parts of a key.
    pub fn dimension_lengths(&self) -> Vec<u32> {
        self.dimensions.iter().map(DimensionKeys::len).collect()
    }

    /// A key of a dimension; none if there is no such dimension.
    pub fn dimension_key(&self, dimension: usize, index: u32) -> Option<String> {
        self.dimensions.get(dimension).map(|of| of.key(index))
    }

    /// All of them.
    pub fn all(&self) -> PartitionSet {
        PartitionSet::first(self.len())
    }

    /// The index of each dimension.
    pub(super) fn parts(&self, index: u32) -> Vec<u32> {
        let mut left = index;
        let mut parts: Vec<u32> = self
            .dimensions
            .iter()
            .rev()
            .map(|dimension| {
                let count = dimension.len().max(1);
                let part = left % count;
                left /= count;
                part
            })
            .collect();
        parts.reverse();
        parts
    }

    pub(super) fn index_of_parts(&self, parts: &[u32]) -> u32 {
        let pairs = self.dimensions.iter().zip(parts);
        pairs.fold(0, |index, (dimension, part)| index * dimension.len() + part)
    }

    /// The key of a partition: those of its dimensions, joined by `|`.
    pub fn key(&self, index: u32) -> String {
        match self.dimensions.as_slice() {
            [only] => only.key(index),
            several => {
                let parts = self.parts(index);
                let keys = several.iter().zip(parts).map(|(dimension, part)| dimension.key(part));
                keys.collect::<Vec<_>>().join("|")
            }
        }
    }

    /// The partition of a key.
    pub fn find(&self, key: &str) -> Option<u32> {
        if let [only] = self.dimensions.as_slice() {
            return only.find(key);
        }
        let texts: Vec<&str> = key.split('|').collect();
        if texts.len() != self.dimensions.len() {
            return None;
        }
        let found = self.dimensions.iter().zip(texts).map(|(dimension, text)| dimension.find(text));
        Some(self.index_of_parts(&found.collect::<Option<Vec<_>>>()?))
    }

    /// The key that is most like a wrong one.
    pub fn nearest(&self, key: &str) -> Option<String> {
        match self.dimensions.as_slice() {
            [only] => only.nearest(key),
            _ => None,
        }
    }

    /// The window of time of a partition, if exactly one dimension has windows.
    pub fn window(&self, index: u32) -> Option<TimeWindow> {
        let parts = self.parts(index);
        let pairs = self.dimensions.iter().zip(parts);
        let mut windows = pairs.filter_map(|(dimension, part)| dimension.window(part));
        let window = windows.next()?;
        windows.next().is_none().then_some(window)
    }

    /// The keys of a set, in order.
    pub fn texts(&self, set: &PartitionSet) -> Vec<String> {
        set.iter().map(|index| self.key(index)).collect()
    }

    /// The indexes of many keys, in their order; `None` for one that does not exist.
    pub fn indexes<'a>(&self, keys: impl ExactSizeIterator<Item = &'a str>) -> Vec<Option<u32>> {
        // Making the text of every key is cheaper than looking for many of them one by one.
        const ONE_BY_ONE: u32 = 16;
        let wanted = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        if wanted < self.len() / ONE_BY_ONE {
            return keys.map(|key| self.find(key)).collect();
        }
        let known: HashMap<String, u32> =
            (0..self.len()).map(|index| (self.key(index), index)).collect();
        keys.map(|key| known.get(key).copied()).collect()
    }

    /// Those of a set of keys; keys that do not exist are left out.
    pub fn set_of<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> PartitionSet {
        keys.into_iter().filter_map(|key| self.find(key)).collect()
    }

    /// A key in the language of sets, in which some texts mean something else.
    fn quoted(&self, index: u32) -> String {
        let words = ["all", "missing", "materialized", "latest"];
        let is_plain = |key: &str| {
            key.chars().all(|c| c.is_alphanumeric() || "-_:.+".contains(c)) && !words.contains(&key)
        };
        let parts = self.dimensions.iter().zip(self.parts(index)).map(|(dimension, part)| {
            let key = dimension.key(part);
            if is_plain(&key) { key } else { format!("\"{key}\"") }
        });
        parts.collect::<Vec<_>>().join("|")
    }

    /// A set as a [`PartitionExpr`](super::PartitionExpr), for now: all of them are `all`, which may be
    /// more tomorrow.
    pub fn expression(&self, set: &PartitionSet) -> String {
        if *set == self.all() { "all".to_owned() } else { self.exact_expression(set) }
    }

    /// A set as a [`PartitionExpr`](super::PartitionExpr) by its keys, which is the same set tomorrow.
    pub fn exact_expression(&self, set: &PartitionSet) -> String {
        let several = self.dimensions.len() > 1;
        let texts = set.ranges().into_iter().flat_map(|run| {
            let (first, last) = (*run.start(), *run.end());
            if first == last {
                vec![self.quoted(first)]
            } else if several {
                run.map(|index| self.quoted(index)).collect()
            } else {
                vec![format!("{}...{}", self.quoted(first), self.quoted(last))]
            }
        });
        let texts: Vec<String> = texts.collect();
        if texts.is_empty() { "!all".to_owned() } else { texts.join(",") }
    }

    /// A set for people: runs of keys as `first...last`, no more than a few.
    pub fn shown(&self, set: &PartitionSet) -> String {
        const SHOWN: usize = 5;
        let runs = set.ranges();
        let mut texts: Vec<String> = runs
            .iter()
            .take(SHOWN)
            .map(|run| match (*run.start(), *run.end()) {
                (one, other) if one == other => self.key(one),
                (first, last) => format!("{}...{}", self.key(first), self.key(last)),
            })
            .collect();
        if runs.len() > SHOWN {
            texts.push(format!("and {} more", runs.len() - SHOWN));
        }
        texts.join(", ")
    }
}
