#!/bin/sh
# Install what is locked into a new environment, with its bytecode: `sh install.sh ENVIRONMENT`. Runs where an image is built.
set -eu
here=$(dirname "$0")
tools=$(mktemp -d)
python3 -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r "$here/tools.lock"
export VIRTUAL_ENV="$1" UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
uv="$tools/bin/uv"
"$uv" venv --quiet --python "$(command -v python3)" "$1"
"$uv" pip install --require-hashes -r "$here/requirements.lock"
# By version alone: each index has files of its own for one version of torch (deploy/image/lock.py). What it needs is locked above.
case "${TANDEM_TORCH_INDEX:-}" in
    "") "$uv" pip install --no-deps --torch-backend cpu -r "$here/torch.lock" ;;
    /*) "$uv" pip install --no-deps --no-index --find-links "$TANDEM_TORCH_INDEX" -r "$here/torch.lock" ;;
    *) "$uv" pip install --no-deps --index-url "$TANDEM_TORCH_INDEX" -r "$here/torch.lock" ;;
esac
"$1/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda and "tandem: this torch is built for CUDA, three gigabytes that no service uses. Give TANDEM_TORCH_INDEX the index of its CPU builds.")'
"$uv" pip check
rm -r "$tools"
