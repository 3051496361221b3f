//! A repository of Rust and SQL assets in one file; this program is its command line.
//!
//! ```sh
//! cargo run --example rust_assets -- check
//! cargo run --example rust_assets -- materialize
//! cargo run --example rust_assets -- query "select * from hottest"
//! cargo run --example rust_assets -- schedule preview nightly
//! cargo run --example rust_assets -- daemon run
//! ```

use std::process::ExitCode;

use arrowsmith::prelude::*;

/// One measurement, as its table has it.
#[derive(Columns)]
struct Reading {
    station: String,
    day: Date,
    celsius: Option<f64>,
}

/// The warmest reading of a station.
#[derive(Columns)]
struct Maximum {
    station: String,
    celsius: f64,
}

/// Readings of three stations over a week; every seventh is missing.
#[asset(group = "raw")]
fn readings() -> Vec<Reading> {
    let stations = ["harbour", "hill", "airport"];
    let reading = |(i, station): (i32, &&str)| Reading {
        station: (*station).to_owned(),
        day: Date(20_000 + i / 3),
        celsius: (i % 7 != 6).then(|| 12.0 + f64::from(i * 5 % 17)),
    };
    (0..21).zip(stations.iter().cycle()).map(reading).collect()
}

/// The maximum of each station, from typed columns without copying them.
#[asset(group = "marts", owners = ["team:climate"])]
fn maxima(context: AssetContext, readings: Table<Reading>) -> Vec<Maximum> {
    let mut maxima = std::collections::BTreeMap::new();
    for batch in readings.batches() {
        for (station, celsius) in batch.station().iter().zip(batch.celsius()) {
            if let (Some(station), Some(celsius)) = (station, celsius) {
                let warmest = maxima.entry(station.to_owned()).or_insert(celsius);
                *warmest = warmest.max(celsius);
            }
        }
    }
    context.add_metadata("stations", maxima.len());
    maxima.into_iter().map(|(station, celsius)| Maximum { station, celsius }).collect()
}

/// Everything each night, but on Mondays, when the stations are read by hand.
fn nightly() -> Result<Schedule, String> {
    let schedule = Schedule::cron("nightly", "0 3 * * *", RunTarget::Assets("*".to_owned()))?;
    let schedule = schedule.in_timezone("Europe/Berlin")?;
    Ok(schedule.with_function(|tick: ScheduleContext| async move {
        let day = tick.scheduled_at.strftime("%A").to_string();
        Ok::<_, BoxError>(match day.as_str() {
            "Monday" => TickResult::skip("the stations are read by hand"),
            _ => RunRequest::new().with_tag("day", day).into(),
        })
    }))
}

/// The maxima again whenever the file `alarm.txt` says something else.
fn alarm() -> Sensor {
    let sensor = Sensor::new("alarm", |context: SensorContext| async move {
        let said = std::fs::read_to_string("alarm.txt").unwrap_or_default();
        Ok::<_, BoxError>(if context.cursor.as_ref() == Some(&said) {
            SensorResult::skip("it says the same as before")
        } else {
            SensorResult::from(RunRequest::new()).with_cursor(said)
        })
    });
    sensor.with_target(RunTarget::Assets("+maxima+".to_owned())).with_min_interval(SECOND).running()
}

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

fn main() -> ExitCode {
    let hottest = sql_asset(
        "hottest",
        "select station, celsius, rank() over (order by celsius desc) as rank from maxima",
    );
    let nightly = nightly().expect("a cron expression and a time zone");
    arrowsmith::main(
        Repository::new("climate")
            .with(assets![readings, maxima])
            .with(hottest)
            .with(nightly)
            .with(alarm()),
    )
}
