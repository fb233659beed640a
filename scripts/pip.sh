# Sourced, from the project's folder and after debian.sh: which Python and which pip there are. The caller has VENV and fail.

find_python() {
  local name
  for name in python3.13 python3.12 python3.11 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}

# The environment's own pip; where Python came without one, as Debian's does, the machine's, else the one Debian packages.
PIP=()
find_pip() {
  if "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    PIP=("$VENV/bin/python" -m pip)
    return
  fi
  local python
  python=$(find_python)
  if [[ $("$python" -m pip --help 2>/dev/null) == *--python* ]]; then
    PIP=("$python" -m pip --python "$VENV/bin/python")
    return
  fi
  local wheel
  unpack_debian "$PWD/.tools/pip" python3-pip-whl || true
  for wheel in .tools/pip/usr/share/python-wheels/pip-*.whl; do
    [[ -f $wheel ]] || fail "Python has no pip and none could be had: install python3-venv (or python3-pip) and try again."
    PIP=("$VENV/bin/python" "$PWD/$wheel/pip")
  done
}
