"""gen_dbt.py SRC OUT DIR codec external|table"""
import sys, os, shutil; sys.path.insert(0, os.path.dirname(os.path.abspath(__file__))); import pipe
src, out, d, codec, mat = sys.argv[1:6]; shutil.rmtree(d, ignore_errors=True); os.makedirs(d + '/models'); os.makedirs(out, exist_ok=True)
opts = '{compression: zstd, compression_level: 1}' if codec == 'zstd' else '{compression: snappy}'
open(d + '/dbt_project.yml', 'w').write("name: w2\nversion: '1.0'\nprofile: w2\nmodel-paths: [models]\nflags:\n  send_anonymous_usage_stats: false\n")
open(d + '/profiles.yml', 'w').write("w2:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: w2.duckdb, threads: 2}\n")
open(d + '/models/sources.yml', 'w').write("version: 2\nsources:\n  - name: tpch\n    config:\n      external_location: \"read_parquet('%s/{name}.parquet')\"\n    tables:\n%s" % (src, ''.join(f"      - name: {s}\n" for s in pipe.SOURCES)))
for a in pipe.assets():
    cfg = f"{{{{ config(materialized='external', location='{out}/{a.name}.parquet', options={{'compression': '{codec}'" + (", 'compression_level': 1" if codec == 'zstd' else '') + "}) }}\n" if mat == 'external' else "{{ config(materialized='table') }}\n"
    sql = a.sql(ref=lambda name: f"{{{{ ref('{name}') }}}}", src=lambda name: f"{{{{ source('tpch', '{name}') }}}}")
    open(f'{d}/models/{a.name}.sql', 'w').write(cfg + sql)
