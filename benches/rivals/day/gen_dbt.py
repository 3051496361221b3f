"""gen_dbt.py SOURCE DIR: the four assets as incremental models of dbt-duckdb, of the days from `first` to `last`; tables
of DuckDB, since what it writes as Parquet it writes anew."""
import os, shutil, sys
from assets import ASSETS, between
source, folder = sys.argv[1:]
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder + '/models')
open(folder + '/dbt_project.yml', 'w').write("name: days\nversion: '1.0'\nprofile: days\nmodel-paths: [models]\n")
open(folder + '/profiles.yml', 'w').write('days:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: days.duckdb, threads: 2}\n')
config = "{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='day') }}\n"
for name in ASSETS:
    first, last = ("date '{{ var(\"%s\") }}'" % end for end in ('first', 'last'))
    sql = between(name, source, lambda of: "{{ ref('%s') }}" % of, first, last)
    open(f'{folder}/models/{name}.sql', 'w').write(config + sql + '\n')
