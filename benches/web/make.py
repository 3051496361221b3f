#!/usr/bin/env python3
"""Makes a repository of 10,000 assets in 100 groups, and an instance that remembers 100,000 runs of it.

    make.py FOLDER PROGRAM

Each asset is a query over one to three assets of earlier layers, as in a warehouse. Assets are materialized by
PROGRAM once; runs are written into the instance as that program would have written them.
"""

import json
import pathlib
import random
import sqlite3
import subprocess
import sys
import time
import uuid

ASSETS, GROUPS, RUNS, STEPS = 10_000, 100, 100_000, 5


def project(folder: pathlib.Path) -> list[str]:
    chance = random.Random(7)
    keys: list[str] = []
    folder.joinpath("arrowsmith.toml").write_text(
        '[project]\nname = "large"\n[sources.raw.seed]\npath = "seed.csv"\n'
        '[schedules.nightly]\ncron = "0 2 * * *"\nselection = "group:g000"\n'
        '[jobs.nightly]\nselection = "group:g000"\n'
    )
    folder.joinpath("seed.csv").write_text("id,amount\n" + "".join(f"{n},{n * 1.5}\n" for n in range(100)))
    for n in range(ASSETS):
        group = f"g{n * GROUPS // ASSETS:03}"
        name = f"{group}.t{n:05}"
        near = keys[max(0, n - 300):n]
        reads = chance.sample(near, min(len(near), chance.choice([1, 1, 2, 2, 3]))) if near else []
        first = reads[0] if reads else "raw.seed"
        joins = "".join(f"\nleft join {other} as j{at} on j{at}.id = a.id" for at, other in enumerate(reads[1:]))
        path = folder / "assets" / group / f"t{n:05}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'/* +++\ndescription = "Table {n} of group {group}."\ngroup = "{group}"\n'
            f'owners = ["team:{group}"]\n[tags]\nlayer = "l{n // 1000}"\n+++ */\n'
            f"select a.id, a.amount\nfrom {first} as a{joins}\n"
        )
        keys.append(name)
    return keys


def run_id(at_ms: int, chance: random.Random) -> str:
    number = (at_ms << 80) | (7 << 76) | (chance.getrandbits(12) << 64) | (2 << 62) | chance.getrandbits(62)
    return str(uuid.UUID(int=number))


def remember(database: pathlib.Path, keys: list[str]) -> None:
    chance = random.Random(11)
    now = int(time.time() * 1000)
    runs, steps, events = [], [], []
    for n in range(RUNS):
        began = now - (RUNS - n) * 60_000
        run, failed = run_id(began, chance), n % 40 == 0
        status = "failure" if failed else "success"
        job, origin = ("nightly", "schedule:nightly") if n % 3 == 0 else (None, "web")
        tags = json.dumps({"team": f"t{n % 20}"}, separators=(",", ":"))
        runs.append((run, "main", "group:g000", status, tags, "null", 0, began * 1000, (began + 9_000) * 1000,
                     "a step failed" if failed else None, job, run, "null", "{}", "{}", origin, began * 1000))
        for at, key in enumerate(chance.sample(keys, STEPS)):
            state = "failure" if failed and at == STEPS - 1 else "success"
            steps.append((run, key, at, state, 1, (began + at * 1500) * 1000, (began + at * 1500 + 1400) * 1000, 100, 2048))
        events.append((run, None, None, began * 1000, "RUN_START", '{"kind":"RUN_START","steps":5}'))
        kind = "RUN_FAILURE" if failed else "RUN_SUCCESS"
        said = '{"kind":"RUN_FAILURE","reason":"a step failed"}' if failed else '{"kind":"RUN_SUCCESS"}'
        events.append((run, None, None, (began + 9_000) * 1000, kind, said))
    with sqlite3.connect(database) as db:
        db.executemany(
            "insert into runs (run_id, environment, selection, status, tags, process, lease_until, created_at,"
            " ended_at, error, job, root_run_id, config, partitions, launch, origin, started_at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", runs)
        db.execute("update runs set launch = null, retry = 'no' where launch = '{}'")
        db.executemany(
            "insert into steps (run_id, step_key, position, state, attempt, started_at, ended_at, row_count, size_bytes)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?)", steps)
        db.executemany("insert into events (run_id, step_key, asset, at, kind, payload) values (?, ?, ?, ?, ?, ?)", events)


def main() -> None:
    folder, program = pathlib.Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True)
    keys = project(folder)
    subprocess.run([program, "--quiet", "--project", str(folder), "materialize"], check=True)
    remember(folder / ".arrowsmith" / "instance.db", keys)
    print(f"{len(keys)} assets, {RUNS} runs in {folder}")


if __name__ == "__main__":
    main()
