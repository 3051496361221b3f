"""What is measured: for each workload the commands of the tools, and what is made ready before each."""
import glob, json, os, shutil, subprocess, sys
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
TPCH = os.path.join(HERE, '../../examples/tpch')
SOURCES = ['customer', 'lineitem', 'nation', 'orders', 'part', 'partsupp', 'region', 'supplier']


@dataclass
class Place:
    """A folder for environments, data and results; the program that is measured; the scale of the data."""
    work: str
    program: str
    scale: str

    def python(self, environment):
        return f'{self.work}/venvs/{environment}/bin/python'

    def tpch(self):
        folder = f'{self.work}/data/sf{self.scale}'
        if not os.path.exists(folder + '/lineitem.parquet'):
            tool = f'{self.work}/venvs/data/bin/tpchgen-cli'
            subprocess.run([tool, 'parquet', '-s', self.scale, f'--output-dir={folder}'], check=True)
        return folder

    def fresh(self, name):
        folder = f'{self.work}/out/{name}'
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        return folder


@dataclass
class Cell:
    """A command of one tool: it is run `times` times, or as often as was asked for."""
    name: str
    command: list
    before: object = None
    out: str = None
    env: dict = field(default_factory=dict)
    cwd: str = None
    times: int = None
    timeout: int = 900
    tells: bool = False


def project(place, name, settings, source):
    """The TPC-H project of the examples, reading what the rivals read."""
    folder = place.fresh(name)
    shutil.copytree(TPCH + '/assets', folder + '/assets')
    text = f'[project]\nname = "tpch"\n{settings}\n'
    text += ''.join(f'[sources.{s}]\npath = "{source}/{s}.parquet"\n' for s in SOURCES)
    open(folder + '/arrowsmith.toml', 'w').write(text)
    return folder


PLAIN = '[io_managers.default]\ncompression = "zstd(1)"\nfsync = false'
SYNCED = '[io_managers.default]\ncompression = "zstd(1)"'


def arrowsmith(place, name, folder, settings, source, **options):
    return Cell(name, [place.program, 'materialize', '-q'], out=folder + '/.arrowsmith', cwd=folder,
                before=lambda: project(place, os.path.basename(folder), settings, source), **options)


def script(place, environment, path, *arguments):
    return [place.python(environment), f'{HERE}/{path}', *arguments]


def pipeline(place):
    """The 16 assets of TPC-H, every result as Parquet with zstd level 1."""
    source, out = place.tpch(), f'{place.work}/out'
    cells = [
        arrowsmith(place, 'arrowsmith', out + '/as', PLAIN, source),
        arrowsmith(place, 'arrowsmith with fsync', out + '/as_synced', SYNCED, source),
    ]
    for tool in ['duckdb', 'polars', 'datafusion']:
        command = script(place, 'data', f'pipeline/{tool}_plain.py', source, f'{out}/{tool}', 'zstd')
        cells.append(Cell(tool, command, lambda tool=tool: place.fresh(tool), f'{out}/{tool}'))
    dagster = script(place, 'dagster', 'pipeline/dagster_duckdb.py', source, out + '/dagster', 'zstd', 'ephemeral')
    cells.append(Cell('dagster with duckdb', dagster, lambda: place.fresh('dagster'), out + '/dagster'))

    def models():
        place.fresh('dbt_out')
        command = script(place, 'dbt', 'pipeline/gen_dbt.py', source, out + '/dbt_out', out + '/dbt', 'zstd', 'external')
        subprocess.run(command, check=True)

    cells.append(Cell('dbt-duckdb', [f'{place.work}/venvs/dbt/bin/dbt', 'run', '--profiles-dir', '.'], models,
                      out + '/dbt_out', cwd=out + '/dbt', env=DBT))
    return cells


DBT = {'DBT_SEND_ANONYMOUS_USAGE_STATS': 'false', 'DO_NOT_TRACK': '1'}
SQLMESH = {'SQLMESH__DISABLE_ANONYMIZED_ANALYTICS': '1', 'DO_NOT_TRACK': '1'}


