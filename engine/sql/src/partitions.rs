//! `[partitions]`, and which partitions of an input are read.

use std::collections::BTreeMap;
use std::ops::Range;

use arrowsmith_definitions::{
    BackfillPolicy, Cadence, Dimension, DimensionKind, OutsideRows, PartitionMapping, Partitions,
    TimeWindows,
};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::document::Reader;

/// The words that say how often windows begin; the value is where the first does.
const CADENCES: [(&str, Cadence); 4] = [
    ("hourly", Cadence::Hourly { minute: 0 }),
    ("daily", Cadence::Daily),
    ("weekly", Cadence::Weekly),
    ("monthly", Cadence::Monthly),
];

/// What else windows of time may say.
const TIME_OPTIONS: [&str; 7] =
    ["end", "timezone", "end_offset", "format", "exclusions", "minute", "start"];

/// `partitions = { daily = "2013-01-01", column = "flight_date" }`, or a table for each of several
/// dimensions, with `backfill` and `outside` beside them.
pub(crate) fn read_partitions(reader: &mut Reader<'_>) -> Option<Partitions> {
    let mut table = reader.table("partitions")?;
    let policy = read_policy(&mut table);
    let outsides = [("refuse", OutsideRows::Refuse), ("drop", OutsideRows::Drop)];
    let outside = table.choice("outside", &outsides).unwrap_or_default();
    let words = ["hourly", "daily", "weekly", "monthly", "cron", "keys", "dynamic", "column"];
    let partitions = if words.iter().any(|word| table.has(word)) {
        let column = table.string("column");
        let kind = read_kind(&mut table);
        kind.map(|kind| {
            let partitions = Partitions::new(kind);
            match column {
                Some(column) => partitions.by_column(column),
                None => partitions,
            }
        })
    } else {
        let mut dimensions = Vec::new();
        for (name, _, mut dimension) in table.tables() {
            let column = dimension.string("column");
            let kind = read_kind(&mut dimension);
            table.problems.extend(dimension.finish());
            dimensions.extend(kind.map(|kind| Dimension { name, column, kind }));
        }
        if dimensions.is_empty() && table.problems.is_empty() {
            table.refuse_here(
                "`partitions` says neither `hourly`, `daily`, `weekly`, `monthly`, `cron`, `keys` \
                 nor `dynamic`",
            );
        }
        (!dimensions.is_empty()).then(|| Partitions::of(dimensions))
    };
    let partitions = partitions.map(|p| p.with_policy(policy).with_outside(outside));
    reader.problems.extend(table.finish());
    partitions
}

/// `single_run`, `per_partition`, or at most so many partitions a step.
fn read_policy(table: &mut Reader<'_>) -> BackfillPolicy {
    let Some((value, span)) = table.value("backfill") else { return BackfillPolicy::default() };
    let count = value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|n| *n > 0);
    match (value.as_str(), count) {
        (Some("single_run"), _) => BackfillPolicy::SingleRun,
        (Some("per_partition"), _) => BackfillPolicy::MultiRun(1),
        (_, Some(count)) => BackfillPolicy::MultiRun(count),
        _ => {
            table.refuse(
                span,
                "`backfill` is `single_run`, `per_partition`, or how many partitions a step makes",
            );
            BackfillPolicy::default()
        }
    }
}

fn read_kind(table: &mut Reader<'_>) -> Option<DimensionKind> {
    if table.has("keys") {
        return Some(DimensionKind::Static(table.strings("keys")));
    }
    if let Some(name) = table.string("dynamic") {
        return Some(DimensionKind::Dynamic(name));
    }
    let Some((cadence, start)) = read_cadence(table) else {
        // That is told, and what belongs to it need not be.
        table.skip(&TIME_OPTIONS);
        return None;
    };
    let mut windows = TimeWindows::new(cadence, start);
    if let Some(minute) = table.value("minute") {
        match (&mut windows.cadence, minute.0.as_i64().and_then(|m| i8::try_from(m).ok())) {
            (Cadence::Hourly { minute }, Some(given)) if (0..60).contains(&given) => {
                *minute = given;
            }
            _ => table.refuse(minute.1, "`minute` is from 0 to 59, of hourly partitions"),
        }
    }
    windows.end = read_moment(table, "end");
    if let Some((name, span)) = table.text("timezone") {
        match TimeZone::get(&name) {
            Ok(zone) => windows.timezone = zone,
            Err(_) => table.refuse_near(
                span,
                format!("there is no time zone `{name}`"),
                nearest_zone(&name),
            ),
        }
    }
    if let Some((value, span)) = table.value("end_offset") {
        match value.as_i64().and_then(|offset| i32::try_from(offset).ok()) {
            Some(offset) => windows.end_offset = offset,
            None => table.refuse(span, "`end_offset` is a whole number of partitions"),
        }
    }
    if let Some((format, span)) = table.text("format") {
        let example = windows.start.to_zoned(TimeZone::UTC);
        match example.map(|example| jiff::fmt::strtime::format(&format, &example)) {
            Ok(Ok(_)) => windows.format = format,
            _ => table.refuse(span, format!("`{format}` is no format such as `%Y-%m-%d`")),
        }
    }
    for (text, span) in table.texts("exclusions") {
        match TimeWindows::parse_moment(&text) {
            Ok(moment) => windows.exclusions.push(moment),
            Err(why) => table.refuse(span, why),
        }
    }
    Some(DimensionKind::Time(Box::new(windows)))
}

