//! The flights example, from raw CSV to reports, against facts that are known of the data.

use std::io::{Read, Write};

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
    let files = project.ok(&["files", "hourly_delays"]);
    assert_eq!(files.lines().count(), 3);
    assert!(files.lines().all(|file| file.contains("/origin=")), "{files}");
}

/// Every file is a partition, and one that is made again is as it was.
#[test]
fn days_are_made_again_one_by_one_from_the_months_that_they_need() {
    let project = Project::new("");
    copy_folder(&examples().join("flights"), project.path());
    project.ok(&["materialize", "+carrier_days", "+airport_days", "+cancellations"]);
    let count = |asset: &str, set: &str| {
        project.ok(&["partitions", "list", asset, "-p", set, "-f", "csv"]).lines().count() - 1
    };
    assert_eq!(count("staging.flights", "materialized"), 12);
    assert_eq!(count("carrier_days", "materialized"), 365);
    assert_eq!(count("airport_days", "materialized"), 365 * 3);
    assert_eq!(count("cancellations", "materialized"), 12 * 3 * 2);
    assert_eq!(count("airport_days", "airport=JFK|day=2013-02"), 28);

    // The first days of March need the last of February.
    let week = "select flight_date, carrier, flights, round(mean_delay_7_days, 6) as mean from carrier_days \
                where flight_date between '2013-02-27' and '2013-03-03' order by 1, 2";
    let before = project.ok(&["query", week, "-f", "csv"]);
    let plan =
        project.ok(&["plan", "staging.flights", "carrier_days", "-p", "2013-03-02", "--force"]);
    assert!(plan.contains("staging.flights[2013-02...2013-03]"), "{plan}");
    project.ok(&["materialize", "carrier_days", "-p", "2013-03-01...2013-03-02", "--force"]);
    assert_eq!(project.ok(&["query", week, "-f", "csv"]), before);
    assert_eq!(count("carrier_days", "materialized"), 365);
}

/// A month's file with other text in it.
fn edit_month(project: &Project, month: &str, edit: impl FnOnce(String) -> String) {
    let path = project.path().join(format!("data/flights/{month}.csv.gz"));
    let mut text = String::new();
    let file = std::fs::File::open(&path).expect("a file");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("a text");
    let file = std::fs::File::create(path).expect("a file");
    let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    file.write_all(edit(text).as_bytes()).expect("rows");
    file.finish().expect("a file");
}

/// Two flights of December that are late by a week.
fn bad_month(project: &Project) {
    let late = |flight| {
        format!(
            "2013,12,1,517,515,9999,830,819,11,UA,{flight},N14228,EWR,IAH,227,1400,5,15,\
             2013-12-01T10:00:00Z"
        )
    };
    edit_month(project, "2013-12", |text| {
        format!("{}\n{}\n{}\n", text.trim_end(), late(1), late(2))
    });
}

/// Edits every file of the project in the same way.
fn edit_all(project: &Project, folder: &str, edit: &dyn Fn(&str) -> String) {
    for entry in std::fs::read_dir(project.path().join(folder)).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if project.path().join(&path).is_dir() {
            if !path.starts_with(['.', 'd']) {
                edit_all(project, &path, edit);
            }
        } else {
            let text = std::fs::read_to_string(project.path().join(&path)).expect("a text");
            project.write(&path, &edit(&text));
        }
    }
}

/// What a run did to each step, and how many rows of each state there are.
fn ran(project: &Project) -> String {
    let steps = project.ok(&["run", "show", "-f", "csv"]);
    let ended = steps.lines().skip(1).map(|line| line.split(',').take(2).collect::<Vec<_>>());
    let mut ended: Vec<String> = ended.map(|step| format!("{:>9}  {}", step[1], step[0])).collect();
    ended.sort();
    ended.join("\n") + "\n"
}