def memory(place):
    """The pipeline while the operating system allows 2, 4 and 8 GiB: arrowsmith, DuckDB and polars."""
    source, out, cells = place.tpch(), f'{place.work}/out', []
    for gibibytes in [2, 4, 8]:
        # Arrowsmith sees the limit of its control group; DuckDB is told the same share of it.
        share = gibibytes / 2 - 0.25
        cells.append(arrowsmith(place, f'arrowsmith in {gibibytes} GiB', out + '/as_memory', PLAIN, source))
        for tool in ['duckdb', 'polars']:
            command = script(place, 'data', f'pipeline/{tool}_plain.py', source, f'{out}/{tool}', 'zstd')
            cells.append(Cell(f'{tool} in {gibibytes} GiB', command, lambda tool=tool: place.fresh(tool), f'{out}/{tool}',
                              env={'DUCKDB_MEMORY_LIMIT': f'{share:.2f}GiB'}))
    for cell in cells:
        limit = int(cell.name.split()[-2]) * 2**20
        # Whoever takes more is killed by the kernel, which is an answer as well.
        cell.command = ['bash', '-c', f'{HERE}/within.sh {limit} "$@"', 'within', *cell.command]
    return cells


def unchanged(place):
    """The second run of the pipeline, when nothing has changed."""
    source, out = place.tpch(), f'{place.work}/out'
    folder = project(place, 'as_unchanged', SYNCED, source)
    subprocess.run([place.program, 'materialize', '-q'], cwd=folder, check=True)
    many = trivial_project(place, 'as_5000', 5000)
    subprocess.run([place.program, 'materialize', '-q'], cwd=many, check=True)
    cells = [
        Cell('arrowsmith', [place.program, 'materialize', '-q'], cwd=folder),
        Cell('arrowsmith, 5,000 assets', [place.program, 'materialize', '-q'], cwd=many),
    ]
    place.fresh('dbt_out')
    subprocess.run(script(place, 'dbt', 'pipeline/gen_dbt.py', source, out + '/dbt_out', out + '/dbt', 'zstd', 'external'), check=True)
    dbt = [f'{place.work}/venvs/dbt/bin/dbt', 'run', '--profiles-dir', '.']
    subprocess.run(dbt, cwd=out + '/dbt', env={**os.environ, **DBT}, check=True, stdout=subprocess.DEVNULL)
    cells.append(Cell('dbt-duckdb', dbt, cwd=out + '/dbt', env=DBT))
    subprocess.run(script(place, 'sqlmesh', 'pipeline/gen_sqlmesh.py', source, out + '/sqlmesh'), check=True)
    plan = [f'{place.work}/venvs/sqlmesh/bin/sqlmesh', 'plan', '--auto-apply', '--no-prompts']
    subprocess.run(plan, cwd=out + '/sqlmesh', env={**os.environ, **SQLMESH}, check=True, stdout=subprocess.DEVNULL)
    cells.append(Cell('sqlmesh', plan, cwd=out + '/sqlmesh', env=SQLMESH))
    return cells


DAYS = '/* +++\npartitions = { daily = "1995-01-01", end = "1995-02-01", column = "day" }\n+++ */\n'
DAY_ASSETS = {
    'lines': 'select l_shipdate as day, l_orderkey, l_partkey, l_returnflag, l_quantity, l_extendedprice from line'
             ' where l_shipdate >= cast($partition_start as date) and l_shipdate < cast($partition_end as date)',
    'by_part': 'select day, l_partkey, sum(l_quantity) as quantity, sum(l_extendedprice) as price from lines'
               ' group by day, l_partkey',
    'by_flag': 'select day, l_returnflag, count(*) as n, sum(l_extendedprice) as price from lines'
               ' group by day, l_returnflag',
    'shares': 'select p.day, p.l_partkey, p.price / f.price as share from by_part p'
              ' join (select day, sum(price) as price from by_flag group by day) f using (day)',
}


