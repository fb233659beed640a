#!/usr/bin/env bash
# promtool, from PATH or else out of Debian's package prometheus (it is not on PyPI); arguments are promtool's own.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/scripts/debian.sh"

if command -v promtool >/dev/null; then
  exec promtool "$@"
fi

folder=$root/.tools/prometheus
program=$folder/usr/bin/promtool

# Tests ask for it from several processes at once: one fetches, and the others wait.
fetch() {
  mkdir -p "$root/.tools"
  if command -v flock >/dev/null; then
    exec 9>"$root/.tools/prometheus.lock"
    flock 9
  fi
  [[ -x $program ]] || unpack_debian "$folder" prometheus
}

if [[ ! -x $program ]] && ! (fetch); then
  echo "promtool: not on PATH, and Debian's prometheus could not be fetched: install promtool 2.42 or newer and try again." >&2
  exit 1
fi
exec "$program" "$@"
