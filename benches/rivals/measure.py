"""One command as a whole process, from outside: wall seconds, processor seconds of it and its children, the most
memory that its process group had at once (sampled), and the JSON of the lines `METRIC {…}` that it printed."""
import json, os, signal, subprocess, threading, time

PAGE = os.sysconf('SC_PAGE_SIZE')


def resident(group):
    """Resident bytes of a process group."""
    total = 0
    for process in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{process}/stat') as f:
                fields = f.read().rsplit(')', 1)[1].split()
            if int(fields[2]) == group:
                total += int(fields[21]) * PAGE
        except (OSError, IndexError, ValueError):
            pass
    return total


def measure(command, log, env=None, cwd=None, timeout=900):
    """Runs `command`; a dictionary of what it took. Fails if the command does."""
    with open(log, 'wb') as out:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   start_new_session=True, env={**os.environ, **(env or {})}, cwd=cwd)
        most, stop = [0], threading.Event()

        def sample():
            while not stop.wait(0.02):
                most[0] = max(most[0], resident(process.pid))

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        killer = threading.Timer(timeout, lambda: os.killpg(process.pid, signal.SIGKILL))
        killer.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        killer.cancel(), stop.set(), sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    text = open(log, errors='replace').read()
    metrics = [json.loads(line[7:]) for line in text.splitlines() if line.startswith('METRIC ')]
    memory = max(most[0], used.ru_maxrss * 1024) / 2**20
    result = dict(wall=wall, cpu=used.ru_utime + used.ru_stime, memory_mb=memory)
    if metrics:
        result['metric'] = metrics[-1]
    if process.returncode != 0:
        result['failed'] = f'exit {process.returncode}: ' + ' '.join(text.split())[-300:]
    return result


def size(folder):
    """Megabytes and number of the Parquet files below a folder."""
    found = [os.path.join(d, f) for d, _, files in os.walk(folder) for f in files if f.endswith('.parquet')]
    return sum(map(os.path.getsize, found)) / 1e6, len(found)
