"""dagster_day.py SOURCE OUT DAY: one partition of the four assets with Dagster, on an instance that is kept in OUT."""
import os, sys
source, out, day = sys.argv[1:]
os.environ['DAGSTER_HOME'] = out + '/home'
os.environ['DAGSTER_DISABLE_TELEMETRY'] = '1'
os.makedirs(out + '/home', exist_ok=True)
import dagster as dg, duckdb
from assets import ASSETS, copy
days = dg.DailyPartitionsDefinition(start_date='1995-01-01', end_date='1995-02-01')


def make(name, deps):
    @dg.asset(name=name, deps=[d for d in deps if d != 'line'], partitions_def=days)
    def run(context):
        os.makedirs(f'{out}/{name}', exist_ok=True)
        duckdb.connect().sql(copy(name, source, out, context.partition_key))
    return run


assets = [make(name, deps) for name, (deps, _) in ASSETS.items()]
assert dg.materialize(assets, partition_key=day, instance=dg.DagsterInstance.get()).success
