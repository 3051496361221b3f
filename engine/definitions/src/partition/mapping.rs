//! Which partitions of an upstream asset a set of partitions reads.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::keys::{DimensionKeys, Values};
use super::{DimensionKind, PartitionKeys, PartitionSet, Partitions};

/// From partitions of an asset to those of one that it reads.
#[derive(Debug, Clone, PartialEq)]
pub enum PartitionMapping {
    /// The partition of the same key; one that does not exist is an error.
    Identity,
    /// All.
    All,
    /// The newest one.
    Last,
    /// The windows that overlap the window, whose beginning and end are first moved by so many
    /// windows of the reading asset.
    TimeWindow {
        /// Windows that the beginning is moved by; negative is back.
        start_offset: i32,
        /// Windows that the end is moved by.
        end_offset: i32,
    },
    /// For each key, keys of the upstream asset.
    Static(BTreeMap<String, Vec<String>>),
    /// Always these keys.
    Specific(Vec<String>),
    /// For each dimension of the upstream asset, the dimension of the reading one that it follows,
    /// and how; a dimension that is not named is read whole.
    Dimensions(BTreeMap<String, (String, Self)>),
    /// What a function says.
    Custom(CustomMapping),
}

type Map = dyn Fn(&str) -> Vec<String> + Send + Sync;

/// A function from the keys of a partition to those of the upstream asset.
#[derive(Clone)]
pub struct CustomMapping {
    name: String,
    map: Arc<Map>,
}

impl CustomMapping {
    /// A function and its name, for people.
    pub fn new(
        name: impl Into<String>,
        map: impl Fn(&str) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), map: Arc::new(map) }
    }
}

impl PartialEq for CustomMapping {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for CustomMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomMapping").field(&self.name).finish()
    }
}

/// What a set of partitions reads of an upstream asset.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Required {
    /// The partitions.
    pub set: PartitionSet,
    /// Keys that are needed and do not exist; a few of them.
    pub nonexistent: Vec<String>,
}

/// Keys that do not exist and are told.
const TOLD: usize = 5;

impl Required {
    fn of(set: PartitionSet) -> Self {
        Self { set, nonexistent: Vec::new() }
    }

    fn add(&mut self, key: &str, found: Option<u32>) {
        match found {
            Some(index) => {
                self.set.insert(index);
            }
            None if self.nonexistent.len() < TOLD => self.nonexistent.push(key.to_owned()),
            None => {}
        }
    }

    fn extend(&mut self, other: Self) {
        self.set.extend(&other.set);
        self.nonexistent.extend(other.nonexistent);
        self.nonexistent.truncate(TOLD);
    }
}

impl PartitionMapping {
    /// The mapping of two assets that name none: windows onto windows, dimensions of the same name
    /// onto each other, keys onto the same keys; everything if one of them has no partitions.
    pub fn inferred(reader: Option<&Partitions>, upstream: Option<&Partitions>) -> Self {
        let (Some(reader), Some(upstream)) = (reader, upstream) else { return Self::All };
        if let ([mine], [theirs]) = (&*reader.dimensions, &*upstream.dimensions) {
            return Self::inferred_of(&mine.kind, &theirs.kind);
        }
        let mut dimensions = BTreeMap::new();
        for theirs in &upstream.dimensions {
            // By name, else the only one with the same definition.
            let mut same = reader.dimensions.iter().filter(|mine| mine.kind == theirs.kind);
            let by_kind = same.next().filter(|_| same.next().is_none());
            let by_name = reader.dimensions.iter().find(|mine| mine.name == theirs.name);
            // Windows of time find each other, whatever their length.
            let is_time = |kind: &DimensionKind| matches!(kind, DimensionKind::Time(_));
            let mut times = reader.dimensions.iter().filter(|mine| is_time(&mine.kind));
            let by_time = times.next().filter(|_| times.next().is_none() && is_time(&theirs.kind));
            if let Some(mine) = by_name.or(by_kind).or(by_time) {
                let how = Self::inferred_of(&mine.kind, &theirs.kind);
                dimensions.insert(theirs.name.clone(), (mine.name.clone(), how));
            }
        }
        Self::Dimensions(dimensions)
    }

    fn inferred_of(reader: &DimensionKind, upstream: &DimensionKind) -> Self {
        match (reader, upstream) {
            (DimensionKind::Time(_), DimensionKind::Time(_)) => {
                Self::TimeWindow { start_offset: 0, end_offset: 0 }
            }
            _ => Self::Identity,
        }
    }

    /// What `set` of the partitions of `reader` reads of those of `upstream`.
    pub fn required(
        &self,
        set: &PartitionSet,
        reader: &PartitionKeys,
        upstream: &PartitionKeys,
    ) -> Required {
        match self {
            _ if set.is_empty() => Required::default(),
            Self::All => Required::of(upstream.all()),
            Self::Specific(keys) => {
                let mut required = Required::default();
                for key in keys {
                    required.add(key, upstream.find(key));
                }
                required
            }
            Self::Static(map) => {
                let keys = reader.texts(set);
                let mapped = keys.iter().filter_map(|key| map.get(key)).flatten();
                let mut required = Required::default();
                mapped.for_each(|key| required.add(key, upstream.find(key)));
                required
            }
            Self::Custom(custom) => {
                let mut required = Required::default();
                for key in reader.texts(set) {
                    let mapped = (custom.map)(&key);
                    for key in &mapped {
                        required.add(key, upstream.find(key));
                    }
                }
                required
            }
            Self::Dimensions(map) => by_dimension(map, set, reader, upstream),
            Self::Identity | Self::Last | Self::TimeWindow { .. } => {
                match (&*reader.dimensions, &*upstream.dimensions) {
                    ([mine], [theirs]) => self.of_dimension(set, mine, theirs),
                    _ if *self == Self::Last => Required::of(upstream.all().last(1)),
                    _ => {
                        let mut required = Required::default();
                        for key in reader.texts(set) {
                            required.add(&key, upstream.find(&key));
                        }
                        required
                    }
                }
            }
        }
    }

