//! `bench io`: which way to store a table is the fastest, and which the smallest.

use std::fmt::Write;
use std::path::Path;

use arrowsmith_definitions::{IoManagerSettings, nearest};
use arrowsmith_execution::{
    BenchResult, BenchRows, BenchWay, Engine, IO_MANAGER_KINDS, open_io_manager,
};
use arrowsmith_io_manager::Options;
use serde_json::{Value, json};

use super::asset::find;
use crate::Exit;
use crate::args::{BenchArgs, BenchCommand, Format};
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, bytes, complain, count, print, print_document, say};

/// What the URL of a database begins with.
const DATABASE: &str = "postgres";

pub(crate) async fn bench(context: &Context, command: BenchCommand) -> CommandResult {
    let BenchCommand::Io(args) = command;
    let engine = match &args.asset {
        Some(_) => context.engine().await?,
        None => context.engine_without_project().await?,
    };
    let rows = rows(&engine, &args).await?;
    // Beside what is measured for, and gone afterwards.
    let here = std::env::current_dir().unwrap_or_default();
    let folder = tempfile::Builder::new().prefix(".arrowsmith-bench-").tempdir_in(&here);
    let folder = folder.map_err(|error| {
        complain(&format!("`{}` cannot be written: {error}", here.display()));
        Exit::Environment
    })?;
    let ways = ways(&args, folder.path())?;
    say(&format!(
        "{} rows, {} in memory, {} ways, {} repetitions each",
        count(rows.row_count as u64),
        bytes(rows.size_bytes as u64),
        ways.len(),
        args.repeat
    ));
    let mut results: Vec<BenchResult> = Vec::new();
    for way in &ways {
        let measured = engine.bench_storage(&rows, way, args.repeat).await.map_err(|error| {
            complain(&format!("`{}`: {}", way.name, crate::output::chain(&*error)));
            Exit::Failed
        })?;
        if !context.quiet {
            let (write, stored) = (measured.write.median, measured.stored_bytes);
            say(&format!("  {}  {write:.3} s, {}", measured.way, bytes(stored)));
        }
        results.push(measured);
    }
    tell(&results, args.format.format)?;
    if let Some(path) = &args.svg {
        std::fs::write(path, chart(&results)).map_err(|error| {
            complain(&format!("`{}` cannot be written: {error}", path.display()));
            Exit::Environment
        })?;
    }
    match results.iter().find(|result| !result.is_equal) {
        None => Ok(Exit::Ok),
        Some(wrong) => {
            complain(&format!("`{}` did not give back the rows that it was given", wrong.way));
            Ok(Exit::Failed)
        }
    }
}

async fn rows(engine: &Engine, args: &BenchArgs) -> CommandResult<BenchRows> {
    let rows = match &args.asset {
        None => BenchRows::generated(args.rows),
        Some(name) => {
            let key = find(engine, name)?.asset.key.clone();
            let table = engine.table(&key).await.map_err(|e| fail(&e))?;
            BenchRows::of_table(engine.session(), table).await
        }
    };
    rows.map_err(|error| {
        complain(&crate::output::chain(&*error));
        Exit::Failed
    })
}

/// Every combination of what is asked for; what a manager has no option for does not vary there.
fn ways(args: &BenchArgs, folder: &Path) -> CommandResult<Vec<BenchWay>> {
    let none = || vec![None];
    let each = |given: &[String]| match given {
        [] => none(),
        some => some.iter().cloned().map(Some).collect(),
    };
    let mut ways: Vec<BenchWay> = Vec::new();
    for kind in &args.managers {
        if !IO_MANAGER_KINDS.contains(&kind.as_str()) {
            let near = nearest(kind, IO_MANAGER_KINDS)
                .map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            complain(&format!("there is no IO manager of type `{kind}`{near}"));
            return Err(Exit::Usage);
        }
        let is_parquet = kind == "parquet" || kind == "delta";
        let fits = |store: &&String| (kind == DATABASE) == store.starts_with(DATABASE);
        let stores: Vec<String> = args.stores.iter().filter(fits).cloned().collect();
        let stores = match (kind.as_str(), stores.as_slice()) {
            ("memory", _) => none(),
            (DATABASE, []) => {
                complain("`--stores postgres://user@host/database` says where its tables go");
                return Err(Exit::Usage);
            }
            // A matrix whose stores are all databases has no files in it.
            (_, []) if !args.stores.is_empty() => continue,
            _ => each(&stores),
        };
        let codecs = if is_parquet { each(&args.compression) } else { none() };
        let groups = if is_parquet { each(&args.row_group_rows) } else { none() };
        let orders = if is_parquet { each(&args.sort_by) } else { none() };
        let cuts = if is_parquet { each(&args.partition_by) } else { none() };
        for store in &stores {
            for codec in &codecs {
                for group in &groups {
                    for order in &orders {
                        for cut in &cuts {
                            let of = [store, codec, group, order, cut];
                            ways.push(way(folder, kind, of)?);
                        }
                    }
                }
            }
        }
    }
    Ok(ways)
}

