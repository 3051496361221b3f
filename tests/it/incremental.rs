//! Assets that keep what is stored: append, merge, snapshot; and views, which store nothing.

use crate::support::Project;

const PROJECT: &str = r#"== arrowsmith.toml
[project]
name = "shapes"
[sources.raw.people]
path = "data/people.csv"
[sources.raw.people.columns]
id = "int"
name = "text"
city = "text"
updated = "timestamp"
== data/people.csv
id,name,city,updated
1,Ada,London,2024-01-01T00:00:00
2,Grace,New York,2024-01-01T00:00:00
"#;

const NEXT: &str = "id,name,city,updated\n1,Ada,Paris,2024-02-01T00:00:00\n\
                    3,Edsger,Austin,2024-02-01T00:00:00\n";

fn project(sql: &str) -> Project {
    let project = Project::new(PROJECT);
    project.write("assets/people.sql", sql);
    project
}

fn csv(project: &Project, sql: &str) -> String {
    project.ok(&["query", sql, "-f", "csv"])
}

#[test]
fn appended_rows_come_behind_those_that_are_there() {
    let project = project(
        "/* +++\nmaterialized = \"append\"\nwatermark = \"updated\"\n+++ */\nselect id, name, updated \
         from raw.people where $watermark is null or updated > $watermark",
    );
    project.write("assets/count.sql", "select count(*) as n, max(id) as id from people");
    project.ok(&["materialize"]);
    assert_eq!(csv(&project, "select * from count"), "n,id\n2,2\n");
    // Nothing is newer than the watermark, so nothing is added.
    project.ok(&["materialize"]);
    assert_eq!(csv(&project, "select * from count"), "n,id\n2,2\n");
    project.write("data/people.csv", NEXT);
    project.ok(&["materialize"]);
    assert_eq!(csv(&project, "select * from count"), "n,id\n4,3\n");
    assert!(project.ok(&["asset", "list", "people", "-f", "csv"]).contains("people,,sql,3,4,"));
    // What was appended is kept by a vacuum and found again from the manifests.
    project.ok(&["vacuum", "--retention", "0"]);
    project.lose_instance();
    project.ok(&["instance", "rebuild"]);
    assert_eq!(csv(&project, "select count(*) as n from people"), "n\n4\n");
    project.ok(&["materialize", "people", "--full-refresh"]);
    assert_eq!(csv(&project, "select count(*) as n from people"), "n\n2\n");
}

#[test]
fn merged_rows_take_the_place_of_those_with_the_same_key() {
    let project = project(
        "/* +++\nmaterialized = \"merge\"\nunique_key = \"id\"\n+++ */\nselect id, name, city from \
         raw.people",
    );
    project.ok(&["materialize"]);
    project.write("data/people.csv", NEXT);
    project.ok(&["materialize"]);
    let merged = "id,name,city\n1,Ada,Paris\n2,Grace,New York\n3,Edsger,Austin\n";
    assert_eq!(csv(&project, "select * from people order by id"), merged);
    project.ok(&["materialize"]);
    assert_eq!(csv(&project, "select * from people order by id"), merged, "again, nothing changes");
    // Two rows of one key are refused, and the table stays as it was.
    project.write("data/people.csv", &format!("{NEXT}3,Tony,Oxford,2024-03-01T00:00:00\n"));
    let ran = project.run(&["materialize"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("check `unique_id` of `people` failed"), "{}", ran.err);
    assert_eq!(csv(&project, "select * from people order by id"), merged);
}

#[test]
fn a_snapshot_keeps_every_state_and_never_two_open_rows_of_a_key() {
    for (option, first) in [("updated_at = \"updated\"", "2024-01-01"), ("", "")] {
        let project = project(&format!(
            "/* +++\nmaterialized = \"snapshot\"\nunique_key = [\"id\"]\nhard_deletes = \
             \"invalidate\"\n{option}\n+++ */\nselect id, name, city, updated from raw.people"
        ));
        project.ok(&["materialize"]);
        let states =
            "select id, city, valid_to is null as open from people order by id, valid_from";
        assert_eq!(csv(&project, states), "id,city,open\n1,London,true\n2,New York,true\n");
        let begins = csv(&project, "select cast(min(valid_from) as text) as first from people");
        assert!(begins.contains(first), "{begins}");
        project.write("data/people.csv", NEXT);
        project.ok(&["materialize"]);
        let changed = "id,city,open\n1,London,false\n1,Paris,true\n2,New York,false\n\
                       3,Austin,true\n";
        assert_eq!(csv(&project, states), changed);
        let before = csv(&project, "select * from people order by id, valid_from");
        project.ok(&["materialize"]);
        let after = csv(&project, "select * from people order by id, valid_from");
        assert_eq!(before, after, "to make it again changes nothing");
        // One that was gone comes back as a new state; states follow each other without a gap.
        project.write("data/people.csv", &format!("{NEXT}2,Grace,Arlington,2024-03-01T00:00:00\n"));
        project.ok(&["materialize"]);
        let grace = csv(
            &project,
            "select city, valid_to is null as open from people where id = 2 \
                                   order by valid_from",
        );
        assert_eq!(grace, "city,open\nNew York,false\nArlington,true\n");
        let gaps = "select count(*) as n from people a join people b on a.id = b.id and \
                    a.valid_to = b.valid_from where a.id = 1";
        assert_eq!(csv(&project, gaps), "n\n1\n");
    }
}

#[test]
fn a_view_is_computed_where_it_is_read_and_stores_nothing() {
    let project =
        project("/* +++\nmaterialized = \"view\"\n+++ */ select id, name from raw.people");
    let view = "/* +++\nmaterialized = \"view\"\n+++ */ select name from people where id = 1";
    project.write("assets/ada.sql", view);
    project.write("assets/report.sql", "select upper(name) as name from ada");
    project.ok(&["materialize"]);
    let steps = project.ok(&["run", "show", "-f", "csv"]);
    assert_eq!(steps.lines().count(), 2, "only the report is a step: {steps}");
    assert_eq!(csv(&project, "select * from report"), "name\nADA\n");
    assert_eq!(csv(&project, "select * from ada"), "name\nAda\n");
    assert!(project.ok(&["asset", "list", "ada", "-f", "csv"]).ends_with(",view\n"));
    let files = project.run(&["files", "ada"]);
    assert_eq!((files.code, files.err.contains("`ada` is a view")), (2, true), "{}", files.err);
    let nothing = project.run(&["materialize", "ada"]);
    assert_eq!(nothing.code, 0);
    assert!(nothing.err.contains("nothing to do: the selection holds no asset"), "{}", nothing.err);
}

/// A view between partitioned assets passes on what its reader needs.
#[test]
fn a_view_of_partitions_reads_those_that_its_reader_needs() {
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
name = "views"
== assets/days.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-01-04", column = "day" }
+++ */
select day from (values (date '2024-01-01'), (date '2024-01-02'), (date '2024-01-03')) v(day)
== assets/doubled.sql
/* +++
materialized = "view"
+++ */
select day, day + 1 as next from days
== assets/last.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-01-04", column = "day" }
+++ */
select day, next from doubled
"#,
    );
    let ran = project.run(&["materialize", "last", "-p", "2024-01-02"]);
    assert!(ran.err.contains("`last` needs partition 2024-01-02 of `days`"), "{}", ran.err);
    project.ok(&["materialize", "days", "-p", "2024-01-02"]);
    project.ok(&["materialize", "last", "-p", "2024-01-02"]);
    assert_eq!(csv(&project, "select * from last"), "day,next\n2024-01-02,2024-01-03\n");
}

