//! What is known without loading the project is what would be found by loading it.

use std::time::Duration;

use crate::support::{Project, folder};

const PROJECT: &str = r#"== arrowsmith.toml
[project]
name = "unchanged"
[vars]
least = 1
[sources.raw.orders]
path = "data/orders/{partition}.csv"
partitions = { monthly = "2024-01", end = "2024-03", format = "%Y-%m" }
[sources.raw.customers]
path = "data/customers/*.csv"
state = "content"
== data/orders/2024-01.csv
id,customer
1,ada
== data/orders/2024-02.csv
id,customer
2,bob
== data/customers/a.csv
customer
ada
== assets/orders.sql
select * from raw.orders where id >= $var_least
== assets/customers.sql
select * from raw.customers
== assets/kinds.sql
/* +++
partitions = { dynamic = "kinds", column = "kind", outside = "drop" }
+++ */
select 'a' as kind
"#;

/// Whether the answer was known, which is written down where it is.
fn is_known(project: &Project) -> bool {
    let memo = project.path().join(".arrowsmith/unchanged.json");
    memo.exists()
}

/// Built, and known to be fresh. Files that were just written are not trusted, so that it takes a while.
fn quiet() -> Project {
    let project = Project::new(PROJECT);
    std::thread::sleep(Duration::from_millis(100));
    project.ok(&["materialize"]);
    assert!(is_known(&project), "it is remembered after the first run");
    project.ok(&["partitions", "add", "kinds", "a"]);
    project.ok(&["materialize"]);
    assert!(is_known(&project), "it is remembered after the run");
    for _ in 0..2 {
        let again = project.run(&["materialize"]);
        assert!(again.err.contains("everything that is selected is fresh"), "{}", again.err);
        assert_eq!(project.run(&["plan", "--exit-code"]).code, 0);
    }
    project
}

/// What is done, in words and in deeds.
type Change = (&'static str, fn(&Project));

#[test]
fn whatever_changes_is_noticed() {
    let changes: [Change; 9] = [
        ("another query", |p| {
            p.write("assets/customers.sql", "select customer as name from raw.customers");
        }),
        ("one more query", |p| p.write("assets/deep/more.sql", "select 1 as one")),
        ("another file of a source", |p| p.write("data/customers/a.csv", "customer\nbob\n")),
        ("one more file of a source", |p| p.write("data/customers/b.csv", "customer\nbob\n")),
        ("another partition of a source", |p| {
            p.write("data/orders/2024-02.csv", "id,customer\n2,cy\n");
        }),
        ("another value of a variable", |p| {
            let text = std::fs::read_to_string(p.path().join("arrowsmith.toml")).expect("a file");
            p.write("arrowsmith.toml", &text.replace("least = 1", "least = 2"));
        }),
        ("one more dynamic partition", |p| {
            p.ok(&["partitions", "add", "kinds", "b"]);
        }),
        ("a table that was made again", |p| {
            p.write("assets/customers.sql", "select customer as name from raw.customers");
            p.ok(&["materialize", "customers"]);
            p.write("assets/customers.sql", "select * from raw.customers");
        }),
        ("a file that is as long, with the time of the other", |p| {
            let path = p.path().join("data/customers/a.csv");
            let before = std::fs::metadata(&path).expect("a file").modified().expect("a time");
            p.write("data/customers/a.csv", "customer\nbob\n");
            let file = std::fs::File::options().append(true).open(path).expect("a file");
            file.set_modified(before).expect("the time");
        }),
    ];
    for (what, change) in changes {
        let project = quiet();
        change(&project);
        let plan = project.run(&["plan", "--exit-code"]);
        assert_eq!(plan.code, 4, "{what}: {}{}", plan.out, plan.err);
    }
}

/// An editor's lock file points nowhere, and hides nothing of what comes after it.
#[cfg(unix)]
#[test]
fn a_link_that_points_nowhere_hides_no_change() {
    let project = Project::new(PROJECT);
    let lock = project.path().join("assets/.#customers.sql");
    std::os::unix::fs::symlink("somebody@somewhere.1", lock).expect("a link");
    std::thread::sleep(Duration::from_millis(100));
    project.ok(&["materialize"]);
    assert!(is_known(&project));
    project.write("assets/orders.sql", "select id from raw.orders");
    assert_eq!(project.run(&["plan", "--exit-code"]).code, 4);
}

/// The same content is the same state, where that is asked for; elsewhere the time decides.
#[test]
fn a_file_that_is_written_again_is_another_unless_its_content_counts() {
    let project = quiet();
    project.write("data/customers/a.csv", "customer\nada\n");
    assert_eq!(project.run(&["plan", "--exit-code"]).code, 0);
    project.write("data/orders/2024-02.csv", "id,customer\n2,bob\n");
    assert_eq!(project.run(&["plan", "--exit-code"]).code, 4);
}

#[test]
fn other_variables_and_other_selections_are_other_questions() {
    let project = quiet();
    let plan = project.run(&["plan", "--exit-code", "--var", "least=2"]);
    assert_eq!(plan.code, 4, "{}", plan.err);
    let forced = project.run(&["plan", "--exit-code", "--force"]);
    assert_eq!(forced.code, 4, "{}", forced.err);
    project.write("assets/broken.sql", "select nothing from nowhere");
    assert_eq!(project.run(&["materialize"]).code, 3, "problems are told");
}

#[test]
fn what_is_computed_each_time_and_warnings_are_never_quiet() {
    let project = Project::new(PROJECT);
    project.write("assets/chance.sql", "select random() as x");
    std::thread::sleep(Duration::from_millis(100));
    project.ok(&["materialize"]);
    assert!(!is_known(&project));
    std::fs::remove_file(project.path().join("assets/chance.sql")).expect("removed");
    project.write("assets/warned.sql", "select id from raw.orders where id = null");
    project.ok(&["materialize"]);
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..2 {
        let warned = project.run(&["materialize"]);
        assert!(warned.err.contains("null"), "{}", warned.err);
        assert!(warned.err.contains("everything that is selected is fresh"), "{}", warned.err);
    }
}

/// A daemon that has nothing to do writes who leads and that it lives, which is nothing to a plan.
#[tokio::test]
async fn an_idle_daemon_disturbs_nobody() {
    use arrowsmith::instance::{Instance, SetInstigator};
    let home = folder();
    let instance = Instance::open(home.path()).await.expect("an instance");
    let changes = async || Instance::changes(home.path()).await.expect("a count");
    let before = changes().await;
    instance.lead("daemon", "me", 0, 30).await.expect("a lead");
    instance.beat(Vec::new()).await.expect("a beat");
    instance.set_instigator("sensor:s", SetInstigator::Start, 1).await.expect("started");
    assert_eq!(changes().await, before);
    instance.add_dynamic_partitions("regions", vec!["eu".into()], 1).await.expect("added");
    assert_eq!(changes().await, before + 1);
}
