#!/usr/bin/env bash
# The rivals at pinned versions, each in an environment of its own (PyPI alone, about 3 GB), and the program of trivial
# assets. setup.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")"
work="${1:-../../target/rivals}"
mkdir -p "$work/venvs"
for list in requirements/*.txt; do
  name="$(basename "$list" .txt)"
  [ -d "$work/venvs/$name" ] || python3 -m venv "$work/venvs/$name"
  # Without resolving: dbt-core asks for a parser that PyPI has only as a download from elsewhere.
  "$work/venvs/$name/bin/pip" install -q --no-deps -r "$list"
  echo "$name: $(wc -l <"$list") packages"
done
# The same versions as the program has, and what is built of it already.
cp ../../Cargo.lock overhead/arrowsmith/Cargo.lock
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../../target}" cargo build --release --manifest-path overhead/arrowsmith/Cargo.toml
