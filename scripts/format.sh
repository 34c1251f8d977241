#!/usr/bin/env bash
# Formats the C++ sources as .clang-format says, or shows where they differ from it.
#
#   scripts/format.sh             rewrites the files
#   scripts/format.sh --check     changes nothing; shows the differences and fails if there are any
#
# Releases of clang-format disagree about details, so only release 14, that of Debian 12, is the
# judge: where there is another, --check exits with 77, which ctest reports as skipped.
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

readonly release=14
[[ $# == 0 || $* == --check ]] || {
  echo "usage: scripts/format.sh [--check]" >&2
  exit 2
}

formatter=$(command -v "clang-format-$release" || command -v clang-format) ||
  fail "needs clang-format $release; scripts/setup.sh installs it"
version=$("$formatter" --version)
if [[ ! $version =~ version\ $release\. ]]; then
  echo "format.sh: this is '$version', the format is that of release $release" >&2
  exit 77
fi

mapfile -t files < <(find src tests examples -name '*.h' -o -name '*.cpp' | sort)
if [[ ${1:-} != --check ]]; then
  "$formatter" -i "${files[@]}"
  exit
fi

offenders=()
for file in "${files[@]}"; do
  "$formatter" "$file" | diff --unified --label "$file" --label "$file, formatted" "$file" - ||
    offenders+=("$file")
done
if ((${#offenders[@]} > 0)); then
  printf '\n%s\n' "Not formatted (scripts/format.sh does it):" >&2
  printf '  %s\n' "${offenders[@]}" >&2
  exit 1
fi
echo "${#files[@]} files are formatted"
