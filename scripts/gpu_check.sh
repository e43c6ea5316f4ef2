#!/usr/bin/env bash
# What only a GPU can show, in ten minutes on one 80 GB card and without network: scripts/gpu_check.sh WHEELS [OPTION]...
# WHEELS is the folder that scripts/gpu_wheels.sh has filled; options are those of scripts/gpu_check.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
wheels=$(realpath "${1:?usage: scripts/gpu_check.sh WHEELS [OPTION]...}")
shift
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl
export PYTHONPATH="$site:$PWD" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
python3 scripts/gpu_check.py "$@"
