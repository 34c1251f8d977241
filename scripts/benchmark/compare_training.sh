#!/usr/bin/env bash
# Trains the same model on the same batches with Dragoman and with PyTorch, in turn, and prints both speeds.
#
#   scripts/benchmark/compare_training.sh CONFIG [--rounds N] [--steps N] [--limit SECONDS] [--set key=value]...
#
# What is not done within the limit, such as compiling a model, is left out.
#
# PyTorch is installed into a virtual environment outside the project, $DRAGOMAN_BENCHMARK_VENV
# (~/.cache/dragoman/pytorch if that is not set): a few GB.
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/../common.sh"

[[ $# -ge 1 && -f $1 ]] || {
  echo "usage: scripts/benchmark/compare_training.sh CONFIG [--rounds N] [--steps N] [--limit SECONDS] [--set key=value]..." >&2
  exit 2
}
venv=${DRAGOMAN_BENCHMARK_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/dragoman/pytorch}
if ! "$venv/bin/python" -c 'import torch' 2> /dev/null; then
  step "Install PyTorch into $venv"
  run python3 -m venv "$venv"
  run "$venv/bin/pip" install --quiet torch numpy
fi
build release dragoman
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run "$venv/bin/python" scripts/benchmark/compare_training.py "$@" --python "$venv/bin/python" \
  --work "$work"