/// What is computed after each of the edits that such a project sees, and what `why` says of it.
#[test]
fn no_more_is_computed_than_an_edit_touches() {
    let project = Project::new("");
    copy_folder(&examples().join("flights"), project.path());
    // Three months are there, of four that have files.
    let until = |from: &'static str, to: &'static str| {
        let edit = move |text: &str| {
            text.replace(&format!("{from}\""), &format!("{to}\""))
                .replace(&format!("{from}-01\""), &format!("{to}-01\""))
        };
        edit_all(&project, "", &edit);
    };
    until("2014-01", "2013-04");
    project.ok(&["materialize"]);
    let why = |asset: &str| project.ok(&["why", asset]);
    let mut told = String::new();

    let airports =
        std::fs::read_to_string(project.path().join("data/airports.csv")).expect("a file");
    project.write("data/airports.csv", &airports.replace("George Bush", "George W. Bush"));
    project.ok(&["materialize"]);
    told.push_str(&format!("# another name of one airport\n{}", ran(&project)));

    edit_month(&project, "2013-02", |text| text.replace("N14228", "N99999"));
    told.push_str(&format!("# another tail number in February\n{}", why("plane_utilization")));
    project.ok(&["materialize", "staging.flights"]);
    told.push_str(&format!("# and staged\n{}{}", why("plane_utilization"), why("route_summary")));
    project.ok(&["materialize"]);
    told.push_str(&ran(&project));

    until("2013-04", "2013-05");
    told.push_str(&format!("# one more month\n{}", why("staging.flights")));
    project.ok(&["materialize"]);
    told.push_str(&ran(&project));

    edit_all(&project, "assets", &|text: &str| {
        format!("{}\n\n-- the end", text.replace("\n  ", "\n\n      "))
    });
    let plan = project.run(&["plan", "--exit-code"]);
    assert_eq!(plan.code, 0, "{}", plan.out);
    told.push_str("# all queries reformatted\nnothing\n");

    let minutes = |from: &'static str, to: &'static str| {
        edit_all(&project, "", &|text: &str| text.replace(from, to));
    };
    minutes("delayed_minutes = 15", "delayed_minutes = 30");
    told.push_str(&format!("# another value of a variable\n{}", why("staging.flights")));
    project.ok(&["materialize"]);
    told.push_str(&ran(&project));
    minutes("delayed_minutes = 30", "delayed_minutes = 15");
    project.ok(&["materialize"]);
    told.push_str(&format!("# and taken back\n{}", ran(&project)));
    insta::assert_snapshot!(told);
}

#[test]
fn a_bad_month_is_not_published_unless_its_check_only_warns() {
    let project = Project::new("");
    copy_folder(&examples().join("flights"), project.path());
    project.ok(&["materialize", "+staging.flights"]);
    let rows = || project.ok(&["query", "select count(*) as n from staging.flights", "-f", "csv"]);
    bad_month(&project);
    let ran = project.run(&["materialize", "staging.flights", "-p", "2013-12"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let told = "check `range_departure_delay` of `staging.flights` failed: it does not hold for 2 \
                rows, such as {";
    assert!(ran.err.contains(told), "{}", ran.err);
    assert!(ran.err.contains(r#""departure_delay":9999"#), "{}", ran.err);
    assert_eq!(rows(), "n\n336776\n", "the table is as it was");

    let path = "assets/staging/flights.sql";
    let text = std::fs::read_to_string(project.path().join(path)).expect("a query");
    let warns = "[checks]\nwarn = [\"range_departure_delay\"]";
    project.write(path, &text.replacen("[checks]", warns, 1));
    project.ok(&["materialize", "staging.flights", "-p", "2013-12"]);
    assert_eq!(rows(), "n\n336778\n", "a warning lets it through, and replaces just December");
    let logs = project.ok(&["run", "logs", "latest", "-f", "ndjson"]);
    let events = logs.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    let failed: Vec<Value> = events.filter(|event| event["passed"] == false).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0]["severity"], "warn");
    assert_eq!(failed[0]["sample"].as_array().map(Vec::len), Some(2));
}
