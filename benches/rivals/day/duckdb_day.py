"""duckdb_day.py SOURCE OUT DAY: one day of the four assets, as a script would do it."""
import os, sys
import duckdb
from assets import ASSETS, copy
source, out, day = sys.argv[1:]
con = duckdb.connect()
for name in ASSETS:
    os.makedirs(f'{out}/{name}', exist_ok=True)
    con.sql(copy(name, source, out, day))