fn way(folder: &Path, kind: &str, of: [&Option<String>; 5]) -> CommandResult<BenchWay> {
    let [store, codec, group, order, cut] = of;
    let settings = IoManagerSettings {
        kind: kind.to_owned(),
        store: store.clone().or_else(|| Some(folder.display().to_string())),
        ..IoManagerSettings::default()
    };
    let wrong = |problems: Vec<arrowsmith_definitions::Diagnostic>| {
        crate::diagnostics::report(&problems);
        Exit::Usage
    };
    let manager = open_io_manager("bench", &settings, &std::env::current_dir().unwrap_or_default())
        .map_err(wrong)?;
    let mut options = Options::new();
    if let Some(codec) = codec {
        options.insert("compression".to_owned(), json!(codec));
    }
    if let Some(group) = group {
        let rows: Value = group.parse::<u64>().map_or_else(|_| json!(group), |rows| json!(rows));
        options.insert("row_group_rows".to_owned(), rows);
    }
    if let Some(order) = order.as_ref().filter(|order| *order != "none") {
        options.insert("sort_by".to_owned(), json!([order]));
    }
    let problems = manager.check_options(&options);
    if !problems.is_empty() {
        for problem in &problems {
            complain(&problem.message);
        }
        return Err(Exit::Usage);
    }
    let cut = cut.clone().filter(|cut| cut != "none");
    let named = [
        Some(kind.to_owned()),
        store.clone(),
        codec.clone(),
        group.as_ref().map(|group| format!("{group} rows")),
        order.as_ref().map(|order| format!("sorted by {order}")),
        cut.as_ref().map(|cut| format!("by {cut}")),
    ];
    Ok(BenchWay {
        name: named.into_iter().flatten().collect::<Vec<_>>().join(" "),
        manager,
        options,
        partition_by: cut.into_iter().collect(),
    })
}

