# Sourced by the other scripts: goes to the project's top folder, builds it, and shows the commands
# that are run, so that reading along is a way to learn them.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# fail MESSAGE...: says what is wrong and ends the script.
fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# step TITLE: announces a part of the script.
step() { printf '\n== %s\n' "$*"; }

# run COMMAND...: shows a command, apart from its output, and runs it.
run() {
  printf '$ %s\n' "$*" >&2
  "$@"
}

# build PRESET [TARGET...]: configures and builds build/PRESET. In CI (CI=true) warnings are errors.
build() {
  local preset=$1 targets=("${@:2}") werror=OFF
  [[ ${CI:-} == true ]] && werror=ON
  run cmake --preset "$preset" -DDRAGOMAN_WERROR="$werror"
  run cmake --build --preset "$preset" --target "${targets[@]:-all}"
}
