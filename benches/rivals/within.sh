#!/usr/bin/env bash
# within.sh KIBIBYTES COMMAND…: the command in a control group that may have so much memory (root; cgroup 1 or 2).
set -euo pipefail
bytes=$(($1 * 1024))
shift
if [ -d /sys/fs/cgroup/memory ]; then
  group=/sys/fs/cgroup/memory/rivals.$$
  mkdir "$group"
  echo "$bytes" >"$group/memory.limit_in_bytes"
else
  group=/sys/fs/cgroup/rivals.$$
  mkdir "$group"
  echo "$bytes" >"$group/memory.max"
  echo 0 >"$group/memory.swap.max" || true
fi
(echo "$BASHPID" >"$group/cgroup.procs"; exec "$@") && code=0 || code=$?
rmdir "$group" || true
exit "$code"
