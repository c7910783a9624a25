#!/bin/sh
# Writes requirements.lock anew: exact versions with hashes for every platform, no index lines.
# Needs uv on PATH (pip install uv).
set -eu
cd "$(dirname "$0")/.."
uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header --no-annotate "$@" -o requirements.lock
