"""duckdb_plain.py SRC OUT [codec zstd|snappy] : one connection, COPY each asset to one Parquet file, downstream reads the Parquet."""
import time; t0 = time.perf_counter()
import sys, os, json, duckdb
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__))); import pipe
src, out = sys.argv[1:3]; codec = sys.argv[3] if len(sys.argv) > 3 else 'zstd'
os.makedirs(out, exist_ok=True); opt = 'COMPRESSION zstd, COMPRESSION_LEVEL 1' if codec == 'zstd' else 'COMPRESSION snappy'
con = duckdb.connect(); con.execute('set enable_progress_bar=false')
if os.environ.get('DUCKDB_MEMORY_LIMIT'): con.execute(f"set memory_limit='{os.environ['DUCKDB_MEMORY_LIMIT']}'")
for s in pipe.SOURCES: con.execute(f"create view src_{s} as select * from read_parquet('{src}/{s}.parquet')")
per = {}; t1 = time.perf_counter()
for a in pipe.assets():
    t = time.perf_counter(); p = f'{out}/{a.name}.parquet'
    con.execute(f"COPY ({a.sql(src=lambda x: 'src_' + x)}) TO '{p}' (FORMAT parquet, {opt})")
    con.execute(f"create view {a.name} as select * from read_parquet('{p}')"); per[a.name] = round(time.perf_counter() - t, 3)
print('METRIC', json.dumps(dict(start_s=round(t1-t0,3), exec_s=round(time.perf_counter()-t1,3), per=per)))