def day(place):
    """One more day through four assets that have a partition for each day, of which 30 are there."""
    tpch, source, out = place.tpch(), f'{place.work}/data/january.parquet', f'{place.work}/out'
    select = f"select * from '{tpch}/lineitem.parquet' where l_shipdate between date '1995-01-01' and date '1995-01-31'"
    subprocess.run([place.python('data'), '-c', f'import duckdb; duckdb.sql("""copy ({select}) to \'{source}\'""")'], check=True)
    made = place.fresh('as_days')
    os.makedirs(made + '/assets')
    open(made + '/arrowsmith.toml', 'w').write(f'[project]\nname = "days"\n{SYNCED}\n[sources.line]\npath = "{source}"\n')
    for name, sql in DAY_ASSETS.items():
        open(f'{made}/assets/{name}.sql', 'w').write(DAYS + sql + '\n')
    subprocess.run([place.program, 'materialize', '-q', '-p', '1995-01-01...1995-01-30'], cwd=made, check=True)
    folder = out + '/as_day'

    def again():
        # A store is known by where it is, so the project goes and comes back.
        if not os.path.exists(folder):
            shutil.copytree(made, folder)
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(folder, made)

    cells = [Cell('arrowsmith', [place.program, 'materialize', '-q', '-p', '1995-01-31'], again, cwd=made)]
    for tool, environment in [('duckdb', 'data'), ('dagster', 'dagster')]:
        command = script(place, environment, f'day/{tool}_day.py', source, f'{out}/{tool}_day')
        place.fresh(tool + '_day')
        subprocess.run([*command, '1995-01-30'], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cells.append(Cell(tool, [*command, '1995-01-31']))
    return cells + [day_of_dbt(place, source), day_of_sqlmesh(place, source)]


def day_of_dbt(place, source):
    folder = place.fresh('dbt_day')
    subprocess.run(script(place, 'dbt', 'day/gen_dbt.py', source, folder), check=True)

    def command(first, last):
        days = json.dumps({'first': first, 'last': last})
        return [f'{place.work}/venvs/dbt/bin/dbt', 'run', '--profiles-dir', '.', '--vars', days]

    subprocess.run(command('1995-01-01', '1995-01-30'), cwd=folder, env={**os.environ, **DBT}, check=True,
                   stdout=subprocess.DEVNULL)
    return Cell('dbt-duckdb', command('1995-01-31', '1995-01-31'), cwd=folder, env=DBT)


def day_of_sqlmesh(place, source):
    folder = place.fresh('sqlmesh_day')
    subprocess.run(script(place, 'sqlmesh', 'day/gen_sqlmesh.py', source, folder), check=True)

    def command(now):
        return [f'{place.work}/venvs/sqlmesh/bin/sqlmesh', 'plan', '--auto-apply', '--no-prompts', '--execution-time', now]

    subprocess.run(command('1995-01-31'), cwd=folder, env={**os.environ, **SQLMESH}, check=True, stdout=subprocess.DEVNULL)
    made = f'{folder}/days.duckdb'
    shutil.copy(made, made + '.before')
    return Cell('sqlmesh', command('1995-02-01'), lambda: shutil.copy(made + '.before', made), cwd=folder, env=SQLMESH)


def trivial_project(place, name, count):
    folder = place.fresh(name)
    os.makedirs(folder + '/assets')
    open(folder + '/arrowsmith.toml', 'w').write('[project]\nname = "trivial"\n')
    for i in range(count):
        text = 'select 1 as v' if i == 0 else f'select v from a{(i - 1) // 3:05d}'
        open(f'{folder}/assets/a{i:05d}.sql', 'w').write(text + '\n')
    return folder


def storage(place):
    """Lineitem as one file and by month, category and day, zstd level 1."""
    source = f'{place.work}/data/line_sf{place.scale}.parquet'
    if not os.path.exists(source):
        subprocess.run(script(place, 'data', 'storage/prep.py', 'line', place.tpch(), source), check=True)
    cells = []
    for key in ['none', 'part_month', 'part_cat', 'part_day']:
        cells.append(stored(place, source, key))
        for tool in ['duckdb', 'polars', 'delta', 'pyarrow', 'datafusion']:
            # What is several times slower is not waited for again.
            slow = tool in ('pyarrow', 'delta', 'datafusion')
            out = f'{place.work}/out/{tool}'
            command = script(place, 'data', 'storage/write.py', tool, source, out, key, 'zstd')
            cells.append(Cell(f'{tool} {key}', command, out=out, times=1 if slow else None, timeout=240,
                              before=lambda tool=tool: place.fresh(tool)))
    return cells


def stored(place, source, key):
    def make():
        folder = place.fresh('as_storage')
        os.makedirs(folder + '/assets')
        open(folder + '/arrowsmith.toml', 'w').write(
            f'[project]\nname = "storage"\n{PLAIN}\n[sources.line]\npath = "{source}"\n')
        left = [k for k in ('part_month', 'part_day', 'part_cat') if k != key]
        by = '' if key == 'none' else f'/* +++\npartition_by = ["{key}"]\n+++ */\n'
        open(folder + '/assets/written.sql', 'w').write(f'{by}select * except ({", ".join(left)}) from line\n')

    folder = f'{place.work}/out/as_storage'
    return Cell(f'arrowsmith {key}', [place.program, 'materialize', '-q'], make, folder + '/.arrowsmith', cwd=folder)


def reads(place):
    """Reads of what Arrowsmith has stored of lineitem, by month and by day; in-process times of each tool."""
    source, cells = f'{place.work}/data/line_sf{place.scale}.parquet', []
    for key in ['part_month', 'part_day']:
        folder = place.fresh('as_read_' + key)
        cell = stored(place, source, key)
        cell.before()
        shutil.copytree(cell.cwd, folder, dirs_exist_ok=True)
        subprocess.run(cell.command, cwd=folder, check=True)
        directory = os.path.dirname(glob.glob(folder + '/.arrowsmith/warehouse/written/*/_manifest.json')[0])
        for tool in ['duckdb', 'polars', 'datafusion', 'pyarrow']:
            cells.append(Cell(f'{tool} {key}', script(place, 'data', 'storage/read.py', tool, directory, key), tells=True))
        value = {'part_month': '1995-06', 'part_day': '1995-06-15'}[key]
        queries = {
            'full': 'select l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice), avg(l_discount), count(*)'
                    ' from written group by all',
            'one': f"select count(*), sum(l_extendedprice) from written where {key} = '{value}'",
            'two': 'select sum(l_extendedprice), max(l_orderkey) from written',
            'point': 'select count(*), sum(l_extendedprice) from written where l_orderkey = 3000005',
        }
        for name, sql in queries.items():
            cells.append(Cell(f'arrowsmith {key} {name}', [place.program, 'query', sql, '-f', 'csv'], cwd=folder))
    return cells


def overhead(place):
    """Assets that cost nothing; Arrowsmith with its instance in memory and, durable, on the disk."""
    cells, ours = [], os.path.join(os.path.dirname(place.program), 'arrowsmith-overhead')
    for shape in ['chain', 'fan', 'rand']:
        for count in [100, 1000, 5000, 10_000, 100_000]:
            dag = f'{place.work}/data/{shape}{count}.json'
            if not os.path.exists(dag):
                subprocess.run([sys.executable, f'{HERE}/overhead/gen_dag.py', shape, str(count), dag], check=True)
            name = f'{shape} {count}'
            home = f'{place.work}/out/as_overhead'
            for kept in ['memory', 'disk']:
                cells.append(Cell(f'arrowsmith {kept} {name}', [ours, dag, kept, home], tells=True,
                                  before=lambda: place.fresh('as_overhead')))
            if count > 5000:
                continue
            hamilton = script(place, 'hamilton', 'overhead/hamilton_run.py', dag)
            cells.append(Cell(f'hamilton {name}', hamilton, tells=True))
            dagster = script(place, 'dagster', 'overhead/dagster_run.py', dag, 'ephemeral')
            cells.append(Cell(f'dagster {name}', dagster, tells=True, times=1))
            if count <= 1000:
                prefect = script(place, 'prefect', 'overhead/prefect_run.py', dag)
                cells.append(Cell(f'prefect {name}', prefect, tells=True, times=1))
                folder = f'{place.work}/out/dbt_{shape}{count}'
                make = script(place, 'dbt', 'overhead/gen_dbt.py', dag, folder, 'view')
                cells.append(Cell(f'dbt {name}', [f'{place.work}/venvs/dbt/bin/dbt', 'run', '--profiles-dir', '.'],
                                  lambda make=make: subprocess.run(make, check=True), cwd=folder, env=DBT, times=1))
    return cells


ALL = dict(pipeline=pipeline, memory=memory, unchanged=unchanged, day=day, storage=storage, reads=reads, overhead=overhead)
