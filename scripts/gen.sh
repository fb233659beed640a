#!/usr/bin/env bash
# Python stubs of every proto: beside it, or below the folder given.
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:-protos}
export PATH="$PWD/.venv/bin:$PATH"

python -c 'import grpc_tools, mypy_protobuf' # before anything is deleted
mapfile -t protos < <(cd protos && find stakehold -name '*.proto' | sort)
[[ $output != protos ]] || find protos -name '*_pb2*.py*' -not -path '*/__pycache__/*' -delete
python -m grpc_tools.protoc --proto_path protos \
  --python_out "$output" --grpc_python_out "$output" --mypy_out "quiet:$output" --mypy_grpc_out "quiet:$output" \
  "${protos[@]}"
