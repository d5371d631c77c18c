#!/bin/sh
# Install the locked packages and their bytecode into a new environment while the image is built: sh install.sh ENVIRONMENT
set -eu
here=$(dirname "$0")
tools=$(mktemp -d)
python3 -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r "$here/tools.lock"
export VIRTUAL_ENV="$1" UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
uv="$tools/bin/uv"
"$uv" venv --quiet --python "$(command -v python3)" "$1"
"$uv" pip install --require-hashes -r "$here/requirements.lock"
# Torch by version alone: each index has other files for one version (deploy/image/lock.py). Its requirements are locked above.
case "${TANDEM_TORCH_INDEX:-}" in
    "") "$uv" pip install --no-deps --torch-backend cpu -r "$here/torch.lock" ;;
    /*) "$uv" pip install --no-deps --no-index --find-links "$TANDEM_TORCH_INDEX" -r "$here/torch.lock" ;;
    *) "$uv" pip install --no-deps --index-url "$TANDEM_TORCH_INDEX" -r "$here/torch.lock" ;;
esac
"$1/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda and "tandem: this torch is built for CUDA, which takes 3 GB and which no service uses. Set TANDEM_TORCH_INDEX to the index of the CPU builds.")'
"$uv" pip check
rm -r "$tools"
