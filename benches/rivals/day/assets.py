"""Four assets with a partition for each day, in DuckDB's SQL; `{day}` is the day, `{out}` where tables are."""
import re

ASSETS = {
    'lines': (["line"], "select l_shipdate as day, l_orderkey, l_partkey, l_returnflag, l_quantity, l_extendedprice"
              " from '{source}' where l_shipdate = date '{day}'"),
    'by_part': (["lines"], "select day, l_partkey, sum(l_quantity) as quantity, sum(l_extendedprice) as price"
                " from '{out}/lines/{day}.parquet' group by day, l_partkey"),
    'by_flag': (["lines"], "select day, l_returnflag, count(*) as n, sum(l_extendedprice) as price"
                " from '{out}/lines/{day}.parquet' group by day, l_returnflag"),
    'shares': (["by_part", "by_flag"], "select p.day, p.l_partkey, p.price / f.price as share"
               " from '{out}/by_part/{day}.parquet' p join (select day, sum(price) as price"
               " from '{out}/by_flag/{day}.parquet' group by day) f using (day)"),
}


def copy(name, source, out, day):
    sql = ASSETS[name][1].format(source=source, out=out, day=day)
    return f"copy ({sql}) to '{out}/{name}/{day}.parquet' (format parquet, compression zstd, compression_level 1)"


def between(name, source, ref, first, last):
    """The same of tables that hold many days: `ref` says how an asset is named, `first` and `last` are dates in SQL."""
    sql = re.sub(r"= date '{day}'", f'between {first} and {last}', ASSETS[name][1])
    table = lambda found: f'(select * from {ref(found[1])} where day between {first} and {last})'
    return re.sub(r"'{out}/(\w+)/{day}.parquet'", table, sql).replace('{source}', source)