#[test]
fn columns_that_change_are_added_synced_or_refused_as_the_asset_says() {
    let merge = |change: &str, columns: &str| {
        format!(
            "/* +++\nmaterialized = \"merge\"\nunique_key = \"id\"\n{change}\n+++ */\nselect {columns} \
             from raw.people"
        )
    };
    let rows = "select * from people order by id";
    for (change, columns, expected) in [
        ("", "id, name, city", Ok("id,name,city\n1,Ada,Paris\n2,Grace,\n3,Edsger,Austin\n")),
        ("", "id", Err("`name`")),
        ("", "id, 1 as name", Err("`name`")),
        ("on_schema_change = \"fail\"", "id, name, city", Err("`city`")),
        (
            "on_schema_change = \"sync_all_columns\"",
            "id, city",
            Ok("id,city\n1,Paris\n2,\n3,Austin\n"),
        ),
    ] {
        let project = project(&merge("", "id, name"));
        project.ok(&["materialize"]);
        project.write("data/people.csv", NEXT);
        project.write("assets/people.sql", &merge(change, columns));
        let ran = project.run(&["materialize"]);
        match expected {
            Ok(expected) => {
                assert_eq!(ran.code, 0, "{change} {columns}: {}", ran.err);
                assert_eq!(csv(&project, rows), expected, "{change} {columns}");
            }
            Err(column) => {
                assert_eq!(ran.code, 1, "{change} {columns}");
                assert!(ran.err.contains("error[AS0307]"), "{}", ran.err);
                assert!(ran.err.contains(column), "{}", ran.err);
                project.ok(&["materialize", "--full-refresh"]);
                assert_eq!(csv(&project, "select count(*) as n from people"), "n\n2\n");
            }
        }
    }
}

#[test]
fn every_wrong_option_of_a_shape_is_told() {
    let project = project("select id, name, updated as valid_to from raw.people");
    for (name, options) in [
        ("no_key", "materialized = \"merge\""),
        ("no_column", "materialized = \"merge\"\nunique_key = \"ident\""),
        ("no_word", "materialized = \"incremental\""),
        ("cut_view", "materialized = \"view\"\npartitions = { daily = \"2024-01-01\" }"),
        ("checked_view", "materialized = \"view\"\n[checks]\nnot_null = \"id\""),
        ("table_change", "on_schema_change = \"fail\""),
        ("taken", "materialized = \"snapshot\"\nunique_key = \"id\""),
        (
            "both",
            "materialized = \"snapshot\"\nunique_key = \"id\"\nupdated_at = \"name\"\n\
                  check_columns = \"name\"",
        ),
    ] {
        let text = format!("/* +++\n{options}\n+++ */\nselect id, name, valid_to from people");
        project.write(&format!("assets/{name}.sql"), &text);
    }
    project.write("assets/no_append.sql", "select id from people where id > $watermark");
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    insta::assert_snapshot!(ran.err);
}
