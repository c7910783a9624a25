#!/bin/sh
# Writes both locks anew: exact versions with hashes for every platform, no index lines.
#   requirements.lock      what serving needs, and setuptools to build the project
#   requirements-dev.lock  refers to it and adds what tests, linters and benchmarks need
# Locked versions stay unless asked otherwise (tools/lock.sh --upgrade). Needs uv on PATH (pip install uv).
set -eu
cd "$(dirname "$0")/.."
everything=$(mktemp)
trap 'rm -f "$everything"' EXIT

lock() { # FILE OPTION...: begins with the versions in FILE
  file=$1
  shift
  uv pip compile --quiet pyproject.toml --extra server --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-header --no-annotate "$@" -o "$file"
}

lock requirements.lock --group build "$@"
cat requirements.lock requirements-dev.lock | grep -v '^-r ' >"$everything"
lock "$everything" requirements.lock --group dev "$@"
{
  echo "-r requirements.lock"
  # Leave out what the first lock holds: an entry begins at the margin, its hashes are indented.
  awk 'FNR == NR { run[$0]; next } /^[^ ]/ { kept = !($0 in run) } kept' requirements.lock "$everything"
} >requirements-dev.lock
