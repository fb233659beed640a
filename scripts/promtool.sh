#!/usr/bin/env bash
# promtool, from PATH or else out of Debian's package prometheus (it is not on PyPI); arguments are promtool's own.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/scripts/debian.sh"

if command -v promtool >/dev/null; then
  exec promtool "$@"
fi

folder=$root/.tools/prometheus
if [[ ! -x $folder/usr/bin/promtool ]] && ! unpack_debian "$folder" prometheus; then
  echo "promtool: not on PATH, and Debian's prometheus could not be fetched: install promtool 2.42 or newer and try again." >&2
  exit 1
fi
exec "$folder/usr/bin/promtool" "$@"
