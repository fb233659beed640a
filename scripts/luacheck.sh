#!/usr/bin/env bash
# luacheck, from PATH or else out of Debian's packages (it is not on PyPI); arguments are luacheck's own.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/scripts/debian.sh"

if command -v luacheck >/dev/null; then
  exec luacheck "$@"
fi

lua=$root/.tools/lua
# luajit and not lua5.1, which needs a readline that may not be there.
if [[ ! -x $lua/usr/bin/luajit ]] && ! unpack_debian "$lua" lua-check lua-argparse lua-filesystem luajit; then
  echo "luacheck: not on PATH, and Debian's lua-check could not be fetched: install luacheck 1.1 or newer and try again." >&2
  exit 1
fi
export LUA_PATH="$lua/usr/share/lua/5.1/?.lua;$lua/usr/share/lua/5.1/?/init.lua"
LUA_CPATH=$(echo "$lua"/usr/lib/*/lua/5.1)/?.so
export LUA_CPATH
exec "$lua/usr/bin/luajit" "$lua/usr/bin/luacheck" "$@"
