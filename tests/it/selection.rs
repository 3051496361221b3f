//! The selection language on a small graph with sources.

use arrowsmith::execution::Engine;
use arrowsmith::prelude::*;
use arrowsmith::{Resolved, Selection};

/// ```text
/// src ─▶ a ─▶ b ─▶ d ─▶ e
///        └──▶ c ──┘
/// ```
fn graph() -> Resolved {
    let table = datafusion::datasource::empty::EmptyTable::new(
        arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
            "x",
            arrow::datatypes::DataType::Int64,
            true,
        )])
        .into(),
    );
    let source = arrowsmith::TableSource(std::sync::Arc::new(table));
    let source = Asset::external("raw.src".parse().expect("a key"), std::sync::Arc::new(source));
    let repository = Repository::new("graph")
        .with(source)
        .with(sql_asset(
            "staging.a",
            "/* +++\ngroup = \"staging\"\ntags = [\"daily\"]\nowners = [\"team:data\"]\n+++ */\n\
             select x from raw.src",
        ))
        .with(sql_asset(
            "marts.b",
            "/* +++\ngroup = \"marts\"\n[tags]\ntier = \"gold\"\n+++ */ select x from staging.a",
        ))
        .with(sql_asset("marts.c", "/* +++\nkinds = [\"ml\"]\n+++ */ select x from staging.a"))
        .with(sql_asset("marts.d", "select b.x from b join c on b.x = c.x"))
        .with(sql_asset("e", "select x from d"));
    Engine::check(&repository, &arrowsmith::LoadOptions::new("/nowhere"))
        .expect("a sound repository")
}

#[track_caller]
fn check(resolved: &Resolved, selection: &str, expected: &str) {
    let found = selection.parse::<Selection>().and_then(|s| s.evaluate(resolved));
    let found = match found {
        Ok(keys) => keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Err(error) => format!(
            "{}{}\n{}",
            error.message,
            error.nearest.as_ref().map_or(String::new(), |near| format!(" ({near}?)")),
            error.marked(selection)
        ),
    };
    assert_eq!(found, expected, "for `{selection}`");
}

#[test]
fn selections_follow_the_grammar() {
    let graph = &graph();
    check(graph, "*", "e marts.b marts.c marts.d staging.a");
    check(graph, "b", "marts.b");
    check(graph, "key:marts.b", "marts.b");
    check(graph, "key:marts/b", "marts.b");
    check(graph, "key:\"marts.b\"", "marts.b");
    check(graph, "marts.*", "marts.b marts.c marts.d");
    check(graph, "key:*c", "marts.c raw.src");
    check(graph, "tag:daily", "staging.a");
    check(graph, "tag:tier=gold", "marts.b");
    check(graph, "tag:tier=silver", "");
    check(graph, "owner:team:data", "staging.a");
    check(graph, "owner:\"team:data\"", "staging.a");
    check(graph, "group:marts", "marts.b");
    check(graph, "group:<null>", "e marts.c marts.d raw.src");
    check(graph, "kind:ml", "marts.c");
    check(graph, "is:external", "raw.src");
    check(graph, "is:materializable", "e marts.b marts.c marts.d staging.a");
    check(graph, "+d", "marts.b marts.c marts.d raw.src staging.a");
    check(graph, "1+d", "marts.b marts.c marts.d");
    check(graph, "a+", "e marts.b marts.c marts.d staging.a");
    check(graph, "key:a+1", "marts.b marts.c staging.a");
    check(graph, "1+b+1", "marts.b marts.d staging.a");
    check(graph, "b and marts.*", "marts.b");
    check(graph, "b or c and e", "marts.b");
    check(graph, "(b or c) and not c", "marts.b");
    check(graph, "not marts.*", "e staging.a");
    check(graph, "NOT key:b AND marts.*", "marts.c marts.d");
    check(graph, "sinks(*)", "e");
    check(graph, "sinks(+d)", "marts.d");
    check(graph, "roots(*)", "staging.a");
    check(graph, "roots(b or c or d)", "marts.b marts.c");
    check(graph, "sinks(roots(marts.*))+", "e marts.b marts.c marts.d");
}

#[test]
fn wrong_selections_are_marked() {
    let graph = &graph();
    check(graph, "", "the selection ends where a name should be\n\n^");
    check(graph, "b and", "the selection ends where a name should be\nb and\n     ^");
    check(graph, "b c", "`c` does not follow; join selections with `and` or `or`\nb c\n  ^");
    check(graph, "(b", "a `)` is missing here\n(b\n  ^");
    check(graph, "b & c", "`&` means nothing in a selection\nb & c\n  ^");
    check(graph, "\"b", "this quote is not closed\n\"b\n^^");
    check(graph, "marts.bb", "there is no asset `marts.bb` (marts.b?)\nmarts.bb\n^^^^^^^^");
    check(
        graph,
        "grop:x",
        "`grop:` selects nothing; the attributes are `key:`, `tag:`, `owner:`, `group:`, `kind:`, \
         `is:` (group?)\ngrop:x\n^^^^",
    );
    check(
        graph,
        "is:externl",
        "`is:externl` selects nothing; it is `external` or `materializable` (external?)\n\
         is:externl\n   ^^^^^^^",
    );
    check(graph, "key:<null>", "`<null>` is only a value of `group:`\nkey:<null>\n    ^^^^^^");
}

#[test]
fn deep_selections_are_refused_without_harm() {
    let deep = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
    let error = deep.parse::<Selection>().expect_err("too deep");
    assert!(error.message.contains("levels deep"), "{}", error.message);
}
