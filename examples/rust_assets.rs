//! A repository of Rust and SQL assets in one file; this program is its command line.
//!
//! ```sh
//! cargo run --example rust_assets -- check
//! cargo run --example rust_assets -- materialize
//! cargo run --example rust_assets -- query "select * from hottest"
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

fn main() -> ExitCode {
    let hottest = sql_asset(
        "hottest",
        "select station, celsius, rank() over (order by celsius desc) as rank from maxima",
    );
    arrowsmith::main(Repository::new("climate").with(assets![readings, maxima]).with(hottest))
}
