//! What partitions cost before a row is read: keys, sets and mappings of a million partitions.

use std::hint::black_box;

use arrowsmith::{
    Cadence, DynamicKeys, PartitionExpr, PartitionKeys, PartitionMapping, PartitionSet, Partitions,
    TimeWindows,
};
use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;

const NOW: &str = "2026-01-01T00:00:00Z";

fn keys(cadence: Cadence, start: &str) -> (Partitions, PartitionKeys) {
    let start = TimeWindows::parse_moment(start).expect("a date");
    let partitions = Partitions::time(TimeWindows::new(cadence, start));
    let now: Timestamp = NOW.parse().expect("a moment");
    let keys = PartitionKeys::at(&partitions, now, &DynamicKeys::new());
    (partitions, keys)
}

fn partitions(c: &mut Criterion) {
    // A million hours before 2026.
    let (definition, hours) = keys(Cadence::Hourly { minute: 0 }, "1911-12-03");
    let (_, days) = keys(Cadence::Daily, "1911-12-03");
    assert!((1_000_000..1_001_000).contains(&hours.len()), "{}", hours.len());
    let holes: PartitionSet = (0..hours.len()).filter(|index| index % 7 != 0).collect();
    let all = hours.all();
    let mut group = c.benchmark_group("a million hourly partitions");
    let now: Timestamp = NOW.parse().expect("a moment");
    group.sample_size(10);
    group.bench_function("windows of a definition", |b| {
        b.iter(|| PartitionKeys::at(black_box(&definition), now, &DynamicKeys::new()).len());
    });
    group.bench_function("union, difference and intersection", |b| {
        b.iter(|| {
            let (union, rest) = (all.union(&holes), all.difference(&holes));
            (union.len(), rest.len(), union.intersection(&rest).len())
        });
    });
    for text in ["missing", "latest(1000)", "1950...1999-06, !1960", "1999-12-31-23:00"] {
        let set: PartitionExpr = text.parse().expect("a set");
        group.bench_function(text, |b| {
            b.iter(|| set.evaluate(black_box(&hours), &holes).expect("keys").len());
        });
    }
    let mapping = PartitionMapping::TimeWindow { start_offset: -6, end_offset: 0 };
    group.bench_function("what all days read of them, with a week before", |b| {
        b.iter(|| mapping.required(&days.all(), &days, &hours).set.len());
    });
    group.finish();
}

criterion_group!(benches, partitions);
criterion_main!(benches);
