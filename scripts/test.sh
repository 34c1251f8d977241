#!/usr/bin/env bash
# Sets up, builds and runs every test.
#
#   scripts/test.sh [PRESET]      release (default), debug or asan
#   scripts/test.sh browser       installs Chromium (300 MB) and tests the page of a study in it
#
# With CI=true in the environment, warnings are errors.
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

preset=${1:-release} setup=() tests=()
[[ $# -le 1 && $preset =~ ^(release|debug|asan|browser)$ ]] || {
  echo "usage: scripts/test.sh [release|debug|asan|browser]" >&2
  exit 2
}
if [[ $preset == browser ]]; then
  preset=release setup=(--browser) tests=(--tests-regex '^browser$')
fi

step "Set up"
run scripts/setup.sh "${setup[@]}"
step "Build"
build "$preset"
step "Test"
run ctest --preset "$preset" --output-on-failure --parallel 2 "${tests[@]}"