    fn of_dimension(
        &self,
        set: &PartitionSet,
        reader: &DimensionKeys,
        upstream: &DimensionKeys,
    ) -> Required {
        match (self, &reader.values, &upstream.values) {
            (Self::Last, ..) => Required::of(PartitionSet::first(upstream.len()).last(1)),
            (
                Self::TimeWindow { start_offset, end_offset },
                Values::Time { .. },
                Values::Time { .. },
            ) => windows(set, reader, upstream, [*start_offset, *end_offset]),
            (Self::Identity | Self::TimeWindow { .. }, ..) => {
                let mut required = Required::default();
                for index in set.iter() {
                    let key = reader.key(index);
                    required.add(&key, upstream.find(&key));
                }
                required
            }
            _ => {
                let single = |dimension: &DimensionKeys| PartitionKeys {
                    dimensions: vec![dimension.clone()],
                };
                self.required(set, &single(reader), &single(upstream))
            }
        }
    }
}

/// The windows that overlap runs of windows. What is before the first one is left out; what is
/// after the last one does not exist.
fn windows(
    set: &PartitionSet,
    reader: &DimensionKeys,
    upstream: &DimensionKeys,
    offsets: [i32; 2],
) -> Required {
    let mut required = Required::default();
    let (
        Values::Time { definition, windows: mine },
        Values::Time { windows: theirs, definition: other },
    ) = (&reader.values, &upstream.values)
    else {
        return required;
    };
    for run in set.ranges() {
        let start = definition.shifted(mine[*run.start() as usize].start, offsets[0]);
        let last = mine[*run.end() as usize];
        let end = match offsets[1] {
            0 => last.end,
            by => definition.shifted(last.end, by),
        };
        let first = theirs.partition_point(|window| window.end <= start);
        let until = theirs.partition_point(|window| window.start < end);
        let exists_until = theirs.last().map_or(jiff::Timestamp::MIN, |window| window.end);
        if end > exists_until {
            let missing = exists_until.max(start);
            required.add(&other.key(missing), None);
        }
        if let (Ok(first), Some(last)) = (u32::try_from(first), until.checked_sub(1))
            && let Ok(last) = u32::try_from(last)
            && first <= last
        {
            required.set.extend(&PartitionSet::range(first..=last));
        }
    }
    required
}

/// Maps each dimension by itself and puts the results together: at once if the set is all
/// combinations of some keys, else combination by combination.
fn by_dimension(
    map: &BTreeMap<String, (String, PartitionMapping)>,
    set: &PartitionSet,
    reader: &PartitionKeys,
    upstream: &PartitionKeys,
) -> Required {
    let combinations: Vec<Vec<u32>> = set.iter().map(|index| reader.parts(index)).collect();
    let mut projected = vec![PartitionSet::empty(); reader.dimensions.len()];
    for parts in &combinations {
        for (dimension, part) in projected.iter_mut().zip(parts) {
            dimension.insert(*part);
        }
    }
    let product: u64 = projected.iter().map(PartitionSet::len).product();
    if product == set.len() {
        return product_of(map, &projected, reader, upstream);
    }
    let mut known: HashSet<Vec<u32>> = HashSet::new();
    let mut required = Required::default();
    for parts in combinations {
        if known.insert(parts.clone()) {
            let single: Vec<PartitionSet> =
                parts.iter().map(|part| PartitionSet::range(*part..=*part)).collect();
            required.extend(product_of(map, &single, reader, upstream));
        }
    }
    required
}

fn product_of(
    map: &BTreeMap<String, (String, PartitionMapping)>,
    projected: &[PartitionSet],
    reader: &PartitionKeys,
    upstream: &PartitionKeys,
) -> Required {
    let mut required = Required::default();
    let mut combinations: Vec<Vec<u32>> = vec![Vec::new()];
    for theirs in &upstream.dimensions {
        let from = map.get(&theirs.name).and_then(|(name, how)| {
            let at = reader.dimensions.iter().position(|mine| mine.name == *name)?;
            Some((at, how))
        });
        let of_this = match from {
            Some((at, how)) => how.of_dimension(&projected[at], &reader.dimensions[at], theirs),
            None => Required::of(PartitionSet::first(theirs.len())),
        };
        required.nonexistent.extend(of_this.nonexistent);
        combinations = combinations
            .iter()
            .flat_map(|before| of_this.set.iter().map(|part| [before.as_slice(), &[part]].concat()))
            .collect();
    }
    required.set = combinations.iter().map(|parts| upstream.index_of_parts(parts)).collect();
    required.nonexistent.truncate(TOLD);
    required
}
