//! Partitions as a map of signs.

use arrowsmith_definitions::{PartitionKeys, PartitionSet};

/// Signs in a line.
const WIDTH: usize = 31;
/// Most signs; more partitions share one.
const SIGNS_MAX: usize = 31 * 24;

/// One sign a partition of a set, or one for as many as there must be; where those differ, the
/// sign of the worst is shown: failed, running, missing, made.
pub(crate) fn heat_map(
    keys: &PartitionKeys,
    set: &PartitionSet,
    sign: impl Fn(u32) -> char,
) -> String {
    const WORST_FIRST: [char; 4] = ['x', '>', '.', '#'];
    let indexes: Vec<u32> = set.iter().collect();
    let each = indexes.len().div_ceil(SIGNS_MAX).max(1);
    let worst = |of: &[u32]| {
        let signs: Vec<char> = of.iter().map(|index| sign(*index)).collect();
        WORST_FIRST.into_iter().find(|worst| signs.contains(worst)).unwrap_or('.')
    };
    let lines = indexes.chunks(each * WIDTH).map(|line| {
        let signs: String = line.chunks(each).map(worst).collect();
        format!("  {signs:<WIDTH$}  {}", line.first().map(|i| keys.key(*i)).unwrap_or_default())
    });
    let mut lines: Vec<String> = lines.collect();
    let per_sign = if each > 1 { format!("; a sign is {each} partitions") } else { String::new() };
    lines.push(format!("  # made  . missing  > running  x failed{per_sign}"));
    lines.join("\n")
}
