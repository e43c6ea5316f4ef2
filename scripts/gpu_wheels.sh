#!/usr/bin/env bash
# Collect the wheels that scripts/gpu_check.sh needs: scripts/gpu_wheels.sh FOLDER [PACKAGE]...
# For Python 3.12 on Linux x86-64, in the versions of constraints.txt, at most 64 MiB. Name further packages that the machine
# lacks; it is expected to have torch, accelerate, peft, huggingface-hub, typer, scikit-learn, pyarrow and pandas.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:?usage: scripts/gpu_wheels.sh FOLDER [PACKAGE]...}
shift
python=${PYTHON:-python3}
packages=(alt-profanity-check better-profanity datasets dill filelock gguf hydra-core multiprocess omegaconf transformers
  trl)
pinned() { grep -i "^$1==" constraints.txt; }
names=()
for package in "${packages[@]}" "$@"; do names+=("$(pinned "$package")"); done
platforms=()
for glibc in 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${glibc}_x86_64"); done
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
  --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 --dest "$folder" "${names[@]}"
# Only a source archive is published of this one.
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$folder" \
  "$(pinned antlr4-python3-runtime)"
size=$(du --summarize --bytes "$folder" | cut -f1)
echo "$folder: $((size / 1048576)) MiB"
test "$size" -le $((64 * 1048576)) || { echo "more than 64 MiB: name fewer packages"; exit 1; }
