//! What columns come from, where they go, and what would run if one changed.

use crate::support::Project;

const PROJECT: &str = r#"== arrowsmith.toml
[project]
name = "lineage"
[sources.raw.flights]
path = "flights.csv"
[sources.raw.planes]
path = "planes.csv"
== flights.csv
id,tailnum,origin,dep_delay,distance
1,N1,JFK,10,100
== planes.csv
tailnum,year
N1,1999
== assets/flights.sql
select id, tailnum, upper(origin) as origin, dep_delay, distance from raw.flights where dep_delay is not null
== assets/planes.sql
/* +++
materialized = "view"
+++ */
select * from raw.planes
== assets/by_origin.sql
select origin, avg(dep_delay) as delay, count(*) as n from flights group by origin
== assets/with_planes.sql
select f.id, f.distance, p.year from flights f join planes p on f.tailnum = p.tailnum
== assets/far.sql
with ranked as (select id, distance, rank() over (partition by origin order by distance desc) as place from flights)
select id, distance from ranked where place = 1
== assets/late.sql
select id, distance from flights where id in (select id from flights where dep_delay > 5)
== assets/never.sql
select id, distance from flights where false
== assets/tails.sql
select distinct tailnum from flights
== assets/number.sql
select count(*) as n from tails
== assets/best.sql
select origin from by_origin order by delay limit 1
== assets/both.sql
select origin as name, n as value from by_origin union all select cast(year as varchar), id from with_planes
"#;

#[test]
fn columns_come_from_columns_and_rows_depend_on_them() {
    let project = Project::new(PROJECT);
    let mut told = String::new();
    for (asset, column) in [
        ("flights", "dep_delay"),
        ("planes", "year"),
        ("by_origin", "delay"),
        ("far", "id"),
        ("late", "distance"),
        ("never", "distance"),
        ("both", "value"),
        ("number", "n"),
    ] {
        told.push_str(&format!("# {asset}.{column}\n"));
        told.push_str(&project.ok(&["lineage", asset, "--column", column]));
    }
    let edges = project.ok(&["lineage", "by_origin", "--column", "delay", "-f", "csv"]);
    insta::assert_snapshot!(format!("{told}# as CSV\n{edges}"));
}

#[test]
fn what_would_run_is_what_reads_a_column_and_what_that_changes() {
    let project = Project::new(PROJECT);
    let mut told = String::new();
    for column in
        ["raw.flights.dep_delay", "flights.distance", "flights.tailnum", "planes.year", "far.id"]
    {
        let affected = project.run(&["why", "--if-column-changes", column]);
        assert_eq!(affected.code, 0, "{}", affected.err);
        told.push_str(&format!("# {column}\n{}{}", affected.out, affected.err));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn wrong_names_are_told_with_the_nearest() {
    let project = Project::new(PROJECT);
    let mut told = String::new();
    for args in [
        &["lineage", "by_orign"][..],
        &["lineage", "by_origin", "--column", "dely"],
        &["why", "--if-column-changes", "distance"],
        &["why", "--if-column-changes", "flights.distanse"],
        &["why", "--if-column-changes", "flihts.distance"],
        &["why"],
        &["why", "flights", "--if-column-changes", "flights.distance"],
    ] {
        let wrong = project.run(args);
        assert_eq!(wrong.code, 2, "{args:?}: {}", wrong.err);
        told.push_str(&format!("$ arrowsmith {}\n{}", args.join(" "), wrong.err));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn the_graph_is_drawn_as_a_picture_that_stands_alone() {
    let project = Project::new(PROJECT);
    let draw = |arguments: &[&str]| {
        project.ok(&[&["lineage"], arguments, &["--svg", "graph.svg"]].concat());
        std::fs::read_to_string(project.path().join("graph.svg")).expect("a picture")
    };
    let (whole, part) = (draw(&[]), draw(&["by_origin"]));
    for picture in [&whole, &part] {
        assert!(picture.contains("<title>by_origin</title>"), "{picture}");
        assert_eq!(picture.matches("http").count(), 1, "nothing is loaded: {picture}");
        assert!(!picture.contains("NaN"), "{picture}");
    }
    assert!(part.matches("<rect").count() <= whole.matches("<rect").count());
    let all = project.ok(&["asset", "list", "-f", "csv"]).lines().count() - 1;
    assert_eq!(whole.matches("<rect").count(), all);
    let wrong = project.run(&["lineage", "--svg", "no/such/folder.svg"]);
    assert!(wrong.code == 5 && wrong.err.contains("cannot be written"), "{wrong:?}");
}
