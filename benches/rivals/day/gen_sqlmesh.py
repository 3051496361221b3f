"""gen_sqlmesh.py SOURCE DIR: the four assets as models of SQLMesh by time range; tables of DuckDB, as it has no others."""
import os, shutil, sys
from assets import ASSETS, between
source, folder = sys.argv[1:]
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder + '/models')
open(folder + '/config.yaml', 'w').write(
    'gateways:\n  local:\n    connection: {type: duckdb, database: days.duckdb}\ndefault_gateway: local\n'
    'model_defaults: {dialect: duckdb, start: 1995-01-01}\n')
for name in ASSETS:
    sql = between(name, source, lambda of: 'days.' + of, '@start_date', '@end_date')
    model = f"MODEL (name days.{name}, kind INCREMENTAL_BY_TIME_RANGE (time_column day), cron '@daily');\n"
    open(f'{folder}/models/{name}.sql', 'w').write(model + sql + '\n')
