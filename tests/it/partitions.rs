//! Partitions: keys, sets and mappings, against the field's semantics.

use std::collections::{BTreeMap, BTreeSet};

use arrowsmith::{
    Cadence, CustomMapping, Dimension, DimensionKind, DynamicKeys, PartitionExpr, PartitionKeys,
    PartitionMapping, PartitionSet, Partitions, TimeWindows,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

fn windows(cadence: Cadence, start: &str, zone: &str) -> TimeWindows {
    TimeWindows {
        timezone: TimeZone::get(zone).expect("a time zone"),
        ..TimeWindows::new(cadence, TimeWindows::parse_moment(start).expect("a date"))
    }
}

fn at(partitions: &Partitions, now: &str) -> PartitionKeys {
    let now: Timestamp = now.parse().expect("a moment");
    PartitionKeys::at(partitions, now, &DynamicKeys::new())
}

fn texts(windows: TimeWindows, now: &str) -> Vec<String> {
    let keys = at(&Partitions::time(windows), now);
    keys.texts(&keys.all())
}

/// Until the next tick there are the windows that there are now, also where the clock is set.
#[test]
fn no_window_comes_to_be_before_the_next_tick() {
    let zone = "America/New_York";
    for windows in [
        windows(Cadence::Hourly { minute: 15 }, "2025-10-30", zone),
        windows(Cadence::Daily, "2025-02-01", zone),
        windows(Cadence::Weekly, "2025-02-01", zone),
        windows(Cadence::Monthly, "2025-02-01", zone),
        windows(Cadence::cron("30 2 * * *").expect("a cadence"), "2025-02-01", zone),
    ] {
        for now in ["2025-03-09T06:59:59Z", "2025-11-02T05:15:00Z", "2025-11-02T06:14:59Z"] {
            let now: Timestamp = now.parse().expect("a moment");
            let next = windows.next_tick(now).expect("a tick");
            let before = next - jiff::SignedDuration::from_micros(1);
            assert!(next > now);
            assert_eq!(windows.windows(before), windows.windows(now), "{windows} at {now}");
        }
    }
    let end = Some(TimeWindows::parse_moment("2025-01-03").expect("a date"));
    let ended = TimeWindows { end, ..windows(Cadence::Daily, "2025-01-01", "UTC") };
    assert_eq!(ended.next_tick("2025-01-04T00:00:00Z".parse().expect("a moment")), None);
}

#[test]
fn the_last_window_has_ended_and_an_offset_adds_more() {
    let daily = || windows(Cadence::Daily, "2025-01-01", "UTC");
    let offset = |end_offset| TimeWindows { end_offset, ..daily() };
    let now = "2025-01-03T12:00:00Z";
    assert_eq!(texts(daily(), now), ["2025-01-01", "2025-01-02"]);
    assert_eq!(texts(offset(1), now), ["2025-01-01", "2025-01-02", "2025-01-03"]);
    assert_eq!(texts(offset(-1), now), ["2025-01-01"]);
    assert_eq!(texts(daily(), "2024-06-01T00:00:00Z"), Vec::<String>::new());
    assert_eq!(texts(daily(), "2025-01-03T00:00:00Z").len(), 2, "a window ends with its end");
    let end = Some(TimeWindows::parse_moment("2025-01-03").expect("a date"));
    let ended = TimeWindows { end, ..daily() };
    assert_eq!(texts(ended, "2026-01-01T00:00:00Z"), ["2025-01-01", "2025-01-02"]);
    let exclusions = vec![TimeWindows::parse_moment("2025-01-02").expect("a date")];
    let holiday = TimeWindows { exclusions, ..daily() };
    assert_eq!(texts(holiday, "2025-01-04T00:00:00Z"), ["2025-01-01", "2025-01-03"]);
}

#[test]
fn windows_begin_at_the_first_tick_that_is_not_before_the_start() {
    let cron = |text| Cadence::cron(text).expect("a cron expression");
    let now = "2025-03-05T00:00:00Z";
    for (cadence, start, first) in [
        (Cadence::Hourly { minute: 0 }, "2025-03-01T10:30", "2025-03-01-11:00"),
        (Cadence::Hourly { minute: 15 }, "2025-03-01", "2025-03-01-00:15"),
        (Cadence::Weekly, "2025-01-01", "2025-01-05"),
        (Cadence::Monthly, "2025-01-15", "2025-02-01"),
        (Cadence::Monthly, "2025-01", "2025-01-01"),
        (cron("0 0,12 * * 1-5"), "2025-03-01", "2025-03-03-00:00"),
        (cron("0 0 2 * *"), "2025-01-03", "2025-02-02"),
    ] {
        let keys = texts(windows(cadence, start, "UTC"), now);
        assert_eq!(keys.first().map(String::as_str), Some(first));
    }
    assert!(Cadence::cron("0 0 * *").is_err() && Cadence::cron("61 * * * *").is_err());
}

#[test]
fn a_clock_that_is_put_forward_or_back_changes_keys_and_lengths() {
    let zone = "America/New_York";
    let hours = |day: &str, now: &str| -> Vec<String> {
        let keys = texts(windows(Cadence::Hourly { minute: 0 }, day, zone), now);
        keys.into_iter().take(4).collect()
    };
    assert_eq!(
        hours("2025-11-02", "2025-11-03T00:00:00Z"),
        ["2025-11-02-00:00", "2025-11-02-01:00", "2025-11-02-01:00-0500", "2025-11-02-02:00"]
    );
    assert_eq!(
        hours("2025-03-09", "2025-03-10T00:00:00Z"),
        ["2025-03-09-00:00", "2025-03-09-01:00", "2025-03-09-03:00", "2025-03-09-04:00"]
    );
    for (day, hours) in [("2025-03-09", 23), ("2025-11-02", 25), ("2025-06-01", 24)] {
        let keys =
            at(&Partitions::time(windows(Cadence::Daily, day, zone)), "2026-01-01T00:00:00Z");
        let window = keys.window(0).expect("a window");
        assert_eq!(window.end.duration_since(window.start).as_hours(), hours, "{day}");
    }
    let cron = |text, day| {
        let cadence = Cadence::cron(text).expect("a cron expression");
        let keys = at(&Partitions::time(windows(cadence, day, zone)), "2026-12-01T00:00:00Z");
        keys.window(0).expect("a window").start.to_string()
    };
    assert_eq!(cron("30 2 * * *", "2026-03-08"), "2026-03-08T07:00:00Z", "the end of the gap");
    assert_eq!(cron("30 1 * * *", "2026-11-01"), "2026-11-01T06:30:00Z", "the second time");
}

#[test]
fn every_key_finds_its_partition() {
    let zone = "America/New_York";
    let static_keys = Partitions::listed(["b", "a", "ü x"]);
    for partitions in [
        Partitions::time(windows(Cadence::Hourly { minute: 0 }, "2025-10-30", zone)),
        Partitions::time(windows(Cadence::Monthly, "2013-01-01", zone)),
        Partitions::time(TimeWindows {
            format: "%Y-%m".to_owned(),
            ..windows(Cadence::Monthly, "2013-01-01", "UTC")
        }),
        static_keys,
    ] {
        let keys = at(&partitions, "2025-11-10T00:00:00Z");
        for index in 0..keys.len() {
            assert_eq!(keys.find(&keys.key(index)), Some(index), "{}", keys.key(index));
        }
        assert_eq!(keys.find("nothing"), None);
    }
}

/// Day × origin × class: 31 × 3 × 2.
fn cube() -> Partitions {
    let end = Some(TimeWindows::parse_moment("2013-02-01").expect("a date"));
    let days = TimeWindows { end, ..windows(Cadence::Daily, "2013-01-01", "UTC") };
    let dimension = |name: &str, kind| Dimension { name: name.to_owned(), column: None, kind };
    let listed =
        |keys: &[&str]| DimensionKind::Static(keys.iter().map(|key| (*key).to_owned()).collect());
    Partitions::of([
        dimension("origin", listed(&["EWR", "JFK", "LGA"])),
        dimension("day", DimensionKind::Time(Box::new(days))),
        dimension("class", listed(&["first", "second"])),
    ])
}

#[test]
fn keys_of_several_dimensions_are_in_the_order_of_their_names() {
    let keys = at(&cube(), "2014-01-01T00:00:00Z");
    assert_eq!(keys.len(), 186);
    assert_eq!(keys.key(0), "first|2013-01-01|EWR");
    assert_eq!(keys.key(185), "second|2013-01-31|LGA");
    assert_eq!(keys.find("second|2013-01-31|LGA"), Some(185));
    assert_eq!(keys.find("second|2013-01-31"), None);
    let window = keys.window(1).expect("the window of the day");
    assert_eq!(window.start.to_string(), "2013-01-01T00:00:00Z");
}

#[test]
fn sets_are_written_as_keys_ranges_and_words() {
    let daily = Partitions::time(windows(Cadence::Daily, "2013-01-01", "UTC"));
    let keys = at(&daily, "2013-03-01T00:00:00Z");
    let done = PartitionSet::range(0..=49);
    let shown = |text: &str| -> String {
        let set = text.parse::<PartitionExpr>().and_then(|set| set.evaluate(&keys, &done));
        set.map_or_else(|error| format!("error: {error}"), |set| keys.shown(&set))
    };
    for (text, expected) in [
        ("2013-01-05", "2013-01-05"),
        ("2013-01-05...2013-01-07", "2013-01-05...2013-01-07"),
        ("2013-02-27...", "2013-02-27...2013-02-28"),
        ("...2013-01-02", "2013-01-01...2013-01-02"),
        ("2013-01-01, 2013-01-03", "2013-01-01, 2013-01-03"),
        ("all", "2013-01-01...2013-02-28"),
        ("2013", "2013-01-01...2013-02-28"),
        ("2013-02", "2013-02-01...2013-02-28"),
        ("2013-01...2013-02-02", "2013-01-01...2013-02-02"),
        ("missing", "2013-02-20...2013-02-28"),
        ("materialized, !2013-01", "2013-02-01...2013-02-19"),
        ("!2013-01", "2013-02-01...2013-02-28"),
        ("latest", "2013-02-28"),
        ("latest(2)", "2013-02-27...2013-02-28"),
        ("\"2013-01-05\"...\"2013-01-06\"", "2013-01-05...2013-01-06"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
    for text in [
        "",
        "2013-01-01,,2013-01-02",
        "2014-01-01",
        "2013-01-05...2013-01-02",
        "2012",
        "latest(x)",
        "a\"b",
        "2013-01-01|x",
        "2013-02-30",
    ] {
        assert!(shown(text).starts_with("error: "), "{text} is {}", shown(text));
    }
    let error = shown("2014-01-01");
    assert_eq!(
        error,
        "error: there is no partition `2014-01-01`; the keys go from `2013-01-01` to `2013-02-28`"
    );

    let keys = at(&cube(), "2014-01-01T00:00:00Z");
    let count = |text: &str| -> Result<u64, String> {
        let set = text.parse::<PartitionExpr>().and_then(|set| set.evaluate(&keys, &done));
        set.map(|set| set.len()).map_err(|error| error.message)
    };
    assert_eq!(count("first|2013-01-01|EWR"), Ok(1));
    assert_eq!(count("first|2013-01-01...2013-01-10|EWR...JFK"), Ok(20));
    assert_eq!(count("day=2013-01-01...2013-01-02"), Ok(12));
    assert_eq!(
        count("origin=JFK|day=latest"),
        Err("there is no partition `latest`; the keys go from `2013-01-01` to `2013-01-31`"
            .to_owned())
    );
    assert_eq!(count("orign=JFK"), Err("there is no dimension `orign`".to_owned()));
    assert_eq!(
        count("first|2013-01-01"),
        Err("a key has 3 parts, `class|day|origin`, and not 2".to_owned())
    );
    let wrong = "first|2013-01-01|JFKK".parse::<PartitionExpr>().expect("a set");
    assert_eq!(wrong.evaluate(&keys, &done).expect_err("an error").nearest.as_deref(), Some("JFK"));
}

/// What the keys of a set read, as keys.
fn reads(
    mapping: &PartitionMapping,
    reader: &PartitionKeys,
    upstream: &PartitionKeys,
    key: &str,
) -> Result<Vec<String>, Vec<String>> {
    let set = key.parse::<PartitionExpr>().expect("a set");
    let set = set.evaluate(reader, &PartitionSet::empty()).expect("keys");
    let required = mapping.required(&set, reader, upstream);
    if required.nonexistent.is_empty() {
        Ok(upstream.texts(&required.set))
    } else {
        Err(required.nonexistent)
    }
}

#[test]
fn windows_read_the_windows_that_overlap_them() {
    let now = "2013-04-01T00:00:00Z";
    let of = |cadence, start| at(&Partitions::time(windows(cadence, start, "UTC")), now);
    let (days, hours) =
        (of(Cadence::Daily, "2013-01-01"), of(Cadence::Hourly { minute: 0 }, "2013-01-01"));
    let months = of(Cadence::Monthly, "2013-01-01");
    let plain = PartitionMapping::TimeWindow { start_offset: 0, end_offset: 0 };
    assert_eq!(reads(&plain, &days, &hours, "2013-01-02").map(|keys| keys.len()), Ok(24));
    assert_eq!(reads(&plain, &hours, &days, "2013-01-02-05:00"), Ok(vec!["2013-01-02".to_owned()]));
    assert_eq!(
        reads(&plain, &days, &months, "2013-01-30...2013-02-02"),
        Ok(vec!["2013-01-01".to_owned(), "2013-02-01".to_owned()])
    );
    assert_eq!(reads(&plain, &months, &days, "2013-02-01").map(|keys| keys.len()), Ok(28));
    let week = PartitionMapping::TimeWindow { start_offset: -6, end_offset: 0 };
    assert_eq!(reads(&week, &days, &days, "2013-01-10").map(|keys| keys.len()), Ok(7));
    assert_eq!(
        reads(&week, &days, &months, "2013-02-03"),
        Ok(vec!["2013-01-01".to_owned(), "2013-02-01".to_owned()])
    );
    assert_eq!(
        reads(&week, &days, &days, "2013-01-03").map(|keys| keys.len()),
        Ok(3),
        "before the first is nothing"
    );
    let before = PartitionMapping::TimeWindow { start_offset: -1, end_offset: -1 };
    assert_eq!(reads(&before, &days, &days, "2013-01-02"), Ok(vec!["2013-01-01".to_owned()]));
    assert_eq!(reads(&before, &days, &days, "2013-01-01"), Ok(vec![]));
    let short = Partitions::time(TimeWindows {
        end: Some(TimeWindows::parse_moment("2013-02-01").expect("a date")),
        ..windows(Cadence::Daily, "2013-01-01", "UTC")
    });
    let short = at(&short, now);
    assert_eq!(reads(&plain, &days, &short, "2013-02-01"), Err(vec!["2013-02-01".to_owned()]));
}

#[test]
fn other_mappings_read_what_they_say() {
    let now = "2014-01-01T00:00:00Z";
    let letters = at(&Partitions::listed(["a", "b", "c"]), now);
    let more = at(&Partitions::listed(["b", "c", "d"]), now);
    let key = |text: &str| vec![text.to_owned()];
    assert_eq!(reads(&PartitionMapping::Identity, &letters, &more, "b"), Ok(key("b")));
    assert_eq!(reads(&PartitionMapping::Identity, &letters, &more, "a"), Err(key("a")));
    assert_eq!(reads(&PartitionMapping::All, &letters, &more, "a").map(|keys| keys.len()), Ok(3));
    assert_eq!(reads(&PartitionMapping::Last, &letters, &more, "a"), Ok(key("d")));
    let specific = PartitionMapping::Specific(key("c"));
    assert_eq!(reads(&specific, &letters, &more, "a"), Ok(key("c")));
    let map = BTreeMap::from([("a".to_owned(), vec!["b".to_owned(), "d".to_owned()])]);
    let fixed = PartitionMapping::Static(map);
    assert_eq!(reads(&fixed, &letters, &more, "a").map(|keys| keys.len()), Ok(2));
    assert_eq!(reads(&fixed, &letters, &more, "b"), Ok(vec![]));
    let next = CustomMapping::new("next", |key: &str| {
        key.bytes().map(|byte| char::from(byte + 1).to_string()).collect()
    });
    let custom = PartitionMapping::Custom(next);
    assert_eq!(reads(&custom, &letters, &more, "c"), Ok(key("d")));
}

#[test]
fn mappings_are_inferred_and_go_by_dimension() {
    let now = "2014-01-01T00:00:00Z";
    let (cube_def, days_def) =
        (cube(), Partitions::time(windows(Cadence::Daily, "2013-01-01", "UTC")));
    let (cube, days) = (at(&cube_def, now), at(&days_def, now));
    let origins_def = Partitions::of([cube_def.dimensions[2].clone()]);
    let origins = at(&origins_def, now);
    let into = |reader: &Partitions, upstream: &Partitions| {
        PartitionMapping::inferred(Some(reader), Some(upstream))
    };
    assert_eq!(PartitionMapping::inferred(None, Some(&cube_def)), PartitionMapping::All);
    let one = reads(&into(&cube_def, &origins_def), &cube, &origins, "second|2013-01-05|JFK");
    assert_eq!(one, Ok(vec!["JFK".to_owned()]));
    let all_of_it = reads(&into(&origins_def, &cube_def), &origins, &cube, "JFK").expect("keys");
    assert_eq!((all_of_it.len(), all_of_it[0].as_str()), (62, "first|2013-01-01|JFK"));
    let rolling = PartitionMapping::Dimensions(BTreeMap::from([(
        "partition".to_owned(),
        ("day".to_owned(), PartitionMapping::TimeWindow { start_offset: -2, end_offset: 0 }),
    )]));
    let three = reads(&rolling, &cube, &days, "first|2013-01-05|EWR, second|2013-01-05|JFK");
    assert_eq!(three.expect("keys"), ["2013-01-03", "2013-01-04", "2013-01-05"]);
    assert_eq!(
        into(&days_def, &days_def),
        PartitionMapping::TimeWindow { start_offset: 0, end_offset: 0 }
    );
}

proptest! {
    #[test]
    fn sets_are_an_algebra(
        a in proptest::collection::btree_set(0_u32..200, 0..80),
        b in proptest::collection::btree_set(0_u32..200, 0..80),
        count in 1_u32..50,
    ) {
        let set = |of: &BTreeSet<u32>| of.iter().copied().collect::<PartitionSet>();
        let back = |set: &PartitionSet| set.iter().collect::<BTreeSet<u32>>();
        let (x, y) = (set(&a), set(&b));
        prop_assert_eq!(back(&x.union(&y)), a.union(&b).copied().collect());
        prop_assert_eq!(back(&x.difference(&y)), a.difference(&b).copied().collect());
        prop_assert_eq!(back(&x.intersection(&y)), a.intersection(&b).copied().collect());
        prop_assert_eq!(x.overlaps(&y), !a.is_disjoint(&b));
        let runs = x.ranges();
        prop_assert!(runs.windows(2).all(|two| *two[0].end() + 1 < *two[1].start()));
        let mut again = PartitionSet::empty();
        for run in runs {
            again.extend(&PartitionSet::range(run));
        }
        prop_assert_eq!(&again, &x);
        let pieces = x.pieces(count);
        prop_assert!(pieces.iter().all(|piece| piece.len() <= u64::from(count)));
        prop_assert_eq!(pieces.iter().flat_map(PartitionSet::iter).collect::<Vec<_>>(), a.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(x.last(count).len(), x.len().min(u64::from(count)));
    }
}
