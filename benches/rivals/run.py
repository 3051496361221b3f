#!/usr/bin/env python3
"""Arrowsmith and its rivals on the same work in one sitting, in turns.

    run.py WORKLOAD [--scale 1] [-n 3] [--only NAME,NAME] [--program PATH] [--work FOLDER]

Workloads: pipeline, storage, reads, overhead, unchanged, day, memory. README.md says what each is. Prints a
Markdown table of medians with their range, and appends every single run to FOLDER/results.jsonl."""
import argparse, json, os, shutil, statistics, sys, time
import workloads
from measure import measure, size

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('workload', choices=sorted(workloads.ALL))
    parser.add_argument('--scale', default='1')
    parser.add_argument('-n', type=int, default=3)
    parser.add_argument('--only', default='')
    parser.add_argument('--program', default=os.path.join(HERE, '../../target/release/arrowsmith'))
    parser.add_argument('--work', default=os.path.join(HERE, '../../target/rivals'))
    a = parser.parse_args()
    work = os.path.abspath(a.work)
    os.makedirs(work + '/logs', exist_ok=True)
    place = workloads.Place(work, os.path.abspath(a.program), a.scale)
    cells = workloads.ALL[a.workload](place)
    only = [word for word in a.only.split(',') if word]
    cells = [cell for cell in cells if not only or any(word in cell.name for word in only)]
    runs = {cell.name: [] for cell in cells}
    for turn in range(a.n):
        for cell in cells:
            if turn >= (cell.times or a.n):
                continue
            if not shutil.which(cell.command[0]):
                runs[cell.name].append(dict(failed=f'there is no {cell.command[0]}: setup.sh makes the environments'))
                continue
            if cell.before:
                cell.before()
            log = f'{work}/logs/{a.workload}-{cell.name}.log'.replace(' ', '_')
            found = measure(cell.command, log, cell.env, cell.cwd, cell.timeout)
            if cell.out and 'failed' not in found:
                found['out_mb'], found['out_files'] = size(cell.out)
            runs[cell.name].append(found)
            record = dict(workload=a.workload, scale=a.scale, name=cell.name, when=time.strftime('%FT%TZ', time.gmtime()))
            with open(work + '/results.jsonl', 'a') as f:
                f.write(json.dumps({**record, **found}) + '\n')
            print(f'{cell.name}: {found["wall"]:.2f} s {found.get("failed", "")}', file=sys.stderr, flush=True)
    table(a.workload, cells, runs)


def spread(values, digits):
    low, middle, high = min(values), statistics.median(values), max(values)
    # What takes less than a second is told to the millisecond.
    digits += middle < 1
    return f'{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})'


def table(workload, cells, runs):
    ours = [statistics.median(r['wall'] for r in found) for name, found in runs.items()
            if name.startswith('arrowsmith') and found and 'failed' not in found[0]]
    mine = min(ours) if ours else None
    print(f'| {workload} | wall s | of Arrowsmith\'s | processor s | memory GB | files |\n|---|---|---|---|---|---|')
    for cell in cells:
        found = [r for r in runs[cell.name] if 'failed' not in r]
        if not found:
            reason = runs[cell.name][0]['failed'] if runs[cell.name] else 'not run'
            print(f'| {cell.name} | {reason[:120]} | | | | |')
            continue
        wall = [r['wall'] for r in found]
        ratio = f'{statistics.median(wall) / mine:.2f}' if mine else ''
        memory = max(r['memory_mb'] for r in found) / 1024
        out = f'{found[-1]["out_mb"]:.0f} MB in {found[-1]["out_files"]}' if 'out_mb' in found[-1] else ''
        cpu = spread([r['cpu'] for r in found], 1)
        metric = json.dumps(found[-1]['metric'])[:160] if cell.tells and 'metric' in found[-1] else out
        print(f'| {cell.name} | {spread(wall, 2)} | {ratio} | {cpu} | {memory:.2f} | {metric} |')


main()
