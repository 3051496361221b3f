//! DuckDB and polars read what is stored, through `arrowsmith files`, and get the same rows and types.

use std::process::Command;

use crate::python::python;
use crate::support::Project;

const PROJECT: &str = r#"== arrowsmith.toml
[project]
name = "interop"
[sources.raw.rows]
path = "rows.csv"
== rows.csv
n,place,day,ratio,price
1,a/b,2024-01-01,0.5,1.25
2,ü=%,2024-01-02,,2.50
3,,2024-01-03,1.5,
4,x y,2024-01-04,-2.0,4.00
== assets/typed.sql
select n, place, day, ratio, cast(price as decimal(12, 2)) as price,
  arrow_cast(day, 'Timestamp(Microsecond, Some("UTC"))') as moment, n % 2 = 0 as even
from raw.rows
== assets/by_day.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-01-05", column = "day" }
+++ */
select * from typed
== assets/by_place.sql
/* +++
partition_by = ["place"]
+++ */
select * from typed
"#;

const SCRIPT: &str = r#"
import sys, duckdb, polars as pl, datetime as dt, decimal
files = [line.strip() for line in open(sys.argv[1])]
hive = sys.argv[2] == 'hive'
D, U = decimal.Decimal, dt.timezone.utc
day = lambda d: dt.date(2024, 1, d)
expected = [
    (1, 'a/b', day(1), 0.5, D('1.25'), False), (2, 'ü=%', day(2), None, D('2.50'), True),
    (3, None, day(3), 1.5, None, False), (4, 'x y', day(4), -2.0, D('4.00'), True)]
columns = ['n', 'place', 'day', 'ratio', 'price', 'even']
con = duckdb.connect()
con.execute("set timezone = 'UTC'")
rows = con.execute(f"select {', '.join(columns)}, epoch_us(moment) from read_parquet({files}, hive_partitioning={hive}, hive_types_autocast=false) order by n").fetchall()
assert [row[:6] for row in rows] == expected, rows
assert all(row[6] == dt.datetime(2024, 1, row[0], tzinfo=U).timestamp() * 1000000 for row in rows), rows
types = dict(con.execute(f"select column_name, column_type from (describe select * from read_parquet({files}))").fetchall())
assert types['price'] == 'DECIMAL(12,2)' and types['day'] == 'DATE' and types['moment'] == 'TIMESTAMP WITH TIME ZONE', types
frame = pl.read_parquet(files, hive_partitioning=hive, try_parse_hive_dates=False).sort('n')
assert [row for row in frame.select(columns).iter_rows()] == expected, frame
assert frame.schema['price'] == pl.Decimal(12, 2) and frame.schema['moment'] == pl.Datetime('us', 'UTC'), frame.schema
print('same')
"#;

#[test]
fn duckdb_and_polars_read_partitioned_tables_with_equal_rows_and_types() {
    let Some(python) = python() else { return };
    let project = Project::new(PROJECT);
    project.ok(&["materialize"]);
    project.write("read.py", SCRIPT);
    for (asset, layout) in [("typed", "plain"), ("by_day", "plain"), ("by_place", "hive")] {
        project.write("files.txt", &project.ok(&["files", asset]));
        let read = Command::new(&python)
            .args(["read.py", "files.txt", layout])
            .current_dir(project.path())
            .output()
            .expect("a script that runs");
        let (out, err) =
            (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
        assert_eq!(out.trim(), "same", "{asset}: {err}");
    }
}
