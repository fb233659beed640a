#!/usr/bin/env bash
# The committed stubs are what the protos say.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

scripts/gen.sh "$fresh"
if ! diff -r --brief -x '*.proto' -x '__pycache__' -x 'py.typed' -x '__init__.py' "$fresh/stakehold" protos/stakehold; then
  echo "The stubs under protos/ are not what the .proto files say: run \`make gen\` and commit the result." >&2
  exit 1
fi
