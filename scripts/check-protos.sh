#!/usr/bin/env bash
# Style of the protos, and that no caller of the accepted API breaks. The accepted API is protos/baseline.binpb: a file, so that a
# shallow clone can compare too. `make gen` moves it along when a change breaks nobody; `make accept-protos` when it does.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

buf lint
buf format --diff --exit-code
buf breaking --against protos/baseline.binpb
if ! cmp --silent protos/baseline.binpb <(buf build --exclude-source-info --output -); then
  echo "protos/baseline.binpb is behind the protos: run \`make gen\` and commit the result." >&2
  exit 1
fi
