//! The flights example, from raw CSV to reports, against facts that are known of the data.

use serde_json::Value;

use crate::support::{Project, copy_folder, examples};

#[test]
fn the_flights_project_is_built_and_its_facts_hold() {
    let project = Project::new("");
    copy_folder(&examples().join("flights"), project.path());
    let checked = project.run(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.err);
    project.ok(&["materialize"]);
    let fact = |sql: &str| -> Value {
        let rows: Value =
            serde_json::from_str(&project.ok(&["query", sql, "-f", "json"])).expect("JSON");
        rows[0].clone()
    };
    let counts = fact(
        "select count(*) as flights, count(distinct carrier) as carriers, \
         count(distinct origin) as origins, count(distinct tail_number) as planes, \
         sum(case when is_cancelled then 1 else 0 end) as cancelled from staging.flights",
    );
    assert_eq!(counts["flights"], 336_776);
    assert_eq!(counts["carriers"], 16);
    assert_eq!(counts["origins"], 3);
    assert_eq!(counts["planes"], 4043);
    assert_eq!(counts["cancelled"], 8255);
    let days = fact(
        "select count(*) as airport_days, sum(flights) as flights, count(distinct month) as months \
         from daily_summary",
    );
    assert_eq!((days["airport_days"].clone(), days["months"].clone()), (1095.into(), 12.into()));
    assert_eq!(days["flights"], 336_776);
    let facts = fact("select count(*) as n, count(temperature) as with_weather from flight_facts");
    assert_eq!(facts["n"], 336_776, "no join of the wide table repeats a flight");
    assert_eq!(facts["with_weather"], 335_203);
    let best = fact("select carrier from carrier_ranking order by rank");
    assert_eq!(best["carrier"], "AS", "Alaska Airlines arrived earliest in 2013");

    // The hive column stands in the path and not in the file, for other programs.
    let files = project.ok(&["files", "daily_summary"]);
    assert_eq!(files.lines().count(), 12);
    assert!(files.lines().all(|file| file.contains("/month=")), "{files}");
}
