//! `*.sql.jinja`: rendered SQL is an asset like any other, and its mistakes have a place.

use crate::support::Project;

const PROJECT: &str = r#"== arrowsmith.toml
[project]
name = "templates"
[vars]
months = 3
least = 10
== assets/orders.sql
select 1 as month, 5 as amount union all select 2, 20 union all select 2, 30
== assets/marts/pivot.sql.jinja
/* +++
group = "marts"
+++ */
select
{% for month in range(1, var.months + 1) %}
  sum(case when month = {{ month }} then amount end) as month_{{ month }},
{% endfor %}
  count(*) as orders
from orders
where amount >= $var_least
== assets/reader.sql
select month_2 from pivot
"#;

#[test]
fn a_template_is_rendered_into_the_home_and_read_by_others() {
    let project = Project::new(PROJECT);
    project.ok(&["materialize"]);
    let found = project.ok(&["query", "select * from pivot", "-f", "csv"]);
    assert_eq!(found, "month_1,month_2,month_3,orders\n,50,,2\n");
    assert_eq!(project.ok(&["query", "select * from reader", "-f", "csv"]), "month_2\n50\n");
    let compiled = project.path().join(".arrowsmith/compiled/marts/pivot.sql");
    assert!(std::fs::read_to_string(compiled).expect("a file").contains("as month_3,"));
    project.ok(&["check", "--var", "months=2"]);
}

#[test]
fn mistakes_of_templates_have_a_place() {
    let project = Project::new(PROJECT);
    project.write("assets/undefined.sql.jinja", "select\n  {{ var.lest }} as x");
    project.write("assets/open.sql.jinja", "select {% if true %} 1 as x");
    project.write("assets/endless.sql.jinja", "select {% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %} 1 as x");
    project
        .write("assets/rendered.sql.jinja", "select {{ var.least }} as x,\n  amuont from orders");
    project.write("assets/reads_broken.sql", "select x from undefined");
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    insta::assert_snapshot!(ran.err);
}
