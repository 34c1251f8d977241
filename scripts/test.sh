#!/usr/bin/env bash
# Sets up, builds and runs every test.
#
#   scripts/test.sh [PRESET]      release (default), debug or asan
#
# With CI=true in the environment, warnings are errors.
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

preset=${1:-release}
[[ $# -le 1 && $preset =~ ^(release|debug|asan)$ ]] || {
  echo "usage: scripts/test.sh [release|debug|asan]" >&2
  exit 2
}

step "Set up"
run scripts/setup.sh
step "Build"
build "$preset"
step "Test"
run ctest --preset "$preset" --output-on-failure --parallel 2