/// The cadence and the beginning of the first window.
fn read_cadence(table: &mut Reader<'_>) -> Option<(Cadence, DateTime)> {
    for (word, cadence) in CADENCES {
        if table.has(word) {
            return Some((cadence, read_moment(table, word)?));
        }
    }
    if let Some((cron, span)) = table.text("cron") {
        let start = read_moment(table, "start");
        match (Cadence::cron(&cron), start) {
            (Ok(cadence), Some(start)) => return Some((cadence, start)),
            (Ok(_), None) => {
                if table.problems.is_empty() {
                    table.refuse(span, "partitions of a cron expression begin at `start`");
                }
            }
            (Err(why), _) => table.refuse(span, why),
        }
        return None;
    }
    // A word that is there but unknown is told by itself.
    table.offer(&["hourly", "daily", "weekly", "monthly", "keys"]);
    table.offer(&TIME_OPTIONS);
    if table.problems.is_empty() && !table.has_unknown() {
        table.refuse_here(
            "it says neither `hourly`, `daily`, `weekly`, `monthly`, `cron`, `keys` nor `dynamic`",
        );
    }
    None
}

fn read_moment(table: &mut Reader<'_>, key: &'static str) -> Option<DateTime> {
    let (value, span) = table.value(key)?;
    let Some(text) = value.as_str() else {
        table.refuse(span, format!("`{key}` is a date such as `\"2013-01-01\"`"));
        return None;
    };
    match TimeWindows::parse_moment(text) {
        Ok(moment) => Some(moment),
        Err(why) => {
            table.refuse(span, why);
            None
        }
    }
}

fn nearest_zone(name: &str) -> Option<String> {
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    arrowsmith_definitions::nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

/// An entry of `[inputs]`: `all`, `last`, `identity`, a list of keys, or a table with offsets of
/// windows, keys by key, or dimensions.
pub(crate) fn read_mapping(
    table: &mut Reader<'_>,
    value: &Value,
    span: Range<usize>,
) -> Option<PartitionMapping> {
    let mapping = mapping_of(value);
    if let Err(why) = &mapping {
        table.refuse(span, why.clone());
    }
    mapping.ok()
}

const MAPPINGS: &str = "which partitions of an input are read is `\"all\"`, `\"last\"`, \
                        `\"identity\"`, a list of keys, `{ start_offset = -6 }`, \
                        `{ keys = { \"mine\" = [\"theirs\"] } }` or `{ dimensions = { theirs = \
                        \"mine\" } }`; `allow_missing = true` leaves out what is not there";

fn mapping_of(value: &Value) -> Result<PartitionMapping, String> {
    let wrong = || MAPPINGS.to_owned();
    match value {
        Value::String(word) => match word.as_str() {
            "all" => Ok(PartitionMapping::All),
            "last" => Ok(PartitionMapping::Last),
            "identity" => Ok(PartitionMapping::Identity),
            _ => Err(wrong()),
        },
        Value::Array(_) => texts(value).map(PartitionMapping::Specific).ok_or_else(wrong),
        Value::Object(table) => {
            if let Some(keys) = table.get("keys").and_then(Value::as_object) {
                let pairs = keys.iter().map(|(mine, theirs)| Some((mine.clone(), texts(theirs)?)));
                let map: Option<BTreeMap<String, Vec<String>>> = pairs.collect();
                return map.map(PartitionMapping::Static).ok_or_else(wrong);
            }
            if let Some(dimensions) = table.get("dimensions").and_then(Value::as_object) {
                let dimension = |(theirs, how): (&String, &Value)| match how {
                    Value::String(mine) => {
                        let same = PartitionMapping::TimeWindow { start_offset: 0, end_offset: 0 };
                        Ok((theirs.clone(), (mine.clone(), same)))
                    }
                    Value::Object(how) => {
                        let mine = how.get("of").and_then(Value::as_str).ok_or_else(wrong)?;
                        let mut rest = how.clone();
                        rest.remove("of");
                        let inner = mapping_of(&Value::Object(rest))?;
                        Ok((theirs.clone(), (mine.to_owned(), inner)))
                    }
                    _ => Err(wrong()),
                };
                let map = dimensions.iter().map(dimension).collect::<Result<_, String>>()?;
                return Ok(PartitionMapping::Dimensions(map));
            }
            let known = ["start_offset", "end_offset"];
            if table.is_empty() || table.keys().any(|key| !known.contains(&key.as_str())) {
                return Err(wrong());
            }
            let offset = |key: &str| match table.get(key) {
                None => Ok(0),
                Some(value) => {
                    let offset = value.as_i64().and_then(|n| i32::try_from(n).ok());
                    offset.ok_or_else(|| format!("`{key}` is a whole number of partitions"))
                }
            };
            let (start_offset, end_offset) = (offset("start_offset")?, offset("end_offset")?);
            Ok(PartitionMapping::TimeWindow { start_offset, end_offset })
        }
        _ => Err(wrong()),
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items.iter().map(|item| Some(item.as_str()?.to_owned())).collect(),
        _ => None,
    }
}