/// A column of the table: its name, a value of each result, and whether the smallest is the best.
type Measure = (&'static str, fn(&BenchResult) -> Option<f64>, bool);

fn measures() -> Vec<Measure> {
    fn read(result: &BenchResult, question: &str) -> Option<f64> {
        result.reads.get(question).map(|seconds| seconds.median * 1e3)
    }
    vec![
        ("write_s", |r| Some(r.write.median), true),
        ("krows_s", |r| Some(r.rows_per_second / 1e3), false),
        ("mb_s", |r| Some(r.bytes_per_second / 1e6), false),
        ("cpu_s", |r| r.write_cpu_seconds, true),
        ("peak_mb", |r| r.peak_memory_bytes.map(|b| b as f64 / 1e6), true),
        ("stored_mb", |r| Some(r.stored_bytes as f64 / 1e6), true),
        ("files", |r| Some(r.files as f64), true),
        ("full_ms", |r| read(r, "full"), true),
        ("projected_ms", |r| read(r, "projected"), true),
        ("aggregate_ms", |r| read(r, "aggregate"), true),
        ("point_ms", |r| read(r, "point"), true),
        ("pruned_ms", |r| read(r, "pruned"), true),
    ]
}

const COLUMNS: &[&str] = &[
    "way",
    "write_s",
    "spread_s",
    "krows_s",
    "mb_s",
    "cpu_s",
    "peak_mb",
    "stored_mb",
    "files",
    "full_ms",
    "projected_ms",
    "aggregate_ms",
    "point_ms",
    "pruned_ms",
    "equal",
];

fn tell(results: &[BenchResult], format: Format) -> CommandResult<()> {
    if matches!(format, Format::Json) {
        return print_document("arrowsmith.bench_io.v1", "ways", &results);
    }
    let mut rows = Rows::new("arrowsmith.bench_io.v1", COLUMNS);
    for result in results {
        let mut row = vec![json!(result.way)];
        for (name, value, smallest) in measures() {
            let best = results
                .iter()
                .filter_map(value)
                .reduce(|a, b| if smallest { a.min(b) } else { a.max(b) });
            let value = value(result);
            row.push(match (value, format) {
                (None, _) => Value::Null,
                (Some(value), Format::Table) => {
                    let mark = if best == Some(value) && results.len() > 1 { "*" } else { "" };
                    json!(format!("{}{mark}", shown(value)))
                }
                (Some(value), _) => json!(value),
            });
            if name == "write_s" {
                let (min, max) = (result.write.min, result.write.max);
                row.push(json!(format!("{}..{}", shown(min), shown(max))));
            }
        }
        row.push(json!(result.is_equal));
        rows.push(row);
    }
    rows.print(format)?;
    if format == Format::Table {
        print("* the best of a column; medians, and the spread of write_s")?;
        if let Some(advice) = advice(results) {
            print(&advice)?;
        }
    }
    Ok(())
}

fn shown(value: f64) -> String {
    match value {
        v if v >= 100.0 || v.fract() == 0.0 => format!("{v:.0}"),
        v if v >= 1.0 => format!("{v:.1}"),
        v => format!("{v:.3}"),
    }
}

/// What is gained by another way than the first, which is the one that is compared with.
fn advice(results: &[BenchResult]) -> Option<String> {
    /// A way is only told if it saves this part of the bytes or of the time to read.
    const WORTH: f64 = 0.05;
    let (first, others) = results.split_first()?;
    let full = |result: &BenchResult| result.reads.get("full").map_or(0.0, |s| s.median);
    let cost = |result: &BenchResult| {
        let part = |of: f64, with: f64| if with > 0.0 { of / with } else { 1.0 };
        part(result.stored_bytes as f64, first.stored_bytes as f64)
            * part(full(result), full(first))
            * part(result.write.median, first.write.median)
    };
    let best = others
        .iter()
        .filter(|result| result.is_equal && cost(result) < 1.0 - WORTH)
        .min_by(|a, b| cost(a).total_cmp(&cost(b)));
    let Some(best) = best else {
        return (!others.is_empty())
            .then(|| format!("nothing is better than `{}` in all", first.way));
    };
    let percent = (best.stored_bytes as f64 / first.stored_bytes.max(1) as f64 - 1.0) * 100.0;
    let times = |a: f64, b: f64| if b > 0.0 { a / b } else { 1.0 };
    Some(format!(
        "`{}` instead of `{}`: {percent:+.0} % bytes, {:.2}x read time, {:.2}x write time",
        best.way,
        first.way,
        times(full(best), full(first)),
        times(best.write.median, first.write.median)
    ))
}

/// Bars of each measure, one below the other.
fn chart(results: &[BenchResult]) -> String {
    const BAR: f64 = 360.0;
    const LINE: usize = 18;
    let shown_measures = ["write_s", "stored_mb", "full_ms", "aggregate_ms", "point_ms"];
    let mut body = String::new();
    let mut y = LINE;
    for (name, value, _) in
        measures().into_iter().filter(|(name, ..)| shown_measures.contains(name))
    {
        let most = results.iter().filter_map(value).fold(0.0, f64::max);
        // Writing to a string does not fail.
        let _ = writeln!(body, r#"<text x="8" y="{y}" font-weight="bold">{name}</text>"#);
        for result in results {
            y += LINE;
            let value = value(result).unwrap_or_default();
            let width = if most > 0.0 { value / most * BAR } else { 0.0 };
            let way = result.way.replace('&', "&amp;").replace('<', "&lt;");
            let (top, end, text) = (y - 12, 320.0 + width + 6.0, shown(value));
            let _ = writeln!(
                body,
                r##"<text x="312" y="{y}" text-anchor="end">{way}</text><rect x="320" y="{top}" width="{width:.1}" height="14" fill="#4878a8"/><text x="{end:.1}" y="{y}">{text}</text>"##
            );
        }
        y += LINE * 2;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n{body}</svg>\n"
    )
}
