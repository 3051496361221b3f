//! Sets of partitions by their indexes.

use std::ops::RangeInclusive;

use roaring::RoaringBitmap;

/// A set of partitions of one asset, as indexes into its [`PartitionKeys`](super::PartitionKeys).
///
/// Compressed: runs of indexes, as windows of time make them, cost as much as their ends.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartitionSet(RoaringBitmap);

impl PartitionSet {
    /// No partition.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The partitions of these indexes, both ends included.
    pub fn range(range: RangeInclusive<u32>) -> Self {
        let mut set = RoaringBitmap::new();
        set.insert_range(range);
        Self(set)
    }

    /// The first `count` partitions.
    pub fn first(count: u32) -> Self {
        match count.checked_sub(1) {
            Some(last) => Self::range(0..=last),
            None => Self::empty(),
        }
    }

    /// Adds a partition; whether it was not there.
    pub fn insert(&mut self, index: u32) -> bool {
        self.0.insert(index)
    }

    /// Adds the partitions of another set.
    pub fn extend(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    /// Whether the partition is in it.
    pub fn contains(&self, index: u32) -> bool {
        self.0.contains(index)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The indexes, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter()
    }

    /// The indexes as runs without gaps, rising.
    pub fn ranges(&self) -> Vec<RangeInclusive<u32>> {
        let mut indexes = self.0.iter();
        std::iter::from_fn(|| indexes.next_range()).fold(Vec::new(), |mut runs, run| {
            match runs.last_mut() {
                // A run may be cut where the bitmap has its containers.
                Some(last) if *RangeInclusive::end(last) + 1 == *run.start() => {
                    *last = *RangeInclusive::start(last)..=*run.end();
                }
                _ => runs.push(run),
            }
            runs
        })
    }

    /// Those in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(&self.0 | &other.0)
    }

    /// Those in this and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// Those in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }

    /// Whether some are in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// The last `count` of them.
    #[must_use]
    pub fn last(&self, count: u32) -> Self {
        let skipped = self.0.len().saturating_sub(u64::from(count));
        let mut last = self.0.clone();
        last.remove_smallest(skipped);
        Self(last)
    }

    /// The set in pieces of at most `count`, rising; none of an empty set.
    pub fn pieces(&self, count: u32) -> Vec<Self> {
        let (count, mut left, mut pieces) = (u64::from(count.max(1)), self.0.clone(), Vec::new());
        while !left.is_empty() {
            let mut piece = left.clone();
            piece.remove_biggest(left.len().saturating_sub(count));
            left.remove_smallest(count);
            pieces.push(Self(piece));
        }
        pieces
    }
}

impl FromIterator<u32> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = u32>>(indexes: I) -> Self {
        Self(indexes.into_iter().collect())
    }
}
