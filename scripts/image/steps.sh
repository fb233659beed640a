#!/bin/sh
# What the image is made of, step by step. The Dockerfile runs these, and a test runs the Dockerfile's own lines against a
# clean folder: so there is one way to install the service, and it is tried where no container engine is at hand.
#
#   steps.sh wheel SOURCE DESTINATION          the project's wheel, made with the pinned tools
#   steps.sh install REQUIREMENTS WHEELS HOME  an environment of the pinned packages and that wheel, and nothing else
set -eu

main() {
  step=$1
  shift
  case $step in
    wheel) make_wheel "$@" ;;
    install) install_service "$@" ;;
    *) echo "steps.sh: there is no step $step" >&2 && exit 2 ;;
  esac
}

make_wheel() {
  source=$1 destination=$2
  tools=$(mktemp -d)
  python -m venv --without-pip "$tools"
  pip_install "$tools" --only-binary :all: --require-hashes --requirement "$source/requirements/build.txt"
  (cd "$source" && "$tools/bin/python" -m hatchling build --target wheel --directory "$destination")
  rm -rf "$tools"
}

# Without pip inside: nothing is installed where the service runs.
install_service() {
  requirements=$1 wheels=$2 home=$3
  python -m venv --without-pip "$home"
  pip_install "$home" --only-binary :all: --require-hashes --requirement "$requirements"
  pip_install "$home" --no-deps "$wheels"/stakehold-*.whl
  # The image is read-only where it runs: what Python would cache is made now.
  "$home/bin/python" -m compileall -q -j 0 "$home/lib"
}

pip_install() {
  environment=$1
  shift
  python -m pip --python "$environment/bin/python" install --quiet --disable-pip-version-check --no-input --no-cache-dir \
    --no-compile "$@"
}

main "$@"
